"""Housekeeping: what time alone changes."""

from datetime import datetime, timedelta

from worker.model import Athlete
from worker.pipeline.decide import judge, judge_overdue
from worker.pipeline.deliver import MAIL_TICK
from worker.pipeline.strava.sync import drop_expired
from worker.pipeline.works import Works, each, today_of
from worker.store import RESTORED, Tick

MADE_UP_TICK = "made-up clock"
"""Stands where the last worker's ticks say nothing about today."""

MAIL_KEPT_FOR = timedelta(days=30)


def tidy(works: Works, now: datetime) -> None:
    """Judge what a stopped import left, and runs once dated in the future; forget what is old."""
    with works.store.reading() as tx:
        athletes = tx.athletes.all()

    def release(athlete: Athlete) -> None:
        with works.store.transaction() as tx:
            judge_overdue(tx, works, athlete, now=now)
            since = tx.runs.release(athlete, today=today_of(athlete, now))
            if since is not None:
                judge(tx, works, athlete, since=since, now=now)

    each(athletes, release)
    drop_expired(works, now)
    with works.store.transaction() as tx:
        tx.outbox.mend_clock(now)
        tx.outbox.purge(sent_before=now - MAIL_KEPT_FOR)


def begin_ticks(works: Works, *, made_up_from: datetime | None = None) -> None:
    """A new worker begins: how an earlier one felt is past, but for the mail server's answer.

    `made_up_from` is the instant that a worker with a made-up clock begins at.
    """
    with works.store.transaction() as tx:
        tx.progress.clear_ticks(but=(MAIL_TICK, RESTORED))
        if made_up_from is not None:
            tx.progress.ticked(MADE_UP_TICK, at=made_up_from)


def record_tick(works: Works, name: str, tick: Tick) -> None:
    """Keep when a piece of the work last ended, and how."""
    with works.store.transaction() as tx:
        tx.progress.ticked(name, at=tick.at, trouble=tick.trouble)
