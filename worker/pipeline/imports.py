"""Import: files, folders and archives that the athlete names; repeatable, and without mail.

    entries ─→ runs, each entry's result, the first day to judge (a commit a batch) ─→ verdicts
               after the last batch: every day since the first that changed is judged

No mail is sent about what is imported. A file that can't be read gets a verdict with its reason,
and the import continues. An import can be stopped at any point: what was saved is known the next
time, and what was saved but not judged is judged by the next `ingest`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from typing import Literal

from worker.domain.files import FileVerdict, KnownEntry
from worker.domain.models import Athlete
from worker.domain.weeks import local_day
from worker.pipeline.exports import belonging
from worker.pipeline.ingest import judge_overdue, reason_of, runs_in, verdict_of
from worker.pipeline.services import Clock, Services
from worker.sources.archive.entries import Entry, Recall
from worker.store.progress import SourceState

FAILURES = "import-failures.txt"
"""The list of what failed in the last import, below `data_dir`."""

ENTRIES_AT_ONCE = 100
"""Entries saved in one transaction: about as many as are read in the meantime."""

_ASKED_AT_ONCE = 500

Outcome = FileVerdict | Literal["put_aside", "corrected"]


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of one file or archive member, with a `reason` if it isn't a new run.

    `put_aside` means that the run is implausible or was excluded by somebody; `corrected`, that a
    row of an account is believed over its file. `count` is the number of activities in it, which
    may be many for a table.
    """

    name: str
    verdict: Outcome
    reason: str = ""
    count: int = 1


def recall_for(services: Services, athlete: Athlete) -> Recall:
    """Returns a function that looks up what the store knows of an athlete's files."""

    def recall(marks: Sequence[str]) -> Mapping[str, Sequence[KnownEntry]]:
        with services.store.reading() as tx:
            known = tx.imports.entries_of(athlete, marks)
        # Entries after a gap are read again.
        return {
            mark: [one for _, one in takewhile(lambda p: p[0] == p[1].number, enumerate(entries))]
            for mark, entries in known.items()
        }

    return recall


def import_entries(
    services: Services, athlete: Athlete, entries: Iterable[Entry], *, clock: Clock
) -> Iterator[Imported]:
    """Save every entry, a batch at a time, and judge at the end.

    A verdict is yielded once its entry is saved; an entry that only adds to another's run has
    none. Verdicts on runs that are put aside come last, because a later table may correct them.
    """
    waiting = iter(entries)
    aside: dict[_Key, Imported] = {}
    while batch := list(islice(waiting, ENTRIES_AT_ONCE)):
        saved = iter(_save_batch(services, athlete, batch, clock))
        for entry in batch:
            known = entry.reading
            key: _Key | None = None
            if not isinstance(known, KnownEntry):
                one, key = next(saved)
            elif known.sha256 is not None:  # its run has become known
                one = Imported(known.name, "duplicate", known.reason)
            else:
                one = Imported(known.name, known.verdict, known.reason)
            if entry.corrected:
                yield Imported(entry.name, "corrected", entry.corrected)
            elif key and not entry.beside:
                aside[key] = one
            elif not entry.beside:
                yield one
    with services.store.transaction() as tx:
        judge_overdue(tx, services, athlete, now=clock())
    held = iter(aside.items())
    while some := dict(islice(held, _ASKED_AT_ONCE)):
        with services.store.reading() as tx:
            why = tx.runs.why_aside(athlete, some)
        for key, one in some.items():
            yield replace(one, verdict="put_aside", reason=why[key]) if key in why else one


_Key = tuple[str, str]


def _save_batch(
    services: Services, athlete: Athlete, batch: Sequence[Entry], clock: Clock
) -> Sequence[tuple[Imported, _Key | None]]:
    """Save what is new in a batch in one transaction; returns the results, in the same order.

    Each comes with the source and external id of its recording, if that was put aside.
    """
    fresh = [(e, e.reading) for e in batch if not isinstance(e.reading, KnownEntry)]
    if not fresh:
        return ()
    now = clock()
    with services.store.transaction() as tx:
        arrived = [recording for _, reading in fresh for recording in runs_in(reading)]
        arrived = belonging(tx, athlete, arrived)
        change = tx.runs.save(athlete, arrived, now=now, today=local_day(athlete, now))
        if change.first_day is not None:
            tx.imports.leave_unjudged(athlete, since=change.first_day)
        claimed: set[int] = set()
        verdicts = [verdict_of(reading, change, claimed) for _, reading in fresh]
        tx.imports.save_entries(
            athlete,
            [
                KnownEntry(e.mark, e.number, e.name, verdict, reason_of(reading), e.sha256)
                for (e, reading), verdict in zip(fresh, verdicts, strict=True)
                if e.mark
            ],
        )
        tx.progress.save_source(athlete, "import", SourceState("ok", last_success_at=now))
        keys = [[(r.source, r.external_id) for r in runs_in(reading)] for _, reading in fresh]
        why = tx.runs.why_aside(athlete, {key for some in keys for key in some})
    return [
        (
            Imported(entry.name, verdict, reason_of(reading), entry.count),
            some[0] if some and all(key in why for key in some) else None,
        )
        for (entry, reading), verdict, some in zip(fresh, verdicts, keys, strict=True)
    ]
