"""`connect mail` and `disconnect mail`: the login at a mail server that only accepts tokens."""

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from worker.cli.context import AttentionError, CommandContext, UsageError

if TYPE_CHECKING:
    from worker.pipeline.mail_login import MailLogin

MAIL = "mail"
"""The word for the account that sends mail, in place of a service's name."""


def connect_mail(command: CommandContext, athlete: str | None) -> None:
    """Ask the owner of the mail account for consent, and store the refresh token."""
    login = _login(command, athlete)
    if login.service.code:
        _by_code(command, login)
    else:
        _by_page(command, login)
    command.say(f"mail is sent as {login.username} from now on; `easeback doctor` tries it")


def disconnect_mail(command: CommandContext, athlete: str | None, *, yes: bool) -> None:
    """Delete the login, and revoke it if the provider supports that."""
    login = _login(command, athlete)
    command.confirm(
        f"Disconnect mail of {login.username}? (none is sent until it is connected again)",
        yes=yes,
        otherwise="nothing was disconnected",
    )
    if trouble := login.disconnect():
        raise AttentionError(trouble)
    title = login.service.title
    rest = "" if login.service.revoke else f"; what {title} lists of it ends in your account there"
    command.say(f"mail of {login.username} is disconnected{rest}")


def _login(command: CommandContext, athlete: str | None) -> "MailLogin":
    if athlete is not None:
        raise UsageError("mail is connected for all athletes at once: leave out the name")
    login = command.services().mail_login
    if login is None:
        raise UsageError(
            "mail logs in by a password, or not at all: for an account that takes tokens alone set "
            '[mail] auth = "xoauth2", with provider and client_id'
        )
    return login


def _by_code(command: CommandContext, login: "MailLogin") -> None:
    begun = login.begin_by_code()
    command.say(f"Open {begun.address} in any browser, and enter the code {begun.code}.")
    command.say(f"Log in there as {login.username}; this waits (Ctrl-C ends it).")
    until, wait_s = time.monotonic() + begun.lasts_s, begun.every_s
    while time.monotonic() < until:
        time.sleep(wait_s)
        done, wait_s = login.is_done(begun, now=datetime.now(UTC))
        if done:
            return
    raise AttentionError("the code wasn't entered in time, and nothing was changed: begin again")


def _by_page(command: CommandContext, login: "MailLogin") -> None:
    from worker.pipeline.mail_login import NOWHERE

    begun = login.begin_by_page()
    command.say(f"Open this address in any browser, and consent as {login.username}:")
    command.say(begun.address)
    command.say(
        f"In the end the browser can't open a page that begins with {NOWHERE}: that is as it "
        "should be. Copy its whole address from the address bar, and paste it here."
    )
    pasted = (
        str(typer.prompt("The address", err=True)) if sys.stdin.isatty() else sys.stdin.readline()
    )
    login.finish_page(begun, pasted, now=datetime.now(UTC))
