"""The command `import`: its output, its list of failures, and interrupting it."""

import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from simulators.activity_files import fit_run
from simulators.empty_database import put_empty_database
from tests.command import ROOT, easeback
from worker.cli.app import run_command_line
from worker.cli.progress import Lines
from worker.demo.fit import written
from worker.demo.runner import Outing
from worker.pipeline import imports

MANY = 2 * imports.ENTRIES_AT_ONCE + 50
"""Three batches, the last one partial."""
NEWEST = datetime(2026, 10, 1, 6, tzinfo=UTC)


def fit_file(number: int) -> bytes:
    km = 16.0 if number % 40 == 0 else 8.0
    began = NEWEST - timedelta(days=number)
    return written(Outing(began, timedelta(hours=1), 1000 * km, 360 * km))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with one athlete."""
    put_empty_database(tmp_path / "data" / "easeback.db")
    added = easeback("athlete", "add", "--name", "Anna", "--email", "a@example.org", cwd=tmp_path)
    assert added.returncode == 0
    return tmp_path


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few years of runs."""
    folder = tmp_path_factory.mktemp("archive")
    for number in range(MANY):
        (folder / f"{number:05}.fit").write_bytes(fit_file(number))
    return folder


def mixed(folder: Path) -> Path:
    folder.mkdir()
    (folder / "run.fit").write_bytes(fit_file(1))
    (folder / "ride.fit").write_bytes(fit_run(NEWEST, sport="cycling"))
    (folder / "torn.fit").write_bytes(b"\x0e\x10")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    return folder


def test_says_what_came_of_everything_and_lists_the_failures(home: Path) -> None:
    """A table by reason, a file of failures beside the data, one line, exit status 1."""
    done = easeback("import", mixed(home / "watch"), cwd=home)
    told = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert told[:5] == [
        "imported 1",
        "known already 0",
        "not runs 1 1 a ride (cycling), not a run",
        "failed 1 1 not a FIT, GPX or TCX file",
        "passed over 1 other files, such as pictures",
    ]
    listed = home / "data" / "import-failures.txt"
    assert str(listed.relative_to(home)) in done.stdout
    assert listed.read_text() == f"{home}/watch/torn.fit: not a FIT, GPX or TCX file\n"
    assert done.stderr.splitlines() == [
        f"easeback: {home}/watch/torn.fit: not a FIT, GPX or TCX file"
    ]
    assert done.returncode == 1


def test_failures_that_are_mended_are_listed_no_more(home: Path) -> None:
    """The list is that of the last import."""
    folder = mixed(home / "watch")
    easeback("import", folder, cwd=home)
    (folder / "torn.fit").write_bytes(fit_file(2))
    done = easeback("import", folder, cwd=home)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (home / "data" / "import-failures.txt").exists()


def test_prints_json_only(home: Path) -> None:
    """Nothing else on either output, except the line about failures."""
    done = easeback("import", mixed(home / "watch"), "--json", cwd=home)
    told = json.loads(done.stdout)
    assert (told["imported"], told["duplicate"]) == (1, 0)
    assert [one["reason"] for one in told["skipped"]] == ["a ride (cycling), not a run"]
    assert [one["file"] for one in told["failed"]] == [f"{home}/watch/torn.fit"]
    assert Path(home, told["failures_file"]).exists()
    assert len(done.stderr.splitlines()) == 1


def test_says_what_was_put_aside_and_why(home: Path) -> None:
    """A run that was put aside isn't reported as `imported`."""
    (home / "car.fit").write_bytes(fit_run(NEWEST, distance_m=48_000, moving_s=3600))
    told = json.loads(easeback("import", home / "car.fit", "--json", cwd=home).stdout)
    assert (told["imported"], told["corrected"]) == (0, [])
    reason = "it is faster than the world record over its distance"
    assert told["put_aside"] == [{"file": f"{home}/car.fit", "reason": reason}]


def test_a_path_that_is_not_there_is_wrong_usage(home: Path) -> None:
    """Nothing of the others is imported."""
    done = easeback("import", mixed(home / "watch"), home / "nowhere", cwd=home)
    assert done.returncode == 2
    assert done.stderr == f"easeback: there is nothing at {home}/nowhere\n"


def test_says_now_and_then_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal: files, rate, time left, on standard error."""
    lines = Lines("files", 3, every_s=0.0)
    lines.advance()
    lines.advance()
    lines.advance()
    first, _, last = capsys.readouterr().err.splitlines()
    assert first.startswith("1 of 3 files, ")
    assert first.endswith(" s left")
    assert last.startswith("3 files, ")


STOPPED = """
import os, signal, sys
from sqlalchemy import Connection, Engine, event
from worker.cli.app import run_command_line

batches = 0
# Whoever started the tests in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

@event.listens_for(Engine, "before_cursor_execute")
def note(connection: Connection, _, statement: str, *__: object) -> None:
    if statement.startswith("INSERT INTO recording"):
        connection.info["keeps"] = True

@event.listens_for(Engine, "commit")
def stop(connection: Connection) -> None:
    global batches
    batches += connection.info.pop("keeps", False)
    if batches == 2:
        os.kill(os.getpid(), int(sys.argv[1]))

sys.exit(run_command_line(sys.argv[2:]))
"""
"""The command line, stopped by a signal just before its second batch is committed."""


def process(home: Path, *words: object, stderr: int) -> "subprocess.Popen[bytes]":
    """A separate interpreter without the tester's settings."""
    around = {name: v for name, v in os.environ.items() if not name.startswith("EASEBACK_")}
    return subprocess.Popen(  # noqa: S603  our own program
        [sys.executable, *map(str, words)],
        cwd=home,
        env={**around, "PYTHONPATH": str(ROOT), "HOME": str(home), "TERM": "xterm"},
        stdout=subprocess.DEVNULL,
        stderr=stderr,
    )


def kept(home: Path) -> int:
    """The number of recordings in the store."""
    with closing(sqlite3.connect(home / "data" / "easeback.db", timeout=30)) as database:
        return int(database.execute("SELECT count(*) FROM recording").fetchone()[0])


def facts(home: Path) -> list[object]:
    """Runs and findings, without ids and timestamps."""
    with closing(sqlite3.connect(home / "data" / "easeback.db", timeout=30)) as database:
        return [
            database.execute("SELECT day, distance_m FROM run ORDER BY day").fetchall(),
            database.execute("SELECT day, kind, severity FROM finding ORDER BY day").fetchall(),
            database.execute("SELECT * FROM unjudged").fetchall(),
        ]


@pytest.fixture(scope="module")
def never_stopped(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """The result of importing the archive in one go."""
    home = tmp_path_factory.mktemp("straight")
    easeback("athlete", "add", "--name", "Anna", "--email", "a@example.org", cwd=home)
    told = json.loads(easeback("import", archive, "--json", cwd=home).stdout)
    assert told["imported"] == MANY
    return facts(home)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
def test_stopped_at_any_point_and_started_again_it_is_as_if_never_stopped(
    home: Path, archive: Path, never_stopped: list[object], how: signal.Signals
) -> None:
    """A part of it is stored; the same command continues with the same result."""
    stopped = process(home, "-c", STOPPED, int(how), "import", archive, stderr=subprocess.PIPE)
    _, told = stopped.communicate(timeout=120)
    assert kept(home) == imports.ENTRIES_AT_ONCE
    if how == signal.SIGINT:
        (line,) = told.decode().splitlines()
        assert line.startswith("easeback: stopped after ")
        assert line.endswith(" files: the same command goes on from there")
        assert stopped.returncode == 1
    else:
        assert stopped.returncode == -how
    before = kept(home)
    again = json.loads(easeback("import", archive, "--json", cwd=home).stdout)
    assert (again["duplicate"], again["imported"]) == (before, MANY - before)
    runs, findings, unjudged = facts(home)
    assert [runs, findings, unjudged] == never_stopped
    assert findings
    assert unjudged == []


def test_a_ctrl_c_while_files_are_kept_ends_it_too(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files that were read ahead are dropped, and nothing waits for them."""
    monkeypatch.chdir(home)
    kept_batches = count(1)
    keep = imports._save_batch

    def interrupted(*about: Any) -> Any:
        if next(kept_batches) == 2:
            raise KeyboardInterrupt
        return keep(*about)

    monkeypatch.setattr(imports, "_save_batch", interrupted)
    archive = home / "watch"
    archive.mkdir()
    for number in range(2 * imports.ENTRIES_AT_ONCE + 1):
        (archive / f"{number:05}.fit").write_bytes(fit_file(number))
    ended: list[int] = []
    command = threading.Thread(
        target=lambda: ended.append(run_command_line(["import", str(archive)])), daemon=True
    )
    command.start()
    command.join(60)
    assert ended == [1]
    assert f"stopped after {imports.ENTRIES_AT_ONCE} files" in capsys.readouterr().err
    assert kept(home) == imports.ENTRIES_AT_ONCE


def test_says_what_is_doubtful_about_a_run(home: Path) -> None:
    """Corrections are reported in words and in JSON; runs without any aren't."""
    (home / "early.fit").write_bytes(fit_run(NEWEST - timedelta(weeks=1024)))
    (home / "sound.fit").write_bytes(fit_run(NEWEST - timedelta(days=2)))
    told = easeback("import", "early.fit", "sound.fit", cwd=home).stdout
    assert "note early.fit: recovered: its clock said 2007-02-15, 1,024 weeks early" in told
    assert "sound.fit" not in told
    (home / "untold.fit").write_bytes(fit_run(NEWEST - timedelta(days=9), sport=None))
    (note,) = json.loads(easeback("import", "untold.fit", "--json", cwd=home).stdout)["notes"]
    assert (note["file"], "pace" in note["reason"]) == ("untold.fit", True)


def test_shows_a_bar_on_a_terminal(home: Path) -> None:
    """Files of the total, the rate, the time left."""
    terminal, theirs = pty.openpty()
    import_ = process(home, "-m", "worker", "import", mixed(home / "watch"), stderr=theirs)
    import_.wait(timeout=120)
    os.close(theirs)
    shown = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert "importing" in shown
    assert "3/3" in shown
