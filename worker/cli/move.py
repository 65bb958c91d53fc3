"""The command `move-to`: from SQLite to PostgreSQL, verified; a killed move is gone on with."""

from contextlib import closing
from typing import Annotated

import typer

from worker.cli.context import AttentionError, JsonOption, UsageError, command_of
from worker.cli.progress import progress


def move_to(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="postgresql+psycopg://user@host/name")],
    as_json: JsonOption = False,
) -> None:
    """Move the SQLite database to PostgreSQL.

    Every row is copied to an empty database and compared; a killed move is continued.
    """
    from worker.store import Store
    from worker.store.move import Move

    command = command_of(context)
    with closing(Store.open(url)) as target, closing(Store.at(command.settings.url)) as source:
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
    command.say(f"{moved.total:,} rows moved to {shown_url}, every one compared with its source.")
    command.say("Now set, in config/easeback.toml or the environment:")
    command.say(f'  database_url = "{shown_url}"')
    if not command.settings.secret_key:
        keys = command.settings.data_dir / "keys"
        command.say(f"and let every process have {keys}: it opens links.")
    command.say("The SQLite file is as it was; keep it until all is well.")
