"""Locks: one worker at a time, and one writer at a time.

The worker's lock on a SQLite database consists of one on a file beside it, which names the
holder, and one on the database file itself, which works under every name of the file. On
PostgreSQL it is an advisory lock, which several workers may share. A lock ends with its holder,
so a killed worker leaves nothing to clean up. A holder checks from time to time whether it still
has the lock. Reading, and the small writes of commands and pages, don't need it.

`WriteQueue` lets the threads of one process write in the order in which they came. SQLite lets
one write at a time, and the others retry with longer and longer pauses, so the one that has
just written retries first. A page could thus wait for seconds behind two hundred weekly mails.
In the queue, it waits for one of them.
"""

import errno
import fcntl
import os
import struct
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from worker.store.file_system import without_locks

_ADVISORY_KEY = 0x6261_636B  # "back" in ASCII; combined with the schema, as there may be several
_MOST_NAMED = 5
_TAKE = text("SELECT pg_try_advisory_lock(:key, hashtext(current_schema()))")
_SHARE = text("SELECT pg_try_advisory_lock_shared(:key, hashtext(current_schema()))")
_RELEASE = text("SELECT pg_advisory_unlock_all()")
_HOLDERS = text(
    "SELECT application_name, mode FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE locktype = 'advisory' AND classid = :key AND granted AND datname = current_database() "
    "AND objid = hashtext(current_schema())::bit(32)::bigint::oid ORDER BY backend_start"
)


_FAR_BYTE = 1 << 62, 1  # far beyond what SQLite locks, and beyond the end of any file
_SHARED_BYTES = 0x4000_0002, 510  # the bytes that SQLite locks for exclusive access
_STAMP_AT = 68  # offset of the "application ID" (https://www.sqlite.org/fileformat.html)
_STAMP_BYTES = 4
_OVERWRITTEN = "overwritten"

Identity = tuple[int, int]
"""The identity of a file, whatever its name: its device and inode numbers."""


class WorkerLock(Protocol):
    """A worker's lock on the database, taken on creation."""

    def stamped(self, stamp: int) -> None:
        """Expect this stamp in the SQLite file from now on."""

    def check(self) -> None:
        """Raises `LockLostError`, `LockedError` or an error of the database."""

    def release(self) -> None: ...


class LockedError(Exception):
    """Another worker runs on this database; the message names it."""


class LockLostError(Exception):
    """The worker's database is gone, or another worker has it; the message says which."""


class WriteQueueError(Exception):
    """The wait for this thread's turn took too long."""


class WriteQueue:
    """Lets one thread write at a time, in the order in which they came."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._is_taken = False

    @contextmanager
    def turn(self, *, within_s: float) -> Iterator[None]:
        """Wait for this thread's turn, until the block ends; raises `WriteQueueError`."""
        mine = threading.Event()
        with self._lock:
            if self._is_taken:
                self._waiting.append(mine)
            else:
                self._is_taken = True
                mine.set()
        try:
            if not mine.wait(within_s):
                raise WriteQueueError
            yield
        finally:
            with self._lock:
                # A thread whose turn never came just leaves the queue.
                if mine in self._waiting:
                    self._waiting.remove(mine)
                elif self._waiting:
                    self._waiting.popleft().set()
                else:
                    self._is_taken = False


class FileLock:
    """The lock of the only worker on a SQLite database; raises `LockedError` if it's taken."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamps: list[int] = []
        self._stamping = threading.Lock()
        self._overwritten = False
        real = file.resolve()
        path = real.with_name(f"{real.name}.lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._beside = os.fdopen(descriptor, "r+")
        has_lock = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            with self._beside:
                holder = self._beside.readline().strip() or "unknown"
            raise LockedError(
                f"another worker (process {holder}) is at work on this database"
            ) from error
        except OSError:
            has_lock = False  # a file system without these locks may support the others
        try:
            self._identity, is_locked = _lock_itself(real)
            if not (has_lock or is_locked):
                raise LockedError(without_locks(real.parent))
        except LockedError:
            self._beside.close()
            raise
        self._beside.truncate()
        self._beside.write(f"{os.getpid()}\n{self._identity}\n")
        self._beside.flush()

    def stamped(self, stamp: int) -> None:
        """Expect this stamp in the file's header, as soon as SQLite writes it there.

        A file that shows neither it nor the earlier stamp isn't this worker's database any more.
        """
        if self._identity is None:
            return
        with self._stamping:
            if not self._stamps:
                self._stamps = [_stamp_in(_open_files[self._identity]) or 0]
            self._stamps.append(stamp)

    def check(self) -> None:
        """Raise `LockLostError` if the file is gone, or another is or was in its place.

        Another one that was copied into the file itself is recognised by its stamp.
        """
        found = _identity_of(self._file)
        if self._identity is None:
            return
        if found == self._identity:
            with self._stamping:
                if self._stamps and not self._overwritten:
                    stamp = _stamp_in(_open_files[found])
                    if stamp in self._stamps:
                        del self._stamps[: self._stamps.index(stamp)]
                    else:
                        self._overwritten = True
                        self._leave_log()
                if self._overwritten:
                    raise LockLostError(overwritten_in_words(self._file))
            return
        if found is None:
            raise LockLostError(
                f"the database {self._file} has gone from under the worker: nothing is done until "
                "it's back; or restore a copy, and start the worker again"
            )
        raise LockLostError(
            f"another file is in the place of the database {self._file} under the worker: nothing "
            "is written to it until the worker is started again"
        )

    def release(self) -> None:
        if self._identity is not None:
            for where in (_FAR_BYTE, _SHARED_BYTES):
                _lock_bytes(_open_files[self._identity], fcntl.F_UNLCK, where)
        self._beside.close()

    def _leave_log(self) -> None:
        """Keep old content in SQLite's log from getting into the new file.

        Also leaves the reason for those who find the lock.
        """
        real = self._file.resolve()
        self._beside.write(f"{_OVERWRITTEN}\n")
        self._beside.flush()
        if self._identity is not None:
            # This prevents exclusive access, which the last connection takes on closing.
            _lock_bytes(_open_files[self._identity], fcntl.F_RDLCK, _SHARED_BYTES)
        for end in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                real.with_name(f"{real.name}{end}").replace(
                    real.with_name(f"{real.name}{end}.overwritten")
                )


_open_files: dict[Identity, int] = {}
"""Database files once locked by this process. They are never closed, because that would release
SQLite's own locks of this process (https://www.sqlite.org/howtocorrupt.html, 2.2)."""


def _identity_of(file: Path) -> Identity | None:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _lock_itself(file: Path) -> tuple[Identity | None, bool]:
    """Lock the database file; returns its identity (None if it is missing), and if it was locked.

    Raises `LockedError` if another worker has it.
    """
    identity = _identity_of(file)
    if identity is None:
        return None, False
    if identity not in _open_files:
        _open_files[identity] = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        _lock_bytes(_open_files[identity], fcntl.F_WRLCK)
    except OSError as error:  # other errors: a file system without such locks
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise LockedError(
                "another worker is at work on this database, under another name of its file"
            ) from error
        return identity, False
    return identity, sys.platform == "linux"


def _lock_bytes(descriptor: int, kind: int, where: tuple[int, int] = _FAR_BYTE) -> None:
    """Lock bytes for the open file and not for the process, if the system supports that."""
    if sys.platform == "linux":
        wanted = struct.pack("hhqqi", kind, os.SEEK_SET, *where, 0)
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)


def _stamp_in(descriptor: int) -> int | None:
    """The stamp in the header of a SQLite file; None if it has no header."""
    found = os.pread(descriptor, _STAMP_BYTES, _STAMP_AT)
    return int.from_bytes(found, "big") if len(found) == _STAMP_BYTES else None


def clear_stamp(copy: BinaryIO) -> None:
    """Clear the stamp of a copy, which isn't any worker's database."""
    copy.seek(_STAMP_AT)
    copy.write(bytes(_STAMP_BYTES))
    copy.flush()


def overwritten_in_words(file: Path) -> str:
    """The message if the database was overwritten while the worker was running."""
    return (
        f"the database {file} was written over under the worker: nothing is done until the worker "
        "is started again (`easeback restore FILE` puts a copy in its place, with the worker "
        "stopped)"
    )


def works_elsewhere(file: Path) -> bool:
    """True if a running worker has another file open than the present one."""
    told = _told_beside(file)
    return len(told) > 1 and told[1] != str(_identity_of(file))


def is_overwritten(file: Path) -> bool:
    """True if the file was overwritten while its worker was running, and it still runs."""
    return _OVERWRITTEN in _told_beside(file)


def _told_beside(file: Path) -> Sequence[str]:
    """The lines that the running worker has written beside the database; none without one."""
    real = file.resolve()
    with suppress(OSError), real.with_name(f"{real.name}.lock").open() as beside:
        try:
            fcntl.flock(beside, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return beside.read().splitlines()
    return ()


class AdvisoryLock:
    """A lock in PostgreSQL, which lasts as long as its connection.

    `is_shared`: held together with other workers, and lost for good with its connection.
    Otherwise it is taken again after a lost connection, if nobody else has it by then. Raises
    `LockedError` if it is taken.
    """

    def __init__(self, engine: Engine, *, is_shared: bool = False) -> None:
        self._engine = engine
        self._is_shared = is_shared
        self._turn = threading.Lock()
        self._connection: Connection | None = self._take()

    def stamped(self, stamp: int) -> None:
        """Does nothing: there is no file."""

    def check(self) -> None:
        """Raise `LockLostError`, `LockedError` or the database's error if it isn't held."""
        with self._turn:
            if self._connection is not None:
                try:
                    self._connection.execute(text("SELECT 1"))
                except DBAPIError:
                    self._end()
                else:
                    return
            if self._is_shared:
                raise LockLostError("the connection that held this worker's place has died")
            self._connection = self._take()

    def release(self) -> None:
        """Release the lock now; closing the connection would do so only later."""
        with self._turn:
            if self._connection is not None:
                with suppress(SQLAlchemyError):
                    self._connection.execute(_RELEASE)
                self._end()

    def _end(self) -> None:
        """Close the connection. SQLAlchemy only drops one that is detached and has died."""
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.close()
            if self._driver_connection is not None:
                self._driver_connection.close()
            self._connection = None

    def _take(self) -> Connection:
        # The lock belongs to the session, so no transaction is left open.
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._driver_connection = connection.connection.driver_connection
        # Not returned to the pool, because the lock lasts as long as its connection.
        connection.detach()
        try:
            take = _SHARE if self._is_shared else _TAKE
            is_taken = connection.execute(take, {"key": _ADVISORY_KEY}).scalar_one()
            holders = connection.execute(_HOLDERS, {"key": _ADVISORY_KEY}).all()
            if is_taken:
                return connection
            if self._is_shared:
                alone = [row.application_name for row in holders if row.mode == "ExclusiveLock"]
                raise LockedError(
                    f"a worker that works alone ({', '.join(alone) or 'unknown'}) is at work on "
                    'this database: stop it, or give it [engine] kind = "procrastinate" as well'
                )
            raise LockedError(_in_words([row.application_name for row in holders]))
        except BaseException:
            connection.close()
            raise


def _in_words(holders: Sequence[str]) -> str:
    if len(holders) > 1:
        named = ", ".join(holders[:_MOST_NAMED])
        more = f" and {len(holders) - _MOST_NAMED} more" if len(holders) > _MOST_NAMED else ""
        return f"several workers ({named}{more}) are at work on this database: stop them first"
    return f"another worker ({holders[0] if holders else 'unknown'}) is at work on this database"
