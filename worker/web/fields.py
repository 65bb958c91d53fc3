"""Parses the fields of the athlete's forms. An invalid value raises `EditError`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time
from functools import cache
from typing import Final, TypeVar
from zoneinfo import available_timezones

from worker.domain.models import (
    LARGEST_ID,
    LONGEST_RACE_M,
    METRES_PER,
    PAIN_AREAS,
    WEEKDAYS,
    Athlete,
    Dial,
    MailKind,
    Race,
    Units,
    WeeklyHour,
)
from worker.domain.shown import plain_title
from worker.pipeline.edits import EditError
from worker.web.forms import Form
from worker.web.pages import chosen

CHOOSABLE: Final[tuple[MailKind, ...]] = ("alert", "weekly")
"""The mails that an athlete can turn off."""

WEEK_STARTS: Final[Mapping[str, int]] = {"monday": 0, "sunday": 6}
DIALS: Final[tuple[Dial, ...]] = ("24", "12")

_T = TypeVar("_T")


def parsed(parse: Callable[[str], _T], text: str, what: str) -> _T:
    """The parsed value of a field; raises `EditError`."""
    try:
        return parse(text)
    except ValueError as error:
        raise EditError(f"“{text[:20]}” is not {what}") from error


def row_id(text: str) -> int:
    number = int(text)
    if abs(number) > LARGEST_ID:
        raise ValueError(number)
    return number


def decimal(text: str) -> float:
    return float(text.replace(",", "."))


def distance_m(form: Form, units: Units) -> float:
    """The distance in a form in metres; the form has it in the athlete's units."""
    distance = parsed(decimal, form.one("distance"), "a distance")
    return round(distance * METRES_PER[units], 1)


def start_of(form: Form) -> time | None:
    """The time at which a run started, or None if the form has none."""
    start = form.one("start")
    return parsed(time.fromisoformat, start, "an hour of the day") if start else None


def race_in(form: Form, units: Units) -> Race:
    """The race in a form; raises `EditError`."""
    name = plain_title(form.one("name"))
    day = parsed(date.fromisoformat, form.one("date"), "a date")
    metres = distance_m(form, units)
    if not 0 < metres <= LONGEST_RACE_M:
        raise EditError(f"“{form.one('distance')[:20]}” is not a distance")
    if not name:
        raise EditError("a race needs a name")
    return Race(name, day, metres)


def with_settings(athlete: Athlete, form: Form, *, languages: Sequence[str]) -> Athlete:
    """The athlete with the settings in the form, except for the wanted mails.

    Raises `EditError` for an invalid hour of the weekly mail or time zone.
    """
    weekly, day, at = athlete.weekly, form.one("weekday"), form.one("at")
    if day or at:
        hour = parsed(_hour, at, "an hour of the day")
        weekly = WeeklyHour(parsed(WEEKDAYS.index, day, "a day"), hour)
    timezone = form.one("timezone") or athlete.timezone
    if timezone != athlete.timezone:
        timezone = parsed(_zone, timezone, "a time zone")
    choices = with_choices(athlete, form, languages=languages)
    return replace(choices, timezone=timezone, weekly=weekly)


def with_choices(athlete: Athlete, form: Form, *, languages: Sequence[str]) -> Athlete:
    """The athlete with what was chosen from lists in the form, except for the wanted mails.

    An unknown choice leaves its setting unchanged.
    """
    weekday = form.one("weekday")
    weekly = athlete.weekly
    if weekday in WEEKDAYS:
        weekly = replace(weekly, weekday=WEEKDAYS.index(weekday))
    return replace(
        athlete,
        units=next((one for one in METRES_PER if one == form.one("units")), athlete.units),
        clock=next((one for one in DIALS if one == form.one("clock")), athlete.clock),
        language=next((one for one in languages if one == form.one("language")), athlete.language),
        week_starts=WEEK_STARTS.get(form.one("week_starts"), athlete.week_starts),
        weekly=weekly,
        pain=chosen(form.all("area"), PAIN_AREAS),
    )


@cache
def zones() -> tuple[str, ...]:
    """The time zones that a form offers: those named after a place."""
    others = ("Etc/", "SystemV/", "US/", "posix", "right")
    known = (one for one in available_timezones() if "/" in one)
    return tuple(sorted(one for one in known if not one.startswith(others)))


def _hour(text: str) -> time:
    return datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007  on the athlete's clock


def _zone(text: str) -> str:
    """The name of a time zone; case doesn't matter, and spaces may replace underscores."""
    wanted = text.replace(" ", "_")
    for name in available_timezones():
        if name.casefold() == wanted.casefold():
            return name
    raise ValueError(text)
