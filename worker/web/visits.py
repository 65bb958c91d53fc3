"""Visits: the routes to pages, and whom the signed link that led to one was made for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from worker.domain.models import Athlete
from worker.links import LinkError
from worker.web.context import PageError, WebContext
from worker.web.forms import Form, read_form

LINK_LIVES: Final[Mapping[str, timedelta | None]] = {
    "athlete": timedelta(days=60),
    "checkin": timedelta(days=30),
    "connect": timedelta(days=60),
    # One gives up a mail years later; closing the others leaves it open too.
    "unsubscribe": None,
}
"""How long a link of each purpose opens its page."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request, with its body read and the instant it came."""

    request: Request
    form: Form
    now: datetime


@dataclass(frozen=True, slots=True)
class LinkVisit(Visit):
    """A visit by a signed link: whom it was signed for, and all that it says."""

    athlete: Athlete
    more: Mapping[str, str]

    @property
    def athlete_path(self) -> str:
        """Where the athlete's own page is, by the same link."""
        return f"/athlete/{self.request.path_params['token']}"


Act = Callable[[WebContext, Visit], Response]
LinkAct = Callable[[WebContext, LinkVisit], Response]
"""Answers a visit. It may take its time: it runs in a thread of its own."""


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


def open_link(web: WebContext, visit: Visit, purpose: str) -> LinkVisit:
    """The visit, where its link opens pages of this purpose; raises `PageError` otherwise."""
    token: str = visit.request.path_params["token"]
    lives = LINK_LIVES[purpose]
    max_age_s = lives.total_seconds() if lives else None
    try:
        link = web.signer.check(purpose, token, max_age_s=max_age_s, now=visit.now)
    except LinkError as error:
        raise PageError(410 if error.expired else 403) from error
    with web.store.reading() as tx:
        found = tx.athletes.of_link(link)
    if found is None:
        raise PageError(410, goodbye=True)
    athlete, is_closed = found
    if is_closed and lives is not None:
        raise PageError(410)
    return LinkVisit(visit.request, visit.form, visit.now, athlete, link.more)
