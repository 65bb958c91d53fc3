"""Take in: what the sources have, read without a transaction open, then decided on in one."""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import islice

from worker.model import Athlete, Recording
from worker.pipeline.decide import decide
from worker.pipeline.works import Works, each, today_of
from worker.sources import NotARun, Reading, Unreadable
from worker.sources.inbox import Glance, Look, Opened, Ready, Scan, top_folder
from worker.store import Change, Entry, SourceState, Transaction, Verdict

log = logging.getLogger(__name__)

FILES_AT_ONCE = 200
"""Files decided on in one transaction: enough to be quick, few enough to let others write."""

_TELLS_MOST: tuple[Verdict, ...] = ("imported", "duplicate", "failed", "skipped", "waiting")
_REASONS = 3

FIRST_SYNC = "it came with the first files: nothing is mailed about the past"


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What one look at the inbox came to; `failed` holds each file with its reason."""

    imported: int = 0
    duplicate: int = 0
    skipped: int = 0
    failed: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> "TakenIn":
        """Count verdicts."""
        verdicts = [(entry.verdict, entry.path, entry.reason) for entry in entries]
        count = [verdict for verdict, _, _ in verdicts].count
        return cls(
            imported=count("imported"),
            duplicate=count("duplicate"),
            skipped=count("skipped"),
            failed=tuple(
                (path, reason) for verdict, path, reason in verdicts if verdict == "failed"
            ),
        )


def take_in_inbox(works: Works, now: datetime) -> TakenIn:
    """Look at the watched folder once, and decide on every file that has come to rest.

    Raises `SourceError` where the folder can't be read.
    """
    ready = look_at_inbox(works, now)
    entries: list[Entry] = []
    athletes = {one.athlete.id: one.athlete for one in ready}

    def take_in(athlete: Athlete) -> None:
        theirs = [one for one in ready if one.athlete.id == athlete.id]
        entries.extend(_theirs(works, athlete, theirs, now))

    each(athletes.values(), take_in)
    return TakenIn.of(entries)


def take_in_theirs(
    works: Works, athlete: Athlete, folders: Collection[str], now: datetime
) -> TakenIn:
    """Decide on the files of one athlete that have come to rest in these folders of the inbox.

    To be called once a look found some there. Twice is once: a file has one verdict.
    """
    glance = _glance(works, works.inbox.scan(folders))
    ready = [one for one in glance.ready if one.athlete.id == athlete.id]
    return TakenIn.of(_theirs(works, athlete, ready, now))


def folders_with_news(works: Works, now: datetime) -> Mapping[int, Sequence[str]]:
    """Look at the whole inbox: for whom something has come to rest, and in which folders."""
    found: dict[int, set[str]] = {}
    for one in look_at_inbox(works, now):
        found.setdefault(one.athlete.id, set()).add(top_folder(one.look))
    return {athlete_id: sorted(folders) for athlete_id, folders in found.items()}


def look_at_inbox(works: Works, now: datetime) -> tuple[Ready, ...]:
    """Look once; what has come to rest is given, the rest kept until the next look."""
    with works.store.reading() as tx:
        departed = tx.athletes.departed()
        if not works.inbox.remembers(departed):
            # Of the others the store is asked as they're met; these may have left the folder.
            works.inbox.recall(map(_look, tx.inbox.with_verdict("waiting")), departed=departed)
    glance = _glance(works, works.inbox.scan())
    if glance.unsettled or glance.gone:
        with works.store.transaction() as tx:
            tx.inbox.wait(map(_waiting, glance.unsettled), now=now)
            tx.inbox.drop(glance.gone)
        works.inbox.keep(glance.unsettled, gone=glance.gone)
        _log_unseen(glance.unsettled)
    return glance.ready


def _log_unseen(unsettled: Iterable[Look]) -> None:
    """Say once what can't be looked into; `status` goes on to. Names of folders tell of people."""
    for look in unsettled:
        if look.is_unseen and look.looks == 1:
            log.warning("inbox: a folder or file %(why)s; `easeback status` names it",
                        {"why": look.reason})  # fmt: skip
            log.debug("inbox: %(file)s %(why)s", {"file": look.path, "why": look.reason})


def _glance(works: Works, scan: Scan) -> Glance:
    """Judge a scan, with what the store knows of that which isn't known here."""
    fresh = works.inbox.unknown(scan)
    if fresh.looks:
        with works.store.reading() as tx:
            known = tx.inbox.at_paths({look.path for look in fresh.looks})
            # Whether there's one athlete or several shows in the first two.
            athletes = (*tx.athletes.of_folders(fresh.folders), *tx.athletes.first(2))
        works.inbox.keep(map(_look, known))
    else:
        athletes = ()
    return works.inbox.glance(tuple({one.id: one for one in athletes}.values()), scan)


def _theirs(
    works: Works, athlete: Athlete, ready: Sequence[Ready], now: datetime
) -> Iterator[Entry]:
    """One athlete's files, a batch at a time."""
    if not ready:
        return
    with works.store.reading() as tx:
        silence = FIRST_SYNC if _is_first_sync(tx, athlete) else None
    waiting = iter(ready)
    left = len(ready)
    while batch := list(islice(waiting, FILES_AT_ONCE)):
        left -= len(batch)
        yield from _batch(works, athlete, batch, now=now, silence=silence, left=left)


def _is_first_sync(tx: Transaction, athlete: Athlete) -> bool:
    """True before there's a run, and while the first files are being taken in a batch at a time.

    That goes on after a crash: the batches already kept must not give the rest a voice.
    """
    known = tx.progress.sources(athlete).get("inbox")
    return not tx.runs.any(athlete) or (known is not None and known.state == "waiting")


def _batch(
    works: Works,
    athlete: Athlete,
    ready: Sequence[Ready],
    *,
    now: datetime,
    silence: str | None,
    left: int,
) -> list[Entry]:
    opened = works.inbox.open_all(ready)
    with works.store.transaction() as tx:
        replaced_on = [
            day for one, file in opened if (day := _drop_replaced(tx, athlete, one, file, now=now))
        ]
        change = decide(
            tx,
            works,
            athlete,
            [r for _, file in opened for reading in file.readings for r in runs_in(reading)],
            now=now,
            silence=silence,
            also_since=min(replaced_on, default=None),
        )
        entries = list(_entries(athlete, opened, change))
        tx.inbox.drop_members(one.look.path for one, file in opened if file.names)
        tx.inbox.keep(entries, now=now)
        state = SourceState("waiting" if silence and left else "ok", now, backlog=left)
        tx.progress.source(athlete, "inbox", state)
    works.inbox.keep(replace(one.look, done=True, reason="") for one, _ in opened)
    for entry in entries:
        # Names of files tell of people, and the log outlives an athlete who is forgotten.
        log.info(
            "inbox: %(verdict)s, a file of athlete %(athlete)s",
            {"verdict": entry.verdict, "athlete": athlete.id},
        )
        log.debug(
            "inbox: %(verdict)s %(file)s: %(why)s",
            {"verdict": entry.verdict, "file": entry.path, "why": entry.reason or "a run"},
        )
    return entries


def runs_in(reading: Reading) -> tuple[Recording, ...]:
    """The recordings of a reading that has some."""
    return reading if isinstance(reading, tuple) else ()


def _drop_replaced(
    tx: Transaction, athlete: Athlete, ready: Ready, file: Opened, *, now: datetime
) -> date | None:
    """Where a file was written over, forget what it held before; the earliest day of that."""
    before = tx.inbox.at(ready.look.path)
    if before is None or before.sha256 is None or before.sha256 == file.sha256:
        return None
    elsewhere = [e for e in tx.inbox.with_content(before.sha256) if e.path != before.path]
    if elsewhere:
        return None
    today = today_of(athlete, now)
    return tx.runs.drop_content(athlete, "inbox", before.sha256, today=today).first_day


def _entries(
    athlete: Athlete, opened: Sequence[tuple[Ready, Opened]], change: Change
) -> Iterator[Entry]:
    told: set[int] = set()
    for ready, file in opened:
        verdicts = [verdict_of(reading, change, told) for reading in file.readings]
        verdict = min(verdicts, key=_TELLS_MOST.index)
        look = ready.look
        entry = Entry(
            path=look.path,
            athlete_id=athlete.id,
            size=look.size,
            mtime_ns=look.mtime_ns,
            looks=look.looks,
            verdict=verdict,
            reason=_reason(file.readings, verdict),
            sha256=file.sha256,
        )
        yield entry
        for name, reading, inside in zip(file.names, file.readings, verdicts, strict=False):
            if inside in ("failed", "skipped") and inside != verdict:
                path = f"{look.path}/{name}"
                yield replace(entry, path=path, verdict=inside, reason=reason_of(reading))


def verdict_of(reading: Reading, change: Change, told: set[int]) -> Verdict:
    """What came of a file. A run that another file of the same batch brought is no new one.

    `told` collects the new runs that earlier files of the batch have claimed.
    """
    if isinstance(reading, NotARun):
        return "skipped"
    if isinstance(reading, Unreadable):
        return "failed"
    new = {change.run_of[r.source, r.external_id] for r in reading if change.is_new(r)} - told
    told |= new
    return "imported" if new else "duplicate"


def _reason(readings: Sequence[Reading], verdict: Verdict) -> str:
    """What there is to say about a file: of an archive the first few reasons and how many more."""
    told = [reason for reading in readings if (reason := reason_of(reading))]
    if verdict == "duplicate":
        told.insert(0, "the run is known already")
    more = f"; and {len(told) - _REASONS} more" if len(told) > _REASONS else ""
    return "; ".join(told[:_REASONS]) + more


def reason_of(reading: Reading) -> str:
    """Why a reading gives no run, or what had to be recovered; "" where there's nothing to say."""
    if isinstance(reading, NotARun | Unreadable):
        return reading.reason
    return "; ".join(recording.note for recording in reading if recording.note)


def _look(entry: Entry) -> Look:
    return Look(
        path=entry.path,
        size=entry.size,
        mtime_ns=entry.mtime_ns,
        looks=entry.looks,
        done=entry.verdict != "waiting",
        reason=entry.reason if entry.verdict == "waiting" else "",
    )


def _waiting(look: Look) -> Entry:
    return Entry(
        path=look.path,
        athlete_id=None,
        size=look.size,
        mtime_ns=look.mtime_ns,
        looks=look.looks,
        verdict="waiting",
        reason=look.reason,
    )
