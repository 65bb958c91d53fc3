"""Checks a process's clock, and records ticks: when each job's last run ended, and how."""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from worker.health import CLOCK_TICK, MADE_UP_TICK, WEB_TICK, WRITE_TICK, shortage_of
from worker.pipeline.services import Services
from worker.pipeline.tick_names import AWAY_TICK, MAIL_TICK, PAUSE_TICK, SOURCE_PAUSE_TICK
from worker.sources.base import SourceError
from worker.sources.sections import SECTIONS
from worker.store import StoreError
from worker.store.progress import DELETED, FORGOTTEN, RESTORED, VACUUMED, Tick

log = logging.getLogger(__name__)

FIRST_RELEASE = datetime(2026, 11, 1, tzinfo=UTC)
"""The earliest time that can be right; some machines start in 1970."""

RECORD_EVERY = timedelta(seconds=30)
"""How often an unchanged state of a job is recorded."""

_OF_SOURCES = (AWAY_TICK, SOURCE_PAUSE_TICK)
_SHARED = (
    WEB_TICK, WRITE_TICK, PAUSE_TICK,
    *(name.format(source) for name in _OF_SOURCES for source in SECTIONS),
)  # fmt: skip


def unset_clock(now: datetime, not_before: datetime | None) -> str | None:
    """Why no job is run yet, if `now` is before the earliest time that can be right."""
    if not_before is None or now >= not_before:
        return None
    return f"this machine's clock says {now:%Y-%m-%d}: nothing is done until it is set"


def begin_ticks(
    services: Services,
    *,
    made_up_from: datetime | None = None,
    shared: Iterable[str] = (),
    keep: Iterable[str] = (),
) -> None:
    """Clear how the jobs of an earlier worker ended.

    `shared` names the jobs that other workers on this database are running. Their ticks stay, and
    so do those in `keep`. `made_up_from` is the instant at which a simulated clock begins.
    """
    others = (*shared, *_SHARED) if shared else ()
    with services.store.transaction() as tx:
        kept = (CLOCK_TICK, MAIL_TICK, RESTORED, DELETED, FORGOTTEN, VACUUMED, *others, *keep)
        tx.progress.clear_ticks(but=kept)
        if made_up_from is not None:
            tx.progress.ticked(MADE_UP_TICK, at=made_up_from)


def await_ticks(services: Services, names: Iterable[str], *, at: datetime) -> None:
    """Record that a worker begins, so that a job that never ends a run is missed from now on."""
    with services.store.transaction() as tx:
        there = tx.progress.ticks()
        for name in names:
            if name not in there:
                tx.progress.ticked(name, at=at)


def record_tick(services: Services, name: str, tick: Tick, *, before: Tick | None = None) -> Tick:
    """Record how a run ended: a change at once, an unchanged state only now and then.

    `before` is the last recorded tick of this job. A change is logged. Returns the tick that is
    recorded now. Raises `StoreError`.
    """
    is_same = before is not None and before.trouble == tick.trouble
    if before is not None and is_same and timedelta(0) <= tick.at - before.at < RECORD_EVERY:
        return before
    if tick.trouble and not is_same:
        log.error("%(job)s: %(why)s", {"job": name, "why": tick.trouble})
    elif before and before.trouble and not tick.trouble:
        log.info("%(job)s: works again", {"job": name})
    with services.store.transaction() as tx:
        tx.progress.ticked(name, at=tick.at, trouble=tick.trouble)
    return tick


def trouble_of(name: str, error: Exception, *, before: Tick | None = None) -> str:
    """Why a run of this job failed, in words; an unexpected error is logged in full.

    `before` is the result of its last run, so that a continuing problem isn't logged again.
    """
    if isinstance(error, StoreError | SourceError):
        return str(error)
    if shortage := shortage_of(error):
        return shortage.text
    trouble = f"unexpected: {error!r}"
    if before is None or before.trouble != trouble:
        log.error("%(job)s: unexpected", {"job": name}, exc_info=error)
    return trouble
