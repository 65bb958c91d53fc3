"""The athletes' shelf: who runs, and when their weekly mail is due."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from worker.domain.models import Athlete, MailKind, Race, WeeklyHour, folder_name
from worker.domain.weeks import WeeklyDue, last_weekly_due, next_weekly_due
from worker.store.progress import Progress
from worker.store.tables import DUE_AT_ONCE, departure
from worker.store.tables import athlete as table

# A week, and a zone that was left for one at the other end of the world.
_LONGEST_WAIT = timedelta(days=9)
_HALF_A_WEEK = timedelta(days=3)
_WEEK = timedelta(days=7)
# Who changes the first day of their week: a week that shares most of its days with one told is it.


class NameTakenError(ValueError):
    """An athlete of this name exists already."""


@dataclass(frozen=True, slots=True)
class Athletes:
    """Athletes by name and id. Names are unique, whatever their case."""

    connection: Connection

    def add(self, athlete: Athlete) -> Athlete:
        """Keep a new athlete (its `id` is ignored); raises `NameTakenError`."""
        taken = self.named(athlete.name)
        if taken is not None:
            raise NameTakenError(f"there is an athlete called {taken.name} already")
        row = self.connection.execute(
            insert(table).values(**_columns(athlete, after=athlete.added_at)).returning(table)
        )
        return _athlete(row.one())

    def change(self, athlete: Athlete, *, now: datetime) -> None:
        """Keep an athlete's new settings; the weekly mail is due by them from now on.

        A change of settings loses no mail: one of which the hour passed untold is due at once, be
        it that nobody was at work or that the athlete moved to where the hour has passed.
        """
        columns = dict(_columns(athlete, after=now))
        due = last_weekly_due(athlete, now)
        last = Progress(self.connection).last_week_told(athlete)
        untold = last is None or due.week_starts_on - last > _HALF_A_WEEK
        if untold and due.due_at > athlete.added_at:
            columns["next_weekly_at"] = due.due_at
        try:
            self.connection.execute(update(table).where(table.c.id == athlete.id).values(**columns))
        except IntegrityError as error:
            raise NameTakenError(f"there is an athlete called {athlete.name} already") from error

    def want(self, athlete: Athlete, wants: Collection[MailKind]) -> None:
        """Keep which mails the athlete wants, and touch nothing else."""
        self._set(athlete, wants=sorted(wants))

    def hurt_in(self, athlete: Athlete, areas: Sequence[str]) -> None:
        """Keep where it hurts, for the next routine, and touch nothing else."""
        self._set(athlete, pain=list(areas))

    def close_links(self, athlete: Athlete, *, now: datetime) -> datetime:
        """Links that age and were made until now open nothing from now on.

        Gives the instant that a fresh one is dated by: the next second, as links tell no parts.
        """
        begins_at = now.replace(microsecond=0) + timedelta(seconds=1)
        self._set(athlete, links_from=begins_at)
        return begins_at

    def links_from(self, athlete: Athlete) -> datetime | None:
        """When the oldest link that may open something was made; None where none was closed."""
        query = select(table.c.links_from).where(table.c.id == athlete.id)
        at: datetime | None = self.connection.execute(query).scalar_one_or_none()
        return at

    def remove(self, athlete: Athlete) -> None:
        """Take an athlete out, and everything that hangs on the row."""
        self.connection.execute(delete(table).where(table.c.id == athlete.id))
        grows = update(departure).values(number=departure.c.number + 1)
        if not self.connection.execute(grows).rowcount:
            self.connection.execute(insert(departure).values(id=1, number=1))

    def departed(self) -> int:
        """How many athletes were ever taken out."""
        return self.connection.execute(select(departure.c.number)).scalar() or 0

    def all(self) -> tuple[Athlete, ...]:
        return tuple(map(_athlete, self.connection.execute(select(table).order_by(table.c.id))))

    def by_id(self, athlete_id: int) -> Athlete | None:
        row = self.connection.execute(select(table).where(table.c.id == athlete_id)).first()
        return _athlete(row) if row else None

    def by_ids(self, ids: Sequence[int]) -> tuple[Athlete, ...]:
        """The athletes with these ids, in this order; without those that have gone."""
        rows = self.connection.execute(select(table).where(table.c.id.in_(ids)))
        found = {row.id: _athlete(row) for row in rows}
        return tuple(found[one] for one in ids if one in found)

    def named(self, name: str) -> Athlete | None:
        """The athlete of this name, else the only one whose name differs in how it is written."""
        exact = self.connection.execute(select(table).where(table.c.name == name)).first()
        if exact:
            return _athlete(exact)
        alike = self.of_folders([name])
        return alike[0] if len(alike) == 1 else None

    def of_folders(self, names: Collection[str]) -> tuple[Athlete, ...]:
        """The athletes whose folders have these names, whatever their case."""
        folders = sorted({folder_name(name) for name in names})
        query = select(table).where(table.c.folder.in_(folders)).order_by(table.c.id)
        return tuple(map(_athlete, self.connection.execute(query)))

    def first(self, most: int) -> tuple[Athlete, ...]:
        """The first athletes that were added; whether there's one, or several, shows in two."""
        query = select(table).order_by(table.c.id).limit(most)
        return tuple(map(_athlete, self.connection.execute(query)))

    def hold(self, athlete: Athlete) -> None:
        """Let nobody else decide on this athlete until the end of the transaction.

        Two workers may get at the same work when one of them was given up too early. On SQLite the
        transaction itself is such a lock.
        """
        held = select(table.c.id).where(table.c.id == athlete.id)
        self.connection.execute(held.with_for_update(key_share=True))

    def count(self) -> int:
        return self.connection.execute(select(func.count()).select_from(table)).scalar_one()

    def with_weekly_due(self, now: datetime, *, most: int = DUE_AT_ONCE) -> tuple[Athlete, ...]:
        """Whose mail is due; and who was put off beyond a week by a clock that ran ahead."""
        at = table.c.next_weekly_at
        # Two questions: one that asks for either can't follow the index to the first of them.
        due = select(table).where(at <= now).order_by(at).limit(most)
        ahead = select(table).where(at > now + _LONGEST_WAIT).order_by(at).limit(most)
        found = [row for query in (due, ahead) for row in self.connection.execute(query)]
        return tuple(map(_athlete, found[:most]))

    def next_weekly_at(self, athlete: Athlete) -> datetime:
        due = select(table.c.next_weekly_at).where(table.c.id == athlete.id)
        at: datetime = self.connection.execute(due).scalar_one()
        return at

    def weekly_done(self, athlete: Athlete, *, next_at: datetime) -> None:
        self._set(athlete, next_weekly_at=next_at)

    def _set(self, athlete: Athlete, **values: Any) -> None:
        self.connection.execute(update(table).where(table.c.id == athlete.id).values(**values))


def _columns(athlete: Athlete, *, after: datetime) -> Mapping[str, Any]:
    race = athlete.race
    return {
        "name": athlete.name,
        "folder": folder_name(athlete.name),
        "email": athlete.email,
        "added_at": athlete.added_at,
        "timezone": athlete.timezone,
        "units": athlete.units,
        "clock": athlete.clock,
        "week_starts": athlete.week_starts,
        "weekly_weekday": athlete.weekly.weekday,
        "weekly_at": athlete.weekly.at,
        "pain": list(athlete.pain),
        "race_name": race.name if race else None,
        "race_on": race.day if race else None,
        "race_m": race.distance_m if race else None,
        "wants": sorted(athlete.wants),
        "next_weekly_at": _first_due(athlete, after=after).due_at,
    }


def _first_due(athlete: Athlete, *, after: datetime) -> WeeklyDue:
    """The next weekly mail; a week that ended before the athlete was added has none."""
    upcoming = next_weekly_due(athlete, after)
    added_on = athlete.added_at.astimezone(ZoneInfo(athlete.timezone)).date()
    if upcoming.week_starts_on + _WEEK <= added_on:
        return next_weekly_due(athlete, upcoming.due_at)
    return upcoming


def _athlete(row: Row[Any]) -> Athlete:
    race = Race(row.race_name, row.race_on, row.race_m) if row.race_on else None
    return Athlete(
        id=row.id,
        name=row.name,
        email=row.email,
        added_at=row.added_at,
        timezone=row.timezone,
        units=row.units,
        week_starts=row.week_starts,
        weekly=WeeklyHour(row.weekly_weekday, row.weekly_at),
        pain=tuple(row.pain),
        race=race,
        wants=frozenset(row.wants),
        clock=row.clock,
    )
