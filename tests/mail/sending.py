"""Shared by tests of SMTP: a mailer for a test server, and sending one mail."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from simulators.smtp_server import SmtpServer
from worker.config import MailSection
from worker.mail import SendError, SmtpMailer, Timeouts

MIME = b"Subject: You jumped\r\nMessage-ID: <1@test>\r\n\r\nEase off.\r\n.\r\n..two\r\n"
LOGIN = ("ann", "sécret")
USUAL = Timeouts()
SHORT = Timeouts(connect_s=0.4, command_s=0.4, dot_s=0.4, quit_s=0.4)


def mailer(server: SmtpServer, *, timeouts: Timeouts = USUAL, **changes: object) -> SmtpMailer:
    settings: dict[str, object] = {
        "host": "localhost",
        "port": server.port,
        "security": server.tls,
        "sender": "Easeback <easeback@example.org>",
    }
    if server.login:
        settings |= {"username": server.login[0], "password": server.login[1]}
    return SmtpMailer(MailSection(**(settings | changes)), timeouts=timeouts)  # type: ignore[arg-type]  # a dict has one type for all values


def send(
    post: SmtpMailer, recipient: str = "runner@example.org", dots: list[str] | None = None
) -> None:
    """Send MIME; `dots` notes the moment before the final dot."""
    log = [] if dots is None else dots
    post.send(
        MIME,
        sender="Easeback <easeback@example.org>",
        recipient=recipient,
        before_dot=lambda: log.append("dot"),
    )


@contextmanager
def refused() -> Iterator[pytest.ExceptionInfo[SendError]]:
    with pytest.raises(SendError) as caught:
        yield caught
    assert "\n" not in str(caught.value)
