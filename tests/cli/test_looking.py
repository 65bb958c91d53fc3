"""Read-only commands create nothing: no folder, no database, no keys, no newer schema."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.command import ROOT, easeback
from tests.process import running_in
from tests.store.older import upgrade_to
from worker.store import HEAD, Store

LOOKING = [
    ("status",), ("status", "--json"), ("runs",), ("runs", "--json"), ("alerts",), ("explain",),
    ("ceiling",), ("doctor",), ("backtest",), ("athlete", "list"), ("athlete", "list", "--json"),
    ("athlete", "diary"), ("outbox", "list"), ("preview", "weekly", "--no-open"),
    ("backup", "copy.db"),
]  # fmt: skip


def holds(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("command", LOOKING, ids=" ".join)
def test_where_nothing_is_set_up_they_say_where_they_looked_and_how_to_begin(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    """In one line with exit status 2; nothing is created."""
    done = easeback(*command, cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert not done.stdout or command == ("doctor",)
    assert str(tmp_path / "data" / "easeback.db") in done.stderr
    assert "; settings file: none (looked for " in done.stderr
    assert "config/easeback.toml" in done.stderr
    assert "`easeback init`" in done.stderr
    assert holds(tmp_path) == []


def test_a_typo_in_the_folder_is_not_all_well(tmp_path: Path) -> None:
    """Also if it's in the settings."""
    (tmp_path / "config").mkdir()
    settings = tmp_path / "config" / "easeback.toml"
    settings.write_text('data_dir = "dtaa"')
    settings.chmod(0o600)
    done = easeback("status", cwd=tmp_path)
    assert done.returncode == 2
    assert "dtaa/easeback.db" in done.stderr
    assert holds(tmp_path) == ["config", "config/easeback.toml"]


def test_an_empty_file_is_no_database(tmp_path: Path) -> None:
    """Zero bytes, as left by a full disk or a failed copy."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "easeback.db").touch()
    done = easeback("status", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "easeback.db is empty" in done.stderr
    assert holds(tmp_path) == ["data", "data/easeback.db"]


def test_an_empty_postgres_database_is_not_set_up(postgres_url: str, tmp_path: Path) -> None:
    """Only commands that write create its tables."""
    env = {"EASEBACK_DATABASE_URL": postgres_url}
    done = easeback("status", cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert "`easeback init`" in done.stderr
    assert holds(tmp_path) == []
    assert easeback("once", cwd=tmp_path, env=env).returncode == 0
    assert easeback("runs", cwd=tmp_path, env=env).returncode == 0


@pytest.mark.parametrize("command", [("status",), ("runs",), ("athlete", "list")], ids=" ".join)
def test_an_older_schema_is_left_to_the_worker(command: tuple[str, ...], tmp_path: Path) -> None:
    """The worker copies the database before it upgrades it."""
    database = older_database(tmp_path)
    done = easeback(*command, cwd=tmp_path)
    assert done.returncode == 1
    assert f"schema 0008 and not {HEAD}" in done.stderr
    assert "`easeback run`" in done.stderr
    assert schema(database) == "0008"
    assert not (tmp_path / "data" / "backups").exists()


def test_a_newer_schema_is_said(tmp_path: Path) -> None:
    """Data of unknown meaning isn't read."""
    assert easeback("once", cwd=tmp_path).returncode == 0
    with closing(sqlite3.connect(tmp_path / "data" / "easeback.db")) as opened, opened:
        opened.execute("UPDATE alembic_version SET version_num = '9999'")
    done = easeback("status", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "made by a newer Easeback" in done.stderr


def test_a_database_that_can_not_be_reached_is_one_line(tmp_path: Path) -> None:
    """Nor a file that isn't a database."""
    env = {"EASEBACK_DATABASE_URL": "postgresql+psycopg://u@127.0.0.1:1/x"}
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "easeback.db").write_text("no database " * 1000)
    for around in (env, {}):
        done = easeback("status", cwd=tmp_path, env=around)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert "unexpected" not in done.stderr


@pytest.mark.parametrize("command", [("once",), ("run",)], ids=" ".join)
def test_the_worker_copies_the_database_before_it_brings_the_schema_up_to_date(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    """So that the previous version can continue with the old data."""
    database = older_database(tmp_path)
    if command == ("once",):
        assert easeback("once", cwd=tmp_path).returncode == 0
    else:
        env = {"PYTHONPATH": str(ROOT), "PATH": "", "EASEBACK_WEB__ENABLED": "false"}
        with running_in(tmp_path, env=env, ready="easeback runs") as worker:
            assert worker.end()[0] == 0
    assert schema(database) == HEAD
    copies = (tmp_path / "data" / "backups").iterdir()
    assert "0008" in [schema(copy) for copy in copies]


def test_where_the_copy_can_not_be_written_the_schema_stays(tmp_path: Path) -> None:
    """Here the backup folder is a file."""
    database = older_database(tmp_path)
    (tmp_path / "data" / "backups").touch()
    done = easeback("once", cwd=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert schema(database) == "0008"


def test_a_configured_inbox_that_is_not_there_is_said_and_not_made(tmp_path: Path) -> None:
    """Otherwise files would be written beside a NAS that isn't mounted."""
    env = {"EASEBACK_INBOX__PATH": str(tmp_path / "nas" / "runs")}
    anna = ("athlete", "add", "--name", "Anna", "--email", "anna@example.org")
    assert easeback(*anna, cwd=tmp_path, env=env).returncode == 0
    for command in ("once", "doctor"):
        done = easeback(command, cwd=tmp_path, env=env)
        assert done.returncode == 1
        assert str(tmp_path / "nas" / "runs") in done.stderr
    assert not (tmp_path / "nas").exists()


def older_database(home: Path) -> Path:
    """A database of an earlier version."""
    database = home / "data" / "easeback.db"
    database.parent.mkdir(mode=0o700)
    with closing(Store.at(f"sqlite:///{database}")) as store, store.engine.begin() as connection:
        upgrade_to(connection, "0008")
    return database


def schema(database: Path) -> str:
    with closing(sqlite3.connect(database)) as opened:
        [[version]] = opened.execute("SELECT version_num FROM alembic_version").fetchall()
    return str(version)
