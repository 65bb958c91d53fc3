"""The way to a service: a session that leads to one address and bounds every answer.

No answer takes longer or grows larger than allowed, no redirect carries a bearer token somewhere
nobody chose, nothing of the environment adds credentials. What goes wrong on the network becomes
words, without the addresses, which may hold secrets.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import requests
import urllib3
from requests.adapters import HTTPAdapter

from worker.sources import SourceError
from worker.sources.address import is_loopback

CONNECT_S = 10.0
LARGEST_ANSWER_BYTES = 16 * 2**20
_PIECE_BYTES = 64 * 2**10


@dataclass(frozen=True, slots=True)
class Way:
    """Where to, and how patiently.

    `name` is the service's, for sentences. `silence_s` is the longest wait for the next piece of
    an answer, `answer_s` for all of it. `there` gives the address in place of the one asked for.
    `unreachable` and `unavailable` make the errors of the service's room.
    """

    name: str
    unreachable: Callable[[str], SourceError]
    unavailable: Callable[[str], SourceError]
    ca_file: str | None = None
    silence_s: float = 30.0
    answer_s: float = 60.0
    largest_bytes: int = LARGEST_ANSWER_BYTES
    there: Callable[[str], str] = lambda address: address


def session(way: Way) -> requests.Session:
    """A session that goes this way."""
    made = requests.Session()
    made.mount("https://", _Bounded(way))
    made.mount("http://", _Bounded(way))
    # A redirect of the API would carry the bearer token somewhere nobody chose.
    made.max_redirects = 0
    # With an authentication of its own, requests doesn't let ~/.netrc replace the bearer token.
    made.auth = _as_it_is
    return made


@contextmanager
def plainly(way: Way) -> Iterator[None]:
    """Turn what the network does into errors of the room. An answer with a status passes through.

    Causes are left out on purpose: their texts hold addresses, and addresses may hold secrets.
    """
    name = way.name
    try:
        yield
    except requests.HTTPError:
        raise
    except (requests.exceptions.InvalidJSONError, requests.TooManyRedirects):
        raise way.unavailable(f"{name} answered with something that isn't its API") from None
    except requests.Timeout:
        raise way.unreachable(f"{name} didn't answer in time") from None
    except requests.exceptions.SSLError:
        raise way.unreachable(
            f"{name}'s certificate isn't trusted here; where a proxy stands between, SSL_CERT_FILE "
            "names its certificate"
        ) from None
    except requests.exceptions.ProxyError:
        raise way.unreachable("the proxy set in the environment can't be used") from None
    except (
        requests.exceptions.ChunkedEncodingError,
        requests.exceptions.ContentDecodingError,
    ):
        raise way.unavailable(f"{name}'s answer ended in the middle") from None
    except requests.ConnectionError as error:
        raise way.unreachable(_no_connection(error, name)) from None
    except requests.RequestException:
        raise way.unavailable(f"{name} couldn't be asked") from None


def _no_connection(error: requests.ConnectionError, name: str) -> str:
    text = str(error)
    if "timed out" in text:
        return f"{name} didn't answer in time"
    if "NameResolution" in text or "getaddrinfo" in text:
        return f"there is no network, or no name service: {name}'s address can't be looked up"
    if "refused" in text:
        return f"nothing answers at {name}'s address"
    return f"the connection to {name} broke"


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class _Bounded(HTTPAdapter):
    """Leads to the configured address; no answer takes longer or grows larger than allowed."""

    def __init__(self, way: Way) -> None:
        super().__init__(pool_maxsize=16)
        self._way = way

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002  (the signature is requests')
        timeout: Any = None,  # noqa: ARG002  (as above; ours stand)
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        address = self._way.there(request.url or "")
        request.url = address
        response = super().send(
            request,
            stream=True,
            timeout=(CONNECT_S, self._way.silence_s),
            verify=self._way.ca_file or verify,
            cert=cert,
            proxies={} if is_loopback(address) else proxies,
        )
        response.raw = cast("Any", _BoundedBody(response.raw, self._way))
        return response


class _BoundedBody:
    """A body that gives up when it trickles or swells. Has what requests asks of a raw body."""

    def __init__(self, raw: urllib3.BaseHTTPResponse, way: Way) -> None:
        self._raw = raw
        self._way = way
        self._until = time.monotonic() + way.answer_s

    def stream(self, _size: int, decode_content: bool = True) -> Iterator[bytes]:
        read_bytes = 0
        name = self._way.name
        while piece := self._raw.read1(_PIECE_BYTES, decode_content=decode_content):
            read_bytes += len(piece)
            if read_bytes > self._way.largest_bytes:
                self.close()
                raise self._way.unavailable(f"{name}'s answer is larger than any real one")
            if time.monotonic() > self._until:
                self.close()
                raise self._way.unreachable(f"{name}'s answer trickled in too slowly")
            yield piece

    def close(self) -> None:
        self._raw.close()

    def release_conn(self) -> None:
        self._raw.release_conn()
