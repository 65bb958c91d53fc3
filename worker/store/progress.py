"""The progress shelf: which weeks were told, how each source feels, when each tick last ended."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, func, select, update

from worker.domain.models import Athlete, SourceName
from worker.store import tables
from worker.store.upsert import upsert

RESTORED = "restored"
"""The tick that stands for a restored backup."""


@dataclass(frozen=True, slots=True)
class SourceState:
    """How one source feels for one athlete."""

    state: Literal["ok", "waiting", "failing", "off"]
    last_success_at: datetime | None = None
    last_error: str | None = None
    backlog: int = 0


@dataclass(frozen=True, slots=True)
class Tick:
    """When a piece of the work last ran, and what went wrong with it if it did."""

    at: datetime
    trouble: str | None


@dataclass(frozen=True, slots=True)
class Progress:
    """Small facts about the work itself."""

    connection: Connection

    def week_told(self, athlete: Athlete, week_starts_on: date) -> bool:
        """True where this week's mail was queued, or the week was marked as skipped."""
        table = tables.weekly
        query = select(table.c.state).where(
            table.c.athlete_id == athlete.id, table.c.week_starts_on == week_starts_on
        )
        return self.connection.execute(query).first() is not None

    def untell_after(self, athlete: Athlete, week_starts_on: date) -> None:
        """Forget what a clock that ran ahead has told of weeks that are still to come."""
        table = tables.weekly
        self.connection.execute(
            delete(table).where(
                table.c.athlete_id == athlete.id, table.c.week_starts_on > week_starts_on
            )
        )

    def last_week_told(self, athlete: Athlete) -> date | None:
        table = tables.weekly
        query = select(func.max(table.c.week_starts_on)).where(table.c.athlete_id == athlete.id)
        last: date | None = self.connection.execute(query).scalar_one()
        return last

    def queue_weekly(
        self,
        athlete: Athlete,
        week_starts_on: date,
        *,
        state: Literal["queued", "skipped"],
        outbox_id: int | None = None,
    ) -> None:
        row = {
            "athlete_id": athlete.id,
            "week_starts_on": week_starts_on,
            "state": state,
            "outbox_id": outbox_id,
        }
        upsert(self.connection, tables.weekly, [row], keys=("athlete_id", "week_starts_on"))

    def source(self, athlete: Athlete, source: SourceName, state: SourceState) -> None:
        row = {
            "athlete_id": athlete.id,
            "source": source,
            "state": state.state,
            "last_success_at": state.last_success_at,
            "last_error": state.last_error,
            "backlog": state.backlog,
        }
        if state.state in ("ok", "off"):
            row["told_error"] = None
        upsert(self.connection, tables.source_state, [row], keys=("athlete_id", "source"))

    def untold_troubles(self, athlete: Athlete) -> Mapping[str, str]:
        """What is wrong with each source that fails, where no mail has told the athlete yet."""
        table = tables.source_state
        query = (
            select(table.c.source, table.c.last_error)
            .where(table.c.athlete_id == athlete.id, table.c.state == "failing")
            .where(table.c.last_error.is_distinct_from(table.c.told_error))
            .order_by(table.c.source)
        )
        return {row.source: row.last_error for row in self.connection.execute(query)}

    def tell_troubles(self, athlete: Athlete) -> None:
        """Mark what is wrong with the athlete's sources as told."""
        table = tables.source_state
        self.connection.execute(
            update(table)
            .where(table.c.athlete_id == athlete.id, table.c.state == "failing")
            .values(told_error=table.c.last_error)
        )

    def backlog(self, athlete: Athlete, source: SourceName, left: int) -> None:
        """How much of a source that has a state is still to come."""
        table = tables.source_state
        self.connection.execute(
            update(table)
            .where(table.c.athlete_id == athlete.id, table.c.source == source)
            .values(backlog=left)
        )

    def sources(self, athlete: Athlete) -> Mapping[str, SourceState]:
        table = tables.source_state
        query = select(table).where(table.c.athlete_id == athlete.id).order_by(table.c.source)
        return {row.source: _state(row) for row in self.connection.execute(query)}

    def failing(self, *, most: int | None = None) -> tuple[tuple[str, str, SourceState], ...]:
        """The sources that fail: whose, which, how; all, or at most so many."""
        table, athlete = tables.source_state, tables.athlete
        query = (
            select(athlete.c.name, table)
            .join(athlete, athlete.c.id == table.c.athlete_id)
            .where(table.c.state == "failing")
            .order_by(athlete.c.name, table.c.source)
            .limit(most)
        )
        return tuple((row.name, row.source, _state(row)) for row in self.connection.execute(query))

    def ticked(self, name: str, *, at: datetime, trouble: str | None = None) -> None:
        row = {"name": name, "at": at, "trouble": trouble}
        upsert(self.connection, tables.tick, [row], keys=("name",))

    def clear_ticks(self, *, but: Collection[str]) -> None:
        """Forget how the pieces of the work ended under an earlier worker."""
        self.connection.execute(delete(tables.tick).where(tables.tick.c.name.not_in(but)))

    def restored_at(self) -> datetime | None:
        """When a backup was restored, if ever."""
        restored = self.tick(RESTORED)
        return restored.at if restored else None

    def tick(self, name: str) -> Tick | None:
        row = self.connection.execute(select(tables.tick).where(tables.tick.c.name == name)).first()
        return Tick(row.at, row.trouble) if row else None

    def ticks(self) -> Mapping[str, Tick]:
        query = select(tables.tick).order_by(tables.tick.c.name)
        return {row.name: Tick(row.at, row.trouble) for row in self.connection.execute(query)}


def _state(row: Row[Any]) -> SourceState:
    return SourceState(row.state, row.last_success_at, row.last_error, row.backlog)
