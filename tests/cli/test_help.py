"""Help, its examples, and shell completion."""

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from worker.cli.app import app, run_command_line
from worker.cli.commands import EXAMPLES


def all_commands() -> Iterator[tuple[str, Any]]:
    """Each command by its full name; groups only if they do something themselves."""
    group: Any = typer.main.get_command(app)
    for name in group.commands:
        command = group.get_command(None, name)
        inside = getattr(command, "commands", {})
        if not inside or command.invoke_without_command:
            yield name, command
        yield from ((f"{name} {each}", one) for each, one in inside.items())


def test_every_command_has_an_example_that_it_understands() -> None:
    """The example's options and arguments are parsed as if it were called."""
    found = dict(all_commands())
    assert found.keys() == EXAMPLES.keys()
    for name, command in found.items():
        command.make_context(name, shlex.split(EXAMPLES[name]))
        assert f"Example: easeback {name} {EXAMPLES[name]}".rstrip() == command.epilog


@pytest.mark.parametrize("command", [[], ["runs"], ["runs", "add"], ["explain"]])
def test_a_short_option_shows_the_help(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line([*command, "-h"]) == 0
    short = capsys.readouterr().out
    assert run_command_line([*command, "--help"]) == 0
    assert capsys.readouterr().out == short
    assert f"Usage: {' '.join(['easeback', *command])} [OPTIONS]" in short


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_given_a_script_that_completes(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script asks `easeback` itself, which answers with the possible words."""
    monkeypatch.setenv("_EASEBACK_COMPLETE", f"source_{shell}")
    with pytest.raises(SystemExit) as ended:
        run_command_line([])
    assert ended.value.code == 0
    assert f"_EASEBACK_COMPLETE=complete_{shell}" in capsys.readouterr().out
    monkeypatch.setenv("_EASEBACK_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", "easeback runs inc")
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "easeback runs inc")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    with pytest.raises(SystemExit):
        run_command_line([])
    assert "include" in capsys.readouterr().out
