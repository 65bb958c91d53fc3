"""Outages: services that don't answer anybody, which isn't a problem of any athlete.

One pause applies to everybody who waits for such a service. `sources.polling` defines how long it
is, and why.
"""

from dataclasses import dataclass
from datetime import datetime

from worker.domain.models import SourceName
from worker.pipeline.services import Services
from worker.pipeline.tick_names import AWAY_TICK, SOURCE_PAUSE_TICK
from worker.sources import polling
from worker.sources.base import RateLimited, SourceError
from worker.store import Transaction


@dataclass(frozen=True, slots=True)
class Outage:
    """Since when a service answers nobody, and when it's asked again."""

    since: datetime
    next_try_at: datetime


def is_away(error: SourceError) -> bool:
    """Whether it's the service that answers nobody."""
    return error.for_everybody and not error.permanent and not isinstance(error, RateLimited)


def note_away(
    services: Services, source: SourceName, error: SourceError, *, began: datetime, now: datetime
) -> Outage:
    """Save that a service answered nobody in a call that `began` then, and how that showed."""
    name = AWAY_TICK.format(source)
    with services.store.transaction() as tx:
        before = tx.progress.tick(name)
        since = before.at if before and before.trouble and before.at <= now else now
        again_at = polling.next_try_at(began, now, away_since=since)
        tx.progress.ticked(name, at=since, trouble=str(error))
        tx.progress.ticked(SOURCE_PAUSE_TICK.format(source), at=again_at)
    return Outage(since, again_at)


def note_back(tx: Transaction, source: SourceName, *, now: datetime) -> None:
    """Save that a service has answered; nothing where that is nothing new."""
    before = tx.progress.tick(AWAY_TICK.format(source))
    if before and before.trouble:
        tx.progress.ticked(AWAY_TICK.format(source), at=now)
        tx.progress.ticked(SOURCE_PAUSE_TICK.format(source), at=now)


def is_paused(tx: Transaction, source: SourceName, now: datetime) -> bool:
    """Whether a service answered nobody just now, and isn't asked."""
    pause = tx.progress.tick(SOURCE_PAUSE_TICK.format(source))
    # One that a clock that ran ahead has left behind is none.
    return pause is not None and now < pause.at <= now + polling.LAST_TRY_AGAIN


def away_since(tx: Transaction, source: SourceName) -> datetime | None:
    """Since when a service answers nobody; None where it answered the last call."""
    away = tx.progress.tick(AWAY_TICK.format(source))
    return away.at if away and away.trouble else None
