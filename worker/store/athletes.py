"""The athletes, and when their weekly mail is due."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sqlalchemy import Row, Select, bindparam, func, insert, select, true
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.elements import ColumnElement

from worker.domain.models import Athlete, MailKind, Race, WeeklyHour, folder_name
from worker.domain.weeks import NEARLY_THE_SAME, WeeklyDue, last_weekly_due, next_weekly_due
from worker.store.repository import Repository
from worker.store.tables import DUE_AT_ONCE, EARLY, departure, outbox, recording
from worker.store.tables import athlete as table

if TYPE_CHECKING:
    from worker.links import Link

# A week, and a move between the time zones that are furthest apart.
_LONGEST_WAIT = timedelta(days=9)
_WEEK = timedelta(days=7)
_SECOND = timedelta(seconds=1)


class NameTakenError(ValueError):
    """An athlete with this name exists already."""


class Athletes(Repository):
    """Athletes by name and id. Names are unique, whatever their case."""

    def add(self, athlete: Athlete) -> Athlete:
        """Save a new athlete (its ids are ignored); raises `NameTakenError`."""
        taken = self.named(athlete.name)
        if taken is not None:
            raise NameTakenError(f"there is an athlete called {taken.name} already")
        row = self.connection.execute(
            insert(table).values(**_columns(athlete, after=athlete.added_at)).returning(table)
        )
        return _athlete(row.one())

    def change(self, athlete: Athlete, *, now: datetime) -> None:
        """Save an athlete's new settings; the weekly mail is due by them from now on.

        A change of settings loses no mail. A mail whose hour has passed is due at once, whether no
        worker was running or the athlete moved to a zone where the hour has passed.
        """
        from worker.store.progress import Progress

        columns = _columns(athlete, after=now)
        due = last_weekly_due(athlete, now)
        last = Progress(self.connection).last_week(athlete)
        missed = last is None or due.week_starts_on - last > NEARLY_THE_SAME
        if missed and due.due_at > athlete.added_at:
            columns["next_weekly_at"] = due.due_at
        try:
            self._set(athlete, **columns)
        except IntegrityError as error:
            raise NameTakenError(f"there is an athlete called {athlete.name} already") from error
        self.plan_changed(athlete, now=now)

    def save_wants(self, athlete: Athlete, wants: Collection[MailKind]) -> None:
        """Save which mails the athlete wants, and nothing else."""
        self._set(athlete, wants=sorted(wants))

    def save_language(self, athlete: Athlete, language: str) -> None:
        """Save which language the athlete wants, and nothing else."""
        self._set(athlete, language=language)

    def save_email(self, athlete: Athlete, address: str) -> None:
        """Save the athlete's mail address, and nothing else."""
        self._set(athlete, email=address)

    def save_name(self, athlete: Athlete, name: str) -> None:
        """Save another name, and nothing else; raises `NameTakenError`."""
        try:
            self._set(athlete, name=name, folder=folder_name(name))
        except IntegrityError as error:
            raise NameTakenError(f"there is an athlete called {name} already") from error

    def save_pain(self, athlete: Athlete, areas: Sequence[str]) -> None:
        """Save where it hurts, for the next routine, and nothing else."""
        self._set(athlete, pain=list(areas))

    def pause(self, athlete: Athlete, *, since: datetime | None) -> None:
        """Save since when no mail goes to the athlete; None: mails go out again."""
        self._set(athlete, paused_at=since)

    def close_links(self, athlete: Athlete | None, *, now: datetime) -> datetime:
        """Close the existing links of one athlete or of everybody.

        Returns the instant from which new links are valid: the next full second.
        """
        begins_at = now.replace(microsecond=0) + _SECOND
        whose = table.c.id == athlete.id if athlete else true()
        self._update(table, whose, links_from=begins_at)
        return begins_at

    def close_calendar(self, athlete: Athlete, *, now: datetime) -> None:
        """Close the existing links to the athlete's calendar."""
        self._set(athlete, calendar_from=now.replace(microsecond=0) + _SECOND)

    def calendar_from(self, athlete: Athlete) -> datetime:
        """Since when links to the athlete's calendar are valid; a link with this time is stable."""
        query = select(table.c.added_at, table.c.links_from, table.c.calendar_from)
        row = self.connection.execute(query.where(table.c.id == athlete.id)).one()
        since: datetime = max(at for at in row if at is not None)
        return since

    def plan_changed(self, athlete: Athlete, *, now: datetime) -> None:
        """Save that the inputs of the plan have changed; the saved time never goes back.

        Not needed for recordings, whose own time of saving shows it.
        """
        before = table.c.changed_at.is_(None) | (table.c.changed_at < now)
        self._update(table, table.c.id == athlete.id, before, changed_at=now)

    def plan_changed_at(self, athlete: Athlete) -> datetime:
        """When the inputs of the plan last changed, as far as known."""
        saved = select(func.max(recording.c.saved_at)).where(recording.c.athlete_id == athlete.id)
        columns = table.c.added_at, table.c.changed_at, saved.scalar_subquery()
        row = self.connection.execute(select(*columns).where(table.c.id == athlete.id)).one()
        changed_at: datetime = max(at for at in row if at is not None)
        return changed_at

    def of_link(self, link: "Link", *, calendar: bool = False) -> tuple[Athlete, bool] | None:
        """The athlete of a link, and whether it was closed since; None if the athlete is gone.

        Links to the `calendar` can also be closed separately, so they are only valid with a time.
        A link with an `id` is accepted only for athletes from before `link_id` was introduced, and
        only if it is newer than the athlete: an older database may have used the number for
        another one.
        """
        has_id = isinstance(link.athlete, int)
        whose = table.c.id == link.athlete if has_id else table.c.link_id == link.athlete
        row = self.connection.execute(select(table).where(whose)).one_or_none()
        at = link.signed_at
        if row is None:
            return None
        if has_id and (not row.links_by_number or (at and at + _SECOND <= row.added_at)):
            return None
        closed = [row.links_from, row.calendar_from if calendar else None]
        is_closed = any(until is not None and (at is None or at < until) for until in closed)
        is_closed = is_closed or (calendar and at is None)
        return _athlete(row), is_closed

    def remove(self, athlete: Athlete) -> None:
        """Delete an athlete, and all rows that refer to the athlete."""
        self._delete(table, table.c.id == athlete.id)
        if not self._update(departure, number=departure.c.number + 1):
            self.connection.execute(insert(departure).values(id=1, number=1))

    def departed(self) -> int:
        """How many athletes were ever deleted."""
        return self._value(select(departure.c.number)) or 0

    def all(self) -> tuple[Athlete, ...]:
        return self._select()

    def by_link_id(self, link_id: str) -> Athlete | None:
        """The athlete with this id in links."""
        found = self._select(table.c.link_id == link_id)
        return found[0] if found else None

    def by_id(self, athlete_id: int) -> Athlete | None:
        found = self._select(table.c.id == athlete_id)
        return found[0] if found else None

    def by_ids(self, ids: Sequence[int]) -> tuple[Athlete, ...]:
        """The athletes with these ids that exist, in this order."""
        found = {athlete.id: athlete for athlete in self._select(table.c.id.in_(ids))}
        return tuple(found[one] for one in ids if one in found)

    def named(self, name: str) -> Athlete | None:
        """The athlete of this name, else the only one whose name differs only in spelling."""
        if exact := self._select(table.c.name == name):
            return exact[0]
        alike = self.of_folders([name])
        return alike[0] if len(alike) == 1 else None

    def of_folders(self, names: Collection[str]) -> tuple[Athlete, ...]:
        """The athletes whose folders have these names, whatever their case."""
        return self._select(table.c.folder.in_(sorted({folder_name(name) for name in names})))

    def first(self, most: int) -> tuple[Athlete, ...]:
        """The athletes that were added first, up to `most`."""
        return self._select(most=most)

    def usual_timezone(self) -> str:
        """The time zone of most athletes; UTC if there are none."""
        query = select(table.c.timezone).group_by(table.c.timezone)
        zone: str | None = self._value(
            query.order_by(func.count().desc(), table.c.timezone).limit(1)
        )
        return zone or "UTC"

    def hold(self, athlete: Athlete) -> None:
        """Lock the athlete's row until the end of the transaction.

        Two workers may do the same job if one was declared dead too early. On SQLite, the
        transaction itself is such a lock.
        """
        self.connection.execute(_holding(), {"athlete_id": athlete.id})

    def count(self) -> int:
        number: int = self._value(select(func.count()).select_from(table))
        return number

    def with_weekly_due(self, now: datetime, *, most: int = DUE_AT_ONCE) -> tuple[Athlete, ...]:
        """Athletes whose mail is due, or was scheduled too late while the clock ran ahead."""
        at = table.c.next_weekly_at
        # Separate queries, because one query for all cases couldn't use the index in order.
        due = self._select(at <= now, by=at, most=most)
        ahead = self._select(at > now + _LONGEST_WAIT, by=at, most=most)
        told = select(outbox.c.athlete_id).where(
            outbox.c.athlete_id == table.c.id,
            outbox.c.kind == "weekly",
            outbox.c.created_at > now + EARLY,
        )
        early = self._select(at > now + _WEEK, told.exists(), by=at, most=most)
        found = {athlete.id: athlete for athlete in (*due, *ahead, *early)}
        return tuple(found.values())[:most]

    def next_weekly_at(self, athlete: Athlete) -> datetime:
        at: datetime = self._value(select(table.c.next_weekly_at).where(table.c.id == athlete.id))
        return at

    def weekly_done(self, athlete: Athlete, *, next_at: datetime) -> None:
        self._change_by(table, {"id": athlete.id}, next_weekly_at=next_at)

    def _set(self, athlete: Athlete, **values: Any) -> None:
        self._update(table, table.c.id == athlete.id, **values)

    def _select(
        self,
        *where: ColumnElement[bool],
        by: ColumnElement[Any] = table.c.id,
        most: int | None = None,
    ) -> tuple[Athlete, ...]:
        query = select(table).where(*where).order_by(by).limit(most)
        return tuple(map(_athlete, self._rows(query)))


@cache
def _holding() -> Select[Any]:
    """The statement of `Athletes.hold`."""
    held = select(table.c.id).where(table.c.id == bindparam("athlete_id"))
    return held.with_for_update(key_share=True)


_PLAIN = (
    "name", "email", "added_at", "timezone", "units", "clock", "language", "week_starts",
)  # fmt: skip
"""The fields that have a column of the same name and type."""


def _columns(athlete: Athlete, *, after: datetime) -> dict[str, Any]:
    race = athlete.race
    return {
        **{name: getattr(athlete, name) for name in _PLAIN},
        "folder": folder_name(athlete.name),
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
        **{name: getattr(row, name) for name in ("id", "link_id", *_PLAIN)},
        weekly=WeeklyHour(row.weekly_weekday, row.weekly_at),
        pain=tuple(row.pain),
        race=race,
        wants=frozenset(row.wants),
        paused_at=row.paused_at,
    )
