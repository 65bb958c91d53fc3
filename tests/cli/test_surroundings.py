"""Commands with broken files, disks or streams report it in one line, and lose nothing."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from tests.app import TODAY, run_file
from tests.cli.answers import ANNA, is_one_line, read
from tests.command import ROOT, easeback
from worker.store import Store

DAY = timedelta(days=1)


def broken_toml(home: Path) -> None:
    (home / "config").mkdir()
    (home / "config" / "easeback.toml").write_text("[mail")


def broken_routine(home: Path) -> None:
    (home / "config").mkdir()
    (home / "config" / "routine.toml").write_text("[[set]]\nname = 3\n")


def database_is_a_folder(home: Path) -> None:
    (home / "data" / "easeback.db").mkdir(parents=True)


def database_is_no_database(home: Path) -> None:
    (home / "data").mkdir()
    (home / "data" / "easeback.db").write_text("dear diary, " * 100)


def data_dir_is_a_file(home: Path) -> None:
    (home / "data").write_text("")


@pytest.mark.parametrize(
    ("spoil", "status", "words"),
    [
        (broken_toml, 2, "not valid TOML"),
        (broken_routine, 2, "routine.toml"),
        (database_is_a_folder, 1, "easeback.db"),
        (database_is_no_database, 1, "easeback.db"),
        (data_dir_is_a_file, 2, "data_dir"),
    ],
)
def test_what_is_broken_around_it_is_one_line(
    tmp_path: Path, spoil: Callable[[Path], None], status: int, words: str
) -> None:
    """Which file and what is wrong with it, without a traceback."""
    spoil(tmp_path)
    done = easeback("once", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (status, "")
    assert words in done.stderr
    assert is_one_line(done.stderr)


@pytest.mark.parametrize(
    ("spoil", "status", "words"),
    [(broken_toml, 2, "not valid TOML"), (broken_routine, 1, "routine.toml")],
)
def test_what_turns_bad_beside_a_running_worker_is_told_by_status(
    tmp_path: Path, spoil: Callable[[Path], None], status: int, words: str
) -> None:
    """The worker continues with what it read at its start; its next start would fail."""
    easeback("athlete", "add", "--name", "Ann", "--email", "ann@example.org", cwd=tmp_path)
    assert easeback("status", cwd=tmp_path).returncode == 0
    spoil(tmp_path)
    done = easeback("status", cwd=tmp_path)
    assert done.returncode == status
    assert words in done.stdout + done.stderr


def test_a_data_dir_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """root may write anywhere else."""
    for folder in ("/proc", "/proc/easeback"):
        done = easeback("once", cwd=tmp_path, env={"EASEBACK_DATA_DIR": folder})
        assert done.returncode in {1, 2}
        assert is_one_line(done.stderr), done.stderr


def test_a_full_disk_is_one_line_and_nothing_is_lost(tmp_path: Path) -> None:
    """Every write past a limit fails; with room again the same command succeeds."""
    assert easeback(*ANNA, cwd=tmp_path).returncode == 0
    for back in range(40):
        (tmp_path / "data" / "inbox" / f"{back}.fit").parent.mkdir(exist_ok=True)
        (tmp_path / "data" / "inbox" / f"{back}.fit").write_bytes(
            run_file(8.0, day=TODAY - back * DAY)
        )
    full = subprocess.run(
        [sys.executable, "-m", "worker", "once"],
        cwd=tmp_path,
        # Python 3.11 leaves a partial .pyc on a full disk, which breaks later imports:
        # https://github.com/python/cpython/issues/126606
        env={
            "PYTHONPATH": str(ROOT),
            "HOME": str(tmp_path),
            "PATH": "",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
        preexec_fn=_leave_no_room,
    )
    assert full.returncode == 1
    assert is_one_line(full.stderr), full.stderr
    assert [easeback("once", cwd=tmp_path).returncode for _ in range(2)] == [0, 0]
    assert len(read(tmp_path, "runs")) == 40


def _leave_no_room() -> None:
    """Limit files to two pages, as on a full disk with room for a lock."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))


def test_a_second_worker_is_refused_with_the_first_ones_name(tmp_path: Path) -> None:
    """By its process id; reading is still possible."""
    assert easeback(*ANNA, cwd=tmp_path).returncode == 0
    url = f"sqlite:///{tmp_path / 'data' / 'easeback.db'}"
    with closing(Store.open(url)) as store, store.sole_worker():
        done = easeback("once", cwd=tmp_path)
        assert done.returncode == 1
        assert f"process {os.getpid()}" in done.stderr
        assert is_one_line(done.stderr)
        assert read(tmp_path, "runs") == []


def test_an_engine_that_is_not_there_is_said_and_not_taken_for_another(tmp_path: Path) -> None:
    """A request for several workers isn't silently ignored."""
    done = easeback("once", cwd=tmp_path, env={"EASEBACK_ENGINE__KIND": "procrastinate"})
    assert done.returncode == 2
    assert is_one_line(done.stderr)
    assert "procrastinate" in done.stderr


def test_a_closed_standard_error_gets_into_nothing_else(tmp_path: Path) -> None:
    """Its output is neither printed elsewhere nor written into a file that got its number."""
    shell = 'exec 2>&-; exec "$0" -m worker runs exclude 99'
    easeback("athlete", "add", "--name", "Ann", "--email", "a@example.org", cwd=tmp_path)
    done = subprocess.run(  # noqa: S603  our own program
        ["/bin/sh", "-c", shell, sys.executable],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"")


INTERRUPTED = """
import os, signal, sys

module = sys.argv[1]


class Interrupts:
    def find_spec(self, name, *_):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)


signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupts())
from worker.__main__ import main
sys.argv = ["easeback", "status"]
main()
"""
"""The command line, interrupted when it imports a module."""


@pytest.mark.parametrize(
    ("module", "status"), [("typer", -signal.SIGINT), ("worker.cli.status", 128 + signal.SIGINT)]
)
def test_ctrl_c_while_modules_are_imported_prints_no_traceback(
    tmp_path: Path, module: str, status: int
) -> None:
    """Neither before the command is known nor after."""
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", INTERRUPTED, module],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (status, "")
