"""The face in a thread: up, down whoever is connected, and one line where its port is taken."""

import socket
import threading
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from tests.web.made import Instance
from worker.web import Face, FaceError, build_app

GIVEN_UP_AFTER_S = 30


def ask(face: Face, path: str) -> tuple[int, bytes]:
    at = urlsplit(face.address)
    connection = HTTPConnection(at.hostname or "", at.port, timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def test_serves_from_start_to_stop(made: Instance) -> None:
    """And the port is free again at once."""
    face = Face(build_app(made.desk), host="127.0.0.1", port=0)
    face.start()
    port = urlsplit(face.address).port
    assert ask(face, "/livez") == (200, b"ok\n")
    face.stop()
    again = Face(build_app(made.desk), host="127.0.0.1", port=port or 0)
    again.start()
    assert ask(again, "/livez") == (200, b"ok\n")
    again.stop()


def test_stops_whoever_is_connected(made: Instance) -> None:
    """An idle connection, and one that never finishes its request."""
    face = Face(build_app(made.desk), host="127.0.0.1", port=0)
    face.start()
    at = urlsplit(face.address)
    idle = HTTPConnection(at.hostname or "", at.port, timeout=5)
    idle.request("GET", "/livez")
    idle.getresponse().read()
    with socket.create_connection((at.hostname or "", at.port or 0)) as slow:
        slow.sendall(b"POST /checkin/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab")
        stopping = threading.Thread(target=face.stop)
        stopping.start()
        # Neither of them does anything more: a stop that waits for them has no end.
        stopping.join(GIVEN_UP_AFTER_S)
        assert not stopping.is_alive()
    idle.close()


def test_a_taken_port_is_said_in_one_line(made: Instance) -> None:
    """With the setting to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        face = Face(build_app(made.desk), host="127.0.0.1", port=port)
        with pytest.raises(FaceError, match=rf"^port {port} of 127.0.0.1 is taken .*\[web\] port"):
            face.start()
    face.stop()


def test_a_host_that_is_not_here_is_said_in_one_line(made: Instance) -> None:
    """Another machine's address can't be listened on."""
    face = Face(build_app(made.desk), host="192.0.2.1", port=0)
    with pytest.raises(FaceError, match=r"^\[web\] host 192.0.2.1 can't be listened on"):
        face.start()


def test_stopping_what_never_started_does_nothing(made: Instance) -> None:
    """Twice is once, and none is none."""
    face = Face(build_app(made.desk), host="127.0.0.1", port=0)
    face.stop()
    face.stop()
