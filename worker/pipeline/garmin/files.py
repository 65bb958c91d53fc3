"""Original files: fetched one by one, newest first, each believed in place of its summary.

One that can't be had now is tried again, later and later; one that never can leaves the summary,
with the reason as its note. None stops the others.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from worker.model import Athlete
from worker.pipeline.decide import decide
from worker.pipeline.garmin.line import Line, open_line
from worker.pipeline.garmin.works import GarminWorks
from worker.pipeline.take_in import runs_in
from worker.pipeline.works import Clock, Works
from worker.sources import Reading, Unreadable
from worker.sources.garmin.refusals import (
    DeadGrant,
    Forbidden,
    GarminError,
    NotThere,
    Unavailable,
)
from worker.sources.garmin.rows import GarminRow, kept_row, with_file, without_file
from worker.store import FileState, SeenFile, StoreError, Transaction

log = logging.getLogger(__name__)

TRIES = 8
RETRY_AFTER = timedelta(minutes=15)
_LONGEST_PAUSE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of one file: None where it has to be tried again."""

    file: FileState
    reading: Reading | None = None


def fetch_new(
    line: Line, garmin: GarminWorks, athlete: Athlete, rows: Sequence[GarminRow]
) -> Mapping[str, Fetched]:
    """The files of new activities, before they're judged; where Garmin stumbles, of the first."""
    found: dict[str, Fetched] = {}
    for row in rows:
        try:
            found[row.external_id] = fetch(line, garmin, athlete, row)
        except (Unavailable, Forbidden):
            # Perhaps this one alone can't be had: its summary does, and the file is tried again.
            continue
        except DeadGrant:
            raise
        except GarminError:
            break
    return found


def fetch(
    line: Line, garmin: GarminWorks, athlete: Athlete, row: GarminRow, *, edited: bool = False
) -> Fetched:
    """One file, read; raises `GarminError` where it can't be had now."""
    try:
        packed = line.original(row.external_id)
    except NotThere as error:
        return Fetched("none", without_file(row, str(error)))
    members = list(garmin.read(packed, f"{row.external_id}.zip"))
    reading = with_file(row, members, athlete, edited=edited)
    was_read = any(isinstance(member.parsed, tuple) for member in members)
    return Fetched("read" if was_read else "none", reading)


def read_files(
    works: Works, garmin: GarminWorks, athlete: Athlete, clock: Clock, *, at_most: int
) -> int:
    """Fetch files that are due, the newest first; how many were asked for.

    Raises `GarminError` where nothing can be had; 0 where another worker is at it.
    """
    with open_line(works, garmin, athlete, clock) as line:
        if line is None:
            return 0
        with works.store.reading() as tx:
            due = tx.garmin.files_due(athlete, clock(), most=at_most)
        stumbled = False
        for one in due:
            try:
                _read_one(works, garmin, line, one, clock)
                stumbled = False
            except Unavailable:
                _put_off(works, line, one, clock)
                if stumbled:  # twice in a row: it isn't the file
                    raise
                stumbled = True
            except Forbidden:
                _put_off(works, line, one, clock)
            except (GarminError, StoreError):
                raise
            except Exception:
                # Whatever nobody foresaw about one file must not stand before the others.
                log.exception("garmin: athlete %(athlete)s: unexpected", {"athlete": athlete.id})
                _put_off(works, line, one, clock)
        return len(due)


def _read_one(works: Works, garmin: GarminWorks, line: Line, one: SeenFile, clock: Clock) -> None:
    row = kept_row(one.external_id, one.payload)
    found = fetch(line, garmin, line.athlete, row, edited=one.edited)
    with works.store.transaction() as tx:
        if line.still_stands(tx):
            _keep(tx, works, line.athlete, one, found, now=clock())


def _put_off(works: Works, line: Line, one: SeenFile, clock: Clock) -> None:
    with works.store.transaction() as tx:
        if line.still_stands(tx):
            put_off_file(tx, line.athlete, one, now=clock())


def put_off_file(tx: Transaction, athlete: Athlete, one: SeenFile, *, now: datetime) -> None:
    """Try again later and later; after the last time the summary stays."""
    tries = one.file_tries + 1
    pause = min(RETRY_AFTER * (1 << one.file_tries), _LONGEST_PAUSE)
    again = replace(one, file_tries=tries, file_due_at=now + pause)
    given_up = replace(one, file="none", file_tries=tries, file_due_at=None)
    tx.garmin.keep_seen(athlete, [given_up if tries >= TRIES else again], now=now)


def _keep(
    tx: Transaction,
    works: Works,
    athlete: Athlete,
    one: SeenFile,
    found: Fetched,
    *,
    now: datetime,
) -> None:
    recordings = runs_in(found.reading) if found.reading is not None else ()
    settled = settled_file(one, found)
    tx.garmin.keep_seen(athlete, [settled], now=now)
    decide(tx, works, athlete, recordings, now=now, silence=one.silence)


def settled_file(one: SeenFile, found: Fetched) -> SeenFile:
    """As it's remembered once its file is read, or never will be."""
    reading = found.reading
    return replace(
        one,
        file=found.file,
        file_due_at=None,
        reason=reading.reason if isinstance(reading, Unreadable) else None,
        edited=one.edited or any(r.edited for r in runs_in(reading or ())),
    )
