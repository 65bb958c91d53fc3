"""Checks for the answers to the questions of `init`, and defaults taken from the machine.

Each check returns the value, or raises `UsageError` or `ValueError`.
"""

import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from worker.cli.context import parse_day
from worker.domain.contact import checked_name
from worker.domain.models import LONGEST_RACE_M

NONE = "none"
"""The answer for no value, because Enter accepts the suggestion."""

_IN_MILES = ("US", "GB")


def optional(text: str) -> str | None:
    return None if text.lower() in ("", NONE) else text


def needed(text: str) -> str:
    if not text:
        raise ValueError("something has to stand here; Ctrl-C stops")
    return text


def optional_name(text: str) -> str:
    return checked_name(text) if text else ""


def optional_race(text: str) -> str:
    return checked_name(text) if optional(text) else ""


def coming_day(text: str) -> date:
    day = parse_day(text)
    if day < datetime.now(UTC).date():
        raise ValueError(f"{day} has passed")
    return day


def race_metres(text: str) -> float:
    try:
        metres = float(text.replace(",", ".")) * 1000
    except ValueError:
        metres = 0.0
    if not 0 < metres <= LONGEST_RACE_M:
        raise ValueError(f"{text!r} is not the length of a race, such as 21.1")
    return metres


def folder_to_write(text: str) -> str:
    from worker.setting_types import home_path

    folder = home_path(Path(needed(text))).absolute()
    try:
        there = next(path for path in (folder, *folder.parents) if path.exists())
    except OSError as error:
        raise ValueError(f"{folder} can't be used: {error.strerror}") from error
    if not there.is_dir():
        raise ValueError(f"{there} is a file, not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{there} can't be written to: name a folder of your own")
    return str(folder)


def one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"one of {', '.join(choices)}, please")
        return text.lower()

    return check


def port_number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:  # noqa: PLR2004  the last port
        raise ValueError(f"{text!r} is not a port: a number from 1 to 65535")
    return int(text)


def optional_host(text: str) -> str | None:
    from worker.setting_types import Host

    return None if optional(text) is None else _setting(Host, text)


def sender_address(text: str) -> str:
    from worker.setting_types import Address

    return _setting(Address, text)


def pages_address(text: str) -> str:
    from worker.setting_types import OpenAddress

    return _setting(OpenAddress, text)


def _setting(kind: Any, text: str) -> str:
    """The value, validated and converted as the settings do it."""
    from pydantic import TypeAdapter, ValidationError

    try:
        value: str = TypeAdapter(kind).validate_python(text)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    return value


def zone_here() -> str:
    from worker.config import SettingsError, machine_timezone

    try:
        return machine_timezone()
    except SettingsError:
        return "UTC"


def _locale_here() -> str:
    """The locale of the environment, such as "de_AT", or "" if none is set."""
    named = (os.environ.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return next(filter(None, named), "").partition(".")[0]


def language_here() -> str:
    from worker.notify.render import ENGLISH, SHIPPED_LANGUAGES

    language = _locale_here().partition("_")[0].lower()
    return language if language in SHIPPED_LANGUAGES else ENGLISH


def units_here() -> str:
    return "mi" if _locale_here().partition("_")[2] in _IN_MILES else "km"
