"""Locks: one worker at a time, and one writer at a time.

The worker's lock is one on a file beside the SQLite database, or one in PostgreSQL, which several
workers may share. It ends with its holder, so a killed worker leaves nothing to clean up. Reading,
and the small writes of commands and pages, need no such lock.

`WriteQueue` lets the threads of one process write in the order in which they came. SQLite lets one
write at a time; the others retry, each time later, and whoever has just written is the first to
retry. Behind two hundred weekly mails in a row a page could wait for seconds that way. In the queue
it waits for one of them.
"""

import fcntl
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

_ADVISORY_KEY = 0x6261_636B  # "back" in ASCII; beside it stands the schema, as there may be several
_MOST_NAMED = 5
_TAKE = text("SELECT pg_try_advisory_lock(:key, hashtext(current_schema()))")
_SHARE = text("SELECT pg_try_advisory_lock_shared(:key, hashtext(current_schema()))")
_RELEASE = text("SELECT pg_advisory_unlock_all()")
_HOLDERS = text(
    "SELECT application_name, mode FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE locktype = 'advisory' AND classid = :key AND granted AND datname = current_database() "
    "AND objid = hashtext(current_schema())::bit(32)::bigint::oid ORDER BY backend_start"
)


class LockedError(Exception):
    """Another worker runs on this database; the message names it."""


class WriteQueueError(Exception):
    """It took too long until it was this thread's turn."""


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
                # A thread whose turn never came only leaves the queue.
                if mine in self._waiting:
                    self._waiting.remove(mine)
                elif self._waiting:
                    self._waiting.popleft().set()
                else:
                    self._is_taken = False


@contextmanager
def sole_worker(engine: Engine, file: Path | None) -> Iterator[None]:
    """Hold the lock until the block ends; raises `LockedError` where it's taken."""
    if file is not None:
        with _lock_file(file.with_name(f"{file.name}.lock")):
            yield
        return
    with engine.connect() as connection:
        # Closed afterwards, not pooled: the lock lasts as long as its connection.
        connection.detach()
        taken = connection.execute(_TAKE, {"key": _ADVISORY_KEY}).scalar_one()
        holders = connection.execute(_HOLDERS, {"key": _ADVISORY_KEY}).all()
        connection.commit()
        if not taken:
            raise LockedError(_in_words([row.application_name for row in holders]))
        with _released(connection):
            yield


@contextmanager
def cluster_member(engine: Engine) -> Iterator[Callable[[], None]]:
    """Share the lock until the block ends; raises `LockedError` where a worker has it alone.

    Gives a function that raises where the connection that holds the share has gone.
    """
    with engine.connect() as connection:
        connection.detach()
        taken = connection.execute(_SHARE, {"key": _ADVISORY_KEY}).scalar_one()
        holders = connection.execute(_HOLDERS, {"key": _ADVISORY_KEY}).all()
        connection.commit()
        if not taken:
            alone = [row.application_name for row in holders if row.mode == "ExclusiveLock"]
            raise LockedError(
                f"a worker that works alone ({', '.join(alone) or 'unknown'}) is at work on this "
                'database: stop it, or give it [engine] kind = "procrastinate" as well'
            )

        def still_holds() -> None:
            connection.execute(text("SELECT 1"))
            connection.commit()

        with _released(connection):
            yield still_holds


@contextmanager
def _released(connection: Connection) -> Iterator[None]:
    """Release the lock at the end of the block: closing the connection does so only later."""
    try:
        yield
    finally:
        with suppress(SQLAlchemyError):
            connection.execute(_RELEASE)
            connection.commit()


def _in_words(holders: Sequence[str]) -> str:
    if len(holders) > 1:
        named = ", ".join(holders[:_MOST_NAMED])
        more = f" and {len(holders) - _MOST_NAMED} more" if len(holders) > _MOST_NAMED else ""
        return f"several workers ({named}{more}) are at work on this database: stop them first"
    return f"another worker ({holders[0] if holders else 'unknown'}) is at work on this database"


def _lock_file(path: Path) -> TextIO:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    file = os.fdopen(descriptor, "r+")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        with file:
            holder = file.read().strip() or "unknown"
        raise LockedError(
            f"another worker (process {holder}) is at work on this database"
        ) from error
    file.truncate()
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file
