"""The clock of a process, and whether it can be right."""

from datetime import UTC, datetime

from worker.pipeline import Clock

FIRST_RELEASE = datetime(2026, 11, 1, tzinfo=UTC)
"""No clock that is right says an earlier time; some machines wake up in 1970."""


def clock_from(as_of: datetime | None) -> Clock:
    """The present time, or time that goes on from `as_of`."""
    if as_of is None:
        return lambda: datetime.now(UTC)
    lead = as_of - datetime.now(UTC)
    return lambda: datetime.now(UTC) + lead


def unset_clock(now: datetime, not_before: datetime | None) -> str | None:
    """Why no job is run yet, where `now` is before the earliest time that can be right."""
    if not_before is None or now >= not_before:
        return None
    return f"this machine's clock says {now:%Y-%m-%d}: nothing is done until it is set"
