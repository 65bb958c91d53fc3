"""Services that don't answer anybody, which isn't a problem of any athlete."""

from datetime import datetime

from worker.domain.models import SourceName
from worker.pipeline.services import Services
from worker.pipeline.tick_names import AWAY_TICK
from worker.sources.base import RateLimited, SourceError
from worker.store import Transaction


def is_away(error: SourceError) -> bool:
    """Whether it's the service that answers nobody."""
    return error.for_everybody and not error.permanent and not isinstance(error, RateLimited)


def note_away(services: Services, source: SourceName, error: SourceError, *, now: datetime) -> None:
    """Save that a service answers nobody, and how that showed."""
    with services.store.transaction() as tx:
        tx.progress.ticked(AWAY_TICK.format(source), at=now, trouble=str(error))


def note_back(tx: Transaction, source: SourceName, *, now: datetime) -> None:
    """Save that a service has answered; nothing where that is nothing new."""
    before = tx.progress.tick(AWAY_TICK.format(source))
    if before and before.trouble:
        tx.progress.ticked(AWAY_TICK.format(source), at=now)
