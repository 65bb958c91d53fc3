"""The present time, as it is passed to jobs and commands."""

from collections.abc import Callable
from datetime import UTC, datetime


def clock_from(as_of: datetime | None) -> Callable[[], datetime]:
    """The present time, or time that runs on from `as_of`."""
    if as_of is None:
        return lambda: datetime.now(UTC)
    lead = as_of - datetime.now(UTC)
    return lambda: datetime.now(UTC) + lead
