"""How many calls a service still allows. Pure: headers and instants in, values out.

Windows     calls are counted per quarter of an hour and UTC day, as headers report
Spacing     for undocumented limits: one call a second, and longer pauses after refusals
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, ClassVar, Literal, Self

from pydantic import TypeAdapter

Purpose = Literal["new", "history", "token"]
"""What a call is for: new activities go before history; some services don't count token calls."""

SHARE: dict[Purpose, float] = {"new": 0.9, "history": 0.7}
"""The share of each limit that may be used for a purpose.

A tenth is never used, so that other users of the client id, or a delayed count, don't cause
refusals, and a fifth is reserved for new runs.
"""

QUARTER = timedelta(minutes=15)

CALL_EVERY = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(hours=4)
SHORTEST_PAUSE = timedelta(minutes=1)


class RateLimit(ABC):
    """How many calls a service still allows. Immutable; stored between calls as JSON."""

    refusal: ClassVar[str]
    """The message while no call is allowed, with the fields `title` and `opens`."""
    patience: ClassVar[timedelta]
    """The longest wait for the next call; a caller that would wait longer retries later."""
    closed_until: datetime | None
    """When the service allows calls again, after it refused one."""

    @classmethod
    def stored(cls, state: Mapping[str, Any] | None, now: datetime) -> Self:
        """The stored limit; `state` is None if nothing is known of it."""
        known = {name: value for name, value in (state or {}).items() if value is not None}
        limit: Self = _adapter(cls).validate_python({"at": now, **known})
        return limit

    def state(self) -> dict[str, Any]:
        """The state to store, as JSON."""
        state: dict[str, Any] = _adapter(type(self)).dump_python(self, mode="json")
        return state

    @abstractmethod
    def opens_at(self, purpose: Purpose, now: datetime) -> datetime:
        """When the next call may be made; `now` if it may be made at once."""

    @abstractmethod
    def reserve(self, purpose: Purpose, now: datetime) -> tuple[datetime, Self]:
        """When to make the next call, and the limit with that call counted before it is made."""

    @abstractmethod
    def observe(self, headers: Mapping[str, str], now: datetime) -> Self:
        """The limit updated with the headers of an answer that isn't a refusal."""

    @abstractmethod
    def closed(self, headers: Mapping[str, str], *, now: datetime, until: datetime) -> Self:
        """The limit after a refusal: no call before `until`, or later after repeated refusals."""


@cache
def _adapter(kind: type[RateLimit]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


@dataclass(frozen=True, slots=True)
class Limit:
    """Calls allowed and used, in this quarter and this day."""

    quarter: int
    day: int
    quarter_used: int = 0
    day_used: int = 0


@dataclass(frozen=True, slots=True)
class Windows(RateLimit):
    """What is known about the limits since `at`; a limit that no header has reported is None.

    The size of the limits isn't known here. Reads and all calls are counted separately, by the
    headers `X-ReadRateLimit-*` and `X-RateLimit-*`. Token calls aren't counted.
    """

    at: datetime
    read: Limit | None = None
    overall: Limit | None = None
    closed_until: datetime | None = None

    refusal = (
        "{title}'s rate limit is used up; it opens again at {opens:%H:%M} UTC and nothing is lost "
        "until then"
    )
    patience = timedelta(0)

    def as_of(self, now: datetime) -> "Windows":
        """The same limit, with windows that have ended since counted as empty.

        So are those of a time that is far ahead: it was saved while the clock ran ahead.
        """
        is_ahead = self.at - now > QUARTER
        new_day = is_ahead or now.astimezone(UTC).date() > self.at.astimezone(UTC).date()
        if not new_day and quarter_of(now) <= quarter_of(self.at):
            return self

        read, overall = (
            one and replace(one, quarter_used=0, day_used=0 if new_day else one.day_used)
            for one in (self.read, self.overall)
        )
        return replace(self, at=now, read=read, overall=overall)

    def reserve(self, purpose: Purpose, now: datetime) -> tuple[datetime, "Windows"]:
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
        """The limit updated with headers. The highest count wins: answers can be out of order."""
        read, overall = _limit_in(headers, "x-readratelimit"), _limit_in(headers, "x-ratelimit")
        if not (read or overall):
            return self
        known = self.as_of(now)
        seen = known.merged(Windows(now, read, overall))
        # A call that was already counted changes nothing, and needs no transaction.
        return self if known is self and seen == replace(self, at=seen.at) else seen

    def merged(self, other: "Windows") -> "Windows":
        """The higher count of both, as of the later one."""
        at = max(self.at, other.at)
        mine, theirs = self.as_of(at), other.as_of(at)
        return replace(
            mine,
            at=at,
            read=_most_used(mine.read, theirs.read),
            overall=_most_used(mine.overall, theirs.overall),
        )

    def closed(self, headers: Mapping[str, str], *, now: datetime, until: datetime) -> "Windows":
        return replace(self.observe(headers, now), closed_until=until)

    def opens_at(self, purpose: Purpose, now: datetime) -> datetime:
        if purpose == "token":
            return now
        rolled, share = self.as_of(now), SHARE[purpose]
        known = [one for one in (rolled.read, rolled.overall) if one is not None]
        opens = now
        if self.closed_until is not None and self.closed_until <= next_day(now):
            opens = self.closed_until  # a later time was saved while the clock ran ahead
        if any(one.day_used >= int(one.day * share) for one in known):
            opens = max(opens, next_day(now))
        elif any(one.quarter_used >= int(one.quarter * share) for one in known):
            opens = max(opens, next_quarter(now))
        return max(opens, now)

    def resets_at(self, now: datetime) -> datetime:
        """When calls are counted from zero again after a refusal: at midnight if the day's limit
        is used up.
        """
        rolled = self.as_of(now)
        known = [limit for limit in (rolled.read, rolled.overall) if limit is not None]
        day_gone = any(limit.day_used >= limit.day for limit in known)
        return next_day(now) if day_gone else next_quarter(now)


@dataclass(frozen=True, slots=True)
class Spacing(RateLimit):
    """One call a second over all athletes and workers, and none during a pause.

    Each call takes the next free instant; a caller that would have to wait for long retries
    later. `free_at` is the next free instant, `closed_until` ends a pause, and `refused` counts
    the pauses since a call last worked.
    """

    free_at: datetime | None = None
    closed_until: datetime | None = None
    refused: int = 0

    refusal = "{title} asks for a pause until {opens:%H:%M} UTC; nothing is lost until then"
    patience = timedelta(seconds=5)

    def reserve(self, purpose: Purpose, now: datetime) -> tuple[datetime, "Spacing"]:
        at = self.opens_at(purpose, now)
        return at, replace(self, free_at=at + CALL_EVERY)

    def opens_at(self, _: Purpose, now: datetime) -> datetime:
        known = (self.free_at, self.closed_until)
        # After a clock was set back, its earlier time must not be waited for.
        return max([now, *(at for at in known if at is not None and at - now <= LONGEST_PAUSE)])

    def observe(self, _: Mapping[str, str], now: datetime) -> "Spacing":  # noqa: ARG002  `RateLimit`'s
        return replace(self, refused=0)

    def closed(self, _: Mapping[str, str], *, now: datetime, until: datetime) -> "Spacing":
        """Doubles the pause after each further refusal."""
        pause = max(until - now, SHORTEST_PAUSE * (1 << min(self.refused, 8)))
        return replace(self, closed_until=now + min(pause, LONGEST_PAUSE), refused=self.refused + 1)


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


def asked_pause(retry_after: str | None, now: datetime) -> timedelta:
    """The pause that `Retry-After` asks for, between a minute and four hours."""
    asked = SHORTEST_PAUSE
    try:
        asked = timedelta(seconds=float(retry_after or ""))
    except (ValueError, OverflowError):
        try:
            until = parsedate_to_datetime(retry_after or "")
            asked = (until if until.tzinfo else until.replace(tzinfo=UTC)) - now
        except (TypeError, ValueError):
            pass
    return min(max(asked, SHORTEST_PAUSE), LONGEST_PAUSE)
