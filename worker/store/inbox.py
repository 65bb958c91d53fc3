"""The inbox's shelf: what each file in the watched folder looked like, and what came of it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, bindparam, delete, func, or_, select

from worker.model import Athlete
from worker.store import tables
from worker.store.upsert import upsert

inbox_file = tables.inbox_file

_PATHS_AT_ONCE = 1000

Verdict = Literal["waiting", "imported", "duplicate", "skipped", "failed"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, by its path inside the inbox; `looks` counts equal looks in a row."""

    path: str
    athlete_id: int | None
    size: int
    mtime_ns: int
    looks: int
    verdict: Verdict
    reason: str = ""
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Inbox:
    """Entries by path. A file that is gone from the folder keeps its verdict."""

    connection: Connection

    def keep(self, entries: Iterable[Entry], *, now: datetime) -> None:
        upsert(
            self.connection,
            inbox_file,
            [{**asdict(entry), "looked_at": now} for entry in entries],
            keys=("path",),
        )

    def wait(self, entries: Iterable[Entry], *, now: datetime) -> None:
        """Keep files that nothing came of yet. Where one is written over, what it held is known."""
        rows = [{**asdict(entry), "looked_at": now} for entry in entries]
        for row in rows:
            del row["sha256"], row["athlete_id"]
        upsert(self.connection, inbox_file, rows, keys=("path",))

    def drop(self, paths: Iterable[str]) -> None:
        """Forget files that went before anything came of them."""
        gone = [{"gone": path} for path in paths]
        if gone:
            by_path = delete(inbox_file).where(
                inbox_file.c.path == bindparam("gone"), inbox_file.c.verdict == "waiting"
            )
            self.connection.execute(by_path, gone)

    def forget(self, athlete: Athlete) -> None:
        """Forget the athlete's files, and those in a folder of their name that nothing came of."""
        folder = func.lower(func.substr(inbox_file.c.path, 1, len(athlete.name) + 1))
        self.connection.execute(
            delete(inbox_file).where(
                or_(
                    inbox_file.c.athlete_id == athlete.id,
                    folder == f"{athlete.name.lower()}/",
                )
            )
        )

    def all(self) -> Mapping[str, Entry]:
        return {row.path: _entry(row) for row in self.connection.execute(select(inbox_file))}

    def drop_members(self, archives: Iterable[str]) -> None:
        """Forget the verdicts on what is inside these files; they are about to be read anew."""
        for path in archives:
            inside = inbox_file.c.path.startswith(f"{path}/", autoescape=True)
            self.connection.execute(delete(inbox_file).where(inside))

    def at(self, path: str) -> Entry | None:
        row = self.connection.execute(select(inbox_file).where(inbox_file.c.path == path)).first()
        return _entry(row) if row else None

    def at_paths(self, paths: Collection[str]) -> tuple[Entry, ...]:
        """What is known of the files at these paths."""
        wanted, found = sorted(paths), list[Entry]()
        for first in range(0, len(wanted), _PATHS_AT_ONCE):
            here = inbox_file.c.path.in_(wanted[first : first + _PATHS_AT_ONCE])
            found += map(_entry, self.connection.execute(select(inbox_file).where(here)))
        return tuple(found)

    def with_content(self, sha256: str) -> tuple[Entry, ...]:
        query = select(inbox_file).where(inbox_file.c.sha256 == sha256)
        return tuple(map(_entry, self.connection.execute(query)))

    def with_verdict(self, *verdicts: Verdict) -> tuple[Entry, ...]:
        query = (
            select(inbox_file).where(inbox_file.c.verdict.in_(verdicts)).order_by(inbox_file.c.path)
        )
        return tuple(map(_entry, self.connection.execute(query)))

    def counts(self) -> dict[str, int]:
        query = select(inbox_file.c.verdict, func.count().label("number")).group_by(
            inbox_file.c.verdict
        )
        return {row.verdict: row.number for row in self.connection.execute(query)}


def _entry(row: Row[Any]) -> Entry:
    return Entry(**{name: getattr(row, name) for name in Entry.__dataclass_fields__})
