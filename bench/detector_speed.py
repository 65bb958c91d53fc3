"""How fast the detector is: `python -m bench.detector_speed`.

Builds histories of 1, 3, 10 and 30 years at 300 runs a year, replays them, and judges one new run
against them. Judging a run must take the same time however long the history.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from bench.histories import START, run_on, steady
from worker.domain.detector import judge_day, replay
from worker.domain.history import History
from worker.domain.models import Run
from worker.domain.rules import Rules

RULES = Rules()


def main() -> None:
    print("| years | runs | history built, ms | whole replay, s | one new run judged, ms |")
    print("|---|---|---|---|---|")
    for years in (1, 3, 10, 30):
        runs = lived(years)
        history = History.of(runs, rules=RULES)
        build_s = least_s(partial(History.of, runs, rules=RULES))
        replay_s = least_s(partial(replay, history, rules=RULES), times=3)
        judge_s = least_s(partial(judge_day, history, runs[-1].day, rules=RULES), times=200)
        print(
            f"| {years} | {len(runs)} | {build_s * 1000:.1f} | {replay_s:.2f} "
            f"| {judge_s * 1000:.3f} |"
        )


def lived(years: int) -> tuple[Run, ...]:
    """Four runs a week and, in two weeks of three, two more: 300 runs a year."""
    base = steady(1, weeks=52 * years, noise=0.15)
    begun = len(base)
    extra = (
        run_on(START + timedelta(weeks=week, days=day), 5000, begun + 2 * week + day)
        for week in range(52 * years)
        if week % 8 != 0
        for day in (0, 1)
    )
    return tuple(sorted((*base, *extra), key=lambda run: run.started_at))


def least_s(action: Callable[[], object], *, times: int = 5) -> float:
    """The least processor time of several tries."""
    tries = []
    for _ in range(times):
        begun = time.process_time()
        action()
        tries.append(time.process_time() - begun)
    return min(tries)


if __name__ == "__main__":
    main()
