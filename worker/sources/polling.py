"""What to ask a polled source next, and what its answers prove. Pure.

This is the same for every service that lists activities newest first in pages. A page proves that
everything that began since its last row was shown, however short the page is, so one call is
enough for a quiet poll. If the order is violated, only an empty page proves anything. A hidden
start is shown up to a day too early, so each proof allows for a day.

    each poll       the newest, down to a week before the last poll
    once a day      the same down to 42 days, because edits and privacy changes cause no event
    between polls   history, a page at a time, from where reading stopped back to the wanted day
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from worker.sources.base import ListedActivity

OVERLAP = timedelta(days=7)
LOOK_BACK = timedelta(days=42)
LOOK_BACK_EVERY = timedelta(days=1)
SLACK = timedelta(days=1)
DOUBT = timedelta(days=1)
"""How long it isn't believed if a source suddenly shows much less."""

LONGEST_POLL_PAUSE = timedelta(hours=4)
FIRST_TRY_AGAIN, LAST_TRY_AGAIN = timedelta(seconds=20), timedelta(minutes=5)
TRIED_OFTEN_FOR = timedelta(hours=1)
"""After this time without an answer, a service is tried less often, to save calls."""
QUIET_PAGE = 30

_FEW = 3
_EVER = datetime.fromtimestamp(0, UTC)
"""Before anybody's first activity, and a date that every database supports."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one athlete's activities have been read; a new one has read nothing.

    `read_until` is when the newest were last read without a gap, `read_back_to` how far back
    everything was shown, `looked_back_at` when the 42 days were last read again, and `doubted_at`
    since when the source shows so little that it is doubted. `failures` counts consecutive
    failures.
    """

    read_until: datetime | None = None
    read_back_to: datetime | None = None
    looked_back_at: datetime | None = None
    doubted_at: datetime | None = None
    failures: int = 0

    def history_is_due(self, now: datetime, reach: timedelta) -> bool:
        """True if the history isn't read yet as far back as wanted."""
        return self.read_back_to is not None and self.read_back_to > now - reach

    def unread_days(self, now: datetime, reach: timedelta) -> int:
        """How many days of the wanted history aren't read yet."""
        if self.read_back_to is None:
            return reach.days
        return max(0, (self.read_back_to - (now - reach)).days)


@dataclass(frozen=True, slots=True)
class Window:
    """The newest activities down to `since`, in pages of `page_size`.

    `looks_back`: this is the daily poll that reads the 42 days again.
    """

    since: datetime
    page_size: int
    looks_back: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """What the pages read so far have shown; everything that began since `reached` was shown.

    `stuck` means that the last page showed nothing new, so more pages would never end.
    """

    ids: frozenset[str] = frozenset()
    pages: int = 0
    reached: datetime | None = None
    earliest_at: datetime | None = None
    in_order: bool = True
    stuck: bool = False

    def with_page(self, rows: Sequence[ListedActivity]) -> "Shown":
        """With one more page."""
        ids = self.ids | {row.external_id for row in rows if row.external_id}
        shown = replace(self, ids=ids, pages=self.pages + 1)
        if not rows:
            return replace(shown, reached=_EVER)
        if ids == self.ids:
            return replace(shown, stuck=True)
        earliest_at, in_order = self.earliest_at, self.in_order
        for start in (row.started_at for row in rows if row.started_at is not None):
            in_order &= earliest_at is None or start <= earliest_at + SLACK
            earliest_at = start if earliest_at is None else min(start, earliest_at)
        reached = earliest_at + SLACK if in_order and earliest_at is not None else None
        return replace(shown, in_order=in_order, earliest_at=earliest_at, reached=reached)

    def covers(self, window: Window) -> bool:
        """True if the window has been read completely."""
        return self.reached is not None and self.reached <= window.since


def newest(
    standing: Standing, *, now: datetime, reach: timedelta, largest_page: int = 200
) -> Window:
    """What the next poll reads, in pages no larger than the source allows."""
    read_until = standing.read_until
    looked_back_at = standing.looked_back_at
    look_back = looked_back_at is None or now - looked_back_at >= LOOK_BACK_EVERY
    since = (read_until or now) - OVERLAP
    if look_back:
        since = min(since, now - LOOK_BACK)
    page_size = largest_page if look_back else min(QUIET_PAGE, largest_page)
    return Window(max(since, now - reach), page_size, look_back)


def after_newest(standing: Standing, shown: Shown, window: Window, *, now: datetime) -> Standing:
    """The standing after a poll, whether it was complete or cut short."""
    standing = replace(standing, failures=0)
    reached = shown.reached
    if reached is None:
        return standing
    if standing.read_until is None:
        # The first poll counts from its first page on: everything older is history.
        covered = shown.covers(window)
        return replace(
            standing, read_until=now, read_back_to=reached, looked_back_at=now if covered else None
        )
    if not shown.covers(window):
        return standing
    looked_back = window.looks_back or window.since <= now - LOOK_BACK
    return replace(
        standing,
        read_until=now,
        read_back_to=min(standing.read_back_to or reached, reached),
        looked_back_at=now if looked_back else standing.looked_back_at,
    )


def after_history(standing: Standing, rows: Sequence[ListedActivity]) -> Standing:
    """The standing after a page of what began before `read_back_to`.

    Such a page shows the last day again; one that shows nothing older is the end of the list.
    """
    if standing.read_back_to is None:
        return standing
    starts = [row.started_at for row in rows if row.started_at is not None]
    oldest_at = min(starts, default=None)
    if oldest_at is None or oldest_at >= standing.read_back_to - SLACK:
        return replace(standing, read_back_to=_EVER, failures=0)
    return replace(standing, read_back_to=oldest_at + SLACK, failures=0)


def vanished(
    shown: Shown, known: Mapping[str, datetime], standing: Standing, *, now: datetime
) -> tuple[frozenset[str], Standing]:
    """Which known activities are gone from the source, and the standing with its doubts.

    `known` gives their starts. An activity is gone if it must have been shown and wasn't. If more
    than half of several, or all, are suddenly gone, this is believed only if it's still so a day
    later, because a faulty service mustn't empty a runner's history.
    """
    if shown.reached is None:
        return frozenset(), standing
    expected = {name for name, began_at in known.items() if began_at >= shown.reached}
    gone = frozenset(expected - shown.ids)
    suspicious = bool(gone) and (not shown.ids or len(gone) > max(_FEW, len(expected) / 2))
    if not suspicious:
        return gone, replace(standing, doubted_at=None)
    if standing.doubted_at is None:
        return frozenset(), replace(standing, doubted_at=now)
    if now - standing.doubted_at < DOUBT:
        return frozenset(), standing
    return gone, replace(standing, doubted_at=None)


def is_long_away(away_since: datetime, now: datetime) -> bool:
    """Whether an outage has lasted so long that the service is tried less often."""
    return now - away_since > TRIED_OFTEN_FOR


def next_try_at(began: datetime, now: datetime, *, away_since: datetime) -> datetime:
    """When to try a service again during an outage, after a call that `began` then.

    Soon after that begin at first, and every few minutes after an hour.
    """
    return now + LAST_TRY_AGAIN if is_long_away(away_since, now) else began + FIRST_TRY_AGAIN


def fails_alone(failures: int, now: datetime, *, away_since: datetime) -> bool:
    """Whether others were answered between this athlete's consecutive failures.

    This is so if there are more failures than fit into the time since the outage began.
    """
    return failures * FIRST_TRY_AGAIN > now - away_since + FIRST_TRY_AGAIN


def next_try_alone_at(now: datetime, *, failures: int) -> datetime:
    """When to try again if only this athlete's calls aren't answered, with growing pauses."""
    return now + min(FIRST_TRY_AGAIN * (1 << min(failures - 1, 16)), LAST_TRY_AGAIN)


def next_poll_at(
    now: datetime,
    *,
    every: timedelta,
    jitter: float,
    failures: int = 0,
    not_before: datetime | None = None,
) -> datetime:
    """When to poll this athlete again. `jitter`, between 0 and 1, spreads the athletes.

    Up to a fifth sooner than `every` but never later, so that a check every `every` always finds
    it due. The time doubles after each consecutive failure, up to four hours. Never before
    `not_before`, when a rate limit opens.
    """
    pause = min(every * (1 << min(failures, 16)), max(LONGEST_POLL_PAUSE, every))
    at = now + pause * (1 - jitter / 5)
    if not_before is None:
        return at
    return max(at, not_before + timedelta(seconds=60) * jitter)
