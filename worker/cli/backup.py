"""The commands `backup` and `restore`: copies of the database."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.context import UsageError, command_of
from worker.domain.shown import counted


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a copy of the database, even while the worker runs."""
    command = command_of(context)
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise UsageError(f"{file}: not a place for a file")
    if file.exists() and not force:
        raise UsageError(f"{file} is there already: choose another name, or say --force")
    command.store.copy_to(file)
    command.say(f"wrote {file} ({file.stat().st_size / 1e6:.1f} MB)")


def restore_backup(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A copy that `backup` or the worker made.")
    ] = None,
    only_mark: Annotated[
        bool,
        typer.Option("--only-mark", help="The database was restored by other means (pg_restore)."),
    ] = False,
    begin_anew: Annotated[
        bool,
        typer.Option("--begin-anew", help="The database is lost: start with an empty one."),
    ] = False,
) -> None:
    """Replace the database with a backup.

    Mail that was sent since the backup isn't sent again.
    """
    from worker.config import make_data_dir
    from worker.pipeline.backup import backup_name, mark_restored
    from worker.store import Store
    from worker.store.restore import restore

    command = command_of(context)
    now = datetime.now(UTC)
    if [file is not None, only_mark, begin_anew].count(True) != 1:
        raise UsageError("restore: name the FILE to restore, or say --only-mark or --begin-anew")
    if begin_anew:
        with closing(Store.at(command.settings.url)) as store:
            if store.file is None or (store.file.exists() and store.schema() is not None):
                raise UsageError("restore --begin-anew: there is a database, and it stays as it is")
        with closing(Store.open(command.settings.url)) as store:
            command.say(f"made an empty database at {store.file}")
        return
    if file is None:
        command.set_up()
        with command.store.sole_worker(), command.store.transaction() as tx:
            marked = mark_restored(tx, now=now)
    else:
        if not file.is_file():
            raise UsageError(f"{file}: there is no such file")
        aside = command.settings.backups_path / backup_name(now)
        make_data_dir(command.settings)
        # Not opened as usual, because the database to replace may be damaged.
        store = Store.at(command.settings.url)
        with store.sole_worker():
            marked = restore(file, store, aside=aside, mark=lambda tx: mark_restored(tx, now=now))
        command.say(f"restored {file}; what was there before is in {aside}")
    command.say(
        f"held {counted(marked.held, 'mail')} that may have been sent since (`easeback outbox "
        f"list`); weeks up to now that count as told: {marked.weeks}"
    )
    command.say(
        "links to pages that were made until now open nothing any more: the next mail brings an "
        "athlete fresh ones, `easeback athlete relink NAME` one at once; those that stop a mail "
        "still work"
    )
