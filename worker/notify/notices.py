"""Short mails: a request to reconnect, a red flag, a copy of an alert, a notice to the operator."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from worker.domain.checkins import EMERGENCIES, CheckIn, advise
from worker.domain.models import Athlete, Email, Finding
from worker.domain.practice import Therapist
from worker.domain.rules import Rules
from worker.domain.weeks import local_day
from worker.notify.render import Locale, Renderer, clean

_LONGEST_LINE = 500


@dataclass(frozen=True, slots=True)
class ReconnectFacts:
    """A source whose credential is no longer accepted, until the athlete connects it again.

    `source` is its name in the settings, `title` its display name. `by_key` says that it is
    connected with a key on the athlete's page instead of by consent at the service; `key_menu` is
    where people create the key.
    """

    athlete: Athlete
    source: str
    title: str
    now: datetime
    by_key: bool = False
    key_menu: str = ""


def compose_reconnect(renderer: Renderer, facts: ReconnectFacts) -> Email:
    """The mail that asks to connect a source again."""
    links = {}
    if renderer.signer is not None and facts.by_key and renderer.checkins:
        links["connect"] = renderer.signer.sign("athlete", facts.athlete, now=facts.now)
    elif renderer.signer is not None and not facts.by_key:
        links["connect"] = renderer.signer.sign(
            "connect", facts.athlete, now=facts.now, source=facts.source
        )
    context = {
        "source": clean(facts.title),
        "source_name": clean(facts.source),
        "by_key": facts.by_key,
        "key_menu": clean(facts.key_menu),
    }
    return renderer.email("reconnect", facts.athlete, context, links=links)


@dataclass(frozen=True, slots=True)
class RedFlagFacts:
    """Red flags that an athlete ticked, for the `recipient` who looks after them.

    Of the athlete, the mail contains only the name. `at` is in the athlete's local time.
    `language` is the recipient's, or "" if unknown.
    """

    recipient: str
    athlete: Athlete
    flags: tuple[str, ...]
    at: datetime
    language: str = ""


def compose_red_flag(renderer: Renderer, facts: RedFlagFacts) -> Email:
    """The mail about red flags. Its subject names nobody, as it may appear on a locked screen."""
    context = {
        "who": clean(facts.athlete.name),
        "flags": facts.flags,
        "at": facts.at,
        "is_emergency": not {*EMERGENCIES}.isdisjoint(facts.flags),
    }
    locale = Locale(renderer.known(facts.language))
    return renderer.email("red_flag", None, context, locale=locale, recipient=facts.recipient)


@dataclass(frozen=True, slots=True)
class AlertCopyFacts:
    """An alert to an athlete, of which a therapist gets a copy with the athlete's consent.

    `diary` has the check-ins of the last fortnight.
    """

    therapist: Therapist
    athlete: Athlete
    finding: Finding
    rules: Rules
    now: datetime
    diary: Sequence[CheckIn] = ()


def compose_alert_copy(renderer: Renderer, facts: AlertCopyFacts) -> Email:
    """The copy: the finding and the last check-in. Its subject names nobody."""
    athlete, therapist = facts.athlete, facts.therapist
    language = renderer.known(therapist.language)
    locale = Locale(language, athlete.units, athlete.clock, facts.rules)
    today = local_day(athlete, facts.now)
    page = ""
    if renderer.signer is not None and renderer.checkins:
        practice = renderer.signer.sign("practice", therapist, now=facts.now)
        page = f"{practice}/athletes/{athlete.link_id}"
    context = {
        "who": clean(athlete.name),
        "finding": facts.finding,
        "mailed_on": today,
        "answer": max(facts.diary, key=lambda one: one.day, default=None),
        "advice": advise(facts.diary, today=today),
        "page": page,
    }
    return renderer.email("alert_copy", None, context, locale=locale, recipient=therapist.email)


@dataclass(frozen=True, slots=True)
class NoticeFacts:
    """Something that the operator should look at: one line about it, and lines on how to fix it.

    Parts of the texts that came from elsewhere are cleaned before they are shown.
    """

    recipient: str
    what: str
    lines: tuple[str, ...] = ()


def compose_notice(renderer: Renderer, facts: NoticeFacts) -> Email:
    """The mail to the operator."""
    context = {
        "what": clean(facts.what, longest=_LONGEST_LINE),
        "lines": [clean(line, longest=_LONGEST_LINE) for line in facts.lines],
    }
    return renderer.email("notice", None, context, recipient=facts.recipient)
