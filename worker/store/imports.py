"""The imports' shelf: what came of each piece of an archive, and from which day on to judge."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date

from sqlalchemy import Connection, delete, select

from worker.model import Athlete
from worker.store import tables
from worker.store.inbox import Verdict
from worker.store.upsert import upsert

import_piece = tables.import_piece
unjudged = tables.unjudged


@dataclass(frozen=True, slots=True)
class Remembered:
    """What came of one piece: the `number`-th member of the file whose `mark` this is.

    `sha256` is of the content that its run came from, None where it isn't a run.
    """

    mark: str
    number: int
    name: str
    verdict: Verdict
    reason: str = ""
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Imports:
    """Pieces of archives by mark and number; and what an import has yet to judge."""

    connection: Connection

    def remember(self, athlete: Athlete, pieces: Iterable[Remembered]) -> None:
        """Keep what came of pieces, in the transaction that keeps their runs."""
        rows = [{"athlete_id": athlete.id, **asdict(piece)} for piece in pieces]
        upsert(self.connection, import_piece, rows, keys=("athlete_id", "mark", "number"))

    def remembered(
        self, athlete: Athlete, marks: Collection[str]
    ) -> Mapping[str, tuple[Remembered, ...]]:
        """What came of the members of these files, in their order; without those never seen."""
        query = (
            select(import_piece)
            .where(import_piece.c.athlete_id == athlete.id, import_piece.c.mark.in_(marks))
            .order_by(import_piece.c.mark, import_piece.c.number)
        )
        found: dict[str, list[Remembered]] = {}
        for row in self.connection.execute(query):
            found.setdefault(row.mark, []).append(
                Remembered(row.mark, row.number, row.name, row.verdict, row.reason, row.sha256)
            )
        return {mark: tuple(pieces) for mark, pieces in found.items()}

    def leave_unjudged(self, athlete: Athlete, *, since: date) -> None:
        """Keep that runs from `since` on wait to be judged, beside what waits already."""
        before = self.unjudged(athlete)
        row = {"athlete_id": athlete.id, "since": min(since, before or since)}
        upsert(self.connection, unjudged, [row], keys=("athlete_id",))

    def unjudged(self, athlete: Athlete) -> date | None:
        """The first day of what waits to be judged, None where nothing does."""
        query = select(unjudged.c.since).where(unjudged.c.athlete_id == athlete.id)
        return self.connection.execute(query).scalar_one_or_none()

    def with_unjudged(self, *, most: int = tables.DUE_AT_ONCE) -> tuple[int, ...]:
        """The ids of the athletes for whom something waits to be judged."""
        query = select(unjudged.c.athlete_id).order_by(unjudged.c.athlete_id).limit(most)
        return tuple(self.connection.execute(query).scalars())

    def judged(self, athlete: Athlete) -> None:
        """Nothing waits any more."""
        self.connection.execute(delete(unjudged).where(unjudged.c.athlete_id == athlete.id))
