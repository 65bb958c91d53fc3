"""Account exports: the rows of their tables beside the files, for the inbox and for imports.

Exports in the inbox are read as `import` reads them: an archive that contains tables, or a table
by itself. The reader's child process lists and reads them, within its limits.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from worker.domain.files import KnownEntry, Snapshot
from worker.domain.matching import same_run
from worker.domain.models import Athlete, Recording
from worker.sources import NotARun, Reading, Unreadable
from worker.sources.archive.entries import Account, Entry
from worker.sources.archive.manifest import Table, as_text
from worker.sources.folder import Inbox, recordings
from worker.sources.formats.table_names import table_kind
from worker.sources.formats.unpack import Member
from worker.store import Transaction

MOST_BAD_ROWS = 100
"""The most unreadable rows of one file that are reported one by one."""


def with_rows(
    inbox: Inbox, file: Snapshot, members: Sequence[Member], athlete: Athlete
) -> tuple[list[Member], list[Reading]]:
    """The readings of a file in the inbox by member; for an account's export, also its rows."""
    readings = [recordings(one, athlete=athlete, source="inbox") for one in members]
    path = inbox.folder / file.path
    tables = _tables(inbox, path, members)
    if not tables or inbox.reader is None:
        return list(members), readings
    account = Account(tables, athlete=athlete, reader=inbox.reader, source="inbox")
    entries: list[tuple[Member, Reading]] = []
    for member, reading in zip(members, readings, strict=True):
        is_itself = member.name == path.name and not isinstance(reading, tuple)
        if is_itself and isinstance(reading, NotARun | Unreadable):
            continue  # a table, or an archive that contains only a table
        sha256 = member.sha256 if isinstance(reading, tuple) else None
        name = as_text(f"{path}{member.name.removeprefix(path.name)}")
        weighed = account.weigh(Entry(name, reading, sha256=sha256))
        entries.append((member, _read(weighed)))
    saw_runs = any(isinstance(reading, tuple) for _, reading in entries)
    bad = 0
    for row in account.rows(tells_others=not saw_runs):
        reading = _read(row)
        bad += isinstance(reading, Unreadable)
        if bad <= MOST_BAD_ROWS or not isinstance(reading, Unreadable):
            inside = row.name.removeprefix(as_text(str(path))).replace(", line ", "/line ")
            entries.append((Member(f"{path.name}{inside}", None, ()), reading))
    return [member for member, _ in entries], [reading for _, reading in entries]


def belonging(tx: Transaction, athlete: Athlete, arrived: Sequence[Recording]) -> list[Recording]:
    """The recordings; rows of a table get the digests of the files they were once matched with.

    An account's statement about an unknown activity is left out.
    """
    alone: dict[str, list[str]] = {}
    for recording in arrived:
        if recording.sha256 is None:
            alone.setdefault(recording.source, []).append(recording.external_id)
    contents = {
        (source, external_id): sha256
        for source, ids in alone.items()
        for external_id, sha256 in tx.runs.contents(athlete, source, ids).items()
    }
    dressed = [
        replace(r, sha256=r.sha256 or contents.get((r.source, r.external_id))) for r in arrived
    ]
    told = [r for r in dressed if not r.about]
    words = [r for r in dressed if r.about]
    loose = {word.day for word in words if word.sha256 is None}
    near = [*told, *(r for r in tx.runs.on_days(athlete, loose) if not r.about)] if loose else told
    keys = {r.key for r in told}
    return told + [
        word
        for word in words
        if word.key not in keys
        and (word.sha256 is not None or any(same_run(word, other) for other in near))
    ]


def _tables(inbox: Inbox, path: Path, members: Sequence[Member]) -> list[Table]:
    """The tables that a file is or contains."""
    if table_kind(path.as_posix()):
        return [Table(path)]
    is_archive = any(one.name != path.name for one in members)
    if inbox.reader is None or not (is_archive or path.suffix.casefold() == ".zip"):
        return []
    return [Table(path, name) for name in inbox.reader.tables_in(path)]


def _read(entry: Entry) -> Reading:
    """The reading of an entry; in the inbox, an entry is never known from an import."""
    return NotARun(entry.reading.reason) if isinstance(entry.reading, KnownEntry) else entry.reading
