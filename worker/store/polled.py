"""What the shelves of polled sources share: whose turn it is, where reading stands, what was seen.

Each source has a table of grants and one of activities, whose common columns have the same names.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import Connection, Row, Table, delete, or_, select, update

from worker.model import Athlete, SourceName
from worker.store.tables import DUE_AT_ONCE
from worker.store.upsert import upsert

STANDING = ("read_until", "read_back_to", "looked_back_at", "doubted_at", "failures")


@dataclass(frozen=True, slots=True)
class Seen:
    """An activity as it was last seen: a run, or one that can't be read for a `reason`."""

    external_id: str
    started_at: datetime | None
    payload: str
    reason: str | None = None
    edited: bool = False


@dataclass(frozen=True, slots=True)
class Polled:
    """One grant an athlete, and what was seen with it."""

    connection: Connection
    source: ClassVar[SourceName]
    grants: ClassVar[Table]
    activities: ClassVar[Table]
    seen_as: ClassVar[type[Seen]] = Seen

    # The grant

    def sealed(self) -> Mapping[int, bytes]:
        """What each grant is sealed as, by the athlete's id."""
        query = select(self.grants.c.athlete_id, self.grants.c.sealed)
        return {row.athlete_id: row.sealed for row in self.connection.execute(query)}

    def reseal(self, athlete: Athlete, sealed: bytes) -> None:
        """The same tokens under another key."""
        self._set(athlete, sealed=sealed)

    def died(self, athlete: Athlete, *, version: int, now: datetime) -> bool:
        """The source refuses this grant for good; False where another stands there by now."""
        changed = self.connection.execute(
            update(self.grants)
            .where(self.grants.c.athlete_id == athlete.id, self.grants.c.version == version)
            .values(dead_since=now)
        )
        return changed.rowcount == 1

    # Whose turn it is

    def lease(self, athlete: Athlete, *, now: datetime, until: datetime) -> bool:
        """Take this athlete's grant until then; False where somebody holds it."""
        taken = self.connection.execute(
            update(self.grants)
            .where(
                self.grants.c.athlete_id == athlete.id,
                or_(self.grants.c.leased_until.is_(None), self.grants.c.leased_until <= now),
            )
            .values(leased_until=until)
        )
        return taken.rowcount == 1

    def release(self, athlete: Athlete) -> None:
        self._set(athlete, leased_until=None)

    def due(self, now: datetime, *, most: int = DUE_AT_ONCE) -> tuple[int, ...]:
        """The ids of the athletes to be asked for, those that waited longest first."""
        query = (
            select(self.grants.c.athlete_id)
            .where(self.grants.c.due_at <= now, self.grants.c.dead_since.is_(None))
            .order_by(self.grants.c.due_at, self.grants.c.athlete_id)
            .limit(most)
        )
        return tuple(self.connection.execute(query).scalars())

    def with_history_due(self, until: datetime, *, most: int = DUE_AT_ONCE) -> tuple[int, ...]:
        """The ids of the athletes whose past isn't read back to `until`, the least read first.

        Not of those whose last call failed: a poll that works opens their turn again.
        """
        query = (
            select(self.grants.c.athlete_id)
            .where(
                self.grants.c.read_back_to > until,
                self.grants.c.dead_since.is_(None),
                self.grants.c.failures == 0,
            )
            .order_by(self.grants.c.read_back_to.desc(), self.grants.c.athlete_id)
            .limit(most)
        )
        return tuple(self.connection.execute(query).scalars())

    def standing(self, athlete: Athlete) -> Mapping[str, Any]:
        """Where reading stands, by the names it was kept under; empty without a grant."""
        columns = [self.grants.c[name] for name in STANDING]
        row = self.connection.execute(
            select(*columns).where(self.grants.c.athlete_id == athlete.id)
        ).first()
        return dict(row._mapping) if row else {}  # noqa: SLF001  (SQLAlchemy's public name)

    def keep_standing(self, athlete: Athlete, standing: Mapping[str, Any]) -> None:
        self._set(athlete, **standing)

    def postpone(self, athlete: Athlete, *, until: datetime) -> None:
        self._set(athlete, due_at=until)

    # What was seen

    def seen(self, athlete: Athlete, external_ids: Collection[str]) -> Mapping[str, Seen]:
        query = select(self.activities).where(
            self.activities.c.athlete_id == athlete.id,
            self.activities.c.external_id.in_(list(external_ids)),
        )
        return {row.external_id: self._seen(row) for row in self.connection.execute(query)}

    def keep_seen(self, athlete: Athlete, seen: Sequence[Seen], *, now: datetime) -> None:
        rows = [{**asdict(one), "athlete_id": athlete.id, "seen_at": now} for one in seen]
        upsert(self.connection, self.activities, rows, keys=("athlete_id", "external_id"))

    def forget_seen(self, athlete: Athlete, external_ids: Collection[str]) -> None:
        self.connection.execute(
            delete(self.activities).where(
                self.activities.c.athlete_id == athlete.id,
                self.activities.c.external_id.in_(list(external_ids)),
            )
        )

    def starts(self, athlete: Athlete) -> Mapping[str, datetime]:
        """When each activity that was seen began, by its id."""
        query = select(self.activities.c.external_id, self.activities.c.started_at).where(
            self.activities.c.athlete_id == athlete.id, self.activities.c.started_at.is_not(None)
        )
        return {row.external_id: row.started_at for row in self.connection.execute(query)}

    def with_expired(self, instant: datetime, *, most: int = DUE_AT_ONCE) -> tuple[int, ...]:
        """The ids of the athletes with an activity that is older than it may be kept."""
        query = (
            select(self.activities.c.athlete_id)
            .where(self.activities.c.started_at < instant)
            .order_by(self.activities.c.started_at)
            .limit(most)
        )
        return tuple(dict.fromkeys(self.connection.execute(query).scalars()))

    def unreadable(self, athlete: Athlete) -> tuple[Seen, ...]:
        """What can't be read, each with its reason."""
        query = (
            select(self.activities)
            .where(
                self.activities.c.athlete_id == athlete.id, self.activities.c.reason.is_not(None)
            )
            .order_by(self.activities.c.started_at, self.activities.c.external_id)
        )
        return tuple(map(self._seen, self.connection.execute(query)))

    def begun_before(self, athlete: Athlete, instant: datetime) -> tuple[str, ...]:
        """The ids of the activities that are older than they may be kept."""
        query = select(self.activities.c.external_id).where(
            self.activities.c.athlete_id == athlete.id, self.activities.c.started_at < instant
        )
        return tuple(self.connection.execute(query).scalars())

    def _set(self, athlete: Athlete, **values: Any) -> None:
        self.connection.execute(
            update(self.grants).where(self.grants.c.athlete_id == athlete.id).values(**values)
        )

    def _seen(self, row: Row[Any]) -> Seen:
        kind = self.seen_as
        return kind(**{name: getattr(row, name) for name in kind.__dataclass_fields__})
