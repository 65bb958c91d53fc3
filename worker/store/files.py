"""The results of files: those of the watched inbox, and the entries of imported archives."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import cache
from itertools import islice
from sys import intern
from typing import Any

from sqlalchemy import Row, Select, bindparam, delete, func, or_, select

from worker.domain.files import FileVerdict, KnownEntry, Snapshot
from worker.domain.models import Athlete
from worker.store.repository import Repository, from_row
from worker.store.tables import DUE_AT_ONCE, import_piece, inbox_file, inbox_folder, unjudged
from worker.store.tables import athlete as athlete_table

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
class InboxFolder:
    """The folder that was listed last, and how many files were in it.

    `missing_at` is since when it can't be listed, or an empty folder is in its place.
    """

    identity: str
    files: int
    missing_at: datetime | None = None


class InboxFiles(Repository):
    """Files by path. A file that is gone from the folder keeps its verdict."""

    def folder(self) -> InboxFolder | None:
        """The folder as it was listed last; None if it never had a file."""
        rows = self._rows(select(inbox_folder))
        return from_row(InboxFolder, rows[0]) if rows else None

    def save_folder(self, seen: InboxFolder) -> None:
        self._upsert(inbox_folder, [{"id": 1, **asdict(seen)}])

    def save(self, files: Iterable[Snapshot], *, now: datetime) -> None:
        """Save the results of files."""
        self._save(files, _COLUMNS, now)

    def wait(self, files: Iterable[Snapshot], *, now: datetime) -> None:
        """Save files that wait; for an overwritten file, its old content stays known."""
        self._save(files, _COLUMNS[:-2], now)

    def _save(self, files: Iterable[Snapshot], columns: Sequence[str], now: datetime) -> None:
        coming = iter(files)
        while some := list(islice(coming, _PATHS_AT_ONCE)):  # hundreds of thousands may wait
            rows = [dict(zip(columns, file, strict=False)) | {"looked_at": now} for file in some]
            self._upsert(inbox_file, rows)

    def drop(self, paths: Iterable[str]) -> None:
        """Forget files that disappeared while they waited."""
        gone = [{"gone": path} for path in paths]
        if gone:
            by_path = inbox_file.c.path == bindparam("gone")
            waits = inbox_file.c.verdict.in_(("waiting", "unread"))
            statement = delete(inbox_file).where(by_path, waits)
            self.connection.execute(statement, gone)

    def drop_members(self, archives: Iterable[str]) -> None:
        """Delete the verdicts on the contents of these files, which were read again."""
        for path in archives:
            self._delete(inbox_file, inbox_file.c.path.startswith(f"{path}/", autoescape=True))

    def forget(self, athlete: Athlete) -> None:
        """Forget the athlete's files, and those that wait in a folder of their name."""
        folder = func.lower(func.substr(inbox_file.c.path, 1, len(athlete.name) + 1))
        theirs = inbox_file.c.athlete_id == athlete.id
        self._delete(inbox_file, or_(theirs, folder == f"{athlete.name.lower()}/"))

    def at_paths(self, paths: Collection[str]) -> dict[str, Snapshot]:
        """Returns what is known of the files at these paths, by path."""
        wanted, found = sorted(paths), dict[str, Snapshot]()
        for first in range(0, len(wanted), _PATHS_AT_ONCE):
            here = inbox_file.c.path.in_(wanted[first : first + _PATHS_AT_ONCE])
            for row in self.connection.execute(select(*_SNAPSHOT).where(here)):
                found[row.path] = Snapshot._make(row)
        return found

    def with_content(self, sha256: str) -> tuple[Snapshot, ...]:
        """Returns the files with this content."""
        query = select(*_SNAPSHOT).where(inbox_file.c.sha256 == sha256)
        return tuple(map(Snapshot._make, self._rows(query)))

    def with_verdict(
        self, *verdicts: FileVerdict, most: int | None = None, reasoned: bool = False
    ) -> tuple[Snapshot, ...]:
        """Returns the files with these verdicts (none given: all) by path, at most `most`.

        `reasoned`: only those with a reason.
        """
        query = _with_verdict(verdicts, most=most, reasoned=reasoned)
        return tuple(map(_snapshot, self.connection.execute(query)))

    def paths(self, *verdicts: FileVerdict) -> Iterator[str]:
        """Yields the paths of the files with these verdicts."""
        query = select(inbox_file.c.path).where(inbox_file.c.verdict.in_(verdicts))
        few_at_once = {"yield_per": _PATHS_AT_ONCE}
        yield from self.connection.execute(query, execution_options=few_at_once).scalars()

    def judged_bad(self) -> dict[str, datetime]:
        """When each file with invalid content was read, by path."""
        query = select(inbox_file.c.path, inbox_file.c.looked_at)
        rows = self._rows(query.where(inbox_file.c.verdict == "failed"))
        return {row.path: row.looked_at for row in rows}

    def counts(self) -> dict[str, int]:
        """Returns how many files there are of each verdict."""
        verdict = inbox_file.c.verdict
        rows = self._rows(select(verdict, func.count().label("number")).group_by(verdict))
        return {row.verdict: row.number for row in rows}


@cache
def _with_verdict(
    verdicts: tuple[FileVerdict, ...], *, most: int | None, reasoned: bool
) -> Select[Any]:
    """The statement of `InboxFiles.with_verdict`."""
    query = select(*_SNAPSHOT).order_by(inbox_file.c.path).limit(most)
    if reasoned:
        query = query.where(inbox_file.c.reason != "")
    return query.where(inbox_file.c.verdict.in_(verdicts)) if verdicts else query


def _snapshot(row: Row[Any]) -> Snapshot:
    """A file from its row; files with the same reason share one string."""
    file = Snapshot._make(row)
    return file if file.reason == "" else file._replace(reason=intern(file.reason))


class Imports(Repository):
    """Entries of archives by mark and number, and what an import hasn't judged yet."""

    def save_entries(self, athlete: Athlete, entries: Iterable[KnownEntry]) -> None:
        """Save the results of entries, in the transaction that saves their runs."""
        rows = [{"athlete_id": athlete.id, **asdict(entry)} for entry in entries]
        self._upsert(import_piece, rows)

    def entries_of(
        self, athlete: Athlete, marks: Collection[str]
    ) -> Mapping[str, tuple[KnownEntry, ...]]:
        """Returns the results of the members of these files by mark, in order."""
        query = (
            select(import_piece)
            .where(import_piece.c.athlete_id == athlete.id, import_piece.c.mark.in_(marks))
            .order_by(import_piece.c.mark, import_piece.c.number)
        )
        found: dict[str, list[KnownEntry]] = {}
        for row in self._rows(query):
            found.setdefault(row.mark, []).append(from_row(KnownEntry, row))
        return {mark: tuple(entries) for mark, entries in found.items()}

    def leave_unjudged(self, athlete: Athlete, *, since: date) -> None:
        """Save that runs from `since` on are to be judged, in addition to those that wait."""
        before = self._value(select(unjudged.c.since).where(unjudged.c.athlete_id == athlete.id))
        self._upsert(unjudged, [{"athlete_id": athlete.id, "since": min(since, before or since)}])

    def hold_unjudged(self, athlete: Athlete) -> date | None:
        """The first day that waits to be judged, or None.

        The athlete's row is locked until the end of the transaction, as by `Athletes.hold`.
        """
        rows = self.connection.execute(_holding(), {"athlete_id": athlete.id})
        since: date | None = rows.scalar()
        return since

    def with_unjudged(self, *, most: int = DUE_AT_ONCE) -> tuple[int, ...]:
        """The ids of the athletes with days that wait to be judged."""
        ids = unjudged.c.athlete_id
        return self._values(select(ids).order_by(ids).limit(most))

    def judged(self, athlete: Athlete) -> None:
        """Save that nothing waits to be judged any more."""
        self._delete(unjudged, unjudged.c.athlete_id == athlete.id)


@cache
def _holding() -> Select[Any]:
    """The statement of `Imports.hold_unjudged`."""
    return (
        select(unjudged.c.since)
        .select_from(athlete_table)
        .outerjoin(unjudged, unjudged.c.athlete_id == athlete_table.c.id)
        .where(athlete_table.c.id == bindparam("athlete_id"))
        .with_for_update(key_share=True, of=athlete_table)
    )
