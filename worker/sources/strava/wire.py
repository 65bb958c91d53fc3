"""The way to Strava: stravalib over a session of our own.

stravalib sets no time-out, knows one host, takes the application's credentials from the
environment, sleeps when its limiter says so and warns through the root logger. So it gets a
session that bounds every answer in time and size and leads to the configured address, a limiter
that only listens, and credentials with each call. It's imported late: that takes half a second
and rewrites the process's warning filters.
"""

import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any

import requests

from worker.sources import wire
from worker.sources.strava.grants import STRAVA, StravaSettings
from worker.sources.strava.refusals import Unavailable, Unreachable
from worker.sources.wire import LARGEST_ANSWER_BYTES

__all__ = ["LARGEST_ANSWER_BYTES", "api", "plainly", "session", "stravalib_protocol"]

_importing = threading.Lock()


@cache
def stravalib_protocol() -> ModuleType:
    """Import it, quietly."""
    with _importing, warnings.catch_warnings():
        # Without this each client warns through the root logger that the environment holds no
        # credentials: https://stravalib.readthedocs.io/en/latest/reference/api/stravalib.client.Client.html
        os.environ.setdefault("SILENCE_TOKEN_WARNINGS", "true")
        from stravalib import protocol

    # Two webhook calls carry the client secret in the address, and urllib3 logs addresses.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
    return protocol


def session(settings: StravaSettings) -> requests.Session:
    """A session that leads to the configured address, and only from where stravalib asks."""
    return wire.session(_way(settings))


def api(
    session: requests.Session,
    access_token: str | None,
    listen: Callable[[Mapping[str, str]], None],
) -> Any:
    """A stravalib client for one grant; `listen` gets the headers of every answer."""

    def limiter(headers: Mapping[str, str], _method: str) -> None:
        listen(headers)

    made = stravalib_protocol().ApiV3(
        access_token=access_token, requests_session=session, rate_limiter=limiter
    )
    # Else credentials in the environment would switch its own refreshing on, which loses tokens.
    made.client_id = made.client_secret = None
    return made


@contextmanager
def plainly() -> Iterator[None]:
    """Turn what the network does into errors of this room. An answer with a status passes through.

    What stravalib can't pick its fields out of is no use either.
    """
    try:
        with wire.plainly(_NAMES):
            yield
    except requests.HTTPError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError):
        raise Unavailable("Strava answered in a form that nobody documented") from None


_NAMES = wire.Way("Strava", Unreachable, Unavailable)


def _way(settings: StravaSettings) -> wire.Way:
    def there(address: str) -> str:
        """The configured address for the one that stravalib hard-codes."""
        rest = address.removeprefix(STRAVA)
        if rest.startswith("/api/v3/"):
            return settings.api_url + rest.removeprefix("/api/v3")
        return settings.base_url.rstrip("/") + rest

    return wire.Way(
        "Strava",
        Unreachable,
        Unavailable,
        ca_file=settings.ca_file,
        silence_s=settings.silence_s,
        answer_s=settings.answer_s,
        there=there,
    )
