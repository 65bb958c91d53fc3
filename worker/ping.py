"""The ping: fetches an address while everything works, so that a monitor notices if it stops."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.request import HTTPHandler, HTTPSHandler, Request, build_opener

from worker.health import Audience, check_health
from worker.pipeline.services import Services
from worker.sources.bounded import BoundedResponse, bounded

log = logging.getLogger(__name__)

_LONGEST_PING_BYTES = 2**20


def ping(services: Services, now: datetime, *, patience: Mapping[str, timedelta]) -> bool:
    """Fetch `ping_url` if it is set and everything works; True if it was fetched.

    A failed request is only logged, because the work doesn't depend on it.
    """
    if services.ping_url is None:
        return False
    with services.store.reading() as tx:
        troubles = check_health(tx, now, patience=patience, audience=Audience.PING)
    if troubles:
        log.debug("ping: withheld: %(why)s", {"why": troubles[0].text})
        return False
    return fetch_address(services.ping_url)


class _PingConnection(HTTPConnection):
    response_class = BoundedResponse


class _PingTLSConnection(HTTPSConnection):
    response_class = BoundedResponse


class _PingHandler(HTTPHandler, HTTPSHandler):
    """Opens http and https addresses with connections that limit the size of the answer."""

    def http_open(self, request: Request) -> HTTPResponse:
        return self.do_open(_PingConnection, request)

    def https_open(self, request: Request) -> HTTPResponse:
        return self.do_open(_PingTLSConnection, request)


def fetch_address(url: str, *, within_s: float = 10.0) -> bool:
    """Fetch the address; False if that failed. It isn't logged, because it may be a secret."""
    request = Request(url, headers={"User-Agent": "easeback"})  # noqa: S310  http(s) by settings
    try:
        with (
            bounded(within_s, _LONGEST_PING_BYTES, ValueError("an answer without end")),
            build_opener(_PingHandler).open(request, timeout=within_s) as answer,
        ):
            answer.read(1)
    except (OSError, HTTPException, ValueError) as error:  # a `URLError` is an `OSError`
        why = getattr(error, "reason", None) or type(error).__name__
        log.warning("ping: not told: %(why)s", {"why": str(why)})
        return False
    return True
