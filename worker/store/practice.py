"""The data of the practice's page of all athletes, in a fixed number of statements."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Column, Select, String, and_, cast, func, select
from sqlalchemy.sql.elements import ColumnElement

from worker.domain.checkins import FORTNIGHT, CheckIn
from worker.domain.models import Athlete, Finding
from worker.domain.practice import WARNED_WITHIN, BlindSource, PracticeRow, Undelivered
from worker.store import tables
from worker.store.repository import Repository

_ATHLETE, _CHECKIN, _FINDING = tables.athlete, tables.checkin, tables.finding
_OUTBOX, _RUN, _STATE = tables.outbox, tables.run, tables.source_state
_FINDING_FIELDS = tuple(field.name for field in fields(Finding))

_ZONES = timedelta(days=2)
"""More than the difference between any athlete's calendar and UTC."""

_DIARY_DAYS = timedelta(days=91)
"""How far back answers are read for athletes whose last one isn't "fine"."""


class Practice(Repository):
    """Short rows: only the columns that the page shows or orders by."""

    def row(self, athlete: Athlete, now: datetime) -> PracticeRow:
        """The row of one athlete."""
        (row,) = self.rows(now, only=athlete.id)
        return row

    def rows(self, now: datetime, *, only: int | None = None) -> tuple[PracticeRow, ...]:
        """A row for each athlete, or for the one with the id `only`, in no order."""
        today = now.date()
        diaries = self._diaries_of_the_unwell(today, only)
        warned = self._warned(today - WARNED_WITHIN - _ZONES, only)
        blind = self._blind(only)
        undelivered = self._undelivered(only)
        nothing = (None, None)
        return tuple(
            PracticeRow(
                id=row.id,
                link_id=row.link_id,
                name=row.name,
                timezone=row.timezone,
                units=row.units,
                added_at=row.added_at,
                paused_at=row.paused_at,
                last_run_on=row.last_run_on,
                diary=diaries.get(row.id, ()),
                warned=warned.get(row.id, nothing)[0],
                warned_on=warned.get(row.id, nothing)[1],
                blind=blind.get(row.id, ()),
                undelivered=undelivered.get(row.id),
            )
            for row in self._rows(_everybody().where(*_of(_ATHLETE.c.id, only)))
        )

    def _diaries_of_the_unwell(self, today: date, only: int | None) -> dict[int, Sequence[CheckIn]]:
        """The answers of athletes whose last one within two weeks isn't a plain "fine"."""
        last = (
            select(_CHECKIN.c.athlete_id, func.max(_CHECKIN.c.day).label("day"))
            .where(_CHECKIN.c.day.between(today - FORTNIGHT - _ZONES, today + _ZONES))
            .where(*_of(_CHECKIN.c.athlete_id, only))
            .group_by(_CHECKIN.c.athlete_id)
            .subquery()
        )
        is_last = and_(_CHECKIN.c.athlete_id == last.c.athlete_id, _CHECKIN.c.day == last.c.day)
        is_fine = and_(_CHECKIN.c.feels == "fine", cast(_CHECKIN.c.flags, String) == "[]")
        unwell = select(_CHECKIN.c.athlete_id).join(last, is_last).where(~is_fine)
        # As text: most of thousands of answers are equal, and each value is decoded once.
        areas, flags = (cast(_CHECKIN.c[name], String).label(name) for name in ("areas", "flags"))
        query = (
            select(
                _CHECKIN.c.athlete_id, _CHECKIN.c.day, _CHECKIN.c.feels, _CHECKIN.c.level,
                areas, flags,
            )
            .where(_CHECKIN.c.athlete_id.in_(unwell), _CHECKIN.c.day >= today - _DIARY_DAYS)
            .order_by(_CHECKIN.c.athlete_id, _CHECKIN.c.day)
        )  # fmt: skip
        decoded = cache(lambda text: tuple(json.loads(text)))
        found: dict[int, list[CheckIn]] = defaultdict(list)
        for row in self._rows(query):
            where, flagged = decoded(row.areas), decoded(row.flags)
            answer = CheckIn(row.day, row.feels, where, row.level, flagged)
            found[row.athlete_id].append(answer)
        return dict(found)

    def _warned(self, since: date, only: int | None) -> dict[int, tuple[Finding, date]]:
        """The last finding of each athlete about which a mail was queued since then, and when."""
        columns = (_FINDING.c[name] for name in _FINDING_FIELDS)
        query = (
            select(_FINDING.c.athlete_id, _FINDING.c.told_on, *columns)
            .where(_FINDING.c.told_on >= since, _FINDING.c.withdrawn_at.is_(None))
            .where(*_of(_FINDING.c.athlete_id, only))
            .order_by(_FINDING.c.told_on, _FINDING.c.id)
        )
        # Fields are read by position; by name, it takes three times as long.
        rows: Sequence[Any] = self._rows(query)
        return {row[0]: (Finding(*row[2:]), row[1]) for row in rows}

    def _blind(self, only: int | None) -> dict[int, Sequence[BlindSource]]:
        columns = (_STATE.c.athlete_id, _STATE.c.source, _STATE.c.last_success_at)
        query = select(*columns, _STATE.c.last_error).where(
            _STATE.c.state == "failing", *_of(_STATE.c.athlete_id, only)
        )
        found: dict[int, list[BlindSource]] = defaultdict(list)
        for row in self._rows(query.order_by(_STATE.c.source)):
            blind = BlindSource(row.source, row.last_success_at, row.last_error or "")
            found[row.athlete_id].append(blind)
        return dict(found)

    def _undelivered(self, only: int | None) -> dict[int, Undelivered]:
        """Athletes whose last mail to their current address was given up or is held."""
        later = _OUTBOX.alias()
        went = select(later.c.id).where(
            later.c.athlete_id == _OUTBOX.c.athlete_id,
            later.c.recipient == _OUTBOX.c.recipient,
            later.c.state == "sent",
            later.c.sent_at > _OUTBOX.c.created_at,
        )
        is_theirs = and_(
            _OUTBOX.c.athlete_id == _ATHLETE.c.id, _OUTBOX.c.recipient == _ATHLETE.c.email
        )
        columns = (_OUTBOX.c.athlete_id, _OUTBOX.c.state, _OUTBOX.c.created_at)
        query = (
            select(*columns, _OUTBOX.c.last_error)
            .join(_ATHLETE, is_theirs)
            .where(_OUTBOX.c.state.in_(("dead", "held")), ~went.exists())
            .where(*_of(_OUTBOX.c.athlete_id, only))
            .order_by(_OUTBOX.c.id.desc())
        )
        return {
            row.athlete_id: Undelivered(
                row.created_at, row.last_error or "", is_held=row.state == "held"
            )
            for row in self._rows(query)
        }


def _of(whose: Column[int], only: int | None) -> tuple[ColumnElement[bool], ...]:
    """The condition for one athlete's rows; empty for all athletes."""
    return () if only is None else (whose == only,)


def _everybody() -> Select[Any]:
    last_run = (
        select(_RUN.c.day)
        .where(_RUN.c.athlete_id == _ATHLETE.c.id, _RUN.c.quarantine.is_(None))
        .order_by(_RUN.c.day.desc())
        .limit(1)
        .scalar_subquery()
    )
    names = ("id", "link_id", "name", "timezone", "units", "added_at", "paused_at")
    return select(*(_ATHLETE.c[name] for name in names), last_run.label("last_run_on"))
