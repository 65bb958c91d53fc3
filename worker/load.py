"""Arithmetic over runs: sessions, sums, longest, breaks, volumes. Pure, and without opinions.

A `History` is built once from runs in any order and then answers each question at the cost of
the days asked about, however long the runner's life has been. Spans of days are closed: `first`
and `last` both count. Sums are kept in whole millimetres, so that the difference of two sums is
exact and no order of adding can show. What is too much is not decided here (see `detect`).
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate, groupby, pairwise
from operator import attrgetter
from typing import Final, Self

from worker.model import Run, Session
from worker.rules import Rules

_MM: Final = 1000

WORLD_RECORDS: Final = (
    (100.0, 9.58),
    (200.0, 19.19),
    (400.0, 43.03),
    (800.0, 100.91),
    (1000.0, 131.96),
    (1500.0, 206.00),
    (1609.344, 223.13),
    (2000.0, 283.13),
    (3000.0, 437.55),
    (5000.0, 755.36),
    (10_000.0, 1571.00),
    (21_097.5, 3402.0),
    (42_195.0, 7235.0),
    (50_000.0, 9523.0),
    (100_000.0, 21_935.0),
    (160_934.4, 39_099.0),
    (319_614.0, 86_400.0),
)
"""Metres and seconds of the best ever run on foot, track or road (World Athletics, IAU)."""


@dataclass(frozen=True, slots=True)
class Break:
    """`days` in a row without a run, after `last_run_on`; running again on `returned_on`."""

    last_run_on: date
    returned_on: date

    @property
    def days(self) -> int:
        """The days on which there was no run."""
        return (self.returned_on - self.last_run_on).days - 1


def sessions(runs: Iterable[Run], *, gap_min: float) -> tuple[Session, ...]:
    """Runs of one day less than `gap_min` minutes apart, as the efforts they were, oldest first.

    A session never reaches over midnight: what happens tomorrow must not change what was judged
    today. Runs that start at the very same instant have no known hour (an entry by hand, a
    start hidden by its source) and stay apart, as do runs marked `hidden_start`.
    """
    ordered = sorted(runs, key=_moment)
    found: list[Session] = []
    for _, same_day in groupby(ordered, key=attrgetter("day")):
        group: list[Run] = []
        for run in same_day:
            if group and not _joins(group, run, gap_min=gap_min):
                found.append(_session(group))
                group = []
            group.append(run)
        found.append(_session(group))
    return tuple(found)


def _moment(run: Run) -> tuple[object, ...]:
    return (run.day, run.started_at, run.distance_m, run.id)


def _joins(group: Sequence[Run], run: Run, *, gap_min: float) -> bool:
    previous = group[-1]
    if run.hidden_start or previous.hidden_start or run.started_at == previous.started_at:
        return False
    ended_at = max(_ended_at(earlier) for earlier in group)
    return (run.started_at.timestamp() - ended_at) < gap_min * 60


def _ended_at(run: Run) -> float:
    return run.started_at.timestamp() + (run.elapsed_s or run.moving_s or 0.0)


def _session(group: Sequence[Run]) -> Session:
    return Session(
        day=group[0].day,
        started_at=group[0].started_at,
        distance_m=sum(round(run.distance_m * _MM) for run in group) / _MM,
        runs=tuple(group),
    )


@dataclass(frozen=True, slots=True)
class History:
    """A runner's sessions, oldest first, with the sums that make questions about them cheap.

    `_ordinals` are the sessions' days as numbers; `_until_mm[i]` is the sum of all before the
    i-th day of the history.
    """

    sessions: tuple[Session, ...]
    _ordinals: tuple[int, ...]
    _until_mm: tuple[int, ...]

    @classmethod
    def of(cls, runs: Iterable[Run], *, rules: Rules) -> Self:
        """The history of these runs, given in any order and already cleaned."""
        found = sessions(runs, gap_min=rules.session_gap_min)
        ordinals = tuple(session.day.toordinal() for session in found)
        if not found:
            return cls((), (), (0,))
        daily_mm = [0] * (ordinals[-1] - ordinals[0] + 1)
        for ordinal, session in zip(ordinals, found, strict=True):
            daily_mm[ordinal - ordinals[0]] += round(session.distance_m * _MM)
        return cls(found, ordinals, tuple(accumulate(daily_mm, initial=0)))

    @property
    def first_day(self) -> date | None:
        """The day of the first run."""
        return self.sessions[0].day if self.sessions else None

    @property
    def last_day(self) -> date | None:
        """The day of the last run."""
        return self.sessions[-1].day if self.sessions else None

    def days(self) -> tuple[date, ...]:
        """The days with a run, oldest first."""
        return tuple(dict.fromkeys(session.day for session in self.sessions))

    def age_days(self, day: date) -> int:
        """Days from the first run to `day`; 0 where there is no run before it."""
        return max(0, day.toordinal() - self._ordinals[0]) if self._ordinals else 0

    def between(self, first: date, last: date) -> tuple[Session, ...]:
        """The sessions of these days."""
        begin = bisect_left(self._ordinals, first.toordinal())
        end = bisect_right(self._ordinals, last.toordinal(), lo=begin)
        return self.sessions[begin:end]

    def longest(self, first: date, last: date) -> Session | None:
        """The longest session of these days; of equals the earliest."""
        return max(self.between(first, last), key=attrgetter("distance_m"), default=None)

    def sum_m(self, first: date, last: date) -> float:
        """Metres of these days."""
        return self._sum_mm(first.toordinal(), last.toordinal()) / _MM

    def sums_m(self, first: date, last: date, *, days: int) -> list[float]:
        """For each of these days the metres of the `days` that end with it."""
        ends = range(first.toordinal(), last.toordinal() + 1)
        return [self._sum_mm(end - days + 1, end) / _MM for end in ends]

    def largest_sum(self, first: date, last: date, *, days: int) -> tuple[float, date]:
        """The largest sum of `days` in a row inside these days, and the last of those days."""
        ends = range(first.toordinal() + days - 1, last.toordinal() + 1)
        most_mm, end = max((self._sum_mm(end - days + 1, end), -end) for end in ends)
        return most_mm / _MM, date.fromordinal(-end)

    def _sum_mm(self, first: int, last: int) -> int:
        if not self._ordinals:
            return 0
        born = self._ordinals[0]
        top = len(self._until_mm) - 1
        begin = min(max(first - born, 0), top)
        end = min(max(last - born + 1, 0), top)
        return self._until_mm[end] - self._until_mm[begin] if end > begin else 0

    def breaks(self, day: date, *, min_days: int, watch_days: int) -> tuple[Break, ...]:
        """The breaks that a run on `day` would still be a return from, the latest first.

        A break counts if the first run after it was on one of the `watch_days` that end with
        `day`; where `day` itself has no run, as if there were one.
        """
        since = day.toordinal() - watch_days + 1
        begin = max(0, bisect_left(self._ordinals, since) - 1)
        end = bisect_right(self._ordinals, day.toordinal())
        days = [*self._ordinals[begin:end], day.toordinal()]
        return tuple(
            Break(date.fromordinal(last), date.fromordinal(back))
            for last, back in reversed(list(pairwise(days)))
            if back >= since and back - last > min_days
        )


def implausible(run: Run, *, today: date, rules: Rules | None = None) -> str | None:
    """Why a run can't be true, in words, or None. Such a run is shown and never counted.

    `today` is the athlete's day. A run is in the future only if it is so by the athlete's
    calendar and by that of Greenwich: who travels east runs tomorrow without lying.
    """
    rules = rules or Rules()
    if not (math.isfinite(run.distance_m) and run.distance_m > 0):
        return "it has no distance"
    if run.day.year < rules.plausible_since_year:
        return f"it is dated before {rules.plausible_since_year}"
    if run.day > today and run.started_at.date() > today:
        return "it is dated in the future"
    if run.distance_m > rules.plausible_max_m:
        return f"it is longer than {rules.plausible_max_m / 1000:g} km"
    seconds = run.moving_s or run.elapsed_s
    if seconds and seconds < record_s(run.distance_m):
        return "it is faster than the world record over its distance"
    return None


def record_s(distance_m: float) -> float:
    """Seconds of the world record over a distance; between two distances a power law joins them.

    Outside the table the speed of its nearest record holds.
    """
    shortest_m, shortest_s = WORLD_RECORDS[0]
    if distance_m <= shortest_m:
        return shortest_s * distance_m / shortest_m
    for (near_m, near_s), (far_m, far_s) in pairwise(WORLD_RECORDS):
        if distance_m <= far_m:
            power = math.log(far_s / near_s) / math.log(far_m / near_m)
            return near_s * float((distance_m / near_m) ** power)
    farthest_m, farthest_s = WORLD_RECORDS[-1]
    return farthest_s * distance_m / farthest_m


@dataclass(frozen=True, slots=True)
class Reference:
    """What a runner back from a break is prepared for: `distance_m`, ran on `against`.

    `runs_before` are the sessions in the weeks before the break; with too few of them the
    distance rests on too little (`Rules.return_min_runs`).
    """

    rest: Break
    distance_m: float
    against: date
    runs_before: int


def return_reference(history: History, day: date, *, rules: Rules) -> Reference | None:
    """The reference that a session on `day` is held against, or None outside a return.

    It is the longest session before the break times a share that falls with the break's length,
    or the longest since the return where that is more. Of several breaks that `day` is still a
    return from, the latest with enough runs before it counts.
    """
    rests = history.breaks(
        day, min_days=rules.return_break_days, watch_days=rules.return_watch_days
    )
    found = [_reference(history, day, rest, rules=rules) for rest in rests]
    enough = (one for one in found if one.runs_before >= rules.return_min_runs)
    return next(enough, found[0] if found else None)


def _reference(history: History, day: date, rest: Break, *, rules: Rules) -> Reference:
    first = rest.last_run_on - timedelta(days=rules.return_before_days - 1)
    before = history.between(first, rest.last_run_on)
    longest = max(before, key=attrgetter("distance_m"))
    if rest.days <= rules.return_short_days:
        share = rules.return_short_share
    elif rest.days <= rules.return_medium_days:
        share = rules.return_medium_share
    else:
        share = rules.return_long_share
    distance_m, against = longest.distance_m * share, longest.day
    since = history.longest(rest.returned_on, day - timedelta(days=1))
    if since and since.distance_m > distance_m:
        distance_m, against = since.distance_m, since.day
    return Reference(rest, distance_m, against, len(before))


def days_before(day: date, count: int) -> tuple[date, date]:
    """The first and the last of the `count` days before `day`."""
    return day - timedelta(days=count), day - timedelta(days=1)
