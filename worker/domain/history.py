"""Arithmetic over runs: sessions, sums, longest, breaks, baselines. Pure.

A `History` is built once from runs in any order. Each query then costs as much as the days it asks
about, however long the history is. Spans of days are closed: `first` and `last` both count. Sums
are in whole millimetres, so that the difference of two sums is exact and the order of adding
doesn't matter. A `Baseline` is what a rule compares a day with; `detector` and `planner` decide
what is too much.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate, pairwise
from operator import attrgetter, sub
from typing import Final, Self

from worker.domain.models import METRES_PER, Run, Session
from worker.domain.rules import Rules
from worker.domain.shown import counted

MM: Final = 1000
"""Millimetres in a metre."""

TOLERANCE_M: Final = 0.001
"""A millimetre: what two floats may differ by and still mean the same distance."""

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
        """The number of days without a run."""
        return (self.returned_on - self.last_run_on).days - 1


@dataclass(frozen=True, slots=True)
class Return:
    """The return after `rest`, which may include stray runs; `returned_on` is the first run back.

    `before` is the first and last of the days before the break whose longest session counts, and
    `runs_before` the number of sessions on them. `share` of that session is the reference.
    """

    rest: Break
    returned_on: date
    before: tuple[date, date]
    runs_before: int
    share: float


_MOMENT: Final = attrgetter("day", "started_at", "distance_m", "id")


def counted_m(run: Run, *, rules: Rules) -> float:
    """The metres that a run counts as: its distance and, if the rules say so, its climb."""
    if not (rules.climb_m_per_km and run.ascent_m):
        return run.distance_m
    return run.distance_m + run.ascent_m * METRES_PER["km"] / rules.climb_m_per_km


def sessions(runs: Iterable[Run], *, rules: Rules) -> tuple[Session, ...]:
    """Runs of one day less than `session_gap_min` apart, joined into sessions, oldest first.

    A session never spans midnight, because tomorrow's runs must not change today's judgement.
    Runs that start at the same instant have no known hour (entered by hand, or with a hidden
    start) and stay apart. The same run given twice counts once.
    """
    found: list[list[Run]] = []
    for run in sorted(runs, key=_MOMENT):
        last = found[-1] if found and found[-1][0].day == run.day else None
        if last is None:
            found.append([run])
        elif run.started_at == last[-1].started_at:
            if run != last[-1]:
                found.append([run])
        else:
            ended_at = max(
                one.started_at.timestamp() + (one.elapsed_s or one.moving_s or 0.0) for one in last
            )
            if run.started_at.timestamp() - ended_at < rules.session_gap_min * 60:
                last.append(run)
            else:
                found.append([run])
    return tuple(
        Session(
            day=group[0].day,
            started_at=group[0].started_at,
            distance_m=(
                counted_m(group[0], rules=rules)
                if len(group) == 1
                else math.fsum([counted_m(run, rules=rules) for run in group])
            ),
            runs=tuple(group),
        )
        for group in found
    )


@dataclass(frozen=True, slots=True)
class History:
    """A runner's sessions, oldest first, with cumulative sums that make queries cheap.

    `_ordinals` are the sessions' days as ordinals. `_until_mm[i]` is the sum of all sessions before
    the i-th day of the history.
    """

    sessions: tuple[Session, ...]
    _ordinals: tuple[int, ...]
    _until_mm: tuple[int, ...]

    @classmethod
    def of(cls, runs: Iterable[Run], *, rules: Rules) -> Self:
        """The history of these runs, given in any order and already cleaned."""
        found = sessions(runs, rules=rules)
        ordinals = tuple(session.day.toordinal() for session in found)
        if not found:
            return cls((), (), (0,))
        daily_mm = [0] * (ordinals[-1] - ordinals[0] + 1)
        for ordinal, session in zip(ordinals, found, strict=True):
            daily_mm[ordinal - ordinals[0]] += round(session.distance_m * MM)
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
        """Days from the first run to `day`; 0 if there is no run before it."""
        return max(0, day.toordinal() - self._ordinals[0]) if self._ordinals else 0

    def between(self, first: date, last: date) -> tuple[Session, ...]:
        """The sessions of these days."""
        begin = bisect_left(self._ordinals, first.toordinal())
        end = bisect_right(self._ordinals, last.toordinal(), lo=begin)
        return self.sessions[begin:end]

    def longest(self, first: date, last: date) -> Session | None:
        """The longest session of these days; the earliest if several are equally long."""
        return max(self.between(first, last), key=attrgetter("distance_m"), default=None)

    def sum_m(self, first: date, last: date) -> float:
        """Metres of these days."""
        return self.sums_mm(last, last, days=max(0, (last - first).days + 1))[0] / MM

    def sums_mm(self, first: date, last: date, *, days: int) -> list[int]:
        """For each of these days, the millimetres of the `days` days that end with it."""
        begin, end = first.toordinal() + 1, last.toordinal() + 2
        return list(map(sub, self._until(begin, end), self._until(begin - days, end - days)))

    def largest_sum(self, first: date, last: date, *, days: int) -> tuple[float, date]:
        """The largest sum of `days` consecutive days in this span, in metres, and its last day."""
        earliest_end = first + timedelta(days=days - 1)
        sums_mm = self.sums_mm(earliest_end, last, days=days)
        most_mm = max(sums_mm)
        return most_mm / MM, earliest_end + timedelta(days=sums_mm.index(most_mm))

    def _until(self, begin: int, end: int) -> Sequence[int]:
        """Millimetres run before each of the days with ordinals `begin` to `end` - 1."""
        if not self._ordinals:
            return [0] * (end - begin)
        born = self._ordinals[0]
        known = self._until_mm[max(0, begin - born) : max(0, end - born)]
        missing = end - begin - len(known)
        if not missing:
            return known
        unborn = min(max(0, born - begin), end - begin)
        return [0] * unborn + list(known) + [self._until_mm[-1]] * (missing - unborn)

    def return_from(
        self, day: date, *, rules: Rules, watch_days: int | None = None
    ) -> Return | None:
        """The return that a run on `day` would be part of, or None.

        It lasts for `watch_days` from the first run back, by default those of the return rule.
        """
        return return_from(self._ordinals, day.toordinal(), rules=rules, watch_days=watch_days)


IN_THE_FUTURE = "it is dated in the future"
"""The only reason that stops applying with time."""


def implausible(run: Run, *, today: date, rules: Rules | None = None) -> str | None:
    """Why a run is implausible, in words, or None. Such a run is shown and never counted.

    `today` is the athlete's day. A run is in the future only if its local day and its UTC day both
    are, because the local day of somebody who travels east may be tomorrow.
    """
    rules = rules or Rules()
    if not (math.isfinite(run.distance_m) and run.distance_m > 0):
        return "it has no distance"
    if run.day.year < rules.plausible_since_year:
        return f"it is dated before {rules.plausible_since_year}"
    if run.day > today and run.started_at.date() > today:
        return IN_THE_FUTURE
    if run.distance_m > rules.plausible_max_m:
        return f"it is longer than {rules.plausible_max_m / METRES_PER['km']:g} km"
    seconds = run.moving_s or run.elapsed_s
    if seconds and seconds < record_s(run.distance_m):
        return "it is faster than the world record over its distance"
    return None


def record_s(distance_m: float) -> float:
    """Seconds of the world record over a distance, interpolated between records by a power law.

    Outside the table, the speed of the nearest record is used.
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
class Baseline:
    """What a runner is prepared for according to one rule: `distance_m`, reached on `against`.

    `unknown` says in words why the figure can't be trusted, or is None. `rest` is the break before
    a return.
    """

    distance_m: float | None = None
    against: date | None = None
    unknown: str | None = None
    rest: Break | None = None


def run_baseline(history: History, day: date, *, rules: Rules) -> Baseline:
    """The longest session of the window before `day`."""
    before = history.between(*days_before(day, rules.run_window_days))
    unknown = _too_young(history, day, "run_history_days", rules.run_history_days)
    if not unknown and len(before) < max(1, rules.run_min_runs):
        unknown = (
            f"too few runs in the {counted(rules.run_window_days, 'day')} before: "
            f"{len(before)} (run_min_runs = {rules.run_min_runs})"
        )
    if not before:
        return Baseline(unknown=unknown)
    longest = max(before, key=attrgetter("distance_m"))
    return Baseline(longest.distance_m, longest.day, unknown)


def ramp_baseline(history: History, day: date, *, before: date, rules: Rules) -> Baseline:
    """The largest sum of `ramp_days` consecutive days in the window that ends before `before`.

    `day` is the day that is judged: it determines whether there is enough history.
    """
    unknown = _too_young(history, day, "ramp_history_days", rules.ramp_history_days)
    window = days_before(before, rules.ramp_window_days)
    return _sum_baseline(
        history, window, rules.ramp_days, unknown, least=("ramp_min_m", rules.ramp_min_m)
    )


def month_baseline(history: History, day: date, *, before: date, rules: Rules) -> Baseline:
    """The largest sum of `month_days` consecutive days in the window that ends before `before`."""
    unknown = _too_young(history, day, "month_history_days", rules.month_history_days)
    window = days_before(before, rules.month_window_days)
    return _sum_baseline(
        history, window, rules.month_days, unknown, least=("month_min_m", rules.month_min_m)
    )


def month_left_m(history: History, day: date, *, rules: Rules) -> float | None:
    """What a recent break has left of the month before it, in metres; None without such a break.

    It is the share that the return rule leaves of the longest run.
    """
    back = history.return_from(day, rules=rules, watch_days=rules.month_return_days)
    if back is None or back.runs_before < rules.return_min_runs:
        return None
    last = back.rest.last_run_on
    return back.share * history.sum_m(last - timedelta(days=rules.month_days - 1), last)


def _sum_baseline(
    history: History,
    window: tuple[date, date],
    days: int,
    unknown: str | None,
    *,
    least: tuple[str, float],
) -> Baseline:
    largest_m, last = history.largest_sum(*window, days=days)
    if not unknown and largest_m < least[1] - TOLERANCE_M:
        unknown = (
            f"too little running before: {largest_m:.0f} m in the largest {counted(days, 'day')} "
            f"({least[0]} = {least[1]:.0f})"
        )
    return Baseline(largest_m, last, unknown) if largest_m else Baseline(unknown=unknown)


def return_baseline(history: History, day: date, *, rules: Rules) -> Baseline:
    """The reference of a session on `day` after a break.

    It is the longest session before the break times a share that falls with the break's length,
    or the longest session since the return if that is more.
    """
    back = history.return_from(day, rules=rules)
    if back is None:
        return Baseline(
            unknown=f"no break of {counted(rules.return_break_days, 'day')} or more "
            f"ended in the last {counted(rules.return_watch_days, 'day')}"
        )
    unknown = None
    if back.runs_before < rules.return_min_runs:
        unknown = (
            f"too few runs in the {counted(rules.return_before_days, 'day')} before the break: "
            f"{back.runs_before} (return_min_runs = {rules.return_min_runs})"
        )
    longest = max(history.between(*back.before), key=attrgetter("distance_m"))
    distance_m, against = longest.distance_m * back.share, longest.day
    since = history.longest(back.returned_on, day - timedelta(days=1))
    if since and since.distance_m > distance_m:
        distance_m, against = since.distance_m, since.day
    return Baseline(distance_m, against, unknown, back.rest)


def _too_young(history: History, day: date, key: str, days: int) -> str | None:
    age_days = history.age_days(day)
    if age_days >= days:
        return None
    return f"too little history: {counted(age_days, 'day')} ({key} = {days})"


def breaks(
    ordinals: Sequence[int], day: int, *, min_days: int, watch_days: int
) -> tuple[Break, ...]:
    """The breaks that a run on `day` would still be a return from, the latest first.

    `ordinals` are the sorted days with runs, and `day` is one too; it need not be among them. A
    break counts if the first run after it was on one of the `watch_days` that end with `day`.
    """
    since = day - watch_days + 1
    begin = max(0, bisect_left(ordinals, since) - 1)
    days = [*ordinals[begin : bisect_right(ordinals, day)], day]
    return tuple(
        Break(date.fromordinal(last), date.fromordinal(back))
        for last, back in reversed(list(pairwise(days)))
        if back >= since and back - last > min_days
    )


def return_from(
    ordinals: Sequence[int], day: int, *, rules: Rules, watch_days: int | None = None
) -> Return | None:
    """Like `History.return_from`, for the sorted ordinals of days with runs."""
    watch_days = rules.return_watch_days if watch_days is None else watch_days
    rests = breaks(ordinals, day, min_days=rules.return_break_days, watch_days=watch_days)
    if not rests:
        return None
    rest = _whole_break(ordinals, rests[0], rules=rules)
    if rest.days <= rules.return_short_days:
        share = rules.return_short_share
    elif rest.days <= rules.return_medium_days:
        share = rules.return_medium_share
    else:
        share = rules.return_long_share
    return Return(
        rest,
        rests[0].returned_on,
        (rest.last_run_on - timedelta(days=rules.return_before_days - 1), rest.last_run_on),
        _runs_before(ordinals, rest, rules=rules),
        share,
    )


def _whole_break(ordinals: Sequence[int], rest: Break, *, rules: Rules) -> Break:
    """The break including stray runs: one run in March doesn't end a winter break.

    If there are too few runs before the break, and another break before those, the two are
    joined, repeatedly. If no break of up to a year has enough runs before it, `rest` is returned.
    """
    whole = rest
    while _runs_before(ordinals, whole, rules=rules) < rules.return_min_runs:
        earlier = breaks(
            ordinals,
            whole.last_run_on.toordinal(),
            min_days=rules.return_break_days,
            watch_days=rules.return_before_days,
        )
        if not earlier:
            return rest
        whole = Break(earlier[0].last_run_on, rest.returned_on)
        if whole.days > rules.return_whole_days:
            return rest
    return whole


def _runs_before(ordinals: Sequence[int], rest: Break, *, rules: Rules) -> int:
    last = rest.last_run_on.toordinal()
    return bisect_right(ordinals, last) - bisect_left(ordinals, last - rules.return_before_days + 1)


def days_before(day: date, count: int) -> tuple[date, date]:
    """The first and the last of the `count` days before `day`."""
    return day - timedelta(days=count), day - timedelta(days=1)


def week_start(day: date, week_starts: int) -> date:
    """The first day of the week with `day` in it; `week_starts` is 0 for Monday, 6 for Sunday."""
    return day - timedelta(days=(day.weekday() - week_starts) % 7)
