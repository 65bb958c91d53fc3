"""What was run, and how much of it the body has absorbed: what a plan builds on. Pure.

A session is *absorbed* in full, but at most up to the limit that the rules had for its day. A jump
thus counts only as far as was allowed, until it was run twice. The absorbed sessions give *L*, the
long run that the next one builds on, and *A*, the week that the next one builds on. A planned
session is added like a real one, so a plan of many weeks uses the same arithmetic.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from itertools import accumulate
from math import inf
from operator import sub
from statistics import fmean, median
from typing import Final, Self

from worker.domain.history import History, Return, return_from
from worker.domain.models import Session
from worker.domain.rules import Rules

WEEKS_BEFORE: Final = 4
"""The number of weeks before a week from which it is planned."""

WEEK_DAYS: Final = 7

STEP_M: Final = 10
"""Distances in plans are multiples of ten metres."""

_REMEMBERED: Final = 250
"""The number of sessions before the plan that are considered; earlier ones have no influence."""


class Load:
    """What was run, and how much of it was absorbed: both distances of each session, by day.

    A session is absorbed up to the limit of its day, so a jump counts only as far as was allowed.
    A planned session is added like one that was run. Days are ordinals.
    """

    def __init__(self, first_day: int, rules: Rules) -> None:
        self._first_day = first_day
        self.rules = rules
        self.days: list[int] = []
        self._run_m: list[float] = []
        self._absorbed_m: list[float] = []
        self._returned_on: list[int] = []
        # Cached, because several rules ask for each week.
        self._weeks_m: dict[tuple[int, int], list[float]] = {}
        self._week_most_m: dict[int, float] = {}

    @classmethod
    def of(cls, history: History, until: date, *, rules: Rules) -> Self:
        """The load of the sessions before the day `until`."""
        first = history.first_day or until
        load = cls(first.toordinal(), rules)
        for session in history.between(first, until - timedelta(days=1))[-_REMEMBERED:]:
            load.add(session.day.toordinal(), session.distance_m)
        return load

    def and_of(self, sessions: Iterable[Session]) -> "Load":
        """A copy with these sessions added, none of which is earlier than the last one in it."""
        load = self.copy()
        for session in sessions:
            load.add(session.day.toordinal(), session.distance_m)
        return load

    def copy(self) -> "Load":
        load = Load(self._first_day, self.rules)
        load.days, load._run_m = self.days.copy(), self._run_m.copy()
        load._absorbed_m = self._absorbed_m.copy()
        load._returned_on = self._returned_on.copy()
        return load

    def add(self, day: int, metres: float) -> None:
        """Add a session. Its day must not be earlier than that of the last session."""
        self._absorbed_m.append(min(metres, self._limit_m(day)))
        self._run_m.append(metres)
        if self.days and day - self.days[-1] > self.rules.return_break_days:
            self._returned_on.append(day)
        self.days.append(day)
        if self._weeks_m:
            self._weeks_m.clear()
        if self._week_most_m:
            self._week_most_m.clear()

    def _limit_m(self, day: int) -> float:
        """How much of a session on `day` is absorbed at most; infinite if no session precedes it.

        Until the rule for single runs applies, the limit is based on what was run: too little is
        known to say how much of it was absorbed.
        """
        rules, most_m = self.rules, inf
        first = bisect_left(self.days, day - rules.run_window_days)
        end = bisect_left(self.days, day, lo=first)
        if first < end:
            is_old = day - self._first_day >= rules.run_history_days
            has_rule = is_old and end - first >= rules.run_min_runs
            longest_m = max((self._absorbed_m if has_rule else self._run_m)[first:end])
            most_m = max(
                rules.run_over * longest_m, rules.run_min_m, longest_m + rules.run_excess_m
            )
        reference_m = self.reference_m(day)
        if reference_m is not None:
            back_m = max(
                rules.return_over * reference_m,
                rules.return_min_m,
                reference_m + rules.return_excess_m,
            )
            most_m = min(most_m, back_m)
        return most_m

    def absorbed_m(self, first: int, end: int) -> list[float]:
        """The absorbed metres of each session from the day `first` to the day before `end`."""
        begin = bisect_left(self.days, first)
        return self._absorbed_m[begin : bisect_left(self.days, end, lo=begin)]

    def return_from(self, day: int, *, watch_days: int | None = None) -> Return | None:
        """The return that a session on `day` would be part of, or None.

        It lasts for `watch_days` from the first run back, by default those of the return rule. Most
        days don't follow a break, which is known without searching the days before.
        """
        rules = self.rules
        watch_days = rules.return_watch_days if watch_days is None else watch_days
        end = bisect_right(self.days, day)
        is_break = end > 0 and day - self.days[end - 1] > rules.return_break_days
        if not is_break:
            if not self._returned_on:
                return None
            back = bisect_right(self._returned_on, day)
            if not back or self._returned_on[back - 1] <= day - watch_days:
                return None
        return return_from(self.days, day, rules=rules, watch_days=watch_days)

    def reference_m(self, day: int) -> float | None:
        """The reference of a session on `day`, or None if it isn't part of a return."""
        back = self.return_from(day)
        if back is None or back.runs_before < self.rules.return_min_runs:
            return None
        first, last = (one.toordinal() for one in back.before)
        before_m = back.share * max(self.absorbed_m(first, last + 1))
        return max([before_m, *self.absorbed_m(back.returned_on.toordinal(), day)])

    def long_m(self, day: int, begin: int) -> float:
        """L of a long run on `day` of the week that begins on the day `begin`; 0 if not known.

        It is the longest that was absorbed in thirty days, or the second-longest that was run if
        that is more: what was run twice counts in full. In a return it is at most the reference.
        """
        first = bisect_left(self.days, day - self.rules.run_window_days)
        end = bisect_left(self.days, begin)
        reference_m = self.reference_m(begin)
        if first >= end:
            return reference_m or 0.0
        longest_m = max(self._absorbed_m[first:end])
        if end - first > 1:
            longest_m = max(longest_m, sorted(self._run_m[first:end])[-2])
        return longest_m if reference_m is None else min(longest_m, reference_m)

    def is_fresh(self, day: int, begin: int) -> bool:
        """Whether there is no session before `begin` in the month before `day`."""
        return not self.absorbed_m(day - self.rules.run_window_days, begin)

    def weeks_m(self, begin: int, weeks: int = WEEKS_BEFORE) -> list[float]:
        """The absorbed metres of each of that many weeks before the day `begin`, oldest first."""
        known = self._weeks_m.get((begin, weeks))
        if known is None:
            edges = range(begin - weeks * WEEK_DAYS, begin, WEEK_DAYS)
            known = [sum(self.absorbed_m(first, first + WEEK_DAYS)) for first in edges]
            self._weeks_m[begin, weeks] = known
        return known

    def weeks_run_m(self, begin: int, weeks: int) -> list[float]:
        """The metres run in each of that many weeks before the day `begin`, oldest first."""
        until_m = self._until_m(begin - weeks * WEEK_DAYS, begin)[::WEEK_DAYS]
        return list(map(sub, until_m[1:], until_m))

    def longs_m(self, begin: int) -> list[float]:
        """The longest absorbed session of each of the four weeks before the day `begin`."""
        edges = range(begin - WEEKS_BEFORE * WEEK_DAYS, begin, WEEK_DAYS)
        return [max(self.absorbed_m(first, first + WEEK_DAYS), default=0.0) for first in edges]

    def week_m(self, begin: int) -> float:
        """A of the week that begins on the day `begin`; 0 if not known.

        It is the second-largest of the last four weeks, but not far above their mean. In a return
        it is a share of the weeks before the break, or the last week if that was more.
        """
        weeks_m = self.weeks_m(begin)
        back = self.return_from(begin)
        if back is not None and back.runs_before >= self.rules.return_min_runs:
            end = back.rest.last_run_on.toordinal() + 1
            before_m = sum(self.absorbed_m(end - WEEKS_BEFORE * WEEK_DAYS, end)) / WEEKS_BEFORE
            return max(back.share * before_m, min(weeks_m[-1], before_m))
        return min(sorted(weeks_m)[-2], self.rules.plan_absorbed_over * fmean(weeks_m))

    def long_share(self, begin: int) -> float:
        """The usual share of the long run in its week, in the four weeks before `begin`."""
        shares = [
            long_m / week_m
            for long_m, week_m in zip(self.longs_m(begin), self.weeks_m(begin), strict=True)
            if week_m
        ]
        least, most = self.rules.plan_long_share, self.rules.plan_long_share_most
        return min(max(median(shares or [0.0]), least), most)

    def usual_m(self, begin: int) -> float:
        """A of the week that begins on the day `begin`, within its ceiling."""
        return min(self.week_m(begin), self.week_most_m(begin))

    def week_most_m(self, begin: int) -> float:
        """The ceiling of the week that begins on the day `begin`."""
        known = self._week_most_m.get(begin)
        if known is None:
            known = self._week_most_m[begin] = self._ceiling_m(begin)
        return known

    def _ceiling_m(self, begin: int) -> float:
        rules, weeks_m = self.rules, self.weeks_m(begin)
        # Seven days that reach into this week are compared with those before the last week.
        oldest = begin - rules.ramp_window_days
        if not weeks_m[-1]:
            # In the first week back, leave out the oldest week, with which the next week won't
            # be compared.
            oldest += WEEK_DAYS
        edges = range(oldest, begin - WEEK_DAYS, WEEK_DAYS)
        sums_m = (sum(self.absorbed_m(first, first + WEEK_DAYS)) for first in edges)
        largest_m = max(sums_m, default=0.0)  # a short window has no such week
        base_m = max(largest_m, rules.ramp_min_m)
        rise_m = max(base_m * rules.ramp_over, base_m + rules.ramp_excess_m) - STEP_M
        if self.return_from(begin) is not None:
            return min(rules.plan_build_over * self.week_m(begin), rise_m)
        second_m, mean_m = sorted(weeks_m)[-2], fmean(weeks_m)
        return min(rules.plan_week_over * second_m, rules.plan_mean_over * mean_m, rise_m)

    def month_most_m(self, begin: int) -> float:
        """The most in the week that begins on `begin` without a month's rise on any of its days.

        The week is assumed to be run evenly. It is never less than an easy week.
        """
        month, window = self.rules.month_days, self.rules.month_window_days
        until_m = self._until_m(begin - month - window + 1, begin + WEEK_DAYS)
        months_m = list(map(sub, until_m[month:], until_m))
        after_break_m = self._month_after_break_m(begin + WEEK_DAYS - 1)
        most_m = inf
        for place in range(WEEK_DAYS):
            base_m = max(months_m[place : place + window - month + 1])
            is_old = begin + place - self._first_day >= self.rules.month_history_days
            if is_old and base_m >= self.rules.month_min_m:
                done_m = months_m[place + window]
                left_m = max(self._month_limit_m(base_m), after_break_m) - done_m
                most_m = min(most_m, left_m * WEEK_DAYS / (place + 1))
        return max(most_m, self.rules.plan_easy_week_share * self.usual_m(begin))

    def _month_limit_m(self, base_m: float) -> float:
        """The largest month that isn't a month's rise above `base_m`."""
        rules = self.rules
        excess_m = min(rules.month_excess_m, base_m)
        return max(rules.month_over * base_m, base_m + excess_m) - STEP_M

    def _month_after_break_m(self, day: int) -> float:
        """The largest month up to `day` that a recent break makes no rise; 0 without a break."""
        rules = self.rules
        back = self.return_from(day, watch_days=rules.month_return_days)
        if back is None or back.runs_before < rules.return_min_runs:
            return 0.0
        end = back.rest.last_run_on.toordinal() + 1
        before_m = self._until_m(end - rules.month_days, end)[-1]
        return rules.month_over * back.share * before_m - STEP_M

    def ramp_excess_m(self, runs: Sequence[tuple[int, float]]) -> float:
        """By how many metres seven days that end on a day of these runs exceed the limit of a ramp.

        The runs are those of a coming week, by day. Only weeks after a break are checked, because
        they differ in their number of runs, and `week_most_m` only considers whole weeks. 0 if
        none do.
        """
        rules, days = self.rules, self.rules.ramp_days
        since = runs[0][0] - rules.ramp_window_days - days if runs else 0
        if not self._returned_on or self._returned_on[-1] < since or not runs:
            return 0.0
        first = runs[0][0] - rules.ramp_window_days - days + 1
        until_m = self._until_m(first, runs[-1][0] + 1, runs)
        sums_m = list(map(sub, until_m[days:], until_m))
        excess_m = 0.0
        for day, _ in runs:
            if day - self._first_day < rules.ramp_history_days:
                continue
            window = day - days - first + 1
            base_m = max(sums_m[window - rules.ramp_window_days : window - days + 1])
            if base_m >= rules.ramp_min_m:
                limit_m = max(base_m * rules.ramp_over, base_m + rules.ramp_excess_m) - STEP_M
                excess_m = max(excess_m, sums_m[window] - limit_m)
        return excess_m

    def _until_m(self, first: int, end: int, more: Sequence[tuple[int, float]] = ()) -> list[float]:
        """The metres from the day `first` to before each day up to `end`, including `more`."""
        daily_m = [0.0] * (end - first)
        for place in range(bisect_left(self.days, first), bisect_left(self.days, end)):
            daily_m[self.days[place] - first] += self._run_m[place]
        for day, metres in more:
            daily_m[day - first] += metres
        return [0.0, *accumulate(daily_m)]
