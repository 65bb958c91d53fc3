"""The calendar: the long runs of a plan by date, in the format of RFC 5545.

Each long run is an all-day event, so that no time zone can move it. Its UID is made from its week
and stays the same when the plan changes. Its sequence number rises with each change, so that a
calendar uses the newest version. For a plan without long runs, the calendar has no events and its
description says why. The calendar contains only the plan, and neither runs nor check-ins.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from worker.domain.models import Athlete, Plan
from worker.domain.rules import Rules
from worker.notify.render import Renderer

if TYPE_CHECKING:
    from icalendar import Component

_PRODUCT: Final = "-//Easeback//Plan//EN"
_ASK_AGAIN: Final = timedelta(hours=6)
_SEQUENCE_FROM: Final = datetime(2020, 1, 1, tzinfo=UTC)
"""An event's sequence number is in seconds since then, which fits into 32 bits until 2088."""


@dataclass(frozen=True, slots=True)
class CalendarFacts:
    """An athlete's plan, and when the data it is based on last changed."""

    athlete: Athlete
    plan: Plan
    rules: Rules
    changed_at: datetime


def compose_calendar(renderer: Renderer, facts: CalendarFacts) -> bytes:
    """The calendar as a file or a feed. The same facts make the same bytes."""
    from icalendar import Calendar

    words = renderer.loader.words("text", renderer.locale(facts.athlete, facts.rules))
    calendar = Calendar()
    said = _plain(words.calendar_note(facts.plan))
    for name, value in (
        ("version", "2.0"),
        ("prodid", _PRODUCT),
        ("calscale", "GREGORIAN"),
        ("method", "PUBLISH"),
        ("name", words.calendar_name),
        ("x-wr-calname", words.calendar_name),
        ("description", said),
        ("x-wr-caldesc", said),
    ):
        calendar.add(name, _plain(value))
    calendar.add("refresh-interval", _ASK_AGAIN, parameters={"VALUE": "DURATION"})
    calendar.add("x-published-ttl", "PT6H")
    for component in _events(facts, words):
        calendar.add_component(component)
    if not calendar.subcomponents:
        calendar.add_component(_zone(facts))
    content: bytes = calendar.to_ical()
    return content


def _events(facts: CalendarFacts, words: Any) -> Iterator["Component"]:
    from icalendar import Event

    whose = hashlib.sha256(f"calendar {facts.athlete.link_id}".encode()).hexdigest()[:24]
    number = int((facts.changed_at - _SEQUENCE_FROM).total_seconds())
    for week in facts.plan.weeks:
        if week.long_on is None:
            continue
        event = Event()
        for name, value in (
            ("uid", f"{whose}-{week.starts_on:%Y%m%d}@easeback"),
            ("sequence", max(0, number)),
            ("dtstamp", facts.changed_at.replace(microsecond=0)),
            ("last-modified", facts.changed_at.replace(microsecond=0)),
            ("dtstart", week.long_on),
            ("dtend", week.long_on + timedelta(days=1)),
            ("summary", _plain(words.calendar_event(week))),
            ("description", _plain(words.calendar_week(week))),
            ("transp", "TRANSPARENT"),
        ):
            event.add(name, value)
        yield event


def _zone(facts: CalendarFacts) -> "Component":
    """The athlete's time zone, because a calendar needs at least one component (RFC 5545, 3.6)."""
    from icalendar import Timezone

    day = facts.plan.day
    return Timezone.from_tzid(
        facts.athlete.timezone, first_date=date(day.year, 1, 1), last_date=date(day.year + 1, 1, 1)
    )


def _plain(said: object) -> str:
    """A sentence of the catalogue on one line; icalendar folds lines itself."""
    return " ".join(str(said).split())
