"""Archives: files, folders and whole accounts' exports named by the athlete, a piece at a time.

    paths ─→ survey ─┬─→ files, packed or not ─→ pieces
                     └─→ tables of activities ─→ pieces, after those of the files they name

Whatever is named is only read; no link is followed out of a folder, and what isn't an activity's
file there (pictures, settings) is passed over. A piece that can't be read is a value with its
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
from typing import Literal
from zoneinfo import ZoneInfo

from worker import __version__
from worker.model import Athlete
from worker.sources import NotARun, Reading, Unreadable, garmin_summaries, history
from worker.sources.formats.child import Reader
from worker.sources.formats.unpack import Member
from worker.sources.history import Logbook
from worker.sources.inbox import recordings
from worker.sources.survey import TABLE, File, Sheet, Survey, plain

FILES_AT_ONCE = 500
"""Files asked after in one go: whether they are known."""


@dataclass(frozen=True, slots=True)
class Known:
    """What came of a piece when it was read before; `sha256` where it was a run."""

    name: str
    verdict: Literal["waiting", "imported", "duplicate", "skipped", "failed"]
    reason: str
    sha256: str | None


Recall = Callable[[Sequence[str]], Mapping[str, Sequence[Known]]]
"""By the marks of files what is known of their members, from the first on without a gap."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One activity's file or row, as read or as known from before.

    `mark` and `number` are its file as it stands and its place in there; without a mark it is read
    anew each time. `beside` says that it only adds to the run of another piece; `count` of how many
    activities it tells at once.
    """

    name: str
    reading: Reading | Known
    mark: str = ""
    number: int = 0
    sha256: str | None = None
    beside: bool = False
    count: int = 1


def pieces(
    survey: Survey, *, athlete: Athlete, reader: Reader, recall: Recall
) -> Generator[Piece, None, None]:
    """Read every file and every member of the archives, then the rows of the tables.

    Whoever stops listening half-way closes it: until then the reader is taken.
    """
    tables = [_table(sheet, athlete) for sheet in survey.sheets]
    account = _Account(tables)
    for piece in _files(survey.files, athlete=athlete, reader=reader, recall=recall):
        if seen := account.see(piece):
            yield seen
    for table in tables:
        yield from account.rows(table)


@dataclass(frozen=True, slots=True)
class _Table:
    """A table as read."""

    sheet: Sheet
    book: Logbook | Unreadable

    @property
    def named(self) -> Iterator[str]:
        """The pieces that its rows name."""
        if isinstance(self.book, Logbook):
            yield from (self.sheet.names(one.file) for one in self.book.entries if one.file)


def _table(sheet: Sheet, athlete: Athlete) -> _Table:
    content = sheet.content()
    if isinstance(content, Unreadable):
        return _Table(sheet, content)
    if sheet.has_summaries:
        return _Table(sheet, garmin_summaries.read(content))
    return _Table(sheet, history.read(content, zone=ZoneInfo(athlete.timezone)))


class _Account:
    """What files and tables tell of one another: which of the named files gave a run."""

    def __init__(self, tables: Sequence[_Table]) -> None:
        self._named = {name for table in tables for name in table.named}
        self._digests: dict[str, str] = {}
        self._saw_runs = False
        self._hold_tables = {
            plain(str(table.sheet.path)) for table in tables if isinstance(table.book, Logbook)
        }

    def see(self, piece: Piece) -> Piece | None:
        """The piece, with a word about its row where that stands in; None: nothing to tell."""
        if piece.name in self._hold_tables and isinstance(piece.reading, NotARun):
            return None  # an archive without an activity's file, but with a table of them
        self._saw_runs |= piece.sha256 is not None
        if piece.name not in self._named:
            return piece
        if piece.sha256 is not None:
            self._digests[piece.name] = piece.sha256
        elif isinstance(piece.reading, NotARun | Unreadable):
            told = f"{piece.reading.reason} (its row in {TABLE} counts instead)"
            return replace(piece, reading=type(piece.reading)(told))
        return piece

    def rows(self, table: _Table) -> Iterator[Piece]:
        """The runs of a table, what stands in the way of some, and that there are others."""
        book, name = table.book, table.sheet.name
        if isinstance(book, Unreadable):
            yield Piece(name, book)
            return
        if table.sheet.has_summaries and self._saw_runs:
            return
        for entry in book.entries:
            sha256 = self._digests.get(table.sheet.names(entry.file)) if entry.file else None
            # The service's figures, not the watch's: a file of the run is believed first.
            row = replace(entry.recording, device=False, sha256=sha256)
            yield Piece(f"{name}, line {entry.line}", (row,), beside=sha256 is not None)
        for bad in book.bad:
            yield Piece(f"{name}, line {bad.line}", Unreadable(bad.reason))
        if book.others and not self._saw_runs:
            yield Piece(name, NotARun("of another sport, by the table"), count=book.others)


def _files(
    files: Iterable[File], *, athlete: Athlete, reader: Reader, recall: Recall
) -> Iterator[Piece]:
    """The pieces of all files: those known, then those read for the first time."""
    coming = iter(files)
    while batch := [(file, _mark(file, athlete)) for file in islice(coming, FILES_AT_ONCE)]:
        known = recall([mark for _, mark in batch])
        for _, mark in batch:
            for number, one in enumerate(known.get(mark, ())):
                yield Piece(one.name, one, mark, number, one.sha256)
        whole = {file.path: mark for file, mark in batch if not file.packed and mark not in known}
        numbers: Counter[Path] = Counter()
        for path, member in reader.read_many(whole):
            yield _piece(path, member, whole[path], numbers[path], athlete)
            numbers[path] += 1
        for file, mark in batch:
            if file.packed:
                first = len(known.get(mark, ()))
                for number, member in enumerate(reader.read(file.path, skip=first), first):
                    yield _piece(file.path, member, mark, number, athlete)


def _piece(path: Path, member: Member, mark: str, number: int, athlete: Athlete) -> Piece:
    reading = recordings(member, athlete=athlete, source="import")
    name = plain(f"{path}{member.name.removeprefix(path.name)}")
    if isinstance(reading, Unreadable) and number == 0 and member.name == path.name:
        return Piece(name, reading)  # the next time it may be readable: it's tried again
    is_run = isinstance(reading, tuple)
    return Piece(name, reading, mark, number, member.sha256 if is_run else None)


def _mark(file: File, athlete: Athlete) -> str:
    """Stays the same as long as reading the file anew would give the same for this athlete."""
    told = (file.path.absolute(), file.size, file.mtime_ns, athlete.timezone, __version__)
    return hashlib.sha256("\0".join(map(str, told)).encode(errors="surrogateescape")).hexdigest()
