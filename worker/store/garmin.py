"""Garmin's shelf: keys, where reading stands, what was seen and whose file is read, the pace.

Keys and tokens come and go sealed; nothing here can open them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal, cast

from sqlalchemy import Connection, Row, Table, delete, func, insert, select, update

from worker.model import Athlete, SourceName
from worker.store import tables
from worker.store.polled import Polled, Seen
from worker.store.tables import DUE_AT_ONCE
from worker.store.upsert import upsert

grant = tables.garmin_grant
activity = tables.garmin_activity
pace = tables.garmin_pace

FileState = Literal["due", "read", "none"]
_ONE = 1


@dataclass(frozen=True, slots=True)
class KeptKey:
    """A key at rest; `version` grows with each token and each connection."""

    sealed: bytes
    key_expires_at: datetime
    version: int
    connected_at: datetime
    dead_since: datetime | None
    due_at: datetime


@dataclass(frozen=True, slots=True)
class SeenFile(Seen):
    """An activity as it was last seen, and how far its original file is.

    `silence` says why nothing may be mailed about what the file changes, or is None.
    """

    file: FileState = "due"
    file_due_at: datetime | None = None
    file_tries: int = 0
    silence: str | None = None


@dataclass(frozen=True, slots=True)
class GarminShelf(Polled):
    """One key an athlete; one pace for all of them."""

    connection: Connection
    source: ClassVar[SourceName] = "garmin"
    grants: ClassVar[Table] = grant
    activities: ClassVar[Table] = activity
    seen_as: ClassVar[type[Seen]] = SeenFile

    # Keys

    def connect(
        self, athlete: Athlete, *, sealed: bytes, key_expires_at: datetime, now: datetime
    ) -> None:
        """Keep a key in place of any other; reading goes on where it stood."""
        before = self.grant(athlete)
        row = {
            "sealed": sealed,
            "key_expires_at": key_expires_at,
            "version": before.version + 1 if before else 1,
            "connected_at": now,
            "dead_since": None,
            "due_at": now,
            "failures": 0,
        }
        if before is not None:
            self._set(athlete, **row)
            return
        self.connection.execute(insert(grant).values(athlete_id=athlete.id, **row))

    def grant(self, athlete: Athlete) -> KeptKey | None:
        row = self.connection.execute(select(grant).where(grant.c.athlete_id == athlete.id)).first()
        return _key(row) if row else None

    def renew(self, athlete: Athlete, *, version: int, sealed: bytes) -> bool:
        """Keep the key with a new token; False where it isn't the same key any more."""
        changed = self.connection.execute(
            update(grant)
            .where(grant.c.athlete_id == athlete.id, grant.c.version == version)
            .values(sealed=sealed, version=version + 1)
        )
        return changed.rowcount == 1

    def forget(self, athlete: Athlete) -> None:
        """The key, and all that only Garmin told of."""
        for table in (grant, activity):
            self.connection.execute(delete(table).where(table.c.athlete_id == athlete.id))

    # Original files

    def kept(self, athlete: Athlete, external_ids: Collection[str]) -> Mapping[str, SeenFile]:
        """As they were last seen, of those that were."""
        return cast("Mapping[str, SeenFile]", self.seen(athlete, external_ids))

    def files_due(self, athlete: Athlete, now: datetime, *, most: int) -> tuple[SeenFile, ...]:
        """Whose file is to be read now, the newest first."""
        query = (
            select(activity)
            .where(
                activity.c.athlete_id == athlete.id,
                activity.c.file == "due",
                activity.c.file_due_at <= now,
            )
            .order_by(activity.c.started_at.desc().nulls_last(), activity.c.external_id.desc())
            .limit(most)
        )
        rows = self.connection.execute(query)
        return tuple(cast("SeenFile", self._seen(row)) for row in rows)

    def files_left(self, athlete: Athlete) -> int:
        """How many files are yet to be read, now or later."""
        query = select(func.count()).where(
            activity.c.athlete_id == athlete.id, activity.c.file == "due"
        )
        number: int = self.connection.execute(query).scalar_one()
        return number

    def with_files_due(self, now: datetime, *, most: int = DUE_AT_ONCE) -> tuple[int, ...]:
        """The ids of the athletes with files to be read now; of none whose last call failed.

        Those whose files wait longest first; `most` so many files are looked at for that.
        """
        query = (
            select(activity.c.athlete_id)
            .join(grant, activity.c.athlete_id == grant.c.athlete_id)
            .where(
                activity.c.file == "due",
                activity.c.file_due_at <= now,
                grant.c.dead_since.is_(None),
                grant.c.failures == 0,
            )
            .order_by(activity.c.file_due_at, activity.c.athlete_id)
            .limit(most)
        )
        return tuple(dict.fromkeys(self.connection.execute(query).scalars()))

    # The pace

    def pace(self) -> Mapping[str, Any]:
        """What is known of it, by the names it was kept under; locked until the end."""
        query = select(pace).with_for_update()
        if self.connection.execute(query).first() is None:
            # Only what is there can be locked: of two that begin at once, one waits here.
            self.keep_pace({"refused": 0})
        row = self.connection.execute(query).one()
        return {name: getattr(row, name) for name in ("free_at", "closed_until", "refused")}

    def keep_pace(self, known: Mapping[str, Any]) -> None:
        upsert(self.connection, pace, [{"id": _ONE, **known}], keys=("id",))


def _key(row: Row[Any]) -> KeptKey:
    return KeptKey(**{name: getattr(row, name) for name in KeptKey.__dataclass_fields__})
