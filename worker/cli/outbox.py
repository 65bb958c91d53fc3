"""The commands about mail that waits: outbox list, retry, hold, release, drop."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.shell import AttentionError, JsonOption, Shell, UsageError, shell_of, zulu

if TYPE_CHECKING:
    from worker.store import Letter, Transaction

IdsArgument = Annotated[
    list[int] | None, typer.Argument(metavar="ID...", help="Which mails, as `list` numbers them.")
]
EveryOption = Annotated[bool, typer.Option("--all", help="Every mail that this can be done to.")]

Act = Callable[["Transaction", "Letter"], bool]

BY_THE_OPERATOR = "held by the operator"
_DONE = {"retry": "queued again", "hold": "held", "release": "queued", "drop": "dropped"}
_BEFORE = {
    "retry": ("queued", "retry", "dead"),
    "hold": ("queued", "retry"),
    "release": ("held",),
    "drop": ("queued", "retry", "dead", "held"),
}


def register(app: typer.Typer) -> None:
    outbox = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Mail that waits.")
    outbox.command("list")(show)
    outbox.command("retry")(retry)
    outbox.command("hold")(hold)
    outbox.command("release")(release)
    outbox.command("drop")(drop)
    app.add_typer(outbox, name="outbox")


def show(
    context: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what was sent, and what was dropped.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the mails that were not sent, with the reason of each."""
    shell = shell_of(context)
    with shell.store.reading() as tx:
        letters = tx.outbox.all() if everything else tx.outbox.unsent()
        names = {athlete.id: athlete.name for athlete in tx.athletes.all()}
    if as_json:
        shell.print_json([_as_json(letter, names) for letter in letters])
        return
    if not letters:
        shell.say("no mail waits")
        return
    from rich.table import Table

    table = Table("id", "kind", "athlete", "state", "due", "tries", "why", box=None)
    for letter in letters:
        table.add_row(
            str(letter.id),
            letter.kind,
            names.get(letter.athlete_id or 0, "–"),
            letter.state + (", perhaps twice" if letter.perhaps_twice else ""),
            f"{letter.sent_at or letter.due_at:%Y-%m-%d %H:%M}",
            str(letter.attempts),
            letter.last_error or "",
        )
    shell.out.print(table)


def retry(
    context: typer.Context,
    ids: IdsArgument = None,
    every: EveryOption = False,
    as_json: JsonOption = False,
) -> None:
    """Send again what was given up, and now what waits for its next try."""
    now = datetime.now(UTC)
    _act(shell_of(context), "retry", ids, every=every, as_json=as_json,
         act=lambda tx, letter: tx.outbox.again(letter, now=now))  # fmt: skip


def hold(
    context: typer.Context,
    ids: IdsArgument = None,
    every: EveryOption = False,
    as_json: JsonOption = False,
) -> None:
    """Put mail aside until it is released."""
    _act(shell_of(context), "hold", ids, every=every, as_json=as_json,
         act=lambda tx, letter: tx.outbox.hold(letter, why=BY_THE_OPERATOR))  # fmt: skip


def release(
    context: typer.Context,
    ids: IdsArgument = None,
    every: EveryOption = False,
    as_json: JsonOption = False,
) -> None:
    """Send held mail after all."""
    now = datetime.now(UTC)
    _act(shell_of(context), "release", ids, every=every, as_json=as_json,
         act=lambda tx, letter: tx.outbox.release(letter, now=now))  # fmt: skip


def drop(
    context: typer.Context,
    ids: IdsArgument = None,
    every: EveryOption = False,
    as_json: JsonOption = False,
) -> None:
    """Give mail up for good: it is never sent, nor queued again."""
    _act(shell_of(context), "drop", ids, every=every, as_json=as_json, act=_drop)


def _drop(tx: "Transaction", letter: "Letter") -> bool:
    if not tx.outbox.drop(letter):
        return False
    tx.findings.dropped(letter.id)
    return True


def _act(
    shell: Shell, verb: str, ids: list[int] | None, *, every: bool, as_json: bool, act: Act
) -> None:
    """Do it to each mail that was named; what can't be done is said, and stops no other."""
    if bool(ids) == every:
        raise UsageError(f"outbox {verb}: say which mails by their ids, or --all")
    refused: list[str] = []
    with shell.store.transaction() as tx:
        done: list[int] = []
        for letter_id in ids or [letter.id for letter in tx.outbox.unsent()]:
            letter = tx.outbox.by_id(letter_id)
            if letter is None:
                refused.append(f"there is no mail {letter_id}")
            elif act(tx, letter):
                done.append(letter_id)
            elif not every or letter.state in _BEFORE[verb]:
                refused.append(_why_not(letter))
        names = {athlete.id: athlete.name for athlete in tx.athletes.all()}
        after = [letter for i in done if (letter := tx.outbox.by_id(i)) is not None]
    if as_json:
        shell.print_json([_as_json(letter, names) for letter in after])
    else:
        for letter in after:
            shell.say(f"{letter.id} {letter.kind}: {_DONE[verb]}")
        if not after and not refused:
            shell.say(f"no mail to {verb}")
    if refused:
        raise AttentionError("; ".join(refused))


def _why_not(letter: "Letter") -> str:
    if not letter.mime and letter.state == "dead":
        return f"mail {letter.id} was given up so long ago that its text is gone"
    if letter.state in ("claimed", "at_dot"):
        return f"mail {letter.id} is being sent just now"
    return f"mail {letter.id} is {letter.state}"


def _as_json(letter: "Letter", names: dict[int, str]) -> dict[str, Any]:
    return {
        "id": letter.id,
        "kind": letter.kind,
        "athlete": names.get(letter.athlete_id or 0),
        "recipient": letter.recipient,
        "state": letter.state,
        "created_at": zulu(letter.created_at),
        "due_at": zulu(letter.due_at),
        "expires_at": zulu(letter.expires_at),
        "sent_at": zulu(letter.sent_at),
        "attempts": letter.attempts,
        "last_error": letter.last_error,
        "message_id": letter.message_id,
        "perhaps_twice": letter.perhaps_twice,
    }
