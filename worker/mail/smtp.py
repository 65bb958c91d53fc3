"""Mail over SMTP in single steps, each with its deadline, verdict and message.

`smtplib.sendmail` is one call from MAIL to the answer, but the outbox has to commit before the
final dot, so the steps are separate here. Mail is never sent with less encryption than the
settings say.
"""

import base64
import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from worker.mail.base import AccessTokens, SendError
from worker.mail.dialogue import (
    Dialogue,
    Heard,
    LongReplyError,
    Reply,
    Timeouts,
    TLSFromTheStartError,
    quoted,
)
from worker.mail.mime import one_line, postal
from worker.setting_types import MailSection

# The first digit of a reply is its verdict (RFC 5321, 4.2.1).
_DONE, _GO_ON, _NOT_NOW, _NEVER = 2, 3, 4, 5
_WANTS_LOGIN = 530  # RFC 4954 "Authentication required", RFC 3207 "Must issue a STARTTLS first"

_ABOUT_THE_SENDER = re.compile(
    # Not if the code blames the recipient's address or mailbox, whatever the text says.
    r"(?!5\d\d 5\.(1\.[1-36]|2\.[0-4])\b)"
    # The command, its order or its arguments are refused, for any recipient.
    r"(50[0234] "
    # The sender's address, the sending host's authority and proofs (RFC 3463, RFC 7372); a daily
    # limit (5.4.5, Google); an account's permissions (5.7.57, 5.7.60, from 5.7.501, Microsoft).
    r"|5\d\d 5\.(1\.[78]|4\.5|7\.(8|9|2\d|5\d|60|[5-7]\d\d))\b"
    # With a general code, or none, only the text shows it.
    r"|5\d\d .*(sender (address|verif|domain|denied|rejected|not)|not owned|send ?as ?|\bhelo\b"
    r"|relay(ing)? (access )?(denied|not permitted|prohibited)|authenticat"
    r"|(daily|hourly|sending|rate) (\w+ ){0,2}(limit|quota)))",
    re.IGNORECASE,
)

_NO_PASSWORDS = re.compile(r"5\.7\.139 (?!.*credentials)", re.IGNORECASE)
"""Microsoft's code for several login refusals; the text of a wrong password names credentials."""

RECONNECT = "easeback connect mail"

About = Literal["session", "sender", "mail"]


class _OvertakenError(Exception):
    """Another connection was accepted while the first one waited."""

    def __init__(self, smtp: Dialogue) -> None:
        self.smtp = smtp


class _OwnConnection(threading.local):
    """The connection of one thread, and whether it is kept after its first mail."""

    smtp: Dialogue | None = None
    is_kept: bool = False


class SmtpMailer:
    """Sends over SMTP; see `Mailer`.

    `heard` receives each step of the dialogue and its answer. With `tokens`, the login uses one
    of them (XOAUTH2) and not a password.
    """

    def __init__(
        self,
        settings: MailSection,
        *,
        timeouts: Timeouts | None = None,
        heard: Heard | None = None,
        tokens: AccessTokens | None = None,
    ) -> None:
        if not settings.host:
            raise ValueError("an SMTP mailer needs a host")
        self.connections = settings.connections
        self._settings = settings
        self._host = settings.host
        self._server = f"{settings.host}:{settings.port_number}"
        self._timeouts = timeouts or Timeouts()
        self._heard = heard
        self._tokens = tokens
        self._token_was_refused = False
        self._own = _OwnConnection()

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Keep one connection for every `send` of this thread inside."""
        self._own.is_kept = True
        try:
            yield
        finally:
            self._own.is_kept = False
            self._hang_up()

    def send(
        self, mime: bytes, *, sender: str, recipient: str, before_dot: Callable[[], None]
    ) -> None:
        """Deliver one mail, or raise `SendError`."""
        envelope = _envelope_address(sender), _envelope_address(recipient)
        smtp = self._ready()
        try:
            with self._in_words():
                self._offer(smtp, *envelope)
            self._transfer(smtp, mime, before_dot)
        except SendError as error:
            if not error.permanent:
                # Some servers accept a number of mails per connection and then answer 4xx to each.
                self._hang_up()
            raise
        finally:
            if not self._own.is_kept:
                self._hang_up()

    def check(self) -> str:
        """Connect, log in, offer the sender and leave."""
        settings, sender = self._settings, _envelope_address(self._settings.from_header)
        smtp = self._ready()
        try:
            with self._in_words():
                self._expect(_DONE, smtp.mail(sender), f"refused the sender {sender}")
        finally:
            self._hang_up()
        login = f" by the login {settings.username}" if settings.username else ""
        login += ", with a token" if self._tokens else ""
        summary = f"{self._server} ({settings.security}) takes mail from {sender}{login}"
        if settings.username and settings.security == "none":
            summary += "; the password travels unencrypted: see [mail] security"
        return summary

    # One mail

    def _offer(self, smtp: Dialogue, sender: str, recipient: str) -> None:
        options = []
        if not (sender + recipient).isascii():
            if not smtp.has_extn("smtputf8"):
                raise SendError(
                    f"The mail server {self._server} has no SMTPUTF8, and can't send mail from "
                    f"{sender} to {recipient} for the letters beyond ASCII",
                    permanent=True,
                )
            options = ["SMTPUTF8"]
        mail = smtp.mail(sender, options)
        self._expect(_DONE, mail, f"refused the sender {sender}", about="sender")
        rcpt = smtp.rcpt(recipient)
        self._expect(_DONE, rcpt, f"refused the recipient {recipient}", about="mail")
        self._expect(_GO_ON, smtp.docmd("DATA"), "refused to begin the mail", about="mail")

    def _transfer(self, smtp: Dialogue, mime: bytes, before_dot: Callable[[], None]) -> None:
        try:
            with self._in_words():
                smtp.allow(smtp.step_s)
                smtp.send(_dot_stuffed(mime))
            before_dot()
        except BaseException:
            smtp.close()  # there is no other way to abort a mail half-way
            raise
        with self._in_words(unanswered=True):
            smtp.allow(self._timeouts.dot_s, said="the mail")
            smtp.send(b".\r\n")
            reply = smtp.getreply()
            if reply[0] // 100 not in {_DONE, _NOT_NOW, _NEVER}:
                raise smtplib.SMTPException
        self._expect(_DONE, reply, "refused the mail", about="mail")

    # The connection

    def _ready(self) -> Dialogue:
        """The open connection if it still answers, else a new one."""
        smtp = self._own.smtp
        if smtp is not None:
            with suppress(OSError):
                if smtp.rset()[0] // 100 == _DONE:
                    return smtp
            self._hang_up()
        with self._in_words(unreachable=True):
            self._own.smtp = smtp = self._connect()
        return smtp

    def _hang_up(self) -> None:
        """Send QUIT and close. Errors are ignored, because the mail's result is known."""
        smtp, self._own.smtp = self._own.smtp, None
        if smtp is not None:
            with suppress(OSError):
                smtp.step_s = self._timeouts.quit_s
                if smtp.sock is not None:
                    smtp.docmd("QUIT")
            smtp.close()

    def _connect(self) -> Dialogue:
        """The first connection that is accepted.

        A server that hung may have recovered, so others are tried while the first one waits.
        """

        def try_another() -> None:
            with suppress(SendError, OSError):
                raise _OvertakenError(self._enter(self._timeouts.of_another()))

        try:
            smtp = self._enter(self._timeouts, waits=try_another)
        except _OvertakenError as other:
            smtp = other.smtp
        smtp.is_let_in = True
        smtp.step_s = self._timeouts.command_s
        return smtp

    def _enter(self, timeouts: Timeouts, *, waits: Callable[[], None] = lambda: None) -> Dialogue:
        settings = self._settings
        # The token comes first, so that the server needn't wait for it.
        token = self._tokens(fresh=self._token_was_refused) if self._tokens else None
        # By default, smtplib asks the DNS for our own name, which may take half a minute.
        name = settings.ehlo_name or socket.gethostname()
        try:
            smtp = Dialogue(
                self._host,
                settings.port_number,
                name if settings.ehlo_name or "." in name else "[127.0.0.1]",
                timeouts=timeouts,
                tls=self._tls_context() if settings.security == "tls" else None,
                heard=self._heard,
                waits=waits,
            )
        except smtplib.SMTPConnectError as error:
            raise self._refusal(_reply(error), "turned the connection away") from None
        try:
            self._expect(_DONE, smtp.ehlo(), "refused the greeting")
            if settings.security == "starttls":
                self._encrypt(smtp)
                self._expect(_DONE, smtp.ehlo(), "refused the greeting")
            if token is not None:
                self._log_in_by_token(smtp, settings.username or "", token)
            elif settings.username:
                secret = settings.password.get_secret_value() if settings.password else ""
                self._log_in(smtp, settings.username, secret)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _tls_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if (file := self._settings.ca_file) is not None:
            try:
                context.load_verify_locations(file)
            except OSError as error:  # includes ssl.SSLError
                raise SendError(
                    f"[mail] ca_file: {file} holds no certificate that can be read "
                    f"({error.strerror or error})",
                    permanent=False,
                    login=True,
                ) from error
        return context

    def _encrypt(self, smtp: Dialogue) -> None:
        if not smtp.has_extn("starttls"):
            raise SendError(
                f"The mail server {self._server} offers no encryption (STARTTLS), and mail isn't "
                'sent without: set [mail] security to "tls", or to "none" for a relay of your own',
                permanent=False,
                login=True,
            )
        try:
            smtp.starttls(context=self._tls_context())
        except smtplib.SMTPResponseException as error:
            raise self._refusal(_reply(error), "refused to encrypt (STARTTLS)") from None

    def _log_in(self, smtp: Dialogue, username: str, password: str) -> None:
        """Log in by PLAIN or LOGIN; smtplib's own login can't send a non-ASCII password."""
        offered = smtp.esmtp_features.get("auth", "").upper().split()
        if "LOGIN" in offered and "PLAIN" not in offered:
            reply = smtp.docmd("AUTH", "LOGIN")
            for secret in (username, password):
                if reply[0] // 100 == _GO_ON:
                    reply = smtp.docmd(_base64(secret))
        else:
            reply = smtp.docmd("AUTH", "PLAIN " + _base64(f"\0{username}\0{password}"))
        if reply[0] // 100 == _NEVER:
            advice = (
                "Microsoft takes no password from programs for this account any more (basic "
                'authentication is off), whatever the password: set [mail] auth to "xoauth2", or '
                "send by another mail server"
                if _NO_PASSWORDS.search(quoted(reply))
                else "check [mail] username and password; some providers want an app password here"
            )
            raise SendError(
                f"The mail server {self._server} refused the login of {username} "
                f"({quoted(reply)}): {advice}",
                permanent=False,
                login=True,
            )
        self._expect(_DONE, reply, "can't check the login")

    def _log_in_by_token(self, smtp: Dialogue, username: str, token: str) -> None:
        """Log in by XOAUTH2, as Microsoft and Google implement it."""
        if "XOAUTH2" not in smtp.esmtp_features.get("auth", "").upper().split():
            raise SendError(
                f"The mail server {self._server} takes no login by token (XOAUTH2): check [mail] "
                'host, or set [mail] auth to "password"',
                permanent=False,
                login=True,
            )
        shown = _base64(f"user={username}\x01auth=Bearer {token}\x01\x01")
        reply = smtp.docmd("AUTH", f"XOAUTH2 {shown}")
        if reply[0] // 100 == _GO_ON:  # the reason in JSON; the refusal itself follows
            reply = smtp.docmd("")
        self._token_was_refused = reply[0] // 100 == _NEVER
        if self._token_was_refused:
            off = re.search("SmtpClientAuthentication", quoted(reply), re.IGNORECASE)
            advice = (
                "sending by SMTP is switched off for this mailbox or its organisation: whoever "
                "administers it switches on authenticated SMTP"
                if off
                else f"it's tried once more with a new token; if that goes on, `{RECONNECT}`, with "
                f"the consent of {username}"
            )
            raise SendError(
                f"The mail server {self._server} refused the token of {username} "
                f"({quoted(reply)}): {advice}",
                permanent=False,
                login=True,
            )
        self._expect(_DONE, reply, "can't check the login")

    # Verdicts and words

    def _expect(
        self, verdict: int, reply: Reply, refusal: str, *, about: About = "session"
    ) -> None:
        if reply[0] // 100 != verdict:
            raise self._refusal(reply, refusal, about=about)

    def _refusal(self, reply: Reply, refusal: str, *, about: About = "session") -> SendError:
        """The error that an unexpected answer means; 5xx is final for the mail it's about."""
        said = quoted(reply)
        wants_login = reply[0] == _WANTS_LOGIN
        never = reply[0] // 100 == _NEVER and not wants_login and about != "session"
        senders = never and (about == "sender" or bool(_ABOUT_THE_SENDER.match(said)))
        hint = ": check [mail] sender, and what its account may send" if senders else ""
        return SendError(
            f"The mail server {self._server} {refusal}: {said}{hint}",
            permanent=never and not senders,
            login=wants_login,
            sender=senders,
        )

    @contextmanager
    def _in_words(self, *, unreachable: bool = False, unanswered: bool = False) -> Iterator[None]:
        """Turn errors of sockets, TLS and smtplib into a temporary `SendError`."""
        try:
            yield
        except SendError as error:
            error.unreachable = unreachable
            raise
        except UnicodeError as error:  # raised by the resolver for an invalid host name
            words = f"{self._host!r} can't be the name of a mail server: check [mail] host"
            raise SendError(words, permanent=False, unreachable=unreachable) from error
        except OSError as error:  # smtplib's errors are subclasses
            words = self._words_for(error)
            if unanswered:
                words += "; the mail may have been delivered all the same"
            raise SendError(
                words, permanent=False, unreachable=unreachable, unanswered=unanswered
            ) from error

    def _words_for(self, error: OSError) -> str:
        server = self._server
        if isinstance(error, smtplib.SMTPServerDisconnected):
            # smtplib hides the cause of a lost connection behind its own error.
            error = error.__context__ if isinstance(error.__context__, OSError) else error
        match error:
            case ssl.SSLCertVerificationError():
                words = (
                    f"The certificate of the mail server {server} isn't trusted "
                    f"({error.verify_message}): check [mail] host; for an authority of your own "
                    "let [mail] ca_file, or SSL_CERT_FILE, name its certificate"
                )
            case ssl.SSLError():
                words = (
                    f"No encrypted connection with the mail server {server} ({error.reason}): "
                    'check [mail] security; "starttls" is usual on port 587, "tls" on 465'
                )
            case socket.gaierror():
                words = (
                    f"There is no mail server called {self._host} ({error.strerror}): "
                    "check [mail] host and the network"
                )
            case ConnectionRefusedError():
                words = f"Nothing listens at {server}: check [mail] host and port"
            case TLSFromTheStartError():
                words = (
                    f"The mail server {server} says nothing before TLS: "
                    'set [mail] security to "tls"'
                )
            case TimeoutError():
                words = f"The mail server {server} didn't answer in time"
            case smtplib.SMTPServerDisconnected() | ConnectionError():
                words = f"The mail server {server} dropped the connection"
            case smtplib.SMTPException() | LongReplyError():
                words = f"What answers at {server} doesn't speak SMTP: check [mail] host and port"
            case _:
                words = f"No connection with the mail server {server}: {error.strerror or error}"
        return words


def _envelope_address(text: str) -> str:
    address = postal(text)
    if not address:
        raise SendError(f"{one_line(text)[:80]!r} isn't a mail address", permanent=True)
    return address


def _dot_stuffed(mime: bytes) -> bytes:
    """`mime` for DATA: every line ends with CRLF, and a leading dot is doubled."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", mime)
    return re.sub(rb"(?m)^\.", b"..", lines if lines.endswith(b"\r\n") else lines + b"\r\n")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _reply(error: smtplib.SMTPResponseException) -> Reply:
    text = error.smtp_error
    return error.smtp_code, text if isinstance(text, bytes) else text.encode()
