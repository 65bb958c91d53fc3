"""Keep what Garmin's rows and files tell, drop what is gone, and judge what it touches."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from worker.model import Athlete, Recording
from worker.pipeline.decide import decide
from worker.pipeline.garmin.files import Fetched, settled_file
from worker.pipeline.polling import is_edited
from worker.pipeline.take_in import runs_in
from worker.pipeline.works import Works, today_of
from worker.sources import NotARun, Unreadable
from worker.sources.garmin.rows import GarminRow, corrected
from worker.store import SeenFile, Transaction

log = logging.getLogger(__name__)


def keep_rows(
    tx: Transaction,
    works: Works,
    athlete: Athlete,
    rows: Sequence[GarminRow],
    *,
    now: datetime,
    files: Mapping[str, Fetched] | None = None,
    gone: Collection[str] = (),
    silence: str | None = None,
) -> None:
    """Keep rows with the files that were fetched for them; what's known and unchanged stays."""
    by_id = {row.external_id: row for row in rows}
    kept = tx.garmin.kept(athlete, by_id)
    ended = {*gone, *(i for i, row in by_id.items() if isinstance(row.reading, NotARun))}
    names = _named(tx, athlete, ended)
    change = tx.runs.drop(athlete, "garmin", names, today=today_of(athlete, now))
    tx.garmin.forget_seen(athlete, ended)
    recordings: list[Recording] = []
    seen: list[SeenFile] = []
    for external_id, row in by_id.items():
        if external_id in ended:
            continue
        before = kept.get(external_id)
        one = _seen(row, before, now=now, silence=silence)
        if files and external_id in files:
            recordings += runs_in(files[external_id].reading or ())
            seen.append(settled_file(one, files[external_id]))
        else:
            told = tuple(_by_summary(tx, athlete, row, before))
            recordings += told
            seen.append(replace(one, edited=one.edited or any(r.edited for r in told)))
    tx.garmin.keep_seen(athlete, seen, now=now)
    decide(tx, works, athlete, recordings, now=now, silence=silence, also_since=change.first_day)
    if ended and change.first_day is not None:
        log.info(
            "garmin: athlete %(athlete)s: %(number)d activities gone",
            {"athlete": athlete.id, "number": len(ended)},
        )


def is_fresh(row: GarminRow, before: SeenFile | None) -> bool:
    """True for a run that wasn't known before, or couldn't be read."""
    if before is None:
        return row.wants_file
    return before.reason is not None and isinstance(row.reading, Recording)


def _by_summary(
    tx: Transaction, athlete: Athlete, row: GarminRow, before: SeenFile | None
) -> Iterator[Recording]:
    """The summary's recording where it's new, or where the athlete changed it since."""
    if not isinstance(row.reading, Recording):
        return
    if before is None or before.reason is not None:
        yield row.reading
    elif is_edited(before, row.reading):
        digest = tx.runs.contents(athlete, "garmin", [row.external_id]).get(row.external_id)
        yield corrected(row.reading, sha256=digest)


def _seen(
    row: GarminRow, before: SeenFile | None, *, now: datetime, silence: str | None
) -> SeenFile:
    """The row as it's remembered, with how far its file was before."""
    unreadable = row.reading.reason if isinstance(row.reading, Unreadable) else None
    if before is None:
        return SeenFile(
            row.external_id,
            row.started_at,
            row.payload,
            reason=unreadable,
            file_due_at=now,
            silence=silence,
        )
    # What only its file could tell is known from there.
    reason = before.reason if unreadable else None
    return replace(before, started_at=row.started_at, payload=row.payload, reason=reason)


def _named(tx: Transaction, athlete: Athlete, external_ids: Collection[str]) -> list[str]:
    """The names of the recordings behind activities: one a leg."""
    if not external_ids:
        return []
    told = (r.external_id for r in tx.runs.recorded(athlete, "garmin"))
    return [name for name in told if name.partition(":")[0] in external_ids]
