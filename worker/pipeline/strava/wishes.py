"""Webhooks: what they say is only a wish to look; what is so, the API says."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from worker.model import Athlete
from worker.pipeline.strava.grants import forget_strava
from worker.pipeline.strava.line import Line, open_line
from worker.pipeline.strava.sync import FIRST_SYNC, keep_rows
from worker.pipeline.strava.works import StravaWorks
from worker.pipeline.works import Clock, Works
from worker.sources.strava.refusals import DeadGrant, RateLimited, StravaError

log = logging.getLogger(__name__)

TRIES = 8
_WHOLE_ATHLETE = ""


def note_event(works: Works, event: object, now: datetime) -> bool:
    """Keep what an event wishes for. One that names nobody we know is counted, and False."""
    return bool(note_events(works, [event], now))


def note_events(works: Works, events: Sequence[object], now: datetime) -> frozenset[int]:
    """Keep what all these events wish for, at once: they come by the hundred.

    Returns the ids of the athletes that they tell of.
    """
    with works.store.transaction() as tx:
        ours = tx.strava.subscription()
        told = [_told(event, ours.id if ours else None) for event in events]
        theirs = tx.strava.whose({one[0] for one in told if one is not None})
        wishes = {
            (athlete_id, one[1])
            for one in told
            if one is not None
            for athlete_id in theirs.get(one[0], ())
        }
        tx.strava.wish_all(wishes, now=now)
        strangers = sum(one is None or one[0] not in theirs for one in told)
        if strangers:
            tx.strava.dropped(strangers)
    return frozenset(athlete_id for athlete_id, _ in wishes)


def _told(event: object, subscription_id: int | None) -> tuple[int, str] | None:
    """Whose account an event names, and what to look at; None where it isn't for us."""
    if not isinstance(event, Mapping) or subscription_id is None:
        return None
    owner, wanted = event.get("owner_id"), _wanted(event)
    if wanted is None or event.get("subscription_id") != subscription_id:
        return None
    return (owner, wanted) if isinstance(owner, int) and abs(owner) < 2**63 else None


def _wanted(event: Mapping[Any, Any]) -> str | None:
    """The activity to look at, `""` for the athlete as a whole, None for what we don't know."""
    number = event.get("object_id")
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**63:
        return None
    if event.get("object_type") == "activity":
        return str(number)
    return _WHOLE_ATHLETE if event.get("object_type") == "athlete" else None


def fulfil_wishes(works: Works, strava: StravaWorks, clock: Clock) -> Iterator[str]:
    """Look at everything that was wished for; troubles in words."""
    done: set[tuple[int, str]] = set()
    while True:
        with works.store.reading() as tx:
            due = [one for one in tx.strava.wishes(clock()) if one not in done]
            wishes = [(tx.athletes.by_id(athlete_id), wanted) for athlete_id, wanted in due]
        if not due:
            return
        done |= set(due)
        for athlete, external_id in wishes:
            if athlete is None:
                continue
            try:
                yield from _fulfil_one(works, strava, athlete, external_id, clock)
            except RateLimited:
                return


def fulfil_theirs(works: Works, strava: StravaWorks, athlete: Athlete, clock: Clock) -> None:
    """Look at everything that was wished for of one athlete; raises `RateLimited`."""
    with works.store.reading() as tx:
        due = tx.strava.wishes_of(athlete, clock())
    for external_id in due:
        for trouble in _fulfil_one(works, strava, athlete, external_id, clock):
            log.warning(
                "strava: athlete %(athlete)s: %(why)s", {"athlete": athlete.id, "why": trouble}
            )


def _fulfil_one(
    works: Works, strava: StravaWorks, athlete: Athlete, external_id: str, clock: Clock
) -> Iterator[str]:
    try:
        with open_line(works, strava, athlete, clock) as line:
            if line is not None:
                _fulfil(works, strava, line, external_id, clock())
            else:
                _bury_wish(works, athlete, external_id, clock())
    except RateLimited:
        raise
    except StravaError as error:
        yield from _not_now(works, athlete, external_id, error, clock())


def _fulfil(works: Works, strava: StravaWorks, line: Line, external_id: str, now: datetime) -> None:
    athlete = line.athlete
    if external_id == _WHOLE_ATHLETE:
        _ask_whether_still_allowed(works, line, now)
        return
    row = line.one(external_id).row
    with works.store.transaction() as tx:
        tx.strava.fulfil(athlete, external_id, looked_at=now)
        if line.still_stands(tx):
            keep_rows(
                tx,
                works,
                athlete,
                [row] if row is not None else [],
                gone=[] if row is not None else [external_id],
                now=now,
                reach=strava.client.settings.reach,
                silence=None if tx.runs.any(athlete) else FIRST_SYNC,
            )


def _ask_whether_still_allowed(works: Works, line: Line, now: datetime) -> None:
    """An event says that the athlete withdrew: believed once Strava refuses the tokens too."""
    # Whoever withdraws on purpose isn't asked to come back.
    line.asks_back = False
    try:
        line.page("new", size=1)
    except DeadGrant:
        _withdrawn(works, line.athlete, now)
        return
    with works.store.transaction() as tx:
        tx.strava.fulfil(line.athlete, _WHOLE_ATHLETE, looked_at=now)


def _bury_wish(works: Works, athlete: Athlete, external_id: str, now: datetime) -> None:
    """There's no line: where that is for a dead grant, Strava's refusal is known already."""
    with works.store.transaction() as tx:
        kept = tx.strava.grant(athlete)
        if kept is not None and kept.dead_since is None:
            return  # Another worker is at it; the wish stays due.
        tx.strava.fulfil(athlete, external_id)
    if external_id == _WHOLE_ATHLETE:
        _withdrawn(works, athlete, now)


def _withdrawn(works: Works, athlete: Athlete, now: datetime) -> None:
    with works.store.transaction() as tx:
        forget_strava(tx, works, athlete, now=now)
    works.store.compact()
    log.info("strava: athlete %(athlete)s withdrew", {"athlete": athlete.id})


def _not_now(
    works: Works, athlete: Athlete, external_id: str, error: StravaError, now: datetime
) -> Iterator[str]:
    with works.store.transaction() as tx:
        if error.permanent:
            tx.strava.fulfil(athlete, external_id)
        else:
            tx.strava.retry_wish(athlete, external_id, now=now, most=TRIES)
    if error.permanent:
        yield f"{athlete.name}: {error}"
