"""The findings of each day, and whether they were mailed or withdrawn."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from functools import cache
from typing import Any

from sqlalchemy import Row, Select, bindparam, insert, select
from sqlalchemy.sql.elements import ColumnElement

from worker.domain.models import Athlete, Finding, Kind
from worker.store import tables
from worker.store.repository import Repository
from worker.store.tables import COPY_KEY, UNSENT_STATES

_FINDING, _OUTBOX = tables.finding, tables.outbox
_FIELDS = tuple(field.name for field in fields(Finding))
DROPPED = "its mail was dropped by the operator"


@dataclass(frozen=True, slots=True)
class StoredFinding:
    """A finding as stored. `silence` says why no mail was queued for it; None if one was.

    `notified_on` is the athlete's day on which the mail was queued, `notified_severity` the
    severity at that time, `mailed_at` when the mail server accepted it.
    """

    id: int
    finding: Finding
    found_at: datetime
    withdrawn_at: datetime | None
    silence: str | None
    notified_on: date | None
    notified_severity: int | None
    mailed_at: datetime | None
    message_id: str | None


class Findings(Repository):
    """One finding for each day and kind; judging a day again changes or withdraws them."""

    def reconcile(
        self, athlete: Athlete, *, since: date, found: Iterable[Finding], now: datetime
    ) -> tuple[StoredFinding, ...]:
        """Make the findings that hold from `since` on equal to `found`.

        A finding that is missing from it is withdrawn, with its mail unless that was sent.
        Returns the findings that are new, came back, or are more severe than before.
        """
        wanted = {(f.day, f.kind): f for f in found}
        stored = self._by_day_and_kind(athlete, since)
        for key, before in stored.items():
            if key not in wanted and before.withdrawn_at is None:
                gone = {"told_on": None, "told_severity": None} if self._unqueue(before) else {}
                self._update(_FINDING, _FINDING.c.id == before.id, withdrawn_at=now, **gone)
        risen: list[tuple[date, Kind]] = []
        for key, f in wanted.items():
            if key not in stored:
                values = {"athlete_id": athlete.id, "found_at": now, **asdict(f)}
                self.connection.execute(insert(_FINDING).values(values))
                risen.append(key)
                continue
            before = stored[key]
            back = before.withdrawn_at is not None
            if back or before.finding != f:
                self._update(_FINDING, _FINDING.c.id == before.id, withdrawn_at=None, **asdict(f))
            if back or f.severity > before.finding.severity:
                risen.append(key)
        if not risen:
            return ()
        after = self._by_day_and_kind(athlete, since)
        return tuple(after[key] for key in sorted(risen))

    def silence(self, found: Iterable[StoredFinding], reason: str) -> None:
        """Save why these weren't mailed; those that were mailed before aren't changed."""
        ids = [f.id for f in found if f.notified_on is None]
        if ids:
            self._update(_FINDING, _FINDING.c.id.in_(ids), silence=reason)

    def mark_notified(self, found: StoredFinding, *, outbox_id: int, on: date) -> None:
        """Save that a mail about this finding was queued; it replaces one that still waits."""
        self._unqueue(found)
        self._update(
            _FINDING,
            _FINDING.c.id == found.id,
            outbox_id=outbox_id,
            told_on=on,
            told_severity=found.finding.severity,
            silence=None,
        )

    def dropped(self, outbox_id: int) -> None:
        """Save that the operator dropped the mail about a finding."""
        self._update(_FINDING, _FINDING.c.outbox_id == outbox_id, silence=DROPPED)

    def notified(self, athlete: Athlete, *, since: date) -> tuple[StoredFinding, ...]:
        """The findings that a mail was queued for on or after `since`."""
        return self._select(_FINDING.c.athlete_id == athlete.id, _FINDING.c.told_on >= since)

    def standing(self, athlete: Athlete, *, since: date | None = None) -> tuple[StoredFinding, ...]:
        """The findings that hold, oldest first."""
        return self._since(athlete, since or date.min, standing=True)

    def withdrawn(self, athlete: Athlete) -> tuple[StoredFinding, ...]:
        return self._select(
            _FINDING.c.athlete_id == athlete.id, _FINDING.c.withdrawn_at.is_not(None)
        )

    def forget_withdrawn(self, athlete: Athlete) -> None:
        """Delete the withdrawn findings whose run is gone as well."""
        runs = select(tables.run.c.id).where(tables.run.c.athlete_id == athlete.id)
        self._delete(
            _FINDING,
            _FINDING.c.athlete_id == athlete.id,
            _FINDING.c.withdrawn_at.is_not(None),
            _FINDING.c.run_id.not_in(runs),
        )

    def _by_day_and_kind(
        self, athlete: Athlete, since: date
    ) -> dict[tuple[date, Kind], StoredFinding]:
        found = self._since(athlete, since, standing=False)
        return {(one.finding.day, one.finding.kind): one for one in found}

    def _since(self, athlete: Athlete, day: date, *, standing: bool) -> tuple[StoredFinding, ...]:
        given = {"whose": athlete.id, "since": day}
        return tuple(map(_found, self.connection.execute(_since(standing=standing), given)))

    def _select(self, *where: ColumnElement[bool]) -> tuple[StoredFinding, ...]:
        return tuple(map(_found, self._rows(_findings().where(*where))))

    def _unqueue(self, found: StoredFinding) -> bool:
        """Remove an unsent mail about a finding from the outbox; True if there was one.

        Its copies for the practice are removed too.
        """
        mail = select(_FINDING.c.outbox_id).where(_FINDING.c.id == found.id).scalar_subquery()
        is_unsent = _OUTBOX.c.state.in_(UNSENT_STATES)
        if not self._delete(_OUTBOX, _OUTBOX.c.id == mail, is_unsent):
            return False
        whose = select(_FINDING.c.athlete_id).where(_FINDING.c.id == found.id).scalar_subquery()
        is_copy = _OUTBOX.c.key.startswith(f"{COPY_KEY}:{found.id}:")
        self._delete(_OUTBOX, _OUTBOX.c.athlete_id == whose, is_copy, is_unsent)
        return True


@cache
def _findings() -> Select[Any]:
    """Every finding with the state of its mail, oldest first."""
    return (
        select(_FINDING, _OUTBOX.c.sent_at, _OUTBOX.c.message_id)
        .outerjoin(_OUTBOX, _OUTBOX.c.id == _FINDING.c.outbox_id)
        .order_by(_FINDING.c.day, _FINDING.c.id)
    )


@cache
def _since(*, standing: bool) -> Select[Any]:
    """The query for one athlete's findings, all or only those that hold; built once."""
    whose = _FINDING.c.athlete_id == bindparam("whose")
    query = _findings().where(whose, _FINDING.c.day >= bindparam("since"))
    return query.where(_FINDING.c.withdrawn_at.is_(None)) if standing else query


def _found(row: Row[Any]) -> StoredFinding:
    return StoredFinding(
        id=row.id,
        finding=Finding(**{name: getattr(row, name) for name in _FIELDS}),
        found_at=row.found_at,
        withdrawn_at=row.withdrawn_at,
        silence=row.silence,
        notified_on=row.told_on,
        notified_severity=row.told_severity,
        mailed_at=row.sent_at,
        message_id=row.message_id if row.sent_at else None,
    )
