"""Who may see the operator's pages: those with the token, or on this machine."""

import base64
import hmac
import logging

from starlette.requests import Request

from worker.setting_types import is_loopback, is_loopback_host
from worker.web.context import PageError, WebContext
from worker.web.limits import client_of

log = logging.getLogger(__name__)

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def is_operator(web: WebContext, request: Request) -> bool:
    """True with the right token, or from loopback if the pages aren't published elsewhere.

    The token is sent as `Authorization: Bearer`, or as the password of Basic authentication, for
    which browsers ask. Loopback is accepted only if `base_url` and the Host header are loopback too
    and no proxy has added a header: behind a proxy on this machine every request is from loopback.
    """
    if web.token:
        given = _given_token(request.headers.get("authorization", ""))
        if given is not None and hmac.compare_digest(given.encode(), web.token.encode()):
            _log_use(web, request)
            return True
    return (
        is_loopback_host(request.client.host if request.client else "")
        and is_loopback(web.base_url)
        and is_loopback(f"//{request.headers.get('host', '')}")
        and not any(name in request.headers for name in _FORWARDED)
    )


def require_operator(web: WebContext, request: Request) -> None:
    """Raise `PageError` if it isn't the operator: 401 if a token is set, else 403."""
    if is_operator(web, request):
        return
    if web.token:
        raise PageError(401, realm="easeback")
    raise PageError(403)


def _log_use(web: WebContext, request: Request) -> None:
    """Log the use of the token, once an hour, because metrics are scraped all day."""
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
    except ValueError as error:  # not base64, or not UTF-8
        raise PageError(400) from error
