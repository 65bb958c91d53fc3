"""Read one athlete's newest activities, or a page of the past, and keep what they tell."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta

from worker.model import Athlete, Recording
from worker.pipeline.decide import decide, judge
from worker.pipeline.polling import is_edited, read_window, settle, wanted_rows
from worker.pipeline.strava.line import Line, open_line
from worker.pipeline.strava.works import StravaWorks
from worker.pipeline.works import Clock, Works, today_of
from worker.sources import NotARun, Unreadable, plan
from worker.sources.plan import Shown, Standing
from worker.sources.strava.refusals import ClockOff
from worker.sources.strava.rows import StravaRow
from worker.store import Seen, SourceState, Transaction

log = logging.getLogger(__name__)

FIRST_SYNC = "it came with the first look at Strava: nothing is mailed about the past"
HISTORY = "it came with the history on Strava: nothing is mailed about the past"
EXPIRED = "a run is no longer kept: nothing is mailed about that"


def poll(works: Works, strava: StravaWorks, athlete: Athlete, clock: Clock) -> bool:
    """Read the newest of one athlete's activities, and follow what changed or went.

    False where another worker is at it. Raises `StravaError`.
    """
    with open_line(works, strava, athlete, clock) as line:
        if line is None:
            return False
        reach = strava.client.settings.reach
        now = clock()
        with works.store.reading() as tx:
            standing = Standing(**tx.strava.standing(athlete))
            known = tx.strava.starts(athlete)
            first = not tx.runs.any(athlete)
        window = plan.newest(standing, now=now, reach=reach)
        shown, rows = _read(line, window)
        gone, standing = plan.vanished(shown, known, standing, now=now)
        standing = plan.after_newest(standing, shown, window, now=now)
        with works.store.transaction() as tx:
            if line.still_stands(tx):
                keep_rows(
                    tx, works, athlete, rows, gone=gone, now=now, reach=reach,
                    silence=FIRST_SYNC if first else None,
                )  # fmt: skip
                words = str(ClockOff()) if line.clock_seems_off else None
                settle(tx, tx.strava, athlete, standing, strava.pace, now=now, words=words)
    return True


def _read(line: Line, window: plan.Window) -> tuple[Shown, list[StravaRow]]:
    """The window; its first page is new, what lies behind counts as history."""
    return read_window(
        window,
        lambda number: (
            line.page(
                "new" if number == 1 else "history", number=number, size=window.page_size
            ).rows
        ),
    )


def read_back(works: Works, strava: StravaWorks, athlete: Athlete, clock: Clock) -> bool:
    """One page of what lies behind what was read; False where another worker is at it."""
    with open_line(works, strava, athlete, clock) as line:
        if line is None:
            return False
        reach, now = strava.client.settings.reach, clock()
        with works.store.reading() as tx:
            standing = Standing(**tx.strava.standing(athlete))
        page = line.page("history", before=standing.read_back_to)
        standing = plan.after_history(standing, page.rows)
        with works.store.transaction() as tx:
            if line.still_stands(tx):
                keep_rows(tx, works, athlete, page.rows, now=now, reach=reach, silence=HISTORY)
                tx.strava.keep_standing(athlete, asdict(standing))
                state = tx.progress.sources(athlete).get("strava") or SourceState("ok")
                left = standing.unread_days(now, reach)
                tx.progress.source(athlete, "strava", replace(state, backlog=left))
    return True


def keep_rows(
    tx: Transaction,
    works: Works,
    athlete: Athlete,
    rows: Sequence[StravaRow],
    *,
    now: datetime,
    reach: timedelta,
    gone: Collection[str] = (),
    silence: str | None = None,
) -> None:
    """Keep what the rows tell, drop what is gone or is no run any more, and judge what it touches.

    Rows that begin before what is wanted, or may be kept, are passed over.
    """
    wanted = wanted_rows(rows, since=now - reach)
    seen = tx.strava.seen(athlete, {row.external_id for row in wanted})
    no_runs = {row.external_id for row in wanted if isinstance(row.reading, NotARun)}
    ended = sorted({*gone, *no_runs})
    change = tx.runs.drop(athlete, "strava", ended, today=today_of(athlete, now))
    tx.strava.forget_seen(athlete, ended)
    recordings = tuple(_recordings(wanted, seen))
    tx.strava.keep_seen(athlete, _seen(wanted, recordings), now=now)
    decide(tx, works, athlete, recordings, now=now, silence=silence, also_since=change.first_day)
    if ended and change.first_day is not None:
        log.info(
            "strava: athlete %(athlete)s: %(count)d activities gone",
            {"athlete": athlete.id, "count": len(ended)},
        )


def _recordings(rows: Sequence[StravaRow], seen: Mapping[str, Seen]) -> Iterator[Recording]:
    """The rows' recordings, marked where the athlete changed the distance since first seen."""
    for row in rows:
        if isinstance(row.reading, Recording):
            edited = is_edited(seen.get(row.external_id), row.reading)
            yield replace(row.reading, edited=edited)


def _seen(rows: Sequence[StravaRow], recordings: Sequence[Recording]) -> list[Seen]:
    edited = {r.external_id for r in recordings if r.edited}
    return [
        Seen(
            row.external_id,
            row.started_at,
            row.payload,
            reason=row.reading.reason if isinstance(row.reading, Unreadable) else None,
            edited=row.external_id in edited,
        )
        for row in {row.external_id: row for row in rows}.values()
        if not isinstance(row.reading, NotARun)
    ]


def with_expired(tx: Transaction, works: Works, now: datetime, *, most: int) -> tuple[int, ...]:
    """Of whom Strava told longer ago than it may be kept, by id."""
    retention = works.strava.client.settings.retention if works.strava else None
    return () if retention is None else tx.strava.with_expired(now - retention, most=most)


def drop_expired(tx: Transaction, works: Works, athlete: Athlete, now: datetime) -> None:
    """Forget what Strava told of one athlete longer ago than it may be kept."""
    retention = works.strava.client.settings.retention if works.strava else None
    expired = tx.strava.begun_before(athlete, now - retention) if retention is not None else ()
    if not expired:
        return
    change = tx.runs.drop(athlete, "strava", expired, today=today_of(athlete, now))
    tx.strava.forget_seen(athlete, expired)
    if change.first_day is not None:
        judge(tx, works, athlete, since=change.first_day, now=now, silence=EXPIRED)
    tx.findings.forget_withdrawn(athlete)
