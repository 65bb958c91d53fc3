"""The store: all SQL is in this package. SQLite and PostgreSQL, through SQLAlchemy Core.

    store = Store.open("sqlite:////var/lib/easeback/easeback.db")
    with store.transaction() as tx:
        tx.runs.save(athlete, recordings, now=now, today=today)
        tx.outbox.enqueue(...)

A transaction is all or nothing: findings and the mail about them are saved together. It holds the
writer's lock from its beginning, so nothing slow (network, disk, parsing) happens inside one.
"""

import os
import secrets
import socket
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry

from worker.domain.matching import FILES_PRECEDENCE
from worker.domain.models import SourceName
from worker.domain.rules import Rules
from worker.store import high_water
from worker.store.athletes import NameTakenError
from worker.store.encryption import DecryptError, Encrypter
from worker.store.file_system import has_locks, without_locks
from worker.store.findings import StoredFinding
from worker.store.lock import (
    AdvisoryLock,
    FileLock,
    LockedError,
    LockLostError,
    WorkerLock,
    WriteQueue,
    WriteQueueError,
    clear_stamp,
    is_overwritten,
    overwritten_in_words,
    works_elsewhere,
)
from worker.store.runs import Change, StoredRun
from worker.store.tables import DUE_AT_ONCE
from worker.store.transaction import Transaction

__all__ = [
    "DUE_AT_ONCE",
    "Change",
    "DecryptError",
    "Encrypter",
    "LockedError",
    "NameTakenError",
    "Store",
    "StoreAddressError",
    "StoreError",
    "StoredFinding",
    "StoredRun",
    "Transaction",
]

BUSY_TIMEOUT_S = 30
_BUSY_RETRY_S = 0.01
_WAITS_FOR_READERS_S = 1.0
_LONGEST_NAME = 63  # PostgreSQL truncates longer names, with a notice
HEAD = "0019"
"""The schema of this version of Easeback: the last of `migrations/versions`."""


class StoreError(Exception):
    """The database can't be used; the message says why, and how to fix it."""


class StoreAddressError(StoreError):
    """`database_url` isn't the address of a database that Easeback supports."""


@dataclass(frozen=True, slots=True)
class Store:
    """A database with the schema of this version."""

    engine: Engine
    rules: Rules = field(default_factory=Rules)
    precedence: Mapping[SourceName, int] = field(default_factory=lambda: FILES_PRECEDENCE)
    write_queue: WriteQueue = field(default_factory=WriteQueue, repr=False)
    locks: list[WorkerLock] = field(default_factory=list, repr=False)

    @classmethod
    def open(
        cls,
        url: str,
        *,
        rules: Rules | None = None,
        precedence: Mapping[SourceName, int] = FILES_PRECEDENCE,
        traces: Iterable[Path] = (),
        before_upgrade: Callable[["Store"], None] = lambda _: None,
    ) -> "Store":
        """Connect, and bring the schema up to date; raises `StoreError`.

        A missing or empty SQLite database is created, unless one of `traces`, a file or a
        non-empty folder, shows that there was one. `before_upgrade` is called with a store that
        has an older schema.
        """
        store = cls(_engine(url), rules or Rules(), precedence)
        store.refuse_missing(traces)
        try:
            if store.file is not None:
                store.file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the database's folder can't be made: {error.strerror}: {error.filename}"
            ) from error
        try:
            found = store.schema()
            if found is not None and found > HEAD:
                raise StoreError(
                    f"the database has schema {found}, made by a newer Easeback; this one knows up "
                    f"to {HEAD}: install the newer version again, or restore a backup from before"
                )
            if found != HEAD:
                from worker.store.migrations import upgrade

                with store._translated():
                    if found is not None:
                        before_upgrade(store)
                    upgrade(store.engine)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def at(cls, url: str) -> "Store":
        """The database at this address, unchecked: there may be none, or a damaged one."""
        return cls(_engine(url))

    @contextmanager
    def transaction(self, *, within_s: float = BUSY_TIMEOUT_S) -> Iterator[Transaction]:
        """Write: committed at the end of the block, rolled back on an exception.

        `within_s`: how long to wait for another writer. Raises `StoreError`.
        """
        until = time.monotonic() + within_s
        with self._translated(), self._turn(within_s), self.engine.connect() as connection:
            waiting = connection.execution_options(
                easeback_waits_s=max(until - time.monotonic(), 0.0)
            )
            with waiting.begin():
                if not self.file and within_s < BUSY_TIMEOUT_S:
                    waits = f"SET LOCAL lock_timeout = '{within_s * 1000:.0f}ms'"
                    waiting.exec_driver_sql(waits)
                yield Transaction(waiting, self.rules, self.precedence)

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Read one consistent state; writing raises `StoreError`."""
        with self._translated(), self.engine.connect() as connection:
            reading = connection.execution_options(easeback_reading=True, postgresql_readonly=True)
            yield Transaction(reading, self.rules, self.precedence)

    def sole_worker(self) -> AbstractContextManager[None]:
        """Be the only worker on this database while inside.

        Raises `LockedError` if another one is, or `StoreError`.
        """
        return self._holding(
            lambda: FileLock(self.file) if self.file else AdvisoryLock(self.engine)
        )

    def cluster_member(self) -> AbstractContextManager[None]:
        """Be one of several on this PostgreSQL database while inside; raises `LockedError`."""
        return self._holding(lambda: AdvisoryLock(self.engine, is_shared=True))

    @contextmanager
    def _holding(self, take: Callable[[], WorkerLock]) -> Iterator[None]:
        try:
            with self._translated():
                lock = take()
        except OSError as error:
            raise StoreError(
                f"{error.filename} can't be opened ({error.strerror}): let Easeback write there"
            ) from error
        self.locks.append(lock)
        # If another file has replaced this one, no new or pooled connection is used.
        moments = ("do_connect", "checkout") if self.file else ()
        for moment in moments:
            event.listen(self.engine, moment, self.assert_held)
        try:
            with self._translated():
                yield
        finally:
            for moment in moments:
                event.remove(self.engine, moment, self.assert_held)
            self.locks.remove(lock)
            if self.file:
                # Its last connection writes into it on closing, so close while the lock is held.
                self.close()
            lock.release()

    def assert_held(self, *_: object) -> None:
        """Raise `StoreError` if this worker no longer holds its lock on the database.

        Also a listener for the engine's events, whose arguments are ignored.
        """
        try:
            with self._translated():
                for lock in self.locks:
                    lock.check()
        except (LockLostError, LockedError) as error:
            raise StoreError(str(error)) from error

    def stamp(self) -> None:
        """Write a new stamp into this worker's SQLite file, to distinguish it from its copies.

        `assert_held` then notices if a copy from before the last stamp overwrites the file. Raises
        `StoreError`.
        """
        if self.file is None:
            return
        stamp = secrets.randbelow(2**31 - 1) + 1
        show = f"PRAGMA application_id={stamp}"  # PRAGMA takes no parameters
        with self._translated(), self._turn(), self._autocommit() as connection:
            for lock in self.locks:
                lock.stamped(stamp)
            connection.exec_driver_sql(show)
            connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")

    def note_mail(self, number: int | None) -> None:
        """Write the number of mails that the database has counted into the file beside it."""
        if self.file is not None and number is not None:
            high_water.write_mark(self.file, number)

    def later_mark(self) -> int | None:
        """How many mails a later state of this database handed over, by the file beside it.

        None if this is the latest known state.
        """
        mark = high_water.read_mark(self.file) if self.file else None
        if mark is None:
            return None
        with self.reading() as tx:
            return mark if high_water.mails_counted(tx.connection) < mark else None

    def works_elsewhere(self) -> bool:
        """True if a running worker has another file open than this SQLite database."""
        return self.file is not None and works_elsewhere(self.file)

    @property
    def file(self) -> Path | None:
        """The SQLite file, or None on PostgreSQL."""
        url = self.engine.url
        return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None

    def schema(self) -> str | None:
        """The schema of the database, or None if it is empty; raises `StoreError`."""
        with self._translated(), self.engine.connect() as connection:
            if not self.engine.dialect.has_table(connection, "alembic_version"):
                return None
            version: str | None = connection.execute(
                text("SELECT version_num FROM alembic_version")
            ).scalar()
            return version

    def check(self) -> None:
        """Check the whole database; raises `StoreError` if it isn't sound."""
        if self.file is None:
            with self.reading() as tx:
                tx.athletes.all()
            return
        with self.reading() as tx:
            found = tx.connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
        if found != ["ok"]:
            raise StoreError(
                f"the database {self.file} is damaged ({str(found[0]).splitlines()[0]}): stop the "
                "worker and restore a backup (`easeback restore FILE`)"
            )

    def compact(self) -> bool:
        """Remove all traces of deleted rows from the file, its log, and PostgreSQL's pages.

        The whole database is rewritten, and nothing else can write meanwhile. False if the log is
        still being read. Raises `StoreError`.
        """
        with self._translated(), self._turn(), self._autocommit() as connection:
            connection.exec_driver_sql("VACUUM")
        return self.empty_log()

    def empty_log(self) -> bool:
        """Checkpoint and truncate SQLite's log; False if it is still being read.

        Deleted rows are overwritten in the database at once, but remain in the log. Nothing can
        write while this waits for readers, so it waits for at most a second. Raises `StoreError`.
        """
        if self.file is None:
            return True
        with self._translated(), self._autocommit(_WAITS_FOR_READERS_S) as connection:
            busy, *_ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
        return not busy

    def copy_to(self, path: Path) -> None:
        """Write a consistent copy of a SQLite database, whole or not at all, while others write.

        Raises `StoreError` on PostgreSQL, whose own `pg_dump` does this, or `OSError`.
        """
        if self.file is None:
            raise StoreError("this is a PostgreSQL database: back it up with pg_dump")
        part = path.with_name(f".{path.name}.part")
        part.unlink(missing_ok=True)
        try:
            with self._autocommit() as connection:
                connection.exec_driver_sql("VACUUM INTO ?", (str(part),))
            part.chmod(0o600)
            # VACUUM INTO doesn't sync the copy to the disk.
            with part.open("r+b") as written:
                clear_stamp(written)
                os.fsync(written.fileno())
            part.replace(path)
        except DBAPIError as error:
            raise StoreError(f"the copy {path} can't be written: {error.orig}") from error
        finally:
            part.unlink(missing_ok=True)

    def close(self) -> None:
        self.engine.dispose()

    def _autocommit(self, within_s: float = BUSY_TIMEOUT_S) -> Connection:
        """A connection without transactions, for statements that can't run inside one."""
        return self.engine.connect().execution_options(
            isolation_level="AUTOCOMMIT", easeback_waits_s=within_s
        )

    def _turn(self, within_s: float = BUSY_TIMEOUT_S) -> AbstractContextManager[None]:
        """Wait until it's this thread's turn to write; not on PostgreSQL, where many can write."""
        return self.write_queue.turn(within_s=within_s) if self.file else nullcontext()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise errors of the database, and of waiting for it, as `StoreError`."""
        try:
            yield
        except WriteQueueError as error:
            raise StoreError(
                f"the database {self.file} is busy: another piece of the work is writing to it"
            ) from error
        except DBAPIError as error:
            raise StoreError(_in_words(self.engine.url, error)) from error

    def refuse_missing(self, traces: Iterable[Path]) -> None:
        """Raise `StoreError` if `traces` show that there was a database, and it is missing.

        Otherwise a new database in place of a lost one would be reported as sound.
        """
        if self.file is None or (self.file.exists() and self.file.stat().st_size):
            return
        left = [str(one) for one in traces if one.is_file() or any(one.glob("*"))]
        if left:
            raise StoreError(
                f"there is no database at {self.file}, but there was one, which left "
                f"{' and '.join(left)}. Mount its disk, restore a copy (`easeback restore FILE`), "
                "or begin anew with an empty one (`easeback restore --begin-anew`)"
            )


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Not `from error`, which may contain a part of the password.
        raise StoreAddressError(
            "database_url is not a database address such as "
            "sqlite:////var/lib/easeback/easeback.db or postgresql+psycopg://user@host/name"
        ) from None
    if "@" in (parsed.host or ""):
        raise StoreAddressError("database_url: write @ in a password as %40")
    if parsed.drivername in {"postgres", "postgresql"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise StoreAddressError(
            f"database_url names {parsed.get_backend_name()}; "
            "SQLite and PostgreSQL are what Easeback supports"
        )
    is_sqlite = parsed.get_backend_name() == "sqlite"
    has_file = parsed.database not in {None, "", ":memory:"}
    if is_sqlite and not (has_file and parsed.drivername in {"sqlite", "sqlite+pysqlite"}):
        raise StoreAddressError(
            "database_url names no SQLite file: it begins with sqlite:///, and a path follows"
        )
    password = parsed.query.get("password")
    if isinstance(password, str):
        # In its usual place, the password is masked wherever the address is shown.
        parsed = parsed.difference_update_query(["password"]).set(password=password)
    return parsed


def _engine(address: str) -> Engine:
    url = _parsed(address)
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        # By this name, a second worker reports who has the lock.
        name = f"process {os.getpid()} on {socket.gethostname()}"
        return create_engine(
            url,
            pool_pre_ping=True,
            use_native_hstore=False,  # otherwise each new connection looks for the type
            connect_args={"application_name": name[:_LONGEST_NAME]},
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise StoreError(
            'PostgreSQL needs one more package: pip install "easeback[postgres]"'
        ) from error


def _set_up_sqlite(dbapi_connection: object, _: ConnectionPoolEntry) -> None:
    assert isinstance(dbapi_connection, sqlite3.Connection)  # noqa: S101  narrows the event's type
    # SQLAlchemy's "begin" event starts the transactions; the driver must not.
    dbapi_connection.isolation_level = None
    # If two processes switch a new database to WAL at once, SQLite lets one fail rather than
    # wait, whatever its time-out (https://www.sqlite.org/c3ref/busy_handler.html).
    until = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            dbapi_connection.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_BUSY_RETRY_S)
    for pragma in (
        # NORMAL can lose a committed "sent" in a power cut.
        "synchronous=FULL",
        "foreign_keys=ON",
        # Deleted rows are overwritten.
        "secure_delete=ON",
    ):
        dbapi_connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    reading = options.get("easeback_reading", False)
    waits_s = options.get("easeback_waits_s", BUSY_TIMEOUT_S)
    waits = f"PRAGMA busy_timeout={waits_s * 1000:.0f}"
    connection.exec_driver_sql(waits)
    # A write in a transaction that began as a read fails if another one has written since.
    connection.exec_driver_sql("PRAGMA query_only=ON" if reading else "PRAGMA query_only=OFF")
    if options.get("isolation_level") != "AUTOCOMMIT":  # VACUUM can't run inside a transaction
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _in_words(url: URL, error: DBAPIError) -> str:
    if isinstance(error, IntegrityError) and "foreign key" in str(error.orig).lower():
        return "the athlete was forgotten meanwhile: nothing more of theirs is kept"
    why = str(error.orig).strip().splitlines()[0]
    if url.get_backend_name() != "sqlite":
        return f"the database {url.render_as_string()} can't be used: {why}"
    where = url.database
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # the primary one
    if code == sqlite3.SQLITE_CORRUPT:
        return (
            f"the database {where} is damaged: stop the worker and restore a backup "
            "(`easeback restore FILE`)"
        )
    if code == sqlite3.SQLITE_BUSY:
        return _busy_in_words(Path(where or "."))
    disk = _trouble_with_disk(Path(where or "."), code)
    if disk is None:
        return f"the database {where} can't be used: {why}"
    return f"the database {where}: {disk}; nothing is lost, and the work goes on by itself"


def _busy_in_words(file: Path) -> str:
    if is_overwritten(file):
        return overwritten_in_words(file)
    if not has_locks(file.parent):  # SQLite calls that busy too
        return without_locks(file.parent)
    return (
        f"the database {file} is busy: another program holds it locked; the work goes on once "
        "it lets go"
    )


def _trouble_with_disk(file: Path, code: int) -> str | None:
    """A full or read-only disk, which SQLite sometimes reports as another error."""
    try:
        disk = os.statvfs(file.parent)
    except OSError:
        return None
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and not disk.f_bavail):
        return "its disk is full: make room"
    if code == sqlite3.SQLITE_READONLY or disk.f_flag & os.ST_RDONLY:
        return "it can't be written to (read-only): let Easeback write there"
    return None
