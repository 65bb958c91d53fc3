"""The pain diary: the athletes' answers to check-ins."""

from dataclasses import asdict
from datetime import date, datetime
from functools import cache
from typing import Any

from sqlalchemy import Select, bindparam, select

from worker.domain.checkins import CheckIn
from worker.domain.models import Athlete
from worker.store.athletes import Athletes
from worker.store.repository import Repository
from worker.store.tables import checkin


class CheckIns(Repository):
    """The pain diary: one answer a day."""

    def save(self, athlete: Athlete, answer: CheckIn, *, now: datetime) -> None:
        """Save an answer; a second one on the same day replaces the first."""
        self._upsert(checkin, [{**asdict(answer), "athlete_id": athlete.id, "answered_at": now}])
        Athletes(self.connection).plan_changed(athlete, now=now)

    def since(self, athlete: Athlete, day: date) -> tuple[CheckIn, ...]:
        """The answers from `day` on, oldest first."""
        rows = self.connection.execute(_checkins(), {"whose": athlete.id, "since": day})
        return tuple(
            CheckIn(row.day, row.feels, tuple(row.areas), row.level, tuple(row.flags))
            for row in rows
        )

    def all(self, athlete: Athlete) -> tuple[CheckIn, ...]:
        return self.since(athlete, date.min)


@cache
def _checkins() -> Select[Any]:
    theirs = checkin.c.athlete_id == bindparam("whose"), checkin.c.day >= bindparam("since")
    return select(checkin).where(*theirs).order_by(checkin.c.day)
