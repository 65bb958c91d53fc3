"""Parses arguments that describe an athlete; raises `UsageError` for an invalid one."""

import re
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, time
from functools import partial
from typing import Any

from worker.cli.context import UsageError, parse_day
from worker.domain.contact import ContactError, checked_address, checked_name
from worker.domain.models import (
    LANGUAGE,
    LONGEST_RACE_M,
    PAIN_AREAS,
    WEEKDAYS,
    Athlete,
    MailKind,
    Race,
    WeeklyHour,
)

_WEEKLY = re.compile(
    rf"(?P<day>{'|'.join(WEEKDAYS)})((s|nes|rs|ur)?day)?"
    r"\s+(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)"
)


def checked_contact(option: str, check: Callable[[str], str], text: str) -> str:
    """A name or an address, validated by `check`; raises `UsageError` that names the option."""
    try:
        return check(text)
    except ContactError as error:
        raise UsageError(f"{option}: {error}") from error


def _timezone(text: str) -> str:
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        import difflib

        near = difflib.get_close_matches(text, zoneinfo.available_timezones(), n=1)
        hint = f"; the nearest is {near[0]}" if near else ", such as Europe/Berlin"
        raise UsageError(f"--timezone: {text!r} is not a time zone{hint}") from error
    return text


def _language(text: str) -> str:
    language = text.strip().lower().replace("_", "-")
    if language in ("", "none"):
        return ""
    if not re.fullmatch(LANGUAGE, language):
        raise UsageError(f'--language: {text!r} is not a language such as "de"')
    return language


def _choice(option: str, choices: Mapping[str, object], text: str) -> object:
    """The value that belongs to a choice."""
    if text.lower() not in choices:
        raise UsageError(f"{option}: {text!r} is neither {' nor '.join(choices)}")
    return choices[text.lower()]


def _weekly(text: str) -> WeeklyHour:
    parts = _WEEKLY.fullmatch(text.strip().lower())
    if parts is None:
        raise UsageError(f'--weekly: {text!r} is not a weekday and an hour: "mon 07:00"')
    return WeeklyHour(WEEKDAYS.index(parts["day"]), time(int(parts["hour"]), int(parts["minute"])))


def _pain(text: str) -> tuple[str, ...]:
    areas = [area.strip().lower().replace("-", "_") for area in text.split(",") if area.strip()]
    if areas in ([], ["none"]):
        return ()
    for area in areas:
        if area not in PAIN_AREAS:
            raise UsageError(f"--pain: {area!r} is none of {', '.join(PAIN_AREAS)}")
    return tuple(dict.fromkeys(areas))


def _wants(text: str) -> frozenset[MailKind]:
    choices: dict[str, MailKind] = {"alert": "alert", "weekly": "weekly"}
    named = {word.strip().lower() for word in text.split(",")} - {"none", ""}
    if not named <= choices.keys():
        raise UsageError(f'--mail: {text!r} is not a choice of alert and weekly, or "none"')
    return frozenset({choices[word] for word in named} | {"reconnect", "notice"})


PARSERS: Mapping[str, Callable[[str], object]] = {
    "name": partial(checked_contact, "--name", checked_name),
    "email": partial(checked_contact, "--email", checked_address),
    "timezone": _timezone,
    "units": partial(_choice, "--units", {"km": "km", "mi": "mi"}),
    "clock": partial(_choice, "--clock", {"24": "24", "12": "12"}),
    "language": _language,
    "week_starts": partial(_choice, "--week-starts", {"monday": 0, "sunday": 6}),
    "weekly": _weekly,
    "pain": _pain,
    "wants": _wants,
}


def changed_athlete(
    athlete: Athlete, race: Race | None, given: Mapping[str, str | None]
) -> Athlete:
    """The athlete with this race and the fields given as text; None leaves a field unchanged.

    Raises `UsageError` for an invalid text.
    """
    parsed: dict[str, Any] = {
        field: PARSERS[field](text) for field, text in given.items() if text is not None
    }
    return replace(athlete, race=race, **parsed)


def race_of(before: Race | None, name: str | None, on: str | None, km: float | None) -> Race | None:
    """The changed race: parts that aren't given stay the same."""
    if name is not None and name.strip().lower() == "none":
        return None
    if name is None and on is None and km is None:
        return before
    race_name = name if name is not None else before.name if before else None
    day: date | None = parse_day(on) if on is not None else before.day if before else None
    distance_m = km * 1000 if km is not None else before.distance_m if before else None
    if race_name is None or day is None or distance_m is None:
        raise UsageError("a race needs all of --race NAME --race-date DATE --race-km N")
    if not 0 < distance_m <= LONGEST_RACE_M:
        raise UsageError(f"--race-km: {km} is not the length of a race")
    return Race(checked_contact("--race", checked_name, race_name), day, distance_m)
