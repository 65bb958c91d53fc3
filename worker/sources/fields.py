"""Reads single fields of services' JSON and of files, and accepts only plausible values. Pure."""

import math
from datetime import UTC, datetime

from worker.domain.shown import plain_title

FIRST_YEAR, LAST_YEAR = 1900, 2999
"""Outside of these, a year is an error; near the ends of the calendar, arithmetic would fail."""

_LONGEST_ID = 32


def numeric_id(value: object) -> str:
    """A numeric id as text; empty for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return ""
    text = str(value)
    return text if text.isascii() and text.isdecimal() and len(text) <= _LONGEST_ID else ""


def amount(value: object) -> float | None:
    """A finite number that isn't negative; None for booleans, texts and the like."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) and found >= 0 else None


def title(value: object) -> str:
    """A title fit for display: short, on one line, without control or direction characters."""
    return plain_title(value) if isinstance(value, str) else ""


def instant(value: object) -> datetime | None:
    """An instant, read from text (UTC if it names no zone) or milliseconds since 1970."""
    try:
        if isinstance(value, str):
            found = datetime.fromisoformat(value)
            found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        elif milliseconds := amount(value):
            found = datetime.fromtimestamp(milliseconds / 1000, UTC)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    return found if FIRST_YEAR <= found.year <= LAST_YEAR else None
