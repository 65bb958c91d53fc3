"""`move-to`: a SQLite database is moved to PostgreSQL completely, with every row compared."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import date
from itertools import islice
from pathlib import Path

import pytest
from sqlalchemy import select, text

from tests.app import ADDED, NOW, TODAY, recording, steady
from tests.command import easeback
from worker.domain.models import Athlete
from worker.store import Store, StoreError
from worker.store.move import Move
from worker.store.progress import MOVING, SourceState
from worker.store.tables import crew, metadata

NAMES = ("Ann", "Ärzte Zürich", "ann-2", "Ben")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A SQLite database with rows in most of its tables."""
    file = tmp_path / "data" / "easeback.db"
    with closing(Store.open(f"sqlite:///{file}")) as store, store.transaction() as tx:
        for name in NAMES:
            one = tx.athletes.add(Athlete(0, name, "a@example.org", ADDED))
            tx.runs.save(one, steady(), now=NOW, today=TODAY)
            tx.progress.save_source(one, "inbox", SourceState("ok", NOW))
            tx.progress.save_week(one, date(2026, 11, 16), state="queued")
            tx.source("strava").connect(
                one, account_id=str(one.id), encrypted=b"\x00\xff", expires_at=NOW,
                scopes=frozenset({"r"}),
                now=NOW,
            )  # fmt: skip
            for number in range(3):
                tx.source("strava").note_events([(one.id, f"{number}-Ä")], now=NOW)
            tx.outbox.enqueue(
                one, kind="weekly", key=f"k{one.id}", message_id=f"m{one.id}", sender="s",
                recipient="r", mime=b"\x00mail\r\n", now=NOW,
            )  # fmt: skip
        gone = tx.athletes.add(Athlete(0, "Gone", "g@example.org", ADDED))
        tx.athletes.remove(gone)
    return file


@pytest.fixture
def target(postgres_url: str) -> Iterator[Store]:
    with closing(Store.open(postgres_url)) as store:
        yield store


def move(source: Path, target: Store) -> int:
    """Move everything; returns the number of rows."""
    with closing(Move(source, target)) as moving:
        moving.begin()
        steps = sum(moving.copy()) + sum(moving.verify())
        assert steps == moving.count()
        return moving.end().total


def half_moved(store: Store) -> bool:
    with store.reading() as tx:
        return tx.progress.tick(MOVING) is not None


def content(store: Store) -> dict[str, list[tuple[object, ...]]]:
    with store.reading() as tx:
        return {
            table.name: sorted(
                (tuple(row) for row in tx.connection.execute(select(table))), key=str
            )
            for table in metadata.sorted_tables
            if table is not crew
        }


def test_every_row_is_there_and_nothing_else(source: Path, target: Store) -> None:
    """Text in any alphabet, bytes, times and lists are unchanged."""
    rows = move(source, target)
    with closing(Store.open(f"sqlite:///{source}")) as store:
        assert content(target) == content(store)
    assert rows == sum(map(len, content(target).values()))
    assert not half_moved(target)


def test_new_rows_go_on_where_the_old_ones_ended(source: Path, target: Store) -> None:
    """Also after a deleted one: an id is never reused."""
    move(source, target)
    with target.transaction() as tx:
        added = tx.athletes.add(Athlete(0, "New", "n@example.org", ADDED))
        assert added.id == len(NAMES) + 2
        tx.runs.save(added, [recording()], now=NOW, today=TODAY)


@pytest.mark.parametrize("batches", [1, 3, 6, 9])
def test_a_move_that_was_killed_goes_on(source: Path, target: Store, batches: int) -> None:
    """At any batch; until then nobody mistakes the half for the whole."""
    with closing(Move(source, target)) as moving:
        moving.begin()
        list(islice(moving.copy(), batches))
    assert half_moved(target)
    move(source, target)
    with closing(Store.open(f"sqlite:///{source}")) as store:
        assert content(target) == content(store)


def test_a_row_that_differs_is_noticed(source: Path, target: Store) -> None:
    """Then the move is incomplete, and the message says what to do."""
    with closing(Move(source, target)) as moving:
        moving.begin()
        list(moving.copy())
        with target.transaction() as tx:
            tx.connection.execute(text("UPDATE run SET distance_m = 1 WHERE id = 7"))
        with pytest.raises(StoreError, match="copy of run differs"):
            list(moving.verify())
    assert half_moved(target)


def test_only_an_empty_database_is_moved_into(source: Path, target: Store, tmp_path: Path) -> None:
    """Or one with a part of this very move."""
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(source)) as database, closing(sqlite3.connect(other)) as copy:
        database.backup(copy)
    with closing(Move(other, target)) as moving:
        moving.begin()
    with (
        closing(Move(source, target)) as moving,
        pytest.raises(StoreError, match="another database's move"),
    ):
        moving.begin()
    move(other, target)
    with (
        closing(Move(source, target)) as moving,
        pytest.raises(StoreError, match="holds athletes already"),
    ):
        moving.begin()


def test_the_command_says_what_to_set(source: Path, postgres_url: str, tmp_path: Path) -> None:
    """The SQLite file is unchanged."""
    before = source.read_bytes()
    done = easeback("move-to", postgres_url, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "every one compared" in done.stdout
    assert "database_url" in done.stdout
    assert source.read_bytes() == before
    again = easeback("move-to", postgres_url, cwd=tmp_path)
    assert (again.returncode, len(again.stderr.splitlines())) == (1, 1)


@pytest.mark.parametrize("way", ["variable", "file", "standard input"])
def test_the_address_with_its_password_stays_off_the_command_line(
    way: str, source: Path, postgres_url: str, tmp_path: Path
) -> None:
    """On it the shell's history and process lists would show it."""
    assert source.is_file()
    (tmp_path / "address").write_text(f"{postgres_url}\n")
    given = postgres_url if way == "standard input" else ""
    env = {"EASEBACK_MOVE_TO": postgres_url} if way == "variable" else {}
    words = ["--url-file", "address"] if way == "file" else []
    done = easeback("move-to", *words, cwd=tmp_path, env=env, given=given)
    assert done.returncode == 0, done.stderr
    assert "every one compared" in done.stdout


@pytest.mark.parametrize(
    "address",
    ["postgresql+psycopg://u:hunter2@127.0.0.1:1/x", "postgresql://127.0.0.1:1/x?password=hunter2"],
)
def test_a_password_on_the_command_line_is_refused(address: str, tmp_path: Path) -> None:
    """The message says what to do, without the password; no connection is made."""
    done = easeback("move-to", address, cwd=tmp_path)
    assert done.returncode == 2
    assert "EASEBACK_MOVE_TO" in done.stderr
    assert "--url-file" in done.stderr
    assert "hunter2" not in done.stderr


def test_no_address_at_all_is_wrong_usage(tmp_path: Path) -> None:
    """There is no terminal to ask at, and standard input is empty."""
    done = easeback("move-to", cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_a_worker_keeps_its_database_from_being_moved(
    source: Path, postgres_url: str, tmp_path: Path
) -> None:
    """In one line that names the worker."""
    with closing(Store.open(f"sqlite:///{source}")) as store, store.sole_worker():
        done = easeback("move-to", postgres_url, cwd=tmp_path)
    assert done.returncode == 1
    assert "another worker (process" in done.stderr


def test_nobody_works_on_half_a_move(source: Path, target: Store, tmp_path: Path) -> None:
    """Neither a worker nor a single pass."""
    with closing(Move(source, target)) as moving:
        moving.begin()
    url = target.engine.url.render_as_string(hide_password=False)
    for command in ("once", "run"):
        done = easeback(command, cwd=tmp_path, env={"EASEBACK_DATABASE_URL": url})
        assert done.returncode == 1
        assert "half of a move" in done.stderr
    with suppress(StoreError), target.transaction() as tx:
        assert tx.progress.tick(MOVING) is not None


def test_it_moves_from_sqlite_alone(postgres_url: str, tmp_path: Path) -> None:
    """Already on PostgreSQL, or without a database: the message says so."""
    env = {"EASEBACK_DATABASE_URL": postgres_url}
    assert "PostgreSQL already" in easeback("move-to", postgres_url, cwd=tmp_path, env=env).stderr
    assert "no SQLite database" in easeback("move-to", postgres_url, cwd=tmp_path).stderr
