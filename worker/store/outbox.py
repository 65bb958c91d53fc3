"""The outbox: mail as bytes, from queued to sent.

    queued → claimed → at_dot → sent
                 │        └──→ retry → claimed …      held: set aside by the operator
                 └───────────→ dead                   dropped: given up by the operator

`at_dot` is committed just before the final dot is sent. After a crash, only those mails are in
doubt, because the server may have them already. They are sent once more, flagged.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from importlib import import_module
from typing import Any, Literal

from sqlalchemy import String, Update, and_, bindparam, cast, func, or_, select, text, update
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.sql.elements import ColumnElement

from worker.domain.models import Athlete, MailKind
from worker.store import tables
from worker.store.high_water import count_mail
from worker.store.repository import Repository, from_row
from worker.store.tables import EARLY, FULL_WORDS, UNSENT_STATES

_OUTBOX = tables.outbox

State = Literal["queued", "claimed", "at_dot", "sent", "retry", "dead", "held", "dropped"]

STATES_IN_WORDS: Mapping[State, str] = {
    "queued": "waiting",
    "claimed": "being sent",
    "at_dot": "waiting for the server's answer",
    "sent": "sent",
    "retry": "to be tried again",
    "dead": "given up",
    "held": "held",
    "dropped": "dropped",
}
"""The words for people; programs get the state itself."""

EXPIRES_AFTER: Mapping[MailKind, timedelta] = {
    "alert": timedelta(hours=72),
    "weekly": timedelta(days=6),
    "reconnect": timedelta(days=6),
    "notice": timedelta(hours=72),
}
"""How long a mail is still worth sending."""

_FIRST: tuple[MailKind, ...] = ("alert", "notice")
_OVER: tuple[State, ...] = ("sent", "dropped")
_OPEN: tuple[State, ...] = ("queued", "claimed", "at_dot", "retry", "dead", "held")

_IS_WAITING = _OUTBOX.c.state.in_(("queued", "retry"))

FIRST_RETRY = timedelta(minutes=1)
LAST_RETRY = timedelta(hours=4)


@dataclass(frozen=True, slots=True)
class OutboxMail:
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


class Outbox(Repository):
    """Every change of state is one statement that names the state it expects."""

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
        """Queue a mail, due at once; None if there is one with this key already."""
        row = {
            "athlete_id": athlete.id if athlete else None,
            "kind": kind,
            "turn": int(kind not in _FIRST),
            "key": key,
            "message_id": message_id,
            "sender": sender,
            "recipient": recipient,
            "mime": mime,
            "state": "queued",
            "created_at": now,
            "due_at": now,
            "expires_at": now + EXPIRES_AFTER[kind],
        }
        adding = _adding(self.connection.dialect.name, tuple(row))
        outbox_id: int | None = self.connection.execute(adding, row).scalar()
        return outbox_id

    def let_others_first(self, outbox_id: int) -> None:
        """Send alerts and notices before this mail, whatever its kind."""
        self._update(_OUTBOX, _OUTBOX.c.id == outbox_id, turn=1)

    def claim(self, now: datetime, *, by: str | None = None) -> OutboxMail | None:
        """Claim the mail that has been due longest, or None; alerts and notices before the rest.

        `by` names the worker that claims it, if there are several. A recipient to whom another
        mail is being sent is skipped, because a server that hangs would block the next one too.
        """
        row = self.connection.execute(_claim(), {"now": now, "by": by}).first()
        return from_row(OutboxMail, row) if row else None

    def at_dot(self, mail: OutboxMail) -> bool:
        """Save that the final dot comes next; False if this worker's claim was taken away."""
        return self._move(mail, "claimed", state="at_dot")

    def count_handed_over(self, *, at_least: int = 0) -> int | None:
        """Count one more mail that is handed over; returns the number for `Store.note_mail`."""
        return count_mail(self.connection, at_least=at_least)

    def sent(self, mail: OutboxMail, *, now: datetime) -> None:
        self._move(mail, "claimed", "at_dot", state="sent", sent_at=now, last_error=None)

    def retry(
        self,
        mail: OutboxMail,
        *,
        error: str,
        now: datetime,
        perhaps_twice: bool = False,
        may_end: bool = True,
    ) -> bool:
        """Try again later, with pauses from a minute to four hours; False if it has expired.

        `perhaps_twice`: the final dot was sent but not answered, so the next attempt may send a
        second copy. `may_end`: `now` is certain, so the mail may expire.
        """
        if may_end and now >= mail.expires_at:
            self.dead(mail, error=f"not delivered in time: {error}")
            return False
        waits = min(FIRST_RETRY * 2 ** (min(mail.attempts, 16) - 1), LAST_RETRY)
        self._move(
            mail,
            "claimed",
            "at_dot",
            state="retry",
            due_at=min(now + waits, mail.expires_at),
            last_error=error,
            perhaps_twice=mail.perhaps_twice or perhaps_twice,
        )
        return True

    def give_back(self, mail: OutboxMail, *, error: str) -> None:
        """Release a claim without an attempt: the mail is due as before, in its old place."""
        before = mail.attempts - 1
        self._move(mail, "claimed", "at_dot", state="retry", attempts=before, last_error=error)

    def dead(self, mail: OutboxMail, *, error: str) -> None:
        self._move(mail, "claimed", "at_dot", state="dead", last_error=error)

    def expire(self, now: datetime) -> tuple[OutboxMail, ...]:
        """Give up mails that are too old to send, after a long time without network."""
        late = "not delivered in time"
        ended = self.connection.execute(
            update(_OUTBOX)
            .where(_IS_WAITING, _OUTBOX.c.expires_at <= now)
            .values(
                state="dead", last_error=func.coalesce(f"{late}: " + _OUTBOX.c.last_error, late)
            )
            .returning(_OUTBOX)
        )
        return tuple(from_row(OutboxMail, row) for row in ended)

    def take_back_early(self, athlete: Athlete, keys: Collection[str], *, now: datetime) -> None:
        """Let mails be queued again that were queued by a clock that was at least `EARLY` ahead.

        Those that were sent stay, with another key; the others are given up.
        """
        if not keys:
            return
        early = (
            _OUTBOX.c.athlete_id == athlete.id,
            _OUTBOX.c.key.in_(keys),
            _OUTBOX.c.created_at > now + EARLY,
        )
        self._update(_OUTBOX, *early, _IS_WAITING, state="dropped", mime=b"", last_error=None)
        self._update(_OUTBOX, *early, key=_OUTBOX.c.key + ":early:" + cast(_OUTBOX.c.id, String))

    def mend_clock(self, now: datetime) -> int:
        """Make mails due that are scheduled later than any retry, because the clock ran ahead."""
        too_far = _OUTBOX.c.due_at > now + 2 * LAST_RETRY
        return self._update(_OUTBOX, _IS_WAITING, too_far, due_at=now)

    def put_back(self, *, but_of: Collection[str] = ()) -> int:
        """After a crash: requeue claimed mails, and retry those that were at the dot.

        `but_of` are the living workers, which are sending their claimed mails. If it is empty, the
        caller is the only worker and hasn't claimed anything. Returns how many.
        """
        left = or_(_OUTBOX.c.claimed_by.is_(None), _OUTBOX.c.claimed_by.not_in(but_of))
        again = {"state": "queued", "claimed_by": None}
        claimed = self._update(_OUTBOX, _OUTBOX.c.state == "claimed", left, **again)
        at_dot = self._update(
            _OUTBOX, _OUTBOX.c.state == "at_dot", left, perhaps_twice=True, **again
        )
        return claimed + at_dot

    def counts(self) -> dict[str, int]:
        """The number of mails in each state that isn't final."""
        query = (
            select(_OUTBOX.c.state, func.count().label("number"))
            .where(_OUTBOX.c.state.in_(_OPEN))
            .group_by(_OUTBOX.c.state)
        )
        return {row.state: row.number for row in self._rows(query)}

    def waiting(self, now: datetime) -> bool:
        """True if a mail is due, or was left half-sent."""
        half_sent = _OUTBOX.c.state.in_(("claimed", "at_dot"))
        query = select(_OUTBOX.c.id).where(or_(half_sent, and_(*_due(now)))).limit(1)
        return self._value(query) is not None

    def due(self, now: datetime, *, most: int) -> int:
        """How many mails are due, counted up to `most`."""
        some = select(_OUTBOX.c.id).where(*_due(now), _OUTBOX.c.expires_at >= now).limit(most)
        number: int = self._value(select(func.count()).select_from(some.subquery()))
        return number

    def oldest_waiting_at(self) -> datetime | None:
        """When the mail that has waited longest was queued; None if none waits."""
        oldest: datetime | None = self._value(
            select(func.min(_OUTBOX.c.created_at)).where(_IS_WAITING)
        )
        return oldest

    def last_error(self) -> str | None:
        """The last error of the newest mail that has one and isn't in a final state."""
        query = (
            select(_OUTBOX.c.last_error)
            .where(_OUTBOX.c.state.not_in(_OVER), _OUTBOX.c.last_error.is_not(None))
            .order_by(_OUTBOX.c.id.desc())
            .limit(1)
        )
        error: str | None = self._value(query)
        return error

    def unsent(self) -> tuple[OutboxMail, ...]:
        return self._select(_OUTBOX.c.state.not_in(_OVER))

    def unsent_to(self, athlete: Athlete, recipient: str) -> tuple[OutboxMail, ...]:
        """The athlete's mails to this address that may still be sent and aren't being sent now."""
        may_go = _OUTBOX.c.state.in_(UNSENT_STATES)
        whose = (_OUTBOX.c.athlete_id == athlete.id, _OUTBOX.c.recipient == recipient)
        return self._select(*whose, may_go, func.length(_OUTBOX.c.mime) > 0)

    def all(self) -> tuple[OutboxMail, ...]:
        """All mails that were ever queued; those sent long ago have no bytes any more."""
        return self._select()

    def keys(self, athlete: Athlete, *, kind: MailKind) -> tuple[str, ...]:
        """The keys of all mails of a kind that were ever queued about this athlete."""
        is_theirs = (_OUTBOX.c.athlete_id == athlete.id, _OUTBOX.c.kind == kind)
        return self._values(select(_OUTBOX.c.key).where(*is_theirs))

    def message_ids(self, athlete: Athlete) -> tuple[str, ...]:
        """The Message-IDs of all mails that were ever queued about this athlete."""
        query = select(_OUTBOX.c.message_id).where(_OUTBOX.c.athlete_id == athlete.id)
        return self._values(query)

    def by_id(self, outbox_id: int) -> OutboxMail | None:
        found = self._select(_OUTBOX.c.id == outbox_id)
        return found[0] if found else None

    # The operator's actions: each returns True if the mail's state allowed it.

    def again(self, mail: OutboxMail, *, now: datetime) -> bool:
        """Send a waiting or dead mail now; it expires as late as a new mail."""
        return self._requeue(mail, ("queued", "retry", "dead"), now=now, attempts=0)

    def readdress(self, mail: OutboxMail, *, recipient: str, mime: bytes) -> OutboxMail:
        """Change the recipient of a mail that isn't being sent now; returns the changed mail."""
        self._decide(mail, UNSENT_STATES, recipient=recipient, mime=mime)
        return replace(mail, recipient=recipient, mime=mime)

    def hold(self, mail: OutboxMail, *, why: str) -> bool:
        """Hold a mail until it's released."""
        return self._decide(mail, ("queued", "retry"), state="held", last_error=why)

    def hold_all(self, *, why: str) -> int:
        """Hold all mails that would still be sent, also half-sent ones; returns how many."""
        to_send = _OUTBOX.c.state.in_(("queued", "claimed", "at_dot", "retry"))
        return self._update(_OUTBOX, to_send, state="held", last_error=why)

    def release(self, mail: OutboxMail, *, now: datetime) -> bool:
        """Send a held mail after all."""
        return self._requeue(mail, ("held",), now=now, last_error=None)

    def drop(self, mail: OutboxMail) -> bool:
        """Give up a mail: its bytes are deleted; its row stays, so that it isn't queued again."""
        return self._decide(mail, UNSENT_STATES, state="dropped", mime=b"", last_error=None)

    def _requeue(
        self, mail: OutboxMail, expected: tuple[State, ...], *, now: datetime, **values: Any
    ) -> bool:
        lasts = now + EXPIRES_AFTER[mail.kind]
        again = {"state": "queued", "due_at": now, "expires_at": lasts}
        return self._decide(mail, expected, **again, **values)

    def _decide(self, mail: OutboxMail, expected: tuple[State, ...], **values: Any) -> bool:
        """Compare and set, because a worker may have just claimed the mail."""
        is_in_state = _OUTBOX.c.state.in_(expected)
        has_bytes = func.length(_OUTBOX.c.mime) > 0
        return self._update(_OUTBOX, _OUTBOX.c.id == mail.id, is_in_state, has_bytes, **values) == 1

    def purge(self, *, sent_before: datetime) -> int:
        """Delete the bytes of mails sent long ago; the row stays, so that none is sent twice."""
        # With the exact text of the indexes' conditions, one by one, so that each index is used.
        full = update(_OUTBOX).where(text(FULL_WORDS)).values(mime=b"")
        return sum(
            self.connection.execute(full.where(at < sent_before)).rowcount
            for at in (_OUTBOX.c.sent_at, _OUTBOX.c.expires_at)
        )

    def empty(self, athlete: Athlete) -> None:
        """Delete the bytes of all mails sent to this athlete; the rows stay, as after a purge."""
        is_over = _OUTBOX.c.state.in_(("sent", "dead"))
        self._update(_OUTBOX, _OUTBOX.c.athlete_id == athlete.id, is_over, mime=b"")

    def forget(self, athlete: Athlete) -> None:
        self._delete(_OUTBOX, _OUTBOX.c.athlete_id == athlete.id)

    def _move(self, mail: OutboxMail, *expected: State, **values: Any) -> bool:
        """Compare and set; False if the state or the claiming worker has changed."""
        given = {"known_id": mail.id, "mine": mail.claimed_by}
        return self.connection.execute(_moving(expected), given | values).rowcount == 1

    def _select(self, *where: ColumnElement[bool]) -> tuple[OutboxMail, ...]:
        query = select(_OUTBOX).where(*where).order_by(_OUTBOX.c.id)
        return tuple(from_row(OutboxMail, row) for row in self._rows(query))


@cache
def _adding(dialect: str, columns: tuple[str, ...]) -> Any:
    """The statement that inserts a mail and returns its id, or nothing if its key exists."""
    statement = import_module(f"sqlalchemy.dialects.{dialect}").insert(_OUTBOX)
    once = statement.values({name: bindparam(name) for name in columns})
    return once.on_conflict_do_nothing(index_elements=["key"]).returning(_OUTBOX.c.id)


@cache
def _moving(expected: tuple[State, ...]) -> Update:
    """The statement of `Outbox._move`; its parameters are the values to set."""
    mine = bindparam("mine", type_=_OUTBOX.c.claimed_by.type)
    return update(_OUTBOX).where(
        _OUTBOX.c.id == bindparam("known_id"),
        _OUTBOX.c.state.in_(expected),
        _OUTBOX.c.claimed_by.is_not_distinct_from(mine),
    )


@cache
def _claim() -> ReturningUpdate[Any]:
    """The statement of `Outbox.claim`, cached because building it takes longer than running it."""
    others = _OUTBOX.alias()
    on_their_way = select(others.c.recipient).where(others.c.state.in_(("claimed", "at_dot")))
    now = bindparam("now", type_=_OUTBOX.c.due_at.type)
    due = (
        select(_OUTBOX.c.id)
        .where(
            *_due(now),
            _OUTBOX.c.expires_at >= now,
            _OUTBOX.c.recipient.not_in(on_their_way),
        )
        .order_by(_OUTBOX.c.turn, _OUTBOX.c.due_at, _OUTBOX.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return (
        update(_OUTBOX)
        .where(_OUTBOX.c.id == due.scalar_subquery(), _IS_WAITING)
        .values(state="claimed", claimed_by=bindparam("by"), attempts=_OUTBOX.c.attempts + 1)
        .returning(_OUTBOX)
    )


def _due(now: datetime | ColumnElement[datetime]) -> tuple[ColumnElement[bool], ...]:
    return _IS_WAITING, _OUTBOX.c.due_at <= now
