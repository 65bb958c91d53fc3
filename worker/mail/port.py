"""What a mailer is: its settings, its one method that matters, and how it fails.

`Mailer.send` delivers once or raises `SendError`, and calls `before_dot` when everything but the
end of the mail is on its way:

    connect → STARTTLS → login → MAIL → RCPT → DATA → body → before_dot() → "." → answer

A process that dies before `before_dot` has delivered nothing; one that dies after it may have.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

Security = Literal["starttls", "tls", "none"]

DEFAULT_PORTS: dict[Security, int] = {"starttls": 587, "tls": 465, "none": 25}
DEFAULT_SENDER = "Easeback <easeback@localhost>"


@dataclass(frozen=True, slots=True)
class MailSettings:
    """How mail leaves. No `host`: it doesn't, it's written into the mailbox folder.

    `port` None is the usual one for `security`. `sender` None is the login where that is an
    address, else `easeback@localhost`, which only a relay of one's own takes.
    """

    host: str | None = None
    port: int | None = None
    security: Security = "starttls"
    username: str | None = None
    password: str | None = None
    sender: str | None = None
    reply_to: str | None = None

    @property
    def from_header(self) -> str:
        """The sender as it stands in From."""
        if self.sender:
            return self.sender
        if self.username and "@" in self.username:
            return f"Easeback <{self.username}>"
        return DEFAULT_SENDER

    @property
    def port_number(self) -> int:
        """The port, by `security` where none is set."""
        return self.port or DEFAULT_PORTS[self.security]


class SendError(Exception):
    """The mail wasn't delivered, in words for the operator.

    `permanent`: this mail will never be taken (a 5xx answer). `login`: the server wants another
    login or encryption; no mail goes out until somebody mends the settings, so this was no try
    of the mail's. `unreachable`: the trouble came before any mail was spoken of, so the others
    will fare no better now. `unanswered`: the final dot went out and no answer came back; the
    mail may have been delivered.
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool,
        login: bool = False,
        unreachable: bool = False,
        unanswered: bool = False,
    ) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.login = login
        self.unreachable = unreachable
        self.unanswered = unanswered


class Mailer(Protocol):
    """Delivers rendered mails, one at a time and from one thread at a time."""

    def connected(self) -> AbstractContextManager[None]:
        """While inside, one connection serves every `send`. Entering it doesn't connect yet."""

    def send(
        self, mime: bytes, *, sender: str, recipient: str, before_dot: Callable[[], None]
    ) -> None:
        """Deliver, or raise `SendError`. What `before_dot` raises stops the delivery unsent."""

    def check(self) -> str:
        """Try everything but a mail: words on what works. Raises `SendError` with what to mend."""
