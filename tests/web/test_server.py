"""The server in a thread: start, stop despite connections, and one line for a taken port."""

import os
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from simulators.web_instance import Instance
from worker.web import WebServer, WebServerError, build_app
from worker.web.connections import ListeningSocket

GIVEN_UP_AFTER_S = 30


def ask(server: WebServer, path: str) -> tuple[int, bytes]:
    at = urlsplit(server.address)
    connection = HTTPConnection(at.hostname or "", at.port, timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def test_serves_from_start_to_stop(made: Instance) -> None:
    """And the port is free again at once."""
    server = WebServer(build_app(made.web), host="127.0.0.1", port=0)
    server.start()
    port = urlsplit(server.address).port
    assert ask(server, "/livez") == (200, b"ok\n")
    server.stop()
    again = WebServer(build_app(made.web), host="127.0.0.1", port=port or 0)
    again.start()
    assert ask(again, "/livez") == (200, b"ok\n")
    again.stop()


def test_stops_whoever_is_connected(made: Instance) -> None:
    """An idle connection, and one with an unfinished request."""
    server = WebServer(build_app(made.web), host="127.0.0.1", port=0)
    server.start()
    at = urlsplit(server.address)
    idle = HTTPConnection(at.hostname or "", at.port, timeout=5)
    idle.request("GET", "/livez")
    idle.getresponse().read()
    with socket.create_connection((at.hostname or "", at.port or 0)) as slow:
        slow.sendall(b"POST /checkin/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab")
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        # Neither does anything more, so a stop that waits for them would never end.
        stopping.join(GIVEN_UP_AFTER_S)
        assert not stopping.is_alive()
    idle.close()


def test_a_taken_port_is_said_in_one_line(made: Instance) -> None:
    """It names the setting to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = WebServer(build_app(made.web), host="127.0.0.1", port=port)
        with pytest.raises(
            WebServerError, match=rf"^port {port} of 127.0.0.1 is taken .*\[web\] port"
        ):
            server.start()
    server.stop()


def test_a_host_that_is_not_here_is_said_in_one_line(made: Instance) -> None:
    """Another machine's address can't be bound."""
    server = WebServer(build_app(made.web), host="192.0.2.1", port=0)
    with pytest.raises(WebServerError, match=r"^\[web\] host 192.0.2.1 can't be listened on"):
        server.start()


# uvicorn ends its thread by `sys.exit`.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_start_that_fails_can_be_tried_again_on_the_same_port() -> None:
    """The failed one doesn't keep the port."""
    outcomes = ["lifespan.startup.failed", "lifespan.startup.complete"]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": outcomes.pop(0)})
        else:
            await PlainTextResponse("ok\n")(scope, receive, send)

    server = WebServer(app, host="127.0.0.1", port=0)
    with pytest.raises(WebServerError, match=r"the web server didn't start on http://127.0.0.1:"):
        server.start()
    server.start()
    assert ask(server, "/livez") == (200, b"ok\n")
    server.stop()


def test_stopping_what_never_started_does_nothing(made: Instance) -> None:
    """Stopping twice is harmless too."""
    server = WebServer(build_app(made.web), host="127.0.0.1", port=0)
    server.stop()
    server.stop()


@contextmanager
def no_more_files_than(free: int) -> Iterator[None]:
    """Limit this process to that many more open files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("free_at_start", [10, 1000], ids=["the last are kept", "none is left"])
def test_connections_leave_the_work_files_to_open(
    free_at_start: int, caplog: pytest.LogCaptureFixture
) -> None:
    """They're closed without an answer, and each is one log line without a traceback."""
    plain = socket.create_server(("127.0.0.1", 0))
    with no_more_files_than(free_at_start):
        listening = ListeningSocket.of(plain)
    with listening:
        listening.settimeout(GIVEN_UP_AFTER_S)
        visitors = [socket.create_connection(listening.getsockname(), timeout=5) for _ in range(3)]
        with no_more_files_than(0 if free_at_start > 10 else 1000):
            for _ in visitors:
                with pytest.raises(ConnectionAbortedError):
                    listening.accept()
        for visitor in visitors:
            assert visitor.recv(1) == b""
            visitor.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "ulimit -n" in caplog.text
