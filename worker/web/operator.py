"""Who may see the operator's pages: those with the token, or at this very machine."""

import base64
import hmac
import logging
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.requests import Request

from worker.web.context import PageError, WebContext
from worker.web.limits import client_of

log = logging.getLogger(__name__)

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def is_operator(web: WebContext, request: Request) -> bool:
    """True with the right token; or from loopback, while the pages are published nowhere else.

    The token comes as `Authorization: Bearer`, or as the password of Basic, which a browser
    asks for. Loopback counts only where `base_url` and the Host header name loopback too and no
    proxy has left its mark: behind a proxy on this machine everybody comes from loopback.
    """
    if web.token:
        given = _given_token(request.headers.get("authorization", ""))
        if given is not None and hmac.compare_digest(given.encode(), web.token.encode()):
            _log_use(web, request)
            return True
    peer = request.client.host if request.client else ""
    return (
        _is_loopback(peer)
        and _is_loopback(urlsplit(web.base_url).hostname or "")
        and _is_loopback(_host(request))
        and not any(name in request.headers for name in _FORWARDED)
    )


def require_operator(web: WebContext, request: Request) -> None:
    """Raises `PageError`: 401 where a token would open the page, else 403."""
    if is_operator(web, request):
        return
    if web.token:
        raise PageError(401, realm="easeback")
    raise PageError(403)


def _log_use(web: WebContext, request: Request) -> None:
    """A token that opened something is an event; one an hour, for metrics are scraped all day."""
    client = client_of(request.scope, proxies=web.proxies)
    if not web.operators.wait_s(client, web.clock()):
        log.info("web: the operator's token opened a page to %(visitor)s", {"visitor": client})


def _given_token(authorization: str) -> str | None:
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return given.strip()
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(given, validate=True).decode().partition(":")[2]
    except ValueError as error:  # no base64, or no UTF-8 in it
        raise PageError(400) from error


def _host(request: Request) -> str:
    return urlsplit(f"//{request.headers.get('host', '')}").hostname or ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
