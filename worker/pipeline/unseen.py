"""What isn't known of an athlete's runs: sources that can't be read, files that wait.

A weekly mail asks before it's composed: whether what waits should be read first (`is_reading`),
and what it must say that it couldn't see (`unseen`).
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from worker.domain.models import Athlete, folder_name
from worker.domain.weeks import local_day
from worker.notify import Unseen
from worker.pipeline.services import Services
from worker.sources.folder import UNLISTED, top_folder
from worker.sources.registry import SOURCES
from worker.store import Transaction

INBOX_TICK = "inbox"
READS_FOR = timedelta(minutes=10)
"""So long a worker that could tell of a week tries first to read what waits."""

PASSES_FOR = timedelta(days=6)
"""So long single passes wait for files of the inbox that take two of them: until the next week."""

_SLACK = timedelta(minutes=5)


def is_reading(
    tx: Transaction, services: Services, athlete: Athlete, *, due_at: datetime,
    ends_at: datetime, now: datetime,
) -> bool:  # fmt: skip
    """True while runs of the week up to `ends_at` may still come in, for a bounded time.

    `due_at` is when the week was to be told. A single pass has asked the services before.
    """
    began_at = services.began_at
    if began_at is None:
        return now < due_at + PASSES_FOR and _files(tx, athlete) > 0
    if now >= max(due_at, began_at) + READS_FOR:
        return False
    tick = tx.progress.tick(INBOX_TICK)
    if tick is None or tick.at < began_at or _inbox_missing_at(tx, athlete) is not None:
        return True
    if _files(tx, athlete):
        return True
    for name, connected in services.sources.items():
        rows = tx.source(name)
        stored = rows.credential(athlete)
        if stored is None or stored.revoked_at is not None:
            continue
        seen_at = _seen_at(tx, athlete, name)
        is_behind = seen_at is None or seen_at < ends_at - connected.client.every - _SLACK
        if stored.due_at <= now or is_behind or rows.events_due(athlete, now):
            return True
    return False


def unseen(
    tx: Transaction, services: Services, athlete: Athlete, *, ends_at: datetime
) -> tuple[Unseen, ...]:
    """What can't be seen of the athlete's runs up to `ends_at`, or since."""
    return tuple(_unseen(tx, services, athlete, ends_at))


def _unseen(
    tx: Transaction, services: Services, athlete: Athlete, ends_at: datetime
) -> Iterator[Unseen]:
    missing_at = _inbox_missing_at(tx, athlete)
    if missing_at is not None:
        yield Unseen(since=local_day(athlete, missing_at))
    elif files := _files(tx, athlete, also_unreadable=True):
        yield Unseen(files=files)
    states, credentials = tx.progress.sources(athlete), tx.credentials(athlete)
    for kind in SOURCES:
        stored = credentials.get(kind.name)
        if stored is None:
            continue
        connected = services.sources.get(kind.name)
        every = connected.client.every if connected else timedelta(0)
        seen_at = states[kind.name].last_success_at if kind.name in states else None
        is_behind = seen_at is None or seen_at < ends_at - every - _SLACK
        is_failing = kind.name in states and states[kind.name].state == "failing"
        if is_behind or is_failing or stored.revoked_at is not None:
            since = local_day(athlete, seen_at or stored.connected_at)
            yield Unseen(source=kind.title, since=since)


def _seen_at(tx: Transaction, athlete: Athlete, source: str) -> datetime | None:
    state = tx.progress.sources(athlete).get(source)
    return state.last_success_at if state else None


def _inbox_missing_at(tx: Transaction, athlete: Athlete) -> datetime | None:
    """Since when the folder that the athlete's files came from isn't there."""
    folder = tx.inbox.folder()
    if folder is None or "inbox" not in tx.progress.sources(athlete):
        return None
    return folder.missing_at


def _files(tx: Transaction, athlete: Athlete, *, also_unreadable: bool = False) -> int:
    """How many of the athlete's files wait for their turn, or also can't be read for now."""
    waiting = [
        file
        for file in tx.inbox.with_verdict("waiting", "unread")
        if (file.verdict == "waiting" and not file.reason)
        or (also_unreadable and (file.verdict == "unread" or file.size == UNLISTED))
    ]
    if not waiting:
        return 0
    theirs = {folder_name(athlete.name)} | ({""} if tx.athletes.count() == 1 else set())
    # A folder that can't be listed stands for what lies in it.
    tops = [file.path if file.size == UNLISTED else top_folder(file.path) for file in waiting]
    return sum(folder_name(top_folder(top) or top) in theirs for top in tops)
