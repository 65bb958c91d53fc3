"""What the database is asked: by each look, by one job of each kind; and what it holds."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial

from bench.cluster_rounds import event_about
from bench.cluster_stage import Stage, works_on
from tests.cluster.reading import reads
from worker.pipeline import Works
from worker.pipeline.chores import INBOX, STRAVA, TIDY, WEEKLY
from worker.pipeline.deliver import mails_due, make_ready, send
from worker.pipeline.strava.wishes import note_events
from worker.pipeline.take_in import look_at_inbox


def rows_read(stage: Stage) -> dict[str, tuple[int, int]]:
    """For each look: its statements, and the rows that they read."""
    now = datetime.now(UTC)
    with works_on(stage) as works:
        looks: dict[str, Callable[[], object]] = {
            "weekly": lambda: WEEKLY.due(works, now, 500),
            "tidy": lambda: TIDY.due(works, now, 500),
            "inbox": lambda: look_at_inbox(works, now),
            "mails": lambda: _look_for_mails(works, now),
            **{chore.name: partial(chore.due, works, now, 500) for chore in STRAVA.chores},
        }
        found = {}
        for name, look in looks.items():
            with reads(works.store) as told:
                look()
            found[name] = (told.statements, told.rows)
    return found


def _look_for_mails(works: Works, now: datetime) -> int:
    make_ready(works, now)
    return mails_due(works, now, most=3200)


def tell_reads(
    stage: Stage, few: Mapping[str, tuple[int, int]], many: Mapping[str, tuple[int, int]]
) -> None:
    tenth = stage.plan.athletes // 10
    stage.say(f"\nrows read by each look, nobody due: among {tenth:,} and {tenth * 10:,} athletes")
    for name, (statements, rows) in many.items():
        stage.say(f"  {name:12} {statements} statements, {few[name][1]:6,} and {rows:6,} rows")


def tell_jobs(stage: Stage) -> None:
    """What one job of each kind asks of the database, beside the engine's own three statements."""
    stage.say("\none job of each kind: statements, commits, rows read, ms")
    with works_on(stage) as works:
        with works.store.reading() as tx:
            (athlete,) = tx.athletes.first(1)
        event = event_about(athlete.id, round_number=9)
        jobs: dict[str, Callable[[], object]] = {
            "weekly": lambda: WEEKLY.one(works, athlete, (), _now),
            "mail": lambda: send(works, _now, at_most=1),
            "event kept": lambda: note_events(works, [event], _now()),
            "strava-wish": lambda: STRAVA.chores[0].one(works, athlete, (), _now),
            "tidy": lambda: TIDY.one(works, athlete, (), _now),
            "inbox": lambda: INBOX.one(works, athlete, (), _now),
        }
        for name, job in jobs.items():
            with reads(works.store) as told:
                job()
            began = time.perf_counter()
            job()
            took_ms = (time.perf_counter() - began) * 1000
            stage.say(
                f"  {name:12} {told.statements:3} {told.commits:3} {told.rows:6,} {took_ms:7.1f}"
            )
    stage.do("DELETE FROM weekly")
    stage.do("DELETE FROM outbox")


def _now() -> datetime:
    return datetime.now(UTC)


def tell_size(stage: Stage, when: str) -> None:
    size = stage.one("SELECT pg_database_size(current_database())")
    stage.say(f"\ndatabase {when}: {size / 1e9:.2f} GB, {size / stage.plan.athletes / 1e3:.0f} kB "
              "an athlete")  # fmt: skip
    rows = ("run", "recording", "outbox", "procrastinate_jobs")
    for name in rows:
        told = stage.one("SELECT pg_total_relation_size(to_regclass(:name))", name=name)
        if told:
            stage.say(f"  {name:20} {told / 1e6:8.1f} MB")
