"""The check-ins' shelf: how it felt, one answer a day."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from worker.domain.checkins import CheckIn
from worker.domain.models import Athlete
from worker.store import tables
from worker.store.upsert import upsert

checkin = tables.checkin


@dataclass(frozen=True, slots=True)
class CheckIns:
    """One athlete's pain diary."""

    connection: Connection

    def keep(self, athlete: Athlete, answer: CheckIn, *, now: datetime) -> None:
        """Keep an answer; a second one of the same day replaces the first."""
        row = {
            "athlete_id": athlete.id,
            "day": answer.day,
            "feels": answer.feels,
            "areas": list(answer.areas),
            "level": answer.level,
            "flags": list(answer.flags),
            "answered_at": now,
        }
        upsert(self.connection, checkin, [row], keys=("athlete_id", "day"))

    def since(self, athlete: Athlete, day: date) -> tuple[CheckIn, ...]:
        """The answers from `day` on, oldest first."""
        query = (
            select(checkin)
            .where(checkin.c.athlete_id == athlete.id, checkin.c.day >= day)
            .order_by(checkin.c.day)
        )
        return tuple(map(_checkin, self.connection.execute(query)))

    def all(self, athlete: Athlete) -> tuple[CheckIn, ...]:
        return self.since(athlete, date.min)


def _checkin(row: Row[Any]) -> CheckIn:
    return CheckIn(row.day, row.feels, tuple(row.areas), row.level, tuple(row.flags))
