"""The required figures on real runners, and how far any rules meet them for any group.

A *re-training*, a month's *rise* and an active year are defined in `docs/evidence.md`. Thresholds
are chosen on the tuning half of each folder, every second runner by name, and judged on the other.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median, quantiles

from bench.histories import Runner
from worker.domain.detector import Replayed, replay
from worker.domain.history import History, days_before
from worker.domain.models import Run
from worker.domain.rules import Rules

RULES = Rules()
WEEK = timedelta(weeks=1)
EIGHT = 8
"""Weeks: the periods by which seasons are compared, and in which a warning counts."""
LEAST_BEFORE_M = 10_000 * EIGHT
"""Runners below 10 km a week at their best had no season to lose."""
LEAST_RUN_M = 5000
HISTORY_WEEKS = 26
APART_WEEKS = 26
EASY_SHARE, RISE, BACK_SHARE = 0.5, 1.8, 0.7
MONTH_DAYS, SEASON_DAYS, LATELY_DAYS = 28, 84, 90
MONTH_RISE, LEAST_MONTH_M, MONTH_EXCESS_M = 1.5, 20_000, 30_000
INSIDE = 1.10


@dataclass(frozen=True, slots=True)
class Judged:
    """One real runner, the detector's findings, and the re-trainings."""

    runner: Runner
    history: History
    winters: tuple[date, ...]
    rises: tuple[date, ...]
    replayed: tuple[Replayed, ...]

    @property
    def found_on(self) -> list[date]:
        return [one.finding.day for one in self.replayed]

    @property
    def mailed_on(self) -> list[date]:
        return [one.finding.day for one in self.replayed if one.mailed]


@dataclass(frozen=True, slots=True)
class Score:
    """The required figures for a group of runners; shares are between 0 and 1."""

    median: float
    ninetieth: float
    winters: int
    winters_found: int
    winters_mailed: int
    rises: int
    rises_mailed: int
    single: int
    inside: int

    @property
    def missed(self) -> list[str]:
        """The required figures that are missed."""
        asked = {
            "median": self.median <= 6.2,
            "90th percentile": self.ninetieth <= 8.5,
            "re-trainings found": self.winters_found >= 0.99 * self.winters,
            "re-trainings mailed": self.winters_mailed >= 0.95 * self.winters,
            "rises mailed": self.rises_mailed >= 0.90 * self.rises,
            "inside": self.inside <= 0.25 * self.single,
        }
        return [name for name, holds in asked.items() if not holds]


def judged(runner: Runner) -> Judged:
    print(f"\rreplaying {runner.name} ", end="", file=sys.stderr)
    history = History.of(runner.runs, rules=RULES)
    winters = tuple(retrainings(runner.runs))
    rises = tuple(months_risen(history))
    return Judged(runner, history, winters, rises, replay(history, rules=RULES))


def parts(folders: Mapping[str, Sequence[Judged]]) -> dict[str, list[Judged]]:
    """Each folder and all together: whole, then the tuning half, then the judging half."""
    halves = {"": (0, 1), ", tuning half": (0, 2), ", judging half": (1, 2)}
    groups = {
        f"{name}{half}": list(runners[first::step])
        for name, runners in folders.items()
        for half, (first, step) in halves.items()
    }
    if len(folders) > 1:
        for half in halves:
            groups[f"all{half}"] = [one for name in folders for one in groups[f"{name}{half}"]]
    return groups


def score(runners: Sequence[Judged]) -> Score:
    rates = [len(one.mailed_on) / active_years(one.runner.runs) for one in runners]
    singles = [
        (one.history, finding)
        for one in runners
        for finding in (each.finding for each in one.replayed if each.mailed)
        if finding.kind in ("run", "return")
    ]
    inside = 0
    for history, finding in singles:
        longest = history.longest(*days_before(finding.day, LATELY_DAYS))
        inside += bool(longest and finding.observed_m <= INSIDE * longest.distance_m)
    return Score(
        median=median(rates),
        ninetieth=ninetieth(rates),
        winters=sum(len(one.winters) for one in runners),
        winters_found=sum(warned(one.winters, one.found_on) for one in runners),
        winters_mailed=sum(warned(one.winters, one.mailed_on) for one in runners),
        rises=sum(len(one.rises) for one in runners),
        rises_mailed=sum(
            any(abs((day - rise).days) <= MONTH_DAYS for day in one.mailed_on)
            for one in runners
            for rise in one.rises
        ),
        single=len(singles),
        inside=inside,
    )


def ninetieth(rates: Sequence[float]) -> float:
    """The 90th percentile, interpolated between neighbours."""
    return quantiles(rates, n=10, method="inclusive")[-1]


def warned(winters: Sequence[date], days: Sequence[date]) -> int:
    """The number of re-trainings with one of these days in their first eight weeks."""
    return sum(any(start <= day < start + EIGHT * WEEK for day in days) for start in winters)


def active_years(runs: Sequence[Run]) -> float:
    """The number of weeks with a run, in years."""
    return len({run.day - timedelta(days=run.day.weekday()) for run in runs}) / 52.18


def retrainings(runs: Sequence[Run]) -> Iterator[date]:
    """The Mondays on which a runner starts to come back from an easy season.

    Eight weeks at no more than half of an earlier eight (within the year before), then eight at
    least 1.8 times that and back to 70 %. At least half a year of history must lie before, and a
    run of 5 km, the shortest that the rules consider. Of neighbouring weeks that all qualify, the
    one with the greatest rise counts.
    """
    sums = weekly_m(runs)
    first = min(run.day for run in runs)
    able = [run.day for run in runs if run.distance_m >= LEAST_RUN_M]
    monday = first - timedelta(days=first.weekday())
    rises = dict(_rises(sums))
    while rises:
        begin = min(rises)
        best = max((week for week in rises if week < begin + EIGHT), key=lambda week: rises[week])
        if able and min(able) < monday + best * WEEK:
            yield monday + best * WEEK
        rises = {week: rise for week, rise in rises.items() if week >= best + APART_WEEKS}


def _rises(sums: Sequence[float]) -> Iterator[tuple[int, float]]:
    def eight(week: int) -> float:
        return sum(sums[week : week + EIGHT])

    for week in range(HISTORY_WEEKS, len(sums) - EIGHT + 1):
        easy, after = eight(week - EIGHT), eight(week)
        earlier = max(eight(w) for w in range(max(0, week - EIGHT - 52), week - 2 * EIGHT + 1))
        enough = earlier > LEAST_BEFORE_M and after > 0
        if (
            enough
            and easy <= EASY_SHARE * earlier
            and after >= max(RISE * easy, BACK_SHARE * earlier)
        ):
            yield week, after - easy


def months_risen(history: History) -> Iterator[date]:
    """The days on which four weeks rise far above any four of the twelve weeks before them.

    Far above: by half, and by 30 km or to twice as much. Only the first day of a continuing rise
    counts.
    """
    if history.first_day is None or history.last_day is None:
        return
    begin = history.first_day + timedelta(days=MONTH_DAYS + SEASON_DAYS)
    last: date | None = None
    for day in (one for one in history.days() if one >= begin):
        first = day - timedelta(days=MONTH_DAYS - 1)
        month_m = history.sum_m(first, day)
        before_m, _ = history.largest_sum(*days_before(first, SEASON_DAYS), days=MONTH_DAYS)
        more_m = month_m - before_m
        if before_m < LEAST_MONTH_M or month_m <= MONTH_RISE * before_m:
            continue
        if more_m < min(MONTH_EXCESS_M, before_m):
            continue
        if last is None or (day - last).days > MONTH_DAYS:
            yield day
        last = day


def weekly_m(runs: Sequence[Run]) -> list[float]:
    first = min(run.day for run in runs)
    monday = first - timedelta(days=first.weekday())
    sums = [0.0] * ((max(run.day for run in runs) - monday).days // 7 + 1)
    for run in runs:
        sums[(run.day - monday).days // 7] += run.distance_m
    return sums
