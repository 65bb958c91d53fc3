"""No query grows with the athletes: with ten times as many, none reads more rows."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Connection, event, text

from simulators.query_reads import reads
from tests.app import App, recording, steady
from worker.app import connected_sources
from worker.config import Settings
from worker.domain import matching
from worker.jobs.registry import INBOX, WEEKLY, AthleteTask, jobs_of
from worker.pipeline.deliver import mails_due, make_ready, send
from worker.pipeline.housekeeping import tidy_store
from worker.pipeline.scan import scan_inbox
from worker.sources.formats.child import Reader

FEW, MANY = 20, 200
WEEK = timedelta(days=7)

Queries = Mapping[str, Callable[[], object]]


def people(app: App, first: int, last: int) -> None:
    """Athletes with a run, a grant and a sent mail each, and nothing due."""
    with app.services.store.transaction() as tx:
        tx.connection.execute(
            text(
                "INSERT INTO athlete (name, folder, email, added_at, timezone, units, week_starts, "
                "weekly_weekday, weekly_at, pain, wants, next_weekly_at, link_id, matched_by) "
                "SELECT 'a' || n, 'a' || n, n || '@example.org', :added, 'UTC', 'km', 0, 0, "
                "'07:00', '[]', '[\"alert\", \"weekly\"]', :later, n, :version "
                "FROM generate_series(CAST(:first AS int), :last) n"
            ),
            {"first": first, "last": last, "added": app.now - 50 * WEEK,
             "later": app.now + WEEK, "version": matching.VERSION},
        )  # fmt: skip
        tx.connection.execute(
            text(
                "INSERT INTO source_credential (athlete_id, source, account_id, encrypted, "
                "expires_at, scopes, version, connected_at, due_at, read_back_to, failures) "
                "SELECT id, 'strava', id, '', :later, '[]', 1, :now, :soon, :long_ago, 0 "
                "FROM athlete "
                "ON CONFLICT DO NOTHING"
            ),
            {
                "later": app.now + WEEK,
                "soon": app.now + timedelta(hours=20),
                "now": app.now,
                "long_ago": app.now - 90 * WEEK,
            },
        )
        tx.connection.execute(
            text(
                "INSERT INTO outbox (athlete_id, kind, key, message_id, sender, recipient, mime, "
                "state, created_at, due_at, expires_at, sent_at) SELECT id, 'weekly', 'k' || id, "
                "'m' || id, 's', 'r', 'x', 'sent', :now, :now, :later, :now FROM athlete "
                "ON CONFLICT DO NOTHING"
            ),
            {"now": app.now, "later": app.now + WEEK},
        )
    with app.services.store.engine.connect().execution_options(
        isolation_level="AUTOCOMMIT"
    ) as connection:
        connection.execute(text("ANALYZE"))


def queries(app: App) -> Queries:
    """Every repeated query, by name."""
    sections = {"strava": {"client_id": "1", "client_secret": "a secret"}}
    settings = Settings(secret_key="a key that is long enough for the tests", **sections)
    services = replace(app.services, sources=connected_sources(settings, Reader()))
    now = app.now

    def due(task: AthleteTask) -> Callable[[], object]:
        return lambda: task.due(services, now, 500)

    tasks = [task for job in jobs_of(services) for task in job.tasks if task is not INBOX]
    return {
        **{task.name: due(task) for task in tasks},
        "inbox": lambda: scan_inbox(services, now),
        "mails": lambda: (make_ready(services, now), mails_due(services, now, most=3200)),
        "outbox": lambda: tidy_store(services, now),
    }


def rows_read(app: App) -> dict[str, int]:
    """How many rows each query reads."""
    told = {}
    for name, query in queries(app).items():
        with reads(app.services.store) as found:
            query()
        told[name] = found.rows
    return told


@pytest.fixture
def thrifty(app: App) -> App:
    """Sequential scans are off: PostgreSQL rightly prefers them for small tables."""

    @event.listens_for(app.services.store.engine, "begin")
    def prefer_indexes(connection: Connection) -> None:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")

    return app


def test_no_check_reads_more_rows_for_ten_times_the_athletes(thrifty: App) -> None:
    """Due athletes, the next mail, overdue work: each by its index."""
    people(thrifty, 1, FEW)
    before = rows_read(thrifty)
    people(thrifty, FEW + 1, MANY)
    after = rows_read(thrifty)
    assert after == before
    assert max(after.values()) < FEW


def test_no_task_reads_more_rows_for_ten_times_the_athletes(thrifty: App) -> None:
    """The weekly mail, a dropped file and a sent mail of one athlete among few and among many."""
    counted = []
    for number, (first, last) in enumerate(((1, FEW), (FEW + 1, MANY))):
        people(thrifty, first, last)
        anna = thrifty.athlete("anna" * (number + 1))
        thrifty.runs(anna, steady())
        with reads(thrifty.services.store) as weekly:
            WEEKLY.run(thrifty.services, anna, (), lambda: thrifty.now + WEEK)
        with reads(thrifty.services.store) as arrives:
            thrifty.arrive(anna, recording(km=12.0))
        make_ready(thrifty.services, thrifty.now + WEEK)
        with reads(thrifty.services.store) as sends:
            send(thrifty.services, lambda: thrifty.now + WEEK)
        thrifty.drop(f"{anna.name}/run.fit", km=8.5)
        thrifty.look()
        with reads(thrifty.services.store) as takes_in:
            INBOX.run(thrifty.services, anna, (anna.name,), thrifty.clock)
        counted.append([one.rows for one in (weekly, arrives, sends, takes_in)])
    few, many = counted
    # The second time the first one's ticks and mail are read as well.
    assert all(b <= a + 4 for a, b in zip(few, many, strict=True)), counted
