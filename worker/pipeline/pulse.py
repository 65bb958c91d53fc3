"""The pulse: does the work go on? Asked by `status`, and before a dead man's switch is told so.

A tick is when a piece of the work last ended, kept by the running worker. Whoever judges here
reads the same clock as the worker did.
"""

import logging
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from http.client import HTTPException
from urllib.error import URLError
from urllib.request import Request, urlopen

from worker.pipeline.deliver import MAIL_TICK
from worker.pipeline.works import Works
from worker.store import Transaction

log = logging.getLogger(__name__)

_SLACK = timedelta(minutes=3)
_AHEAD = timedelta(minutes=5)
_PING_TIMEOUT_S = 10
_WAITING = ("queued", "claimed", "at_dot", "retry")


def stoppages(tx: Transaction, now: datetime, *, every: Mapping[str, timedelta]) -> tuple[str, ...]:
    """Why the work, or a piece of it, doesn't go on; nothing where it does.

    `every` says how often each piece is looked at. A piece that never ticked isn't missed:
    somebody may run single passes only.
    """
    return tuple(_stoppages(tx, now, every=every))


def _stoppages(tx: Transaction, now: datetime, *, every: Mapping[str, timedelta]) -> Iterator[str]:
    ticks = tx.progress.ticks()
    known = {name: ticks[name] for name in every if name in ticks}
    stale = [name for name, tick in known.items() if now - tick.at > 2 * every[name] + _SLACK]
    if known and len(stale) == len(known):
        last = max(tick.at for tick in known.values())
        yield (
            f"nothing has been done since {last:%Y-%m-%d %H:%M} UTC: "
            "is `easeback run` still running?"
        )
        stale = []
    for name, tick in known.items():
        if tick.trouble:
            yield f"{name}: {tick.trouble}"
        elif tick.at > now + _AHEAD:
            yield f"{name}: last ended at {tick.at:%Y-%m-%d %H:%M} UTC: the clock went back"
        elif name in stale:
            yield f"{name}: hasn't ended since {tick.at:%Y-%m-%d %H:%M} UTC"
    counts = tx.outbox.counts()
    mail = ticks.get(MAIL_TICK)
    if mail is not None and mail.trouble and any(counts.get(state) for state in _WAITING):
        yield f"mail: {mail.trouble}"


def ping(works: Works, now: datetime, *, every: Mapping[str, timedelta]) -> bool:
    """Tell the dead man's switch that all is well, where it is; True where it was told.

    What goes wrong with that is only logged: the work doesn't depend on it.
    """
    if works.ping_url is None:
        return False
    with works.store.reading() as tx:
        trouble = stoppages(tx, now, every=every)
    if trouble:
        log.debug("ping: withheld: %(why)s", {"why": trouble[0]})
        return False
    return fetch(works.ping_url)


def fetch(url: str) -> bool:
    """Fetch the address; its path may be a secret, and stays out of the log."""
    request = Request(url, headers={"User-Agent": "easeback"})  # noqa: S310  http(s) by settings
    try:
        with urlopen(request, timeout=_PING_TIMEOUT_S) as answer:  # noqa: S310  as above
            answer.read(1)
    except (OSError, URLError, HTTPException, ValueError) as error:
        why = getattr(error, "reason", None) or type(error).__name__
        log.warning("ping: not told: %(why)s", {"why": str(why)})
        return False
    return True
