"""Connections that ask nothing: closed after a while, or as soon as others need the room.

uvicorn waits for ever for the headers of a request, and every connection counts against the most it
serves. Bodies have a shorter deadline of their own (`worker.web.forms`).
"""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_WITHIN_S = 15.0
_MOST_WAITING = 100


class ImpatientProtocol(H11Protocol):
    """uvicorn's protocol, with a deadline for each request to be there.

    Of a server's connections whose request isn't there whole there are only so many: one more, and
    the one that has been waiting longest is closed.
    """

    deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.end_wait_if_asked()

    def on_response_complete(self) -> None:
        self._wait()
        super().on_response_complete()
        self.end_wait_if_asked()  # the next request may be there already

    def connection_lost(self, exc: Exception | None) -> None:
        self.end_wait()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self.end_wait()
        # What isn't read is dropped too: its reader would hold the connection as long.
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
