"""The command line itself: global options, and errors as one line with the right exit status."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from worker import __version__
from worker.cli.log import set_up
from worker.cli.shell import AttentionError, Shell, UsageError

app = typer.Typer(
    name="easeback",
    help="Watches a runner's mileage and mails the routine that eases the runner back.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _say_version(wanted: bool) -> None:
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
    version: Annotated[  # noqa: ARG001  typer acts on it before anything else
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    shell = Shell(config=config, verbose=verbose)
    context.obj = shell
    context.call_on_close(shell.close)
    # A command says its own trouble, in one line; the worker turns its log up.
    set_up(logging.DEBUG if verbose else logging.CRITICAL)


def run(arguments: list[str]) -> int:
    """Run one command and give its exit status; every expected error is one line."""
    _register()
    try:
        status = app(arguments or ["--help"], prog_name="easeback", standalone_mode=False)
    except BrokenPipeError:
        sys.stdout = None  # the reader has gone; there is nobody left to flush to
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if "--verbose" in arguments and not isinstance(error, TyperException):
            logging.getLogger(__name__).debug("where it happened", exc_info=error)
        return _complain(error)
    return status if isinstance(status, int) else 0


def _register() -> None:
    """Hang every command on the app, once."""
    if app.registered_commands:
        return
    from worker.cli import (
        athletes,
        backtesting,
        care,
        demo,
        importing,
        moving,
        outbox,
        reports,
        setup,
        status,
        strava,
        work,
    )

    rooms = (
        demo, setup, work, importing, moving, athletes, reports, status, backtesting, strava,
        outbox, care,
    )  # fmt: skip
    for room in rooms:
        room.register(app)


def _complain(error: BaseException) -> int:
    """Say in one line what was wrong; the exit status that goes with it."""
    if isinstance(error, UsageError):
        words, status = str(error), 2
    elif isinstance(error, TyperException):
        words, status = _usage_words(error), 2
    elif isinstance(error, AttentionError):
        words, status = str(error), 1
    elif isinstance(error, typer.Abort | KeyboardInterrupt):
        words, status = "stopped", 1
    else:
        words, status = _words_of_the_rooms(error)
    # A group called without one of its commands answers with its help, which stands alone.
    prefix = "" if words.startswith("Usage:") else "easeback: "
    print(prefix + words, file=sys.stderr)  # noqa: T201  this is how a command speaks
    return status


def _usage_words(error: TyperException) -> str:
    """What typer has to say about the call, and where the help is."""
    context = getattr(error, "ctx", None)
    text = error.format_message()
    if text.startswith("Usage:"):
        return text
    return text.rstrip(".") + (f" (see `{context.command_path} --help`)" if context else "")


def _words_of_the_rooms(error: BaseException) -> tuple[str, int]:
    """The rooms' own errors have words enough; anything else asks for `--verbose`."""
    from worker.config import SettingsError
    from worker.mail import SendError
    from worker.sources import SourceError
    from worker.store import LockedError, StoreAddressError, StoreError

    if isinstance(error, SettingsError | StoreAddressError):
        return str(error), 2
    if isinstance(error, SendError | SourceError | StoreError | LockedError):
        return str(error), 1
    return f"unexpected: {error!r}; run it again with --verbose for the whole story", 1
