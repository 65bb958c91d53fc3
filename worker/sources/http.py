"""HTTP to a service: a session that uses the service's route and limits every answer.

A call has one deadline from sending to the last byte (see `bounded`). No answer may exceed its
maximum size, no redirect carries a bearer token to another host, and the environment adds no
credentials. Network errors become a `SourceError` in words, without addresses, which may contain
secrets.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from worker.setting_types import is_loopback
from worker.sources.base import Unavailable
from worker.sources.bounded import BoundedResponse, bounded, longest_s

CONNECT_S = 5.0
_PIECE_BYTES = 64 * 2**10


class Peer(Protocol):
    """The service that a session talks to: its name for people, and its largest answer."""

    @property
    def title(self) -> str: ...

    @property
    def largest_answer_bytes(self) -> int: ...

    def route(self, address: str) -> str:
        """The address to use instead of this one."""


def http_session(source: Peer, *, ca_file: str | None, answer_s: float) -> requests.Session:
    """A session for one service; `answer_s` is the deadline of each call."""
    made = requests.Session()
    made.mount("https://", _BoundedAdapter(source, ca_file, answer_s))
    made.mount("http://", _BoundedAdapter(source, ca_file, answer_s))
    # A redirect of the API would carry the bearer token to another host.
    made.max_redirects = 0
    # With explicit authentication, requests doesn't let ~/.netrc replace the bearer token.
    made.auth = lambda request: request
    return made


@contextmanager
def network_errors(title: str) -> Iterator[None]:
    """Turn network errors into `Unavailable`. An answer with a status passes through.

    Errors that prevent any answer are `for_everybody`. Causes are omitted on purpose, because
    their texts contain addresses, which may contain secrets.
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


class _BoundedConnection(HTTPConnection):
    response_class = BoundedResponse


class _BoundedTLSConnection(HTTPSConnection):
    response_class = BoundedResponse


class _BoundedPool(HTTPConnectionPool):
    ConnectionCls = _BoundedConnection


class _BoundedTLSPool(HTTPSConnectionPool):
    ConnectionCls = _BoundedTLSConnection


_POOLS = {"http": _BoundedPool, "https": _BoundedTLSPool}


class _BoundedAdapter(HTTPAdapter):
    """Uses the service's route, and limits each answer."""

    def __init__(self, source: Peer, ca_file: str | None, answer_s: float) -> None:
        super().__init__(pool_maxsize=16)
        self.poolmanager.pool_classes_by_scheme = _POOLS
        self._source, self._ca_file, self._answer_s = source, ca_file, answer_s

    def proxy_manager_for(self, *args: Any, **more: Any) -> Any:
        manager = super().proxy_manager_for(*args, **more)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002  (the signature is requests')
        timeout: Any = None,  # noqa: ARG002  (as above; ours applies)
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        request.url = self._source.route(request.url or "")
        largest = self._source.largest_answer_bytes
        too_large = Unavailable(f"{self._source.title}'s answer is larger than any real one")
        answer_s = longest_s(self._answer_s)
        with bounded(answer_s, largest, too_large):
            response = super().send(
                request,
                stream=True,
                timeout=(min(CONNECT_S, answer_s), answer_s),
                verify=self._ca_file or verify,
                cert=cert,
                proxies={} if is_loopback(request.url) else proxies,
            )
        response.raw = cast("Any", _BoundedBody(response.raw, largest, too_large))
        return response


@dataclass(slots=True)
class _BoundedBody:
    """A body with a limit on its unpacked size, and the methods that requests uses."""

    raw: urllib3.BaseHTTPResponse
    bytes_left: int
    too_large: Unavailable

    def stream(self, _size: int, decode_content: bool = True) -> Iterator[bytes]:
        while piece := self.raw.read1(_PIECE_BYTES, decode_content=decode_content):
            self.bytes_left -= len(piece)
            if self.bytes_left < 0:
                self.close()
                raise self.too_large
            yield piece

    def close(self) -> None:
        self.raw.close()

    def release_conn(self) -> None:
        self.raw.release_conn()
