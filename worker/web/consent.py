"""The pages of a service that is connected by a consent: to its page, back, and its webhook.

The work itself is elsewhere: a `Gate` brings it along. A link leads straight to the service and
sets nothing but a cookie; only the way back acts, and only in the browser that went. The webhook
answers at once, whatever it's sent, and its events are saved after the answer.
"""

import hmac
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from worker.domain.models import Athlete, SourceName
from worker.sources import SourceError
from worker.store import StoreError
from worker.web.app import link_page, page
from worker.web.context import LinkVisit, Visit, WebContext

log = logging.getLogger(__name__)

COOKIE = "easeback-consent"
COOKIE_OVER_TLS = f"__Host-{COOKIE}"
"""Under this name browsers take it over TLS alone, and from no neighbouring host."""

COOKIE_LIVES = timedelta(minutes=15)
_MOST_WAITING = 10_000
"""Events beyond that are let go: polling finds what they told of."""


@dataclass(frozen=True, slots=True)
class Gate:
    """The service, and what its routes lead to.

    `begin` gives the address of its page and the cookie that belongs to it. `finish` takes what the
    browser brought back and its cookie, and gives whose it was and what will be missing, in words,
    or None. Both raise `SourceError` with words for the runner. `note` stores events.
    `verify_token` is what the service repeats when it checks the webhook.
    """

    source: SourceName
    title: str
    begin: Callable[[Athlete, datetime], tuple[str, str]]
    finish: Callable[[Mapping[str, str], str, datetime], tuple[Athlete, str | None]]
    note: Callable[[Sequence[object], datetime], object]
    verify_token: str

    @property
    def callback(self) -> str:
        return f"/{self.source}/callback"


def routes(web: WebContext, gate: Gate) -> tuple[BaseRoute, ...]:
    """The routes, for `build_app(more=...)`."""

    def go(web: WebContext, visit: LinkVisit) -> Response:
        try:
            address, cookie = gate.begin(visit.athlete, visit.now)
        except SourceError as error:
            return _came_to_nothing(web, error)
        away = RedirectResponse(address, 303)
        _set_cookie(web, gate, away, cookie)
        return away

    def come_back(web: WebContext, visit: Visit) -> Response:
        return _come_back(web, gate, visit)

    def check(request: Request) -> Response:
        return _check(gate, request)

    letterbox = _Letterbox(lambda events: _note(web, gate, events))

    async def note(request: Request) -> Response:
        event = _event(await request.body())
        return JSONResponse({}, background=BackgroundTask(letterbox.put, event))

    return (
        link_page(web, "connect", go),
        page(gate.callback, web, come_back),
        Route(f"/{gate.source}/webhook", check, methods=["GET"]),
        Route(f"/{gate.source}/webhook", note, methods=["POST"]),
    )


def _come_back(web: WebContext, gate: Gate, visit: Visit) -> Response:
    name, path = _cookie(web, gate)
    cookie = visit.request.cookies.get(name, "")
    try:
        athlete, missing = gate.finish(dict(visit.request.query_params), cookie, visit.now)
    except SourceError as error:
        answer = _came_to_nothing(web, error)
    else:
        connected = {"athlete": athlete.id, "source": gate.title}
        log.info("web: athlete %(athlete)d connected %(source)s", connected)
        answer = web.pages.show("connected.html", athlete=athlete, missing=missing, trouble="")
    answer.delete_cookie(name, path=path, secure=_speaks_tls(web), httponly=True, samesite="lax")
    return answer


def _came_to_nothing(web: WebContext, error: SourceError) -> Response:
    log.info("web: a consent came to nothing: %(why)s", {"why": str(error)})
    trouble = f"{str(error)[:1].upper()}{str(error)[1:]}"
    return web.pages.show("connected.html", status=400, trouble=trouble)


def _speaks_tls(web: WebContext) -> bool:
    return web.base_url.startswith("https://")


def _cookie(web: WebContext, gate: Gate) -> tuple[str, str]:
    """The cookie's name, and the path it's for: a `__Host-` cookie has to be for the whole host."""
    return (COOKIE_OVER_TLS, "/") if _speaks_tls(web) else (COOKIE, gate.callback)


def _set_cookie(web: WebContext, gate: Gate, response: Response, cookie: str) -> None:
    """Only for the way back. `lax`: coming back is a visit from another site."""
    name, path = _cookie(web, gate)
    response.set_cookie(
        name,
        cookie,
        max_age=int(COOKIE_LIVES.total_seconds()),
        path=path,
        secure=_speaks_tls(web),
        httponly=True,
        samesite="lax",
    )


def _check(gate: Gate, request: Request) -> Response:
    """The service asks whether a subscription is wanted here: its challenge is echoed if it is."""
    asked = request.query_params
    told = asked.get("hub.verify_token", "").encode()
    known = hmac.compare_digest(told, gate.verify_token.encode())
    if not known or "hub.challenge" not in asked:
        return JSONResponse({"error": "this is not our verify token"}, 403)
    return JSONResponse({"hub.challenge": asked["hub.challenge"][:200]})


def _event(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


class _Letterbox:
    """Events on their way into the store: while some are being kept, the others gather.

    So they take one thread however many they are, and leave the rest to those who want a page.
    """

    def __init__(self, keep: Callable[[Sequence[object]], None]) -> None:
        self._keep = keep
        self._waiting: list[object] = []
        self._is_emptied = False

    async def put(self, event: object) -> None:
        """Leave an event; whoever leaves one while nobody's at it keeps them all."""
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.append(event)
        if self._is_emptied:
            return
        self._is_emptied = True
        try:
            while self._waiting:
                events, self._waiting = self._waiting, []
                await run_in_threadpool(self._keep, events)
        finally:
            self._is_emptied = False


def _note(web: WebContext, gate: Gate, events: Sequence[object]) -> None:
    try:
        gate.note(events, web.clock())
    except StoreError as error:
        # Polling finds what the events told of.
        log.warning(
            "web: %(events)d events of the webhook weren't kept: %(why)s",
            {"events": len(events), "why": str(error)},
        )
