"""The time that the made Strava lives in: it stands still unless it's stepped."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass
class Clock:
    """A clock to be stepped by hand; call it for the present instant."""

    now: datetime = datetime(2026, 3, 2, 9, 7, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def step(self, by: timedelta) -> datetime:
        """Go on by `by` and give the new instant."""
        self.now += by
        return self.now
