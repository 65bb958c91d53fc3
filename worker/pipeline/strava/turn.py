"""One turn: everything that's due at Strava, wishes first, then what's new, then the past."""

import logging
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from worker.model import Athlete
from worker.pipeline.strava.line import known_budget
from worker.pipeline.strava.sync import poll, read_back
from worker.pipeline.strava.wishes import fulfil_wishes
from worker.pipeline.strava.works import StravaWorks
from worker.pipeline.works import Clock, Works
from worker.sources import plan
from worker.sources.plan import Standing
from worker.sources.strava.refusals import (
    DeadGrant,
    NoSubscription,
    RateLimited,
    StravaError,
    Unreachable,
    WrongClient,
)
from worker.store import SourceState

log = logging.getLogger(__name__)

GIVES_UP_QUIETLY = 5
"""So many failures in a row may pass before it's called failing."""

_FOR_EVERYBODY = (NoSubscription, WrongClient, RateLimited, Unreachable)
"""What one athlete's call showed and the next one's would show again."""


@dataclass(frozen=True, slots=True)
class Synced:
    """What asking Strava came to; `troubles` in words, one for each athlete that had some."""

    polled: int = 0
    troubles: tuple[str, ...] = ()


def take_in_strava(works: Works, clock: Clock) -> Synced:
    """Ask Strava for everybody who is due: wishes, then what's new, then the past."""
    strava = works.strava
    if strava is None:
        return Synced()
    troubles = list(fulfil_wishes(works, strava, clock))
    with works.store.reading() as tx:
        due = [tx.athletes.by_id(athlete_id) for athlete_id in tx.strava.due(clock())]
    polled, waiting = 0, [athlete for athlete in due if athlete is not None]
    while waiting:
        athlete = waiting.pop(0)
        try:
            polled += poll(works, strava, athlete, clock)
        except StravaError as error:
            shared = isinstance(error, _FOR_EVERYBODY)
            touched = [athlete, *waiting] if shared else [athlete]
            whose = "everybody" if shared else athlete.id
            log.warning("strava: %(athlete)s: %(why)s", {"athlete": whose, "why": str(error)})
            told = [_failed(works, strava, one, error, clock()) for one in touched]
            troubles += filter(None, told)
            waiting = [one for one in waiting if one not in touched]
    _read_history(works, strava, clock)
    return Synced(polled, tuple(troubles))


def _read_history(works: Works, strava: StravaWorks, clock: Clock) -> None:
    """A page of the past for each in turn, until everybody's is read or the share is used up."""
    reach = strava.client.settings.reach
    put_aside: set[int] = set()
    while True:
        with works.store.reading() as tx:
            if not known_budget(tx, clock()).allows("history", clock()):
                return
            due = [i for i in tx.strava.with_history_due(clock() - reach) if i not in put_aside]
            athletes = [one for one in map(tx.athletes.by_id, due) if one is not None]
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
    works: Works, strava: StravaWorks, athlete: Athlete, error: StravaError, now: datetime
) -> str | None:
    """Ask later, and say why; None where it's only the rate limit, which passes by itself."""
    limited = isinstance(error, RateLimited)
    if isinstance(error, DeadGrant):
        return f"{athlete.name}: {error}"
    with works.store.transaction() as tx:
        kept = tx.strava.standing(athlete)
        if not kept:
            return None
        standing = Standing(**kept)
        if not limited:
            standing = replace(standing, failures=standing.failures + 1)
        due_at = plan.next_pull_at(
            now,
            every=strava.client.settings.every,
            luck=strava.luck(),
            failures=standing.failures,
            not_before=error.resets_at if isinstance(error, RateLimited) else None,
        )
        tx.strava.keep_standing(athlete, asdict(standing))
        tx.strava.postpone(athlete, until=due_at)
        before = tx.progress.sources(athlete).get("strava") or SourceState("ok")
        failing = not limited and (error.permanent or standing.failures >= GIVES_UP_QUIETLY)
        state = replace(before, state="failing" if failing else "waiting", last_error=str(error))
        tx.progress.source(athlete, "strava", state)
    return None if limited else f"{athlete.name}: {error}"
