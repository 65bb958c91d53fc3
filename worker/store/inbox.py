"""The inbox's repository: what each file in the watched folder was like, and what came of it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, func, or_, select

from worker.domain.models import Athlete, FileVerdict, Snapshot
from worker.store.tables import inbox_file
from worker.store.upsert import upsert

_PATHS_AT_ONCE = 1000
_SNAPSHOT = (
    inbox_file.c.path,
    inbox_file.c.size,
    inbox_file.c.mtime_ns,
    inbox_file.c.looks,
    inbox_file.c.verdict,
    inbox_file.c.reason,
    inbox_file.c.athlete_id,
    inbox_file.c.sha256,
)
"""The columns of a snapshot, in the order of its fields."""

_COLUMNS = tuple(column.name for column in _SNAPSHOT)


@dataclass(frozen=True, slots=True)
class InboxFiles:
    """Files by path. One that is gone from the folder keeps its verdict."""

    connection: Connection

    def save(self, files: Iterable[Snapshot], *, now: datetime) -> None:
        """Save what came of files."""
        rows = [dict(zip(_COLUMNS, file, strict=True)) | {"looked_at": now} for file in files]
        upsert(self.connection, inbox_file, rows, keys=("path",))

    def wait(self, files: Iterable[Snapshot], *, now: datetime) -> None:
        """Save files that wait; of one that is written over, its old content stays known."""
        rows = [dict(zip(_COLUMNS[:-2], file, strict=False)) | {"looked_at": now} for file in files]
        upsert(self.connection, inbox_file, rows, keys=("path",))

    def drop(self, paths: Iterable[str]) -> None:
        """Forget files that left the folder while they waited."""
        gone = [{"gone": path} for path in paths]
        if gone:
            by_path = delete(inbox_file).where(
                inbox_file.c.path == bindparam("gone"), inbox_file.c.verdict == "waiting"
            )
            self.connection.execute(by_path, gone)

    def drop_members(self, archives: Iterable[str]) -> None:
        """Forget the verdicts on what is inside these files, which were read anew."""
        for path in archives:
            inside = inbox_file.c.path.startswith(f"{path}/", autoescape=True)
            self.connection.execute(delete(inbox_file).where(inside))

    def forget(self, athlete: Athlete) -> None:
        """Forget the athlete's files, and those that wait in a folder of their name."""
        folder = func.lower(func.substr(inbox_file.c.path, 1, len(athlete.name) + 1))
        self.connection.execute(
            delete(inbox_file).where(
                or_(
                    inbox_file.c.athlete_id == athlete.id,
                    folder == f"{athlete.name.lower()}/",
                )
            )
        )

    def at_paths(self, paths: Collection[str]) -> dict[str, Snapshot]:
        """Returns what is known of the files at these paths, by path."""
        wanted, found = sorted(paths), dict[str, Snapshot]()
        for first in range(0, len(wanted), _PATHS_AT_ONCE):
            here = inbox_file.c.path.in_(wanted[first : first + _PATHS_AT_ONCE])
            for row in self.connection.execute(select(*_SNAPSHOT).where(here)):
                found[row.path] = Snapshot._make(row)
        return found

    def with_content(self, sha256: str) -> tuple[Snapshot, ...]:
        """Returns the files of this content."""
        query = select(*_SNAPSHOT).where(inbox_file.c.sha256 == sha256)
        return tuple(map(Snapshot._make, self.connection.execute(query)))

    def with_verdict(self, *verdicts: FileVerdict) -> tuple[Snapshot, ...]:
        """Returns the files with these verdicts, or (none given) all, by path."""
        query = select(*_SNAPSHOT).order_by(inbox_file.c.path)
        if verdicts:
            query = query.where(inbox_file.c.verdict.in_(verdicts))
        return tuple(map(Snapshot._make, self.connection.execute(query)))

    def counts(self) -> dict[str, int]:
        """Returns how many files there are of each verdict."""
        query = select(inbox_file.c.verdict, func.count().label("number")).group_by(
            inbox_file.c.verdict
        )
        return {row.verdict: row.number for row in self.connection.execute(query)}
