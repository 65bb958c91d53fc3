"""The clock of the simulated Strava: it changes only when stepped."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass
class Clock:
    """A clock that is stepped by hand; call it for the current time."""

    now: datetime = datetime(2026, 3, 2, 9, 7, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def step(self, by: timedelta) -> datetime:
        """Advance the clock by `by` and return the new time."""
        self.now += by
        return self.now
