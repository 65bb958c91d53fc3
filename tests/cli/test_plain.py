"""No escape sequences if unwanted: with NO_COLOR, a dumb terminal, or a pipe."""

import subprocess
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from tests.app import TODAY, run_file
from tests.command import easeback
from tests.terminal import converse

ESCAPE = "\x1b"
AS_OF = f"{TODAY}T18:00:00Z"
COMMANDS = (
    ("athlete", "list"),
    ("runs", "--all"),
    ("alerts",),
    ("status",),
    ("explain", str(TODAY), "--as-of", AS_OF),
    ("ceiling", "--as-of", AS_OF),
    ("plan",),
    ("backtest",),
    ("outbox", "list", "--all"),
    ("doctor",),
    ("preview", "weekly", "--no-open", "--as-of", AS_OF),
    ("athlete", "diary"),
    ("import", "history"),
    ("once", "--as-of", AS_OF),
    ("runs", "--help"),
    ("rnus",),
    ("athlete", "set", "Bob"),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Anna's folder, with eight weeks of runs and a jump."""
    home = tmp_path_factory.mktemp("plain")
    history = home / "history"
    history.mkdir()
    for back in (*range(2, 56, 2), 0):
        content = run_file(8.0 if back else 13.0, day=TODAY - timedelta(days=back))
        (history / f"{back}.fit").write_bytes(content)
    for command in (("athlete", "add", "--name", "Anna", "--email", "a@example.org"),
                    ("import", "history")):  # fmt: skip
        assert easeback(*command, cwd=home).returncode == 0
    return home


def on_a_terminal(command: tuple[str, ...], home: Path, env: Mapping[str, str]) -> str:
    return converse(*command, cwd=home, env=env).shown


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_a_terminal_that_wants_plain_letters_gets_them(
    home: Path, command: tuple[str, ...], env: dict[str, str]
) -> None:
    """Also if FORCE_COLOR is set beside NO_COLOR."""
    shown = on_a_terminal(command, home, {"FORCE_COLOR": "1", **env} if "NO_COLOR" in env else env)
    assert shown.strip()
    assert ESCAPE not in shown


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_pipe_gets_plain_letters(home: Path, command: tuple[str, ...]) -> None:
    done: subprocess.CompletedProcess[str] = easeback(*command, cwd=home)
    assert (done.stdout + done.stderr).strip()
    assert ESCAPE not in done.stdout + done.stderr


@pytest.mark.parametrize("command", [("athlete", "list"), ("backtest",), ("import", "history")])
def test_any_other_terminal_gets_some_style(home: Path, command: tuple[str, ...]) -> None:
    """So the tests above can fail."""
    assert ESCAPE in on_a_terminal(command, home, {})


def test_a_pipe_gets_style_where_it_is_asked_for(home: Path) -> None:
    """For `less -R` and the like."""
    done = easeback("athlete", "list", cwd=home, env={"FORCE_COLOR": "1"})
    assert ESCAPE in done.stdout
