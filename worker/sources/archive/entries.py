"""Archives: files, folders and whole accounts' exports named by the athlete, an entry at a time.

    paths ─→ manifest ─┬─→ files, packed or not ─→ entries
                       └─→ tables of activities ─→ entries, after those of the files they name

Whatever is named is only read; no link is followed out of a folder, and what isn't an activity's
file there (pictures, settings) is passed over. An entry that can't be read is a value with its
reason. A file that was read before, as it stands now, isn't read again: of an archive only the
members that are new.

A table (`activities.csv`) and the files beside it tell of the same runs. A row stands for its run
where the file is missing or can't be read; where it was read, the row only adds what the table
alone knows (that it was a race) and carries the file's digest, which makes them one run. Garmin's
summaries name no files: they are taken where no file of a run came with them.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from worker import __version__
from worker.domain.models import Athlete, KnownEntry
from worker.sources import NotARun, NotRead, Reading, Unreadable
from worker.sources.archive.manifest import TABLE, File, Manifest, Table, as_text
from worker.sources.folder import recordings
from worker.sources.formats.child import Reader
from worker.sources.formats.tables import BadRow, TableRow
from worker.sources.formats.unpack import Member

RECALLED_AT_ONCE = 500
"""Files asked after in one go: whether they are known."""


Recall = Callable[[Sequence[str]], Mapping[str, Sequence[KnownEntry]]]
"""By the marks of files what is known of their members, from the first on without a gap."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One activity's file or row, as read or as known from before.

    `mark` and `number` are its file as it stands and its place in there; without a mark it is read
    anew each time. `beside` says that it only adds to the run of another entry; `count` of how many
    activities it tells at once.
    """

    name: str
    reading: Reading | KnownEntry
    mark: str = ""
    number: int = 0
    sha256: str | None = None
    beside: bool = False
    count: int = 1


def read_entries(
    manifest: Manifest, *, athlete: Athlete, reader: Reader, recall: Recall
) -> Generator[Entry, None, None]:
    """Read every file and every member of the archives, then the rows of the tables.

    Whoever stops listening half-way closes it: until then the reader is taken.
    """
    named = {
        table.names(row.file)
        for table in manifest.tables
        if not table.has_summaries
        for row in reader.read_table(table.path, member=table.member, zone=athlete.timezone)
        if isinstance(row, TableRow) and row.file
    }
    hold_tables = {as_text(str(table.path)) for table in manifest.tables}
    digests: dict[str, str] = {}
    saw_runs = False
    for entry in _files(manifest.files, athlete=athlete, reader=reader, recall=recall):
        reading = entry.reading
        if entry.name in hold_tables and isinstance(reading, NotARun):
            continue  # an archive without an activity's file, but with a table of them
        saw_runs |= entry.sha256 is not None
        if entry.name in named and entry.sha256 is not None:
            digests[entry.name] = entry.sha256
        elif entry.name in named and isinstance(reading, NotARun | Unreadable | NotRead):
            reason = f"{reading.reason} (its row in {TABLE} counts instead)"
            yield replace(entry, reading=replace(reading, reason=reason))
            continue
        yield entry
    for table in manifest.tables:
        if not (table.has_summaries and saw_runs):
            yield from _rows(table, athlete, reader, digests, tells_others=not saw_runs)


def _rows(
    table: Table,
    athlete: Athlete,
    reader: Reader,
    digests: Mapping[str, str],
    *,
    tells_others: bool,
) -> Iterator[Entry]:
    """The runs of a table, what stands in the way of some, and that there are others."""
    others = 0
    zone = "" if table.has_summaries else athlete.timezone
    for row in reader.read_table(table.path, member=table.member, zone=zone):
        match row:
            case TableRow():
                sha256 = digests.get(table.names(row.file)) if row.file else None
                # The service's figures, not the watch's: a file of the run is believed first.
                run = replace(row.recording, device=False, sha256=sha256)
                name = f"{table.name}, line {row.line}"
                yield Entry(name, (run,), beside=sha256 is not None)
            case BadRow():
                yield Entry(f"{table.name}, line {row.line}", Unreadable(row.reason))
            case NotARun():
                others += 1
            case reason:
                yield Entry(table.name, reason)
    if others and tells_others:
        yield Entry(table.name, NotARun("of another sport, by the table"), count=others)


def _files(
    files: Iterable[File], *, athlete: Athlete, reader: Reader, recall: Recall
) -> Iterator[Entry]:
    """The entries of all files: those known, then those read for the first time."""
    coming = iter(files)
    while batch := [(file, _mark(file, athlete)) for file in islice(coming, RECALLED_AT_ONCE)]:
        known = recall([mark for _, mark in batch])
        for _, mark in batch:
            for number, one in enumerate(known.get(mark, ())):
                yield Entry(one.name, one, mark, number, one.sha256)
        whole = {file.path: mark for file, mark in batch if not file.packed and mark not in known}
        numbers: Counter[Path] = Counter()
        for path, member in reader.read_many(whole):
            yield _entry(path, member, whole[path], numbers[path], athlete)
            numbers[path] += 1
        for file, mark in batch:
            if file.packed:
                first = len(known.get(mark, ()))
                for number, member in enumerate(reader.read(file.path, skip=first), first):
                    yield _entry(file.path, member, mark, number, athlete)


def _entry(path: Path, member: Member, mark: str, number: int, athlete: Athlete) -> Entry:
    reading = recordings(member, athlete=athlete, source="import")
    name = as_text(f"{path}{member.name.removeprefix(path.name)}")
    whole_file = number == 0 and member.name == path.name
    if isinstance(reading, NotRead) or (isinstance(reading, Unreadable) and whole_file):
        return Entry(name, reading)  # the next time it may be readable: it's tried again
    is_run = isinstance(reading, tuple)
    return Entry(name, reading, mark, number, member.sha256 if is_run else None)


def _mark(file: File, athlete: Athlete) -> str:
    """Stays the same as long as reading the file anew would give the same for this athlete."""
    inputs = (file.path.absolute(), file.size, file.mtime_ns, athlete.timezone, __version__)
    return hashlib.sha256("\0".join(map(str, inputs)).encode(errors="surrogateescape")).hexdigest()
