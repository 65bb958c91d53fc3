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
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any, cast

import requests
import urllib3
from requests.adapters import HTTPAdapter

from worker.sources.strava.grants import STRAVA, StravaSettings, is_loopback
from worker.sources.strava.refusals import Unavailable, Unreachable

CONNECT_S = 10.0
LARGEST_ANSWER_BYTES = 16 * 2**20
_PIECE_BYTES = 64 * 2**10

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
    """A session that leads to the configured address."""
    made = requests.Session()
    made.mount("https://", _Bounded(settings))
    # A redirect of the API would carry the bearer token somewhere nobody chose.
    made.max_redirects = 0
    # With an authentication of its own, requests doesn't let ~/.netrc replace the bearer token.
    made.auth = _as_it_is
    return made


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

    Causes are left out on purpose: their texts hold addresses, and addresses may hold secrets.
    """
    try:
        yield
    except requests.HTTPError:
        raise
    except (requests.exceptions.InvalidJSONError, requests.TooManyRedirects):
        raise Unavailable("Strava answered with something that isn't its API") from None
    except requests.Timeout:
        raise Unreachable("Strava didn't answer in time") from None
    except requests.exceptions.SSLError:
        raise Unreachable(
            "Strava's certificate isn't trusted here; where a proxy stands between, SSL_CERT_FILE "
            "names its certificate"
        ) from None
    except requests.exceptions.ProxyError:
        raise Unreachable("the proxy set in the environment can't be used") from None
    except (
        requests.exceptions.ChunkedEncodingError,
        requests.exceptions.ContentDecodingError,
    ):
        raise Unavailable("Strava's answer ended in the middle") from None
    except requests.ConnectionError as error:
        raise Unreachable(_no_connection(error)) from None
    except requests.RequestException:
        raise Unavailable("Strava couldn't be asked") from None
    except (KeyError, TypeError, AttributeError, ValueError):
        # stravalib picks its fields out of whatever came.
        raise Unavailable("Strava answered in a form that nobody documented") from None


def _no_connection(error: requests.ConnectionError) -> str:
    text = str(error)
    if "timed out" in text:
        return "Strava didn't answer in time"
    if "NameResolution" in text or "getaddrinfo" in text:
        return "there is no network, or no name service: Strava's address can't be looked up"
    if "refused" in text:
        return "nothing answers at Strava's address"
    return "the connection to Strava broke"


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class _Bounded(HTTPAdapter):
    """Leads to the configured address; no answer takes longer or grows larger than allowed."""

    def __init__(self, settings: StravaSettings) -> None:
        super().__init__(pool_maxsize=16)
        self._settings = settings

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002  (the signature is requests')
        timeout: Any = None,  # noqa: ARG002  (as above; ours stand)
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        address = request.url or ""
        request.url = self._there(address)
        response = super().send(
            request,
            stream=True,
            timeout=(CONNECT_S, self._settings.silence_s),
            verify=self._settings.ca_file or verify,
            cert=cert,
            proxies={} if is_loopback(request.url) else proxies,
        )
        response.raw = cast("Any", _BoundedBody(response.raw, self._settings.answer_s))
        return response

    def _there(self, address: str) -> str:
        """The configured address for the one that stravalib hard-codes."""
        rest = address.removeprefix(STRAVA)
        if rest.startswith("/api/v3/"):
            return self._settings.api_url + rest.removeprefix("/api/v3")
        return self._settings.base_url.rstrip("/") + rest


class _BoundedBody:
    """A body that gives up when it trickles or swells. Has what requests asks of a raw body."""

    def __init__(self, raw: urllib3.BaseHTTPResponse, longest_s: float) -> None:
        self._raw = raw
        self._until = time.monotonic() + longest_s

    def stream(self, _size: int, decode_content: bool = True) -> Iterator[bytes]:
        read_bytes = 0
        while piece := self._raw.read1(_PIECE_BYTES, decode_content=decode_content):
            read_bytes += len(piece)
            if read_bytes > LARGEST_ANSWER_BYTES:
                self.close()
                raise Unavailable("Strava's answer is larger than any real one")
            if time.monotonic() > self._until:
                self.close()
                raise Unreachable("Strava's answer trickled in too slowly")
            yield piece

    def close(self) -> None:
        self._raw.close()

    def release_conn(self) -> None:
        self._raw.release_conn()
