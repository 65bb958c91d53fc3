"""The repository of services: credentials, how far each list is read, limits, events.

One set of tables for all services; `SourceRows` is one service's share of them. Credentials come
and go encrypted; nothing here can decrypt them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, insert, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from worker.domain.models import Athlete
from worker.store import tables
from worker.store.activities import ActivityRows
from worker.store.tables import DUE_AT_ONCE
from worker.store.upsert import insert_missing, upsert

credential = tables.source_credential
event = tables.source_event
limit = tables.source_limit
subscription = tables.source_subscription
used_state = tables.used_state

STANDING = ("read_until", "read_back_to", "looked_back_at", "doubted_at", "failures")


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """A credential at rest; `version` grows with each refresh and each connection."""

    account_id: str
    encrypted: bytes
    expires_at: datetime | None
    ends_at: datetime | None
    scopes: frozenset[str]
    version: int
    connected_at: datetime
    revoked_at: datetime | None
    due_at: datetime


@dataclass(frozen=True, slots=True)
class StoredSubscription:
    """Our webhook subscription; `dropped` events named nobody we know."""

    id: int
    callback_url: str
    dropped: int


@dataclass(frozen=True, slots=True)
class SourceRows(ActivityRows):
    """One service: a credential an athlete, one limit and one subscription for all of them."""

    # Credentials

    def connect(
        self,
        athlete: Athlete,
        *,
        account_id: str,
        encrypted: bytes,
        expires_at: datetime | None = None,
        ends_at: datetime | None = None,
        scopes: Collection[str] = (),
        now: datetime,
    ) -> None:
        """Save a credential in place of any other; another account's reading begins anew."""
        before = self.credential(athlete)
        row = {
            "account_id": account_id,
            "encrypted": encrypted,
            "expires_at": expires_at,
            "ends_at": ends_at,
            "scopes": sorted(scopes),
            "version": before.version + 1 if before else 1,
            "connected_at": now,
            "revoked_at": None,
            "due_at": now,
            "failures": 0,
        }
        if before is not None and before.account_id == account_id:
            self._set(athlete, **row)
            return
        self.connection.execute(delete(credential).where(*self._of(athlete)))
        self.connection.execute(
            insert(credential).values(athlete_id=athlete.id, source=self.source, **row)
        )

    def credential(self, athlete: Athlete) -> StoredCredential | None:
        query = select(credential).where(*self._of(athlete))
        row = self.connection.execute(query).first()
        if row is None:
            return None
        fields = {name: getattr(row, name) for name in StoredCredential.__dataclass_fields__}
        return StoredCredential(**fields | {"scopes": frozenset(row.scopes)})

    def renew(
        self, athlete: Athlete, *, version: int, encrypted: bytes, expires_at: datetime | None
    ) -> bool:
        """Save what a refresh brought; False where it isn't the refreshed credential any more."""
        changed = self.connection.execute(
            update(credential)
            .where(*self._of(athlete), credential.c.version == version)
            .values(
                encrypted=encrypted, expires_at=expires_at, version=version + 1, revoked_at=None
            )
        )
        return changed.rowcount == 1

    def revoked(self, athlete: Athlete, *, version: int, now: datetime) -> bool:
        """The service refuses this credential for good; False where it's another one by now."""
        changed = self.connection.execute(
            update(credential)
            .where(*self._of(athlete), credential.c.version == version)
            .values(revoked_at=now)
        )
        return changed.rowcount == 1

    def forget(self, athlete: Athlete) -> None:
        """The credential, and all that only this service told of: activities and events."""
        for table in (credential, tables.source_activity, event):
            self.connection.execute(
                delete(table).where(table.c.athlete_id == athlete.id, table.c.source == self.source)
            )

    def athletes_of(self, account_ids: Collection[str]) -> Mapping[str, Sequence[int]]:
        """For each of these accounts the ids of the athletes connected to it, revoked ones too."""
        query = select(credential.c.account_id, credential.c.athlete_id).where(
            self._is(credential), credential.c.account_id.in_(list(account_ids))
        )
        found: dict[str, list[int]] = {}
        for account_id, athlete_id in self.connection.execute(query):
            found.setdefault(account_id, []).append(athlete_id)
        return found

    def encrypted(self) -> Mapping[int, bytes]:
        """What each credential is encrypted as, by the athlete's id."""
        query = select(credential.c.athlete_id, credential.c.encrypted).where(self._is(credential))
        return {row.athlete_id: row.encrypted for row in self.connection.execute(query)}

    def encrypt_anew(self, athlete_id: int, encrypted: bytes) -> None:
        """The same credential under another key."""
        self.connection.execute(
            update(credential)
            .where(self._is(credential), credential.c.athlete_id == athlete_id)
            .values(encrypted=encrypted)
        )

    # Who is due, and how far the list is read

    def lease(self, athlete: Athlete, *, now: datetime, until: datetime) -> bool:
        """Take this athlete's credential until then; False where somebody holds it."""
        taken = self.connection.execute(
            update(credential)
            .where(
                *self._of(athlete),
                or_(credential.c.leased_until.is_(None), credential.c.leased_until <= now),
            )
            .values(leased_until=until)
        )
        return taken.rowcount == 1

    def release(self, athlete: Athlete) -> None:
        self._set(athlete, leased_until=None)

    def due(self, now: datetime, *, most: int = DUE_AT_ONCE) -> tuple[int, ...]:
        """The ids of the athletes to be asked for, those that waited longest first."""
        query = (
            select(credential.c.athlete_id)
            .where(
                self._is(credential), credential.c.due_at <= now, credential.c.revoked_at.is_(None)
            )
            .order_by(credential.c.due_at, credential.c.athlete_id)
            .limit(most)
        )
        return tuple(self.connection.execute(query).scalars())

    def with_history_due(self, until: datetime, *, most: int = DUE_AT_ONCE) -> tuple[int, ...]:
        """The ids of the athletes whose past isn't read back to `until`, the least read first.

        Not of those whose last call failed: a poll that works opens their turn again.
        """
        query = (
            select(credential.c.athlete_id)
            .where(
                self._is(credential),
                credential.c.read_back_to > until,
                credential.c.revoked_at.is_(None),
                credential.c.failures == 0,
            )
            .order_by(credential.c.read_back_to.desc(), credential.c.athlete_id)
            .limit(most)
        )
        return tuple(self.connection.execute(query).scalars())

    def standing(self, athlete: Athlete) -> Mapping[str, Any]:
        """How far the list is read, by the names it was saved under; empty where not connected."""
        columns = [credential.c[name] for name in STANDING]
        row = self.connection.execute(select(*columns).where(*self._of(athlete))).first()
        return dict(row._mapping) if row else {}  # noqa: SLF001  (SQLAlchemy's public name)

    def save_standing(
        self, athlete: Athlete, standing: Mapping[str, Any], *, due_at: datetime | None = None
    ) -> None:
        """`due_at`: when to ask for this athlete again; None leaves that as it was."""
        self._set(athlete, **standing, **({"due_at": due_at} if due_at is not None else {}))

    # Rate limits

    def limit(self, *, lock: bool = False) -> Mapping[str, Any] | None:
        """What is known of the limits, as it was saved; `lock`: nobody else reserves meanwhile."""
        query = select(limit.c.state).where(self._is(limit))
        if lock:
            query = query.with_for_update()
        state: Mapping[str, Any] | None = self.connection.execute(query).scalar()
        if state is None and lock:
            # Only what is there can be locked: of two that begin at once, one waits here.
            insert_missing(self.connection, limit, {"source": self.source, "state": {}})
            state = self.connection.execute(query).scalar()
        return state or None

    def save_limit(self, state: Mapping[str, Any]) -> None:
        row = {"source": self.source, "state": dict(state)}
        upsert(self.connection, limit, [row], keys=("source",))

    # Webhook events

    def note_event(self, athlete_id: int, external_id: str, *, now: datetime) -> None:
        """Look at this activity soon; empty: at whether the athlete still allows anything."""
        self.note_events([(athlete_id, external_id)], now=now)

    def note_events(self, events: Collection[tuple[int, str]], *, now: datetime) -> None:
        """The same for many, by athlete's id and external id, each of them once."""
        rows = [
            {
                "athlete_id": athlete_id,
                "source": self.source,
                "external_id": external_id,
                "due_at": now,
                "tries": 0,
            }
            # Always in one order, so that two who write the same events don't wait for each other.
            for athlete_id, external_id in sorted(events)
        ]
        upsert(self.connection, event, rows, keys=("athlete_id", "source", "external_id"))

    def with_events_due(self, now: datetime, *, most: int = DUE_AT_ONCE) -> tuple[int, ...]:
        """The ids of the athletes for whom an event is due, the oldest first."""
        query = (
            select(event.c.athlete_id)
            .where(self._is(event), event.c.due_at <= now)
            .order_by(event.c.due_at)
            .limit(most)
        )
        return tuple(dict.fromkeys(self.connection.execute(query).scalars()))

    def events_due(self, athlete: Athlete, now: datetime) -> tuple[str, ...]:
        """The external id of each of the athlete's events that is due, oldest first."""
        query = (
            select(event.c.external_id)
            .where(self._is(event), event.c.athlete_id == athlete.id, event.c.due_at <= now)
            .order_by(event.c.due_at, event.c.external_id)
        )
        return tuple(self.connection.execute(query).scalars())

    def events_waiting(self, athlete: Athlete) -> int:
        """How many events wait for this athlete."""
        query = select(func.count()).where(self._is(event), event.c.athlete_id == athlete.id)
        number: int = self.connection.execute(query).scalar_one()
        return number

    def event_done(
        self, athlete: Athlete, external_id: str, *, looked_at: datetime | None = None
    ) -> None:
        """The event is done; where it came again since it was looked at, it stays."""
        where = self._event(athlete, external_id)
        if looked_at is not None:
            where += (event.c.due_at <= looked_at,)
        self.connection.execute(delete(event).where(*where))

    def retry_event(self, athlete: Athlete, external_id: str, *, now: datetime, most: int) -> None:
        """Try again later and later, `most` times; what stays undone, polling finds."""
        where = self._event(athlete, external_id)
        tries = self.connection.execute(select(event.c.tries).where(*where)).scalar() or 0
        if tries + 1 >= most:
            self.event_done(athlete, external_id)
            return
        due_at = now + timedelta(minutes=1 << tries)
        self.connection.execute(update(event).where(*where).values(tries=tries + 1, due_at=due_at))

    def subscription(self) -> StoredSubscription | None:
        row = self.connection.execute(select(subscription).where(self._is(subscription))).first()
        return StoredSubscription(row.id, row.callback_url, row.dropped) if row else None

    def subscribed(self, subscription_id: int, callback_url: str, *, now: datetime) -> None:
        row = {
            "source": self.source,
            "id": subscription_id,
            "callback_url": callback_url,
            "made_at": now,
            "dropped": 0,
        }
        upsert(self.connection, subscription, [row], keys=("source",))

    def unsubscribed(self) -> None:
        self.connection.execute(delete(subscription).where(self._is(subscription)))

    def dropped(self, number: int) -> None:
        """Count events that named nobody we know."""
        self.connection.execute(
            update(subscription)
            .where(self._is(subscription))
            .values(dropped=subscription.c.dropped + number)
        )

    def use_state(self, state_hash: str, *, now: datetime, forget_before: datetime) -> bool:
        """Mark the state of a consent as used; False where it was before."""
        self.connection.execute(delete(used_state).where(used_state.c.used_at < forget_before))
        query = select(used_state.c.state_hash).where(used_state.c.state_hash == state_hash)
        if self.connection.execute(query).first() is not None:
            return False
        row = {"state_hash": state_hash, "used_at": now}
        self.connection.execute(insert(used_state).values(row))
        return True

    def _of(self, athlete: Athlete) -> tuple[ColumnElement[bool], ...]:
        return credential.c.athlete_id == athlete.id, self._is(credential)

    def _event(self, athlete: Athlete, external_id: str) -> tuple[ColumnElement[bool], ...]:
        return (
            event.c.athlete_id == athlete.id,
            self._is(event),
            event.c.external_id == external_id,
        )

    def _set(self, athlete: Athlete, **values: Any) -> None:
        self.connection.execute(update(credential).where(*self._of(athlete)).values(**values))
