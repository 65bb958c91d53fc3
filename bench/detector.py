"""How good the detector is, in one table: `python -m bench.detector [FOLDER ...] [--quick]`.

`--climb 10` counts kilometre-effort, 1 km more for each 100 m of climb, if the histories have it.

On real histories (see `bench.histories`): mails per active runner-year, share of re-trainings
warned about, and of crossings found on the very run, next to other warning rules. On made
histories: how quiet it is for steady runners and whether it finds each kind of jump. `--quick`
makes a tenth of the made runners. Each folder is judged by itself, then all together, and each in
two halves of every second runner: thresholds are chosen on the tuning half
(`bench.detector_choice`) and judged on the other.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from statistics import median

from bench.detector_rivals import RIVALS, mails
from bench.detector_score import (
    RULES,
    Judged,
    active_years,
    judged,
    ninetieth,
    parts,
    score,
    warned,
)
from bench.histories import Jump, back_as_before, folder, longer_run, more_runs, real, steady
from simulators.plain_detector import crossings
from worker.domain.detector import judge_day, replay
from worker.domain.history import History
from worker.domain.rules import Rules


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", help="real histories; else EASEBACK_REAL_DATA")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--climb", type=float, default=0.0, help="metres for each metre up")
    arguments = parser.parse_args()
    made = 100 if arguments.quick else 1000
    counting = Rules(climb_m_per_km=1000 / arguments.climb if arguments.climb else 0)
    folders = {
        path.name: [judged(one) for one in real(path, rules=counting)]
        for path in map(folder, arguments.folders or [None])
    }
    everybody = [one for runners in folders.values() for one in runners]
    print(file=sys.stderr)
    print("\n".join((*_asked(parts(folders)), "", *_rivals(everybody), "")))
    print("\n".join((*_crossed(everybody), "", *_made(made))))


def _asked(groups: dict[str, list[Judged]]) -> Iterator[str]:
    """The required figures for each group of runners."""
    yield (
        "| real runners | mails a year: median | 90th percentile | re-trainings found | mailed "
        "| of | rises mailed | of | mails for one run | inside 1.10 x the longest of 90 days "
        "| missed |"
    )
    yield "|---" * 11 + "|"
    for name, runners in groups.items():
        one = score(runners)
        runs = sum(len(each.runner.runs) for each in runners)
        yield (
            f"| {name}: {len(runners)}, {runs} runs | {one.median:.2f} | {one.ninetieth:.2f} "
            f"| {one.winters_found / one.winters:.1%} | {one.winters_mailed / one.winters:.1%} "
            f"| {one.winters} | {one.rises_mailed / one.rises:.1%} | {one.rises} | {one.single} "
            f"| {one.inside / one.single:.1%} | {', '.join(one.missed)} |"
        )


def _rivals(runners: Sequence[Judged]) -> Iterator[str]:
    """What other warning rules would have mailed to the same runners."""
    yield "| beside it | mails a year: median | 90th percentile | re-trainings warned |"
    yield "|---|---|---|---|"
    for name, rule in RIVALS.items():
        days = [list(mails(one.runner.runs, rule)) for one in runners]
        rates = [
            len(found) / active_years(one.runner.runs)
            for one, found in zip(runners, days, strict=True)
        ]
        winters = sum(len(one.winters) for one in runners)
        caught = sum(warned(one.winters, found) for one, found in zip(runners, days, strict=True))
        yield f"| {name} | {median(rates):.1f} | {ninetieth(rates):.1f} | {caught / winters:.1%} |"


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
    # One runner more than the division gives, because a year has slightly more than 52 weeks.
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
    """Whether the first run that crosses the jump's rule by its plain reading has a finding."""
    crossed = (d for d, kind in crossings(jump.runs, since=jump.since) if kind == jump.kind)
    day = next(crossed, None)
    if day is None:
        return False
    verdict = judge_day(History.of(jump.runs, rules=RULES), day, rules=RULES)
    return any(finding.kind == jump.kind for finding in verdict.findings)


if __name__ == "__main__":
    main()
