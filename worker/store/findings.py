"""The findings' shelf: what was found on which day, what was mailed of it, what was withdrawn."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from worker.domain.models import Athlete, Finding, Kind
from worker.store import tables

finding = tables.finding
outbox = tables.outbox

_FIELDS = tuple(field.name for field in fields(Finding))
DROPPED = "its mail was dropped by the operator"
_UNSENT = ("queued", "retry", "held", "dead")


@dataclass(frozen=True, slots=True)
class Found:
    """A finding as kept. `silence` says why no mail was queued for it; None where one was.

    `told_on` is the athlete's day on which the mail was queued, `told_severity` how grave it was
    then, `mailed_at` when the mail server took it.
    """

    id: int
    finding: Finding
    found_at: datetime
    withdrawn_at: datetime | None
    silence: str | None
    told_on: date | None
    told_severity: int | None
    mailed_at: datetime | None
    message_id: str | None


@dataclass(frozen=True, slots=True)
class Findings:
    """Findings are kept one a day and kind; judging a day again changes or withdraws them."""

    connection: Connection

    def reconcile(
        self,
        athlete: Athlete,
        *,
        since: date,
        found: Iterable[Finding],
        now: datetime,
    ) -> tuple[Found, ...]:
        """Make what stands from `since` on equal to `found`.

        What is no longer found is withdrawn, and its mail with it unless that has gone out.
        Returns the findings that are new, came back, or weigh more than before.
        """
        wanted = {(f.day, f.kind): f for f in found}
        standing = {
            (kept.finding.day, kept.finding.kind): kept for kept in self._since(athlete, since)
        }
        for key, kept in standing.items():
            if key not in wanted and kept.withdrawn_at is None:
                self._withdraw(kept, now=now)
        risen: list[tuple[date, Kind]] = []
        for key, f in wanted.items():
            kept_before = standing.get(key)
            if kept_before is None:
                self._insert(athlete, f, now=now)
                risen.append(key)
                continue
            back = kept_before.withdrawn_at is not None
            if back or kept_before.finding != f:
                self._update(kept_before, f)
            if back or f.severity > kept_before.finding.severity:
                risen.append(key)
        after = {(k.finding.day, k.finding.kind): k for k in self._since(athlete, since)}
        return tuple(after[key] for key in sorted(risen))

    def silence(self, found: Iterable[Found], reason: str) -> None:
        """Keep why these were not mailed; what was mailed before stays so."""
        ids = [f.id for f in found if f.told_on is None]
        if ids:
            self.connection.execute(
                update(finding).where(finding.c.id.in_(ids)).values(silence=reason)
            )

    def tell(self, found: Found, *, outbox_id: int, on: date) -> None:
        """Keep that a mail about this finding was queued; one that still waits is overtaken."""
        self._unqueue(found)
        self.connection.execute(
            update(finding)
            .where(finding.c.id == found.id)
            .values(
                outbox_id=outbox_id,
                told_on=on,
                told_severity=found.finding.severity,
                silence=None,
            )
        )

    def dropped(self, outbox_id: int) -> None:
        """Keep that the mail about a finding was given up by the operator."""
        self.connection.execute(
            update(finding).where(finding.c.outbox_id == outbox_id).values(silence=DROPPED)
        )

    def told(self, athlete: Athlete, *, since: date) -> tuple[Found, ...]:
        """The findings that a mail was queued for on or after `since`."""
        return tuple(
            kept
            for kept in self._select(finding.c.athlete_id == athlete.id, finding.c.told_on >= since)
            if kept.told_on is not None
        )

    def standing(self, athlete: Athlete, *, since: date | None = None) -> tuple[Found, ...]:
        """What holds, oldest first."""
        where = [finding.c.athlete_id == athlete.id, finding.c.withdrawn_at.is_(None)]
        if since is not None:
            where.append(finding.c.day >= since)
        return self._select(*where)

    def withdrawn(self, athlete: Athlete) -> tuple[Found, ...]:
        return self._select(finding.c.athlete_id == athlete.id, finding.c.withdrawn_at.is_not(None))

    def forget_withdrawn(self, athlete: Athlete) -> None:
        """Leave nothing of withdrawn findings whose run is gone as well."""
        runs = select(tables.run.c.id).where(tables.run.c.athlete_id == athlete.id)
        self.connection.execute(
            delete(finding).where(
                finding.c.athlete_id == athlete.id,
                finding.c.withdrawn_at.is_not(None),
                finding.c.run_id.not_in(runs),
            )
        )

    def _since(self, athlete: Athlete, since: date) -> tuple[Found, ...]:
        return self._select(finding.c.athlete_id == athlete.id, finding.c.day >= since)

    def _select(self, *where: Any) -> tuple[Found, ...]:
        query = (
            select(finding, outbox.c.sent_at, outbox.c.message_id)
            .outerjoin(outbox, outbox.c.id == finding.c.outbox_id)
            .where(*where)
            .order_by(finding.c.day, finding.c.id)
        )
        return tuple(map(_found, self.connection.execute(query)))

    def _insert(self, athlete: Athlete, f: Finding, *, now: datetime) -> None:
        self.connection.execute(
            insert(finding).values(athlete_id=athlete.id, found_at=now, **asdict(f))
        )

    def _update(self, kept: Found, f: Finding) -> None:
        self.connection.execute(
            update(finding).where(finding.c.id == kept.id).values(withdrawn_at=None, **asdict(f))
        )

    def _withdraw(self, kept: Found, *, now: datetime) -> None:
        """The cause has gone: so does a mail that nobody has got yet."""
        untold = {"told_on": None, "told_severity": None} if self._unqueue(kept) else {}
        self.connection.execute(
            update(finding).where(finding.c.id == kept.id).values(withdrawn_at=now, **untold)
        )

    def _unqueue(self, kept: Found) -> bool:
        """Take the mail about a finding out of the outbox unless it has gone; True where it was."""
        mail = select(finding.c.outbox_id).where(finding.c.id == kept.id).scalar_subquery()
        gone = delete(outbox).where(outbox.c.id == mail, outbox.c.state.in_(_UNSENT))
        return self.connection.execute(gone).rowcount > 0


def _found(row: Row[Any]) -> Found:
    return Found(
        id=row.id,
        finding=Finding(**{name: getattr(row, name) for name in _FIELDS}),
        found_at=row.found_at,
        withdrawn_at=row.withdrawn_at,
        silence=row.silence,
        told_on=row.told_on,
        told_severity=row.told_severity,
        mailed_at=row.sent_at,
        message_id=row.message_id if row.sent_at else None,
    )
