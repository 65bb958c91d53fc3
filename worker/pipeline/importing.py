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
from worker.pipeline.take_in import runs_in, verdict_of
from worker.pipeline.works import Works
from worker.sources.archive import Member
from worker.store import SourceState, Verdict

IMPORTED = "it was imported: nothing is mailed about the past"
MEMBERS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one file or member; `reason` where it isn't a new run."""

    name: str
    verdict: Verdict
    reason: str = ""


def import_members(
    works: Works,
    athlete: Athlete,
    members: Iterable[Member],
    *,
    clock: Callable[[], datetime],
) -> Iterator[Imported]:
    """Decide on every member, a batch at a time; each batch is kept before its verdicts come."""
    waiting = iter(members)
    while batch := list(islice(waiting, MEMBERS_AT_ONCE)):
        yield from _batch(works, athlete, batch, now=clock())


def _batch(
    works: Works, athlete: Athlete, batch: Sequence[Member], *, now: datetime
) -> list[Imported]:
    with works.store.transaction() as tx:
        change = decide(
            tx,
            works,
            athlete,
            [recording for member in batch for recording in runs_in(member.reading)],
            now=now,
            silence=IMPORTED,
        )
        tx.progress.source(athlete, "import", SourceState("ok", last_success_at=now))
    told: set[int] = set()
    verdicts = [(member, verdict_of(member.reading, change, told)) for member in batch]
    return [Imported(member.name, verdict, member.reason) for member, verdict in verdicts]
