"""The worker's lock: held by the database whatever its name, and noticed when lost."""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.app import NOW, App
from tests.command import ROOT
from worker.pipeline.deliver import deliver
from worker.pipeline.weekly import queue_weekly
from worker.store import LockedError, Store, StoreError
from worker.store.lock import AdvisoryLock, is_overwritten

linux = pytest.mark.skipif(sys.platform != "linux", reason="locks of open files are Linux's")


def by_symlink(file: Path) -> Path:
    other = file.with_name("link.db")
    other.symlink_to(file)
    return other


def by_symlinked_folder(file: Path) -> Path:
    folder = file.parent / "link"
    folder.symlink_to(file.parent)
    return folder / file.name


def by_hard_link(file: Path) -> Path:
    other = file.with_name("hard.db")
    os.link(file, other)
    return other


def without_the_lock_file(file: Path) -> Path:
    file.with_name(f"{file.name}.lock").unlink()
    return file


@linux
@pytest.mark.parametrize(
    "named", [by_symlink, by_symlinked_folder, by_hard_link, without_the_lock_file]
)
def test_a_second_worker_is_refused_whatever_name_it_has_for_the_file(
    sqlite_url: str, named: Callable[[Path], Path]
) -> None:
    """It gets its turn once the first one ends; SQLite's own locks aren't affected."""
    with closing(Store.open(sqlite_url)) as store:
        assert store.file is not None
        with store.sole_worker():
            url = f"sqlite:///{named(store.file)}"
            assert "at work on this database" in second_worker(url)
            with store.transaction() as tx:
                assert tx.athletes.count() == 0
            assert "at work on this database" in second_worker(url)
        assert second_worker(url) == ""


NO_FLOCK = "import fcntl\ndef none(*_): raise OSError(37, 'none')\nfcntl.flock = none\n"


def second_worker(url: str, *, shim: str = "") -> str:
    """The message of a second process that wants to work on this database."""
    program = shim + (
        "import sys; from worker.store import Store; "
        "Store.open(sys.argv[1]).sole_worker().__enter__()"
    )
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", program, url],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        cwd=ROOT,
    )
    return done.stderr


def no_locks(*_: object) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


@linux
def test_without_one_kind_of_lock_the_other_holds(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems have byte-range locks and no whole-file locks."""
    with closing(Store.open(sqlite_url)) as store:
        monkeypatch.setattr("worker.store.lock.fcntl.flock", no_locks)
        with store.sole_worker():
            assert "under another name of its file" in second_worker(sqlite_url, shim=NO_FLOCK)


def test_a_lock_file_that_cannot_be_opened_is_said_in_one_line(sqlite_url: str) -> None:
    """Root's, for example, after the worker was started with `sudo` once."""
    with closing(Store.open(sqlite_url)) as store:
        assert store.file is not None
        store.file.with_name(f"{store.file.name}.lock").mkdir()
        with pytest.raises(StoreError, match=r"db.lock can't be opened"), store.sole_worker():
            pass


def test_a_file_system_without_locks_is_refused_in_one_line(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise two workers on one file would each believe to be alone."""
    with closing(Store.open(sqlite_url)) as store:
        monkeypatch.setattr("worker.store.lock.fcntl.flock", no_locks)
        monkeypatch.setattr("worker.store.lock.fcntl.fcntl", no_locks)
        with pytest.raises(LockedError, match="has no locks, so nobody could tell"):
            store.sole_worker().__enter__()


def test_a_database_that_is_busy_for_want_of_locks_says_so(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite has no other error for locks that a file system refuses."""
    with closing(Store.open(sqlite_url)) as store:
        holder = sqlite3.connect(store.file or "")
        holder.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr("worker.store.file_system.fcntl.lockf", no_locks)
        with pytest.raises(StoreError, match="has no locks"), store.transaction(within_s=0.1):
            pass
        monkeypatch.undo()
        with (
            pytest.raises(StoreError, match="another program holds it locked"),
            store.transaction(within_s=0.1),
        ):
            pass
        holder.close()


# Replaced under the worker


def gone(file: Path) -> None:
    file.unlink()


def swapped(file: Path) -> None:
    other = file.with_name("other.db")
    Store.open(f"sqlite:///{other}").close()
    other.replace(file)


def content(folder: Path) -> dict[str, bytes]:
    files = [one for one in folder.glob("easeback.db*") if not one.name.endswith("-shm")]
    return {one.name: one.read_bytes() for one in files}


@pytest.mark.parametrize("breaks", [gone, swapped])
def test_nothing_is_written_where_the_database_was(
    sqlite_url: str, breaks: Callable[[Path], None]
) -> None:
    """Over new and old connections; with the file back in place, the work continues."""
    with closing(Store.open(sqlite_url)) as store, store.sole_worker():
        assert store.file is not None
        kept = store.file.with_name("kept.db")
        os.link(store.file, kept)
        breaks(store.file)
        before = content(store.file.parent)
        for _ in range(2):
            with pytest.raises(StoreError, match="under the worker"), store.transaction() as tx:
                tx.progress.clear_ticks(but=())
            with pytest.raises(StoreError, match="under the worker"), store.reading() as tx:
                tx.progress.ticks()
            store.engine.dispose()  # the next connection is a new one
        with pytest.raises(StoreError, match="under the worker"):
            store.assert_held()
        assert content(store.file.parent) == before
        kept.replace(store.file)
        store.assert_held()
        with store.transaction() as tx:
            tx.progress.clear_ticks(but=())


def test_status_knows_of_a_worker_that_has_another_file_open(sqlite_url: str) -> None:
    """Nothing else would notice: both databases are valid."""
    with closing(Store.open(sqlite_url)) as store, closing(Store.at(sqlite_url)) as asking:
        assert not asking.works_elsewhere()
        with store.sole_worker():
            assert not asking.works_elsewhere()
            assert store.file is not None
            swapped(store.file)
            assert asking.works_elsewhere()
        assert not asking.works_elsewhere()


def scheduled_copy(store: Store) -> Path:
    """A copy as the worker and `easeback backup` make it."""
    assert store.file is not None
    copy = store.file.with_name("copy.db")
    store.copy_to(copy)
    return copy


def plain_copy(store: Store) -> Path:
    """A copy by `cp`, made one stamp ago."""
    assert store.file is not None
    store.empty_log()
    copy = store.file.with_name("copy.db")
    shutil.copy(store.file, copy)
    store.stamp()
    return copy


@linux
@pytest.mark.parametrize("copied", [scheduled_copy, plain_copy])
def test_a_copy_over_the_database_is_noticed(
    sqlite_url: str, copied: Callable[[Store], Path]
) -> None:
    """`cp` writes into the same file: nothing more is written to it, not even from the WAL."""
    with closing(Store.open(sqlite_url)) as store:
        with store.sole_worker():
            assert store.file is not None
            store.stamp()
            with store.transaction() as tx:
                tx.progress.ticked("before", at=NOW)
            copy = copied(store)
            with store.transaction() as tx:
                tx.progress.ticked("after", at=NOW)
            shutil.copy(copy, store.file)
            for _ in range(2):
                with pytest.raises(StoreError, match="was written over"):
                    store.assert_held()
                with pytest.raises(StoreError, match="was written over"), store.transaction() as tx:
                    tx.progress.ticked("later", at=NOW)
                with pytest.raises(StoreError, match="was written over"):
                    store.stamp()
            assert is_overwritten(store.file)
        assert not is_overwritten(store.file)
        assert store.file.read_bytes() == copy.read_bytes()
    with closing(Store.open(sqlite_url)) as store, store.sole_worker():
        with store.reading() as tx:
            assert set(tx.progress.ticks()) == {"before"}
        store.check()
        store.stamp()
        store.assert_held()


def test_what_sqlite_does_by_itself_is_no_copy(sqlite_url: str) -> None:
    """Stamps still in the WAL, a VACUUM, other processes."""
    with closing(Store.open(sqlite_url)) as store, store.sole_worker():
        store.stamp()
        with closing(Store.at(sqlite_url)) as other, other.reading() as tx:
            tx.progress.ticks()
            for number in range(5):
                store.stamp()
                with store.transaction() as write:
                    write.progress.ticked(f"{number}", at=NOW)
                store.assert_held()
        store.compact()
        store.assert_held()
        store.stamp()
        store.assert_held()


# A lost connection


@pytest.fixture
def end_connections(postgres_url: str) -> Callable[[], None]:
    """End every other connection that holds a worker's lock."""

    def end() -> None:
        engine = create_engine(postgres_url)
        with engine.begin() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks "
                    "WHERE locktype = 'advisory' AND pid <> pg_backend_pid() "
                    "AND objid = hashtext(current_schema())::bit(32)::bigint::oid"
                )
            )
        engine.dispose()

    return end


def test_a_lock_whose_connection_died_is_taken_anew(
    postgres_url: str, end_connections: Callable[[], None]
) -> None:
    """The server was restarted, and nobody else took the lock."""
    with closing(Store.open(postgres_url)) as store, closing(Store.open(postgres_url)) as other:
        with store.sole_worker():
            end_connections()
            store.assert_held()
            with pytest.raises(LockedError):
                other.sole_worker().__enter__()
        with other.sole_worker():
            pass


def test_a_lock_that_another_has_by_now_is_missed(
    postgres_url: str, end_connections: Callable[[], None]
) -> None:
    """In one line; and it's taken again once the other has gone."""
    with (
        closing(Store.open(postgres_url)) as store,
        closing(Store.open(postgres_url)) as other,
        store.sole_worker(),
    ):
        end_connections()
        with other.sole_worker():
            for _ in range(2):
                with pytest.raises(StoreError, match=r"another worker .* is at work"):
                    store.assert_held()
        store.assert_held()


def test_a_share_whose_connection_died_is_gone(
    postgres_url: str, end_connections: Callable[[], None]
) -> None:
    """A worker of several rejoins under another name."""
    with closing(Store.open(postgres_url)) as store, store.cluster_member():
        store.assert_held()
        end_connections()
        for _ in range(2):
            with pytest.raises(StoreError, match="held this worker's place has died"):
                store.assert_held()


def weekly_waits(app: App) -> None:
    anna = app.athlete(timezone="UTC")
    with app.services.store.transaction() as tx:
        tx.athletes.weekly_done(anna, next_at=app.now)
    queue_weekly(app.services, anna, app.now)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_mail_goes_once_another_worker_has_the_lock(
    app: App, database_url: str, end_connections: Callable[[], None]
) -> None:
    """The other worker may send that very mail."""
    weekly_waits(app)
    with closing(Store.open(database_url)) as other, app.services.store.sole_worker():
        end_connections()
        with other.sole_worker():
            with pytest.raises(StoreError, match="another worker"):
                deliver(app.services, app.clock)
            assert app.mailer.taken == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_mail_goes_once_the_database_has_gone(app: App) -> None:
    """The file's content isn't known any more."""
    weekly_waits(app)
    with app.services.store.sole_worker():
        assert app.services.store.file is not None
        swapped(app.services.store.file)
        with pytest.raises(StoreError, match="under the worker"):
            deliver(app.services, app.clock)
    assert app.mailer.taken == []


def test_a_place_whose_connection_has_died_leaves_none_open(postgres_url: str) -> None:
    """A connection that was detached from the pool isn't closed by anything else."""
    engine = create_engine(postgres_url)
    ours = AdvisoryLock(engine, is_shared=True)
    driver_connection = ours._driver_connection
    assert driver_connection is not None
    assert ours._connection is not None
    ours._connection.invalidate()  # as losing the server does
    ours.release()
    engine.dispose()
    assert driver_connection.closed
