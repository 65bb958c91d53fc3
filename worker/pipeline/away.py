"""Outages: a service answers no request, whichever athlete it is for.

One pause applies to everybody who waits for such a service. `sources.polling` defines its length.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from worker.domain.models import Athlete, SourceName
from worker.pipeline.services import Services
from worker.pipeline.tick_names import AWAY_TICK, SOURCE_PAUSE_TICK
from worker.sources import polling
from worker.sources.base import RateLimited, SourceError
from worker.store import Transaction
from worker.store.source_base import SeenActivity


@dataclass(frozen=True, slots=True)
class Outage:
    """When an outage began, and when the service is asked again."""

    since: datetime
    next_try_at: datetime


def is_away(error: SourceError) -> bool:
    """Whether the error shows an outage of the service."""
    return error.for_everybody and not error.permanent and not isinstance(error, RateLimited)


def note_away(
    services: Services, source: SourceName, error: SourceError, *, began: datetime, now: datetime
) -> Outage:
    """Save that a call that `began` then met an outage, and with which error."""
    name = AWAY_TICK.format(source)
    with services.store.transaction() as tx:
        before = tx.progress.tick(name)
        since = before.at if before and before.trouble and before.at <= now else now
        again_at = polling.next_try_at(began, now, away_since=since)
        tx.progress.ticked(name, at=since, trouble=str(error))
        tx.progress.ticked(SOURCE_PAUSE_TICK.format(source), at=again_at)
    return Outage(since, again_at)


def note_back(tx: Transaction, source: SourceName, *, now: datetime) -> None:
    """Save that a service has answered, if it didn't before."""
    before = tx.progress.tick(AWAY_TICK.format(source))
    if before and before.trouble:
        tx.progress.ticked(AWAY_TICK.format(source), at=now)
        tx.progress.ticked(SOURCE_PAUSE_TICK.format(source), at=now)


def is_paused(tx: Transaction, source: SourceName, now: datetime) -> bool:
    """Whether a service isn't asked now because of an outage."""
    pause = tx.progress.tick(SOURCE_PAUSE_TICK.format(source))
    # A later pause is ignored: it was saved while the clock ran ahead.
    return pause is not None and now < pause.at <= now + polling.LAST_TRY_AGAIN


def events_unless_paused(
    tx: Transaction, source: SourceName, athlete: Athlete, now: datetime
) -> Mapping[str, SeenActivity | None]:
    """The athlete's due events with what is stored about each; none while `is_paused`.

    In one statement, because there is an event for every change of a run.
    """
    pause = SOURCE_PAUSE_TICK.format(source)
    events = tx.source(source).events_due
    return events(athlete, now, pause=pause, longest=polling.LAST_TRY_AGAIN)


def away_since(tx: Transaction, source: SourceName) -> datetime | None:
    """When the outage of a service began; None if it answered the last call."""
    away = tx.progress.tick(AWAY_TICK.format(source))
    return away.at if away and away.trouble else None
