"""The statements of each look and of one job of each kind, and the contents of the database."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial

from bench.cluster_rounds import event_about
from bench.cluster_stage import SUBSCRIPTION, WEBHOOK, Stage, services_on
from simulators.query_reads import reads
from worker.jobs.registry import HOUSEKEEPING, INBOX, WEEKLY, event_task, source_tasks
from worker.pipeline.deliver import mails_due, make_ready, send
from worker.pipeline.scan import scan_inbox
from worker.pipeline.services import Services
from worker.pipeline.webhooks import note_events
from worker.sources.base import ServiceEvent


def rows_read(stage: Stage) -> dict[str, tuple[int, int]]:
    """For each look: its number of statements and the rows they read."""
    now = datetime.now(UTC)
    with services_on(stage) as services:
        looks: dict[str, Callable[[], object]] = {
            "weekly": lambda: WEEKLY.due(services, now, 500),
            "housekeeping": lambda: HOUSEKEEPING.due(services, now, 500),
            "inbox": lambda: scan_inbox(services, now),
            "mails": lambda: _look_for_mails(services, now),
            **{task.name: partial(task.due, services, now, 500) for task in source_tasks("strava")},
        }
        found = {}
        for name, look in looks.items():
            with reads(services.store) as told:
                look()
            found[name] = (told.statements, told.rows)
    return found


def _look_for_mails(services: Services, now: datetime) -> int:
    make_ready(services, now)
    return mails_due(services, now, most=3200)


def tell_reads(
    stage: Stage, few: Mapping[str, tuple[int, int]], many: Mapping[str, tuple[int, int]]
) -> None:
    tenth = stage.plan.athletes // 10
    stage.say(f"\nrows read by each look, nobody due: among {tenth:,} and {tenth * 10:,} athletes")
    for name, (statements, rows) in many.items():
        stage.say(f"  {name:12} {statements} statements, {few[name][1]:6,} and {rows:6,} rows")


def tell_jobs(stage: Stage) -> None:
    """Print the statements of one job of each kind, without the engine's own three."""
    stage.say("\none job of each kind: statements, commits, rows read, ms")
    with services_on(stage) as services:
        with services.store.reading() as tx:
            (athlete,) = tx.athletes.first(1)
        activity = str(event_about(athlete.id, round_number=9)["object_id"])
        event = ServiceEvent(SUBSCRIPTION, str(athlete.id), activity)
        jobs: dict[str, Callable[[], object]] = {
            "weekly": lambda: WEEKLY.run(services, athlete, (), _now),
            "mail": lambda: send(services, _now, at_most=1),
            "event kept": lambda: note_events(services, "strava", [event], _now(), WEBHOOK),
            "strava-events": lambda: event_task("strava").run(services, athlete, (), _now),
            "housekeeping": lambda: HOUSEKEEPING.run(services, athlete, (), _now),
            "inbox": lambda: INBOX.run(services, athlete, (), _now),
        }
        for name, job in jobs.items():
            with reads(services.store) as told:
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
