"""Limits an HTTP answer: one deadline from sending to the last byte, and a maximum size.

Each byte extends the deadline only by its share, so a server gains nothing by sending a header, a
chunk line or a body slowly. For connections of `http.client`, and libraries based on them:

    class Connection(HTTPConnection):
        response_class = BoundedResponse

    with bounded(60.0, 2**20, ValueError("too large")):
        ...  # ask; the answer may be read to its end later

While an answer is slow, the same thread can ask again on another connection: `first_of`.
"""

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from http.client import HTTPResponse
from math import inf
from typing import Any, TypeVar

SLOWEST_BYTES_S = 128 * 2**10
"""An answer that is faster than this may exceed the deadline, as the largest file does."""

_AnswerT = TypeVar("_AnswerT")


@dataclass(slots=True)
class _Bounds:
    """The limits of one answer: when its next byte is due, and how many more may arrive.

    `waits` is called at `waits_at` and then every `waits_every_s`, until the answer is complete.
    """

    until: float
    bytes_left: int
    too_large: Exception
    waits: Callable[[], None]
    waits_every_s: float
    waits_at: float

    def next_wait_s(self) -> float:
        """How long to wait for the next byte; raises TimeoutError after the deadline."""
        if time.monotonic() >= self.waits_at:
            self.waits_at = time.monotonic() + self.waits_every_s
            self.waits()
        seconds_left = self.until - time.monotonic()
        if seconds_left <= 0:
            raise TimeoutError("timed out")
        return min(seconds_left, max(self.waits_at - time.monotonic(), 0.01))


_bounds: ContextVar[_Bounds] = ContextVar("_bounds")
"""The limits of the answer that this thread is about to read; it is only passed a socket."""

_longest_s: ContextVar[float] = ContextVar("_longest_s", default=inf)
_waits: ContextVar[tuple[Callable[[], None], float]] = ContextVar(
    "_waits", default=(lambda: None, inf)
)


class _OvertakenError(Exception):
    """Another connection got its answer first."""

    def __init__(self, answer: object) -> None:
        super().__init__()
        self.answer = answer


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Limit every call inside to this time, even if its own deadline is later."""
    before = _longest_s.set(min(seconds, _longest_s.get()))
    try:
        yield
    finally:
        _longest_s.reset(before)


def longest_s(answer_s: float) -> float:
    """The limit for a call whose own limit is `answer_s`."""
    return min(answer_s, _longest_s.get())


def first_of(
    ask: Callable[[], _AnswerT],
    another: Callable[[], _AnswerT],
    *,
    every_s: float,
    unanswered: type[Exception],
) -> _AnswerT:
    """The result of `ask`, or of `another`, which is called every `every_s` while `ask` waits.

    For calls that may be repeated. `another` uses its own connection, and raises `unanswered` if
    that has no answer either; any other exception is the result, and ends `ask` too. Both run in
    this thread: data that arrives for `ask` meanwhile is read afterwards.
    """

    def waits() -> None:
        before = _waits.set((lambda: None, inf))
        try:
            answer = another()
        except unanswered:
            return
        finally:
            _waits.reset(before)
        raise _OvertakenError(answer)

    before = _waits.set((waits, every_s))
    try:
        return ask()
    except _OvertakenError as other:
        return other.answer  # type: ignore[return-value]  # it's from `another`
    finally:
        _waits.reset(before)


@contextmanager
def bounded(answer_s: float, largest_bytes: int, too_large: Exception) -> Iterator[None]:
    """Limit the answer to a call inside. Raises TimeoutError if it's late, or `too_large`."""
    now, (waits, every_s) = time.monotonic(), _waits.get()
    until = now + longest_s(answer_s)
    before = _bounds.set(_Bounds(until, largest_bytes, too_large, waits, every_s, now + every_s))
    try:
        yield
    finally:
        _bounds.reset(before)


class _BoundedBytes(io.RawIOBase):
    """The bytes of one answer, as they arrive at the socket."""

    def __init__(self, sock: Any, raw: io.RawIOBase) -> None:
        self._sock, self._raw, self._bounds = sock, raw, _bounds.get()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        count: int | None = None
        while count is None:
            self._sock.settimeout(self._bounds.next_wait_s())
            # Not through the socket's file, which can't be read again after a time-out.
            with suppress(TimeoutError):
                count = self._sock.recv_into(buffer)
        self._bounds.until += count / SLOWEST_BYTES_S
        self._bounds.bytes_left -= count
        if self._bounds.bytes_left < 0:
            raise self._bounds.too_large
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class BoundedResponse(HTTPResponse):
    """Reads status, headers, chunk lines and body within the limits."""

    def __init__(self, sock: Any, *args: Any, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        self.fp = io.BufferedReader(_BoundedBytes(sock, self.fp.detach()))
