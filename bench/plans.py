"""Whether plans keep their promises, in one table: `python -m bench.plans [FOLDER ...]`.

On random Mondays of real histories (see `bench.histories`) a race of 10, 21.1 or 42.2 km in 8 to 20
weeks is planned, with the findings of the weeks before, and the plan is followed to the metre. The
table counts what must not happen: a finding on the way, a week whose runs don't add up to its
total, a week far above those before it, four weeks without an easy one, a different plan a week
later, and a race still out of reach after moving it by the missing weeks. Findings that rest on
days before the plan are counted separately: a ramp in the first week; a month's rise in the first
four, split by whether those earlier days alone exceed the limit, so that any run would cause it.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from statistics import fmean
from time import process_time

from bench.histories import Runner, folder, real, run_on
from worker.domain.detector import judge_day
from worker.domain.history import History, week_start
from worker.domain.models import Finding, Plan, Race, Run
from worker.domain.planner import plan, runs_of
from worker.domain.rules import Rules

RULES = Rules()
DAY, WEEK = timedelta(days=1), timedelta(weeks=1)
RACES_M = (10_000, 21_100, 42_200)
WEEKS_AHEAD = (8, 20)
FIRST_WEEKS = 8
"""Weeks at the start of a history for which no plan is made."""
SAME = 0.05
FAR_ABOVE = 1.5
STEP_BACK = 0.86
STEP_M = 10.0
PARTLY_PAST_WEEKS = {"ramp": 1, "month": 4}
"""By kind: the first weeks of a plan in which a finding also rests on days before the plan."""
RAMP = "a ramp in the first week"
PAST_ALONE = "a month's rise in the first four weeks, by the days before the plan alone"
PAST_AND_PLAN = "a month's rise in the first four weeks, by those days and the plan's"


@dataclass(slots=True)
class Tally:
    """Counts over all plans."""

    states: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    partly_past: Counter[str] = field(default_factory=Counter)
    weeks: int = 0
    moved: int = 0
    seconds: float = 0.0
    worst: float = 0.0
    examples: list[str] = field(default_factory=list)

    def count(self, law: str, example: str) -> None:
        self.broken[law] += 1
        self.examples.append(f"{law}: {example}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", help="real histories; else EASEBACK_REAL_DATA")
    parser.add_argument("--plans", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    runners = [one for each in arguments.folders or [None] for one in real(folder(each))]
    histories = [(runner, History.of(runner.runs, rules=RULES)) for runner in runners]
    tally = Tally()
    for number in range(arguments.plans):
        print(f"\rplan {number} ", end="", file=sys.stderr)
        _try_one(*chance.choice(histories), chance, tally)
    print(file=sys.stderr)
    print("\n".join(_table(tally)))


def _try_one(runner: Runner, history: History, chance: random.Random, tally: Tally) -> None:
    first, last = history.first_day, history.last_day
    if first is None or last is None or (last - first) < WEEK * (FIRST_WEEKS + 1):
        return
    weeks = range(FIRST_WEEKS, (last - first).days // 7)
    today = week_start(first, 0) + WEEK * chance.choice(weeks)
    race_on = today + WEEK * chance.randint(*WEEKS_AHEAD) + DAY * chance.choice((5, 6, 6, 6))
    race = Race("race", race_on, chance.choice(RACES_M))
    past = [run for run in runner.runs if run.day < today]
    known = History.of(past, rules=RULES)
    found = [
        finding
        for day in known.days()
        if day >= today - 4 * WEEK
        for finding in judge_day(known, day, rules=RULES, race=race).findings
    ]
    began = process_time()
    planned = plan(known, today, race=race, findings=found, rules=RULES)
    tally.seconds += process_time() - began
    tally.states[planned.state] += 1
    if not planned.weeks:
        return
    name = f"{runner.name}, {today}, {race.distance_m / 1000:g} km on {race.day}"
    _sums(planned, name, tally)
    _steps(planned, known, name, tally)
    lived = [*past, *_runs(planned, before=race.day)]
    _warned(lived, today, race, name, tally)
    _again(planned, lived, race, found, name, tally)
    if planned.weeks_short:
        tally.moved += 1
        later = replace(race, day=race.day + WEEK * planned.weeks_short)
        if plan(known, today, race=later, findings=found, rules=RULES).weeks_short:
            tally.count("short again, moved by weeks_short", name)


def _runs(planned: Plan, *, before: date) -> Iterator[Run]:
    days = [one for week in planned.weeks for one in runs_of(week)]
    for number, (day, metres) in enumerate(days, 10**6):
        if day < before:
            yield run_on(day, metres, number)


def _sums(planned: Plan, name: str, tally: Tally) -> None:
    for week in planned.weeks:
        tally.weeks += 1
        if week.long_m + sum(week.easy_m) > week.week_m or week.long_m > week.week_m:
            tally.count("runs above the week's total", f"{name}, {week.starts_on}")


def _steps(planned: Plan, known: History, name: str, tally: Tally) -> None:
    """Count weeks far above the four before (except in a return), and fours without an easy one."""
    today = planned.weeks[0].starts_on
    back = known.return_from(today, rules=RULES) is not None
    weeks_m = [known.sum_m(today - WEEK * n, today - WEEK * (n - 1) - DAY) for n in (4, 3, 2, 1)]
    build_m: list[float] = []
    for number, week in enumerate(planned.weeks):
        before = weeks_m[-4:] if number == 0 else [metres for metres in weeks_m[-4:] if metres]
        if week.kind in ("build", "hold", "easy") and not (back and number <= 4) and any(before):
            tally.worst = max(tally.worst, week.week_m / fmean(before))
            if week.week_m > FAR_ABOVE * fmean(before):
                tally.count("above 1.5 x the mean of four", f"{name}, {week.starts_on}")
        weeks_m.append(week.week_m)
        build_m = [*build_m, week.week_m] if week.kind in ("build", "hold", "easy") else []
        if len(build_m) >= 4 and min(build_m[-4:]) > STEP_BACK * max(build_m[-4:]) + STEP_M:
            tally.count("no easier week in four", f"{name}, {week.starts_on}")


def _warned(lived: Sequence[Run], today: date, race: Race, name: str, tally: Tally) -> None:
    history = History.of(lived, rules=RULES)
    for day in (one for one in history.days() if one >= today):
        for finding in judge_day(history, day, rules=RULES, race=race).findings:
            if day < today + WEEK * PARTLY_PAST_WEEKS.get(finding.kind, 0):
                tally.partly_past[_rests_on(finding, history, today)] += 1
            else:
                ratio = f"{finding.kind} x {finding.ratio:.2f} on {day}"
                tally.count("findings on the way", f"{name}: {ratio}")


def _rests_on(finding: Finding, history: History, today: date) -> str:
    """Which days a finding that rests partly on days before the plan depends on."""
    if finding.kind != "month":
        return RAMP
    base_m = finding.baseline_m
    excess_m = min(RULES.month_excess_m, base_m)
    limit_m = max(RULES.month_over * base_m, base_m + excess_m)
    past_m = history.sum_m(finding.day - DAY * (RULES.month_days - 1), today - DAY)
    return PAST_ALONE if past_m >= limit_m else PAST_AND_PLAN


def _again(
    planned: Plan,
    lived: Sequence[Run],
    race: Race,
    found: Sequence[Finding],
    name: str,
    tally: Tally,
) -> None:
    """The plan a week later, after the planned week was run."""
    today = planned.weeks[0].starts_on + WEEK
    known = History.of([run for run in lived if run.day < today], rules=RULES)
    again = plan(known, today, race=race, findings=found, rules=RULES)
    off = [
        abs(one - other) / max(one, other)
        for before, after in zip(planned.weeks[1:], again.weeks, strict=False)
        for one, other in ((before.week_m, after.week_m), (before.long_m, after.long_m))
        if abs(one - other) > STEP_M
    ]
    if max(off, default=0.0) > SAME:
        tally.count("otherwise a week later by more than 5 %", f"{name}: {max(off):.1%}")


def _table(tally: Tally) -> Iterator[str]:
    plans = sum(tally.states.values())
    states = ", ".join(f"{count} {state}" for state, count in tally.states.most_common())
    yield f"| {plans} plans ({states}), {tally.weeks} weeks | |"
    yield "|---|---|"
    for law in (
        "findings on the way",
        "runs above the week's total",
        "above 1.5 x the mean of four",
        "no easier week in four",
        "otherwise a week later by more than 5 %",
        "short again, moved by weeks_short",
    ):
        yield f"| {law} | {tally.broken[law]} |"
    for rests_on in (RAMP, PAST_ALONE, PAST_AND_PLAN):
        yield f"| {rests_on} | {tally.partly_past[rests_on]} |"
    yield f"| races moved | {tally.moved} |"
    yield f"| the largest week ÷ the mean of four | {tally.worst:.3f} |"
    yield f"| milliseconds of a processor a plan | {1000 * tally.seconds / plans:.1f} |"
    yield from ("", *tally.examples[:20])


if __name__ == "__main__":
    main()
