"""Closes idle connections, and those beyond the limit, so that others can be served.

uvicorn waits for the headers of a request without a time limit, and every connection counts towards
its maximum. Bodies have a separate, shorter deadline (`worker.web.forms`), and uploads a longer one
(`worker.web.uploads`).
"""

import asyncio
import errno
import logging
import os
import resource
import socket
import time
from contextlib import suppress
from typing import Any, Self

from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger(__name__)

LONG_BODY = "easeback.long_body"
"""The key in a request's state of a function that ends the deadline for the request's body. A route
that has its own deadline calls it."""

HEADERS_WITHIN_S = 15.0
_MOST_WAITING = 100
_FILES_KEPT_FREE = 16
"""The number of file descriptors that are reserved for the work."""

_SAID_EVERY_S = 60.0

_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class ListeningSocket(socket.socket):
    """Closes a connection at once if the process has few file descriptors left.

    asyncio would leave it waiting, retry some thousand times a second and log each attempt.
    """

    @classmethod
    def of(cls, listening: socket.socket) -> Self:
        """Take over the socket; `listening` can't be used afterwards."""
        return cls(listening.family, listening.type, listening.proto, listening.detach())

    def __init__(self, *which: int) -> None:
        super().__init__(*which)
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # Each file gets the lowest free descriptor, so that the highest ones stay free.
        self._last = float("inf") if most == resource.RLIM_INFINITY else most - _FILES_KEPT_FREE
        # If no descriptor is left, this one is released to accept a connection and close it.
        self._spare: int | None = os.open(os.devnull, os.O_RDONLY)
        self._said_s = -_SAID_EVERY_S

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection; raises `ConnectionAbortedError` if it was closed."""
        try:
            connection, address = super().accept()
        except OSError as error:
            if error.errno not in _NO_ROOM or not self._turn_away():
                raise
            raise ConnectionAbortedError from error
        if connection.fileno() > self._last:
            connection.close()
            self._say_full()
            raise ConnectionAbortedError
        return connection, address

    def close(self) -> None:
        self._give_spare_up()
        super().close()

    def _turn_away(self) -> bool:
        """Close the next connection unanswered; False if there is no spare descriptor."""
        if self._spare is None:
            return False
        self._give_spare_up()
        with suppress(OSError):
            super().accept()[0].close()
        with suppress(OSError):
            self._spare = os.open(os.devnull, os.O_RDONLY)
        self._say_full()
        return True

    def _give_spare_up(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    def _say_full(self) -> None:
        if time.monotonic() - self._said_s >= _SAID_EVERY_S:
            self._said_s = time.monotonic()
            log.warning(
                "web: connections are closed unanswered: this process may open few more files "
                "(`ulimit -n`, systemd's LimitNOFILE)"
            )


class ImpatientProtocol(H11Protocol):
    """uvicorn's protocol, with a deadline for receiving each request.

    The number of connections that wait for a complete request is limited. If it is exceeded, the
    connection that has waited longest is closed.
    """

    deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self.app_state = {**self.app_state, LONG_BODY: self.end_wait}
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.end_wait_if_asked()

    def on_response_complete(self) -> None:
        self._wait()
        super().on_response_complete()
        self.end_wait_if_asked()  # the next request may have arrived already

    def connection_lost(self, exc: Exception | None) -> None:
        self.end_wait()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self.end_wait()
        # `abort` also drops unsent data; otherwise a slow reader could hold the connection.
        self.deadline = self.loop.call_later(HEADERS_WITHIN_S, self.transport.abort)
        waiting = {
            one.deadline.when(): one
            for one in self.connections
            if isinstance(one, ImpatientProtocol) and one.deadline
        }
        if len(waiting) > _MOST_WAITING:
            longest = waiting[min(waiting)]
            longest.end_wait()
            longest.transport.abort()

    def end_wait_if_asked(self) -> None:
        request = self.cycle
        if request is not None and not request.response_complete and not request.more_body:
            self.end_wait()

    def end_wait(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None
