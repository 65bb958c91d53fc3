"""Read one athlete's newest activities, or a page of the past."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime

from worker.model import Athlete
from worker.pipeline.garmin.files import Fetched, fetch_new
from worker.pipeline.garmin.keep import is_fresh, keep_rows
from worker.pipeline.garmin.line import Line, open_line
from worker.pipeline.garmin.works import GarminWorks
from worker.pipeline.polling import read_window, settle, wanted_rows
from worker.pipeline.works import Clock, Works, today_of
from worker.sources import plan
from worker.sources.garmin.grants import KEY_PAGE, WARN_BEFORE
from worker.sources.garmin.rows import LARGEST_PAGE, GarminRow
from worker.sources.plan import Standing
from worker.store import KeptKey, SourceState, Transaction

FIRST_SYNC = "it came with the first look at Garmin: nothing is mailed about the past"
HISTORY = "it came with the history at Garmin: nothing is mailed about the past"

FILES_BEFORE_JUDGING = 10
"""Files of new runs that are waited for; of the others the summary is judged first."""


def poll(works: Works, garmin: GarminWorks, athlete: Athlete, clock: Clock) -> bool:
    """Read the newest of one athlete's activities, and follow what changed or went.

    False where another worker is at it. Raises `GarminError`.
    """
    with open_line(works, garmin, athlete, clock) as line:
        if line is None:
            return False
        reach, now = garmin.client.settings.history, clock()
        with works.store.reading() as tx:
            standing = Standing(**tx.garmin.standing(athlete))
            known = tx.garmin.starts(athlete)
            first = not tx.runs.any(athlete)
        window = plan.newest(standing, now=now, reach=reach, largest_page=LARGEST_PAGE)
        shown, rows = read_window(
            window, lambda number: line.page(number=number, size=window.page_size).rows
        )
        gone, standing = plan.vanished(shown, known, standing, now=now)
        standing = plan.after_newest(standing, shown, window, now=now)
        wanted = wanted_rows(rows, since=now - reach)
        files = {} if first else _files(works, garmin, line, wanted)
        with works.store.transaction() as tx:
            if line.still_stands(tx):
                keep_rows(
                    tx, works, athlete, wanted, files=files, gone=gone, now=clock(),
                    silence=FIRST_SYNC if first else None,
                )  # fmt: skip
                words = runs_out_soon(line.kept, athlete, now)
                settle(tx, tx.garmin, athlete, standing, garmin.pace, now=clock(), words=words)
                tell_backlog(tx, garmin, athlete, now=now)
    return True


def _files(
    works: Works, garmin: GarminWorks, line: Line, wanted: list[GarminRow]
) -> Mapping[str, Fetched]:
    """The files of the runs that are new, newest first, as many as are waited for."""
    with works.store.reading() as tx:
        kept = tx.garmin.kept(line.athlete, {row.external_id for row in wanted})
    fresh = [row for row in wanted if is_fresh(row, kept.get(row.external_id))]
    return fetch_new(line, garmin, line.athlete, fresh[:FILES_BEFORE_JUDGING])


def read_back(works: Works, garmin: GarminWorks, athlete: Athlete, clock: Clock) -> bool:
    """One page of what lies behind what was read; False where another worker is at it."""
    with open_line(works, garmin, athlete, clock) as line:
        if line is None:
            return False
        reach, now = garmin.client.settings.history, clock()
        with works.store.reading() as tx:
            standing = Standing(**tx.garmin.standing(athlete))
        page = line.page(before=standing.read_back_to)
        standing = plan.after_history(standing, page.rows)
        with works.store.transaction() as tx:
            if line.still_stands(tx):
                wanted = wanted_rows(page.rows, since=now - reach)
                keep_rows(tx, works, athlete, wanted, now=now, silence=HISTORY)
                tx.garmin.keep_standing(athlete, asdict(standing))
                tell_backlog(tx, garmin, athlete, now=now)
    return True


def tell_backlog(tx: Transaction, garmin: GarminWorks, athlete: Athlete, *, now: datetime) -> None:
    """Say in `status` what is still to come: days of the past, and after them files."""
    standing = Standing(**tx.garmin.standing(athlete))
    left = standing.unread_days(now, garmin.client.settings.history)
    tx.progress.backlog(athlete, "garmin", left or tx.garmin.files_left(athlete))


def runs_out_soon(kept: KeptKey, athlete: Athlete, now: datetime) -> str | None:
    """What to say of a key in its last 14 days."""
    if kept.key_expires_at - now > WARN_BEFORE:
        return None
    ends_on = today_of(athlete, kept.key_expires_at)
    return f"the key runs out on {ends_on}: make a new one at {KEY_PAGE} and connect again"


def state_after_connecting(kept: KeptKey, athlete: Athlete, now: datetime) -> SourceState:
    """How Garmin feels before the first poll."""
    words = runs_out_soon(kept, athlete, now)
    return SourceState("waiting" if words else "ok", None, words)
