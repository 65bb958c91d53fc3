"""After a restore: what the world may have had since the copy was made is not sent again.

The copy doesn't know what was sent after it. So a mail that waits in it is held until the operator
says so, weeks up to now count as told, and what is found about days up to now is kept in silence.
The files in the inbox are simply taken in again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from worker.domain import weeks
from worker.domain.history import week_start
from worker.domain.models import Athlete
from worker.pipeline.services import today_of
from worker.store import RESTORED, Transaction

HELD = "a backup was restored: this may have been sent since it was made"
_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Marked:
    """What was put aside: mails held, and weeks that count as told."""

    held: int
    weeks: int


def mark_restored(tx: Transaction, *, now: datetime) -> Marked:
    """Let nothing of before `now` be sent by itself."""
    held = tx.outbox.hold_all(why=HELD)
    weeks = sum(_count_as_told(tx, athlete, now=now) for athlete in tx.athletes.all())
    tx.progress.ticked(RESTORED, at=now)
    return Marked(held, weeks)


def _count_as_told(tx: Transaction, athlete: Athlete, *, now: datetime) -> int:
    due = weeks.last_weekly_due(athlete, now)
    upcoming = weeks.next_weekly_due(athlete, now)
    tx.progress.untell_after(athlete, due.week_starts_on)
    tx.athletes.weekly_done(athlete, next_at=upcoming.due_at)
    added_on = today_of(athlete, athlete.added_at)
    last = tx.progress.last_week_told(athlete)
    missed = last + _WEEK if last else week_start(added_on, athlete.week_starts)
    number = 0
    while missed <= due.week_starts_on:
        tx.progress.queue_weekly(athlete, missed, state="skipped")
        missed += _WEEK
        number += 1
    return number
