"""Command about one athlete's links: close those that were made, and give a fresh one."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from worker.cli.shell import shell_of, the_athlete


def relink(
    context: typer.Context,
    athlete: Annotated[
        str | None,
        typer.Argument(metavar="[ATHLETE]", help="Whose; not needed while there's one athlete."),
    ] = None,
) -> None:
    """Close every link that was mailed to an athlete, and print a fresh one to their page.

    Links to stop a mail go on working.
    """
    from worker.keys import read_keys
    from worker.links import Signer

    shell = shell_of(context)
    with shell.store.transaction() as tx:
        who = the_athlete(tx, athlete, how="by its name")
        begins_at = tx.athletes.close_links(who, now=datetime.now(UTC))
    signer = Signer(read_keys(shell.settings), shell.settings.base_url)
    shell.say(f"links made for {who.name} until now open nothing any more; a fresh one:")
    address = signer.sign("athlete", {"athlete": who.id}, now=begins_at)
    print(address)  # noqa: T201  alone on its line, for scripts and people
