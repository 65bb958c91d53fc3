"""The pages of a service that is connected by a consent: to its page, back, and its webhook.

A link leads to a page that says whose it is, and from there to the service; that sets cookies and
nothing else. Only the way back acts, and only in the browser that went. The webhook answers at
once, whatever it's sent, and its events are saved after the answer.
"""

import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from worker.domain.models import SourceName
from worker.pipeline.credentials import begin_consent, finish_consent
from worker.pipeline.services import ConnectedSource
from worker.pipeline.sync import note_events
from worker.sources.base import STALE_CONSENT, SourceError
from worker.store import StoreError
from worker.web.context import PageError, WebContext
from worker.web.forms import read_body
from worker.web.visits import LinkVisit, Visit, page

log = logging.getLogger(__name__)

COOKIE = "easeback-consent"
COOKIE_OVER_TLS = f"__Host-{COOKIE}"
"""Under this name browsers take it over TLS alone, and from no neighbouring host."""

SEEN = "easeback-seen"
SEEN_OVER_TLS = f"__Host-{SEEN}"
"""Says that this browser was shown whose page a link is."""

COOKIE_LIVES = timedelta(minutes=15)
_MOST_WAITING = 10_000
"""Events beyond that are let go: polling finds what they told of."""


@dataclass(frozen=True, slots=True)
class ConsentPages:
    """The pages of one service."""

    web: WebContext
    connected: ConnectedSource

    def routes(self) -> tuple[BaseRoute, ...]:
        webhook, batches = f"/{self.connected.client.name}/webhook", _EventBatches(self.save)

        async def receive(request: Request) -> Response:
            event = _event(await read_body(request))
            return JSONResponse({}, background=BackgroundTask(batches.put, event))

        return (
            page(self._callback, self.web, self.finish, pool="services"),
            Route(webhook, self.check, methods=["GET"]),
            Route(webhook, receive, methods=["POST"]),
        )

    @property
    def _callback(self) -> str:
        return f"/{self.connected.client.name}/callback"

    @property
    def _is_tls(self) -> bool:
        return self.web.base_url.startswith("https://")

    @property
    def _cookie(self) -> tuple[str, str]:
        """The cookie's name and path: browsers want a `__Host-` cookie to be for the whole host."""
        return (COOKIE_OVER_TLS, "/") if self._is_tls else (COOKIE, self._callback)

    @property
    def _seen(self) -> tuple[str, str]:
        return (SEEN_OVER_TLS, "/") if self._is_tls else (SEEN, "/connect/")

    def _failed(self, error: SourceError) -> Response:
        log.info("web: a consent came to nothing: %(why)s", {"why": str(error)})
        if error.code != STALE_CONSENT:  # that one was nobody's
            self.web.report(str(error))
        trouble = f"{str(error)[:1].upper()}{str(error)[1:]}"
        return self.web.pages.show(
            "connected.html", status=400, service=self.connected.client.title, trouble=trouble
        )

    def begin(self, visit: LinkVisit) -> Response:
        """Says whose page it is; who has read that, and goes on, is led to the service.

        An athlete's link in the hands of somebody else would show the other's runs to the athlete.
        The operator who runs `easeback connect` has just named the athlete.
        """
        path = visit.request.scope["path"]
        name, cookie_path = self._seen
        seen = hashlib.sha256(path.encode()).hexdigest()
        goes_on = visit.request.query_params.get("go") == "yes"
        if visit.more.get("by") == "operator" or (
            goes_on and visit.request.cookies.get(name) == seen
        ):
            return self._lead_there(visit)
        answer = self.web.pages.show(
            "connect.html",
            service=self.connected.client.title,
            athlete=visit.athlete,
            onward=f"{path}?go=yes",
        )
        answer.set_cookie(
            name,
            seen,
            max_age=int(COOKIE_LIVES.total_seconds()),
            path=cookie_path,
            secure=self._is_tls,
            httponly=True,
            samesite="strict",  # it isn't sent where another site leads here
        )
        return answer

    def _lead_there(self, visit: LinkVisit) -> Response:
        redirect = f"{self.web.base_url}{self._callback}"
        try:
            begun = begin_consent(
                self.web.services, self.connected.client.name, visit.athlete,
                redirect=redirect, now=visit.now,
            )  # fmt: skip
        except SourceError as error:
            return self._failed(error)
        name, path = self._cookie
        answer = RedirectResponse(begun.address, 303)
        # Only for the way back. `lax`: coming back is a visit from another site.
        answer.set_cookie(
            name,
            begun.cookie,
            max_age=int(COOKIE_LIVES.total_seconds()),
            path=path,
            secure=self._is_tls,
            httponly=True,
            samesite="lax",
        )
        return answer

    def finish(self, _: WebContext, visit: Visit) -> Response:
        name, path = self._cookie
        cookie = visit.request.cookies.get(name, "")
        query = dict(visit.request.query_params)
        try:
            done = finish_consent(
                self.web.services, self.connected.client.name, query, cookie=cookie, now=visit.now
            )
        except SourceError as error:
            answer = self._failed(error)
        else:
            names = {"athlete": done.athlete.id, "source": self.connected.client.title}
            log.info("web: athlete %(athlete)d connected %(source)s", names)
            answer = self.web.pages.show(
                "connected.html",
                service=self.connected.client.title,
                athlete=done.athlete,
                missing=done.note,
                trouble="",
            )
        answer.delete_cookie(name, path=path, secure=self._is_tls, httponly=True, samesite="lax")
        return answer

    def check(self, request: Request) -> Response:
        """Whether a subscription is wanted here: the service's challenge is echoed if it is."""
        asked = request.query_params
        token = asked.get("hub.verify_token", "").encode()
        is_known = hmac.compare_digest(token, self.connected.verify_token.encode())
        if not is_known or "hub.challenge" not in asked:
            return JSONResponse({"error": "this is not our verify token"}, 403)
        return JSONResponse({"hub.challenge": asked["hub.challenge"][:200]})

    def save(self, events: Sequence[object]) -> None:
        try:
            source = self.connected.client.name
            due = note_events(self.web.services, source, events, self.web.clock())
            self.web.notify(source, due)
        except StoreError as error:
            # Polling finds what the events are about.
            log.warning(
                "web: %(events)d events of the webhook weren't kept: %(why)s",
                {"events": len(events), "why": str(error)},
            )


def begin(pages: Mapping[SourceName, ConsentPages], _: WebContext, visit: LinkVisit) -> Response:
    """Begins the consent of the service that the link names; older links name none."""
    source = visit.more.get("source", next(iter(pages), ""))
    for name, one in pages.items():
        if name == source:
            return one.begin(visit)
    raise PageError(404)


def _event(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


class _EventBatches:
    """Events on their way into the store: while some are saved, the others gather.

    So they take one thread however many they are, and leave the rest to those who want a page.
    """

    def __init__(self, save: Callable[[Sequence[object]], None]) -> None:
        self._save = save
        self._waiting: list[object] = []
        self._is_saving = False

    async def put(self, event: object) -> None:
        """Add an event; whoever adds one while nothing is being saved saves them all."""
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.append(event)
        if self._is_saving:
            return
        self._is_saving = True
        try:
            while self._waiting:
                events, self._waiting = self._waiting, []
                await run_in_threadpool(self._save, events)
        finally:
            self._is_saving = False
