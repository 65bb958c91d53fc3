"""Services that answer nobody, which is no fault of any athlete's."""

from collections.abc import Mapping
from datetime import datetime

from worker.domain.models import SourceName
from worker.pipeline.services import Services
from worker.sources.base import RateLimited, SourceError
from worker.sources.registry import SOURCES
from worker.store import Transaction

_TICK = "{} away"
"""Under this name stands why a service answered nobody."""


def is_away(error: SourceError) -> bool:
    """Whether it's the service that answers nobody."""
    return error.for_everybody and not error.permanent and not isinstance(error, RateLimited)


def note_away(services: Services, source: SourceName, error: SourceError, *, now: datetime) -> None:
    """Save that a service answers nobody, and how that showed."""
    with services.store.transaction() as tx:
        tx.progress.ticked(_TICK.format(source), at=now, trouble=str(error))


def note_back(tx: Transaction, source: SourceName, *, now: datetime) -> None:
    """Save that a service has answered; nothing where that is nothing new."""
    before = tx.progress.tick(_TICK.format(source))
    if before and before.trouble:
        tx.progress.ticked(_TICK.format(source), at=now)


def away_services(tx: Transaction) -> Mapping[str, str]:
    """Those that answered nobody when they were last asked for news, and how that showed."""
    ticks = {kind.name: tx.progress.tick(_TICK.format(kind.name)) for kind in SOURCES}
    return {name: tick.trouble for name, tick in ticks.items() if tick and tick.trouble}
