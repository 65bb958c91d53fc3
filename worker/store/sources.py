"""The services: credentials, how far each list was read, activities and files, limits, events.

All services share one set of tables; `SourceRows` is one service's part of them. Credentials are
already encrypted, and nothing here can decrypt them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib import import_module
from typing import Any, Literal

from sqlalchemy import (
    Connection,
    Row,
    Select,
    Table,
    and_,
    case,
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
from worker.store.repository import Repository, from_row
from worker.store.tables import DUE_AT_ONCE

_CREDENTIAL = tables.source_credential
_ACTIVITY = tables.source_activity
_EVENT = tables.source_event
_LIMIT = tables.source_limit
_SUBSCRIPTION = tables.source_subscription
_USED_STATE = tables.used_state

EVENTS_KEPT = 50
"""So many events of one athlete wait at most."""

QUIET = timedelta(minutes=1)
"""So long after a look at an activity, events about it are gathered for one more look."""

_LOOKED, _GATHERED = -1, -2
"""In place of an event's tries: the memory of a look, and an event that came in its `QUIET`."""

STANDING = ("read_until", "read_back_to", "looked_back_at", "doubted_at", "failures")


FileState = Literal["due", "read", "none"]
_WAITS: ColumnElement[bool] = _EVENT.c.tries != _LOOKED
_DUE: ColumnElement[str] = literal_column("'due'")
"""Written out, so that PostgreSQL finds the index over the files that are due."""


@dataclass(frozen=True, slots=True)
class SeenActivity:
    """An activity as it was last seen: a run, or one that can't be read for a `reason`.

    `file` is how far its original file is, "none" where it has none. `silence` says why nothing
    may be mailed about what the file changes, or is None.
    """

    external_id: str
    started_at: datetime | None
    payload: str
    reason: str | None = None
    edited: bool = False
    file: FileState = "none"
    file_due_at: datetime | None = None
    file_tries: int = 0
    silence: str | None = None


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
    """Our webhook subscription; `dropped` events named unknown accounts."""

    id: int
    callback_url: str
    made_at: datetime
    dropped: int


@dataclass(frozen=True, slots=True)
class SourceRows(Repository):
    """One service: a credential an athlete, one limit and one subscription for all of them."""

    source: SourceName

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
        self._delete(_CREDENTIAL, *self._of(athlete))
        row |= {"athlete_id": athlete.id, "source": self.source}
        self.connection.execute(insert(_CREDENTIAL).values(row))

    def credential(self, athlete: Athlete) -> StoredCredential | None:
        rows = self._rows(select(_CREDENTIAL).where(*self._of(athlete)))
        return _credential(rows[0]) if rows else None

    def renew(
        self, athlete: Athlete, *, version: int, encrypted: bytes, expires_at: datetime | None
    ) -> bool:
        """Save what a refresh brought; False where it isn't the refreshed credential any more."""
        where = *self._of(athlete), _CREDENTIAL.c.version == version
        values = {"encrypted": encrypted, "expires_at": expires_at, "version": version + 1}
        return self._update(_CREDENTIAL, *where, **values, revoked_at=None) == 1

    def revoked(self, athlete: Athlete, *, version: int, now: datetime) -> bool:
        """The service refuses this credential for good; False where it's another one by now."""
        where = *self._of(athlete), _CREDENTIAL.c.version == version
        return self._update(_CREDENTIAL, *where, revoked_at=now) == 1

    def forget(self, athlete: Athlete) -> None:
        """Delete the credential, and what only this service has: activities and events."""
        for table in (_CREDENTIAL, _ACTIVITY, _EVENT):
            self._delete(table, *self._of(athlete, table))

    def athletes_of(self, account_ids: Collection[str]) -> Mapping[str, Sequence[int]]:
        """For each of these accounts the ids of the athletes connected to it, revoked ones too."""
        query = select(_CREDENTIAL.c.account_id, _CREDENTIAL.c.athlete_id).where(
            self._is(_CREDENTIAL), _CREDENTIAL.c.account_id.in_(list(account_ids))
        )
        found: dict[str, list[int]] = {}
        for account_id, athlete_id in self.connection.execute(query):
            found.setdefault(account_id, []).append(athlete_id)
        return found

    def encrypted(self) -> Mapping[int, bytes]:
        """What each credential is encrypted as, by the athlete's id."""
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
    ) -> StoredCredential | None:
        """Take this athlete's credential until then; None where there's none, or another has it.

        Where `event_calls` is given a call for an event is counted with it; None also where so many
        were made today.
        """
        free = or_(_CREDENTIAL.c.leased_until.is_(None), _CREDENTIAL.c.leased_until <= now)
        where: list[ColumnElement[bool]] = [*self._of(athlete), free]
        values: dict[str, Any] = {"leased_until": until}
        if event_calls is not None:
            has_left, counted = _one_more_call(1, today=_utc_day(now), most=event_calls)
            where.append(has_left)
            values |= counted
        taken = self.connection.execute(
            update(_CREDENTIAL).where(*where).values(values).returning(_CREDENTIAL)
        ).first()
        return _credential(taken) if taken else None

    def release(self, athlete: Athlete, *, asked: StoredCredential | None = None) -> bool:
        """Give it back; False where it isn't the one of the account that was `asked` any more."""
        held = [*self._of(athlete)]
        if asked is not None:
            # An account without an id is known by when it was connected.
            held.append(_CREDENTIAL.c.account_id == asked.account_id)
            if not asked.account_id:
                held.append(_CREDENTIAL.c.connected_at == asked.connected_at)
        return self._update(_CREDENTIAL, *held, leased_until=None) == 1

    def due(self, now: datetime, *, most: int = DUE_AT_ONCE) -> tuple[int, ...]:
        """The ids of the athletes to be asked for, those that waited longest first."""
        c = _CREDENTIAL.c
        where = c.due_at <= now, c.revoked_at.is_(None)
        return self._athlete_ids(_CREDENTIAL, *where, by=(c.due_at, c.athlete_id), most=most)

    def with_history_due(self, until: datetime, *, most: int = DUE_AT_ONCE) -> tuple[int, ...]:
        """The ids of the athletes whose past isn't read back to `until`, the least read first.

        Not of those whose last call failed: they follow after a poll that succeeds.
        """
        c = _CREDENTIAL.c
        where = c.read_back_to > until, c.revoked_at.is_(None), c.failures == 0
        by = c.read_back_to.desc(), c.athlete_id
        return self._athlete_ids(_CREDENTIAL, *where, by=by, most=most)

    def standing(self, athlete: Athlete) -> Mapping[str, Any]:
        """How far the list is read, by the names it was saved under; empty where not connected."""
        columns = [_CREDENTIAL.c[name] for name in STANDING]
        row = self.connection.execute(select(*columns).where(*self._of(athlete))).first()
        return dict(row._mapping) if row else {}  # noqa: SLF001  (SQLAlchemy's public name)

    def save_standing(
        self, athlete: Athlete, standing: Mapping[str, Any], *, due_at: datetime | None = None
    ) -> None:
        """`due_at`: when to poll for this athlete again; None leaves that as it was."""
        self._set(athlete, **standing, **({"due_at": due_at} if due_at is not None else {}))

    # Activities, as they were last seen

    def seen(self, athlete: Athlete, external_ids: Collection[str]) -> Mapping[str, SeenActivity]:
        """As they were last seen, of those that were."""
        query = select(_ACTIVITY).where(
            *self._of(athlete, _ACTIVITY), _ACTIVITY.c.external_id.in_(external_ids)
        )
        return {row.external_id: from_row(SeenActivity, row) for row in self._rows(query)}

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
        """When each activity that was seen began, by its id."""
        query = select(_ACTIVITY.c.external_id, _ACTIVITY.c.started_at).where(
            *self._of(athlete, _ACTIVITY), _ACTIVITY.c.started_at.is_not(None)
        )
        return {row.external_id: row.started_at for row in self._rows(query)}

    def unreadable(self, athlete: Athlete) -> tuple[SeenActivity, ...]:
        """What can't be read, each with its reason."""
        query = (
            select(_ACTIVITY)
            .where(*self._of(athlete, _ACTIVITY), _ACTIVITY.c.reason.is_not(None))
            .order_by(_ACTIVITY.c.started_at, _ACTIVITY.c.external_id)
        )
        return tuple(from_row(SeenActivity, row) for row in self._rows(query))

    def with_expired(self, instant: datetime, *, most: int = DUE_AT_ONCE) -> tuple[int, ...]:
        """The ids of the athletes with an activity that is older than it may be kept."""
        at = _ACTIVITY.c.started_at
        return self._athlete_ids(_ACTIVITY, at < instant, by=(at,), most=most)

    def begun_before(self, athlete: Athlete, instant: datetime) -> tuple[str, ...]:
        """The ids of the activities that are older than they may be kept."""
        query = select(_ACTIVITY.c.external_id).where(
            *self._of(athlete, _ACTIVITY), _ACTIVITY.c.started_at < instant
        )
        return self._values(query)

    # Original files

    def files_due(self, athlete: Athlete, now: datetime, *, most: int) -> tuple[SeenActivity, ...]:
        """Whose file is to be read now, the newest first."""
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
        """How many files are yet to be read, now or later."""
        due = _ACTIVITY.c.file == _DUE
        number: int = self._value(select(func.count()).where(*self._of(athlete, _ACTIVITY), due))
        return number

    def with_files_due(self, now: datetime, *, most: int = DUE_AT_ONCE) -> tuple[int, ...]:
        """The ids of the athletes with files to be read now; of none whose last call failed.

        Those whose files wait longest first; at most so many files are counted for that.
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
        """The rate limit as it was saved; `lock`: no other worker reserves meanwhile."""
        query = select(_LIMIT.c.state).where(self._is(_LIMIT))
        if lock:
            query = query.with_for_update()
        state: Mapping[str, Any] | None = self._value(query)
        if state is None and lock:
            # Only what is there can be locked: of two that begin at once, one waits here.
            self._upsert(_LIMIT, [{"source": self.source, "state": {}}], replace=False)
            state = self._value(query)
        return state or None

    def save_limit(self, state: Mapping[str, Any]) -> None:
        self._upsert(_LIMIT, [{"source": self.source, "state": dict(state)}])

    # Webhook events

    def note_events(
        self, events: Collection[tuple[int, str]], *, now: datetime, most: int = EVENTS_KEPT
    ) -> None:
        """Save that activities are to be looked at, by athlete's id and external id, each once.

        An empty external id: that the credential is to be tried. Of one athlete so many wait at
        most, those first that `events_due` names first.
        """
        over = _EVENT.c.tries == _LOOKED, _EVENT.c.due_at <= now
        self._delete(_EVENT, self._is(_EVENT), *over)
        every = {"source": self.source, "due_at": now, "tries": 0}
        # Always in one order, so that two who write the same events don't wait for each other.
        rows = [{**every, "athlete_id": a, "external_id": e} for a, e in sorted(events)]
        if rows:
            self.connection.execute(_noting(self.connection.dialect.name), rows)
        for athlete_id in sorted({athlete_id for athlete_id, _ in events}):
            theirs = _EVENT.c.athlete_id == athlete_id, self._is(_EVENT), _WAITS
            beyond = self._values(self._most_credible(*theirs).offset(most))
            if beyond:
                self._delete(_EVENT, *theirs, _EVENT.c.external_id.in_(beyond))

    def with_events_due(
        self,
        now: datetime,
        *,
        most: int = DUE_AT_ONCE,
        of: Collection[int] | None = None,
    ) -> tuple[int, ...]:
        """The ids of the athletes with an event due, the oldest first; `of` these, or all."""
        where = [_WAITS, _EVENT.c.due_at <= now]
        if of is not None:
            where.append(_EVENT.c.athlete_id.in_(sorted(of)))
        return self._athlete_ids(_EVENT, *where, by=(_EVENT.c.due_at,), most=most)

    def end_quiet(self, now: datetime) -> None:
        """What is still being gathered is due now, for whoever won't come again soon."""
        gathered = _EVENT.c.tries == _GATHERED
        self._update(_EVENT, self._is(_EVENT), gathered, due_at=now, tries=0)

    def events_due(self, athlete: Athlete, now: datetime) -> tuple[str, ...]:
        """The external id of each of the athlete's events that is due.

        First whether the credential lives, then what is known here, then the newest.
        """
        due = _WAITS, _EVENT.c.due_at <= now
        return self._values(self._most_credible(*self._of(athlete, _EVENT), *due))

    def _most_credible(self, *where: ColumnElement[bool]) -> Select[Any]:
        """The external ids of events; what somebody made up comes last."""
        event, known = _EVENT.c, _ACTIVITY.c
        same = (
            (known.athlete_id == event.athlete_id)
            & (known.source == event.source)
            & (known.external_id == event.external_id)
        )
        return (
            select(event.external_id)
            .outerjoin(_ACTIVITY, same)
            .where(*where)
            .order_by(
                event.external_id != "",
                known.external_id.is_(None),
                # Ids of digits grow: the longer, and then the greater, is the newer.
                func.length(event.external_id).desc(),
                event.external_id.desc(),
            )
        )

    def spend_event_calls(self, athlete: Athlete, number: int, *, now: datetime, most: int) -> bool:
        """Count calls for events of this athlete; False where the day's are used up."""
        has_left, counted = _one_more_call(number, today=_utc_day(now), most=most)
        return self._update(_CREDENTIAL, *self._of(athlete), has_left, **counted) == 1

    def has_event_calls(self, athlete: Athlete, *, now: datetime, most: int) -> bool:
        """Whether a call for an event of this athlete may be made today."""
        has_left, _ = _one_more_call(1, today=_utc_day(now), most=most)
        query = select(_CREDENTIAL.c.athlete_id).where(*self._of(athlete), has_left)
        return self._value(query) is not None

    def hold_events(self, athlete: Athlete, until: datetime) -> None:
        """No event of this athlete is due before then."""
        self._update(_EVENT, *self._of(athlete, _EVENT), _WAITS, due_at=until, tries=0)

    def events_waiting(self, athlete: Athlete) -> int:
        """How many events wait for this athlete."""
        number: int = self._value(select(func.count()).where(*self._of(athlete, _EVENT), _WAITS))
        return number

    def event_done(
        self, athlete: Athlete, external_id: str, *, looked_at: datetime | None = None
    ) -> None:
        """The event is done; where it came again since `looked_at`, it stays.

        For a while after a look what comes about the same activity is gathered.
        """
        where = self._event(athlete, external_id)
        if looked_at is None or not external_id:
            again = () if looked_at is None else (_EVENT.c.due_at <= looked_at,)
            self._delete(_EVENT, *where, *again)
            return
        tries = case((_EVENT.c.due_at <= looked_at, _LOOKED), else_=_GATHERED)
        self._update(_EVENT, *where, tries=tries, due_at=looked_at + QUIET)

    def retry_event(self, athlete: Athlete, external_id: str, *, now: datetime, most: int) -> None:
        """Try again later and later, `most` times; what stays undone, polling finds."""
        where = self._event(athlete, external_id)
        tries = max(self._value(select(_EVENT.c.tries).where(*where)) or 0, 0)
        if tries + 1 >= most:
            self.event_done(athlete, external_id)
            return
        due_at = now + timedelta(minutes=1 << tries)
        self._update(_EVENT, *where, tries=tries + 1, due_at=due_at)

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
        """Mark the state of a consent as used; False where it was before."""
        self._delete(_USED_STATE, _USED_STATE.c.used_at < forget_before)
        query = select(_USED_STATE.c.state_hash).where(_USED_STATE.c.state_hash == state_hash)
        if self._value(query) is not None:
            return False
        row = {"state_hash": state_hash, "used_at": now}
        self.connection.execute(insert(_USED_STATE).values(row))
        return True

    def _is(self, table: Table) -> ColumnElement[bool]:
        is_ours: ColumnElement[bool] = table.c.source == self.source
        return is_ours

    def _of(
        self, athlete: Athlete, table: Table = _CREDENTIAL
    ) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return table.c.athlete_id == athlete.id, self._is(table)

    def _event(self, athlete: Athlete, external_id: str) -> tuple[ColumnElement[bool], ...]:
        return *self._of(athlete, _EVENT), _EVENT.c.external_id == external_id

    def _athlete_ids(
        self, table: Table, *where: ColumnElement[bool], by: Sequence[Any], most: int
    ) -> tuple[int, ...]:
        ids = select(table.c.athlete_id).where(self._is(table), *where)
        return self._values(ids.order_by(*by).limit(most))

    def _set(self, athlete: Athlete, **values: Any) -> None:
        self._update(_CREDENTIAL, *self._of(athlete), **values)


@cache
def _noting(dialect: str) -> Any:
    """Saves an event: due at once, or where its activity was looked at just now after a while."""
    statement = import_module(f"sqlalchemy.dialects.{dialect}").insert(_EVENT)
    new = statement.excluded
    is_quiet = and_(_EVENT.c.tries < 0, _EVENT.c.due_at > new.due_at)
    return statement.on_conflict_do_update(
        index_elements=list(_EVENT.primary_key.columns),
        set_={
            "due_at": case((is_quiet, _EVENT.c.due_at), else_=new.due_at),
            "tries": case((is_quiet, _GATHERED), else_=new.tries),
        },
    )


def _utc_day(now: datetime) -> date:
    return now.astimezone(UTC).date()


def _one_more_call(
    number: int, *, today: date, most: int
) -> tuple[ColumnElement[bool], dict[str, Any]]:
    """Whether the day's calls for events aren't used up, and what counts so many more."""
    calls, on = _CREDENTIAL.c.event_calls, _CREDENTIAL.c.event_calls_on
    is_fresh = or_(on.is_(None), on != today)
    counted = case((is_fresh, number), else_=calls + number)
    return or_(is_fresh, calls < most), {"event_calls_on": today, "event_calls": counted}


def credentials_of(
    connection: Connection, athlete: Athlete
) -> Mapping[SourceName, StoredCredential]:
    """The athlete's credentials at all services, by the service's name."""
    query = select(_CREDENTIAL).where(_CREDENTIAL.c.athlete_id == athlete.id)
    return {row.source: _credential(row) for row in connection.execute(query)}


def _credential(row: Row[Any]) -> StoredCredential:
    return replace(from_row(StoredCredential, row), scopes=frozenset(row.scopes))
