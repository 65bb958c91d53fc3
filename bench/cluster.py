"""A crew on PostgreSQL: a club platform's Monday morning and its webhooks, with 1, 2 and 4 workers.

    python bench/cluster.py            10,000 athletes with two years of runs each
    python bench/cluster.py --short    300 of them
    python bench/cluster.py --small    200 of them, 1, 2 and 4 workers, an event each and none calm
    python bench/cluster.py --small --busy   the same, with every core kept busy in each round
    python bench/cluster.py --small --busy --workers 1,2,4,1   the last one again

Everything runs on this machine: PostgreSQL, the workers, the web server, a mail sink and a
simulated Strava without limits. For each number of workers, all weekly mails fall due at once; then
webhook events arrive at a steady pace; then comes the storm: repeated events for every athlete's
activity, as after edits of titles and kudos, as fast as they're answered. It also prints the
contents of the database, the statements of each kind of job, and the rows read by each look, among
a tenth of the athletes and among all.

The workers' processor time comes from the kernel, less their idle time. With --small, one
unmeasured round runs first, because a worker's first mail and first job load modules. PostgreSQL is
asked 20 times a second what open transactions wait for.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.cluster_jobs import rows_read, tell_jobs, tell_reads, tell_size
from bench.cluster_rounds import one_round, tell_medians, tell_rounds
from bench.cluster_stage import Plan, load, staged

SERVER = "postgresql+psycopg://postgres@127.0.0.1:5432/test"


def main() -> int:
    options = _options()
    short = Plan(300, 3000, (1, 2))
    small = Plan(200, 200, (1, 2, 4), calm_s=0, is_warm=True)
    full = Plan(10_000, 100_000, (1, 2, 4))
    plan = short if options.short else small if options.small else full
    plan = replace(plan, keeps_busy=options.busy, athletes=options.athletes or plan.athletes,
                   events=options.events or plan.events,
                   workers=options.workers or plan.workers)  # fmt: skip
    with staged(plan, options.postgres) as stage:
        load(stage, plan.athletes // 10)
        few = rows_read(stage)
        load(stage, plan.athletes)
        many = rows_read(stage)
        tell_size(stage, "after loading")
        tell_reads(stage, few, many)
        tell_jobs(stage)
        rows = [one_round(stage, number, count) for number, count in enumerate(plan.workers)]
        tell_rounds(stage, rows)
        tell_medians(stage, rows)
        tell_size(stage, "after all rounds")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--short", action="store_true", help="300 athletes, 1 and 2 workers")
    parser.add_argument("--small", action="store_true", help="200 athletes; what a job costs")
    parser.add_argument("--busy", action="store_true", help="keep every core busy in each round")
    parser.add_argument("--athletes", type=int)
    parser.add_argument("--events", type=int)
    parser.add_argument("--workers", type=lambda told: tuple(map(int, told.split(","))))
    parser.add_argument("--postgres", default=SERVER, metavar="URL")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
