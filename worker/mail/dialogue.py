"""The client's side of SMTP, with a limit on every wait and every reply.

`smtplib` restarts its time-out with each byte that arrives, and reads a reply for as long as lines
arrive, so a slow or endless server can block it forever. Here each step has one deadline, from its
first byte to the last of the answer, and a reply has at most `LONGEST_REPLY` bytes.
"""

import io
import smtplib
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from worker.mail.mime import one_line

Reply = tuple[int, bytes]
Heard = Callable[[str, str], None]
"""Called with each command, without secrets, and with the answer on one line."""

LONGEST_REPLY = 64 * 1024

_SILENT_S = 3.0
"""After this time without a greeting, we test whether the server expects TLS."""

_HANDSHAKE_S = 5.0

_KNOCKS_S = 5.0
"""The limit for each step of a second connection, opened while the first one waits."""

_SHOWN = ("EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "RSET", "QUIT")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The limit for one whole step. The answer to the final dot may legitimately take minutes.

    Until the login, another connection is tried after each `beside_s` of a step.
    """

    connect_s: float = 30
    command_s: float = 60
    dot_s: float = 600
    quit_s: float = 5
    beside_s: float = 15

    def of_another(self) -> "Timeouts":
        """The limits of a second connection beside a waiting one: short, and without a third."""
        return replace(
            self,
            connect_s=min(_KNOCKS_S, self.connect_s),
            command_s=min(_KNOCKS_S, self.command_s),
            beside_s=inf,
        )


class TLSFromTheStartError(OSError):
    """The server sends nothing unencrypted: it expects TLS before its greeting."""


class LongReplyError(OSError):
    """A reply is longer than any mail server needs."""


class Dialogue(smtplib.SMTP):
    """A connection to a mail server, up to its greeting; with `tls`, encrypted from the start.

    `step_s` is how long each command and its answer may take, and `allow` begins a step of
    another length. Until `is_let_in`, `waits` is called after each `beside_s` seconds of a step,
    and an exception in it ends the wait. Raises what `smtplib.SMTP` raises.
    """

    def __init__(
        self,
        host: str,
        port: int,
        name: str,
        *,
        timeouts: Timeouts,
        tls: ssl.SSLContext | None = None,
        heard: Heard | None = None,
        waits: Callable[[], None] = lambda: None,
    ) -> None:
        self.step_s = timeouts.command_s
        self.is_let_in = False
        self._waits, self._waits_every_s = waits, timeouts.beside_s
        self._waits_next = 0.0
        self._tls = tls
        self._heard = heard
        self._said = "connect"
        self._until = 0.0
        self._room = 0
        try:
            super().__init__(host, port, name, timeouts.connect_s)
        except BaseException:
            self.close()
            raise

    def allow(self, seconds: float, *, said: str = "") -> None:
        """Begin a step of at most `seconds`; `said` names it for `heard`."""
        now = time.monotonic()
        self._until = now + seconds
        self._waits_next = now + self._waits_every_s
        self._said = said

    def putcmd(self, cmd: str, args: str = "") -> None:
        """Send a command, which begins a step."""
        verb = cmd.partition(" ")[0].upper()
        # What isn't a command answers AUTH, and is secret too.
        said = f"{cmd} {args}".strip() if verb in _SHOWN else "AUTH (not shown)"
        self.allow(self.step_s, said=said)
        super().putcmd(cmd, args)

    def send(self, s: Any) -> None:
        """Send everything within the step's deadline."""
        if self.sock is not None:
            self.sock.settimeout(self._left_s())
        super().send(s)

    def getreply(self) -> Reply:
        """Read one reply within the step's deadline."""
        if self.file is None and self.sock is not None:
            self.file = io.BufferedReader(_Incoming(self._receive))
        self._room = LONGEST_REPLY
        reply = super().getreply()
        if self._heard is not None:
            self._heard(self._said, quoted(reply))
        return reply

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        """Connect; overridden because `smtplib.SMTP` and `SMTP_SSL` differ only here."""
        until = time.monotonic() + timeout
        connection = socket.create_connection((host, port), timeout)
        # The dot follows the body in a separate packet, which Nagle would delay by 40 ms.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_hostname=host)
        elif _keeps_silent(connection, min(_SILENT_S, timeout / 4)) and _wants_tls(
            host, port, min(_HANDSHAKE_S, timeout / 4)
        ):
            connection.close()
            raise TLSFromTheStartError
        self.allow(until - time.monotonic(), said="connect")
        return connection

    def _receive(self, buffer: Any) -> int:
        if self.sock is None:
            return 0
        if self._room <= 0:
            raise LongReplyError(f"a reply of more than {LONGEST_REPLY} bytes")
        received: int | None = None
        while received is None:
            left_s = self._left_s()
            if not self.is_let_in:
                left_s = min(left_s, self._patience_s())
            self.sock.settimeout(left_s)
            try:
                received = self.sock.recv_into(buffer)
            except TimeoutError:
                self._left_s()  # raises if the step's deadline has passed
        self._room -= received
        return received

    def _patience_s(self) -> float:
        """How long to wait before the next call of `waits`, after calling it if it's due."""
        now = time.monotonic()
        if now >= self._waits_next:
            self._waits_next = now + self._waits_every_s
            self._waits()
        return max(self._waits_next - time.monotonic(), 0.01)

    def _left_s(self) -> float:
        left_s = self._until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return left_s


def _keeps_silent(connection: socket.socket, seconds: float) -> bool:
    """True if nothing arrives for this long; what arrives stays readable."""
    connection.settimeout(seconds)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return True
    return False


def _wants_tls(host: str, port: int, seconds: float) -> bool:
    """True if a TLS handshake on another connection is answered, with any certificate."""
    try:
        with (
            socket.create_connection((host, port), seconds) as probe,
            ssl.create_default_context().wrap_socket(probe, server_hostname=host),
        ):
            return True
    except ssl.SSLCertVerificationError:
        return True
    except OSError:
        return False


def quoted(reply: Reply) -> str:
    """The server's answer, short and on one line."""
    return f"{reply[0]} {one_line(reply[1].decode('utf-8', 'replace'))}"[:200]


class _Incoming(io.RawIOBase):
    """The bytes that `receive` reads, as a file."""

    def __init__(self, receive: Callable[[Any], int]) -> None:
        self._receive = receive

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._receive(buffer)
