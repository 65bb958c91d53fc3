"""The interface of a mailer, and how sending fails.

`Mailer.send` delivers once or raises `SendError`. It calls `before_dot` when everything except
the end of the mail was sent:

    connect → STARTTLS → login → MAIL → RCPT → DATA → body → before_dot() → "." → answer

A process that dies before `before_dot` has delivered nothing. One that dies after it may have.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(eq=False)
class SendError(Exception):
    """The mail wasn't delivered; the message is for the operator.

    `permanent`: this mail will never be accepted (a 5xx answer). `login`: the server requires
    another login or encryption; no mail is sent until the settings are fixed, so this wasn't an
    attempt. `unreachable`: the failure came before any mail was named, so the others would fail
    too. `sender`: the server accepts no mail from this sender or account, for any recipient; a
    later attempt may succeed. `unanswered`: the final dot was sent and no answer arrived, so the
    mail may have been delivered.
    """

    message: str
    permanent: bool = field(kw_only=True)
    login: bool = field(kw_only=True, default=False)
    unreachable: bool = field(kw_only=True, default=False)
    sender: bool = field(kw_only=True, default=False)
    unanswered: bool = field(kw_only=True, default=False)

    def __str__(self) -> str:
        return self.message


class AccessTokens(Protocol):
    """Returns access tokens for a login by XOAUTH2."""

    def __call__(self, *, fresh: bool = False) -> str:
        """A token; with `fresh`, one that wasn't returned before. Raises `SendError`."""


class Mailer(Protocol):
    """Delivers rendered mails. `connections` is how many threads may send at a time."""

    connections: int

    def connected(self) -> AbstractContextManager[None]:
        """Keep one connection for all sends of this thread inside, opened by the first."""

    def send(
        self, mime: bytes, *, sender: str, recipient: str, before_dot: Callable[[], None]
    ) -> None:
        """Deliver, or raise `SendError`. An exception in `before_dot` stops the delivery."""

    def check(self) -> str:
        """Try everything except sending. Returns what works; raises `SendError` with a remedy."""
