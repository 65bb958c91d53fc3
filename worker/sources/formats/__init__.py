"""File formats: bytes in, activities out. No folder, no network, no athlete's settings.

A reader never raises because of a file's contents. It returns the running activities (with a note
if something had to be recovered), or says why there are none. Tables of activities return their
rows (`tables`, `garmin_summaries`). All of this runs in a separate process (`child`).
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone

from worker.domain.models import Sport
from worker.sources import NotARun, Unreadable
from worker.sources.fields import FIRST_YEAR, LAST_YEAR

FURTHEST_WEST = timedelta(hours=-12)
FURTHEST_EAST = timedelta(hours=14)
QUARTER_HOUR = timedelta(minutes=15)
TOLERANCE = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Activity:
    """One run as a file describes it. Metres, seconds; `started_at` is aware UTC.

    `offset` is the local clock's offset from UTC if the file states it credibly, else None; `lon`
    is the longitude of the run, in degrees, and isn't compared. `leg` counts the running legs of a
    multisport file from 0; `ascent_m` is the ascent in metres, if stated.
    """

    started_at: datetime
    offset: timedelta | None
    distance_m: float
    moving_s: float | None
    elapsed_s: float | None
    sport: Sport
    device: bool = True
    leg: int = 0
    title: str = ""
    lon: float | None = field(default=None, compare=False)
    note: str | None = None
    ascent_m: float | None = None


Parsed = tuple[Activity, ...] | NotARun | Unreadable


def one_answer(read: Iterable[Activity | NotARun | Unreadable]) -> Parsed:
    """One answer for everything in a file: its runs, each once, or else the most useful reason.

    `read` isn't empty. The reason of an incomplete run is more useful than that of a ride.
    """
    read = list(read)
    runs: dict[tuple[datetime, float], Activity] = {}
    for each in read:
        if isinstance(each, Activity):
            runs.setdefault((each.started_at, each.distance_m), each)
    if runs:
        return tuple(replace(run, leg=leg) for leg, run in enumerate(runs.values()))
    reasons = [each for each in read if not isinstance(each, Activity)]
    return next((each for each in reasons if isinstance(each, Unreadable)), reasons[0])


def credible_offset(lead: timedelta) -> timedelta | None:
    """A clock's offset from UTC, rounded to a quarter of an hour, if any place has it."""
    offset = round(lead / QUARTER_HOUR) * QUARTER_HOUR
    if abs(lead - offset) <= TOLERANCE and FURTHEST_WEST <= offset <= FURTHEST_EAST:
        return offset
    return None


def instant_and_offset(text: str) -> tuple[datetime, timedelta | None] | None:
    """An instant as a file writes it, aware, and the local offset if it was written with one.

    Mostly ISO; also without leading zeros, in any script's digits, in Buddhist years, or as
    seconds or milliseconds since 1970. None for anything else, such as the year 1, which some
    programs write for no time. An offset of zero counts as none, because it is only another way to
    write UTC.
    """
    try:
        at = _iso_instant(_BUDDHIST_YEAR.sub(_our_year, western_digits(text)))
        if not FIRST_YEAR <= at.year <= LAST_YEAR:
            return None
        if at.tzinfo is UTC:
            return at, None
        lead = at.utcoffset()
        if lead is None:
            return at.replace(tzinfo=UTC), None
        return at.astimezone(UTC), credible_offset(lead) if lead else None
    except (ValueError, OverflowError):
        return None


def western_digits(text: str) -> str:
    """The same text with 0 to 9 for the digits of any script."""
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(one, one)) for one in text)


_BUDDHIST_LEAD = 543
_BUDDHIST_YEAR = re.compile(r"\A\s*(2[4-9]\d\d)(?=[-/.]|\d{4}(?:T|\Z))")
_SECONDS_DIGITS, _MILLISECONDS_DIGITS = 10, 13
_LOOSE = re.compile(
    r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})[T\s]\s*(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:[.,]\d*)?)?"
    r"\s*(?:Z|UTC|GMT)?\s*([+-]\d{1,2}(?::?\d{2})?)?"
)


def _our_year(found: "re.Match[str]") -> str:
    """Convert a Buddhist year. This comes before parsing, because leap years differ by it."""
    return str(int(found[1]) - _BUDDHIST_LEAD)


def _iso_instant(text: str) -> datetime:
    """The instant, aware if it has an offset. Raises `ValueError` if the text isn't one."""
    if text.isdecimal():
        return _loose_instant(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return _loose_instant(text)


def _loose_instant(text: str) -> datetime:
    text = text.strip()
    if text.isdecimal():  # some of them would also be ISO dates
        if len(text) in (_SECONDS_DIGITS, _MILLISECONDS_DIGITS):
            return datetime.fromtimestamp(int(text[:_SECONDS_DIGITS]), UTC)
        return datetime.fromisoformat(text)
    found = _LOOSE.fullmatch(text)
    if not found:
        raise ValueError(text)
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    # A leap second becomes the first second of the next minute.
    at = datetime(year, month, day, hour, minute, tzinfo=UTC) + timedelta(seconds=second)
    if not found[7]:
        return at
    sign, digits = found[7][0], found[7][1:].replace(":", "")
    hours, minutes = (digits, "0") if len(digits) <= 2 else (digits[:-2], digits[-2:])  # noqa: PLR2004
    lead = timedelta(hours=int(hours), minutes=int(minutes))
    return at.replace(tzinfo=timezone(-lead if sign == "-" else lead))
