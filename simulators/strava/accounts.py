"""The accounts of the simulated Strava and their activities."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

Visibility = Literal["everyone", "followers_only", "only_me"]


@dataclass(frozen=True)
class Account:
    """An account at Strava."""

    id: int
    firstname: str
    lastname: str
    timezone: str = "Europe/Berlin"


@dataclass
class Activity:
    """One activity as its owner sees it.

    A `ghost` takes a place on its page but isn't shown, which is why real pages come out short.
    `spoilt` overrides fields of the JSON that is sent.
    """

    id: int
    owner: Account
    started_at: datetime
    distance_m: float
    moving_s: int
    elapsed_s: int
    name: str = "Morning Run"
    sport_type: str = "Run"
    workout_type: int | None = None
    trainer: bool = False
    manual: bool = False
    visibility: Visibility = "everyone"
    hidden_start: bool = False
    upload: str | None = None
    device: str | None = "Made Watch 3"
    ghost: bool = False
    spoilt: dict[str, Any] = field(default_factory=dict)

    @property
    def shown_at(self) -> datetime:
        """The start as shown: a hidden one is put one second after local midnight."""
        if not self.hidden_start:
            return self.started_at
        local = self.started_at.astimezone(ZoneInfo(self.owner.timezone))
        return local.replace(hour=0, minute=0, second=1, microsecond=0)


@dataclass
class Diary:
    """All activities of all accounts."""

    activities: dict[int, Activity] = field(default_factory=dict)
    next_id: int = 15_000_000_001

    def add(
        self, owner: Account, started_at: datetime, distance_m: float = 8_000.0, **more: Any
    ) -> Activity:
        """Record an activity, at 5:00 per kilometre unless `moving_s` is given."""
        moving_s = more.pop("moving_s", round(distance_m * 0.3))
        elapsed_s = more.pop("elapsed_s", moving_s + 40)
        made = Activity(self.next_id, owner, started_at, distance_m, moving_s, elapsed_s, **more)
        self.activities[made.id] = made
        self.next_id += 1_013
        return made

    def weeks_of_runs(
        self, owner: Account, until: datetime, count: int, *, every: timedelta = timedelta(days=2)
    ) -> list[Activity]:
        """Add `count` runs, one in each `every` back from `until`, newest first, all different."""
        return [self.add(owner, until - every * i, 6_000.0 + 10 * (i % 97)) for i in range(count)]

    def listed(
        self, owner: Account, *, private_too: bool, after: float | None, before: float | None
    ) -> list[Activity]:
        """The listed activities: newest first, but oldest first if `after` is given."""
        mine = [
            a
            for a in self.activities.values()
            if a.owner == owner
            and (private_too or a.visibility != "only_me")
            and (after is None or a.started_at.timestamp() > after)
            and (before is None or a.started_at.timestamp() < before)
        ]
        return sorted(mine, key=lambda a: a.started_at, reverse=after is None)
