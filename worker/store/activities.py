"""The repository of services' activities: what was seen, and how far each original file is."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, func, literal_column, select
from sqlalchemy.sql.elements import ColumnElement

from worker.domain.models import Athlete, SourceName
from worker.store import tables
from worker.store.tables import DUE_AT_ONCE
from worker.store.upsert import upsert

activity = tables.source_activity

FileState = Literal["due", "read", "none"]
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
class ActivityRows:
    """The activities of one service."""

    connection: Connection
    source: SourceName

    def seen(self, athlete: Athlete, external_ids: Collection[str]) -> Mapping[str, SeenActivity]:
        """As they were last seen, of those that were."""
        query = select(activity).where(
            *self._seen_by(athlete), activity.c.external_id.in_(list(external_ids))
        )
        return {row.external_id: _seen(row) for row in self.connection.execute(query)}

    def save_seen(self, athlete: Athlete, seen: Sequence[SeenActivity], *, now: datetime) -> None:
        rows = [
            {**asdict(one), "athlete_id": athlete.id, "source": self.source, "seen_at": now}
            for one in seen
        ]
        upsert(self.connection, activity, rows, keys=("athlete_id", "source", "external_id"))

    def forget_seen(self, athlete: Athlete, external_ids: Collection[str]) -> None:
        self.connection.execute(
            delete(activity).where(
                *self._seen_by(athlete), activity.c.external_id.in_(list(external_ids))
            )
        )

    def starts(self, athlete: Athlete) -> Mapping[str, datetime]:
        """When each activity that was seen began, by its id."""
        query = select(activity.c.external_id, activity.c.started_at).where(
            *self._seen_by(athlete), activity.c.started_at.is_not(None)
        )
        return {row.external_id: row.started_at for row in self.connection.execute(query)}

    def unreadable(self, athlete: Athlete) -> tuple[SeenActivity, ...]:
        """What can't be read, each with its reason."""
        query = (
            select(activity)
            .where(*self._seen_by(athlete), activity.c.reason.is_not(None))
            .order_by(activity.c.started_at, activity.c.external_id)
        )
        return tuple(map(_seen, self.connection.execute(query)))

    def with_expired(self, instant: datetime, *, most: int = DUE_AT_ONCE) -> tuple[int, ...]:
        """The ids of the athletes with an activity that is older than it may be kept."""
        query = (
            select(activity.c.athlete_id)
            .where(self._is(activity), activity.c.started_at < instant)
            .order_by(activity.c.started_at)
            .limit(most)
        )
        return tuple(dict.fromkeys(self.connection.execute(query).scalars()))

    def begun_before(self, athlete: Athlete, instant: datetime) -> tuple[str, ...]:
        """The ids of the activities that are older than they may be kept."""
        query = select(activity.c.external_id).where(
            *self._seen_by(athlete), activity.c.started_at < instant
        )
        return tuple(self.connection.execute(query).scalars())

    # Original files

    def files_due(self, athlete: Athlete, now: datetime, *, most: int) -> tuple[SeenActivity, ...]:
        """Whose file is to be read now, the newest first."""
        query = (
            select(activity)
            .where(*self._seen_by(athlete), activity.c.file == _DUE, activity.c.file_due_at <= now)
            .order_by(activity.c.started_at.desc().nulls_last(), activity.c.external_id.desc())
            .limit(most)
        )
        return tuple(map(_seen, self.connection.execute(query)))

    def files_left(self, athlete: Athlete) -> int:
        """How many files are yet to be read, now or later."""
        query = select(func.count()).where(*self._seen_by(athlete), activity.c.file == _DUE)
        number: int = self.connection.execute(query).scalar_one()
        return number

    def with_files_due(self, now: datetime, *, most: int = DUE_AT_ONCE) -> tuple[int, ...]:
        """The ids of the athletes with files to be read now; of none whose last call failed.

        Those whose files wait longest first; `most` so many files are looked at for that.
        """
        credential = tables.source_credential
        query = (
            select(activity.c.athlete_id)
            .join(
                credential,
                (activity.c.athlete_id == credential.c.athlete_id)
                & (activity.c.source == credential.c.source),
            )
            .where(
                self._is(activity),
                activity.c.file == _DUE,
                activity.c.file_due_at <= now,
                credential.c.revoked_at.is_(None),
                credential.c.failures == 0,
            )
            .order_by(activity.c.file_due_at, activity.c.athlete_id)
            .limit(most)
        )
        return tuple(dict.fromkeys(self.connection.execute(query).scalars()))

    def _is(self, table: Any) -> ColumnElement[bool]:
        mine: ColumnElement[bool] = table.c.source == self.source
        return mine

    def _seen_by(self, athlete: Athlete) -> tuple[ColumnElement[bool], ...]:
        return activity.c.athlete_id == athlete.id, self._is(activity)


def _seen(row: Row[Any]) -> SeenActivity:
    return SeenActivity(**{name: getattr(row, name) for name in SeenActivity.__dataclass_fields__})
