"""One turn: everything that's due at Strava, wishes first, then what's new, then the past."""

import logging
from datetime import datetime

from worker.model import Athlete
from worker.pipeline.polling import Synced, living, put_off, take_turns
from worker.pipeline.strava.line import known_budget
from worker.pipeline.strava.sync import poll, read_back
from worker.pipeline.strava.wishes import fulfil_wishes
from worker.pipeline.strava.works import StravaWorks
from worker.pipeline.works import Clock, Works
from worker.sources import SourceError
from worker.sources.strava.refusals import (
    NoSubscription,
    RateLimited,
    StravaError,
    Unreachable,
    WrongClient,
)

log = logging.getLogger(__name__)

_FOR_EVERYBODY = (NoSubscription, WrongClient, RateLimited, Unreachable)
"""What one athlete's call showed and the next one's would show again."""


def take_in_strava(works: Works, clock: Clock) -> Synced:
    """Ask Strava for everybody who is due: wishes, then what's new, then the past."""
    strava = works.strava
    if strava is None:
        return Synced()
    troubles = list(fulfil_wishes(works, strava, clock))
    with works.store.reading() as tx:
        due = list(living(tx, tx.strava.due(clock())))
    synced = take_turns(
        due,
        lambda athlete: poll(works, strava, athlete, clock),
        lambda athlete, error: _failed(works, strava, athlete, error, clock()),
        source="strava",
        for_everybody=_FOR_EVERYBODY,
    )
    _read_history(works, strava, clock)
    return Synced(synced.polled, (*troubles, *synced.troubles))


def _read_history(works: Works, strava: StravaWorks, clock: Clock) -> None:
    """A page of the past for each in turn, until everybody's is read or the share is used up."""
    reach = strava.client.settings.reach
    put_aside: set[int] = set()
    while True:
        with works.store.reading() as tx:
            if not known_budget(tx, clock()).allows("history", clock()):
                return
            due = [i for i in tx.strava.with_history_due(clock() - reach) if i not in put_aside]
            athletes = list(living(tx, due))
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
