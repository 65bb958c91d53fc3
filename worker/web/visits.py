"""Visits: the routes to pages, and the owner of the signed link to a page."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from worker.domain.models import Athlete
from worker.notify.render import Locale
from worker.store.addresses import ADDRESS_WAITS
from worker.web.context import LOCALE, PageError, Pool, WebContext, locale_of
from worker.web.forms import Form, read_body, read_form

LINK_LIVES: Final[Mapping[str, timedelta | None]] = {
    "address": ADDRESS_WAITS,
    "athlete": timedelta(days=60),
    # Calendars poll for years, until the athlete closes this link or all links.
    "calendar": None,
    "checkin": timedelta(days=30),
    "connect": timedelta(days=60),
    # A therapist's link; the operator's is shorter, see `web.practice_links`.
    "practice": timedelta(days=90),
    # People unsubscribe from old mails, too.
    "unsubscribe": None,
    "welcome": timedelta(days=60),
}
"""How long a link of each purpose is valid; None means for ever."""

NEVER_CLOSED: Final = "unsubscribe"
"""The purpose whose links stay valid when the athlete closes all links."""

LINK = "easeback.link"
"""The key of the checked link in a request's scope."""

_MOST_QUEUED = 50
"""The most visits that may wait for a thread; further ones are told to retry."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request, with its form, its time and its visitor's locale."""

    request: Request
    form: Form
    now: datetime
    locale: Locale


@dataclass(frozen=True, slots=True)
class LinkVisit(Visit):
    """A visit by a signed link: the athlete for whom it was signed, and its other fields."""

    athlete: Athlete
    more: Mapping[str, str]

    @property
    def athlete_path(self) -> str:
        """The path of the athlete's page, with the same token."""
        return f"/athlete/{self.request.path_params['token']}"


Act = Callable[[WebContext, Visit], Response]
LinkAct = Callable[[WebContext, LinkVisit], Response]
"""Answers a visit. It may block, because it runs in a separate thread."""

T = TypeVar("T")


def page(
    path: str, web: WebContext, act: Act, *, posts: bool = False, pool: Pool = "pages"
) -> Route:
    """A route to an act; the form of a POST is read before it.

    Acts that wait for a service, and exports, have separate, small pools of threads, so that a
    service that hangs doesn't block other pages.
    """

    async def endpoint(request: Request) -> Response:
        body = await read_body(request) if posts else b""

        def answer() -> Response:
            form = read_form(request.headers.get("content-type", ""), body)
            return act(web, Visit(request, form, web.clock(), locale_of(web, request.scope)))

        return await in_thread(web, pool, answer)

    return Route(path, endpoint, methods=["POST"] if posts else ["GET"])


async def in_thread(web: WebContext, pool: Pool, work: Callable[[], T]) -> T:
    """Run `work` in a thread of this pool; raises `PageError` if too many visits wait."""
    limiter = web.threads[pool]
    if limiter.statistics().tasks_waiting >= _MOST_QUEUED:
        raise PageError(503, wait_s=30)
    return await to_thread.run_sync(work, limiter=limiter)


def link_page(
    web: WebContext,
    purpose: str,
    act: LinkAct,
    path: str = "",
    *,
    posts: bool = False,
    pool: Pool = "pages",
) -> Route:
    """A route at `/purpose/<token>path` that requires a signed link of this purpose."""
    return page(
        f"/{purpose}/{{token}}{path}",
        web,
        lambda web, visit: act(web, open_link(web, visit, purpose)),
        posts=posts,
        pool=pool,
    )


def open_link(web: WebContext, visit: Visit, purpose: str) -> LinkVisit:
    """The visit by the link's athlete; raises `PageError` if the link has been closed."""
    link = visit.request.scope[LINK]
    with web.store.reading() as tx:
        found = tx.athletes.of_link(link, calendar=purpose == "calendar")
    if found is None:
        raise PageError(410, goodbye=True)
    athlete, is_closed = found
    # Error pages from here on are in the athlete's language.
    visit.request.scope[LOCALE] = locale = locale_of(web, visit.request.scope, athlete)
    if is_closed and purpose != NEVER_CLOSED:
        raise PageError(410)
    return LinkVisit(visit.request, visit.form, visit.now, locale, athlete, link.more)
