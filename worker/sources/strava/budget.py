"""How many calls Strava still allows. Pure: headers and instants in, numbers out.

Strava counts calls in quarters of an hour and UTC days, overall and for reads, refused calls
included. Nothing about the size of the limits is known here; the headers of each answer say it.
A tenth of everything is never touched, so that others with the same client id, or a count that
lags, don't end in refusals, and a fifth is kept from the reading of history for new runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal

Purpose = Literal["new", "history"]

SHARE: dict[Purpose, float] = {"new": 0.9, "history": 0.7}
"""How much of each limit may be used for what."""

QUARTER = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Limit:
    """One of Strava's two limits: calls allowed and used, in this quarter and this day."""

    quarter: int
    day: int
    quarter_used: int = 0
    day_used: int = 0

    def free(self, purpose: Purpose) -> tuple[int, int]:
        """Calls left for a purpose, in the quarter and in the day."""
        share = SHARE[purpose]
        return (
            int(self.quarter * share) - self.quarter_used,
            int(self.day * share) - self.day_used,
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """What is known of the limits since `at`; a limit never heard of is None.

    `closed_until` is when Strava allows calls again after it refused one.
    """

    at: datetime
    read: Limit | None = None
    overall: Limit | None = None
    closed_until: datetime | None = None

    @classmethod
    def recalled(cls, kept: Mapping[str, Any]) -> "Budget":
        """A budget from what `dataclasses.asdict` made of one."""

        def limit(name: str) -> Limit | None:
            return Limit(**kept[name]) if kept[name] else None

        return cls(kept["at"], limit("read"), limit("overall"), kept["closed_until"])

    def as_of(self, now: datetime) -> "Budget":
        """The same with the windows that have ended since counted as empty."""
        new_day = now.astimezone(UTC).date() > self.at.astimezone(UTC).date()
        if not new_day and quarter_of(now) <= quarter_of(self.at):
            return self

        def rolled(limit: Limit | None) -> Limit | None:
            return limit and replace(
                limit, quarter_used=0, day_used=0 if new_day else limit.day_used
            )

        return replace(self, at=now, read=rolled(self.read), overall=rolled(self.overall))

    def spend(self, now: datetime) -> "Budget":
        """With one call more: counted before it's made, so that others know of it."""

        def more(limit: Limit | None) -> Limit | None:
            return limit and replace(
                limit, quarter_used=limit.quarter_used + 1, day_used=limit.day_used + 1
            )

        rolled = self.as_of(now)
        return replace(rolled, read=more(rolled.read), overall=more(rolled.overall))

    def heard(self, told: "Budget | None") -> "Budget":
        """With what an answer's headers said. Answers overtake each other: the most used counts."""
        if told is None:
            return self
        at = max(self.at, told.at)
        mine, theirs = self.as_of(at), told.as_of(at)
        return replace(
            mine,
            at=at,
            read=_most_used(mine.read, theirs.read),
            overall=_most_used(mine.overall, theirs.overall),
        )

    def closed(self, until: datetime) -> "Budget":
        """After a refusal: no call before `until`."""
        return replace(self, closed_until=until)

    def allows(self, purpose: Purpose, now: datetime) -> bool:
        """True where one more call for this purpose stays inside its share."""
        return self.opens_at(purpose, now) <= now

    def opens_at(self, purpose: Purpose, now: datetime) -> datetime:
        """When the next call for this purpose is allowed; `now` where it is at once."""
        rolled = self.as_of(now)
        known = [limit for limit in (rolled.read, rolled.overall) if limit is not None]
        free = [limit.free(purpose) for limit in known]
        opens = self.closed_until or now
        if any(day <= 0 for _, day in free):
            opens = max(opens, next_day(now))
        elif any(quarter <= 0 for quarter, _ in free):
            opens = max(opens, next_quarter(now))
        return max(opens, now)

    def resets_at(self, now: datetime) -> datetime:
        """When Strava counts anew after a refusal: at midnight if the day is used up."""
        rolled = self.as_of(now)
        known = [limit for limit in (rolled.read, rolled.overall) if limit is not None]
        day_gone = any(limit.day_used >= limit.day for limit in known)
        return next_day(now) if day_gone else next_quarter(now)


def told_by(headers: Mapping[str, str], now: datetime) -> Budget | None:
    """What an answer's headers say of the limits; None where they say nothing readable."""
    lines = {name.lower(): value for name, value in headers.items()}
    read = _limit(lines, "x-readratelimit")
    overall = _limit(lines, "x-ratelimit")
    return Budget(now, read, overall) if read or overall else None


def quarter_of(now: datetime) -> datetime:
    """The :00, :15, :30 or :45 that began the window of `now`."""
    now = now.astimezone(UTC)
    return now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)


def next_quarter(now: datetime) -> datetime:
    return quarter_of(now) + QUARTER


def next_day(now: datetime) -> datetime:
    """The coming midnight, UTC."""
    return datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), UTC)


def _limit(lines: Mapping[str, str], name: str) -> Limit | None:
    try:
        quarter, day = (int(n) for n in lines[f"{name}-limit"].split(","))
        quarter_used, day_used = (int(n) for n in lines[f"{name}-usage"].split(","))
    except (KeyError, ValueError):
        return None
    return Limit(quarter, day, quarter_used, day_used)


def _most_used(mine: Limit | None, told: Limit | None) -> Limit | None:
    if mine is None or told is None:
        return told or mine
    return replace(
        told,
        quarter_used=max(mine.quarter_used, told.quarter_used),
        day_used=max(mine.day_used, told.day_used),
    )
