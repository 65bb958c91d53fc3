"""The imports' repository: what came of each entry of an archive, and what is yet to be judged."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date

from sqlalchemy import Connection, delete, select

from worker.domain.models import Athlete, KnownEntry
from worker.store.tables import DUE_AT_ONCE, import_piece, unjudged
from worker.store.upsert import upsert


@dataclass(frozen=True, slots=True)
class Imports:
    """Pieces of archives by mark and number; and what an import has yet to judge."""

    connection: Connection

    def save_entries(self, athlete: Athlete, entries: Iterable[KnownEntry]) -> None:
        """Save what came of entries, in the transaction that saves their runs."""
        rows = [{"athlete_id": athlete.id, **asdict(entry)} for entry in entries]
        upsert(self.connection, import_piece, rows, keys=("athlete_id", "mark", "number"))

    def entries_of(
        self, athlete: Athlete, marks: Collection[str]
    ) -> Mapping[str, tuple[KnownEntry, ...]]:
        """Returns what came of the members of these files by mark, in their order."""
        query = (
            select(import_piece)
            .where(import_piece.c.athlete_id == athlete.id, import_piece.c.mark.in_(marks))
            .order_by(import_piece.c.mark, import_piece.c.number)
        )
        found: dict[str, list[KnownEntry]] = {}
        for row in self.connection.execute(query):
            found.setdefault(row.mark, []).append(
                KnownEntry(row.mark, row.number, row.name, row.verdict, row.reason, row.sha256)
            )
        return {mark: tuple(entries) for mark, entries in found.items()}

    def leave_unjudged(self, athlete: Athlete, *, since: date) -> None:
        """Save that runs from `since` on wait to be judged, beside what waits already."""
        before = self.unjudged(athlete)
        row = {"athlete_id": athlete.id, "since": min(since, before or since)}
        upsert(self.connection, unjudged, [row], keys=("athlete_id",))

    def unjudged(self, athlete: Athlete) -> date | None:
        """The first day of what waits to be judged, None where nothing does."""
        query = select(unjudged.c.since).where(unjudged.c.athlete_id == athlete.id)
        return self.connection.execute(query).scalar_one_or_none()

    def with_unjudged(self, *, most: int = DUE_AT_ONCE) -> tuple[int, ...]:
        """The ids of the athletes for whom something waits to be judged."""
        query = select(unjudged.c.athlete_id).order_by(unjudged.c.athlete_id).limit(most)
        return tuple(self.connection.execute(query).scalars())

    def judged(self, athlete: Athlete) -> None:
        """Nothing waits any more."""
        self.connection.execute(delete(unjudged).where(unjudged.c.athlete_id == athlete.id))
