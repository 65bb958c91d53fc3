"""Lists what is below the paths that an athlete names: files to read, and tables of activities.

Only the head of each file is read, to recognise its format, and the list of an archive's contents.
Folders are walked without following links. Hidden names are left out. Files that aren't
activities are counted and skipped.
"""

import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from worker.sources.formats.table_names import TableKind, table_kind, tables_among
from worker.sources.formats.unpack import HEAD_BYTES, FileFormat, is_leftover, kind_of
from worker.sources.safe_open import open_file

_ACTIVITY_NAME = re.compile(r"\.(fit|gpx|tcx)(\.gz)?$", re.IGNORECASE)
_ARCHIVE_NAME = re.compile(r"\.zip$", re.IGNORECASE)
_GZIP = 31  # zlib's `wbits` for gzip


@dataclass(frozen=True, slots=True)
class File:
    """A file to read, in its present state; `packed` if it is an archive of many."""

    path: Path
    size: int = 0
    mtime_ns: int = 0
    packed: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table of activities or a file of summaries, by itself or as a `member` of an archive.

    Sessions are separate files; in an archive, their folder (with a slash) represents them.
    """

    path: Path
    member: str = ""

    @property
    def name(self) -> str:
        inside = self.member.replace("\\", "/")
        return as_text(f"{self.path}/{inside}" if inside else str(self.path))

    @property
    def title(self) -> str:
        """A title that distinguishes it from other tables."""
        return self.name.rstrip("/").rpartition("/")[2]

    @property
    def kind(self) -> TableKind:
        is_folder = self.name.endswith("/")
        return "sessions" if is_folder else table_kind(self.name) or "table"

    def names(self, file: str) -> str:
        """The name of an entry that the table calls `file`; the table's names are
        relative to it.
        """
        folder, slash, _ = self.name.rpartition("/")
        return as_text(f"{folder}{slash}{file}")


@dataclass(slots=True)
class Manifest:
    """What was found. `entries` is the number of entries in the files, as far as it is
    known before they are read; `open_ended` says that there are more, in archives within
    archives.
    """

    files: list[File] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    entries: int = 0
    open_ended: bool = False
    passed_over: int = 0


def manifest_of(paths: Iterable[Path]) -> Manifest:
    """List each path, and everything below those that are folders."""
    found = Manifest()
    for path in paths:
        if path.is_dir():
            for file in _walk(path, found):
                _sort(file, found, named=False)
        else:
            _sort(_meant(path), found, named=True)
    return found


def as_text(name: str) -> str:
    """A name as text that can be stored: undecodable bytes are escaped."""
    return name.encode(errors="backslashreplace").decode()


def _meant(path: Path) -> Path:
    """The target of a link that the athlete named; a broken link stays itself."""
    try:
        return path.resolve() if path.is_symlink() else path
    except (OSError, RuntimeError):  # a loop of links
        return path


def _walk(folder: Path, found: Manifest) -> Iterator[Path]:
    """The regular files below a folder, in the order of their names."""

    def cannot_list(error: OSError) -> None:
        found.files.append(File(Path(error.filename)))  # the reader will report why
        found.entries += 1

    for here, folders, names in os.walk(folder, onerror=cannot_list):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(here, name)
            if not name.startswith(".") and _is_file(path):
                yield path


def _is_file(path: Path) -> bool:
    """True for a regular file, and for one that can't be examined: the reader will report why."""
    try:
        return stat.S_ISREG(path.stat(follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _sort(path: Path, found: Manifest, *, named: bool) -> None:
    """Add a file to the right list; one that was `named` itself is never skipped."""
    if table_kind(path.as_posix()) or (named and path.suffix.casefold() == ".csv"):
        found.tables.append(Table(path))
        return
    status = _status(path)
    kind = _kind(path) if stat.S_ISREG(status.st_mode) else None
    if kind == "zip":
        found.files.append(File(path, status.st_size, status.st_mtime_ns, packed=True))
        _list(path, found)
    elif named or kind or _ACTIVITY_NAME.search(path.name):
        found.files.append(File(path, status.st_size, status.st_mtime_ns))
        found.entries += 1
    else:
        found.passed_over += 1


def _kind(path: Path) -> FileFormat | None:
    """The format of a file by its head; for a gzip of any name, the format of its content."""
    try:
        with open_file(path) as file:
            head = file.read(HEAD_BYTES)
        kind = kind_of(head)
        if kind == "gzip" and not _ACTIVITY_NAME.search(path.name):
            return kind_of(zlib.decompressobj(_GZIP).decompress(head, HEAD_BYTES))
    except (OSError, zlib.error):
        return None
    return kind


def _list(path: Path, found: Manifest) -> None:
    """Count an archive's entries and find its tables; the reader reports what is wrong with it."""
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except Exception:  # noqa: BLE001  # zipfile raises all sorts for crafted bytes
        return
    names = [name for name in names if not is_leftover(name)]
    found.tables += [Table(path, name) for name in tables_among(names)]
    found.entries += sum(bool(_ACTIVITY_NAME.search(name)) for name in names)
    found.open_ended |= any(_ARCHIVE_NAME.search(name) for name in names)


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat(follow_symlinks=False)
    except OSError:  # gone since it was listed
        return os.stat_result((0,) * 10)
