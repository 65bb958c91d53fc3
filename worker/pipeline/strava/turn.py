"""One turn: everything that's due at Strava, wishes first, then what's new, then the past."""

import logging
from dataclasses import asdict
from datetime import datetime, timedelta

from worker.model import Athlete
from worker.pipeline.polling import Synced, put_off, take_turns
from worker.pipeline.strava.line import known_budget
from worker.pipeline.strava.sync import poll, read_back
from worker.pipeline.strava.wishes import fulfil_wishes
from worker.pipeline.strava.works import StravaWorks
from worker.pipeline.works import Clock, Works, by_ids
from worker.sources import SourceError
from worker.sources.strava.refusals import (
    NoSubscription,
    RateLimited,
    StravaError,
    Unreachable,
    WrongClient,
)
from worker.store import DUE_AT_ONCE

log = logging.getLogger(__name__)

PAUSE_FOR_EVERYBODY = timedelta(minutes=1)

_FOR_EVERYBODY = (NoSubscription, WrongClient, RateLimited, Unreachable)
"""What one athlete's call showed and the next one's would show again."""


def take_in_strava(works: Works, clock: Clock) -> Synced:
    """Ask Strava for everybody who is due: wishes, then what's new, then the past."""
    strava = works.strava
    if strava is None:
        return Synced()
    troubles = list(fulfil_wishes(works, strava, clock))
    polled = take_turns(
        lambda: _poll_due(works, clock()),
        lambda athlete: poll(works, strava, athlete, clock),
        lambda athlete, error: _failed(works, strava, athlete, error, clock()),
        source="strava",
        for_everybody=_FOR_EVERYBODY,
    )
    _read_history(works, strava, clock)
    return Synced(polled.polled, (*troubles, *polled.troubles))


def _poll_due(works: Works, now: datetime) -> tuple[Athlete, ...]:
    with works.store.reading() as tx:
        return by_ids(tx, tx.strava.due(now))


def poll_one(works: Works, strava: StravaWorks, athlete: Athlete, clock: Clock) -> None:
    """One athlete's poll, and what follows from its trouble: a later due date and the reason."""
    try:
        poll(works, strava, athlete, clock)
    except StravaError as error:
        _in_trouble(works, strava, athlete, error, clock())


def read_one_back(works: Works, strava: StravaWorks, athlete: Athlete, clock: Clock) -> None:
    """A page of one athlete's past."""
    try:
        read_back(works, strava, athlete, clock)
    except RateLimited:
        return
    except StravaError as error:
        _in_trouble(works, strava, athlete, error, clock())


def _in_trouble(
    works: Works, strava: StravaWorks, athlete: Athlete, error: StravaError, now: datetime
) -> None:
    """What would be everybody's trouble is asked about once in a while, not once for each."""
    log.warning("strava: %(athlete)s: %(why)s", {"athlete": athlete.id, "why": str(error)})
    _failed(works, strava, athlete, error, now)
    if isinstance(error, _FOR_EVERYBODY) and not isinstance(error, RateLimited):
        with works.store.transaction() as tx:
            closed = known_budget(tx, now).closed(now + PAUSE_FOR_EVERYBODY)
            tx.strava.keep_budget(asdict(closed))


def history_due(works: Works, strava: StravaWorks, now: datetime, *, most: int) -> tuple[int, ...]:
    """Whose past is read next, by id; nobody's where that share of the budget is used up."""
    with works.store.reading() as tx:
        if not known_budget(tx, now).allows("history", now):
            return ()
        return tx.strava.with_history_due(now - strava.client.settings.reach, most=most)


def _read_history(works: Works, strava: StravaWorks, clock: Clock) -> None:
    """A page of the past for each in turn, until everybody's is read or the share is used up."""
    reach = strava.client.settings.reach
    put_aside: set[int] = set()
    while True:
        with works.store.reading() as tx:
            if not known_budget(tx, clock()).allows("history", clock()):
                return
            most = DUE_AT_ONCE + len(put_aside)
            due = tx.strava.with_history_due(clock() - reach, most=most)
            athletes = by_ids(tx, (one for one in due if one not in put_aside))
        if not athletes:
            return
        for athlete in athletes:
            try:
                if not read_back(works, strava, athlete, clock):
                    put_aside.add(athlete.id)
            except RateLimited:
                return
            except StravaError as error:
                put_aside.add(athlete.id)
                log.warning(
                    "strava: %(athlete)s: %(why)s", {"athlete": athlete.id, "why": str(error)}
                )
                _failed(works, strava, athlete, error, clock())
                if isinstance(error, _FOR_EVERYBODY):
                    return


def _failed(
    works: Works, strava: StravaWorks, athlete: Athlete, error: SourceError, now: datetime
) -> str | None:
    """Ask later, and say why."""
    with works.store.transaction() as tx:
        return put_off(tx, tx.strava, athlete, error, strava.pace, now=now)
