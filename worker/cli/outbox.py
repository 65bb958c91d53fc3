"""The commands about mail that waits: outbox list, retry, hold, release, drop."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.context import (
    AttentionError,
    JsonOption,
    UsageError,
    command_of,
    listed_id,
)

if TYPE_CHECKING:
    from worker.store import Transaction
    from worker.store.outbox import OutboxMail

BY_THE_OPERATOR = "held by the operator"

outbox_commands = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="List, retry, hold, release and drop mail."
)


@outbox_commands.command("list")
def list_outbox(
    context: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Include sent and dropped mail.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List mails that were not sent, with reasons."""
    from worker.store.outbox import STATES_IN_WORDS

    command = command_of(context)
    with command.store.reading() as tx:
        mails = tx.outbox.all() if everything else tx.outbox.unsent()
        names = {athlete.id: athlete.name for athlete in tx.athletes.all()}
    command.print_list(
        ("id", "kind", "athlete", "state", "due", "tries", "why"),
        [
            (
                str(mail.id),
                mail.kind,
                names.get(mail.athlete_id or 0, "–"),
                STATES_IN_WORDS[mail.state] + (", perhaps twice" if mail.perhaps_twice else ""),
                f"{mail.sent_at or mail.due_at:%Y-%m-%d %H:%M}",
                str(mail.attempts),
                mail.last_error or "",
            )
            for mail in mails
        ],
        as_json=as_json,
        json=[_mail_json(mail, names) for mail in mails],
        empty="no mail waits",
    )


@dataclass(frozen=True, slots=True)
class _Action:
    """What one of the other commands does to a mail.

    `apply` returns False for a mail in an unsuitable state. `done` describes a mail to which it was
    applied. `states` are the states that `--all` includes.
    """

    help: str
    done: str
    states: tuple[str, ...]
    apply: Callable[["Transaction", "OutboxMail", datetime], bool]


def _retry(tx: "Transaction", mail: "OutboxMail", now: datetime) -> bool:
    from worker.pipeline.deliver import send_again

    return send_again(tx, mail, now=now)


def _drop(tx: "Transaction", mail: "OutboxMail", _: datetime) -> bool:
    if not tx.outbox.drop(mail):
        return False
    tx.findings.dropped(mail.id)
    return True


_ACTIONS = {
    "retry": _Action(
        help="Retry mail that is waiting or was given up.",
        done="queued again",
        states=("queued", "retry", "dead"),
        apply=_retry,
    ),
    "hold": _Action(
        help="Hold mail until it is released.",
        done="held",
        states=("queued", "retry"),
        apply=lambda tx, mail, _: tx.outbox.hold(mail, why=BY_THE_OPERATOR),
    ),
    "release": _Action(
        help="Release held mail, so that it is sent.",
        done="queued",
        states=("held",),
        apply=lambda tx, mail, now: tx.outbox.release(mail, now=now),
    ),
    "drop": _Action(
        help="Drop mail for good: it is never sent or queued again.",
        done="dropped",
        states=("queued", "retry", "dead", "held"),
        apply=_drop,
    ),
}


def change_mails(
    context: typer.Context,
    ids: Annotated[
        list[int] | None,
        typer.Argument(metavar="ID", help="Which mails, as `list` numbers them.", parser=listed_id),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All mails in a suitable state.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Apply the command's action to each mail; a failure doesn't stop the others."""
    command = command_of(context)
    verb = str(context.info_name)
    action = _ACTIONS[verb]
    if bool(ids) == every:
        raise UsageError(f"outbox {verb}: say which mails by their ids, or --all")
    now = datetime.now(UTC)
    done: list[int] = []
    failed: list[str] = []
    with command.store.transaction() as tx:
        named = {mail_id: tx.outbox.by_id(mail_id) for mail_id in ids or ()}
        missing = [f"there is no mail {mail_id}" for mail_id, mail in named.items() if not mail]
        for mail in filter(None, named.values()) if ids else tx.outbox.unsent():
            if action.apply(tx, mail, now):
                done.append(mail.id)
            elif not every or mail.state in action.states:
                failed.append(_why_not(mail))
        names = {athlete.id: athlete.name for athlete in tx.athletes.all()}
        after = [one for i in done if (one := tx.outbox.by_id(i)) is not None]
    if as_json:
        command.print_json([_mail_json(mail, names) for mail in after])
    else:
        for mail in after:
            command.say(f"{mail.id} {mail.kind}: {action.done}")
        if not (after or failed or missing):
            command.say(f"no mail to {verb}")
    if missing or failed:
        words = "; ".join([*missing, *failed])
        raise UsageError(words) if missing else AttentionError(words)


for _verb, _action in _ACTIONS.items():
    outbox_commands.command(_verb, help=_action.help)(change_mails)


def _why_not(mail: "OutboxMail") -> str:
    from worker.store.outbox import STATES_IN_WORDS

    if not mail.mime and mail.state == "dead":
        return f"mail {mail.id} was given up so long ago that its text is gone"
    if mail.state in ("claimed", "at_dot"):
        return f"mail {mail.id} is being sent just now"
    return f"mail {mail.id} is {STATES_IN_WORDS[mail.state]}"


def _mail_json(mail: "OutboxMail", names: dict[int, str]) -> dict[str, Any]:
    return {
        "id": mail.id,
        "kind": mail.kind,
        "athlete": names.get(mail.athlete_id or 0),
        "recipient": mail.recipient,
        "state": mail.state,
        "created_at": mail.created_at,
        "due_at": mail.due_at,
        "expires_at": mail.expires_at,
        "sent_at": mail.sent_at,
        "attempts": mail.attempts,
        "last_error": mail.last_error,
        "message_id": mail.message_id,
        "perhaps_twice": mail.perhaps_twice,
    }
