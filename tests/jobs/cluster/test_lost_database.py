"""The database is lost during work: that is one line in the log, without a traceback."""

import gc
import logging
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from tests.app import App, ScriptedMailer
from tests.crash.servers import Server
from tests.jobs.cluster.conftest import QUICK
from tests.waiting import wait_until
from worker.jobs.cluster import ClusterTiming, ClusterWorker
from worker.jobs.cluster_tasks import install
from worker.pipeline.weekly import queue_weekly
from worker.store import Store

# SQLAlchemy leaves a connection unclosed if its server is lost during set-up.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def cluster_store(own_postgres: Server) -> Iterator[Store]:
    """On a server that may be stopped."""
    store = Store.open(own_postgres.url)
    install(store)
    yield store
    store.close()


@contextmanager
def slow_sender(app: App, timing: ClusterTiming) -> Iterator[tuple[ClusterWorker, threading.Event]]:
    """A worker that is sending a mail until the event is set; it has ended afterwards."""
    anna = app.athlete(timezone="UTC")
    with app.services.store.transaction() as tx:
        tx.athletes.weekly_done(anna, next_at=app.now)
    queue_weekly(app.services, anna, app.now)
    sending, goes_on = threading.Event(), threading.Event()

    class Slow(ScriptedMailer):
        def send(self, *args: Any, **more: Any) -> None:
            sending.set()
            assert goes_on.wait(300)
            app.mailer.send(*args, **more)

    worker = ClusterWorker(app.services, app.clock, mailer=Slow, timing=timing)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        wait_until(sending.is_set, within_s=240)
        yield worker, goes_on
    finally:
        goes_on.set()
        worker.stop()
        thread.join(240)
    assert not thread.is_alive()


def test_what_a_lost_session_had_claimed_goes_on_at_once(
    app: App, own_postgres: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Its own process began another session, so nobody waits for its heartbeat to be missed."""
    caplog.set_level(logging.INFO)
    with slow_sender(app, replace(QUICK, stale_s=600.0)) as (_, goes_on):
        with closing(Store.at(own_postgres.url)) as other, other.reading() as tx:
            tx.connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                     "WHERE pid <> pg_backend_pid()")
            )  # fmt: skip
        wait_until(lambda: "once it's back" in caplog.text, within_s=240)
        goes_on.set()
        wait_until(lambda: len(app.mailer.taken) == 1, within_s=240)


@pytest.mark.parametrize("is_ended", [False, True], ids=["comes back", "worker ends meanwhile"])
def test_a_task_that_outlives_its_database_is_no_traceback(
    app: App, own_postgres: Server, caplog: pytest.LogCaptureFixture, is_ended: bool
) -> None:
    """Its end can't be recorded: the caller logs that once, and the task logs nothing."""
    caplog.set_level(logging.INFO)
    with slow_sender(app, replace(QUICK, ends_within_s=5.0)) as (worker, goes_on):
        own_postgres.stop()
        if is_ended:
            worker.stop()
        goes_on.set()
        wait_until(lambda: is_ended or "once it's back" in caplog.text, within_s=240)
    gc.collect()
    assert [one.getMessage() for one in caplog.records if one.name == "asyncio"] == []
    assert [one.getMessage() for one in caplog.records if one.exc_info] == []
