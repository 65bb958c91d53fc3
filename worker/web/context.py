"""What pages work with: the application behind them, and the error page."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

from anyio import CapacityLimiter
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from worker.domain.models import Athlete, SourceName
from worker.domain.rules import Rules
from worker.links import Signer
from worker.notify.render import Locale
from worker.pipeline.services import Clock, Services
from worker.setting_types import LOOPBACK
from worker.store import Store
from worker.web.pages import Pages
from worker.web.rate_limiter import ClientRateLimiter, OneEach

Pool = Literal["pages", "services", "exports", "uploads", "health"]
_POOLS: Mapping[Pool, int] = {"pages": 6, "services": 4, "exports": 2, "uploads": 2, "health": 1}
"""The number of threads in each pool; together they don't exceed the store's connections."""


class PageError(Exception):
    """A request can't be answered: the answer is an error page with this status (`error_page`).

    `goodbye` says that the link was valid and its athlete was deleted.
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
class WebContext:
    """The application, as far as pages need it.

    `data_dir` has files about athletes, such as their mails. `patience` has the time that each of
    the worker's jobs may go without ending a run. `token` opens the operator's pages. `report` is
    called with the reason if a consent failed, and `notify` with the athletes for whom a webhook
    made something due.
    """

    services: Services
    signer: Signer
    clock: Clock
    base_url: str
    data_dir: Path
    pages: Pages = field(default_factory=Pages)
    token: str | None = field(default=None, repr=False)
    patience: Mapping[str, timedelta] = field(default_factory=dict)
    proxies: Collection[IPv4Network | IPv6Network] = LOOPBACK
    report: Callable[[str], None] = lambda _: None
    notify: Callable[[SourceName, Collection[int]], None] = lambda *_: None
    operators: ClientRateLimiter = field(
        default_factory=lambda: ClientRateLimiter(burst=1, per_s=1 / 3600, most=1_000)
    )
    """Limits the log of uses of the token to one per client and hour."""
    exporting: OneEach = field(default_factory=OneEach)
    uploading: OneEach = field(default_factory=OneEach)
    uploads: ClientRateLimiter = field(
        default_factory=lambda: ClientRateLimiter(burst=60, per_s=1 / 60)
    )
    """Limits the uploads of each athlete."""
    invitations: ClientRateLimiter = field(
        default_factory=lambda: ClientRateLimiter(burst=60, per_s=1 / 600)
    )
    """Limits invitations by the practice, so that a stolen link can't be used to send spam."""
    threads: Mapping[Pool, CapacityLimiter] = field(
        default_factory=lambda: {pool: CapacityLimiter(most) for pool, most in _POOLS.items()}
    )

    @property
    def store(self) -> Store:
        return self.services.store

    @property
    def rules(self) -> Rules:
        return self.services.rules


LOCALE = "easeback.locale"
"""The key of the visitor's locale in a request's scope, once it is known."""


def locale_of(web: WebContext, scope: Scope, athlete: Athlete | None = None) -> Locale:
    """The locale of a request's visitor, from the athlete's choice or the browser's."""
    known: Locale | None = scope.get(LOCALE)
    if known is not None and athlete is None:
        return known
    return web.pages.locale(Headers(scope=scope).get("accept-language", ""), athlete, web.rules)


def error_page(web: WebContext, scope: Scope, error: Exception) -> Response:
    """The error page for a request. After a `StoreError`, the client may retry."""
    if isinstance(error, HTTPException):
        error = PageError(error.status_code)
    elif not isinstance(error, PageError):
        error = PageError(503, wait_s=60)
    response: Response = web.pages.show(
        "refused.html",
        locale=locale_of(web, scope),
        status=error.status,
        code=error.status,
        goodbye=error.goodbye,
        is_practice=str(scope["path"]).startswith("/practice/"),
    )
    if error.wait_s is not None:
        response.headers["retry-after"] = str(error.wait_s)
    if error.realm:
        response.headers["www-authenticate"] = f'Basic realm="{error.realm}", charset="UTF-8"'
    return response
