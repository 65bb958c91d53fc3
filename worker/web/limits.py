"""Limits on requests, and security headers on all answers, around every route.

A page's link is checked before the rest of the request is read. A client with too many requests has
to wait. An unexpected exception becomes an error page. Headers set by a route aren't overridden.
"""

import logging
from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.health import shortage_of
from worker.links import Link, LinkError
from worker.notify.render import clean
from worker.web.context import PageError, WebContext, error_page
from worker.web.rate_limiter import ClientRateLimiter
from worker.web.visits import LINK, LINK_LIVES

log = logging.getLogger(__name__)

_WRONG_LINK_COSTS = 5.0
_MOST_PROXIES = 10
"""The most proxies that are considered; a forged header may name thousands."""
_UNCOUNTED = ("/livez", "/pages.", "/icon.svg")
_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


class LimitsMiddleware:
    """The middleware around the app."""

    def __init__(self, app: ASGIApp, *, web: WebContext, rate_limiter: ClientRateLimiter) -> None:
        self._app = app
        self._web = web
        self._rate_limiter = rate_limiter
        self._headers = _headers(web.base_url)
        # Without the older paths that have no secret, which anybody could guess.
        self._webhooks = {one.webhook_path for one in web.services.sources.values()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client = client_of(scope, proxies=self._web.proxies)
        begun, unread = False, _has_body(scope)

        async def read() -> Message:
            nonlocal unread
            message = await receive()
            unread = bool(message.get("more_body", False))
            return message

        async def out(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                self._count_wrong_link(scope, client, message["status"])
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                if unread:  # the rest of the body must not be read as another request
                    headers["connection"] = "close"
            await send(message)

        try:
            self._admit(scope, client)
            await self._app(scope, read, out)
        except PageError as error:
            await error_page(self._web, scope, error)(scope, receive, out)
        except Exception as error:  # noqa: BLE001  it must not end the server
            told = _unexpected(scope, error)
            if not begun:
                await error_page(self._web, scope, told)(scope, receive, out)

    def _admit(self, scope: Scope, client: str) -> None:
        """Raise `PageError` for too many requests, an invalid link or invalid headers.

        Visits by a valid link are counted for its athlete, so that wrong links of others from the
        same address or behind the same proxy don't affect it.
        """
        refused = None
        try:
            scope[LINK] = link = self._link(scope)
            _check_headers(scope)
        except PageError as error:
            link, refused = None, error
        if not self._is_uncounted(scope):
            whose = client if link is None else f"link of {link.athlete}"
            if wait_s := self._rate_limiter.wait_s(whose, self._web.clock()):
                log.debug(
                    "web: too many visits of %(visitor)s, at %(page)s",
                    {"visitor": client, "page": _place(scope)},
                )
                raise PageError(429, wait_s=wait_s)
        if refused is not None:
            raise refused

    def _link(self, scope: Scope) -> Link | None:
        """The content of the link to a page, or None for a page without a link."""
        purpose, _, rest = str(scope["path"]).removeprefix("/").partition("/")
        if purpose not in LINK_LIVES or not rest:
            return None
        lives = LINK_LIVES[purpose]
        max_age_s = lives.total_seconds() if lives else None
        try:
            return self._web.signer.check(
                purpose, rest.partition("/")[0], max_age_s=max_age_s, now=self._web.clock()
            )
        except LinkError as error:
            raise PageError(410 if error.expired else 403) from error

    def _count_wrong_link(self, scope: Scope, client: str, status: int) -> None:
        """Log a refused request, and count a wrong link several times, so that guesses are few."""
        if status in (401, 403):
            log.info(
                "web: %(status)d to %(visitor)s, at %(page)s",
                {"status": status, "visitor": client, "page": _place(scope)},
            )
        if status in (401, 403, 404) and not self._is_uncounted(scope) and scope.get(LINK) is None:
            self._rate_limiter.wait_s(client, self._web.clock(), cost=_WRONG_LINK_COSTS)

    def _is_uncounted(self, scope: Scope) -> bool:
        """True for requests that may be frequent and can't be guesses, such as health checks."""
        path: str = scope["path"]
        if path in self._webhooks:
            return bool(scope["method"] == "POST")
        return path.startswith(_UNCOUNTED)


def _unexpected(scope: Scope, error: Exception) -> PageError:
    """Log an unexpected exception; returns the error for the visitor."""
    if shortage := shortage_of(error):
        log.error("web: %(why)s", {"why": shortage.text})
        return PageError(503, wait_s=60)
    log.error("web: unexpected, at %(page)s", {"page": _place(scope)}, exc_info=error)
    return PageError(500)


def client_of(scope: Scope, *, proxies: Collection[IPv4Network | IPv6Network]) -> str:
    """The client for whom a visit is counted: the peer, or the one that trusted proxies name.

    Each proxy adds its client at the end, on a separate line or not. The last address that isn't a
    trusted proxy is used; those before it may be forged. Of an IPv6 address, only the first 64 bits
    count, which a household shares.
    """
    peer = scope["client"][0] if scope.get("client") else ""
    told = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")
    client = peer
    for hop in (peer, *reversed(told[-_MOST_PROXIES:])):
        try:
            address = ip_address(hop.strip())
        except ValueError:
            break
        client = str(address)
        if address.version == 6:  # noqa: PLR2004  IPv6
            if address.ipv4_mapped:
                client = str(address := address.ipv4_mapped)
            else:
                client = str(ip_network((address, 64), strict=False))
        if not any(address in network for network in proxies):
            break
    return client


def _check_headers(scope: Scope) -> None:
    """Raise `PageError` if the length of a request is ambiguous or its host is invalid."""
    headers = Headers(scope=scope)
    if "content-length" in headers and "transfer-encoding" in headers:
        raise PageError(400)
    try:
        urlsplit(f"//{headers.get('host', '')}").port  # noqa: B018  it raises
    except ValueError as error:
        raise PageError(400) from error


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _place(scope: Scope) -> str:
    """The first part of the path for the log, without the token."""
    return "/" + clean(str(scope["path"]).partition("/")[2].partition("/")[0], longest=20)


def _headers(base_url: str) -> dict[str, str]:
    headers = {
        "content-security-policy": _CSP,
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
        "x-robots-tag": "noindex, nofollow",
        "cache-control": "no-store",
    }
    if base_url.startswith("https://"):
        headers["strict-transport-security"] = "max-age=31536000"
    return headers
