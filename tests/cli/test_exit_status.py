"""The exit status of every command: the table of docs/operating.md, row by row."""

import io
import socket
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from simulators.empty_database import put_empty_database
from tests.app import run_file
from worker.cli.app import run_command_line
from worker.domain.models import Athlete
from worker.store import Store

ALL_WELL, ATTENTION, WRONG = 0, 1, 2

HERE = [  # an athlete, and nothing that needs attention
    "athlete list", "athlete diary Anna", "athlete set Anna --units mi", "athlete relink Anna",
    "athlete add --name Bo --email bo@example.org", "athlete remove Anna --yes",
    "runs", "runs --all", "runs add --date 2026-03-07 --km 5", "alerts", "explain", "ceiling",
    "plan", "status", "open --no-open", "preview weekly --no-open", "backup copy.db", "once",
    "outbox list", "outbox retry --all", "import runs", "backtest history.csv", "forget Anna --yes",
    "rotate-keys", "restore copy-of-before.db", "--version", "--help",
]  # fmt: skip
NEEDS_ATTENTION = [  # a mail that was given up, and nothing else
    ("status", "1 mail could not be delivered"),
    ("import bad", "bad.fit"),
    ("once", "bad.fit"),
    ("preview alert --no-open", ""),
    ("outbox hold 1", "mail 1 is given up"),
    ("forget Anna", "stopped"),
    ("backtest empty.csv", "no run"),
    ("doctor", "mail: Nothing listens"),
]
NOT_THERE = [
    "athlete set Nobody --units mi", "athlete diary Nobody", "athlete remove Nobody --yes",
    "athlete relink Nobody", "open Nobody", "forget Nobody --yes", "runs --athlete Nobody",
    "alerts --athlete Nobody", "explain --athlete Nobody", "explain 99", "ceiling --athlete Nobody",
    "plan --athlete Nobody", "plan nowhere.csv", "preview weekly --athlete Nobody",
    "backtest nowhere.csv", "import nowhere", "restore nowhere.db", "outbox retry 99",
    "runs exclude 99", "runs include 99", "runs correct 99 --km 3", "connect garmin Nobody",
    "disconnect garmin Nobody --yes", "connect nothing Anna", "--config nowhere.toml status",
]  # fmt: skip
WRONG_INPUT = [
    "nonsense", "status --nonsense", "athlete add --name Bo", "athlete set Anna --units miles",
    "athlete set Anna", "explain 2026-02-30", "explain 0001-01-01", "ceiling --as-of never",
    "preview nothing", "runs add --date 0001-01-01 --km 5",
    "plan --race-km 21", "runs add --date yesterday --km 5", "runs add --date 2026-03-07 --km -5",
    "backup .", "outbox drop", "restore", "connect strava Anna", "webhook list", "move-to",
    "once --as-of never", "run --as-of never", "import",
]  # fmt: skip
BUSY = ["run", "once", "rotate-keys", "restore copy-of-before.db"]
LOOKING = [
    "status", "runs", "alerts", "explain", "ceiling", "plan", "preview weekly", "athlete list",
    "outbox list", "doctor", "backup copy.db", "open --no-open",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of the command, without any other settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return tmp_path


@pytest.fixture
def anna(folder: Path) -> Path:
    """Anna, with files to name as arguments."""
    (folder / "data" / "inbox").mkdir(parents=True)
    put_empty_database(folder / "data" / "easeback.db")
    with closing(Store.at(f"sqlite:///{folder / 'data' / 'easeback.db'}")) as store:
        with store.transaction() as tx:
            tx.athletes.add(Athlete(0, "Anna", "anna@example.org", added_at=datetime.now(UTC)))
        store.copy_to(folder / "copy-of-before.db")
    for name, content in (("runs/good.fit", run_file(8)), ("bad/bad.fit", b"xx")):
        (folder / name).parent.mkdir()
        (folder / name).write_bytes(content)
    rows = "".join(f"2026-{month:02}-07T08:00:00,8000\n" for month in range(1, 9))
    (folder / "history.csv").write_text("start_date_local,distance_m\n" + rows)
    (folder / "empty.csv").write_text("start_date_local,distance_m\n")
    return folder


def said(line: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit status and standard error."""
    status = run_command_line(line.split())
    return status, capsys.readouterr().err


@pytest.mark.parametrize("line", HERE)
def test_where_all_is_well_it_is_0(
    line: str, anna: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And standard error is empty."""
    assert said(line, capsys) == (ALL_WELL, "")


@pytest.mark.parametrize(("line", "why"), NEEDS_ATTENTION)
def test_where_it_ran_and_something_needs_attention_it_is_1(
    line: str, why: str, anna: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """In one line that says what."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("EASEBACK_MAIL__PORT", str(nobody.getsockname()[1]))
        if line == "doctor":
            monkeypatch.setenv("EASEBACK_MAIL__HOST", "127.0.0.1")
        else:
            give_up_a_mail(anna)
        if line == "once":
            (anna / "data" / "inbox" / "bad.fit").write_bytes(b"xx")
            run_command_line(["once"])
            capsys.readouterr()
        status, told = said(line, capsys)
    assert (status, len(told.splitlines())) == (ATTENTION, 1), told
    assert why in told


def give_up_a_mail(folder: Path) -> None:
    now = datetime.now(UTC)
    url = f"sqlite:///{folder / 'data' / 'easeback.db'}"
    with closing(Store.at(url)) as store, store.transaction() as tx:
        tx.outbox.enqueue(
            None, kind="alert", key="k", message_id="<k@x.org>", sender="e@x.org",
            recipient="a@x.org", mime=b"x", now=now,
        )  # fmt: skip
        letter = tx.outbox.claim(now)
        assert letter is not None
        tx.outbox.dead(letter, error="550 no such user")


@pytest.mark.parametrize("line", NOT_THERE)
def test_where_what_was_named_is_not_there_it_is_2(
    line: str, anna: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line."""
    status, told = said(line, capsys)
    assert (status, len(told.splitlines())) == (WRONG, 1), told


@pytest.mark.parametrize("line", WRONG_INPUT)
def test_where_it_was_called_wrongly_it_is_2(
    line: str, anna: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line."""
    status, told = said(line, capsys)
    assert (status, len(told.splitlines())) == (WRONG, 1), told


@pytest.mark.parametrize("line", LOOKING)
def test_where_nothing_is_set_up_it_is_2(
    line: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line that says how to begin."""
    status, told = said(line, capsys)
    assert (status, len(told.splitlines())) == (WRONG, 1), told
    assert "easeback init" in told


@pytest.mark.parametrize("line", BUSY)
def test_while_another_worker_is_at_it_it_is_1(
    line: str, anna: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line that names the other worker."""
    url = f"sqlite:///{anna / 'data' / 'easeback.db'}"
    with closing(Store.at(url)) as store, store.sole_worker():
        status, told = said(line, capsys)
    assert (status, len(told.splitlines())) == (ATTENTION, 1), told
    assert "process" in told


@pytest.mark.parametrize(
    ("line", "expected"),
    [("import {}", 1), ("restore {}", 1), ("backup {}", 1), ("--config {} status", 2)],
)
def test_a_file_that_cannot_even_be_looked_at_is_named(
    line: str, expected: int, anna: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such as one in somebody else's folder, or with a name that is too long."""
    name = "x" * 300
    status, told = said(line.format(name), capsys)
    assert (status, len(told.splitlines())) == (expected, 1)
    assert told.startswith(f"easeback: {name}: ")
    assert "File name too long" in told


def test_a_preview_that_cannot_be_written_needs_attention(
    anna: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file is in the folder's place."""
    (anna / "data" / "preview").write_text("")
    status, told = said("preview weekly --no-open", capsys)
    assert (status, len(told.splitlines())) == (ATTENTION, 1)
    assert "weekly.html can't be written: " in told


def test_settings_that_cannot_be_used_are_2(
    anna: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the command."""
    monkeypatch.setenv("EASEBACK_MAIL__PORT", "no port")
    for line in ("status", "run", "once", "doctor", "athlete list"):
        status, told = said(line, capsys)
        assert (status, len(told.splitlines())) == (WRONG, 1)
        assert "EASEBACK_MAIL__PORT" in told


def test_the_help_says_what_each_status_means(capsys: pytest.CaptureFixture[str]) -> None:
    """After the list of commands."""
    run_command_line(["--help"])
    assert "Exit status: 0 all well" in " ".join(capsys.readouterr().out.split())
