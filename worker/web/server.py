"""The web server in a process: uvicorn in a thread, started and stopped with the worker."""

import errno
import logging
import socket
import threading
import time
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

if TYPE_CHECKING:
    import uvicorn

log = logging.getLogger(__name__)

_STARTS_WITHIN_S = 5.0
_STOPS_WITHIN_S = 1.0
_MOST_CONNECTIONS = 200


class WebServerError(Exception):
    """The pages can't be served; the message says why and which setting to change."""


class WebServer:
    """One app on one port."""

    def __init__(self, app: ASGIApp, *, host: str, port: int) -> None:
        self.app = app
        self._host = host
        self._port = port
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    def start(self) -> None:
        """Start serving; raises `WebServerError`. Port 0 means any free port."""
        import uvicorn

        from worker.web.connections import ImpatientProtocol, ListeningSocket

        listening = ListeningSocket.of(self._listen())
        self._port = listening.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(
                self.app,
                http=ImpatientProtocol,
                loop="asyncio",
                ws="none",
                # Addresses contain tokens, so requests aren't logged.
                access_log=False,
                log_config=None,
                # `limits.client_of` decides which proxies to trust.
                proxy_headers=False,
                server_header=False,
                limit_concurrency=_MOST_CONNECTIONS,
                timeout_graceful_shutdown=1,
            )
        )
        logging.getLogger("uvicorn").setLevel(logging.ERROR)  # every invalid request is a warning
        self._thread = threading.Thread(
            target=self._server.run, args=([listening],), name="web", daemon=True
        )
        self._thread.start()
        try:
            self._wait_until_serving()
        except WebServerError:
            self.stop()
            listening.close()
            raise
        log.info("web: pages at %(address)s", {"address": self.address})

    def stop(self) -> None:
        """Accept no more requests, and give current ones a second. May be called twice."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(_STOPS_WITHIN_S)
        if self._thread.is_alive():
            self._server.force_exit = True
        self._server = self._thread = None

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            return socket.create_server((self._host, self._port), family=family, backlog=256)
        except OSError as error:
            raise WebServerError(_in_words(error, self._host, self._port)) from error

    def _wait_until_serving(self) -> None:
        assert self._server is not None and self._thread is not None  # noqa: S101, PT018  just made
        until = time.monotonic() + _STARTS_WITHIN_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > until:
                raise WebServerError(f"the web server didn't start on {self.address}")
            time.sleep(0.01)


def _in_words(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is taken by another program: "
            "set [web] port to a free one (and base_url with it)"
        )
    if error.errno == errno.EACCES:
        return f"port {port} is for the system's own programs: set [web] port to 1024 or more"
    return f"[web] host {host} can't be listened on: {error.strerror or error}"
