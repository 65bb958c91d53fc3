"""The command line itself: global options, and errors as one line with the right exit status."""

import gc
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from worker import __version__
from worker.cli.commands import Commands
from worker.cli.context import AttentionError, CommandContext, UsageError, is_plain
from worker.cli.log import set_up_log
from worker.domain.shown import printable

app = typer.Typer(
    name="easeback",
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Watches a runner's mileage and mails the routine that eases the runner back.",
    epilog="Exit status: 0 all well; 1 it ran, and something needs attention, or another worker is "
    "running; 2 wrong usage or settings, something named doesn't exist, or nothing is set up yet.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


_GLOBAL_WITH_VALUE = "--config"
_GLOBAL_FLAGS = frozenset({"--verbose", "--version"})


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"easeback {__version__}")
        raise typer.Exit


@app.callback()
def _globals(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="The settings file.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Log every event, and tracebacks.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    command = CommandContext(config=config, verbose=verbose)
    context.obj = command
    context.color = not is_plain()
    context.call_on_close(command.close)
    # Commands print their own errors in one line; the worker raises the log level.
    set_up_log(logging.DEBUG if verbose else logging.CRITICAL)


def main() -> None:
    """Run one command, and end the process with its exit status."""
    _open_standard_streams()
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Files are readable only by their owner, even if somebody else created data_dir.
    os.umask(0o077)
    status = run_command_line(sys.argv[1:])
    gc.freeze()
    sys.exit(status)


def _open_standard_streams() -> None:
    """Open the null device in place of each closed standard stream.

    Otherwise the next file, perhaps the database, would get the stream's number, and error messages
    would be written into it. Without a standard error, Python would print them on standard output.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w")


def _globals_first(arguments: list[str]) -> list[str]:
    """Move global options that follow the command to the front."""
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


def run_command_line(arguments: list[str]) -> int:
    """Run one command and return its exit status; every expected error is one line."""
    ordered = _globals_first(arguments) or ["--help"]
    try:
        status = app(ordered, prog_name="easeback", standalone_mode=False)
    except BrokenPipeError:
        sys.stdout = None  # the reader is gone, so nothing may be flushed at exit
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if "--verbose" in arguments and not isinstance(error, TyperException):
            logging.getLogger(__name__).debug("where it happened", exc_info=error)
        words, status = _words_and_status(error)
        # A group called without a command prints only its help.
        prefix = "" if words.startswith("Usage:") else "easeback: "
        print(prefix + words, file=sys.stderr)  # noqa: T201  commands print
    return status if isinstance(status, int) else 0


def _words_and_status(error: BaseException) -> tuple[str, int]:
    """The error message in one line, and the exit status."""
    if isinstance(error, TyperException):
        words = error.format_message()
        context = getattr(error, "ctx", None)
        if context and not words.startswith("Usage:"):
            words = f"{words.rstrip('.')} (see `{context.command_path} --help`)"
        return printable(words, but="\n"), 2
    if isinstance(error, typer.Abort | KeyboardInterrupt):
        return "stopped", 1

    from worker.config import SettingsError
    from worker.mail import SendError
    from worker.sources.base import SourceError
    from worker.store import LockedError, StoreAddressError, StoreError

    if isinstance(error, UsageError | SettingsError | StoreAddressError):
        return printable(str(error)), 2
    if isinstance(error, AttentionError | SendError | SourceError | StoreError | LockedError):
        return printable(str(error)), 1
    from worker.health import shortage_of

    if shortage := shortage_of(error):
        words = shortage.text
    elif isinstance(error, OSError) and error.filename is not None:
        # Such as a file that was named, in a folder that the user may not enter.
        words = printable(f"{error.filename}: {error.strerror}")
    else:
        words = f"unexpected: {error!r}; run it again with --verbose for the whole story"
    return words, 1
