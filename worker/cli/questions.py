"""Questions on a terminal: an answer is checked where it's given, and asked for until it's right.

It may be given as an option instead, or as a line of the input where there's no terminal: then
nothing is asked, and a wrong one is a `UsageError`.
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
    """Asks for what `given` has no answer to, where `asks` is set; else what is proposed holds."""

    def __init__(
        self, given: Mapping[str, str | None], *, asks: bool, at_terminal: bool = True
    ) -> None:
        self._given = given
        self._at_terminal = at_terminal
        self.asks = asks

    def has(self, name: str) -> bool:
        """Whether the option of this name was given."""
        return self._given.get(name) is not None

    def ask(
        self,
        name: str,
        question: str,
        check: Callable[[str], _T],
        *,
        proposed: str = "",
        hidden: bool = False,
    ) -> _T:
        """What `check` makes of the answer; it raises `UsageError` or `ValueError` for a wrong one.

        `name` is that of the option. Raises `UsageError` for a wrong option or line, `typer.Abort`
        where the input has ended.
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
        """Prints a line beside the questions."""
        if self.asks and self._at_terminal:
            typer.echo(printable(text), err=True)


def _line() -> str:
    line = sys.stdin.readline()
    if not line:
        raise typer.Abort
    return line.strip()


def _why(error: Exception) -> str:
    return _OPTION.sub("", str(error))
