"""What pages work with: the application behind them, a visit, the signed link that led to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from worker.domain.models import Athlete, SourceName
from worker.domain.rules import Rules
from worker.links import LinkError, Signer
from worker.store import Store
from worker.web.access_log import AccessLog
from worker.web.forms import Form
from worker.web.pages import Pages
from worker.web.probe import Probe

LINK_LIVES: Final[Mapping[str, timedelta | None]] = {
    "athlete": timedelta(days=60),
    "checkin": timedelta(days=30),
    "connect": timedelta(days=60),
    # One gives up a mail years later; closing the others leaves it open too.
    "unsubscribe": None,
}
"""How long a link of each purpose opens its page."""


class PageError(Exception):
    """The visit leads nowhere: the answer is a plain page with this status (`error_page`).

    `goodbye` says that the link was sound and its athlete was deleted.
    """

    def __init__(
        self, status: int, *, wait_s: int | None = None, goodbye: bool = False, realm: str = ""
    ) -> None:
        super().__init__(status)
        self.status = status
        self.wait_s = wait_s
        self.goodbye = goodbye
        self.realm = realm


@dataclass(frozen=True, slots=True)
class KeyService:
    """A service that is connected by a key: where athletes make one, and how long it may live."""

    name: SourceName
    title: str
    key_page: str
    key_lives_days: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class WebContext:
    """The application, as far as pages need it.

    `ticks` names the worker's jobs and how often each comes round. `forget` deletes an athlete for
    good; `disconnect` disconnects a source. `connects` are the sources that are connected by a
    consent, at `/connect/<token>`, `takes_keys` those connected by a key: `give_key` tries a key,
    with when it ends as the athlete says it, and saves it; raises `SourceError` with words for
    them. `token` opens the operator's pages.
    """

    store: Store
    signer: Signer
    clock: Callable[[], datetime]
    base_url: str
    rules: Rules = field(default_factory=Rules)
    pages: Pages = field(default_factory=Pages)
    token: str | None = field(default=None, repr=False)
    ticks: Mapping[str, timedelta] = field(default_factory=dict)
    probe: Probe = field(default_factory=Probe)
    access_log: AccessLog = field(default_factory=AccessLog)
    proxies: frozenset[str] = frozenset({"127.0.0.1", "::1"})
    connects: tuple[SourceName, ...] = ()
    forget: Callable[[Athlete], None] | None = None
    disconnect: Callable[[Athlete, SourceName], None] | None = None
    takes_keys: tuple[KeyService, ...] = ()
    give_key: Callable[[Athlete, SourceName, str, str], None] | None = None


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
    payload: Mapping[str, str | int]

    @property
    def athlete_path(self) -> str:
        """Where the athlete's own page is, by the same link."""
        return f"/athlete/{self.request.path_params['token']}"


def open_link(web: WebContext, visit: Visit, purpose: str) -> LinkVisit:
    """The visit, where its link opens pages of this purpose; raises `PageError` otherwise."""
    token: str = visit.request.path_params["token"]
    lives = LINK_LIVES[purpose]
    max_age_s = lives.total_seconds() if lives else None
    try:
        payload = web.signer.check(purpose, token, max_age_s=max_age_s, now=visit.now)
    except LinkError as error:
        raise PageError(410 if error.expired else 403) from error
    athlete_id = payload.get("athlete")
    with web.store.reading() as tx:
        athlete = tx.athletes.by_id(athlete_id) if isinstance(athlete_id, int) else None
        begin_at = tx.athletes.links_from(athlete) if athlete else None
    if athlete is None:
        raise PageError(410, goodbye=True)
    if lives is not None and begin_at is not None:
        signed_at = web.signer.signed_at(purpose, token)
        if signed_at is None or signed_at < begin_at:
            raise PageError(410)
    return LinkVisit(visit.request, visit.form, visit.now, athlete, payload)


def error_page(web: WebContext, error: Exception) -> Response:
    """The plain page for a visit that leads nowhere; a `StoreError` is one to try again."""
    if isinstance(error, HTTPException):
        error = PageError(error.status_code)
    elif not isinstance(error, PageError):
        error = PageError(503, wait_s=60)
    response: Response = web.pages.show(
        "refused.html", status=error.status, code=error.status, goodbye=error.goodbye
    )
    if error.wait_s is not None:
        response.headers["retry-after"] = str(error.wait_s)
    if error.realm:
        response.headers["www-authenticate"] = f'Basic realm="{error.realm}", charset="UTF-8"'
    return response
