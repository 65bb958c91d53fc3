"""Import: files, folders and archives that the athlete names, silently, as often as they like.

    pieces ─→ runs, what came of each piece, from when on to judge (a commit a batch) ─→ verdicts
              after the last batch: every day since the first that changed is judged

Nothing is mailed about what is imported. A file that can't be read is a verdict with its reason;
the next one follows. It can be stopped at any point: what was kept is known the next time, and
what was kept and not judged is judged by whoever decides next.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, takewhile

from worker.model import Athlete, Recording
from worker.pipeline.decide import judge_overdue
from worker.pipeline.take_in import reason_of, runs_in, verdict_of
from worker.pipeline.works import Clock, Works, today_of
from worker.sources.archive import Known, Piece, Recall
from worker.store import Change, Remembered, SourceState, Transaction, Verdict

PIECES_AT_ONCE = 100
"""Pieces kept in one transaction: about as many as the reader gets through in the meantime."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one file, or one member of an archive; `reason` where it isn't a new run.

    `count` is of the activities that it tells of, which may be many of a table's.
    """

    name: str
    verdict: Verdict
    reason: str = ""
    count: int = 1


def recall_for(works: Works, athlete: Athlete) -> Recall:
    """Asks the store what is known of an athlete's files."""

    def recall(marks: Sequence[str]) -> Mapping[str, Sequence[Known]]:
        with works.store.reading() as tx:
            remembered = tx.imports.remembered(athlete, marks)
        return {mark: _without_gap(pieces) for mark, pieces in remembered.items()}

    return recall


def import_pieces(
    works: Works, athlete: Athlete, pieces: Iterable[Piece], *, clock: Clock
) -> Iterator[Imported]:
    """Keep every piece, a batch at a time, and judge at the end.

    A verdict comes once its piece is kept; a piece that only adds to another's run has none.
    """
    waiting = iter(pieces)
    while batch := list(islice(waiting, PIECES_AT_ONCE)):
        yield from _batch(works, athlete, batch, clock)
    with works.store.transaction() as tx:
        judge_overdue(tx, works, athlete, now=clock())


def _batch(
    works: Works, athlete: Athlete, batch: Sequence[Piece], clock: Clock
) -> Iterator[Imported]:
    fresh = [piece for piece in batch if not isinstance(piece.reading, Known)]
    kept = iter(_keep(works, athlete, fresh, clock) if fresh else ())
    for piece in batch:
        known = piece.reading
        one = _again(known) if isinstance(known, Known) else next(kept)
        if not piece.beside:
            yield one


def _keep(
    works: Works, athlete: Athlete, batch: Sequence[Piece], clock: Clock
) -> Sequence[Imported]:
    now = clock()
    with works.store.transaction() as tx:
        arrived = _with_their_files(tx, athlete, [r for piece in batch for r in _runs_in(piece)])
        change = tx.runs.save(athlete, arrived, now=now, today=today_of(athlete, now))
        if change.first_day is not None:
            tx.imports.leave_unjudged(athlete, since=change.first_day)
        verdicts = _verdicts(batch, change)
        tx.imports.remember(
            athlete,
            [
                Remembered(p.mark, p.number, one.name, one.verdict, one.reason, p.sha256)
                for p, one in zip(batch, verdicts, strict=True)
                if p.mark
            ],
        )
        tx.progress.source(athlete, "import", SourceState("ok", last_success_at=now))
    return verdicts


def _with_their_files(
    tx: Transaction, athlete: Athlete, arrived: Sequence[Recording]
) -> Sequence[Recording]:
    """Rows of a table that comes alone still belong to the files that were read beside it once."""
    alone = [recording.external_id for recording in arrived if recording.sha256 is None]
    if not alone:
        return arrived
    contents = tx.runs.contents(athlete, "import", alone)
    return [replace(one, sha256=one.sha256 or contents.get(one.external_id)) for one in arrived]


def _verdicts(batch: Sequence[Piece], change: Change) -> Sequence[Imported]:
    told: set[int] = set()
    return [
        Imported(
            name=piece.name,
            verdict=verdict_of(piece.reading, change, told),
            reason=reason_of(piece.reading),
            count=piece.count,
        )
        for piece in batch
        if not isinstance(piece.reading, Known)
    ]


def _runs_in(piece: Piece) -> tuple[Recording, ...]:
    return () if isinstance(piece.reading, Known) else runs_in(piece.reading)


def _again(known: Known) -> Imported:
    """The verdict of a piece that was read before: its run is known by now."""
    verdict: Verdict = "duplicate" if known.sha256 is not None else known.verdict
    return Imported(known.name, verdict, known.reason)


def _without_gap(pieces: Sequence[Remembered]) -> Sequence[Known]:
    """From the first on; what comes after a gap is read anew."""
    whole = takewhile(lambda pair: pair[0] == pair[1].number, enumerate(pieces))
    return [Known(p.name, p.verdict, p.reason, p.sha256) for _, p in whole]
