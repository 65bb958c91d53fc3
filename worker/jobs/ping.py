"""The ping: tells a dead man's switch that the work goes on."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from http.client import HTTPException
from urllib.error import URLError
from urllib.request import Request, urlopen

from worker.health import Audience, check_health
from worker.pipeline import Services

log = logging.getLogger(__name__)

_PING_TIMEOUT_S = 10


def ping(services: Services, now: datetime, *, every: Mapping[str, timedelta]) -> bool:
    """Fetch `ping_url` where it is set and health allows; True where it was fetched.

    What goes wrong with the fetching is only logged: the work doesn't depend on it.
    """
    if services.ping_url is None:
        return False
    with services.store.reading() as tx:
        troubles = check_health(tx, now, every=every, audience=Audience.PING)
    if troubles:
        log.debug("ping: withheld: %(why)s", {"why": troubles[0].text})
        return False
    return fetch_address(services.ping_url)


def fetch_address(url: str) -> bool:
    """Fetch the address; its path may be a secret, and stays out of the log."""
    request = Request(url, headers={"User-Agent": "easeback"})  # noqa: S310  http(s) by settings
    try:
        with urlopen(request, timeout=_PING_TIMEOUT_S) as answer:  # noqa: S310  as above
            answer.read(1)
    except (OSError, URLError, HTTPException, ValueError) as error:
        why = getattr(error, "reason", None) or type(error).__name__
        log.warning("ping: not told: %(why)s", {"why": str(why)})
        return False
    return True
