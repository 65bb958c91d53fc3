"""Archives: files, folders and whole exports named by the athlete, a member at a time.

Whatever is named is only read. A member that can't be read is a value with its reason; no link
is followed, so that a folder never leads out of itself.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from worker.model import Athlete
from worker.sources import Reading
from worker.sources.inbox import ReadMany, recordings


@dataclass(frozen=True, slots=True)
class Piece:
    """One activity's file of what was named, as read."""

    name: str
    reading: Reading


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


def pieces(paths: Iterable[Path], *, athlete: Athlete, read_many: ReadMany) -> Iterator[Piece]:
    """Read every file below `paths`, and every member of the archives among them."""
    for path, member in read_many(files(paths)):
        inside = member.name.removeprefix(path.name)
        yield Piece(f"{path}{inside}", recordings(member, athlete=athlete, source="import"))
