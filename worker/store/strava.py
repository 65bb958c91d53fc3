"""Strava's shelf: grants, where reading stands, what was seen, limits, wishes.

Tokens come and go sealed; nothing here can open them. Where reading stands and how much of the
limits is used are kept as their rooms hand them over, by name.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from sqlalchemy import Connection, Row, Table, delete, func, insert, select, update

from worker.model import Athlete, SourceName
from worker.store import tables
from worker.store.polled import Polled
from worker.store.tables import DUE_AT_ONCE
from worker.store.upsert import upsert

grant = tables.strava_grant
wish = tables.strava_wish
budget = tables.strava_budget
subscription = tables.strava_subscription
used_state = tables.used_state

_ONE = 1


@dataclass(frozen=True, slots=True)
class KeptGrant:
    """A grant at rest; `version` grows with each refresh."""

    strava_id: int
    sealed: bytes
    expires_at: datetime
    scopes: frozenset[str]
    version: int
    connected_at: datetime
    dead_since: datetime | None
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Subscription:
    """The webhook subscription; `dropped` events named nobody we know."""

    id: int
    callback_url: str
    dropped: int


@dataclass(frozen=True, slots=True)
class StravaShelf(Polled):
    """One grant an athlete; one budget and one subscription for all of them."""

    connection: Connection
    source: ClassVar[SourceName] = "strava"
    grants: ClassVar[Table] = tables.strava_grant
    activities: ClassVar[Table] = tables.strava_activity

    # Grants

    def connect(
        self,
        athlete: Athlete,
        *,
        strava_id: int,
        sealed: bytes,
        expires_at: datetime,
        scopes: Iterable[str],
        now: datetime,
    ) -> None:
        """Keep a new grant in place of any other; another account's reading begins anew."""
        before = self.grant(athlete)
        row = {
            "strava_id": strava_id,
            "sealed": sealed,
            "expires_at": expires_at,
            "scopes": sorted(scopes),
            "version": before.version + 1 if before else 1,
            "connected_at": now,
            "dead_since": None,
            "due_at": now,
            "failures": 0,
        }
        if before is not None and before.strava_id == strava_id:
            self._set(athlete, **row)
            return
        self.connection.execute(delete(grant).where(grant.c.athlete_id == athlete.id))
        self.connection.execute(insert(grant).values(athlete_id=athlete.id, **row))

    def grant(self, athlete: Athlete) -> KeptGrant | None:
        row = self.connection.execute(select(grant).where(grant.c.athlete_id == athlete.id)).first()
        return _grant(row) if row else None

    def renew(self, athlete: Athlete, *, version: int, sealed: bytes, expires_at: datetime) -> bool:
        """Keep what a refresh brought; False where the grant isn't the refreshed one any more."""
        changed = self.connection.execute(
            update(grant)
            .where(grant.c.athlete_id == athlete.id, grant.c.version == version)
            .values(sealed=sealed, expires_at=expires_at, version=version + 1, dead_since=None)
        )
        return changed.rowcount == 1

    def forget(self, athlete: Athlete) -> None:
        """The grant, and all that only Strava told of: what was seen, and wishes."""
        for table in (grant, self.activities, wish):
            self.connection.execute(delete(table).where(table.c.athlete_id == athlete.id))

    def whose(self, strava_ids: Collection[int]) -> Mapping[int, Sequence[int]]:
        """For each of these accounts the ids of the athletes with a grant, dead ones too."""
        query = select(grant.c.strava_id, grant.c.athlete_id).where(
            grant.c.strava_id.in_(list(strava_ids))
        )
        found: dict[int, list[int]] = {}
        for strava_id, athlete_id in self.connection.execute(query):
            found.setdefault(strava_id, []).append(athlete_id)
        return found

    # Limits

    def budget(self) -> Mapping[str, Any] | None:
        """What is known of the limits, by the names it was kept under; locked until the end."""
        row = self.connection.execute(select(budget).with_for_update()).first()
        if row is None:
            return None
        return {name: getattr(row, name) for name in ("at", "read", "overall", "closed_until")}

    def keep_budget(self, known: Mapping[str, Any]) -> None:
        upsert(self.connection, budget, [{"id": _ONE, **known}], keys=("id",))

    # Wishes

    def wish(self, athlete_id: int, external_id: str, *, now: datetime) -> None:
        """Look at this activity soon; empty: at whether the athlete still allows anything."""
        self.wish_all([(athlete_id, external_id)], now=now)

    def wish_all(self, wishes: Collection[tuple[int, str]], *, now: datetime) -> None:
        """The same for many, by athlete's id and external id, each of them once."""
        rows = [
            {"athlete_id": athlete_id, "external_id": external_id, "due_at": now, "tries": 0}
            # Always in one order, so that two who write the same wishes don't wait for each other.
            for athlete_id, external_id in sorted(wishes)
        ]
        upsert(self.connection, wish, rows, keys=("athlete_id", "external_id"))

    def with_wishes_due(self, now: datetime, *, most: int = DUE_AT_ONCE) -> tuple[int, ...]:
        """The ids of the athletes for whom a wish is due, the oldest first."""
        query = select(wish.c.athlete_id).where(wish.c.due_at <= now).order_by(wish.c.due_at)
        return tuple(dict.fromkeys(self.connection.execute(query.limit(most)).scalars()))

    def wishes_of(self, athlete: Athlete, now: datetime) -> tuple[str, ...]:
        """The external id of each of the athlete's wishes that is due, oldest first."""
        query = (
            select(wish.c.external_id)
            .where(wish.c.athlete_id == athlete.id, wish.c.due_at <= now)
            .order_by(wish.c.due_at, wish.c.external_id)
        )
        return tuple(self.connection.execute(query).scalars())

    def wishes(self, now: datetime, *, most: int = DUE_AT_ONCE) -> tuple[tuple[int, str], ...]:
        """Athlete's id and external id of wishes that are due, oldest first."""
        query = (
            select(wish.c.athlete_id, wish.c.external_id)
            .where(wish.c.due_at <= now)
            .order_by(wish.c.due_at, wish.c.athlete_id, wish.c.external_id)
            .limit(most)
        )
        return tuple((row.athlete_id, row.external_id) for row in self.connection.execute(query))

    def wished(self, athlete: Athlete) -> int:
        """How many wishes wait for this athlete."""
        query = select(func.count()).where(wish.c.athlete_id == athlete.id)
        number: int = self.connection.execute(query).scalar_one()
        return number

    def fulfil(
        self, athlete: Athlete, external_id: str, *, looked_at: datetime | None = None
    ) -> None:
        """The wish is done; where it was wished again since it was looked at, it stays."""
        where = _this_wish(athlete, external_id)
        if looked_at is not None:
            where += (wish.c.due_at <= looked_at,)
        self.connection.execute(delete(wish).where(*where))

    def retry_wish(self, athlete: Athlete, external_id: str, *, now: datetime, most: int) -> None:
        """Try again later and later, `most` times; what stays undone, polling finds."""
        where = _this_wish(athlete, external_id)
        tries = self.connection.execute(select(wish.c.tries).where(*where)).scalar() or 0
        if tries + 1 >= most:
            self.fulfil(athlete, external_id)
            return
        due_at = now + timedelta(minutes=1 << tries)
        self.connection.execute(update(wish).where(*where).values(tries=tries + 1, due_at=due_at))

    # Webhooks

    def subscription(self) -> Subscription | None:
        row = self.connection.execute(select(subscription)).first()
        return Subscription(row.id, row.callback_url, row.dropped) if row else None

    def subscribed(self, subscription_id: int, callback_url: str, *, now: datetime) -> None:
        self.unsubscribed()
        self.connection.execute(
            insert(subscription).values(
                id=subscription_id, callback_url=callback_url, made_at=now, dropped=0
            )
        )

    def unsubscribed(self) -> None:
        self.connection.execute(delete(subscription))

    def dropped(self, number: int) -> None:
        """Count events that named nobody we know."""
        self.connection.execute(
            update(subscription).values(dropped=subscription.c.dropped + number)
        )

    # Consents

    def use_state(self, state_hash: str, *, now: datetime, forget_before: datetime) -> bool:
        """Mark the state of a consent as used; False where it was before."""
        self.connection.execute(delete(used_state).where(used_state.c.used_at < forget_before))
        query = select(used_state.c.state_hash).where(used_state.c.state_hash == state_hash)
        if self.connection.execute(query).first() is not None:
            return False
        row = {"state_hash": state_hash, "used_at": now}
        self.connection.execute(insert(used_state).values(row))
        return True


def _this_wish(athlete: Athlete, external_id: str) -> tuple[Any, ...]:
    return wish.c.athlete_id == athlete.id, wish.c.external_id == external_id


def _grant(row: Row[Any]) -> KeptGrant:
    fields = {name: getattr(row, name) for name in KeptGrant.__dataclass_fields__}
    return KeptGrant(**fields | {"scopes": frozenset(row.scopes)})
