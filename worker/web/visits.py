"""Visits: the routes to pages, and for whom the signed link that led to one was made."""

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
from worker.store import ADDRESS_WAITS
from worker.web.context import LOCALE, PageError, Pool, WebContext, locale_of
from worker.web.forms import Form, read_body, read_form

LINK_LIVES: Final[Mapping[str, timedelta | None]] = {
    "address": ADDRESS_WAITS,
    "athlete": timedelta(days=60),
    # A calendar asks for years; who closes their links, or this one, closes it.
    "calendar": None,
    "checkin": timedelta(days=30),
    "connect": timedelta(days=60),
    # A therapist's; the operator's ends sooner, by `web.practice`.
    "practice": timedelta(days=90),
    # One gives up a mail years later.
    "unsubscribe": None,
    "welcome": timedelta(days=60),
}
"""How long a link of each purpose opens its page."""

NEVER_CLOSED: Final = "unsubscribe"
"""The purpose whose links stay open when the others are closed."""

LINK = "easeback.link"
"""Under this name a request has what its link says, which was checked before it came here."""

_MOST_QUEUED = 50
"""Visits that may wait for a thread; beyond that they are sent away, to try again."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request, with its body read, the instant it came, and how its visitor is spoken to."""

    request: Request
    form: Form
    now: datetime
    locale: Locale


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
"""Answers a visit. It may take long, because it runs in a separate thread."""

T = TypeVar("T")


def page(
    path: str, web: WebContext, act: Act, *, posts: bool = False, pool: Pool = "pages"
) -> Route:
    """A route to an act; the form of a POST is read before it.

    Acts that wait for a service, and exports, have a `pool` of threads of their own, a few, so that
    a service that hangs keeps nobody from the other pages.
    """

    async def endpoint(request: Request) -> Response:
        body = await read_body(request) if posts else b""

        def answer() -> Response:
            form = read_form(request.headers.get("content-type", ""), body)
            return act(web, Visit(request, form, web.clock(), locale_of(web, request.scope)))

        return await in_thread(web, pool, answer)

    return Route(path, endpoint, methods=["POST"] if posts else ["GET"])


async def in_thread(web: WebContext, pool: Pool, work: Callable[[], T]) -> T:
    """What `work` returns, done in a thread of this pool; raises `PageError` where many wait."""
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
    """A route to an act that only signed links of this purpose reach, at `/purpose/<token>path`."""
    return page(
        f"/{purpose}/{{token}}{path}",
        web,
        lambda web, visit: act(web, open_link(web, visit, purpose)),
        posts=posts,
        pool=pool,
    )


def open_link(web: WebContext, visit: Visit, purpose: str) -> LinkVisit:
    """The visit of whom its link was made for; raises `PageError` where it was closed since."""
    link = visit.request.scope[LINK]
    with web.store.reading() as tx:
        found = tx.athletes.of_link(link, calendar=purpose == "calendar")
    if found is None:
        raise PageError(410, goodbye=True)
    athlete, is_closed = found
    # What refuses the visit from here on does so in the athlete's language.
    visit.request.scope[LOCALE] = locale = locale_of(web, visit.request.scope, athlete)
    if is_closed and purpose != NEVER_CLOSED:
        raise PageError(410)
    return LinkVisit(visit.request, visit.form, visit.now, locale, athlete, link.more)
