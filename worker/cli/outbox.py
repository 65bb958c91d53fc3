"""The commands about mail that waits: outbox list, retry, hold, release, drop."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.context import (
    AttentionError,
    CommandContext,
    JsonOption,
    UsageError,
    command_of,
    zulu,
)

if TYPE_CHECKING:
    from worker.store import OutboxMail, Transaction

BY_THE_OPERATOR = "held by the operator"

outbox_commands = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Mail that waits.")


@outbox_commands.command("list")
def list_outbox(
    context: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what was sent, and what was dropped.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the mails that were not sent, with the reason of each."""
    command = command_of(context)
    with command.store.reading() as tx:
        letters = tx.outbox.all() if everything else tx.outbox.unsent()
        names = {athlete.id: athlete.name for athlete in tx.athletes.all()}
    if as_json:
        command.print_json([_letter_json(letter, names) for letter in letters])
    elif not letters:
        command.say("no mail waits")
    else:
        command.print_table(
            ("id", "kind", "athlete", "state", "due", "tries", "why"),
            [
                (
                    str(letter.id),
                    letter.kind,
                    names.get(letter.athlete_id or 0, "–"),
                    letter.state + (", perhaps twice" if letter.perhaps_twice else ""),
                    f"{letter.sent_at or letter.due_at:%Y-%m-%d %H:%M}",
                    str(letter.attempts),
                    letter.last_error or "",
                )
                for letter in letters
            ],
        )


@dataclass(frozen=True, slots=True)
class OutboxAction:
    """What one of the other commands does to a mail.

    `apply` returns False for a mail that it can't be done to. `done` is the word for a mail that
    it was done to, `states` are those of the mails that `--all` means.
    """

    verb: str
    help: str
    done: str
    states: tuple[str, ...]
    apply: Callable[["Transaction", "OutboxMail", datetime], bool]


def _drop(tx: "Transaction", letter: "OutboxMail", _: datetime) -> bool:
    if not tx.outbox.drop(letter):
        return False
    tx.findings.dropped(letter.id)
    return True


OUTBOX_ACTIONS = (
    OutboxAction(
        verb="retry",
        help="Send again what was given up, and now what waits for its next try.",
        done="queued again",
        states=("queued", "retry", "dead"),
        apply=lambda tx, letter, now: tx.outbox.again(letter, now=now),
    ),
    OutboxAction(
        verb="hold",
        help="Put mail aside until it is released.",
        done="held",
        states=("queued", "retry"),
        apply=lambda tx, letter, _: tx.outbox.hold(letter, why=BY_THE_OPERATOR),
    ),
    OutboxAction(
        verb="release",
        help="Send held mail after all.",
        done="queued",
        states=("held",),
        apply=lambda tx, letter, now: tx.outbox.release(letter, now=now),
    ),
    OutboxAction(
        verb="drop",
        help="Give mail up for good: it is never sent, nor queued again.",
        done="dropped",
        states=("queued", "retry", "dead", "held"),
        apply=_drop,
    ),
)


def change_letters(
    command: CommandContext,
    action: OutboxAction,
    ids: list[int] | None,
    *,
    every: bool,
    as_json: bool,
) -> None:
    """Applies the action to each mail that was named; one that fails stops no other."""
    if bool(ids) == every:
        raise UsageError(f"outbox {action.verb}: say which mails by their ids, or --all")
    now = datetime.now(UTC)
    done: list[int] = []
    failed: list[str] = []
    with command.store.transaction() as tx:
        for letter_id in ids or [letter.id for letter in tx.outbox.unsent()]:
            letter = tx.outbox.by_id(letter_id)
            if letter is None:
                failed.append(f"there is no mail {letter_id}")
            elif action.apply(tx, letter, now):
                done.append(letter_id)
            elif not every or letter.state in action.states:
                failed.append(_why_not(letter))
        names = {athlete.id: athlete.name for athlete in tx.athletes.all()}
        after = [letter for i in done if (letter := tx.outbox.by_id(i)) is not None]
    if as_json:
        command.print_json([_letter_json(letter, names) for letter in after])
    else:
        for letter in after:
            command.say(f"{letter.id} {letter.kind}: {action.done}")
        if not after and not failed:
            command.say(f"no mail to {action.verb}")
    if failed:
        raise AttentionError("; ".join(failed))


def _add_command(action: OutboxAction) -> None:
    @outbox_commands.command(action.verb, help=action.help)
    def change(
        context: typer.Context,
        ids: Annotated[
            list[int] | None,
            typer.Argument(metavar="ID...", help="Which mails, as `list` numbers them."),
        ] = None,
        every: Annotated[
            bool, typer.Option("--all", help="Every mail that this can be done to.")
        ] = False,
        as_json: JsonOption = False,
    ) -> None:
        change_letters(command_of(context), action, ids, every=every, as_json=as_json)


for _action in OUTBOX_ACTIONS:
    _add_command(_action)


def _why_not(letter: "OutboxMail") -> str:
    if not letter.mime and letter.state == "dead":
        return f"mail {letter.id} was given up so long ago that its text is gone"
    if letter.state in ("claimed", "at_dot"):
        return f"mail {letter.id} is being sent just now"
    return f"mail {letter.id} is {letter.state}"


def _letter_json(letter: "OutboxMail", names: dict[int, str]) -> dict[str, Any]:
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
