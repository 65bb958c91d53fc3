"""The command `move-to`: from SQLite to PostgreSQL, verified; what was killed goes on."""

from typing import Annotated

import typer

from worker.cli.progress import progress
from worker.cli.shell import AttentionError, JsonOption, Shell, UsageError, shell_of


def register(app: typer.Typer) -> None:
    app.command("move-to")(move_to)


def move_to(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="postgresql+psycopg://user@host/name")],
    as_json: JsonOption = False,
) -> None:
    """Copy the SQLite database to an empty PostgreSQL database, and compare every row."""
    from worker.store import Store
    from worker.store.moving import Move

    shell = shell_of(context)
    target = Store.open(url)
    shell.keep(target)
    source = Store.at(shell.settings.url)
    if source.file is None:
        raise UsageError("move-to moves from SQLite: database_url names PostgreSQL already")
    move = Move(source.file, target)
    try:
        with source.sole_worker(), target.sole_worker():
            move.begin()
            with progress("moving", "rows", move.count(), quiet=as_json) as show:
                for number in move.copy():
                    show.advance(number)
                for number in move.verify():
                    show.advance(number)
            moved = move.end()
    except KeyboardInterrupt as stop:
        raise AttentionError("stopped: the same command goes on from there") from stop
    finally:
        move.close()
        source.close()
    if as_json:
        shell.print_json({"rows": moved.rows})
    else:
        _tell(shell, target, moved.total)


def _tell(shell: Shell, target: object, total: int) -> None:
    from worker.store import Store

    assert isinstance(target, Store)  # noqa: S101  narrows
    shown = target.engine.url.render_as_string(hide_password=True)
    shell.say(f"{total:,} rows moved to {shown}, every one compared with its source.")
    shell.say("Now set, in config/easeback.toml or the environment:")
    shell.say(f'  database_url = "{shown}"')
    if not shell.settings.secret_key:
        shell.say(f"and let every process have {shell.settings.data_dir / 'keys'}: it opens links.")
    shell.say("The SQLite file is as it was; keep it until all is well.")
