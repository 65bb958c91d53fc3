"""Housekeeping: what time alone changes."""

from datetime import datetime, timedelta

from worker.domain.models import Athlete
from worker.pipeline.activities import drop_expired, with_expired
from worker.pipeline.ingest import judge, judge_overdue
from worker.pipeline.services import Services, by_ids, each, today_of, until_nobody_is_due
from worker.store import DUE_AT_ONCE

MAIL_KEPT_FOR = timedelta(days=30)
_FURTHEST_AHEAD = timedelta(hours=14)


def tidy(services: Services, now: datetime) -> None:
    """Judge what a stopped import left, and runs once dated in the future; forget what is old."""
    try:
        due = until_nobody_is_due(lambda: untidy(services, now))
        each(due, lambda athlete: tidy_one(services, athlete, now))
    finally:
        tidy_outbox(services, now)


def untidy(services: Services, now: datetime, *, most: int = DUE_AT_ONCE) -> tuple[Athlete, ...]:
    """For whom something is overdue, at most so many."""
    # Where the calendar is ahead of all others it's tomorrow already.
    until = (now + _FURTHEST_AHEAD).date()
    with services.store.reading() as tx:
        ids = (
            *tx.imports.with_unjudged(most=most),
            *tx.runs.with_release_due(until, most=most),
            *with_expired(tx, services, now, most=most),
        )
        return by_ids(tx, tuple(dict.fromkeys(ids))[:most])


def tidy_one(services: Services, athlete: Athlete, now: datetime) -> None:
    """Judge what is overdue of one athlete, and forget what may be kept no longer."""
    with services.store.transaction() as tx:
        tx.athletes.hold(athlete)
        judge_overdue(tx, services, athlete, now=now)
        since = tx.runs.release(athlete, today=today_of(athlete, now))
        if since is not None:
            judge(tx, services, athlete, since=since, now=now)
        drop_expired(tx, services, athlete, now)


def tidy_outbox(services: Services, now: datetime) -> None:
    """Send what a clock that ran ahead put off; empty mails of long ago."""
    with services.store.transaction() as tx:
        tx.outbox.mend_clock(now)
        tx.outbox.purge(sent_before=now - MAIL_KEPT_FOR)
