"""Limits an HTTP answer: one deadline from sending to the last byte, and a maximum size.

Each byte extends the deadline only by its share, so sending a header, a chunk line or a body
slowly gains nothing. For connections of `http.client`, and libraries based on them:

    class Connection(HTTPConnection):
        response_class = BoundedResponse

    with bounded(60.0, 2**20, ValueError("too large")):
        ...  # ask; the answer may be read to its end later
"""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any

SLOWEST_BYTES_S = 128 * 2**10
"""What comes faster than this may take longer than the deadline: the largest file does."""


@dataclass(slots=True)
class _Bounds:
    """Of one answer: by when its next byte has to come, and how many more may come."""

    until: float
    bytes_left: int
    too_large: Exception


_bounds: ContextVar[_Bounds] = ContextVar("_bounds")
"""Of the answer that this thread is about to read: nothing but a socket is handed on to it."""


@contextmanager
def bounded(answer_s: float, largest_bytes: int, too_large: Exception) -> Iterator[None]:
    """Bound what is asked inside. Raises TimeoutError where it's late, `too_large` where it is."""
    before = _bounds.set(_Bounds(time.monotonic() + answer_s, largest_bytes, too_large))
    try:
        yield
    finally:
        _bounds.reset(before)


class _BoundedBytes(io.RawIOBase):
    """The bytes of one answer, as they come from the socket."""

    def __init__(self, sock: Any, raw: io.RawIOBase) -> None:
        self._sock, self._raw, self._bounds = sock, raw, _bounds.get()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        seconds_left = self._bounds.until - time.monotonic()
        if seconds_left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(seconds_left)
        count = self._raw.readinto(buffer) or 0
        self._bounds.until += count / SLOWEST_BYTES_S
        self._bounds.bytes_left -= count
        if self._bounds.bytes_left < 0:
            raise self._bounds.too_large
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class BoundedResponse(HTTPResponse):
    """Reads status, headers, chunk lines and body alike within the bounds."""

    def __init__(self, sock: Any, *args: Any, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        self.fp = io.BufferedReader(_BoundedBytes(sock, self.fp.detach()))
