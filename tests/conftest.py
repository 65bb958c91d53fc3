"""Fixtures shared by all tests: a database of each kind, a store on it, the whole application."""

import gc
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings

from simulators.empty_database import put_empty_database
from simulators.mail_lint import OURS, faults_of
from simulators.shared_reader import shared_reader
from tests.app import App, ScriptedMailer
from tests.schemas import Schemas
from tests.starts import started_by
from worker.app import shipped_file
from worker.config import InboxSection
from worker.domain.routine import Routine, parse_routines
from worker.domain.rules import Rules
from worker.links import Signer
from worker.notify import Composer
from worker.pipeline.services import Services
from worker.sources.folder import Inbox
from worker.sources.formats.child import Reader
from worker.sources.sections import PRECEDENCE
from worker.store import Store

POSTGRES_VARIABLE = "EASEBACK_TEST_POSTGRES"
POSTGRES_HERE = "postgresql+psycopg://postgres@127.0.0.1:5432/test"

# No deadlines: the machine may be busy.
settings.register_profile(
    "easeback",
    deadline=None,
    max_examples=30,
    derandomize=True,  # the same examples each time, so that failures are caused by changes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.register_profile(
    "thorough", settings.get_profile("easeback"), max_examples=1000, derandomize=False
)
settings.load_profile("easeback")


def pytest_configure() -> None:
    """Keep the tests' folders in memory if there's room, as SQLite syncs at each commit.

    Also keep compiled bytecode, so that processes started by tests needn't compile the worker
    again. Garbage collection is off during test collection, as its objects stay.
    """
    gc.disable()
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    memory = Path("/dev/shm")  # noqa: S108  pytest makes a folder of its own in it
    if memory.is_dir() and shutil.disk_usage(memory).free > 2**30:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by what it starts; `make check` runs those that start nothing."""
    for item in items:
        if isinstance(item, pytest.Function):
            for mark in started_by(item):
                item.add_marker(mark)


def pytest_collection_finish() -> None:
    """Turn garbage collection on, excluding the objects that exist by now."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def lint_of_every_mail_that_was_left(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[None]:
    """Lint every mail that a test left in a mailbox folder, at the end of the session."""
    yield
    faults = [
        f"{path}: {fault}"
        for path in sorted(tmp_path_factory.getbasetemp().rglob("*.eml"))
        if OURS in (content := path.read_bytes())
        for fault in faults_of(content)
    ]
    assert not faults, "\n".join(faults)


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """The address of a running PostgreSQL; without one the test is skipped, or fails in CI."""
    address = os.environ.get(POSTGRES_VARIABLE, POSTGRES_HERE)
    trouble = _trouble_with(address)
    if trouble is None:
        return address
    reason = (
        f"no PostgreSQL to test on ({trouble}): start one at 127.0.0.1:5432 with a database `test` "
        "that `postgres` may use without a password, or name one, and a user of it that may make "
        f"databases, in {POSTGRES_VARIABLE}"
    )
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _trouble_with(address: str) -> str | None:
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import ArgumentError, DBAPIError

    may_make = "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
    try:
        engine = create_engine(address, connect_args={"connect_timeout": 3})
        with engine.connect() as connection:
            makes_databases = connection.execute(text(may_make)).scalar_one()
        engine.dispose()
    except (ArgumentError, DBAPIError, ImportError) as error:
        return str(error).splitlines()[0]
    return None if makes_databases else "its user may not make databases"


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A SQLite file for one test."""
    return f"sqlite:///{tmp_path / 'easeback.db'}"


@pytest.fixture(scope="session")
def schemas(postgres_server: str) -> Iterator[Schemas]:
    """The PostgreSQL schemas of the tests."""
    schemas = Schemas(postgres_server)
    yield schemas
    schemas.close()


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest, schemas: Schemas) -> Iterator[str]:
    """A PostgreSQL schema for one test: empty, unless a store is opened in it."""
    opens = next((name for name in _PREPARED if name in request.fixturenames), None)
    with schemas.with_tables(_PREPARED[opens]) if opens else schemas.empty() as url:
        yield url


def _migrate(url: str) -> None:
    Store.open(url).close()


def _migrate_for_a_cluster(url: str) -> None:
    from worker.jobs.cluster_tasks import install

    with closing(Store.open(url)) as store:
        install(store)


_PREPARED = {"store": _migrate, "cluster_store": _migrate_for_a_cluster}


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    return str(request.getfixturevalue(name))


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A store on each kind of database, with the current schema."""
    if database_url.startswith("sqlite"):
        put_empty_database(Path(database_url.removeprefix("sqlite:///")))
    store = Store.open(database_url, precedence=PRECEDENCE)
    yield store
    store.close()


@pytest.fixture(scope="session")
def composer() -> Composer:
    """The real composer, shared because it's slow to make and holds no state of a mail."""
    return Composer(signer=Signer(("a key of the tests",), "http://127.0.0.1:8765"))


@pytest.fixture(scope="session")
def routines() -> tuple[Routine, ...]:
    """The shipped routine."""
    path = shipped_file("routine.example.toml")
    return parse_routines(path.read_text("utf-8"), name=str(path))


@pytest.fixture(scope="session")
def reader() -> Reader:
    """The real file reader, in a child process."""
    return shared_reader()


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody may read; other folders of tests are private to their owner."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def services(
    store: Store,
    tmp_path: Path,
    composer: Composer,
    routines: tuple[Routine, ...],
    reader: Reader,
) -> Services:
    """All services on each kind of database; only the mail server is fake."""
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    return Services(
        store=store,
        inbox=Inbox(inbox, InboxSection(), read_many=reader.read_many, reader=reader),
        mailer=ScriptedMailer(),
        composer=composer,
        routines=routines,
        rules=Rules(),
        sender="Easeback <easeback@example.org>",
    )


@pytest.fixture
def app(services: Services) -> App:
    """The services with a clock that is set."""
    assert isinstance(services.mailer, ScriptedMailer)
    return App(services, services.mailer)
