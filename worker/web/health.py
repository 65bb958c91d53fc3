"""Health endpoints: whether the process answers, and whether the work is being done.

`/livez` touches nothing. `/readyz` tries a write and asks `worker.health`. Only those who may see
the operator's page learn what exactly is wrong.
"""

from datetime import timedelta

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from worker.health import WRITE_TICK, Audience, Trouble, check_health
from worker.store import StoreError
from worker.web.context import WebContext
from worker.web.operator import is_operator
from worker.web.visits import Visit

_WRITES_EVERY = timedelta(seconds=2)
_WRITES_WITHIN_S = 1.5
"""Health checks usually time out after a few seconds, so the answer must come before."""


def livez(_: Request) -> Response:
    """200 if the process answers."""
    return PlainTextResponse("ok\n")


def readyz(web: WebContext, visit: Visit) -> Response:
    """200 if the work is being done, else 503."""
    try:
        with web.store.reading() as tx:
            wrote = tx.progress.ticks(WRITE_TICK).get(WRITE_TICK)
        # Not at each request, so that frequent checks don't cause more writes.
        if wrote is None or not timedelta(0) <= visit.now - wrote.at < _WRITES_EVERY:
            with web.store.transaction(within_s=_WRITES_WITHIN_S) as tx:
                tx.progress.ticked(WRITE_TICK, at=visit.now)
        with web.store.reading() as tx:
            troubles = check_health(tx, visit.now, patience=web.patience, audience=Audience.READY)
    except StoreError as error:
        troubles = (Trouble("database", f"database: {error}"),)
    if not troubles:
        return PlainTextResponse("ok\n")
    detailed = is_operator(web, visit.request)
    lines = [trouble.text if detailed else trouble.name for trouble in troubles]
    return PlainTextResponse("\n".join(["not ready", *lines, ""]), 503)
