"""The commands. Each one reads the clock and the settings, calls the pipeline, and prints.

Exit status: 0 all well; 1 it ran but something needs attention, said in one line on standard
error; 2 wrong usage or settings. Heavy imports wait until a command needs them.
"""

import os
import sys

__all__ = ["main"]

_GLOBAL_WITH_VALUE = "--config"
_GLOBAL_FLAGS = frozenset({"--verbose", "--version"})


def main(arguments: list[str] | None = None) -> None:
    """Run one command; ends the process with its exit status."""
    from worker.cli.app import run_command_line

    # What Easeback writes is for its owner alone, also where data_dir was made by somebody else.
    os.umask(0o077)
    sys.exit(run_command_line(_globals_first(sys.argv[1:] if arguments is None else arguments)))


def _globals_first(arguments: list[str]) -> list[str]:
    """The global options are understood after the command as well."""
    first: list[str] = []
    rest: list[str] = []
    left = iter(arguments)
    for argument in left:
        if argument == "--":
            rest += [argument, *left]
        elif argument == _GLOBAL_WITH_VALUE:
            first += [argument, *([value] if (value := next(left, None)) is not None else [])]
        elif argument in _GLOBAL_FLAGS or argument.startswith(f"{_GLOBAL_WITH_VALUE}="):
            first.append(argument)
        else:
            rest.append(argument)
    return first + rest
