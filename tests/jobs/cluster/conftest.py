"""Fixtures of a cluster: the application on PostgreSQL, and workers whose death is noticed soon."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.app import App, ScriptedMailer
from tests.crash.servers import Server, own_server, programs
from tests.draining import DrainingWorker
from worker.config import InboxSection
from worker.domain.routine import Routine
from worker.domain.rules import Rules
from worker.jobs.cluster import ClusterTiming
from worker.jobs.cluster_tasks import install
from worker.notify import Composer
from worker.pipeline.services import Services
from worker.sources.folder import Inbox
from worker.sources.formats.child import Reader
from worker.store import Store

QUICK = ClusterTiming(
    heartbeat_every_s=0.2, stale_s=1.5, polls_every_s=0.2, ends_within_s=1.0, longest_pause_s=1
)


@pytest.fixture
def cluster_store(postgres_url: str) -> Iterator[Store]:
    """A store in its own schema, with the engine's tables."""
    store = Store.open(postgres_url)
    install(store)
    yield store
    store.close()


@pytest.fixture
def app(
    cluster_store: Store,
    tmp_path: Path,
    composer: Composer,
    routines: tuple[Routine, ...],
    reader: Reader,
) -> App:
    """All services on PostgreSQL, with a clock that is set."""
    (tmp_path / "inbox").mkdir()
    mailer = ScriptedMailer()
    services = Services(
        store=cluster_store,
        inbox=Inbox(tmp_path / "inbox", InboxSection(), read_many=reader.read_many),
        mailer=mailer,
        composer=composer,
        routines=routines,
        rules=Rules(),
        sender="Easeback <easeback@example.org>",
    )
    return App(services, mailer)


@pytest.fixture
def worker_in(app: App, reader: Reader) -> Callable[[], DrainingWorker]:
    """Another worker of the cluster, with its own state of the inbox."""

    def make() -> DrainingWorker:
        old = app.services.inbox
        inbox = Inbox(old.folder, old.settings, read_many=reader.read_many)
        services = replace(app.services, inbox=inbox)
        return DrainingWorker(services, app.clock, mailer=lambda: app.mailer, timing=QUICK)

    return make


@pytest.fixture
def own_postgres() -> Iterator[Server]:
    """A PostgreSQL that may be killed; the test is skipped if none can be started."""
    if programs() is None:
        reason = "no initdb to make a PostgreSQL with: install postgresql"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with own_server() as server:
        yield server
