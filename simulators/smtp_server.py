"""A real mail server for tests: aiosmtpd on a free loopback port, with faults on demand.

    with SmtpServer(tls="starttls", login=("ann", "secret")) as server:
        server.fail("rcpt", "550 no such user")
        ...
        assert server.mails == []

At the end every accepted mail of Easeback's is linted.

A fault is a reply ("451 later"), "drop" (the connection), "hang" (never answer), "endless" (lines
without end, up to `MOST_SPOKEN` bytes), "trickle" (lines byte by byte, for `trickles_s`), "slow"
(the right answer, after `SLOW_S`) or, at the final dot, "swallow" (accept the mail, then drop the
connection instead of answering).
"""

import asyncio
import base64
import ssl
import threading
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, AnyStr, Literal, Self

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from simulators.mail_lint import OURS, lint

Step = Literal["connect", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "dot", "quit"]
STEPS: tuple[Step, ...] = (
    "connect", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "dot", "quit",
)  # fmt: skip

MOST_SPOKEN = 64 * 1024 * 1024
SLOW_S = 0.6


@dataclass(frozen=True, slots=True)
class Taken:
    """A mail that the server accepted: the envelope and the bytes."""

    sender: str
    recipient: str
    content: bytes


@dataclass
class SmtpServer:
    """Serves within a `with` block. With STARTTLS, a `login` is also required.

    `tokens` are those accepted by XOAUTH2 for the name in `login`. A wrong one is answered as the
    big providers do: first a reason, then, after an empty line, the refusal.

    `hanging` counts the dialogues left without an answer; `drop_all` ends them.
    """

    tls: Literal["none", "starttls", "tls"] = "none"
    login: tuple[str, str] | None = None
    tokens: Collection[str] = ()
    certificate: trustme.LeafCert | None = None
    utf8: bool = True
    auth_mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")
    mails: list[Taken] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    connections: int = 0
    spoken: int = 0
    stops_reading: bool = False
    hanging: int = 0
    hangs_for: set[str] = field(default_factory=set)
    port: int = 0
    lints: bool = True
    trickles_s: float = 4.0

    def __post_init__(self) -> None:
        self._faults: dict[Step, list[str]] = defaultdict(list)
        self._lasting: dict[Step, str] = {}
        self._transports: set[asyncio.WriteTransport] = set()
        self._ever_taken: set[bytes] = set()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="smtp-server")

    def fail(self, step: Step, fault: str, *, times: int | None = 1) -> None:
        """Answer the next `times` arrivals at `step` with `fault`; None: all of them."""
        if times is None:
            self._lasting[step] = fault
        else:
            self._faults[step] += [fault] * times

    def mend(self, step: Step) -> None:
        """Remove the faults at this step."""
        self._lasting.pop(step, None)
        self._faults[step].clear()

    def next_fault(self, step: Step) -> str | None:
        """The next fault at `step`, which is then used up."""
        if self._faults[step]:
            return self._faults[step].pop(0)
        return self._lasting.get(step)

    def drop_all(self) -> None:
        """Drop every open connection."""
        for transport in list(self._transports):
            self._loop.call_soon_threadsafe(transport.abort)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        if kind is None and self.lints:
            for content in self._ever_taken:
                lint(content)

    def _run(self) -> None:
        listening = self._loop.run_until_complete(
            self._loop.create_server(
                lambda: _Conversation(self),
                "127.0.0.1",
                self.port,
                ssl=self._tls_context() if self.tls == "tls" else None,
            )
        )
        self.port = listening.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        listening.close()
        for transport in self._transports:
            transport.abort()
        self._loop.run_until_complete(self._end_all())
        self._loop.close()

    async def _end_all(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _tls_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        assert self.certificate is not None, "TLS needs a certificate"
        self.certificate.configure_cert(context)
        return context

    # Hooks called by aiosmtpd

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802  aiosmtpd names it
        content, recipients = envelope.content, envelope.rcpt_tos
        assert isinstance(content, bytes)
        self.mails += [Taken(str(envelope.mail_from), to, content) for to in recipients]
        if OURS in content:
            self._ever_taken.add(content)
        return "250 taken"

    async def auth_XOAUTH2(self, server: SMTP, arguments: list[str]) -> AuthResult:  # noqa: N802  aiosmtpd names it
        shown = base64.b64decode(arguments[1]).decode()
        user, _, token = shown.removeprefix("user=").partition("\x01auth=Bearer ")
        assert self.login is not None
        if user == self.login[0] and token.removesuffix("\x01\x01") in self.tokens:
            return AuthResult(success=True, auth_data=user)
        await server.push("334 " + base64.b64encode(b'{"status":"401"}').decode())
        await server._reader.readline()
        await server.push("535 5.7.3 Authentication unsuccessful")
        return AuthResult(success=False, handled=True)

    def authenticate(
        self, _: SMTP, __: Session, ___: Envelope, ____: str, offered: LoginPassword
    ) -> AuthResult:
        given = (offered.login.decode(), offered.password.decode())
        return AuthResult(success=given == self.login, handled=False)


class _Conversation(SMTP):
    """One connection, which checks for a fault before every step."""

    def __init__(self, server: SmtpServer) -> None:
        self._script = server
        super().__init__(
            server,
            hostname="mail.test",
            ident="Test",
            loop=server._loop,
            tls_context=server._tls_context() if server.tls == "starttls" else None,
            require_starttls=server.tls == "starttls",
            authenticator=server.authenticate if server.login else None,
            # aiosmtpd warns about plaintext passwords unless it handles STARTTLS itself.
            auth_required=server.login is not None and server.tls == "starttls",
            auth_require_tls=server.tls == "starttls",
            auth_exclude_mechanism={"PLAIN", "LOGIN"} - set(server.auth_mechanisms)
            | (set() if server.tokens else {"XOAUTH2"}),
            enable_SMTPUTF8=server.utf8,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        is_new = self.transport is None
        self._script._transports.add(transport)
        super().connection_made(transport)
        if is_new:
            self._script.connections += 1

    def connection_lost(self, error: Exception | None) -> None:
        self._script._transports.discard(self.transport)
        super().connection_lost(error)

    async def _handle_client(self) -> None:
        if not await self._fails("connect"):
            await super()._handle_client()
        elif self.transport is not None:
            self.transport.close()

    async def push(self, status: AnyStr) -> None:
        """Intercept the answer to the final dot, the only one without a hook in aiosmtpd."""
        if status == "250 taken":
            fault = self._script.next_fault("dot")
            if self._script.mails[-1].recipient in self._script.hangs_for:
                fault = "hang"
            if fault == "swallow":
                fault = "drop"
            elif fault:
                self._script.mails.pop()
            if await self._does(fault):
                return
        await super().push(status)

    async def _fails(self, step: Step) -> bool:
        self._script.commands.append(step)
        return await self._does(self._script.next_fault(step))

    async def _does(self, fault: str | None) -> bool:
        if fault == "slow":
            await asyncio.sleep(SLOW_S)
        if fault in {None, "slow"}:
            return False
        if fault == "endless":
            while self._script.spoken < MOST_SPOKEN:
                self._writer.write(b"250-and more\r\n" * 5000)
                await self._writer.drain()
                self._script.spoken += 70_000
        if fault == "trickle":
            for _ in range(round(self._script.trickles_s / 0.05)):
                for byte in b"250-a\r\n":
                    self._writer.write(bytes([byte]))
                    await asyncio.sleep(0.05 / 7)
        if fault in {"drop", "endless", "trickle"} and isinstance(
            self.transport, asyncio.WriteTransport
        ):
            self.transport.abort()
        if fault in {"drop", "hang", "endless", "trickle"}:
            self._script.hanging += fault == "hang"
            await asyncio.Event().wait()  # until connection_lost cancels us
        await super().push(fault)
        return True

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802  aiosmtpd's name, as all below
        if not await self._fails("ehlo"):
            await super().smtp_EHLO(hostname)

    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802  aiosmtpd names it
        if not await self._fails("starttls"):
            await super().smtp_STARTTLS(arg)

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: N802  aiosmtpd names it
        if not await self._fails("auth"):
            await super().smtp_AUTH(arg)

    async def smtp_MAIL(self, arg: str) -> None:  # noqa: N802  aiosmtpd names it
        if not await self._fails("mail"):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str) -> None:  # noqa: N802  aiosmtpd names it
        if not await self._fails("rcpt"):
            await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802  aiosmtpd names it
        if self._script.stops_reading and isinstance(self.transport, asyncio.Transport):
            await super().push("354 go on")
            self.transport.pause_reading()
            await asyncio.Event().wait()
        if not await self._fails("data"):
            await super().smtp_DATA(arg)

    async def smtp_QUIT(self, arg: Any) -> None:  # noqa: N802  aiosmtpd names it
        if not await self._fails("quit"):
            await super().smtp_QUIT(arg)
