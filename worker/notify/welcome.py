"""The first mail to an athlete: what Easeback does, which mails to expect, and the setup link."""

from dataclasses import dataclass
from datetime import datetime

from worker.domain.models import Athlete, Email
from worker.domain.rules import Rules
from worker.notify.render import Renderer
from worker.setting_types import is_loopback


@dataclass(frozen=True, slots=True)
class WelcomeFacts:
    """An athlete who was just added; from `rules` the mail says how soon warnings are possible."""

    athlete: Athlete
    rules: Rules
    now: datetime


def compose_welcome(renderer: Renderer, facts: WelcomeFacts) -> Email:
    """The first mail. Without a web server it has explanations instead of a link."""
    athlete = facts.athlete
    links, is_local = {}, False
    if renderer.signer is not None and renderer.checkins:
        links["welcome"] = renderer.signer.sign("welcome", athlete, now=facts.now)
        is_local = is_loopback(renderer.signer.base_url)
    context = {
        "is_local": is_local,
        "weekly": athlete.weekly if "weekly" in athlete.wants else None,
        "warns": "alert" in athlete.wants,
    }
    locale = renderer.locale(athlete, facts.rules)
    return renderer.email("welcome", athlete, context, locale=locale, links=links)
