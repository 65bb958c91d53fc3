"""A day of 200 athletes in a few minutes: is anything late, is any page slow, does memory grow?

    python bench/load.py                 about nine minutes
    python bench/load.py --minutes 60    the same day in an hour
    python bench/load.py --short         about two minutes
    python bench/load.py --hard-times    about ten minutes: failures, repairs and recovery
    python bench/load.py --hard-times --postgres URL    the same with a crew of two on PostgreSQL

A real `easeback run --as-of` on SQLite, with made-up athletes, a simulated Strava and a real mail
server. A day's traffic: files and page visits throughout, a minute of webhooks at 100 a second, and
all weekly mails due in one minute, together with a second burst of webhooks. Each visit and event
has a scheduled time from which its latency is counted, so a stalled worker is charged for all the
requests that waited. Exit status 1 if a promise is broken.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.load_hard_times import hard_times
from bench.load_stage import SHORT, plan_of, staged, working
from bench.load_traffic import live
from bench.load_verdict import judge

FEWEST_MINUTES = 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=8.0, help="what the day is lived in")
    length.add_argument("--short", action="store_true", help="one of 80 seconds, with all of it")
    length.add_argument("--hard-times", action="store_true", help="trouble in place of a day")
    parser.add_argument("--postgres", metavar="URL", help="a server for hard times of a crew")
    parser.add_argument("--athletes", type=int, default=200)
    parser.add_argument("--keep", type=Path, help="a folder for the worker's log")
    wanted = parser.parse_args()
    if wanted.minutes < FEWEST_MINUTES:
        parser.error(f"--minutes: the two bursts alone need {FEWEST_MINUTES}")
    if wanted.hard_times:
        return _hard_times(wanted.postgres)
    plan = SHORT if wanted.short else plan_of(wanted.minutes)
    with staged(plan, wanted.athletes) as stage, working(stage, plan, wanted.keep) as worker:
        began = time.time()
        seen = live(stage, plan, worker, began)
        lines = [*judge(stage, plan, seen, began)]
        looks = len(stage.service.looks)
    print(f"{wanted.athletes} athletes on SQLite, {plan.lasts_s:.0f} s of traffic, ", end="")
    print(f"{looks} looks at single activities of Strava")
    for line in lines:
        print(line)
    return int(any(line.broken for line in lines))


def _hard_times(server: str | None) -> int:
    broken = 0
    for scene in hard_times(server):
        print(scene, flush=True)
        broken += scene.broken
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
