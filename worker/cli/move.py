"""The command `move-to`: copies SQLite to PostgreSQL and verifies it; it can be resumed."""

import re
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.context import AttentionError, JsonOption, UsageError, command_of
from worker.cli.progress import progress
from worker.domain.shown import counted

_PASSWORD = re.compile(r"//[^/@]*:.*@|[?&]password=")


def move_to(
    context: typer.Context,
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="URL",
            help="postgresql+psycopg://user@host/name; with a password by EASEBACK_MOVE_TO, by "
            "--url-file, or when asked.",
            envvar="EASEBACK_MOVE_TO",
            show_envvar=False,
        ),
    ] = None,
    url_file: Annotated[
        Path | None, typer.Option("--url-file", metavar="FILE", help="A file with the address.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Move the SQLite database to PostgreSQL.

    Every row is copied to an empty database and compared. After an interruption, run it again.
    """
    from worker.store import Store
    from worker.store.move import Move

    command = command_of(context)
    address = _address(context, url, url_file)
    with closing(Store.open(address)) as target, closing(Store.at(command.settings.url)) as source:
        if source.file is None:
            raise UsageError("move-to moves from SQLite: database_url names PostgreSQL already")
        try:
            with (
                closing(Move(source.file, target)) as move,
                source.sole_worker(),
                target.sole_worker(),
            ):
                move.begin()
                with progress("moving", "rows", move.count(), quiet=as_json) as advance:
                    for number in move.copy():
                        advance(number)
                    for number in move.verify():
                        advance(number)
                moved = move.end()
        except KeyboardInterrupt as stop:
            raise AttentionError("stopped: the same command goes on from there") from stop
        shown_url = target.engine.url.render_as_string(hide_password=True)
    if as_json:
        command.print_json({"rows": moved.rows})
        return
    command.say(
        f"{counted(moved.total, 'row')} moved to {shown_url}, every one compared with its source."
    )
    command.say("Now set, in config/easeback.toml or the environment:")
    command.say(f'  database_url = "{shown_url}"')
    if not command.settings.secret_key:
        keys = command.settings.data_dir / "keys"
        command.say(f"and let every process have {keys}: it opens links.")
    command.say("The SQLite file is as it was; keep it until all is well.")


def _address(context: typer.Context, url: str | None, file: Path | None) -> str:
    """The address of the target; raises if it has a password and was given as an argument."""
    source = context.get_parameter_source("url")
    if file is not None:
        try:
            url = file.read_text("utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--url-file: {file} can't be read: {error}") from error
    elif url is None and sys.stdin.isatty():
        url = str(typer.prompt("The address (it isn't shown)", hide_input=True, err=True))
    elif url is None:
        url = sys.stdin.readline().strip()
    elif source is not None and source.name == "COMMANDLINE" and _PASSWORD.search(url):
        raise UsageError(
            "move-to: a password on the command line stands in the shell's history and in every "
            "process list: give the address in EASEBACK_MOVE_TO, by --url-file, or when asked"
        )
    if not url:
        raise UsageError("move-to: name the address of the PostgreSQL database to move to")
    return url
