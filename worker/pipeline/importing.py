"""Import: files, folders and archives that the athlete names, silently, as often as they like.

What is imported is judged and kept like anything else, and nothing is mailed about it. A file
that can't be read is a verdict with its reason; the next one follows. Stopped and started again
it goes on: what is known already is a duplicate.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from worker.model import Athlete
from worker.pipeline.decide import decide
from worker.pipeline.take_in import reason_of, runs_in, verdict_of
from worker.pipeline.works import Works
from worker.sources.archive import Piece
from worker.store import SourceState, Verdict

IMPORTED = "it was imported: nothing is mailed about the past"
PIECES_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one file, or one member of an archive; `reason` where it isn't a new run."""

    name: str
    verdict: Verdict
    reason: str = ""


def import_pieces(
    works: Works,
    athlete: Athlete,
    pieces: Iterable[Piece],
    *,
    clock: Callable[[], datetime],
) -> Iterator[Imported]:
    """Decide on every piece, a batch at a time; each batch is kept before its verdicts come."""
    waiting = iter(pieces)
    while batch := list(islice(waiting, PIECES_AT_ONCE)):
        yield from _batch(works, athlete, batch, now=clock())


def _batch(
    works: Works, athlete: Athlete, batch: Sequence[Piece], *, now: datetime
) -> list[Imported]:
    with works.store.transaction() as tx:
        change = decide(
            tx,
            works,
            athlete,
            [recording for piece in batch for recording in runs_in(piece.reading)],
            now=now,
            silence=IMPORTED,
        )
        tx.progress.source(athlete, "import", SourceState("ok", last_success_at=now))
    told: set[int] = set()
    return [
        Imported(piece.name, verdict_of(piece.reading, change, told), reason_of(piece.reading))
        for piece in batch
    ]
