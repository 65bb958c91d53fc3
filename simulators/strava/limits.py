"""Rate limits as documented: per quarter of an hour and per UTC day; refused calls count too."""

from dataclasses import dataclass, field
from datetime import datetime


def quarter(now: datetime) -> datetime:
    """The :00, :15, :30 or :45 at or before `now`."""
    return now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)


@dataclass
class Limit:
    """A limit per quarter of an hour and per day, with its two header lines."""

    header: str
    per_quarter: int
    per_day: int
    used: dict[str, int] = field(default_factory=dict)

    def _windows(self, now: datetime) -> tuple[str, str]:
        return quarter(now).isoformat(), now.date().isoformat()

    def count(self, now: datetime) -> bool:
        """Count one call; True if it stays within both windows."""
        short, long = self._windows(now)
        for window in (short, long):
            self.used[window] = self.used.get(window, 0) + 1
        return self.used[short] <= self.per_quarter and self.used[long] <= self.per_day

    def headers(self, now: datetime) -> dict[str, str]:
        """The two header lines of every API answer."""
        short, long = self._windows(now)
        return {
            f"X-{self.header}-Limit": f"{self.per_quarter},{self.per_day}",
            f"X-{self.header}-Usage": f"{self.used.get(short, 0)},{self.used.get(long, 0)}",
        }


@dataclass
class Limits:
    """The overall limit and the read limit. Anything that isn't an upload is a read."""

    overall: Limit = field(default_factory=lambda: Limit("Ratelimit", 200, 2000))
    read: Limit = field(default_factory=lambda: Limit("Readratelimit", 100, 1000))

    def count(self, now: datetime) -> bool:
        """Count one read; True if it's allowed."""
        within = [self.overall.count(now), self.read.count(now)]
        return all(within)

    def headers(self, now: datetime) -> dict[str, str]:
        return self.overall.headers(now) | self.read.headers(now)
