"""The mail that asks an athlete to connect a source again."""

from dataclasses import dataclass
from datetime import datetime

from worker.domain.models import Athlete, Email
from worker.notify.render import Renderer, clean


@dataclass(frozen=True, slots=True)
class ReconnectFacts:
    """A source that no longer lets us in, until the athlete connects it again."""

    athlete: Athlete
    source: str
    now: datetime


def compose_reconnect(renderer: Renderer, facts: ReconnectFacts) -> Email:
    """The mail that asks to connect a source again."""
    # A key is given on the athlete's page, a consent at the source itself.
    by_key = facts.source == "garmin"
    links = {}
    if renderer.signer is not None and (renderer.checkins or not by_key):
        purpose = "athlete" if by_key else "connect"
        athlete = {"athlete": facts.athlete.id}
        links["connect"] = renderer.signer.sign(purpose, athlete, now=facts.now)
    context = {"source": clean(facts.source).capitalize(), "by_key": by_key}
    return renderer.email("reconnect", facts.athlete, context, links=links)
