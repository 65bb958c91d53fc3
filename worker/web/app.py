"""The app: which page has which address, and the answer to a visit that leads nowhere."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import anyio.to_thread
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from worker.store import StoreError
from worker.web import athlete, checkin, health, status, unsubscribe
from worker.web.context import LinkVisit, PageError, Visit, WebContext, error_page, open_link
from worker.web.forms import Form, read_form
from worker.web.limits import ClientRateLimiter, LimitsMiddleware

Act = Callable[[WebContext, Visit], Response]
LinkAct = Callable[[WebContext, LinkVisit], Response]
"""Answers a visit. It may take its time: it runs in a thread of its own."""

_THREADS = 8
"""Pages made at a time: below the store's number of connections."""


def build_app(
    web: WebContext,
    *,
    more: Sequence[BaseRoute] = (),
    rate_limiter: ClientRateLimiter | None = None,
) -> Starlette:
    """The whole site. `more`: routes of other modules, behind the same limits (see `page`)."""

    async def show_error(_: Request, error: Exception) -> Response:
        return error_page(web, error)

    pages = web.pages
    return Starlette(
        routes=[
            link_page(web, "athlete", athlete.show_athlete),
            link_page(web, "athlete", athlete.save_settings, "/settings", posts=True),
            link_page(web, "athlete", athlete.forget_everything, "/forget", posts=True),
            link_page(web, "athlete", athlete.disconnect_source, "/disconnect", posts=True),
            link_page(web, "athlete", athlete.close_links, "/links", posts=True),
            link_page(web, "athlete", athlete.download_json, "/easeback.json"),
            link_page(web, "athlete", athlete.download_zip, "/easeback.zip"),
            link_page(web, "checkin", checkin.show_checkin),
            link_page(web, "checkin", checkin.save_checkin, posts=True),
            link_page(web, "unsubscribe", unsubscribe.show_unsubscribe),
            link_page(web, "unsubscribe", unsubscribe.unsubscribe, posts=True),
            *(
                link_page(
                    web, "athlete", partial(athlete.save_key, one), f"/{one.name}", posts=True
                )
                for one in web.takes_keys
            ),
            page("/", web, status.home),
            page("/status", web, status.status_page),
            page("/metrics", web, status.metrics),
            page("/readyz", web, health.readyz),
            Route("/livez", health.livez),
            _static(pages.stylesheet_path, pages.stylesheet, "text/css"),
            _static("/icon.svg", pages.icon, "image/svg+xml"),
            *more,
        ],
        middleware=[
            Middleware(LimitsMiddleware, web=web, rate_limiter=rate_limiter or ClientRateLimiter())
        ],
        exception_handlers=dict.fromkeys((HTTPException, PageError, StoreError), show_error),
        lifespan=_few_threads,
    )


def page(path: str, web: WebContext, act: Act, *, posts: bool = False) -> Route:
    """A route to an act; the form of a POST is read before it."""

    async def endpoint(request: Request) -> Response:
        form = Form()
        if posts:
            form = read_form(request.headers.get("content-type", ""), await request.body())
        return await run_in_threadpool(act, web, Visit(request, form, web.clock()))

    return Route(path, endpoint, methods=["POST"] if posts else ["GET"])


def link_page(
    web: WebContext, purpose: str, act: LinkAct, path: str = "", *, posts: bool = False
) -> Route:
    """A route to an act that only signed links of this purpose reach, at `/purpose/<token>path`."""
    return page(
        f"/{purpose}/{{token}}{path}",
        web,
        lambda web, visit: act(web, open_link(web, visit, purpose)),
        posts=posts,
    )


def _static(path: str, content: bytes, media_type: str) -> Route:
    """The style sheet and the icon, which hold no secrets and may be cached for good."""
    headers = {"cache-control": "public, max-age=31536000, immutable"}
    return Route(path, lambda _: Response(content, 200, headers, media_type))


@asynccontextmanager
async def _few_threads(_: Starlette) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
    yield
