"""HTTP to a service: a session that goes to one address and bounds every answer.

No answer takes longer or grows larger than allowed, no redirect carries a bearer token somewhere
nobody chose, nothing of the environment adds credentials. What goes wrong on the network becomes a
`SourceError` in words, without addresses, which may hold secrets.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from worker.sources.base import Unavailable

CONNECT_S = 10.0
LARGEST_ANSWER_BYTES = 16 * 2**20
_PIECE_BYTES = 64 * 2**10


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How patiently a service is asked, and where.

    `title` is the service's, for sentences. `silence_s` is the longest wait for the next piece of
    an answer, `answer_s` for all of it. `there` gives the address in place of the one asked for.
    """

    title: str
    ca_file: str | None = None
    silence_s: float = 30.0
    answer_s: float = 60.0
    largest_bytes: int = LARGEST_ANSWER_BYTES
    there: Callable[[str], str] = lambda address: address


def http_session(options: HttpOptions) -> requests.Session:
    """A session with these options."""
    made = requests.Session()
    made.mount("https://", _Bounded(options))
    made.mount("http://", _Bounded(options))
    # A redirect of the API would carry the bearer token somewhere nobody chose.
    made.max_redirects = 0
    # With an authentication of its own, requests doesn't let ~/.netrc replace the bearer token.
    made.auth = lambda request: request
    return made


@contextmanager
def network_errors(title: str) -> Iterator[None]:
    """Turn what the network does into `Unavailable`. An answer with a status passes through.

    What keeps an answer from coming at all is `for_everybody`. Causes are left out on purpose:
    their texts hold addresses, and addresses may hold secrets.
    """
    try:
        yield
    except requests.HTTPError:
        raise
    except (requests.exceptions.InvalidJSONError, requests.TooManyRedirects):
        raise Unavailable(f"{title} answered with something that isn't its API") from None
    except requests.Timeout:
        raise _unreachable(f"{title} didn't answer in time") from None
    except requests.exceptions.SSLError:
        raise _unreachable(
            f"{title}'s certificate isn't trusted here; where a proxy stands between, "
            "SSL_CERT_FILE names its certificate"
        ) from None
    except requests.exceptions.ProxyError:
        raise _unreachable("the proxy set in the environment can't be used") from None
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError):
        raise Unavailable(f"{title}'s answer ended in the middle") from None
    except requests.ConnectionError as error:
        raise _unreachable(_no_connection(error, title)) from None
    except requests.RequestException:
        raise Unavailable(f"{title} couldn't be asked") from None


def is_loopback(address: str) -> bool:
    """True where an address stays on this machine."""
    host = urlsplit(address).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_address(address: str, *, title: str, given_away: str) -> None:
    """Raises ValueError, with the reason, for an address that can't be the service's.

    `given_away` is what plain http would show to everybody on the way.
    """
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"an address of {title} begins with https://; this is {address!r}")
    if parts.scheme == "http" and not is_loopback(address):
        raise ValueError(
            f"{address!r} would send {given_away} in the clear; plain http is only for this machine"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(f"an address of {title} is a host and perhaps a path; this is {address!r}")


def _unreachable(message: str) -> Unavailable:
    return Unavailable(message, for_everybody=True)


def _no_connection(error: requests.ConnectionError, title: str) -> str:
    text = str(error)
    if "timed out" in text:
        return f"{title} didn't answer in time"
    if "NameResolution" in text or "getaddrinfo" in text:
        return f"there is no network, or no name service: {title}'s address can't be looked up"
    if "refused" in text:
        return f"nothing answers at {title}'s address"
    return f"the connection to {title} broke"


class _Bounded(HTTPAdapter):
    """Goes to the configured address; no answer takes longer or grows larger than allowed."""

    def __init__(self, options: HttpOptions) -> None:
        super().__init__(pool_maxsize=16)
        self._options = options

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002  (the signature is requests')
        timeout: Any = None,  # noqa: ARG002  (as above; ours stand)
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        address = self._options.there(request.url or "")
        request.url = address
        response = super().send(
            request,
            stream=True,
            timeout=(CONNECT_S, self._options.silence_s),
            verify=self._options.ca_file or verify,
            cert=cert,
            proxies={} if is_loopback(address) else proxies,
        )
        until = time.monotonic() + self._options.answer_s
        response.raw = cast("Any", _BoundedBody(response.raw, self._options, until))
        return response


@dataclass(slots=True)
class _BoundedBody:
    """A body that gives up when it trickles or swells. Has what requests asks of a raw body."""

    raw: urllib3.BaseHTTPResponse
    options: HttpOptions
    until: float

    def stream(self, _size: int, decode_content: bool = True) -> Iterator[bytes]:
        read_bytes = 0
        title = self.options.title
        while piece := self.raw.read1(_PIECE_BYTES, decode_content=decode_content):
            read_bytes += len(piece)
            if read_bytes > self.options.largest_bytes:
                self.close()
                raise Unavailable(f"{title}'s answer is larger than any real one")
            if time.monotonic() > self.until:
                self.close()
                raise _unreachable(f"{title}'s answer trickled in too slowly")
            yield piece

    def close(self) -> None:
        self.raw.close()

    def release_conn(self) -> None:
        self.raw.release_conn()
