"""Archives: files, folders and account exports that an athlete names, read one entry at a time.

    paths ─→ manifest ─┬─→ files, compressed or not ─→ entries
                       └─→ tables of activities ─→ entries, after those of the files they name

Everything is only read. No link is followed out of a folder, and files that aren't activities
(pictures, settings) are skipped. An entry that can't be read is a value with its reason. An
unchanged file isn't read again; of an archive, only new members are.

A table of an account and the files beside it describe the same runs. If the file is missing or
can't be read, the row is the run. Otherwise the row has the file's digest, which makes them one
run. It adds what only the account knows (that it was a race) and its owner's corrections, which
are believed: another sport, a crop, another distance. Garmin's summaries name no files and are
matched by time.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from worker import __version__
from worker.domain import matching
from worker.domain.files import KnownEntry
from worker.domain.models import METRES_PER, Athlete, Recording, SourceName
from worker.sources import NotARun, NotRead, Reading, Unreadable
from worker.sources.archive.manifest import File, Manifest, Table, as_text
from worker.sources.folder import recordings
from worker.sources.formats.child import Reader
from worker.sources.formats.tables import BadRow, OtherRow, TableItem, TableRow
from worker.sources.formats.unpack import Member

RECALLED_AT_ONCE = 500
"""How many files are looked up at once, to see whether they are known."""

_SHOWN = 40

Recall = Callable[[Sequence[str]], Mapping[str, Sequence[KnownEntry]]]
"""Maps marks of files to what is known of their members, from the first on without a gap."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One activity's file or row, as read now or known from before.

    `mark` identifies its file in its present state, and `number` its place there; without a mark
    it is read again each time. `beside` says that it only adds to the run of another entry, and
    `corrected` how it corrects that run. `count` is how many activities it represents.
    """

    name: str
    reading: Reading | KnownEntry
    mark: str = ""
    number: int = 0
    sha256: str | None = None
    beside: bool = False
    corrected: str = ""
    count: int = 1


def read_entries(
    manifest: Manifest, *, athlete: Athlete, reader: Reader, recall: Recall
) -> Generator[Entry, None, None]:
    """Read every file and every member of the archives, then the rows of the tables.

    A caller that stops early has to close the iterator, because it holds the reader until then.
    """
    account = Account(manifest.tables, athlete=athlete, reader=reader)
    hold_tables = {as_text(str(table.path)) for table in manifest.tables}
    saw_runs = False
    for entry in _files(manifest.files, athlete=athlete, reader=reader, recall=recall):
        if entry.name in hold_tables and isinstance(entry.reading, NotARun):
            continue  # an archive that contains a table, but no activity files
        saw_runs |= entry.sha256 is not None
        yield account.weigh(entry)
    yield from account.rows(tells_others=not saw_runs)


class Account:
    """What the tables of accounts say about the files beside them, and about runs without a file.

    `weigh` is called for every file before `rows` returns the rest; `source` is their source.
    """

    def __init__(
        self,
        tables: Sequence[Table],
        *,
        athlete: Athlete,
        reader: Reader,
        source: SourceName = "import",
    ) -> None:
        self._tables = tables
        self._athlete = athlete
        self._reader = reader
        self._source = source
        self._titles: dict[str, str] = {}  # from the tables, by file name
        self._others: dict[str, OtherRow] = {}
        self._digests: dict[str, str] = {}
        self._files: dict[str, Recording] = {}
        for table in tables if any(table.kind != "summaries" for table in tables) else ():
            for row in self._read(table):
                if isinstance(row, TableRow) and row.file:
                    self._titles[table.names(row.file)] = table.title
                elif isinstance(row, OtherRow) and row.file:
                    self._others[table.names(row.file)] = row

    def weigh(self, entry: Entry) -> Entry:
        """A file's entry, adjusted by its row: no run if the row says so."""
        name, reading = entry.name, entry.reading
        other = self._others.get(name)
        if isinstance(reading, NotARun | Unreadable | NotRead):
            if title := self._titles.get(name):
                reason = f"{reading.reason} (its row in {title} counts instead)"
                return replace(entry, reading=replace(reading, reason=reason))
            return entry
        if entry.sha256 is None or not (other or name in self._titles):
            return entry
        self._digests[name] = entry.sha256
        if isinstance(reading, KnownEntry) or len(reading) > 1:
            return entry
        self._files[name] = reading[0]
        if other is None or (
            other.recording and matching.tells_of_more(other.recording, reading[0])
        ):
            return entry
        said = f"by its row the account calls it {other.word[:_SHOWN]!r}, not a run"
        return replace(entry, reading=NotARun(said), sha256=None)

    def rows(self, *, tells_others: bool = False) -> Iterator[Entry]:
        """The runs of the tables, and the reasons why some rows give none.

        `tells_others` adds an entry about the activities that aren't runs.
        """
        for table in self._tables:
            others = 0
            for row in self._read(table):
                match row:
                    case TableRow() | OtherRow():
                        others += isinstance(row, OtherRow)
                        if row.recording:
                            yield self._row(table, row, row.recording)
                    case BadRow():
                        yield Entry(f"{table.name}, line {row.line}", Unreadable(row.reason))
                    case reason:
                        yield Entry(table.name, reason)
            if others and tells_others:
                yield Entry(table.name, NotARun("of another sport, by the table"), count=others)

    def _row(self, table: Table, row: TableRow | OtherRow, recording: Recording) -> Entry:
        file = table.names(row.file) if row.file else ""
        sha256 = self._digests.get(file)
        # These are the account's figures: a file of the run takes precedence.
        told = replace(recording, source=self._source, device=False, sha256=sha256)
        if told.about:
            told = replace(told, about=told.key)
        read = self._files.get(file)
        corrected = ""
        if isinstance(row, TableRow) and read and matching.corrects(told, read):
            there, here = (self._shown(one.distance_m) for one in (told, read))
            corrected = f"{there} in the account, {here} in its file"
        is_beside = bool(told.about) or sha256 is not None
        return Entry(f"{table.name}, line {row.line}", (told,), beside=is_beside,
                     corrected=corrected)  # fmt: skip

    def _shown(self, distance_m: float) -> str:
        units = self._athlete.units
        return f"{distance_m / METRES_PER[units]:.2f} {units}"

    def _read(self, table: Table) -> Iterator[TableItem | NotRead]:
        return self._reader.read_table(
            table.path,
            kind=table.kind,
            member=table.member,
            zone=self._athlete.timezone,
            units=self._athlete.units,
        )


def _files(
    files: Iterable[File], *, athlete: Athlete, reader: Reader, recall: Recall
) -> Iterator[Entry]:
    """The entries of all files: known ones, then those read for the first time."""
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
        return Entry(name, reading)  # without a mark, because it may be readable next time
    is_run = isinstance(reading, tuple)
    return Entry(name, reading, mark, number, member.sha256 if is_run else None)


def _mark(file: File, athlete: Athlete) -> str:
    """An identifier that stays the same for as long as reading the file again would give the
    same result.
    """
    inputs = (file.path.absolute(), file.size, file.mtime_ns, athlete.timezone, __version__)
    return hashlib.sha256("\0".join(map(str, inputs)).encode(errors="surrogateescape")).hexdigest()
