"""Connections that say nothing: closed after a while, or as soon as others need the room.

uvicorn waits for ever for the headers of a request, and every connection counts against the most it
serves. Bodies have a deadline of their own (`worker.web.forms`).
"""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_WITHIN_S = 15.0
_MOST_SILENT = 100


class ImpatientProtocol(H11Protocol):
    """uvicorn's protocol, with a deadline for the headers of each request.

    Of a server's connections that haven't said any there are only so many: one more, and the one
    that has been silent longest is closed.
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
        self.deadline = self.loop.call_later(HEADERS_WITHIN_S, self.transport.close)
        silent = {
            one.deadline.when(): one
            for one in self.connections
            if isinstance(one, ImpatientProtocol) and one.deadline
        }
        if len(silent) > _MOST_SILENT:
            longest = silent[min(silent)]
            longest.end_wait()
            longest.transport.close()

    def end_wait_if_asked(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.end_wait()

    def end_wait(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None
