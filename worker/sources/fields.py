"""Reads single fields of services' JSON, and accepts only plausible values. Pure."""

import math
import re
from datetime import UTC, datetime

_LONGEST_ID = 32
_LONGEST_TITLE = 80
_UNSHOWABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]+"
)


def numeric_id(value: object) -> str:
    """An id of digits as text; empty where it's none."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return ""
    text = str(value)
    return text if text.isascii() and text.isdecimal() and len(text) <= _LONGEST_ID else ""


def number(value: object) -> float | None:
    """A finite number that isn't negative; booleans, texts and the like are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) and found >= 0 else None


def title(value: object) -> str:
    """A title fit to be shown: one line, no controls or marks that turn the writing, short."""
    text = _UNSHOWABLE.sub(" ", value) if isinstance(value, str) else ""
    return " ".join(text.split())[:_LONGEST_TITLE]


def instant(value: object) -> datetime | None:
    """An instant as text, in UTC where it names no zone, or as milliseconds since 1970."""
    try:
        if isinstance(value, str):
            found = datetime.fromisoformat(value)
            return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        milliseconds = number(value)
        return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None
    except (ValueError, OverflowError, OSError):
        return None
