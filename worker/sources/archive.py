"""Archives: files, folders and whole exports named by the athlete, a member at a time.

Whatever is named is only read. A member that can't be read is a value with its reason; no link
is followed, so that a folder never leads out of itself.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from worker.model import Athlete
from worker.sources import NotARun, Reading, Unreadable
from worker.sources.formats import Parsed
from worker.sources.inbox import LARGEST_FILE_BYTES, recordings


@dataclass(frozen=True, slots=True)
class Member:
    """One file of what was named, as read."""

    name: str
    reading: Reading

    @property
    def reason(self) -> str:
        """Why it gives no run, or what had to be recovered; "" where there's nothing to say."""
        if isinstance(self.reading, NotARun | Unreadable):
            return self.reading.reason
        return "; ".join(recording.note for recording in self.reading if recording.note)


def files(paths: Iterable[Path]) -> list[Path]:
    """Every regular file among `paths` and below them, in the order of their names."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            for folder, folders, names in os.walk(path):
                folders.sort()
                inside = (Path(folder) / name for name in sorted(names) if name[0] != ".")
                found += [file for file in inside if file.is_file() and not file.is_symlink()]
        else:
            found.append(path)
    return found


def members(
    paths: Iterable[Path], *, athlete: Athlete, parse: Callable[[bytes], Parsed]
) -> Iterator[Member]:
    """Read every file, one at a time."""
    for path in files(paths):
        yield Member(str(path), _reading(path, athlete=athlete, parse=parse))


def _reading(path: Path, *, athlete: Athlete, parse: Callable[[bytes], Parsed]) -> Reading:
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE_BYTES:
            return Unreadable(f"too large: {size / 2**20:.0f} MiB")
        content = path.read_bytes()
    except OSError as error:
        return Unreadable(f"can't be read: {error.strerror or error}")
    sha256 = hashlib.sha256(content).hexdigest()
    return recordings(parse(content), athlete=athlete, source="import", sha256=sha256)
