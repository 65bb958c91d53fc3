"""The store itself: transactions, one worker at a time, readable errors, copies."""

import os
import sqlite3
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from datetime import UTC, date, datetime, time, timedelta, timezone
from pathlib import Path
from threading import Barrier

import pytest

from tests.app import ADDED, NOW
from worker.domain.models import Athlete, Race, WeeklyHour
from worker.store import LockedError, NameTakenError, Store, StoreError

ANNA = Athlete(0, "Anna", "anna@example.org", ADDED)


def test_a_transaction_is_all_or_nothing(store: Store) -> None:
    """An error at its end undoes its beginning."""

    def fail_half_way() -> None:
        with store.transaction() as tx:
            tx.athletes.add(ANNA)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    with store.reading() as tx:
        assert tx.athletes.all() == ()


def test_two_that_connect_to_a_fresh_database_at_once_both_get_in(tmp_path: Path) -> None:
    """SQLite itself lets one of two fail in every thirtieth such pair; here none of 150 fails."""
    for number in range(150):
        stores = [Store.at(f"sqlite:///{tmp_path / f'{number}.db'}") for _ in range(2)]
        together = Barrier(len(stores))

        def connect(store: Store, together: Barrier = together) -> str:
            together.wait()
            with store.engine.connect() as connection:
                return str(connection.exec_driver_sql("PRAGMA journal_mode").scalar_one())

        with ThreadPoolExecutor(len(stores)) as pool:
            assert list(pool.map(connect, stores)) == ["wal", "wal"]
        for store in stores:
            store.close()


@pytest.mark.parametrize("place", [Store.sole_worker, Store.cluster_member])
def test_a_server_that_cannot_be_reached_is_said_in_words(
    place: Callable[[Store], AbstractContextManager[object]],
) -> None:
    """Also when joining as a worker, which then waits for the database."""
    store = Store.at("postgresql+psycopg://postgres@127.0.0.1:1/none")
    with closing(store), pytest.raises(StoreError, match="can't be used"), place(store):
        pass


def test_instants_come_back_as_utc_and_naive_ones_are_refused(store: Store) -> None:
    """SQLite drops time zones; the store restores them."""
    told = datetime(2026, 11, 20, 19, 30, tzinfo=timezone(timedelta(hours=1)))
    with store.transaction() as tx:
        tx.progress.ticked("inbox", at=told)
        assert tx.progress.ticks()["inbox"].at == datetime(2026, 11, 20, 18, 30, tzinfo=UTC)
        assert tx.progress.ticks()["inbox"].at.tzinfo is UTC
        with pytest.raises(Exception, match="without a time zone"):
            tx.progress.ticked("inbox", at=told.replace(tzinfo=None))


def test_a_second_worker_is_refused_and_told_who_holds_the_database(
    store: Store, database_url: str
) -> None:
    """One at a time; the next one can start as soon as the first has gone."""
    other = Store.open(database_url)
    with closing(other):
        with (
            store.sole_worker(),
            pytest.raises(LockedError, match=rf"process {os.getpid()}\b"),
            other.sole_worker(),
        ):
            pass
        with other.sole_worker():
            pass


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("nonsense", "not a database address", id="no address"),
        pytest.param("mysql://user:hunter2@host/name", "SQLite and PostgreSQL", id="MySQL"),
        pytest.param("sqlite://", "no SQLite file", id="no file named"),
        pytest.param("sqlite:///:memory:", "no SQLite file", id="in memory"),
        pytest.param("sqlite+aiosqlite:////tmp/a.db", "no SQLite file", id="another driver"),
        pytest.param("sqlite:////dev/null/easeback.db", "folder can't be made", id="no folder"),
        pytest.param("sqlite:////tmp", "can't be used", id="a folder"),
        pytest.param("sqlite:////dev/null", "can't be used", id="no file"),
        pytest.param(
            "postgresql://user:hunter2@127.0.0.1:1/name", "can't be used", id="nobody answers"
        ),
        pytest.param("postgresql://user:hunter2@host:port/name", "not a database", id="bad port"),
    ],
)
def test_a_database_that_cannot_be_opened_is_one_line_without_secrets(url: str, words: str) -> None:
    """What is wrong and where, without the password."""
    with pytest.raises(StoreError, match=words) as error:
        Store.open(url)
    assert "\n" not in str(error.value)
    assert "hunter2" not in str(error.value)


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    """And is unchanged."""
    file = tmp_path / "notes.txt"
    file.write_text("dear diary, " * 100)
    with pytest.raises(StoreError, match="not a database"):
        Store.open(f"sqlite:///{file}")
    assert file.read_text() == "dear diary, " * 100


def test_a_sound_database_passes_its_check(store: Store) -> None:
    """On either kind of database."""
    store.check()


def test_a_damaged_database_is_found(sqlite_url: str) -> None:
    """`doctor` checks all of it."""
    Store.open(sqlite_url).close()
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    sound = file.read_bytes()
    file.write_bytes(sound[:4096].ljust(len(sound), b"\xff"))

    def open_and_check() -> None:
        with closing(Store.open(sqlite_url)) as damaged:
            damaged.check()

    with pytest.raises(StoreError, match=r"malformed|damaged"):
        open_and_check()


def test_a_copy_is_whole_and_only_its_owners(sqlite_url: str, tmp_path: Path) -> None:
    """Made while the database is in use."""
    copy = tmp_path / "copy.db"
    with closing(Store.open(sqlite_url)) as store:
        with store.transaction() as tx:
            tx.athletes.add(ANNA)
        with store.reading():
            store.copy_to(copy)
    with closing(Store.open(f"sqlite:///{copy}")) as copied, copied.reading() as tx:
        assert [one.name for one in tx.athletes.all()] == ["Anna"]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_a_copy_that_cannot_be_written_leaves_nothing(sqlite_url: str, tmp_path: Path) -> None:
    """One line, and no partial file."""
    with closing(Store.open(sqlite_url)) as store:
        with pytest.raises(StoreError, match="can't be written"):
            store.copy_to(tmp_path / "nowhere" / "copy.db")
        assert not (tmp_path / "nowhere").exists()


def test_postgresql_is_copied_by_its_own_tool(postgres_url: str, tmp_path: Path) -> None:
    """The message names the tool."""
    with closing(Store.open(postgres_url)) as store, pytest.raises(StoreError, match="pg_dump"):
        store.copy_to(tmp_path / "copy.db")


def test_what_is_forgotten_is_gone_from_the_file_and_its_log(sqlite_url: str) -> None:
    """Its bytes can't be found after the rows were deleted."""
    with closing(Store.open(sqlite_url)) as store:
        with store.transaction() as tx:
            anna = tx.athletes.add(Athlete(0, "Needle", "needle@example.org", ADDED))
        with store.transaction() as tx:
            tx.athletes.remove(anna)
        store.compact()
        assert store.file is not None
        left = b"".join(one.read_bytes() for one in store.file.parent.glob("easeback.db*"))
    assert b"eedle" not in left


def test_nothing_is_written_while_reading(store: Store) -> None:
    """It would fail now and then beside a writer, so it always fails, and in every test."""
    with pytest.raises(StoreError, match="can't be"), store.reading() as tx:
        tx.progress.ticked("inbox", at=ADDED)
    with store.transaction() as tx:
        tx.progress.ticked("inbox", at=ADDED)
    with store.reading() as tx:
        assert tx.progress.tick("inbox") is not None
    assert store.compact()


def test_sqlite_is_opened_so_that_a_commit_survives_a_power_cut(sqlite_url: str) -> None:
    """WAL with synchronous=FULL, and foreign keys that hold."""
    with closing(Store.open(sqlite_url)) as store, store.reading() as tx:
        found = {
            pragma: tx.connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one()
            for pragma in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}
    assert sqlite3.threadsafety > 0


# Athletes


@pytest.mark.parametrize("alike", ["Anna", "ANNA", "anna"])
def test_a_name_is_given_once_whatever_its_case(store: Store, alike: str) -> None:
    """It's also a folder's name, and folders often ignore case."""
    with store.transaction() as tx:
        tx.athletes.add(ANNA)
        with pytest.raises(NameTakenError, match="Anna already"):
            tx.athletes.add(Athlete(0, alike, "other@example.org", ADDED))


def test_a_name_is_found_however_it_is_composed(store: Store) -> None:
    """A decomposed name from macOS is the same name."""
    with store.transaction() as tx:
        tx.athletes.add(Athlete(0, "Zo\u00eb", "zoe@example.org", ADDED))
        found = tx.athletes.named("zoe\u0308")
        assert found is not None
        assert found.name == "Zo\u00eb"
        with pytest.raises(NameTakenError):
            tx.athletes.add(Athlete(0, "Zoe\u0308", "other@example.org", ADDED))


def test_an_id_is_never_given_twice(store: Store) -> None:
    """Links in old mails contain it."""
    with store.transaction() as tx:
        gone = tx.athletes.add(ANNA)
        tx.athletes.remove(gone)
        assert tx.athletes.add(ANNA).id > gone.id


def test_everything_about_an_athlete_survives_the_store(store: Store) -> None:
    """Values are the same when read back."""
    with store.transaction() as tx:
        added = tx.athletes.add(
            Athlete(
                0,
                "Zoë",
                "zoe@example.org",
                NOW,
                "Asia/Kathmandu",
                "mi",
                6,
                WeeklyHour(6, time(18, 45)),
                ("knee", "calf"),
                Race("Half", date(2027, 5, 9), 21_097.5),
                frozenset({"alert"}),
                language="fr",
            )
        )
        assert tx.athletes.by_id(added.id) == added
        assert added.race == Race("Half", date(2027, 5, 9), 21_097.5)
        assert added.language == "fr"
        assert (added.weekly, added.pain) == (WeeklyHour(6, time(18, 45)), ("knee", "calf"))
