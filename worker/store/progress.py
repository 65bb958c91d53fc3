"""The state of the work: weeks done, the state of sources, when each job last ended, workers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, Literal

from sqlalchemy import Date, Select, bindparam, func, insert, select, type_coerce
from sqlalchemy.sql.functions import current_timestamp

from worker.domain.models import Athlete, Race, SourceName
from worker.store import tables
from worker.store.repository import Repository, from_row

RESTORED = "restored"
"""The tick that records a restored backup."""

MOVING = "moving"
"""The tick in a target of `move-to` until the move is complete; its trouble names the source."""

DELETED = "deleted"
"""The tick of the last deletion of rows that may have left traces in the file."""

FORGOTTEN = "forgotten"
"""The tick of the last removal of an athlete, who is still in copies from before."""

VACUUMED = "vacuumed"
"""The tick of the last rewrite of the database."""

Role = Literal["worker", "web"]

_WEEKLY, _STATE, _TICK, _WORKER = tables.weekly, tables.source_state, tables.tick, tables.crew
_FORGOTTEN_AFTER = timedelta(days=1)

_IS_TOLD = (_STATE.c.state == "failing") | (
    (_STATE.c.state == "ok") & _STATE.c.last_error.is_not(None)
)


@dataclass(frozen=True, slots=True)
class SourceState:
    """The state of one source for one athlete; `backlog` is how much is left to read.

    With the state "ok", `last_error` says what the source doesn't show.
    """

    state: Literal["ok", "waiting", "failing", "off"]
    last_success_at: datetime | None = None
    last_error: str | None = None
    backlog: int = 0


@dataclass(frozen=True, slots=True)
class Tick:
    """When a job last ran, and what went wrong with it if it did."""

    at: datetime
    trouble: str | None


@dataclass(frozen=True, slots=True)
class LiveWorker:
    """One process that shares the database; `place` says where it runs."""

    name: str
    role: Role
    place: str
    since_at: datetime
    seen_at: datetime


class Progress(Repository):
    """Weekly mails done, states of sources, ticks."""

    # Weekly mails

    def last_week(self, athlete: Athlete) -> date | None:
        """The latest week that was queued or skipped."""
        query = select(func.max(_WEEKLY.c.week_starts_on))
        last: date | None = self._value(query.where(_WEEKLY.c.athlete_id == athlete.id))
        return last

    def save_week(
        self,
        athlete: Athlete,
        week_starts_on: date,
        *,
        state: Literal["queued", "skipped"],
        outbox_id: int | None = None,
    ) -> None:
        """Save the result of a week's mail; a queued mail mentions the athlete's race."""
        race = athlete.race if state == "queued" else None
        row = {
            "athlete_id": athlete.id,
            "week_starts_on": week_starts_on,
            "state": state,
            "outbox_id": outbox_id,
            "race_on": race.day if race else None,
            "race_m": race.distance_m if race else None,
        }
        self._upsert(_WEEKLY, [row])

    def weeks_from(self, athlete: Athlete, week_starts_on: date) -> Mapping[date, Race | None]:
        """The weeks marked from this one on, and the last one before it.

        Each comes with the race that its mail mentioned (no name).
        """
        rows = self.connection.execute(
            _weeks_from(), {"whose": athlete.id, "first": week_starts_on}
        )
        return {
            row.week_starts_on: None if row.race_on is None else Race("", row.race_on, row.race_m)
            for row in rows
        }

    def race_told(self, athlete: Athlete, week_starts_on: date) -> Race | None:
        """The race that this week's mail mentioned, without its name; None if it mentioned none."""
        query = select(_WEEKLY.c.race_on, _WEEKLY.c.race_m).where(
            _WEEKLY.c.athlete_id == athlete.id, _WEEKLY.c.week_starts_on == week_starts_on
        )
        for row in self._rows(query):
            if row.race_on is not None:
                return Race("", row.race_on, row.race_m)
        return None

    def forget_weeks_after(self, athlete: Athlete, week_starts_on: date) -> tuple[date, ...]:
        """Delete future weeks that were marked while the clock ran ahead; returns them."""
        after = _WEEKLY.c.athlete_id == athlete.id, _WEEKLY.c.week_starts_on > week_starts_on
        weeks = self._values(select(_WEEKLY.c.week_starts_on).where(*after))
        if weeks:
            self._delete(_WEEKLY, *after)
        return weeks

    # Sources

    def save_source(self, athlete: Athlete, source: SourceName, state: SourceState) -> None:
        """Save the state of a source."""
        row = {"athlete_id": athlete.id, "source": source, **asdict(state)}
        if state.state in ("ok", "off") and state.last_error is None:
            row["told_error"] = None
        self._upsert(_STATE, [row])

    def sources_and_news(
        self, athlete: Athlete
    ) -> tuple[Mapping[str, SourceState], Mapping[str, str]]:
        """The state of each source, and the errors that no weekly mail has reported yet.

        These are errors of failing sources, and what working sources don't show.
        """
        rows = self.connection.execute(_states(), {"whose": athlete.id}).all()
        states = {row.source: from_row(SourceState, row) for row in rows}
        news = {
            row.source: row.last_error
            for row in rows
            if row.last_error != row.told_error
            and (row.state == "failing" or (row.state == "ok" and row.last_error is not None))
        }
        return states, news

    def mark_errors_notified(self, athlete: Athlete) -> None:
        """Save that a mail has reported the errors of the athlete's sources."""
        theirs = _STATE.c.athlete_id == athlete.id
        self._update(_STATE, theirs, _IS_TOLD, told_error=_STATE.c.last_error)

    def save_backlog(self, athlete: Athlete, source: SourceName, left: int) -> None:
        """Save how much of a source is left to read, if it has a state."""
        self._update(
            _STATE, _STATE.c.athlete_id == athlete.id, _STATE.c.source == source, backlog=left
        )

    def sources(self, athlete: Athlete) -> Mapping[str, SourceState]:
        return self.sources_and_news(athlete)[0]

    def failing(self, *, most: int | None = None) -> tuple[tuple[str, str, SourceState], ...]:
        """The failing sources: athlete, source and state; all, or up to a limit."""
        name = tables.athlete.c.name
        query = (
            select(name, _STATE)
            .join(tables.athlete, tables.athlete.c.id == _STATE.c.athlete_id)
            .where(_STATE.c.state == "failing")
            .order_by(name, _STATE.c.source)
            .limit(most)
        )
        return tuple(
            (row.name, row.source, from_row(SourceState, row)) for row in self._rows(query)
        )

    # Ticks

    def ticked(self, name: str, *, at: datetime, trouble: str | None = None) -> None:
        """Save when a job ended, and with which trouble."""
        self._upsert(_TICK, [{"name": name, "at": at, "trouble": trouble}])

    def clear_ticks(self, *, but: Collection[str]) -> None:
        """Delete the ticks of an earlier worker, except those in `but`."""
        self._delete(_TICK, _TICK.c.name.not_in(but))

    def restored_at(self) -> datetime | None:
        """When a backup was restored, if ever."""
        restored = self.tick(RESTORED)
        return restored.at if restored else None

    def tick(self, name: str) -> Tick | None:
        return self.ticks(name).get(name)

    def ticks(self, *names: str) -> Mapping[str, Tick]:
        """The ticks with these names, or all if none are given, by name."""
        rows = self.connection.execute(_ticks(named=bool(names)), {"names": names})
        return {row.name: from_row(Tick, row) for row in rows}


# Frequent statements, built once


@cache
def _weeks_from() -> Select[Any]:
    theirs, first = _WEEKLY.c.athlete_id == bindparam("whose"), bindparam("first", type_=Date)
    day = _WEEKLY.c.week_starts_on
    last_before = select(func.max(day)).where(theirs, day < first).scalar_subquery()
    query = select(day, _WEEKLY.c.race_on, _WEEKLY.c.race_m)
    return query.where(theirs, day >= func.coalesce(last_before, first))


@cache
def _states() -> Select[Any]:
    theirs = _STATE.c.athlete_id == bindparam("whose")
    return select(_STATE).where(theirs).order_by(_STATE.c.source)


@cache
def _ticks(*, named: bool) -> Select[Any]:
    query = select(_TICK).order_by(_TICK.c.name)
    return query.where(_TICK.c.name.in_(bindparam("names", expanding=True))) if named else query


class LiveWorkers(Repository):
    """The processes that share this database. One that isn't seen for a while counts as dead.

    Times are by the database's clock, because the clocks of the machines may differ.
    """

    def beat(self, name: str, *, role: Role, place: str) -> datetime:
        """Save that a process is alive; returns the time by the database's clock."""
        now = self.now()
        if self._update(_WORKER, _WORKER.c.name == name, seen_at=now):
            return now
        self._delete(_WORKER, _WORKER.c.seen_at < now - _FORGOTTEN_AFTER)
        row = {"name": name, "role": role, "place": place, "since_at": now, "seen_at": now}
        self.connection.execute(insert(_WORKER).values(row))
        return now

    def leave(self, name: str) -> None:
        """Save that a process has ended."""
        self._delete(_WORKER, _WORKER.c.name == name)

    def living(self, *, within: timedelta) -> Sequence[LiveWorker]:
        """The processes seen within this time, longest running first."""
        seen = _WORKER.c.seen_at >= self.now() - within
        query = select(_WORKER).where(seen).order_by(_WORKER.c.since_at)
        return [from_row(LiveWorker, row) for row in self._rows(query)]

    def now(self) -> datetime:
        """The time by the database's clock."""
        now: datetime = self._value(
            select(type_coerce(current_timestamp(), _WORKER.c.seen_at.type))
        )
        return now
