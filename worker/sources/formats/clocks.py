"""Wrong clocks: dates before such files existed, and time zones that don't fit the position.

A GPS receiver counts weeks in ten bits, and one with old firmware reports a day 1,024 weeks too
early. A watch that lost its battery counts from the first day of a round year. If another date in
the file gives the right one, it is used; otherwise the date is reported as doubtful. Instants in
and out are aware UTC.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, tzinfo

ROLLOVER = timedelta(weeks=1024)
FIRST_ROLLOVER = datetime(1999, 8, 22, tzinfo=UTC)
FIRST_FIT = datetime(2009, 1, 1, tzinfo=UTC)  # no device wrote the format before
FIRST_TRACK = datetime(2003, 1, 1, tzinfo=UTC)  # nor did a runner's device record a track
ROUND_YEARS = (1970, 1980, 1990, 2000, 2001, 2006)
UNSET = timedelta(days=31)  # for this long, a clock that was never set may be used
SOON = timedelta(days=14)  # most files are written this soon after the run
FURTHEST_FROM_SUN_H = 4.0  # no zone differs more from solar time
DAY_H = 24.0
DEGREES_AN_HOUR = 15.0


def put_right(
    started_at: datetime, *, first: datetime, written: Iterable[datetime] = (), rolls: bool = False
) -> tuple[datetime, str | None]:
    """The corrected start of a run, and what was or may be wrong with its date; None for nothing.

    `first` is when such files first existed; `written` are the file's other dates. `rolls` means
    that a date before `first` comes from a receiver, and may be 1,024 weeks early.
    """
    known = [at for at in written if at >= first]
    later = started_at + ROLLOVER
    if any(timedelta(0) <= at - later + SOON / 2 <= SOON * 1.5 for at in known):
        return later, _early(started_at)
    if started_at >= first:
        return started_at, None
    if _never_set(started_at):
        if known:
            return min(known), (
                f"its clock was never set and said {started_at:%Y-%m-%d}: dated as the file is"
            )
        return started_at, (
            f"its clock was never set: {started_at:%Y-%m-%d} is most likely the wrong day"
        )
    if rolls and started_at >= FIRST_ROLLOVER:
        return later, _early(started_at)
    return started_at, (
        f"its clock was wrong: {started_at:%Y-%m-%d} is before there were such recordings"
    )


def day_of_run(
    started_at: datetime, *, offset: timedelta | None, zone: tzinfo, lon: float | None
) -> tuple[date, str | None]:
    """The day of a run, and what is doubtful about it; None for nothing.

    `offset` is the lead of the file's own clock over UTC, `zone` the athlete's. If they give
    different days, the file's is believed, because the athlete may be travelling, unless the
    longitude `lon` (degrees) fits the athlete's zone and not the file's.
    """
    at_home = started_at.astimezone(zone)
    if offset is None:
        return at_home.date(), None
    day = (started_at + offset).date()
    if day == at_home.date() or (lon is not None and _fits(offset, lon)):
        return day, None
    home = at_home.utcoffset() or timedelta(0)
    if lon is not None and _fits(home, lon):
        return at_home.date(), (
            f"its clock was set to another time zone: by it the run was on {day}, where it was "
            f"run on {at_home.date()}"
        )
    return day, (
        f"its clock is set to another time zone: by it the run was on {day}, by the athlete's "
        f"time zone on {at_home.date()}"
    )


def _fits(offset: timedelta, lon: float) -> bool:
    """True if a clock with this lead over UTC may be right at a longitude."""
    off_h = offset / timedelta(hours=1) - lon / DEGREES_AN_HOUR
    return abs((off_h + DAY_H / 2) % DAY_H - DAY_H / 2) <= FURTHEST_FROM_SUN_H


def _early(started_at: datetime) -> str:
    return (
        f"its clock said {started_at:%Y-%m-%d}, 1,024 weeks early, as a receiver does that lost "
        "count of its weeks"
    )


def _never_set(at: datetime) -> bool:
    """True if a clock that was never set may show this time."""
    return any(
        timedelta(days=-1) <= at - datetime(year, 1, 1, tzinfo=UTC) < UNSET for year in ROUND_YEARS
    )
