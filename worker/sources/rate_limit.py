"""How many calls a service still allows. Pure: headers and instants in, values out.

Windows     calls are counted in quarters of an hour and UTC days, and headers tell the count
Spacing     nothing is documented: one call a second, and longer pauses after refusals
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

from worker.sources.base import Purpose

SHARE: dict[Purpose, float] = {"new": 0.9, "history": 0.7}
"""How much of each limit may be used for what.

A tenth of everything is never touched, so that others with the same client id, or a count that
lags, don't end in refusals, and a fifth is kept from history for new runs.
"""

QUARTER = timedelta(minutes=15)
_COUNTS = ("read", "overall")
_INSTANTS = ("at", "closed_until")

BETWEEN = timedelta(seconds=1)
PATIENCE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(hours=4)
_PAUSE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Limit:
    """Calls allowed and used, in this quarter and this day."""

    quarter: int
    day: int
    quarter_used: int = 0
    day_used: int = 0


@dataclass(frozen=True, slots=True)
class Windows:
    """What is known of the limits since `at`; one that no header told of yet is None.

    Nothing about the size of the limits is known here. Reads and all calls are counted apart, by
    the headers `X-ReadRateLimit-*` and `X-RateLimit-*`. Token calls aren't counted.
    """

    at: datetime
    read: Limit | None = None
    overall: Limit | None = None
    closed_until: datetime | None = None

    patience = timedelta(0)

    @classmethod
    def stored(cls, state: Mapping[str, Any] | None, now: datetime) -> "Windows":
        """The limits from what `state` gave; None: nothing is known."""
        if state is None:
            return cls(now)

        read, overall = (Limit(**one) if (one := state[name]) else None for name in _COUNTS)
        at, closed = (
            datetime.fromisoformat(state[name]) if state[name] else None for name in _INSTANTS
        )
        return cls(at or now, read, overall, closed)

    def state(self) -> dict[str, Any]:
        return _plain(asdict(self))

    def as_of(self, now: datetime) -> "Windows":
        """The same with the windows that have ended since counted as empty."""
        new_day = now.astimezone(UTC).date() > self.at.astimezone(UTC).date()
        if not new_day and quarter_of(now) <= quarter_of(self.at):
            return self

        read, overall = (
            one and replace(one, quarter_used=0, day_used=0 if new_day else one.day_used)
            for one in (self.read, self.overall)
        )
        return replace(self, at=now, read=read, overall=overall)

    def reserve(self, purpose: Purpose, now: datetime) -> tuple[datetime, "Windows"]:
        """When the next call is allowed, and the limits with it counted before it is made."""
        opens_at = self.opens_at(purpose, now)
        if purpose == "token" or opens_at > now:
            return opens_at, self

        rolled = self.as_of(now)
        read, overall = (
            one and replace(one, quarter_used=one.quarter_used + 1, day_used=one.day_used + 1)
            for one in (rolled.read, rolled.overall)
        )
        return now, replace(rolled, read=read, overall=overall)

    def observe(self, headers: Mapping[str, str], now: datetime) -> "Windows":
        """With what headers say. Answers overtake each other: the most used counts."""
        read, overall = _limit_in(headers, "x-readratelimit"), _limit_in(headers, "x-ratelimit")
        return self.merged(Windows(now, read, overall)) if read or overall else self

    def merged(self, other: "Windows") -> "Windows":
        """The most used of both, as of the later one."""
        at = max(self.at, other.at)
        mine, theirs = self.as_of(at), other.as_of(at)
        return replace(
            mine,
            at=at,
            read=_most_used(mine.read, theirs.read),
            overall=_most_used(mine.overall, theirs.overall),
        )

    def closed(self, headers: Mapping[str, str], *, now: datetime, until: datetime) -> "Windows":
        """After a refusal with these headers: no call before `until`."""
        return replace(self.observe(headers, now), closed_until=until)

    def paused(self, until: datetime) -> "Windows":
        return replace(self, closed_until=until)

    def opens_at(self, purpose: Purpose, now: datetime) -> datetime:
        if purpose == "token":
            return now
        rolled, share = self.as_of(now), SHARE[purpose]
        known = [one for one in (rolled.read, rolled.overall) if one is not None]
        opens = self.closed_until or now
        if any(one.day_used >= int(one.day * share) for one in known):
            opens = max(opens, next_day(now))
        elif any(one.quarter_used >= int(one.quarter * share) for one in known):
            opens = max(opens, next_quarter(now))
        return max(opens, now)

    def resets_at(self, now: datetime) -> datetime:
        """When calls are counted anew after a refusal: at midnight if the day is used up."""
        rolled = self.as_of(now)
        known = [limit for limit in (rolled.read, rolled.overall) if limit is not None]
        day_gone = any(limit.day_used >= limit.day for limit in known)
        return next_day(now) if day_gone else next_quarter(now)


@dataclass(frozen=True, slots=True)
class Spacing:
    """One call a second over all athletes and workers, and none during a pause.

    Each call takes the next free instant; who would have to wait long for one doesn't, but comes
    back later. `free_at` is the next instant that nobody has taken; `closed_until` ends a pause;
    `refused` counts the pauses since a call last worked.
    """

    free_at: datetime | None = None
    closed_until: datetime | None = None
    refused: int = 0

    patience = PATIENCE

    @classmethod
    def stored(cls, state: Mapping[str, Any] | None) -> "Spacing":
        """The spacing from what `state` gave; None: nothing is known."""
        if state is None:
            return cls()
        free_at, closed = (
            datetime.fromisoformat(state[name]) if state[name] else None
            for name in ("free_at", "closed_until")
        )
        return cls(free_at, closed, state["refused"])

    def state(self) -> dict[str, Any]:
        return _plain(asdict(self))

    def reserve(self, purpose: Purpose, now: datetime) -> tuple[datetime, "Spacing"]:
        """When the next call may be made, and the spacing with that instant taken."""
        at = self.opens_at(purpose, now)
        return at, replace(self, free_at=at + BETWEEN)

    def opens_at(self, _: Purpose, now: datetime) -> datetime:
        known = (self.free_at, self.closed_until)
        # A clock that was set back must not make us wait for the time it told before.
        return max([now, *(at for at in known if at is not None and at - now <= LONGEST_PAUSE)])

    def observe(self, _: Mapping[str, str], now: datetime) -> "Spacing":  # noqa: ARG002  as above
        """After a call that worked."""
        return replace(self, refused=0)

    def closed(self, _: Mapping[str, str], *, now: datetime, until: datetime) -> "Spacing":
        """No call before `until`, and twice as long after each further refusal."""
        pause = max(until - now, _PAUSE * (1 << min(self.refused, 8)))
        return replace(self, closed_until=now + min(pause, LONGEST_PAUSE), refused=self.refused + 1)

    def paused(self, until: datetime) -> "Spacing":
        return replace(self, closed_until=until)


def quarter_of(now: datetime) -> datetime:
    """The :00, :15, :30 or :45 that began the window of `now`."""
    now = now.astimezone(UTC)
    return now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)


def next_quarter(now: datetime) -> datetime:
    return quarter_of(now) + QUARTER


def next_day(now: datetime) -> datetime:
    """The coming midnight, UTC."""
    return datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), UTC)


def _limit_in(headers: Mapping[str, str], name: str) -> Limit | None:
    lines = {header.lower(): value for header, value in headers.items()}
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


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """With instants as text, for JSON."""
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in fields.items()}
