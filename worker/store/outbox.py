"""The outbox: mail as bytes, from queued to sent.

    queued → claimed → at_dot → sent
                 │        └──→ retry → claimed …      held: put aside by the operator
                 └───────────→ dead                   dropped: given up by the operator

`at_dot` is committed just before the final dot goes out, so that after a crash only those mails
are in doubt that the server may already have; they are sent once more, flagged.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Row, and_, delete, func, insert, or_, select, text, update

from worker.domain.models import Athlete, MailKind
from worker.store import tables
from worker.store.tables import FULL_WORDS

outbox = tables.outbox

State = Literal["queued", "claimed", "at_dot", "sent", "retry", "dead", "held", "dropped"]

KEPT_FOR: Mapping[MailKind, timedelta] = {
    "alert": timedelta(hours=72),
    "weekly": timedelta(days=6),
    "reconnect": timedelta(days=6),
    "notice": timedelta(hours=72),
}
"""How long a mail is still worth sending."""

_OVER: tuple[State, ...] = ("sent", "dropped")
_OPEN: tuple[State, ...] = ("queued", "claimed", "at_dot", "retry", "dead", "held")

FIRST_RETRY = timedelta(minutes=1)
LAST_RETRY = timedelta(hours=4)


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail in the outbox."""

    id: int
    athlete_id: int | None
    kind: MailKind
    key: str
    message_id: str
    sender: str
    recipient: str
    mime: bytes
    state: State
    created_at: datetime
    due_at: datetime
    expires_at: datetime
    attempts: int
    sent_at: datetime | None
    last_error: str | None
    perhaps_twice: bool
    claimed_by: str | None = None


@dataclass(frozen=True, slots=True)
class Outbox:
    """Every change of state is one statement that names the state it expects."""

    connection: Connection

    def enqueue(
        self,
        athlete: Athlete | None,
        *,
        kind: MailKind,
        key: str,
        message_id: str,
        sender: str,
        recipient: str,
        mime: bytes,
        now: datetime,
    ) -> int | None:
        """Queue a mail, due at once; None where one with this key stands there already."""
        known = self.connection.execute(select(outbox.c.id).where(outbox.c.key == key)).first()
        if known is not None:
            return None
        outbox_id: int = self.connection.execute(
            insert(outbox)
            .values(
                athlete_id=athlete.id if athlete else None,
                kind=kind,
                turn=int(kind != "alert"),
                key=key,
                message_id=message_id,
                sender=sender,
                recipient=recipient,
                mime=mime,
                state="queued",
                created_at=now,
                due_at=now,
                expires_at=now + KEPT_FOR[kind],
            )
            .returning(outbox.c.id)
        ).scalar_one()
        return outbox_id

    def claim(self, now: datetime, *, by: str | None = None) -> Letter | None:
        """Take the mail that has been due longest, or None. Alerts go before the rest.

        `by` names the worker that takes it, where there are several.
        """
        due = (
            select(outbox.c.id)
            .where(outbox.c.state.in_(("queued", "retry")), outbox.c.due_at <= now)
            .order_by(outbox.c.turn, outbox.c.due_at, outbox.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        row = self.connection.execute(
            update(outbox)
            .where(outbox.c.id == due.scalar_subquery(), outbox.c.state.in_(("queued", "retry")))
            .values(state="claimed", claimed_by=by, attempts=outbox.c.attempts + 1)
            .returning(outbox)
        ).first()
        return _letter(row) if row else None

    def at_dot(self, letter: Letter) -> bool:
        """The final dot comes next; False where the mail was taken from this worker meanwhile."""
        return self._move(letter, "claimed", state="at_dot")

    def sent(self, letter: Letter, *, now: datetime) -> None:
        self._move(letter, "claimed", "at_dot", state="sent", sent_at=now, last_error=None)

    def retry(
        self,
        letter: Letter,
        *,
        error: str,
        now: datetime,
        counts: bool = True,
        perhaps_twice: bool = False,
    ) -> bool:
        """Try again later, doubling from a minute to four hours; False: it's past that, and dead.

        `counts` False (a login failure is not the mail's fault) leaves the attempts as they were.
        `perhaps_twice`: the final dot went out unanswered, so the next copy may be a second.
        """
        if now >= letter.expires_at:
            self.dead(letter, error=f"not delivered in time: {error}")
            return False
        waits = min(FIRST_RETRY * 2 ** (min(letter.attempts, 16) - 1), LAST_RETRY)
        attempts = letter.attempts if counts else letter.attempts - 1
        self._move(
            letter,
            "claimed",
            "at_dot",
            state="retry",
            due_at=min(now + waits, letter.expires_at),
            attempts=attempts,
            last_error=error,
            perhaps_twice=letter.perhaps_twice or perhaps_twice,
        )
        return True

    def postpone(self, *, until: datetime) -> None:
        """Nothing can be sent now: everything due before `until` waits until then."""
        self.connection.execute(
            update(outbox)
            .where(outbox.c.state.in_(("queued", "retry")), outbox.c.due_at < until)
            .values(due_at=until)
        )

    def dead(self, letter: Letter, *, error: str) -> None:
        self._move(letter, "claimed", "at_dot", state="dead", last_error=error)

    def expire(self, now: datetime) -> tuple[Letter, ...]:
        """End what nobody wants any more: news of a week ago, after a long time without network."""
        ended = self.connection.execute(
            update(outbox)
            .where(outbox.c.state.in_(("queued", "retry")), outbox.c.expires_at <= now)
            .values(
                state="dead",
                last_error=func.coalesce(
                    "not delivered in time: " + outbox.c.last_error, "not delivered in time"
                ),
            )
            .returning(outbox)
        )
        return tuple(map(_letter, ended))

    def mend_clock(self, now: datetime) -> int:
        """Send what a clock that ran ahead has put off for longer than any mail ever waits."""
        return self.connection.execute(
            update(outbox)
            .where(outbox.c.state.in_(("queued", "retry")), outbox.c.due_at > now + 2 * LAST_RETRY)
            .values(due_at=now)
        ).rowcount

    def put_back(self, *, but_of: Collection[str] = ()) -> int:
        """After a crash: what was claimed is queued again, what stood at the dot goes once more.

        `but_of` are the workers that live: what they have claimed they are sending. Where there
        are none, this is called by the only worker, before it claims anything. Returns how many.
        """
        left = or_(outbox.c.claimed_by.is_(None), outbox.c.claimed_by.not_in(but_of))
        claimed = self.connection.execute(
            update(outbox)
            .where(outbox.c.state == "claimed", left)
            .values(state="queued", claimed_by=None)
        ).rowcount
        in_doubt = self.connection.execute(
            update(outbox)
            .where(outbox.c.state == "at_dot", left)
            .values(state="queued", claimed_by=None, perhaps_twice=True)
        ).rowcount
        return claimed + in_doubt

    def counts(self) -> dict[str, int]:
        """How many stand in each state in which somebody may still do something."""
        query = (
            select(outbox.c.state, func.count().label("number"))
            .where(outbox.c.state.in_(_OPEN))
            .group_by(outbox.c.state)
        )
        return {row.state: row.number for row in self.connection.execute(query)}

    def waiting(self, now: datetime) -> bool:
        """True where a mail is due, or was left half-sent."""
        query = select(outbox.c.id).where(
            or_(
                outbox.c.state.in_(("claimed", "at_dot")),
                and_(outbox.c.state.in_(("queued", "retry")), outbox.c.due_at <= now),
            )
        )
        return self.connection.execute(query.limit(1)).first() is not None

    def due(self, now: datetime, *, most: int) -> int:
        """How many mails are due, counted up to `most`."""
        some = (
            select(outbox.c.id)
            .where(outbox.c.state.in_(("queued", "retry")), outbox.c.due_at <= now)
            .limit(most)
        )
        number: int = self.connection.execute(
            select(func.count()).select_from(some.subquery())
        ).scalar_one()
        return number

    def last_error(self) -> str | None:
        """Why the newest of the mails that failed and aren't given up for good wasn't sent."""
        query = (
            select(outbox.c.last_error)
            .where(outbox.c.state.not_in(_OVER), outbox.c.last_error.is_not(None))
            .order_by(outbox.c.id.desc())
            .limit(1)
        )
        error: str | None = self.connection.execute(query).scalar()
        return error

    def unsent(self) -> tuple[Letter, ...]:
        query = select(outbox).where(outbox.c.state.not_in(_OVER)).order_by(outbox.c.id)
        return tuple(map(_letter, self.connection.execute(query)))

    def all(self) -> tuple[Letter, ...]:
        """Every mail there ever was; long ago sent ones have no bytes any more."""
        return tuple(map(_letter, self.connection.execute(select(outbox).order_by(outbox.c.id))))

    def by_id(self, outbox_id: int) -> Letter | None:
        row = self.connection.execute(select(outbox).where(outbox.c.id == outbox_id)).first()
        return _letter(row) if row else None

    # What the operator decides: each True where the mail stood so that it could be done.

    def again(self, letter: Letter, *, now: datetime) -> bool:
        """Send now what waits or was given up on; it's worth sending for as long as a new mail."""
        return self._decide(
            letter,
            ("queued", "retry", "dead"),
            state="queued",
            due_at=now,
            attempts=0,
            expires_at=now + KEPT_FOR[letter.kind],
        )

    def hold(self, letter: Letter, *, why: str) -> bool:
        """Put a mail aside until it's released."""
        return self._decide(letter, ("queued", "retry"), state="held", last_error=why)

    def hold_all(self, *, why: str) -> int:
        """Put aside whatever would still be sent, half-sent ones too; how many that were."""
        return self.connection.execute(
            update(outbox)
            .where(outbox.c.state.in_(("queued", "claimed", "at_dot", "retry")))
            .values(state="held", last_error=why)
        ).rowcount

    def release(self, letter: Letter, *, now: datetime) -> bool:
        """Send a held mail after all."""
        return self._decide(
            letter,
            ("held",),
            state="queued",
            due_at=now,
            last_error=None,
            expires_at=now + KEPT_FOR[letter.kind],
        )

    def drop(self, letter: Letter) -> bool:
        """Give a mail up: its bytes go, its row stays, so that it isn't queued again."""
        return self._decide(
            letter, ("queued", "retry", "dead", "held"), state="dropped", mime=b"", last_error=None
        )

    def _decide(self, letter: Letter, expected: tuple[State, ...], **values: Any) -> bool:
        """Compare and set, beside a worker that may have claimed the mail a moment ago."""
        return (
            self.connection.execute(
                update(outbox)
                .where(
                    outbox.c.id == letter.id,
                    outbox.c.state.in_(expected),
                    func.length(outbox.c.mime) > 0,
                )
                .values(**values)
            ).rowcount
            == 1
        )

    def purge(self, *, sent_before: datetime) -> int:
        """Empty the bytes of mails sent long ago; the row stays, so that none goes twice."""
        # In the very words of the indexes, and one after the other: so each is found by its own.
        full = update(outbox).where(text(FULL_WORDS)).values(mime=b"")
        return sum(
            self.connection.execute(full.where(at < sent_before)).rowcount
            for at in (outbox.c.sent_at, outbox.c.expires_at)
        )

    def empty(self, athlete: Athlete) -> None:
        """Empty the bytes of all that this athlete was sent; the rows stay, as after a purge."""
        self.connection.execute(
            update(outbox)
            .where(outbox.c.athlete_id == athlete.id, outbox.c.state.in_(("sent", "dead")))
            .values(mime=b"")
        )

    def forget(self, athlete: Athlete) -> None:
        self.connection.execute(delete(outbox).where(outbox.c.athlete_id == athlete.id))

    def _move(self, letter: Letter, *expected: State, **values: Any) -> bool:
        """Compare and set; False where it stood otherwise, or is somebody else's by now."""
        moved = self.connection.execute(
            update(outbox)
            .where(
                outbox.c.id == letter.id,
                outbox.c.state.in_(expected),
                outbox.c.claimed_by.is_not_distinct_from(letter.claimed_by),
            )
            .values(**values)
        )
        return moved.rowcount == 1


def _letter(row: Row[Any]) -> Letter:
    return Letter(
        **{name: getattr(row, name) for name in Letter.__dataclass_fields__},
    )
