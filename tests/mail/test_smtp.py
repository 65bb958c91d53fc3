"""SMTP delivery to a real server: success, and every kind of failure."""

import email
from dataclasses import replace
from email import policy
from time import monotonic

import pytest
import trustme

from simulators.smtp_server import STEPS, SmtpServer, Step
from tests.mail.sending import LOGIN, MIME, SHORT, USUAL, mailer, refused, send

# Success


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("tls", ["starttls", "tls"])
@pytest.mark.parametrize("mechanisms", [("PLAIN", "LOGIN"), ("LOGIN",)])
def test_sends_encrypted_and_logged_in(
    certificate: trustme.LeafCert, tls: str, mechanisms: tuple[str, ...]
) -> None:
    """The server gets the mail byte for byte, with a non-ASCII login, by either mechanism."""
    dots: list[str] = []
    with SmtpServer(
        tls=tls,  # type: ignore[arg-type]  # parametrize gives a plain str
        login=LOGIN,
        certificate=certificate,
        auth_mechanisms=mechanisms,
    ) as server:
        send(mailer(server), dots=dots)
    (mail,) = server.mails
    assert (mail.sender, mail.recipient) == ("easeback@example.org", "runner@example.org")
    assert mail.content == MIME
    assert dots == ["dot"]
    assert "auth" in server.commands
    assert server.commands[-1] == "quit"


def test_sends_plain_where_the_settings_say_so() -> None:
    """A local relay needs neither encryption nor login."""
    with SmtpServer() as server:
        send(mailer(server))
    assert len(server.mails) == 1


def test_one_connection_serves_many_mails() -> None:
    """Weekly mails are sent a hundred a minute; a handshake for each would be too slow."""
    with SmtpServer() as server:
        post = mailer(server)
        with post.connected():
            for number in range(20):
                send(post, f"runner{number}@example.org")
        assert server.connections == 1
        send(post)
        assert server.connections == 2
    assert len(server.mails) == 21


def test_entering_the_connection_connects_to_nobody() -> None:
    """A pass without mail leaves the server alone."""
    with SmtpServer() as server, mailer(server).connected():
        pass
    assert server.connections == 0


def test_a_refused_recipient_stops_no_other() -> None:
    """After a 550 the same connection takes the next mail."""
    with SmtpServer() as server:
        post = mailer(server)
        server.fail("rcpt", "550 no such user")
        with post.connected():
            with refused():
                send(post, "gone@example.org")
            send(post, "here@example.org")
    assert [mail.recipient for mail in server.mails] == ["here@example.org"]
    assert server.connections == 1


def test_after_a_refusal_for_now_the_next_mail_gets_a_new_connection() -> None:
    """A server with a limit of mails per connection doesn't hold up the rest."""
    with SmtpServer() as server:
        post = mailer(server)
        with post.connected():
            send(post)
            server.fail("mail", "452 too many mails on this connection")
            with refused() as caught:
                send(post)
            send(post)
    assert not caught.value.permanent
    assert len(server.mails) == 2
    assert server.connections == 2


@pytest.mark.parametrize("step", ["mail", "data", "dot"])
def test_a_lost_connection_is_replaced_for_the_next_mail(step: Step) -> None:
    """Whatever broke, the next mail of the batch uses a new connection."""
    with SmtpServer() as server:
        post = mailer(server)
        with post.connected():
            send(post)
            server.fail(step, "drop")
            with refused():
                send(post)
            send(post)
    assert len(server.mails) == 2
    assert server.connections == 2


def test_line_endings_and_dots_arrive_as_sent() -> None:
    """A bare line feed can't smuggle in a second mail, and a single dot doesn't end the first."""
    hostile = b"Subject: x\n\n.\nMAIL FROM:<evil@example.org>\r.\r\nend"
    with SmtpServer() as server:
        mailer(server).send(
            hostile, sender="a@example.org", recipient="b@example.org", before_dot=lambda: None
        )
    (mail,) = server.mails
    assert mail.content == hostile.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(
        b"\n", b"\r\n"
    ) + b"\r\n"  # fmt: skip
    assert email.message_from_bytes(mail.content, policy=policy.SMTP)["Subject"] == "x"


def test_addresses_beyond_ascii_go_where_the_server_can() -> None:
    """With SMTPUTF8 the mail is sent; without, it's refused for good with the reason."""
    with SmtpServer() as server:
        send(mailer(server), "jürgen@exämple.org")
    assert server.mails[0].recipient == "jürgen@xn--exmple-cua.org"
    with SmtpServer(utf8=False) as server, refused() as caught:
        send(mailer(server), "jürgen@example.org")
    assert caught.value.permanent
    assert "SMTPUTF8" in str(caught.value)


# The moment before the final dot


def test_the_moment_before_the_dot_comes_before_the_server_has_the_mail() -> None:
    """The outbox commits before the mail can have been delivered."""
    seen: list[int] = []
    with SmtpServer() as server:
        mailer(server).send(
            MIME,
            sender="a@example.org",
            recipient="b@example.org",
            before_dot=lambda: seen.append(len(server.mails)),
        )
    assert seen == [0]
    assert len(server.mails) == 1


def test_a_failing_commit_sends_nothing() -> None:
    """If the outbox can't record it, the mail isn't sent; the next one is."""

    def disk_full() -> None:
        raise RuntimeError("disk full")

    with SmtpServer() as server:
        post = mailer(server)
        with post.connected():
            with pytest.raises(RuntimeError, match="disk full"):
                post.send(
                    MIME, sender="a@example.org", recipient="b@example.org", before_dot=disk_full
                )
            assert server.mails == []
            send(post)
    assert len(server.mails) == 1


@pytest.mark.parametrize("step", [step for step in STEPS if step not in {"dot", "quit"}])
def test_a_failure_before_the_dot_never_announces_it(
    step: Step, certificate: trustme.LeafCert, trusted: None
) -> None:
    """Only a mail whose body was sent may be marked as at its dot."""
    dots: list[str] = []
    with SmtpServer(tls="starttls", login=LOGIN, certificate=certificate) as server:
        server.fail(step, "451 later")
        with refused() as caught:
            send(mailer(server), dots=dots)
    assert dots == []
    assert not caught.value.unanswered


# The matrix: every fault at every step


@pytest.mark.parametrize("step", [step for step in STEPS if step != "quit"])
@pytest.mark.parametrize(
    ("fault", "permanent"),
    [("451 try later", False), ("421 closing", False), ("554 never", True), ("gibberish", False),
     ("drop", False), ("hang", False)],
)  # fmt: skip
def test_each_fault_has_its_verdict(
    step: Step, fault: str, permanent: bool, certificate: trustme.LeafCert, trusted: None
) -> None:
    """5xx about a mail is final; all else is tried again, as it's about us or the settings."""
    with SmtpServer(tls="starttls", login=LOGIN, certificate=certificate) as server:
        server.fail(step, fault, times=None)
        began = monotonic()
        with refused() as caught:
            send(mailer(server, timeouts=SHORT))
        assert monotonic() - began < 5
    error = caught.value
    assert error.permanent == (permanent and step in {"rcpt", "data", "dot"})
    assert error.login == (permanent and step == "auth")
    assert error.sender == (permanent and step == "mail")
    assert error.unreachable == (step in {"connect", "ehlo", "starttls", "auth"})
    assert error.unanswered == (step == "dot" and fault in {"gibberish", "drop", "hang"})
    assert server.mails == []
    if fault[0].isdigit():
        assert fault in str(error)


@pytest.mark.parametrize("step", [step for step in STEPS if step != "quit"])
def test_a_server_that_trickles_gets_no_more_time_than_a_silent_one(
    step: Step, certificate: trustme.LeafCert, trusted: None
) -> None:
    """A byte now and then doesn't extend a step's deadline."""
    with SmtpServer(tls="starttls", login=LOGIN, certificate=certificate) as server:
        server.fail(step, "trickle")
        began = monotonic()
        with refused() as caught:
            send(mailer(server, timeouts=SHORT))
        assert monotonic() - began < 2.5
    assert "didn't answer in time" in str(caught.value)
    assert caught.value.unanswered == (step == "dot")
    assert not caught.value.permanent


@pytest.mark.parametrize("fault", ["hang", "trickle"])
@pytest.mark.parametrize("step", ["connect", "ehlo", "starttls", "auth"])
def test_a_server_that_is_well_again_serves_before_the_deadline_of_one_that_hangs(
    step: Step, fault: str, certificate: trustme.LeafCert, trusted: None
) -> None:
    """A second connection is tried beside one that isn't accepted, and the mail uses that one."""
    with SmtpServer(tls="starttls", login=LOGIN, certificate=certificate, trickles_s=60) as server:
        server.fail(step, fault)
        send(mailer(server, timeouts=replace(USUAL, beside_s=0.1)))
        assert len(server.mails) == 1


def test_a_server_that_is_slow_for_everybody_is_waited_for() -> None:
    """The second connection changes nothing if it's no faster."""
    with SmtpServer() as server:
        server.fail("ehlo", "slow", times=None)
        send(mailer(server, timeouts=replace(USUAL, command_s=5, beside_s=0.2)))
        assert len(server.mails) == 1


@pytest.mark.parametrize("step", [step for step in STEPS if step != "quit"])
def test_a_reply_without_end_is_read_no_further_than_a_long_one(
    step: Step, certificate: trustme.LeafCert, trusted: None
) -> None:
    """However much a server sends, only a little is read and held in memory."""
    with SmtpServer(tls="starttls", login=LOGIN, certificate=certificate) as server:
        server.fail(step, "endless")
        with refused() as caught:
            send(mailer(server))
        assert server.spoken < 16 * 1024 * 1024  # includes the buffers between us
    assert "doesn't speak SMTP" in str(caught.value)
    assert not caught.value.permanent


def test_a_long_reply_is_no_fault() -> None:
    """A server may send a hundred lines."""
    with SmtpServer() as server:
        server.fail("dot", "250-thank you\r\n" * 100 + "250 done")
        send(mailer(server))


@pytest.mark.parametrize("tls", ["none", "tls"])
def test_a_server_that_stops_reading_gets_no_more_time_than_a_silent_one(
    tls: str, certificate: trustme.LeafCert, trusted: None
) -> None:
    """Sending has a deadline, with encryption or without."""
    with SmtpServer(tls=tls, certificate=certificate) as server:  # type: ignore[arg-type]  # a str
        server.stops_reading = True
        began = monotonic()
        with refused() as caught:
            mailer(server, timeouts=SHORT).send(
                (b"x" * 900 + b"\r\n") * 14_000,
                sender="a@b.c",
                recipient="d@e.f",
                before_dot=lambda: None,
            )
        assert monotonic() - began < 2.5
    assert "didn't answer in time" in str(caught.value)


@pytest.mark.parametrize("fault", ["451 later", "554 never", "drop", "hang"])
def test_a_fault_at_quit_changes_nothing(fault: str) -> None:
    """The mail is delivered; how the server says goodbye doesn't matter."""
    with SmtpServer() as server:
        server.fail("quit", fault)
        began = monotonic()
        send(mailer(server, timeouts=SHORT))
        assert monotonic() - began < 2
    assert len(server.mails) == 1


def test_a_mail_swallowed_without_an_answer_is_told_as_such() -> None:
    """The one case in which a second copy can't be avoided is flagged."""
    with SmtpServer() as server:
        server.fail("dot", "swallow")
        with refused() as caught:
            send(mailer(server))
    assert len(server.mails) == 1
    assert caught.value.unanswered
    assert not caught.value.permanent


# What a refusal is about


@pytest.mark.parametrize("step", ["mail", "rcpt", "dot"])
@pytest.mark.parametrize(
    "reply",
    [
        "553 5.7.1 <easeback@example.org>: Sender address rejected: not owned by user ann",
        "550 5.4.5 Daily user sending limit exceeded. For more information go to",
        "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
        "554 5.2.252 SendAsDenied; ann@example.org not allowed to send as easeback@example.org",
        "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname",
        "554 5.7.1 <runner@example.org>: Relay access denied",
        "550 5.7.26 Unauthenticated email from example.org is not accepted",
        "550 Sender verify failed",
        "550 5.7.708 Access denied, traffic not accepted from this IP",
        "550-5.4.5 Daily user sending limit exceeded.\r\n550 5.4.5 See our pages",
    ],
)
def test_a_refusal_of_the_sender_ends_no_mail(step: Step, reply: str) -> None:
    """It may be accepted tomorrow, or with other settings; the recipient is fine."""
    with SmtpServer() as server, refused() as caught:
        server.fail(step, reply)
        send(mailer(server))
    assert caught.value.sender
    assert not caught.value.permanent
    assert "[mail] sender" in str(caught.value)


@pytest.mark.parametrize("step", ["rcpt", "dot"])
@pytest.mark.parametrize(
    "reply",
    [
        "550 5.1.1 <runner@example.org>: Recipient address rejected: User unknown",
        "550 5.1.1 <r@example.org>: Recipient rejected: User unknown in relay recipient table",
        "550 no such user",
        "552 5.2.2 over quota: the daily limit of this mailbox",
        "550 5.2.1 the mailbox is disabled",
        "550 5.7.1 rejected as spam by its content",
        "552 5.3.4 message size exceeds fixed limit",
    ],
)
def test_a_refusal_of_the_recipient_or_the_mail_is_final(step: Step, reply: str) -> None:
    """Trying again changes nothing."""
    with SmtpServer() as server, refused() as caught:
        server.fail(step, reply)
        send(mailer(server))
    assert caught.value.permanent
    assert not caught.value.sender
