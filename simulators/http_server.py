"""An HTTP server for the simulated services, with network and server faults on demand."""

import contextlib
import http.client
import math
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from simulators.strava.service import Answer, Question, Service

FaultKind = Literal[
    "status", "reset", "lost", "hang", "slow", "slow head", "slow chunk line", "endless trailers",
    "endless continues", "cut", "cut chunk", "nonsense",
]  # fmt: skip
DROP_S = 0.05
LONGEST_FAULT_S = 8.0
LARGEST_FAULT_BYTES = 128 * 2**20


@dataclass
class Fault:
    """A fault for the next `times` requests whose path begins with `path`.

    `reset` closes the connection before the request is handled, `lost` after it and before the
    answer. `hang` never answers, `slow` sends a byte at a time. `slow head` and `slow chunk line`
    never end and send a byte at a time; `endless trailers` and `endless continues` never end and
    send as fast as the client reads. `cut` and `cut chunk` send half a body, `nonsense` a page
    instead of JSON, `status` the code with an HTML body.
    """

    kind: FaultKind
    path: str = "/"
    times: int = 1
    status: int = 503


@dataclass
class Faults:
    """Faults that haven't occurred yet."""

    waiting: list[Fault] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, path: str) -> Fault | None:
        with self.lock:
            for fault in self.waiting:
                if path.startswith(fault.path) and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None


class Server(ThreadingHTTPServer):
    """An HTTP server on a free loopback port."""

    daemon_threads = True

    def __init__(self, service: Service) -> None:
        super().__init__(("127.0.0.1", 0), _Door)
        self.service = service
        self.faults = Faults()
        self.closing = threading.Event()
        self.longest_fault_s = LONGEST_FAULT_S
        self.flooded_bytes = 0
        """Bytes sent in answers that never end."""

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fault(self, kind: FaultKind, path: str = "/", *, times: int = 1, status: int = 503) -> None:
        """Schedule a fault."""
        with self.faults.lock:
            self.faults.waiting.append(Fault(kind, path, times, status))

    def handle_error(self, *_: object) -> None:
        """Ignore clients that hang up."""


class _Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are sent separately. With Nagle's algorithm the body would wait for the head's
    # acknowledgement.
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, *_: object) -> None:
        """Keep quiet: tests read the service's log."""

    def _serve(self) -> None:
        question = self._question()
        fault = self.server.faults.take(question.path)
        if fault is None:
            self._send(self.server.service.answer(question))
            return
        self.close_connection = True
        if fault.kind == "reset":
            self._reset()
        elif fault.kind == "lost":
            self.server.service.answer(question)
            self._reset()
        elif fault.kind == "hang":
            self.server.closing.wait(max(30, self.server.longest_fault_s))
        elif fault.kind in _FLOODS:
            self._flood(*_FLOODS[fault.kind])
        elif fault.kind in {"status", "nonsense"}:
            page = b"<html><h1>Strava is having a rest</h1></html>"
            status = fault.status if fault.kind == "status" else 200
            self.server.service.log.append(question)
            self._send(Answer(status, page, {"Content-Type": "text/html"}))
        else:
            self._send_badly(self.server.service.answer(question), fault.kind)

    def _question(self) -> Question:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        return Question(
            self.command,
            parts.path,
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            dict(parse_qsl(body, keep_blank_values=True)),
            {name.lower(): value for name, value in self.headers.items()},
        )

    def _head(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)

    def _send(self, answer: Answer) -> None:
        self._head(answer)
        self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            # Without this header the client might reuse the connection and be cut off.
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)

    def _send_badly(self, answer: Answer, kind: str) -> None:
        half = answer.body[: len(answer.body) // 2]
        self._head(answer)
        if kind == "cut chunk":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(f"{len(answer.body):x}\r\n".encode() + half)
            return
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if kind == "cut":
            self.wfile.write(half)
            return
        for i in range(len(answer.body)):
            if self.server.closing.wait(0.05):
                return
            self.wfile.write(answer.body[i : i + 1])

    def _flood(self, before: bytes, piece: bytes, pause_s: float) -> None:
        """Write `before`, then `piece` repeatedly until the client gives up."""
        # Floods without a pause end by their number of bytes, so a slow machine doesn't matter.
        until = time.monotonic() + self.server.longest_fault_s if pause_s else math.inf
        # What waits to be sent counts as sent, so little may wait.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**16)
        with contextlib.suppress(OSError):
            self.wfile.write(before)
            while time.monotonic() < until and self.server.flooded_bytes < LARGEST_FAULT_BYTES:
                if self.server.closing.wait(pause_s):
                    return
                self.wfile.write(piece)
                self.server.flooded_bytes += len(piece)

    def _reset(self) -> None:
        """Close the connection with a reset instead of a regular end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


_HEAD = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _HEAD + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
# The longest header that a client accepts, so that it gives up after few of them.
_LONG_HEADER = b"X: " + bytes(60_000).replace(b"\0", b"y") + b"\r\n"
_FLOODS = {
    "slow head": (_HEAD + b"X-Slow: ", b"x", DROP_S),
    "slow chunk line": (_CHUNKED + b"2;", b"x", DROP_S),
    "endless trailers": (_CHUNKED + b"2\r\n[]\r\n0\r\n", _LONG_HEADER, 0.0),
    "endless continues": (b"", b"HTTP/1.1 100 Continue\r\n" + _LONG_HEADER + b"\r\n", 0.0),
}
"""For each fault: the first bytes, the repeated bytes, and the pause between repetitions."""


def fetch(address: str) -> tuple[int, bytes]:
    """Request a webhook's callback address, as the service does when a subscription is made."""
    try:
        with urllib.request.urlopen(address, timeout=2) as response:  # noqa: S310  (loopback)
            return response.status, response.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, b""
    except (OSError, http.client.HTTPException):
        return 0, b""


@contextlib.contextmanager
def running(service: Service) -> Iterator[Server]:
    """Serve until the end of the block."""
    service.fetch = fetch
    with Server(service) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()
