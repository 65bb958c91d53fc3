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
from zoneinfo import ZoneInfo

from worker import __version__
from worker.domain.models import Athlete, KnownEntry
from worker.sources import NotARun, Reading, Unreadable
from worker.sources.archive.garmin_summaries import read_summaries
from worker.sources.archive.manifest import TABLE, File, Manifest, Table, printable
from worker.sources.archive.tables import Logbook, read_table
from worker.sources.folder import recordings
from worker.sources.formats.child import Reader
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
    tables = [_table(listed, athlete) for listed in manifest.tables]
    account = _Account(tables)
    for entry in _files(manifest.files, athlete=athlete, reader=reader, recall=recall):
        if seen := account.see(entry):
            yield seen
    for table in tables:
        yield from account.rows(table)


@dataclass(frozen=True, slots=True)
class _ReadTable:
    """A table as read."""

    listed: Table
    book: Logbook | Unreadable

    @property
    def named(self) -> Iterator[str]:
        """The entries that its rows name."""
        if isinstance(self.book, Logbook):
            yield from (self.listed.names(one.file) for one in self.book.runs if one.file)


def _table(listed: Table, athlete: Athlete) -> _ReadTable:
    content = listed.content()
    if isinstance(content, Unreadable):
        return _ReadTable(listed, content)
    if listed.has_summaries:
        return _ReadTable(listed, read_summaries(content))
    return _ReadTable(listed, read_table(content, zone=ZoneInfo(athlete.timezone)))


class _Account:
    """What files and tables tell of one another: which of the named files gave a run."""

    def __init__(self, tables: Sequence[_ReadTable]) -> None:
        self._named = {name for table in tables for name in table.named}
        self._digests: dict[str, str] = {}
        self._saw_runs = False
        self._hold_tables = {
            printable(str(table.listed.path)) for table in tables if isinstance(table.book, Logbook)
        }

    def see(self, entry: Entry) -> Entry | None:
        """The entry, with a word about its row where that stands in; None: nothing to tell."""
        if entry.name in self._hold_tables and isinstance(entry.reading, NotARun):
            return None  # an archive without an activity's file, but with a table of them
        self._saw_runs |= entry.sha256 is not None
        if entry.name not in self._named:
            return entry
        if entry.sha256 is not None:
            self._digests[entry.name] = entry.sha256
        elif isinstance(entry.reading, NotARun | Unreadable):
            reason = f"{entry.reading.reason} (its row in {TABLE} counts instead)"
            return replace(entry, reading=type(entry.reading)(reason))
        return entry

    def rows(self, table: _ReadTable) -> Iterator[Entry]:
        """The runs of a table, what stands in the way of some, and that there are others."""
        book, name = table.book, table.listed.name
        if isinstance(book, Unreadable):
            yield Entry(name, book)
            return
        if table.listed.has_summaries and self._saw_runs:
            return
        for entry in book.runs:
            sha256 = self._digests.get(table.listed.names(entry.file)) if entry.file else None
            # The service's figures, not the watch's: a file of the run is believed first.
            row = replace(entry.recording, device=False, sha256=sha256)
            yield Entry(f"{name}, line {entry.line}", (row,), beside=sha256 is not None)
        for bad in book.bad:
            yield Entry(f"{name}, line {bad.line}", Unreadable(bad.reason))
        if book.others and not self._saw_runs:
            yield Entry(name, NotARun("of another sport, by the table"), count=book.others)


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
    name = printable(f"{path}{member.name.removeprefix(path.name)}")
    if isinstance(reading, Unreadable) and number == 0 and member.name == path.name:
        return Entry(name, reading)  # the next time it may be readable: it's tried again
    is_run = isinstance(reading, tuple)
    return Entry(name, reading, mark, number, member.sha256 if is_run else None)


def _mark(file: File, athlete: Athlete) -> str:
    """Stays the same as long as reading the file anew would give the same for this athlete."""
    inputs = (file.path.absolute(), file.size, file.mtime_ns, athlete.timezone, __version__)
    return hashlib.sha256("\0".join(map(str, inputs)).encode(errors="surrogateescape")).hexdigest()
