"""Webhook events: activities to look at, those looked at lately, and the calls for them."""

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib import import_module
from typing import Any

from sqlalchemy import Select, Update, and_, bindparam, case, exists, func, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from worker.domain.models import Athlete
from worker.store import tables
from worker.store.repository import from_row
from worker.store.source_base import OfSource, SeenActivity, theirs
from worker.store.tables import DUE_AT_ONCE

_CREDENTIAL = tables.source_credential
_ACTIVITY = tables.source_activity
_EVENT = tables.source_event
_TICK = tables.tick

EVENTS_KEPT = 50
"""The most events of one athlete that wait."""

QUIET = timedelta(minutes=1)
"""For this time after a look at an activity, its events are gathered for one more look."""

_LOOKED, _GATHERED = -1, -2
"""In place of an event's tries: a recent look, and an event that arrived in its `QUIET`."""

_WAITS: ColumnElement[bool] = _EVENT.c.tries != _LOOKED


class SourceEvents(OfSource):
    """The events of one service, each about one activity of an athlete."""

    __slots__ = ()

    def note_events(
        self, events: Collection[tuple[int, str]], *, now: datetime, most: int = EVENTS_KEPT
    ) -> None:
        """Save that activities are to be looked at, by athlete's id and external id, each once.

        An empty external id means that the credential is to be tested. At most `most` events of
        one athlete wait, the first ones in the order of `events_due`.
        """
        over = _EVENT.c.tries == _LOOKED, _EVENT.c.due_at <= now
        self._delete(_EVENT, self._is(_EVENT), *over)
        every = {"source": self.source, "due_at": now, "tries": 0}
        # Always in the same order, so that two writers of the same events can't deadlock.
        rows = [{**every, "athlete_id": a, "external_id": e} for a, e in sorted(events)]
        if rows:
            self.connection.execute(_noting(self.connection.dialect.name), rows)
        for athlete_id in sorted({athlete_id for athlete_id, _ in events}):
            of_one = _EVENT.c.athlete_id == athlete_id, self._is(_EVENT), _WAITS
            beyond = self._values(_most_credible(_EVENT.c.external_id).where(*of_one).offset(most))
            if beyond:
                self._delete(_EVENT, *of_one, _EVENT.c.external_id.in_(beyond))

    def with_events_due(
        self,
        now: datetime,
        *,
        most: int = DUE_AT_ONCE,
        of: Collection[int] | None = None,
    ) -> tuple[int, ...]:
        """The ids of the athletes (all, or `of` these) with an event due, the oldest first."""
        where = [_WAITS, _EVENT.c.due_at <= now]
        if of is not None:
            where.append(_EVENT.c.athlete_id.in_(sorted(of)))
        return self._athlete_ids(_EVENT, *where, by=(_EVENT.c.due_at,), most=most)

    def end_quiet(self, now: datetime) -> None:
        """Make gathered events due now, for a caller that won't return soon."""
        gathered = _EVENT.c.tries == _GATHERED
        self._update(_EVENT, self._is(_EVENT), gathered, due_at=now, tries=0)

    def events_due(
        self, athlete: Athlete, now: datetime, *, pause: str = "", longest: timedelta = timedelta()
    ) -> Mapping[str, SeenActivity | None]:
        """The external ids of the athlete's due events, with the stored state of each activity.

        First the test of the credential, then known activities, then the newest. None are due
        before the time of the tick `pause`, if that is at most `longest` from now.
        """
        given = {"whose": athlete.id, "service": self.source, "now": now}
        rows = self.connection.execute(
            _events_due(), {**given, "pause": pause, "latest": now + longest}
        )
        return {
            row.told: None if row.external_id is None else from_row(SeenActivity, row)
            for row in rows
        }

    def spend_event_calls(self, athlete: Athlete, number: int, *, now: datetime, most: int) -> bool:
        """Count calls for events of this athlete; False if the day's are used up."""
        has_left, counted = one_more_call()
        spending = update(_CREDENTIAL).where(*self._of(athlete), has_left).values(counted)
        given = {"today": utc_day(now), "most": most, "number": number}
        return self.connection.execute(spending, given).rowcount == 1

    def has_event_calls(self, athlete: Athlete, *, now: datetime, most: int) -> bool:
        """Whether a call for an event of this athlete may be made today."""
        has_left, _ = one_more_call()
        query = select(_CREDENTIAL.c.athlete_id).where(*self._of(athlete), has_left)
        given = {"today": utc_day(now), "most": most}
        return self.connection.execute(query, given).scalar() is not None

    def hold_events(self, athlete: Athlete, until: datetime) -> None:
        """Postpone all events of this athlete until then."""
        self._update(_EVENT, *self._of(athlete, _EVENT), _WAITS, due_at=until, tries=0)

    def events_waiting(self, athlete: Athlete) -> int:
        """How many events wait for this athlete."""
        number: int = self._value(select(func.count()).where(*self._of(athlete, _EVENT), _WAITS))
        return number

    def event_done(
        self, athlete: Athlete, external_id: str, *, looked_at: datetime | None = None
    ) -> None:
        """Mark an event as done, unless it has arrived again since `looked_at`.

        For a while after a look, more events about the same activity are gathered.
        """
        if looked_at is None or not external_id:
            again = () if looked_at is None else (_EVENT.c.due_at <= looked_at,)
            self._delete(_EVENT, *self._event(athlete, external_id), *again)
            return
        given = {"whose": athlete.id, "service": self.source, "told": external_id}
        given |= {"looked_at": looked_at, "quiet_until": looked_at + QUIET}
        self.connection.execute(_looked(), given)

    def retry_event(self, athlete: Athlete, external_id: str, *, now: datetime, most: int) -> None:
        """Try again `most` times, with growing pauses; afterwards, polling finds the change."""
        where = self._event(athlete, external_id)
        tries = max(self._value(select(_EVENT.c.tries).where(*where)) or 0, 0)
        if tries + 1 >= most:
            self.event_done(athlete, external_id)
            return
        due_at = now + timedelta(minutes=1 << tries)
        self._update(_EVENT, *where, tries=tries + 1, due_at=due_at)

    def _event(self, athlete: Athlete, external_id: str) -> tuple[ColumnElement[bool], ...]:
        return *self._of(athlete, _EVENT), _EVENT.c.external_id == external_id


@cache
def _events_due() -> Select[Any]:
    due = _EVENT.c.due_at <= bindparam("now")
    told = _EVENT.c.external_id.label("told")
    paused = exists().where(
        _TICK.c.name == bindparam("pause"),
        _TICK.c.at > bindparam("now"),
        _TICK.c.at <= bindparam("latest"),
    )
    return _most_credible(told, *_ACTIVITY.c).where(theirs(_EVENT), _WAITS, due, ~paused)


def _most_credible(*columns: ColumnElement[Any]) -> Select[Any]:
    """A query for events with their activities; those that may be forged come last."""
    event, known = _EVENT.c, _ACTIVITY.c
    same = (
        (known.athlete_id == event.athlete_id)
        & (known.source == event.source)
        & (known.external_id == event.external_id)
    )
    return (
        select(*columns)
        .select_from(_EVENT)
        .outerjoin(_ACTIVITY, same)
        .order_by(
            event.external_id != "",
            known.external_id.is_(None),
            # Numeric ids grow: a longer one, or a greater one of the same length, is newer.
            func.length(event.external_id).desc(),
            event.external_id.desc(),
        )
    )


@cache
def _looked() -> Update:
    """The statement for a looked-at activity; `_GATHERED` if its event has arrived again."""
    tries = case((_EVENT.c.due_at <= bindparam("looked_at"), _LOOKED), else_=_GATHERED)
    of_it = _EVENT.c.external_id == bindparam("told")
    changed = {"tries": tries, "due_at": bindparam("quiet_until")}
    return update(_EVENT).where(theirs(_EVENT), of_it).values(changed)


@cache
def _noting(dialect: str) -> Any:
    """The statement to save an event, due at once, or later if its activity was just looked at."""
    statement = import_module(f"sqlalchemy.dialects.{dialect}").insert(_EVENT)
    new = statement.excluded
    is_quiet = and_(_EVENT.c.tries < 0, _EVENT.c.due_at > new.due_at)
    return statement.on_conflict_do_update(
        index_elements=list(_EVENT.primary_key.columns),
        set_={
            "due_at": case((is_quiet, _EVENT.c.due_at), else_=new.due_at),
            "tries": case((is_quiet, _GATHERED), else_=new.tries),
        },
    )


def utc_day(now: datetime) -> date:
    return now.astimezone(UTC).date()


def one_more_call() -> tuple[ColumnElement[bool], dict[str, Any]]:
    """The condition that calls for events are left `today`, and the values that count more."""
    calls, on = _CREDENTIAL.c.event_calls, _CREDENTIAL.c.event_calls_on
    today, number = bindparam("today", type_=on.type), bindparam("number", type_=calls.type)
    is_fresh = or_(on.is_(None), on != today)
    counted = case((is_fresh, number), else_=calls + number)
    has_left = or_(is_fresh, calls < bindparam("most"))
    return has_left, {"event_calls_on": today, "event_calls": counted}
