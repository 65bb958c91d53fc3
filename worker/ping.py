"""The ping: fetches an address while health allows, so that a monitor notices when it stops."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.error import URLError
from urllib.request import HTTPHandler, HTTPSHandler, Request, build_opener

from worker.health import Audience, check_health
from worker.pipeline.services import Services
from worker.sources.bounded import BoundedResponse, bounded

log = logging.getLogger(__name__)

_LONGEST_PING_BYTES = 2**20


def ping(services: Services, now: datetime, *, patience: Mapping[str, timedelta]) -> bool:
    """Fetch `ping_url` where it is set and health allows; True where it was fetched.

    What goes wrong with the fetching is only logged: the work doesn't depend on it.
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
    """Opens both kinds of addresses, by connections whose answers are bounded."""

    def http_open(self, request: Request) -> HTTPResponse:
        return self.do_open(_PingConnection, request)

    def https_open(self, request: Request) -> HTTPResponse:
        return self.do_open(_PingTLSConnection, request)


def fetch_address(url: str, *, within_s: float = 10.0) -> bool:
    """Fetch the address; its path may be a secret, and stays out of the log."""
    request = Request(url, headers={"User-Agent": "easeback"})  # noqa: S310  http(s) by settings
    try:
        with (
            bounded(within_s, _LONGEST_PING_BYTES, ValueError("an answer without end")),
            build_opener(_PingHandler).open(request, timeout=within_s) as answer,
        ):
            answer.read(1)
    except (OSError, URLError, HTTPException, ValueError) as error:
        why = getattr(error, "reason", None) or type(error).__name__
        log.warning("ping: not told: %(why)s", {"why": str(why)})
        return False
    return True
