"""Compares a scan of the watched folder with the database: which files are stable, which wait.

A folder may hold 200,000 files. A scan is therefore compared a page at a time, and only the names,
sizes and times of its files are held in memory.
"""

import logging
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import compress, islice

from worker.domain.files import Snapshot
from worker.domain.models import Athlete
from worker.domain.shown import counted
from worker.pipeline.services import Services
from worker.sources.base import SourceError
from worker.sources.folder import UNLISTED, top_folder
from worker.store import Transaction
from worker.store.files import InboxFolder

log = logging.getLogger(__name__)

StableFile = tuple[Snapshot, Athlete]

_COMPARED_AT_ONCE = 1000


@dataclass(slots=True)
class _News:
    """The results for a page of a scan: stable files, files that wait, and paths that are gone."""

    stable: list[StableFile] = field(default_factory=list)
    waiting: list[Snapshot] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)


def folders_with_news(services: Services, now: datetime) -> Mapping[int, Sequence[str]]:
    """Scan the whole inbox; returns the folders with stable files, by athlete."""
    found: dict[int, set[str]] = {}
    for file, athlete in scan_inbox(services, now):
        found.setdefault(athlete.id, set()).add(top_folder(file.path))
    return {athlete_id: sorted(folders) for athlete_id, folders in found.items()}


def stable_in(services: Services, folders: Collection[str], now: datetime) -> Iterator[StableFile]:
    """The files in these folders that are still as stable as in the last scan of the inbox."""
    for found in _compare(services, services.inbox.scan(folders), now, is_whole=False):
        yield from found.stable


def scan_inbox(services: Services, now: datetime) -> list[StableFile]:
    """Scan once: saves what waits, and returns the stable files, each with its athlete."""
    try:
        scanned = services.inbox.scan()
    except SourceError:
        _note_missing(services, now)
        raise
    _check_folder(services, len(scanned), now)
    stable: list[StableFile] = []
    for found in _compare(services, scanned, now, is_whole=True):
        stable += found.stable
        if found.waiting or found.gone:
            with services.store.transaction() as tx:
                tx.inbox.wait(found.waiting, now=now)
                tx.inbox.drop(found.gone)
        for file in found.waiting:
            if file.size == UNLISTED and file.scans == 1:
                # Logged once, and always in `status`. Folder names may name people.
                log.warning("inbox: a folder or file %(why)s; `easeback status` names it",
                            {"why": file.reason})  # fmt: skip
                log.debug("inbox: %(file)s %(why)s", {"file": file.path, "why": file.reason})
    return stable


def _note_missing(services: Services, now: datetime) -> None:
    """Save since when the folder, which had files, can't be listed."""
    with services.store.reading() as tx:
        before = tx.inbox.folder()
    if before and before.missing_at is None:
        with services.store.transaction() as tx:
            tx.inbox.save_folder(replace(before, missing_at=now))


def _check_folder(services: Services, files: int, now: datetime) -> None:
    """Save the folder and its number of files; raises `SourceError` for an empty mount point.

    An empty folder counts as one if it isn't the same folder that had files before.
    """
    inbox = services.inbox
    identity, is_empty = inbox.identity()
    with services.store.reading() as tx:
        before = tx.inbox.folder()
    seen = InboxFolder(identity, files)
    if before and is_empty and _is_another(services, before, identity):
        seen = replace(before, missing_at=before.missing_at or now)
    if seen != before and (before or files):
        with services.store.transaction() as tx:
            tx.inbox.save_folder(seen)
    if seen.missing_at:
        raise SourceError(
            f"the inbox {inbox.folder} is empty since {seen.missing_at:%Y-%m-%d %H:%M} "
            f"UTC, and isn't the folder that held {counted(seen.files, 'file')} before: "
            "mount that again, or put a file here to begin anew"
        )
    inbox.listed = identity


def inbox_is_missing(services: Services) -> bool:
    """True for an empty mount point; raises `SourceError` if the inbox can't be listed."""
    identity, is_empty = services.inbox.identity()
    with services.store.reading() as tx:
        before = tx.inbox.folder()
    return before is not None and is_empty and _is_another(services, before, identity)


def _is_another(services: Services, before: InboxFolder, identity: str) -> bool:
    """Whether the folder that was scanned before had files, and this is another folder.

    Several workers may know the same folder by different numbers, one for each machine.
    """
    return before.files > 0 and identity not in (before.identity, services.inbox.listed)


def _compare(
    services: Services, scanned: Sequence[Snapshot], now: datetime, *, is_whole: bool
) -> Iterator[_News]:
    """Compare a scan with the database, a page at a time, because a folder may be very large.

    If a scan equals the last settled one, only waiting files are compared, and those that were
    filled since they were judged bad. Unchanged waiting files aren't returned.
    """
    with services.store.reading() as tx:
        others, gone = _others(tx, services, scanned, is_whole=is_whole)
        # Verdicts are only deleted together with an athlete.
        departed = tx.athletes.departed()
    fingerprint = hash((departed, *compress(scanned, others)))
    is_settled = fingerprint == services.inbox.settled
    others_are_news = False
    compared = (
        (file, is_other)
        for file, is_other in zip(scanned, others, strict=True)
        if not (is_other and is_settled)
    )
    for page in iter(lambda: list(islice(compared, _COMPARED_AT_ONCE)), []):
        with services.store.reading() as tx:
            known = tx.inbox.at_paths([file.path for file, _ in page])
            news = list[Snapshot]()
            for file, is_other in page:
                before = known.get(file.path)
                if not is_other or before is None or not file.is_as_before(before):
                    news.append(file)
                    others_are_news |= bool(is_other)
            # The first two show whether there is one athlete or several.
            in_folders = tx.athletes.of_folders(frozenset(top_folder(file.path) for file in news))
            athletes = tuple({a.id: a for a in (*in_folders, *tx.athletes.first(2))}.values())
        yield _judge_news(services, news, known, athletes, now)
    if is_whole and not others_are_news:
        services.inbox.settled = fingerprint
    if gone:
        yield _News(gone=gone)


def _others(
    tx: Transaction, services: Services, scanned: Sequence[Snapshot], *, is_whole: bool
) -> tuple[bytearray, list[str]]:
    """A flag for each file: 0 if it is always compared (waiting or filled), 1 for the others.

    With it, for a whole scan, the paths that waited and are gone.
    """
    others, gone = bytearray(b"\1") * len(scanned), list[str]()
    for path in tx.inbox.paths("waiting", "unread"):
        # If a member of an archive couldn't be read, the archive is read again.
        at = _itself_or_archive(path, scanned)
        if at is not None:
            others[at] = 0
        elif is_whole:
            gone.append(path)
    for path, judged_at in tx.inbox.judged_bad().items():
        at = _itself_or_archive(path, scanned)
        if at is not None and services.inbox.was_filled(scanned[at].path, judged_at):
            others[at] = 0
    return others, gone


def _judge_news(
    services: Services,
    news: Sequence[Snapshot],
    known: Mapping[str, Snapshot],
    athletes: Sequence[Athlete],
    now: datetime,
) -> _News:
    """Which of these files are stable, and which wait in another state than the known one."""
    found = _News()
    for file in news:
        before = known.get(file.path)
        if before is None or not file.is_as_before(before):
            found.waiting.append(file)
            continue
        again = file._replace(scans=before.scans + 1)
        judged = services.inbox.judge(again, athletes)
        if isinstance(judged, Athlete):
            if services.inbox.is_due(file, now):
                found.stable.append((again, judged))
        elif (judged.scans, judged.reason) != (before.scans, before.reason):
            found.waiting.append(judged)
    return found


def _itself_or_archive(path: str, scanned: Sequence[Snapshot]) -> int | None:
    """The index in the scan of the file at this path, or of the archive that contains it."""
    while path:
        at = bisect_left(scanned, (path,))
        if at < len(scanned) and scanned[at].path == path:
            return at
        path = path.rpartition("/")[0]
    return None
