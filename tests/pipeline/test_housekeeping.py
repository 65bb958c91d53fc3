"""Housekeeping: the database is written anew after deletions, once a day at most."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import Connection, event

from tests.app import App, steady
from worker.pipeline.credentials import disconnect_athlete
from worker.pipeline.housekeeping import VACUUM_EVERY, tidy
from worker.store import Store

HOUR = timedelta(hours=1)


@contextmanager
def vacuums(store: Store) -> Iterator[list[str]]:
    """How often the database is written anew meanwhile."""
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
    """Taking in runs is no reason."""
    app.runs(app.athlete(), steady())
    with vacuums(app.services.store) as seen:
        tidy(app.services, app.now)
    assert seen == []


def test_a_clock_that_ran_ahead_puts_nothing_off(app: App) -> None:
    """The day that was noted then is still to come."""
    with vacuums(app.services.store) as seen:
        disconnect(app, "Anna")
        tidy(app.services, app.now + 30 * VACUUM_EVERY)
        app.now += HOUR
        disconnect(app, "Bo")
        tidy(app.services, app.now)
    assert len(seen) == 2


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_disconnecting_waits_for_no_reader(app: App) -> None:
    """Somebody reads a copy's worth meanwhile: the log is emptied later."""
    anna = app.athlete()
    with app.services.store.reading() as tx:
        tx.athletes.all()
        begun = time.monotonic()
        disconnect_athlete(app.services, "strava", anna, now=app.now)
    assert time.monotonic() - begun < 10
    assert app.services.store.empty_log()
