"""Housekeeping: the database is rewritten (VACUUM) after deletions, at most once a day."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from tests.app import App, steady
from worker.pipeline.backup import back_up
from worker.pipeline.credentials import disconnect_athlete
from worker.pipeline.housekeeping import VACUUM_EVERY, tidy
from worker.store import Store

HOUR = timedelta(hours=1)


@contextmanager
def vacuums(store: Store) -> Iterator[list[str]]:
    """The VACUUM statements within the block."""
    seen: list[str] = []

    def note(_: Connection, __: object, statement: str, *___: object) -> None:
        if statement.lstrip().upper().startswith("VACUUM"):
            seen.append(statement)

    event.listen(store.engine, "before_cursor_execute", note)
    yield seen
    event.remove(store.engine, "before_cursor_execute", note)


def disconnect(app: App, name: str) -> None:
    disconnect_athlete(app.services, "strava", app.athlete(name), now=app.now)


def test_disconnecting_leaves_the_rest_to_one_run_a_day(app: App) -> None:
    """However many disconnect, however often."""
    with vacuums(app.services.store) as seen:
        for name in ("Anna", "Bo", "Cleo"):
            disconnect(app, name)
        assert seen == []
        tidy(app.services, app.now)
        assert len(seen) == 1
        app.now += HOUR
        disconnect(app, "Dora")
        tidy(app.services, app.now)
        assert len(seen) == 1
        app.now += VACUUM_EVERY
        tidy(app.services, app.now)
        assert len(seen) == 2
        app.now += 2 * VACUUM_EVERY
        tidy(app.services, app.now)
        assert len(seen) == 2, "nothing was deleted since"


def test_a_database_in_which_nothing_is_deleted_isnt_written_anew(app: App) -> None:
    """Ingesting runs is no reason."""
    app.runs(app.athlete(), steady())
    with vacuums(app.services.store) as seen:
        tidy(app.services, app.now)
    assert seen == []


def test_a_clock_that_ran_ahead_puts_nothing_off(app: App) -> None:
    """The recorded day is in the future then."""
    with vacuums(app.services.store) as seen:
        disconnect(app, "Anna")
        tidy(app.services, app.now + 30 * VACUUM_EVERY)
        app.now += HOUR
        disconnect(app, "Bo")
        tidy(app.services, app.now)
    assert len(seen) == 2


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_who_reads_for_long_keeps_nobody_from_writing(app: App, tmp_path: Path) -> None:
    """A copy, a disconnect and a VACUUM give up on truncating the WAL after a second."""
    store, anna = app.services.store, app.athlete()
    waits_ms, waited_ms = list[int](), list[int]()

    def note(_: object, __: object, statement: str, *___: object) -> None:
        if statement.startswith("PRAGMA busy_timeout"):
            waits_ms.append(int(statement.rpartition("=")[2]))
        elif "wal_checkpoint" in statement:
            waited_ms.append(waits_ms[-1])

    event.listen(store.engine, "before_cursor_execute", note)
    with store.reading() as tx:
        tx.athletes.all()
        services = replace(app.services, backups_path=tmp_path / "backups")
        assert back_up(services, app.now) is not None
        disconnect_athlete(app.services, "strava", anna, now=app.now)
        tidy(app.services, app.now)
    assert waited_ms == [1000, 1000, 1000]
    assert store.empty_log()
