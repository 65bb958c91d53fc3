"""Restoring: a copy replaces a SQLite database, completely or not at all.

The copy itself is only read. The replacement is prepared beside the database, upgraded to the
current schema, and renamed last, so that a kill at any moment leaves either the old or the
restored database.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from worker.store import Store, StoreError, Transaction
from worker.store.high_water import write_mark

T = TypeVar("T")

_ANOTHER = "restore another copy; the database is as it was"


def restore(copy: Path, store: Store, *, aside: Path, mark: Callable[[Transaction], T]) -> T:
    """Replace the store's database by `copy`; the old one is moved to `aside`.

    `mark` is applied to the copy before that. To be called while no worker runs, on a store that
    was not opened. Raises `StoreError`; then nothing has changed.
    """
    if store.file is None:
        raise StoreError("this is a PostgreSQL database: restore it with pg_restore or psql")
    part = store.file.with_name(f".{store.file.name}.restored.part")
    try:
        _clear(part)
        _read(copy, part)
        done = _prepare(part, copy, mark)
        _put_aside(store, aside)
        part.replace(store.file)
        _sync(store.file.parent)
        with closing(sqlite3.connect(store.file)) as restored:
            write_mark(store.file, restored.execute("PRAGMA user_version").fetchone()[0])
    except OSError as error:
        raise StoreError(f"{copy} can't be restored: {error.strerror or error}") from error
    finally:
        _clear(part)
    return done


def _read(copy: Path, part: Path) -> None:
    """Read and check a copy by SQLite's own backup, which includes the copy's log."""
    try:
        with (
            closing(sqlite3.connect(f"file:{quote(str(copy))}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(part)) as target,
        ):
            source.backup(target)
            (found,) = target.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"the copy {copy} can't be restored: {error}; {_ANOTHER}") from error
    if found != "ok":
        why = str(found).splitlines()[-1]
        raise StoreError(f"the copy {copy} is damaged ({why}): {_ANOTHER}")
    part.chmod(0o600)


def athletes_in(copy: Path) -> frozenset[str]:
    """The athletes in a copy, identified by when they were added; none if it's damaged.

    Names and addresses may change, and every schema has this column.
    """
    url = f"file:{quote(str(copy))}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(url, uri=True)) as opened:
            return frozenset(added for (added,) in opened.execute("SELECT added_at FROM athlete"))
    except sqlite3.Error:
        return frozenset()


def _prepare(part: Path, copy: Path, mark: Callable[[Transaction], T]) -> T:
    url = f"sqlite:///{part}"
    unchecked = Store.at(url)
    is_ours = unchecked.schema() is not None
    unchecked.close()
    if not is_ours:
        raise StoreError(f"{copy} isn't a copy of Easeback's database")
    prepared = Store.open(url)
    try:
        with prepared.transaction() as tx:
            done = mark(tx)
        prepared.compact()
    finally:
        prepared.close()
    _sync(part)
    return done


def _put_aside(store: Store, aside: Path) -> None:
    """Move the old database; its log must not be applied to the restored one."""
    assert store.file is not None  # noqa: S101  checked by the caller
    if not store.file.exists():
        return
    with suppress(StoreError):  # a damaged database can't be compacted, and is moved as it is
        store.empty_log()
    store.close()
    aside.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copy2(store.file, aside)
    aside.chmod(0o600)
    for suffix in ("-wal", "-shm"):
        left = store.file.with_name(store.file.name + suffix)
        if left.exists():
            left.replace(aside.with_name(aside.name + suffix))


def _clear(part: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        part.with_name(part.name + suffix).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
