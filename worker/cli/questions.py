"""Questions on a terminal. Each is repeated until the answer is valid.

An answer may be given as an option instead, or as a line of the input if there is no terminal. Then
nothing is asked, and an invalid answer is a `UsageError`.
"""

import re
import sys
from collections.abc import Callable, Mapping
from typing import TypeVar

import typer

from worker.cli.context import UsageError
from worker.domain.shown import printable

_T = TypeVar("_T")
_OPTION = re.compile(r"^--[a-z-]+: ")


class Questions:
    """Asks for answers that aren't in `given`. Without `asks`, the proposed answers are used."""

    def __init__(
        self, given: Mapping[str, str | None], *, asks: bool, at_terminal: bool = True
    ) -> None:
        self._given = given
        self._at_terminal = at_terminal
        self.asks = asks

    def ask(
        self,
        name: str,
        question: str,
        check: Callable[[str], _T],
        *,
        proposed: str = "",
        hidden: bool = False,
    ) -> _T:
        """The answer as `check` returns it, which raises `UsageError` or `ValueError` if invalid.

        `name` is the option's name. Raises `UsageError` for an invalid option or line, and
        `typer.Abort` at the end of the input.
        """
        given, what = self._given.get(name), f"--{name.replace('_', '-')}"
        if given is None and self.asks and not self._at_terminal:
            given, what = _line() or proposed, question
        if given is not None or not self.asks:
            try:
                return check((given if given is not None else proposed).strip())
            except (UsageError, ValueError) as error:
                raise UsageError(f"{what}: {_why(error)}") from error
        while True:
            answer: str = typer.prompt(
                question,
                default=proposed,
                show_default=bool(proposed) and not hidden,
                hide_input=hidden,
                err=True,
            )
            try:
                return check(answer.strip())
            except (UsageError, ValueError) as error:
                self.say(f"  {_why(error)}")

    def say(self, text: str) -> None:
        """Print a line between questions."""
        if self.asks and self._at_terminal:
            typer.echo(printable(text), err=True)


def _line() -> str:
    line = sys.stdin.readline()
    if not line:
        raise typer.Abort
    return line.strip()


def _why(error: Exception) -> str:
    return _OPTION.sub("", str(error))
