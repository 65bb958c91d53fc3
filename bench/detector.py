"""How good the detector is, in one table: `python -m bench.detector [FOLDER ...] [--quick]`.

`--climb 10` counts in kilometre-effort, 1 km more for each 100 m up, where histories know it.

On real histories (see `bench.histories`): mails per active runner-year, re-training winters
warned, crossings found on the very run; beside what others warn by. On made ones: how quiet it
is for steady runners and whether it finds each kind of jump. `--quick` makes a tenth of the made
runners. Real runners are split in two by turns: the first, the third and so on are those that the
thresholds were chosen on, the others were judged afterwards. Of several folders each is judged by
itself, and then all together.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from statistics import median, quantiles

from bench.detector_rivals import RIVALS, Rule, mails
from bench.histories import (
    Jump,
    Runner,
    back_as_before,
    folder,
    longer_run,
    more_runs,
    real,
    steady,
)
from simulators.plain_detector import crossings
from worker.domain.detector import Replayed, judge_day, replay
from worker.domain.history import History, days_before
from worker.domain.models import Run
from worker.domain.rules import Rules

RULES = Rules()
WEEK = timedelta(weeks=1)
EIGHT = 8
"""Weeks: the stretch by which seasons are compared, and within which a warning counts."""
LEAST_BEFORE_M = 10_000 * EIGHT
"""Who ran less than 10 km a week at their best had no season to lose."""
LEAST_RUN_M = 5000
HISTORY_WEEKS = 26
APART_WEEKS = 26
EASY_SHARE, RISE, BACK_SHARE = 0.5, 1.8, 0.7
MONTH_DAYS, SEASON_DAYS, LATELY_DAYS = 28, 84, 90
MONTH_RISE, LEAST_MONTH_M, MONTH_EXCESS_M = 1.5, 20_000, 30_000
INSIDE = 1.10


@dataclass(frozen=True, slots=True)
class Judged:
    """One real runner, what the detector made of them, and when they came back from a season."""

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", help="real histories; else EASEBACK_REAL_DATA")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--climb", type=float, default=0.0, help="metres for each metre up")
    arguments = parser.parse_args()
    made = 100 if arguments.quick else 1000
    counting = Rules(climb_m_per_km=1000 / arguments.climb if arguments.climb else 0)
    groups = [
        [_judged(one) for one in real(folder(each), rules=counting)]
        for each in arguments.folders or [None]
    ]
    everybody = [one for group in groups for one in group]
    print(file=sys.stderr)
    for group in groups if len(groups) == 1 else [*groups, everybody]:
        print("\n".join((*_real(group), "", *_news(group), "")))
    print("\n".join((*_crossed(everybody), "", *_made(made))))


def _judged(runner: Runner) -> Judged:
    print(f"\rreplaying {runner.name} ", end="", file=sys.stderr)
    history = History.of(runner.runs, rules=RULES)
    winters = tuple(retrainings(runner.runs))
    rises = tuple(months_risen(history))
    return Judged(runner, history, winters, rises, replay(history, rules=RULES))


def _real(runners: Sequence[Judged]) -> Iterator[str]:
    halves = {
        "all": runners,
        "tuning half": runners[::2],
        "held-out half": runners[1::2],
    }
    runs = sum(len(one.runner.runs) for one in runners)
    yield (
        f"| {len(runners)} real runners, {runs} runs | mails a year: median | 90th percentile "
        "| re-trainings warned | of |"
    )
    yield "|---|---|---|---|---|"
    for name, half in halves.items():
        yield _row(f"Easeback, {name}", half, lambda one: one.mailed_on)
    yield _row("Easeback, findings mailed or not", runners, lambda one: one.found_on)
    for name, rule in RIVALS.items():
        yield _row(name, runners, partial(_rival_mailed_on, rule))


def _rival_mailed_on(rule: Rule, one: Judged) -> list[date]:
    return list(mails(one.runner.runs, rule))


def _row(
    name: str, runners: Sequence[Judged], warned_on: Callable[[Judged], Sequence[date]]
) -> str:
    rates = []
    winters = warned = 0
    for one in runners:
        days = warned_on(one)
        rates.append(len(days) / active_years(one.runner.runs))
        winters += len(one.winters)
        warned += sum(
            any(start <= day < start + EIGHT * WEEK for day in days) for start in one.winters
        )
    ninetieth = quantiles(rates, n=10, method="inclusive")[-1]
    share = warned / winters
    return f"| {name} | {median(rates):.1f} | {ninetieth:.1f} | {share:.1%} | {winters} |"


def active_years(runs: Sequence[Run]) -> float:
    """Weeks with a run, in years."""
    return len({run.day - timedelta(days=run.day.weekday()) for run in runs}) / 52.18


def retrainings(runs: Sequence[Run]) -> Iterator[date]:
    """The Mondays on which a runner begins to come back from an easy season.

    Eight weeks at most half of an earlier eight (within the year before), then eight at least
    1.8 times that and back to 70 %. At least half a year of history must lie before, and a run
    of 5 km, the shortest that the rules look at. Of the neighbouring weeks that all qualify the
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
    """The days on which four weeks have risen far above any four of the twelve before them.

    By half as much again, and by 30 km or as much again; of a rise that goes on the first day.
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


def _news(runners: Sequence[Judged]) -> Iterator[str]:
    """Whether rises of a month are mailed, and how many single runs were no news."""
    rises = mailed = single = inside = 0
    for one in runners:
        rises += len(one.rises)
        near = [
            [abs((day - rise).days) <= MONTH_DAYS for day in one.mailed_on] for rise in one.rises
        ]
        mailed += sum(map(any, near))
        for finding in (r.finding for r in one.replayed if r.mailed):
            if finding.kind in ("run", "return"):
                single += 1
                longest = one.history.longest(*days_before(finding.day, LATELY_DAYS))
                inside += bool(longest and finding.observed_m <= INSIDE * longest.distance_m)
    yield "| rises mailed | of | mails for one run | inside 1.10 x the longest of 90 days |"
    yield "|---|---|---|---|"
    yield f"| {mailed / rises:.1%} | {rises} | {single} | {inside / single:.1%} |"


def weekly_m(runs: Sequence[Run]) -> list[float]:
    first = min(run.day for run in runs)
    monday = first - timedelta(days=first.weekday())
    sums = [0.0] * ((max(run.day for run in runs) - monday).days // 7 + 1)
    for run in runs:
        sums[(run.day - monday).days // 7] += run.distance_m
    return sums


def _crossed(runners: Sequence[Judged]) -> Iterator[str]:
    yield "| real crossings of the written rules | with a finding on that very day |"
    yield "|---|---|"
    for kind in ("run", "return", "ramp", "month"):
        crossed = found = 0
        for one in runners:
            days = {r.finding.day for r in one.replayed if r.finding.kind == kind}
            plain = [day for day, which in crossings(one.runner.runs) if which == kind]
            crossed += len(plain)
            found += sum(day in days for day in plain)
        yield f"| {kind} | {found} of {crossed} |"


def _made(made: int) -> Iterator[str]:
    yield "| steady, made | runner-years | Easeback, mails a year | " + " | ".join(RIVALS) + " |"
    yield "|---|---|---|" + "---|" * len(RIVALS)
    for noise in (0.10, 0.15):
        yield _steady_row(noise, made)
    yield ""
    yield "| one jump, made | found on the run that first crosses | of |"
    yield "|---|---|---|"
    for times in (1.5, 2.0):
        yield _jump_row(f"run x {times:g}", [longer_run(s, times=times) for s in range(made)])
    for weeks in (3, 6, 12, 20):
        jumps = [back_as_before(seed, weeks_off=weeks) for seed in range(made)]
        yield _jump_row(f"as long as before after {weeks} weeks off", jumps)
    yield _jump_row("volume x 1.8 by more runs", [more_runs(s, times=1.8) for s in range(made)])


def _steady_row(noise: float, made: int) -> str:
    years = 4
    # One more runner than the division gives: a year has a little more than 52 weeks.
    runners = [steady(seed, weeks=52 * years, noise=noise) for seed in range(made // years + 1)]
    lived = sum(map(active_years, runners))
    counts = [
        sum(
            one.mailed
            for runs in runners
            for one in replay(History.of(runs, rules=RULES), rules=RULES)
        ),
        *(sum(1 for runs in runners for _ in mails(runs, rule)) for rule in RIVALS.values()),
    ]
    cells = " | ".join(f"{each / lived:.2f}" for each in counts)
    return f"| noise of {noise:.0%} | {lived:.0f} | {cells} |"


def _jump_row(name: str, jumps: Sequence[Jump]) -> str:
    found = sum(map(_found_at_once, jumps))
    return f"| {name} | {found / len(jumps):.1%} | {len(jumps)} |"


def _found_at_once(jump: Jump) -> bool:
    """Whether the first run that crosses the jump's rule, plainly read, has its finding."""
    crossed = (d for d, kind in crossings(jump.runs, since=jump.since) if kind == jump.kind)
    day = next(crossed, None)
    if day is None:
        return False
    verdict = judge_day(History.of(jump.runs, rules=RULES), day, rules=RULES)
    return any(finding.kind == jump.kind for finding in verdict.findings)


if __name__ == "__main__":
    main()
