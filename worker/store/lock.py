"""One worker at a time: a lock on a file beside the SQLite database, or one in PostgreSQL.

On PostgreSQL a crew may share that lock, and then none can have it alone. The lock dies with its
holder, so a killed worker leaves nothing to clean up. Reading, and the small writes of commands and
pages, need no lock.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

_ADVISORY_KEY = 0x6261_636B  # "back" in ASCII; beside it stands the schema, as there may be several
_MOST_NAMED = 5
_TAKE = text("SELECT pg_try_advisory_lock(:key, hashtext(current_schema()))")
_SHARE = text("SELECT pg_try_advisory_lock_shared(:key, hashtext(current_schema()))")
_GIVE_BACK = text("SELECT pg_advisory_unlock_all()")
_HOLDERS = text(
    "SELECT application_name, mode FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE locktype = 'advisory' AND classid = :key AND granted AND datname = current_database() "
    "AND objid = hashtext(current_schema())::bit(32)::bigint::oid ORDER BY backend_start"
)


class LockedError(Exception):
    """Another worker is at work on this database; the message names it."""


@contextmanager
def sole_worker(engine: Engine, file: Path | None) -> Iterator[None]:
    """Hold the lock for the length of the block; raises `LockedError` where it's taken."""
    if file is not None:
        with _file_lock(file.with_name(f"{file.name}.lock")):
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
        with _given_back(connection):
            yield


@contextmanager
def cluster_member(engine: Engine) -> Iterator[Callable[[], None]]:
    """Share the lock for the length of the block; raises `LockedError` where one has it alone.

    What is given raises where the connection that holds the share has gone.
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

        with _given_back(connection):
            yield still_holds


@contextmanager
def _given_back(connection: Connection) -> Iterator[None]:
    """Let go of the lock before whoever held it goes on: closing only asks the server to."""
    try:
        yield
    finally:
        with suppress(SQLAlchemyError):
            connection.execute(_GIVE_BACK)
            connection.commit()


def _in_words(holders: Sequence[str]) -> str:
    if len(holders) > 1:
        named = ", ".join(holders[:_MOST_NAMED])
        more = f" and {len(holders) - _MOST_NAMED} more" if len(holders) > _MOST_NAMED else ""
        return f"several workers ({named}{more}) are at work on this database: stop them first"
    return f"another worker ({holders[0] if holders else 'unknown'}) is at work on this database"


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+") as file:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = file.read().strip() or "unknown"
            raise LockedError(
                f"another worker (process {holder}) is at work on this database"
            ) from error
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
