"""The services: credentials, how far each list was read, activities and files, limits, events.

All services share one set of tables; `SourceRows` is one service's part of them. Credentials are
already encrypted, and nothing here can decrypt them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    bindparam,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from worker.domain.models import Athlete, SourceName
from worker.store import tables
from worker.store.repository import from_row
from worker.store.source_base import SeenActivity, StoredCredential, StoredSubscription, theirs
from worker.store.source_events import SourceEvents, one_more_call, utc_day
from worker.store.tables import DUE_AT_ONCE

_CREDENTIAL = tables.source_credential
_ACTIVITY = tables.source_activity
_EVENT = tables.source_event
_LIMIT = tables.source_limit
_SUBSCRIPTION = tables.source_subscription
_USED_STATE = tables.used_state

STANDING = ("read_until", "read_back_to", "looked_back_at", "doubted_at", "failures")

_DUE: ColumnElement[str] = literal_column("'due'")
"""A literal, so that PostgreSQL uses the index over files that are due."""


@dataclass(frozen=True, slots=True)
class SourceRows(SourceEvents):
    """One service: a credential for each athlete, and one limit and one subscription for all."""

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
        """Save a credential in place of any other.

        The list is read on from where it was, or from the beginning if the account is another one.
        Accounts whose id isn't known count as the same.
        """
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
        self._delete(_CREDENTIAL, *self._of(athlete))
        row |= {"athlete_id": athlete.id, "source": self.source}
        self.connection.execute(insert(_CREDENTIAL).values(row))

    def credential(self, athlete: Athlete) -> StoredCredential | None:
        rows = self._rows(select(_CREDENTIAL).where(*self._of(athlete)))
        return _credential(rows[0]) if rows else None

    def renew(
        self, athlete: Athlete, *, version: int, encrypted: bytes, expires_at: datetime | None
    ) -> bool:
        """Save a refreshed credential; False if another one has replaced it meanwhile."""
        where = *self._of(athlete), _CREDENTIAL.c.version == version
        values = {"encrypted": encrypted, "expires_at": expires_at, "version": version + 1}
        return self._update(_CREDENTIAL, *where, **values, revoked_at=None) == 1

    def revoked(self, athlete: Athlete, *, version: int, now: datetime) -> bool:
        """Save that a credential is revoked; False if another one has replaced it."""
        where = *self._of(athlete), _CREDENTIAL.c.version == version
        return self._update(_CREDENTIAL, *where, revoked_at=now) == 1

    def forget(self, athlete: Athlete) -> None:
        """Delete the credential, and the service's activities and events."""
        for table in (_CREDENTIAL, _ACTIVITY, _EVENT):
            self._delete(table, *self._of(athlete, table))

    def athletes_of(self, account_ids: Collection[str]) -> Mapping[str, Sequence[int]]:
        """The ids of the athletes connected to each of these accounts, including revoked ones."""
        query = select(_CREDENTIAL.c.account_id, _CREDENTIAL.c.athlete_id).where(
            self._is(_CREDENTIAL), _CREDENTIAL.c.account_id.in_(list(account_ids))
        )
        found: dict[str, list[int]] = {}
        for account_id, athlete_id in self.connection.execute(query):
            found.setdefault(account_id, []).append(athlete_id)
        return found

    def encrypted(self) -> Mapping[int, bytes]:
        """The encrypted credentials by the athletes' ids."""
        query = select(_CREDENTIAL.c.athlete_id, _CREDENTIAL.c.encrypted).where(
            self._is(_CREDENTIAL)
        )
        return {row.athlete_id: row.encrypted for row in self._rows(query)}

    def encrypt_anew(self, athlete_id: int, encrypted: bytes) -> None:
        """Save the same credential, encrypted with another key."""
        theirs = _CREDENTIAL.c.athlete_id == athlete_id
        self._update(_CREDENTIAL, self._is(_CREDENTIAL), theirs, encrypted=encrypted)

    # Who is due, and how far the list is read

    def lease(
        self, athlete: Athlete, *, now: datetime, until: datetime, event_calls: int | None = None
    ) -> tuple[StoredCredential, Mapping[str, Any] | None] | None:
        """Lease this athlete's credential until then; None if it is missing or already leased.

        The rate limit is returned with it, locked as by `limit`. With `event_calls`, a call for an
        event is counted too; None also if that many were made today.
        """
        given = {"service": self.source, "whose": athlete.id, "now": now, "until": until}
        if event_calls is not None:
            given |= {"today": utc_day(now), "most": event_calls, "number": 1}
        taken = self.connection.execute(_leasing(counts=event_calls is not None), given).first()
        return (_credential(taken), taken.limit_state) if taken else None

    def release(self, athlete: Athlete, *, asked: StoredCredential | None = None) -> bool:
        """Release the credential; False if it no longer belongs to the account that was `asked`."""
        held: dict[str, Any] = {"athlete_id": athlete.id, "source": self.source}
        if asked is not None:
            held["account_id"] = asked.account_id
            if not asked.account_id:
                # An account without an id is identified by when it was connected.
                held["connected_at"] = asked.connected_at
        return self._change_by(_CREDENTIAL, held, leased_until=None) == 1

    def due(self, now: datetime, *, most: int = DUE_AT_ONCE) -> tuple[int, ...]:
        """The ids of the athletes to be polled, longest waiting first."""
        c = _CREDENTIAL.c
        where = c.due_at <= now, c.revoked_at.is_(None)
        return self._athlete_ids(_CREDENTIAL, *where, by=(c.due_at, c.athlete_id), most=most)

    def with_history_due(self, until: datetime, *, most: int = DUE_AT_ONCE) -> tuple[int, ...]:
        """The ids of the athletes whose history isn't read back to `until`, the least read first.

        Athletes whose last call failed are omitted until a poll succeeds.
        """
        c = _CREDENTIAL.c
        where = c.read_back_to > until, c.revoked_at.is_(None), c.failures == 0
        by = c.read_back_to.desc(), c.athlete_id
        return self._athlete_ids(_CREDENTIAL, *where, by=by, most=most)

    def standing(self, athlete: Athlete) -> Mapping[str, Any]:
        """How far the list is read, by the names of the saved fields; empty if not connected."""
        columns = [_CREDENTIAL.c[name] for name in STANDING]
        row = self.connection.execute(select(*columns).where(*self._of(athlete))).first()
        return dict(row._mapping) if row else {}  # noqa: SLF001  (SQLAlchemy's public name)

    def save_standing(
        self, athlete: Athlete, standing: Mapping[str, Any], *, due_at: datetime | None = None
    ) -> None:
        """`due_at` is when to poll this athlete again; None leaves it unchanged."""
        self._set(athlete, **standing, **({"due_at": due_at} if due_at is not None else {}))

    def mend_clock(self, now: datetime, *, longest: timedelta) -> None:
        """Make due now what is due later than by any pause, because the clock ran ahead."""
        late, c = now + longest, _CREDENTIAL.c
        again = {"due_at": now, "looked_back_at": None, "doubted_at": None}
        standing = self._is(_CREDENTIAL), c.revoked_at.is_(None)
        self._update(_CREDENTIAL, *standing, c.due_at > late, **again)
        self._update(
            _CREDENTIAL, *standing, c.due_at <= now, c.leased_until > late, leased_until=None
        )
        self._update(_EVENT, self._is(_EVENT), _EVENT.c.due_at > late, due_at=now)
        of_file = self._is(_ACTIVITY), _ACTIVITY.c.file == _DUE, _ACTIVITY.c.file_due_at > late
        self._update(_ACTIVITY, *of_file, file_due_at=now)

    # Activities, as they were last seen

    def seen(self, athlete: Athlete, external_ids: Collection[str]) -> Mapping[str, SeenActivity]:
        """Those of these activities that were seen, as they were last seen."""
        given = {"whose": athlete.id, "service": self.source, "external_ids": list(external_ids)}
        rows = self.connection.execute(_seen(), given)
        return {row.external_id: from_row(SeenActivity, row) for row in rows}

    def save_seen(self, athlete: Athlete, seen: Sequence[SeenActivity], *, now: datetime) -> None:
        rows = [
            {**asdict(one), "athlete_id": athlete.id, "source": self.source, "seen_at": now}
            for one in seen
        ]
        self._upsert(_ACTIVITY, rows)

    def forget_seen(self, athlete: Athlete, external_ids: Collection[str]) -> None:
        if external_ids:
            of_these = _ACTIVITY.c.external_id.in_(external_ids)
            self._delete(_ACTIVITY, *self._of(athlete, _ACTIVITY), of_these)

    def starts(self, athlete: Athlete) -> Mapping[str, datetime]:
        """The starts of all seen activities, by id."""
        query = select(_ACTIVITY.c.external_id, _ACTIVITY.c.started_at).where(
            *self._of(athlete, _ACTIVITY), _ACTIVITY.c.started_at.is_not(None)
        )
        return {row.external_id: row.started_at for row in self._rows(query)}

    def unreadable(self, athlete: Athlete) -> tuple[SeenActivity, ...]:
        """The activities that can't be read, each with its reason."""
        query = (
            select(_ACTIVITY)
            .where(*self._of(athlete, _ACTIVITY), _ACTIVITY.c.reason.is_not(None))
            .order_by(_ACTIVITY.c.started_at, _ACTIVITY.c.external_id)
        )
        return tuple(from_row(SeenActivity, row) for row in self._rows(query))

    def with_expired(self, instant: datetime, *, most: int = DUE_AT_ONCE) -> tuple[int, ...]:
        """The ids of the athletes with an activity from before `instant`."""
        at = _ACTIVITY.c.started_at
        return self._athlete_ids(_ACTIVITY, at < instant, by=(at,), most=most)

    def begun_before(self, athlete: Athlete, instant: datetime) -> tuple[str, ...]:
        """The ids of the activities from before `instant`."""
        query = select(_ACTIVITY.c.external_id).where(
            *self._of(athlete, _ACTIVITY), _ACTIVITY.c.started_at < instant
        )
        return self._values(query)

    # Original files

    def files_due(self, athlete: Athlete, now: datetime, *, most: int) -> tuple[SeenActivity, ...]:
        """The activities whose files are due now, newest first."""
        query = (
            select(_ACTIVITY)
            .where(
                *self._of(athlete, _ACTIVITY),
                _ACTIVITY.c.file == _DUE,
                _ACTIVITY.c.file_due_at <= now,
            )
            .order_by(_ACTIVITY.c.started_at.desc().nulls_last(), _ACTIVITY.c.external_id.desc())
            .limit(most)
        )
        return tuple(from_row(SeenActivity, row) for row in self._rows(query))

    def files_left(self, athlete: Athlete) -> int:
        """How many files are left to read, now or later."""
        due = _ACTIVITY.c.file == _DUE
        number: int = self._value(select(func.count()).where(*self._of(athlete, _ACTIVITY), due))
        return number

    def with_files_due(self, now: datetime, *, most: int = DUE_AT_ONCE) -> tuple[int, ...]:
        """The ids of the athletes with files due now, except those whose last call failed.

        Longest waiting first; at most `most` files are counted for that.
        """
        query = (
            select(_ACTIVITY.c.athlete_id)
            .join(
                _CREDENTIAL,
                (_ACTIVITY.c.athlete_id == _CREDENTIAL.c.athlete_id)
                & (_ACTIVITY.c.source == _CREDENTIAL.c.source),
            )
            .where(
                self._is(_ACTIVITY),
                _ACTIVITY.c.file == _DUE,
                _ACTIVITY.c.file_due_at <= now,
                _CREDENTIAL.c.revoked_at.is_(None),
                _CREDENTIAL.c.failures == 0,
            )
            .order_by(_ACTIVITY.c.file_due_at, _ACTIVITY.c.athlete_id)
            .limit(most)
        )
        return self._values(query)

    # Rate limits

    def limit(self, *, lock: bool = False) -> Mapping[str, Any] | None:
        """The saved rate limit; with `lock`, no other worker can reserve calls meanwhile."""
        query, given = _limit(lock=lock), {"service": self.source}
        state: Mapping[str, Any] | None = self.connection.execute(query, given).scalar()
        if state is None and lock:
            # Only an existing row can be locked. If two workers begin at once, one waits here.
            self._upsert(_LIMIT, [{"source": self.source, "state": {}}], replace=False)
            state = self.connection.execute(query, given).scalar()
        return state or None

    def save_limit(self, state: Mapping[str, Any]) -> None:
        self._upsert(_LIMIT, [{"source": self.source, "state": dict(state)}])

    # The webhook's subscription, and consents

    def subscription(self) -> StoredSubscription | None:
        for row in self._rows(select(_SUBSCRIPTION).where(self._is(_SUBSCRIPTION))):
            return from_row(StoredSubscription, row)
        return None

    def subscribed(self, subscription_id: int, callback_url: str, *, now: datetime) -> None:
        row = {"id": subscription_id, "callback_url": callback_url, "made_at": now, "dropped": 0}
        self._upsert(_SUBSCRIPTION, [{"source": self.source, **row}])

    def unsubscribed(self) -> None:
        self._delete(_SUBSCRIPTION, self._is(_SUBSCRIPTION))

    def dropped(self, number: int) -> None:
        """Count events that named unknown accounts."""
        more = _SUBSCRIPTION.c.dropped + number
        self._update(_SUBSCRIPTION, self._is(_SUBSCRIPTION), dropped=more)

    def use_state(self, state_hash: str, *, now: datetime, forget_before: datetime) -> bool:
        """Mark the state of a consent as used; False if it was used before."""
        self._delete(_USED_STATE, _USED_STATE.c.used_at < forget_before)
        query = select(_USED_STATE.c.state_hash).where(_USED_STATE.c.state_hash == state_hash)
        if self._value(query) is not None:
            return False
        row = {"state_hash": state_hash, "used_at": now}
        self.connection.execute(insert(_USED_STATE).values(row))
        return True

    def _set(self, athlete: Athlete, **values: Any) -> None:
        self._update(_CREDENTIAL, *self._of(athlete), **values)


# Frequent statements, built once


@cache
def _leasing(*, counts: bool) -> Any:
    """The statement of `SourceRows.lease`; `counts` also counts a call for an event."""
    now = bindparam("now", type_=_CREDENTIAL.c.leased_until.type)
    free = or_(_CREDENTIAL.c.leased_until.is_(None), _CREDENTIAL.c.leased_until <= now)
    taking = update(_CREDENTIAL).where(theirs(_CREDENTIAL), free)
    values: dict[str, Any] = {"leased_until": bindparam("until")}
    if counts:
        has_left, counted = one_more_call()
        taking, values = taking.where(has_left), values | counted
    limit = _limit(lock=True).scalar_subquery().label("limit_state")
    return taking.values(values).returning(_CREDENTIAL, limit)


@cache
def _limit(*, lock: bool) -> Select[Any]:
    query = select(_LIMIT.c.state).where(_LIMIT.c.source == bindparam("service"))
    return query.with_for_update() if lock else query


@cache
def _seen() -> Select[Any]:
    of_these = _ACTIVITY.c.external_id.in_(bindparam("external_ids", expanding=True))
    return select(_ACTIVITY).where(theirs(_ACTIVITY), of_these)


def credentials_of(
    connection: Connection, athlete: Athlete
) -> Mapping[SourceName, StoredCredential]:
    """The athlete's credentials at all services, by the service's name."""
    rows = connection.execute(_credentials(), {"whose": athlete.id})
    return {row.source: _credential(row) for row in rows}


@cache
def _credentials() -> Select[Any]:
    return select(_CREDENTIAL).where(_CREDENTIAL.c.athlete_id == bindparam("whose"))


def _credential(row: Row[Any]) -> StoredCredential:
    return replace(from_row(StoredCredential, row), scopes=frozenset(row.scopes))
