"""The calendar to which an athlete's own calendar subscribes: the long runs of the plan."""

import hashlib

from starlette.responses import Response

from worker.pipeline.plans import calendar_facts
from worker.web.context import WebContext
from worker.web.visits import LinkVisit

_HEADERS = {
    "content-disposition": 'inline; filename="easeback.ics"',
    "cache-control": "private, no-cache",  # cached, but revalidated each time
}


def show_calendar(web: WebContext, visit: LinkVisit) -> Response:
    """The feed, or 304 if the client already has this version."""
    with web.store.reading() as tx:
        facts = calendar_facts(tx, visit.athlete, rules=web.rules, now=visit.now)
    content = web.services.composer.calendar(facts)
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**_HEADERS, "etag": tag}
    if _has(visit.request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type="text/calendar; charset=utf-8")


def _has(asked: str, tag: str) -> bool:
    """Whether the `If-None-Match` header includes the tag; a proxy may have made it weak."""
    return any(one.strip().removeprefix("W/") in (tag, "*") for one in asked.split(","))
