"""Webhooks: services post changes here. They are answered at once, and saved after the answer.

Services don't sign their requests, so the path contains a secret that only they know. The path
without the secret works for older subscriptions, until they are renewed.
"""

import hmac
import json
import logging
from collections.abc import Callable, Collection
from functools import partial

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from worker.pipeline.services import ConnectedSource
from worker.pipeline.webhooks import note_events
from worker.sources.base import ServiceEvent, Webhook
from worker.store import StoreError
from worker.web.context import WebContext
from worker.web.forms import read_body

log = logging.getLogger(__name__)

_MOST_WAITING = 10_000
"""Further events are dropped; polling finds what they reported.

Each is three short fields of at most 19 digits, so all of them take a few MB.
"""


def webhook_routes(web: WebContext, connected: ConnectedSource) -> list[Route]:
    """The routes of a service with a webhook; empty for others."""
    client = connected.client
    if not isinstance(client, Webhook):
        return []

    def check(request: Request) -> Response:
        """Confirm a subscription with our verify token by echoing the service's challenge."""
        asked = request.query_params
        token = asked.get("hub.verify_token", "").encode()
        is_known = hmac.compare_digest(token, connected.verify_token.encode())
        if not is_known or "hub.challenge" not in asked:
            return JSONResponse({"error": "this is not our verify token"}, 403)
        return JSONResponse({"hub.challenge": asked["hub.challenge"][:200]})

    def save(path: str, events: Collection[ServiceEvent]) -> None:
        try:
            due = note_events(web.services, client.name, events, web.clock(), path)
            web.notify(client.name, due)
        except StoreError as error:
            # Polling finds what the events reported.
            log.warning(
                "web: events of the webhook weren't kept (%(events)d): %(why)s",
                {"events": len(events), "why": str(error)},
            )

    def both(path: str) -> tuple[Route, Route]:
        buffer = _EventBuffer(partial(save, path))

        async def receive(request: Request) -> Response:
            event = client.read_event(_json(await read_body(request)))
            return JSONResponse({}, background=BackgroundTask(buffer.put, event) if event else None)

        return Route(path, check, methods=["GET"]), Route(path, receive, methods=["POST"])

    return [*both(connected.webhook_path), *both(f"/{client.name}/webhook")]


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


class _EventBuffer:
    """Collects events without duplicates while earlier ones are being saved.

    Events thus occupy only one thread, and leave the others to pages.
    """

    def __init__(self, save: Callable[[Collection[ServiceEvent]], None]) -> None:
        self._save = save
        self._waiting: set[ServiceEvent] = set()
        self._is_saving = False

    async def put(self, event: ServiceEvent) -> None:
        """Add an event, and save all events unless another call is already saving."""
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.add(event)
        if self._is_saving:
            return
        self._is_saving = True
        try:
            while self._waiting:
                events, self._waiting = self._waiting, set()
                await run_in_threadpool(self._save, events)
        finally:
            self._is_saving = False
