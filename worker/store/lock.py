"""One worker at a time: a lock on a file beside the SQLite database, or one in PostgreSQL.

The lock dies with its holder, so a killed worker leaves nothing to clean up. Reading, and the
small writes of commands and pages, need no lock.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, text

_ADVISORY_KEY = 0x6261_636B  # "back" in ASCII; beside it stands the schema, as there may be several
_TAKE = text("SELECT pg_try_advisory_lock(:key, hashtext(current_schema()))")
_HOLDER = text(
    "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE locktype = 'advisory' AND classid = :key AND granted AND datname = current_database() "
    "AND objid = hashtext(current_schema())::bit(32)::bigint::oid"
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
        holder = connection.execute(_HOLDER, {"key": _ADVISORY_KEY}).scalar()
        connection.commit()
        if not taken:
            raise LockedError(f"another worker ({holder or 'unknown'}) is at work on this database")
        yield


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
