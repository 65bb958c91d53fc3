"""Health endpoints: is the process there, and does the work go on.

`/livez` touches nothing. `/readyz` tries a write and asks `worker.health`; what exactly is wrong
only those who may see the operator's page read.
"""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from worker.health import Audience, Trouble, check_health
from worker.store import StoreError
from worker.web.context import WebContext
from worker.web.operator import is_operator
from worker.web.visits import Visit


def livez(_: Request) -> Response:
    """The process answers."""
    return PlainTextResponse("ok\n")


def readyz(web: WebContext, visit: Visit) -> Response:
    """200 where the work goes on, else 503."""
    try:
        web.probe.write(web.store, visit.now)
        with web.store.reading() as tx:
            troubles = check_health(tx, visit.now, patience=web.ticks, audience=Audience.READY)
    except StoreError as error:
        troubles = (Trouble("database", f"database: {error}"),)
    if not troubles:
        return PlainTextResponse("ok\n")
    detailed = is_operator(web, visit.request)
    lines = [trouble.text if detailed else trouble.name for trouble in troubles]
    return PlainTextResponse("\n".join(["not ready", *lines, ""]), 503)
