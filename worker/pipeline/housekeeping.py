"""Housekeeping: what time alone changes."""

import logging
from collections.abc import Collection
from datetime import datetime, timedelta

from worker.model import Athlete
from worker.pipeline.decide import judge, judge_overdue
from worker.pipeline.deliver import MAIL_TICK
from worker.pipeline.strava.sync import drop_expired, with_expired
from worker.pipeline.works import Works, by_ids, every_one_due, today_of
from worker.store import DUE_AT_ONCE, RESTORED, Tick

log = logging.getLogger(__name__)

MADE_UP_TICK = "made-up clock"
"""Stands where the last worker's ticks say nothing about today."""

MAIL_KEPT_FOR = timedelta(days=30)
TICK_KEPT_EVERY = timedelta(seconds=30)
_FURTHEST_AHEAD = timedelta(hours=14)


def tidy(works: Works, now: datetime) -> None:
    """Judge what a stopped import left, and runs once dated in the future; forget what is old."""
    try:
        every_one_due(lambda: untidy(works, now), lambda athlete: tidy_one(works, athlete, now))
    finally:
        tidy_outbox(works, now)


def untidy(works: Works, now: datetime, *, most: int = DUE_AT_ONCE) -> tuple[Athlete, ...]:
    """For whom something is overdue, at most so many."""
    # Where the calendar is ahead of all others it's tomorrow already.
    until = (now + _FURTHEST_AHEAD).date()
    with works.store.reading() as tx:
        ids = (
            *tx.imports.with_unjudged(most=most),
            *tx.runs.with_release_due(until, most=most),
            *with_expired(tx, works, now, most=most),
        )
        return by_ids(tx, tuple(dict.fromkeys(ids))[:most])


def tidy_one(works: Works, athlete: Athlete, now: datetime) -> None:
    """Judge what is overdue of one athlete, and forget what may be kept no longer."""
    with works.store.transaction() as tx:
        tx.athletes.hold(athlete)
        judge_overdue(tx, works, athlete, now=now)
        since = tx.runs.release(athlete, today=today_of(athlete, now))
        if since is not None:
            judge(tx, works, athlete, since=since, now=now)
        drop_expired(tx, works, athlete, now)


def tidy_outbox(works: Works, now: datetime) -> None:
    """Send what a clock that ran ahead put off; empty mails of long ago."""
    with works.store.transaction() as tx:
        tx.outbox.mend_clock(now)
        tx.outbox.purge(sent_before=now - MAIL_KEPT_FOR)


def begin_ticks(
    works: Works, *, made_up_from: datetime | None = None, keep: Collection[str] = ()
) -> None:
    """A new worker begins: how an earlier one felt is past, but for the mail server's answer.

    `keep` names what others at work go on ticking. `made_up_from` is the instant that a worker with
    a made-up clock begins at.
    """
    with works.store.transaction() as tx:
        tx.progress.clear_ticks(but=(MAIL_TICK, RESTORED, *keep))
        if made_up_from is not None:
            tx.progress.ticked(MADE_UP_TICK, at=made_up_from)


def note_tick(works: Works, name: str, tick: Tick) -> None:
    """The same where the last one may have been another process's: a change of mood is logged."""
    with works.store.transaction() as tx:
        before = tx.progress.tick(name)
        is_same = before is not None and before.trouble == tick.trouble
        if before and is_same and timedelta(0) <= tick.at - before.at < TICK_KEPT_EVERY:
            return
        tx.progress.ticked(name, at=tick.at, trouble=tick.trouble)
    if tick.trouble and not is_same:
        log.error("%(job)s: %(why)s", {"job": name, "why": tick.trouble})
    elif before and before.trouble and not tick.trouble:
        log.info("%(job)s: works again", {"job": name})


def record_tick(works: Works, name: str, tick: Tick) -> None:
    """Keep when a piece of the work last ended, and how."""
    with works.store.transaction() as tx:
        tx.progress.ticked(name, at=tick.at, trouble=tick.trouble)
