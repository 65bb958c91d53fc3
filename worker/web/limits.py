"""Limits on what comes in, and security headers on all that goes out, around every route.

A body is read whole before a route sees it, up to a bound in bytes and seconds; a client that asks
too often has to wait; an unexpected exception becomes a plain page. A route's own header is left as
it is.
"""

import asyncio
import logging
import re
from ipaddress import ip_address, ip_network

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.notify.render import clean
from worker.web.context import PageError, WebContext, error_page
from worker.web.rate_limiter import ClientRateLimiter

log = logging.getLogger(__name__)

LONGEST_BODY = 16_384
BODY_WITHIN_S = 10.0
_WRONG_LINK_COSTS = 5.0
_UNCOUNTED = ("/livez", "/pages.", "/icon.svg")
_WEBHOOK = re.compile(r"/[a-z]+/webhook")
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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client = client_of(scope, proxies=self._web.proxies)
        begun = False

        async def out(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                self._count_wrong_link(scope, client, message["status"])
                self._add_headers(message)
            await send(message)

        try:
            if not _is_uncounted(scope):
                self._admit(scope, client)
            await self._app(scope, await _read_whole(scope, receive), out)
        except PageError as error:
            await error_page(self._web, error)(scope, receive, out)
        except Exception:
            log.exception("web: unexpected, at %(page)s", {"page": _place(scope)})
            if not begun:
                await error_page(self._web, PageError(500))(scope, receive, out)

    def _admit(self, scope: Scope, client: str) -> None:
        wait_s = self._rate_limiter.wait_s(client, self._web.clock())
        if wait_s:
            log.debug(
                "web: too many visits of %(visitor)s, at %(page)s",
                {"visitor": client, "page": _place(scope)},
            )
            raise PageError(429, wait_s=wait_s)

    def _count_wrong_link(self, scope: Scope, client: str, status: int) -> None:
        """Guessing is dearer than asking, and is seen: a client has few guesses, so few lines."""
        if status in (401, 403):
            log.info(
                "web: %(status)d to %(visitor)s, at %(page)s",
                {"status": status, "visitor": client, "page": _place(scope)},
            )
        if status in (401, 403, 404) and not _is_uncounted(scope):
            self._rate_limiter.wait_s(client, self._web.clock(), cost=_WRONG_LINK_COSTS)

    def _add_headers(self, message: Message) -> None:
        headers = MutableHeaders(scope=message)
        for name, value in self._headers.items():
            headers.setdefault(name, value)


async def _read_whole(scope: Scope, receive: Receive) -> Receive:
    """The body, read within its bounds, to be received again by whoever wants it."""
    declared = Headers(scope=scope).get("content-length", "0")
    if not declared.isdecimal() or int(declared) > LONGEST_BODY:
        raise PageError(413)
    body, more = b"", True
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    # Half a form is none: nothing of it may be acted on.
                    raise PageError(400)
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > LONGEST_BODY:
                    raise PageError(413)
    except TimeoutError as error:
        raise PageError(408) from error
    unread = [body]

    async def again() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        return await receive()

    return again


def client_of(scope: Scope, *, proxies: frozenset[str]) -> str:
    """Whom to count a visit for: the peer, or whom a trusted proxy says it stands for.

    Of an IPv6 address the first 64 bits: a household's, where a single address is one of many.
    """
    peer = scope["client"][0] if scope.get("client") else ""
    told = Headers(scope=scope).get("x-forwarded-for", "") if peer in proxies else ""
    # The last is what the trusted proxy itself saw; all before it anybody may have written.
    client = told.rpartition(",")[2].strip() or peer
    try:
        address = ip_address(client)
    except ValueError:
        return peer
    return str(ip_network((address, 64), strict=False)) if address.version == 6 else client  # noqa: PLR2004  IPv6


def _is_uncounted(scope: Scope) -> bool:
    """True for what guesses nothing and may come often: health, static files, events."""
    if _WEBHOOK.fullmatch(scope["path"]):
        return bool(scope["method"] == "POST")
    return bool(scope["path"].startswith(_UNCOUNTED))


def _place(scope: Scope) -> str:
    """The page without its token: links stay out of the log, and so does what isn't an address."""
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
