"""The app: which page stands at which address, and what a visit that leads nowhere is told."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import anyio.to_thread
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from worker.store import StoreError
from worker.web import athlete, checkin, forms, health, status, unsubscribe
from worker.web.desk import Act, Desk, RefusedError, Visit
from worker.web.guard import Doorman, Guard

_THREADS = 8
"""Pages made at a time: below the store's number of connections."""

_FOR_GOOD = "public, max-age=31536000, immutable"


def build_app(
    desk: Desk,
    *,
    more: Sequence[BaseRoute] = (),
    doorman: Doorman | None = None,
) -> Starlette:
    """The whole face. `more`: routes of other rooms, behind the same guard (see `page`)."""

    def refuse(refused: RefusedError) -> Response:
        return refusal(desk, refused)

    async def refused_page(_: Request, error: Exception) -> Response:
        return refuse(_as_refused(error))

    return Starlette(
        routes=[
            page("/athlete/{token}", desk, athlete.show),
            page("/athlete/{token}/settings", desk, athlete.settings, posts=True),
            page("/athlete/{token}/forget", desk, athlete.forget, posts=True),
            page("/athlete/{token}/garmin", desk, athlete.garmin, posts=True),
            page("/athlete/{token}/disconnect", desk, athlete.disconnect, posts=True),
            page("/athlete/{token}/links", desk, athlete.close_links, posts=True),
            page("/athlete/{token}/easeback.json", desk, athlete.as_json),
            page("/athlete/{token}/easeback.zip", desk, athlete.as_zip),
            page("/checkin/{token}", desk, checkin.show),
            page("/checkin/{token}", desk, checkin.keep, posts=True),
            page("/unsubscribe/{token}", desk, unsubscribe.show),
            page("/unsubscribe/{token}", desk, unsubscribe.act, posts=True),
            page("/", desk, status.home),
            page("/status", desk, status.status_page),
            page("/metrics", desk, status.metrics),
            page("/readyz", desk, health.readyz),
            Route("/livez", health.livez),
            *_stills(desk),
            *more,
        ],
        middleware=[
            Middleware(Guard, desk=desk, doorman=doorman or Doorman(), refuse=refuse),
        ],
        exception_handlers={
            HTTPException: refused_page,
            RefusedError: refused_page,
            StoreError: refused_page,
        },
        lifespan=_few_threads,
    )


def page(path: str, desk: Desk, act: Act, *, posts: bool = False) -> Route:
    """A route to an act: the form is read before it, and it runs in a thread of its own."""

    async def endpoint(request: Request) -> Response:
        form = forms.Form()
        if posts:
            form = forms.read(request.headers.get("content-type", ""), await request.body())
        return await run_in_threadpool(act, desk, Visit(request, form, desk.clock()))

    return Route(path, endpoint, methods=["POST"] if posts else ["GET"])


def refusal(desk: Desk, refused: RefusedError) -> Response:
    """The plain page for a visit that leads nowhere."""
    response: Response = desk.pages.show(
        "refused.html", status=refused.status, code=refused.status, goodbye=refused.goodbye
    )
    if refused.wait_s is not None:
        response.headers["retry-after"] = str(refused.wait_s)
    if refused.realm:
        response.headers["www-authenticate"] = f'Basic realm="{refused.realm}", charset="UTF-8"'
    return response


def _as_refused(error: Exception) -> RefusedError:
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, HTTPException):
        return RefusedError(error.status_code)
    return RefusedError(503, wait_s=60)


def _stills(desk: Desk) -> list[Route]:
    """The style sheet and the icon, which hold nobody's secrets."""
    pages = desk.pages

    def still(content: Callable[[], bytes], media_type: str) -> Callable[[Request], Response]:
        def give(_: Request) -> Response:
            return Response(content(), 200, {"cache-control": _FOR_GOOD}, media_type)

        return give

    return [
        Route(pages.stylesheet_path, still(lambda: pages.stylesheet, "text/css")),
        Route("/icon.svg", still(lambda: pages.icon, "image/svg+xml")),
    ]


@asynccontextmanager
async def _few_threads(_: Starlette) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
    yield
