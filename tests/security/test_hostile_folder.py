"""In a stranger's folder as the current one, such as an unpacked export, none of its code runs."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from tests.app import TODAY, run_file
from tests.command import ROOT, easeback, installed_command
from tests.security.traps import lay_traps, ran, shadow_of_ours, trap
from worker import search_path
from worker.cli.browser import show_in_browser


@pytest.fixture
def command(tmp_path: Path) -> Path:
    """`easeback` as installed: a script in its own folder."""
    return installed_command(tmp_path / "bin")


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """Collects the names of the stranger's modules that were run."""
    return tmp_path / "canary"


@pytest.fixture
def export(tmp_path: Path, canary: Path) -> Path:
    """Two runs, and modules with the names of our imports."""
    folder = tmp_path / "export"
    folder.mkdir()
    for number in (1, 2):
        day = TODAY - timedelta(days=number)
        (folder / f"{number}.fit").write_bytes(run_file(number, day=day))
    lay_traps(folder, canary)
    return folder


def called(
    program: Sequence[str | Path],
    *arguments: str | Path,
    cwd: Path,
    home: Path,
    python_path: str = str(ROOT),
) -> subprocess.CompletedProcess[str]:
    """Run one command with its data in `home`."""
    around = {name: value for name, value in os.environ.items() if not name.startswith("EASEBACK_")}
    return subprocess.run(  # noqa: S603  our own program
        [sys.executable, *map(str, program), *map(str, arguments)],
        cwd=cwd,
        env={
            **around,
            "PYTHONPATH": python_path,
            "HOME": str(home),
            "EASEBACK_DATA_DIR": str(home / "data"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_traps_work(export: Path, canary: Path) -> None:
    """So that the tests below can't pass with broken traps."""
    subprocess.run([sys.executable, "-c", "import json, fitparse"], cwd=export, check=True)
    assert ran(canary) == ["json/__init__.py", "fitparse/__init__.py"]


def with_mira(home: Path) -> None:
    """Add the athlete for an import, in a folder without traps."""
    add = ("athlete", "add", "--name", "Mira", "--email", "mira@example.org")
    done = easeback(*add, cwd=home)
    assert done.returncode == 0, done.stderr


def imported(done: subprocess.CompletedProcess[str]) -> int:
    """The number of imported runs."""
    assert done.returncode == 0, done.stderr
    number = json.loads(done.stdout)["imported"]
    assert isinstance(number, int)
    return number


def test_an_import_in_a_strangers_folder_runs_nothing_of_it(
    tmp_path: Path, command: Path, export: Path, canary: Path
) -> None:
    """Neither in the command nor in the reader process, whatever is shadowed; runs are imported."""
    shadow_of_ours(export, canary)
    for name in (*sys.stdlib_module_names, "sitecustomize", "usercustomize"):
        trap(export / f"{name}.py", canary)
    with_mira(tmp_path)
    done = called([command], "import", ".", "--json", cwd=export, home=tmp_path)
    assert imported(done) == 2
    assert ran(canary) == []


@pytest.mark.parametrize(
    ("program", "python_path"),
    [("easeback", f"{ROOT}:"), ("easeback", f"{ROOT}:."), ("-m", str(ROOT)), ("-m", f"{ROOT}:")],
)
def test_where_python_itself_looks_there_we_do_not(
    tmp_path: Path, command: Path, export: Path, canary: Path, program: str, python_path: str
) -> None:
    """By `python -m`, or a PYTHONPATH with an empty part or a dot."""
    words = ["-m", "worker"] if program == "-m" else [command]
    with_mira(tmp_path)
    done = called(
        words, "import", ".", "--json", cwd=export, home=tmp_path, python_path=python_path
    )
    assert imported(done) == 2
    assert ran(canary) == []


@pytest.mark.parametrize(
    "arguments",
    [("once",), ("doctor",), ("preview", "weekly", "--no-open")],
    ids=lambda arguments: str(arguments[0]),
)
def test_no_command_runs_what_lies_there(
    tmp_path: Path, command: Path, export: Path, canary: Path, arguments: tuple[str, ...]
) -> None:
    """Including modules that are imported later. `demo` has its own test of this."""
    shadow_of_ours(export, canary)
    inbox = tmp_path / "data" / "inbox"
    inbox.mkdir(parents=True)
    (inbox / "a.fit").write_bytes(run_file(8))
    with_mira(tmp_path)
    done = called([command], *arguments, cwd=export, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert ran(canary) == []


def test_an_import_goes_on_where_the_current_folder_is_gone(tmp_path: Path, command: Path) -> None:
    """Nothing is searched in it, and the reader process uses another folder."""
    with_mira(tmp_path)
    run = tmp_path / "a.fit"
    run.write_bytes(run_file(8))
    gone = tmp_path / "gone"
    gone.mkdir()
    leaving = (
        "import os, sys; os.chdir(sys.argv[1]); os.rmdir(sys.argv[1]); "
        "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
    )
    program = ["-c", leaving, gone, command]
    assert imported(called(program, "import", run, "--json", cwd=tmp_path, home=tmp_path)) == 1


# Search paths


def test_what_counts_from_the_current_folder_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any spelling; full paths named by the operator stay."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "lib::/opt/own")
    ours = [entry for entry in sys.path if Path(entry).is_absolute()]
    hostile = ["", ".", "lib", str(tmp_path), str(tmp_path / "link"), str(tmp_path / "lib")]
    monkeypatch.setattr(sys, "path", [*hostile, "/opt/own", *ours])
    assert search_path.for_modules() == ["/opt/own", *ours]


def test_a_checkout_that_one_stands_in_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the current folder is where Easeback comes from, by its full path."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", ["", "tests"])
    assert search_path.for_modules() == [str(ROOT.resolve())]


def test_the_installation_stays_though_one_stands_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries after the standard library can only have been installed."""
    stdlib = str(Path(os.__file__).parent)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), stdlib, str(tmp_path)])
    assert search_path.for_modules() == [stdlib, str(tmp_path)]


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/bin:.:/usr/bin", "/bin:/usr/bin"),
        (":bin:/bin:", "/bin"),
        (".:", os.defpath),
        ("", os.defpath),
    ],
)
def test_no_program_is_looked_for_in_the_current_folder(path: str, kept: str) -> None:
    """An empty PATH, or an empty part of it, means the current folder too."""
    assert search_path.for_programs(path) == kept


# The browser


def program(file: Path, text: str) -> None:
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def test_the_browser_gets_neither_the_folder_nor_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It starts in the root folder, without our password in its environment."""
    browser, told = tmp_path / "browser", tmp_path / "told"
    program(browser, f'(pwd; echo "$1"; env) > {told}')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    monkeypatch.setenv("EASEBACK_MAIL__PASSWORD", "hunter2")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert show_in_browser("http://127.0.0.1:8765/")
    folder, address, *environment = told.read_text().splitlines()
    assert (folder, address) == ("/", "http://127.0.0.1:8765/")
    assert "DISPLAY=:0" in environment
    assert not [line for line in environment if line.startswith(("EASEBACK_", "PYTHON"))]


def test_no_browser_is_taken_from_a_strangers_folder(
    export: Path, canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by Python's `webbrowser` nor by a program, even if PATH has a dot."""
    for name in ("xdg-open", "x-www-browser", "www-browser", "firefox", "open", "osascript"):
        program(export / name, f"echo {name} >> {canary}")
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(export)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("BROWSER", raising=False)
    monkeypatch.setenv("PATH", f".:{empty}:")
    assert not show_in_browser("http://127.0.0.1:8765/")
    assert ran(canary) == []
