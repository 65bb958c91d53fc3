"""The commands about therapists: add, list, relink and remove."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.arguments import PARSERS, checked_contact
from worker.cli.context import (
    CommandContext,
    JsonOption,
    UsageError,
    YesOption,
    check_language,
    command_of,
)
from worker.domain.contact import checked_address, checked_name
from worker.domain.practice import Therapist

if TYPE_CHECKING:
    from worker.store import Transaction

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The therapist's name.")]

therapist_commands = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Add, list and remove therapists, who see the practice's pages.",
)


@therapist_commands.command("add")
def add_therapist(
    context: typer.Context,
    name: NameArgument,
    mail: Annotated[str, typer.Option("--mail", help="Where copies of alerts go.")],
    language: Annotated[
        str, typer.Option("--language", help="Of their pages and mails: en, de or fr.")
    ] = "",
) -> None:
    """Add a therapist, and print the link to the practice's pages.

    Each therapist sees every athlete. The link works for 90 days.
    """
    command = command_of(context)
    wanted = Therapist(
        id=0,
        name=checked_contact("NAME", checked_name, name),
        email=checked_contact("--mail", checked_address, mail),
        added_at=datetime.now(UTC),
        language=str(PARSERS["language"](language)),
    )
    check_language(command, wanted.language)
    command.set_up()
    with command.store.transaction() as tx:
        taken = tx.therapists.named(wanted.name)
        if taken is not None:
            raise UsageError(f"there is a therapist called {taken.name} already")
        added = tx.therapists.add(wanted)
    command.say(f"added {added.name}, who sees all athletes by this link:")
    _print_link(command, added)


@therapist_commands.command("list")
def list_therapists(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the therapists."""
    command = command_of(context)
    with command.store.reading() as tx:
        everybody: Sequence[Therapist] = tx.therapists.all()
    command.print_list(
        ("name", "e-mail", "language", "added"),
        [(one.name, one.email, one.language, f"{one.added_at:%Y-%m-%d}") for one in everybody],
        as_json=as_json,
        json=[
            {
                "name": one.name,
                "email": one.email,
                "language": one.language or None,
                "added_at": one.added_at,
            }
            for one in everybody
        ],
        empty="no therapist yet: add one with `easeback therapist add`",
    )


@therapist_commands.command("relink")
def relink_therapist(context: typer.Context, name: NameArgument) -> None:
    """Close a therapist's links, and print a fresh one."""
    command = command_of(context)
    with command.store.transaction() as tx:
        fresh = tx.therapists.relink(_the_therapist(tx, name))
    command.say(f"links made for {fresh.name} until now open nothing any more; a fresh one:")
    _print_link(command, fresh)


@therapist_commands.command("remove")
def remove_therapist(context: typer.Context, name: NameArgument, yes: YesOption = False) -> None:
    """Remove a therapist. Their links stop working, and they get no more copies."""
    command = command_of(context)
    with command.store.reading() as tx:
        who = _the_therapist(tx, name)
    command.confirm(f"Remove {who.name}?", yes=yes, otherwise="nobody was removed")
    with command.store.transaction() as tx:
        tx.therapists.remove(who)
    command.say(f"removed {who.name}; the athletes stay as they are")


def _the_therapist(tx: "Transaction", name: str) -> Therapist:
    found = tx.therapists.named(name)
    if found is None:
        raise UsageError(
            f"no therapist is called {name!r}; `easeback therapist list` shows who there is"
        )
    return found


def _print_link(command: CommandContext, therapist: Therapist) -> None:
    address = command.signer.sign("practice", therapist, now=datetime.now(UTC))
    print(address)  # noqa: T201  alone on its line, for scripts and people
