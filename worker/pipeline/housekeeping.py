"""Housekeeping: work that falls due as time passes, and work that was postponed."""

from datetime import datetime, timedelta

from worker.domain.models import Athlete
from worker.domain.weeks import local_day
from worker.pipeline.backup import renew_backups
from worker.pipeline.ingest import judge_overdue, judge_since
from worker.pipeline.services import Services, for_each_due
from worker.pipeline.webhooks import renew_webhook
from worker.store import DUE_AT_ONCE
from worker.store.progress import DELETED, FORGOTTEN, VACUUMED

MAIL_KEPT_FOR = timedelta(days=30)
VACUUM_EVERY = timedelta(days=1)
"""The least time between two rewrites of the database, which block all other writers."""

_LONGEST_PAUSE = timedelta(days=1)
"""The longest pause before a service is asked again, unless it is polled less often."""

EXPIRED = "a run is no longer kept: nothing is mailed about that"
MATCHED_ANEW = "an update tells runs apart by other rules: nothing is mailed about that"
_FURTHEST_AHEAD = timedelta(hours=14)


def tidy(services: Services, now: datetime) -> None:
    """Judge what imports and updates left, and runs once dated in the future; delete old data."""
    try:
        for_each_due(
            lambda: untidy(services, now), lambda athlete: tidy_one(services, athlete, now)
        )
    finally:
        tidy_store(services, now)


def untidy(services: Services, now: datetime, *, most: int = DUE_AT_ONCE) -> tuple[Athlete, ...]:
    """The athletes with overdue work, up to a limit; none while the clock is in doubt."""
    if services.doubts(now):
        return ()
    # In the time zones that are furthest ahead, it's tomorrow already.
    until = (now + _FURTHEST_AHEAD).date()
    with services.store.reading() as tx:
        ids = (
            *tx.imports.with_unjudged(most=most),
            *tx.runs.with_release_due(until, most=most),
            *tx.runs.with_match_due(most=most),
            *(
                athlete_id
                for one in services.sources.values()
                if (retention := one.client.retention) is not None
                for athlete_id in tx.source(one.client.name).with_expired(
                    now - retention, most=most
                )
            ),
        )
        return tx.athletes.by_ids(list(dict.fromkeys(ids))[:most])


def tidy_one(services: Services, athlete: Athlete, now: datetime) -> None:
    """Judge what is overdue for one athlete, and delete what may no longer be kept."""
    with services.store.transaction() as tx:
        judge_overdue(tx, services, athlete, now=now)
        today = local_day(athlete, now)
        if athlete.id in tx.runs.with_match_due(athlete):
            since = tx.runs.match_anew(athlete, today=today)
            if since is not None:
                judge_since(tx, services, athlete, since=since, now=now, silence=MATCHED_ANEW)
        since = tx.runs.release(athlete, today=today)
        if since is not None:
            judge_since(tx, services, athlete, since=since, now=now)
        for name, connected in services.sources.items():
            retention, rows = connected.client.retention, tx.source(name)
            expired = rows.begun_before(athlete, now - retention) if retention is not None else ()
            if not expired:
                continue
            change = tx.runs.drop(athlete, name, expired, today=today)
            rows.forget_seen(athlete, expired)
            if change.first_day is not None:
                judge_since(tx, services, athlete, since=change.first_day, now=now, silence=EXPIRED)
            tx.findings.forget_withdrawn(athlete)


def tidy_store(services: Services, now: datetime) -> None:
    """Do what a fast clock postponed, empty old mails, and remove traces of deletions."""
    with services.store.transaction() as tx:
        tx.outbox.mend_clock(now)
        if services.doubts(now):
            return
        tx.outbox.purge(sent_before=now - MAIL_KEPT_FOR)
        tx.addresses.forget_old(now)
        for name, connected in services.sources.items():
            longest = 2 * max(connected.client.every, _LONGEST_PAUSE)
            tx.source(name).mend_clock(now, longest=longest)
        ticks = tx.progress.ticks(DELETED, VACUUMED)
    deleted, last = ticks.get(DELETED), ticks.get(VACUUMED)
    # A later time was saved while the clock ran ahead.
    since = last.at if last and last.at <= now else None
    if deleted and (since is None or since <= min(deleted.at, now - VACUUM_EVERY)):
        remove_traces(services, now)
    else:
        services.store.empty_log()  # a reader may have prevented it after a deletion
    for source in services.sources:
        renew_webhook(services, source, now)


def remove_traces(services: Services, now: datetime) -> bool:
    """Rewrite the database, and the copies that contain athletes who were deleted since.

    False if the log is still being read; the next hour's housekeeping then empties it. Nothing
    else can write meanwhile, so no page may wait for this.
    """
    is_gone = services.store.compact()
    with services.store.reading() as tx:
        ticks = tx.progress.ticks(FORGOTTEN, VACUUMED)
    forgotten, last = ticks.get(FORGOTTEN), ticks.get(VACUUMED)
    if forgotten and (last is None or not forgotten.at < last.at <= now):
        renew_backups(services, now)
    with services.store.transaction() as tx:
        tx.progress.ticked(VACUUMED, at=now)
    return is_gone
