"""The crew's shelf: which processes share this database, and when each was last seen.

Seen by the database's own clock: the machines of a crew needn't agree on the time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Connection, delete, insert, select, type_coerce, update
from sqlalchemy.sql.functions import current_timestamp

from worker.store import tables

crew = tables.crew

Role = Literal["worker", "web"]

_FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class LiveWorker:
    """One process of the crew; `place` says where it runs."""

    name: str
    role: Role
    place: str
    since_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class LiveWorkers:
    """Who is at work. A process that isn't seen for a while counts as dead, and may come back."""

    connection: Connection

    def beat(self, name: str, *, role: Role, place: str) -> None:
        """The process of this name is alive."""
        now = self.now()
        seen = update(crew).where(crew.c.name == name).values(seen_at=now)
        if self.connection.execute(seen).rowcount:
            return
        forgotten = delete(crew).where(crew.c.seen_at < now - _FORGOTTEN_AFTER)
        self.connection.execute(forgotten)
        row = {"name": name, "role": role, "place": place, "since_at": now, "seen_at": now}
        self.connection.execute(insert(crew).values(row))

    def leave(self, name: str) -> None:
        """The process of this name has ended."""
        self.connection.execute(delete(crew).where(crew.c.name == name))

    def living(self, *, within: timedelta) -> Sequence[LiveWorker]:
        """Those seen within that time, the longest serving first."""
        query = select(crew).where(crew.c.seen_at >= self.now() - within).order_by(crew.c.since_at)
        return [
            LiveWorker(row.name, row.role, row.place, row.since_at, row.seen_at)
            for row in self.connection.execute(query)
        ]

    def now(self) -> datetime:
        """The time by the database's clock."""
        clock = type_coerce(current_timestamp(), crew.c.seen_at.type)
        at: datetime = self.connection.execute(select(clock)).scalar_one()
        return at
