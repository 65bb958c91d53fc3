"""SMTP settings: errors in plain words, and the results of the check."""

import socket
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic

import pytest
import trustme

from simulators.smtp_server import SmtpServer
from tests.mail.sending import LOGIN, MIME, SHORT, mailer, refused, send
from worker.config import MailSection
from worker.mail import SendError, SmtpMailer, Timeouts

# Error messages


@pytest.mark.usefixtures("trusted")
def test_a_wrong_password_says_what_to_mend_and_keeps_the_secret(
    certificate: trustme.LeafCert,
) -> None:
    """The settings are wrong, not the mail."""
    with (
        SmtpServer(tls="starttls", login=LOGIN, certificate=certificate) as server,
        refused() as caught,
    ):
        send(mailer(server, password="mistyped"))
    assert caught.value.login
    assert not caught.value.permanent
    assert "refused the login of ann" in str(caught.value)
    assert "[mail] username and password" in str(caught.value)
    assert "mistyped" not in str(caught.value)


@pytest.mark.usefixtures("trusted")
def test_a_missing_login_is_a_matter_of_the_settings(certificate: trustme.LeafCert) -> None:
    """530 is about the login, so the mail isn't given up."""
    with (
        SmtpServer(tls="starttls", login=LOGIN, certificate=certificate) as server,
        refused() as caught,
    ):
        send(mailer(server, username=None))
    assert caught.value.login
    assert not caught.value.permanent


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_an_unknown_certificate_stops_the_mail(certificate: trustme.LeafCert, tls: str) -> None:
    """A man in the middle gets neither the password nor the mail."""
    with SmtpServer(tls=tls, login=LOGIN, certificate=certificate) as server:  # type: ignore[arg-type]  # a str
        with refused() as caught:
            send(mailer(server))
        assert "auth" not in server.commands
    assert "isn't trusted" in str(caught.value)
    assert "SSL_CERT_FILE" in str(caught.value)


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_another_name_stops_the_mail(authority: trustme.CA) -> None:
    """A trusted authority's certificate for another host isn't enough."""
    other = authority.issue_cert("elsewhere.example.org")
    with SmtpServer(tls="starttls", certificate=other) as server, refused() as caught:
        send(mailer(server))
    assert "isn't trusted" in str(caught.value)


def test_without_offered_encryption_nothing_is_sent() -> None:
    """Stripping STARTTLS on the way must not result in plain text."""
    with SmtpServer(login=LOGIN) as server:
        with refused() as caught:
            send(mailer(server, security="starttls"))
        assert {"auth", "mail"}.isdisjoint(server.commands)
    assert "offers no encryption" in str(caught.value)
    assert caught.value.login


def test_tls_spoken_to_a_plain_port_is_explained() -> None:
    """A mixed-up port is the most common mistake."""
    with SmtpServer() as server, refused() as caught:
        send(mailer(server, security="tls", timeouts=SHORT))
    assert "[mail] security" in str(caught.value)


def test_a_closed_port_is_named() -> None:
    """Nothing listens there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    post = SmtpMailer(MailSection(host="127.0.0.1", port=port, security="none"))
    with refused() as caught:
        send(post)
    assert f"Nothing listens at 127.0.0.1:{port}" in str(caught.value)
    assert caught.value.unreachable


@pytest.mark.parametrize("host", ["mail.invalid", ".nonsense"])
def test_an_unknown_host_is_named(host: str) -> None:
    """The message says that the host's name is unknown."""
    post = SmtpMailer(MailSection(host=host, security="none"))
    with refused() as caught:
        send(post)
    assert host in str(caught.value)
    assert "[mail] host" in str(caught.value)


def test_a_silent_host_is_given_up() -> None:
    """A firewall that drops packets costs the connection's time-out and no more."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = MailSection(host="127.0.0.1", port=silent.getsockname()[1], security="none")
        began = monotonic()
        with refused() as caught:
            send(SmtpMailer(settings, timeouts=SHORT))
        assert monotonic() - began < 2
    assert "didn't answer in time" in str(caught.value)


def test_something_that_is_no_mail_server_is_told_as_that() -> None:
    """A web server on the port answers with lines that aren't SMTP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def babble() -> None:
            line, _ = listener.accept()
            with line:
                line.sendall(b"x" * 10_000 + b"\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        settings = MailSection(host="127.0.0.1", port=listener.getsockname()[1], security="none")
        with refused() as caught:
            send(SmtpMailer(settings, timeouts=SHORT))
        thread.join()
    assert "doesn't speak SMTP" in str(caught.value)
    assert not caught.value.permanent


@pytest.mark.parametrize("recipient", ["", "nobody", "@example.org", "two words@example.org"])
def test_what_is_no_address_is_never_offered(recipient: str) -> None:
    """Such a mail can't be delivered; the server isn't asked."""
    with SmtpServer() as server, refused() as caught:
        send(mailer(server), recipient)
    assert caught.value.permanent
    assert server.connections == 0


def test_an_address_smuggles_no_command() -> None:
    """A line break in it doesn't reach the wire."""
    with SmtpServer() as server, suppress(SendError):
        send(mailer(server), "a@example.org>\r\nRCPT TO:<evil@example.org")
    assert "evil@example.org" not in [mail.recipient for mail in server.mails]


# The check of the settings


@pytest.mark.usefixtures("trusted")
def test_the_check_goes_all_the_way_but_for_a_mail(certificate: trustme.LeafCert) -> None:
    """Login and sender are tested, and nothing is sent."""
    with SmtpServer(tls="starttls", login=LOGIN, certificate=certificate) as server:
        words = mailer(server).check()
    assert words == (
        f"localhost:{server.port} (starttls) takes mail from easeback@example.org by the login ann"
    )
    assert server.mails == []
    assert server.commands[-2:] == ["mail", "quit"]


def test_the_check_warns_of_a_password_in_the_clear() -> None:
    """Allowed for a local relay, but reported."""
    with SmtpServer(login=LOGIN) as server:
        server.fail("auth", "235 come in")
        assert "unencrypted" in mailer(server).check()


def test_the_check_finds_a_refused_sender() -> None:
    """A sender that the server refuses would fail every mail."""
    with SmtpServer() as server, refused() as caught:
        server.fail("mail", "553 not yours")
        mailer(server).check()
    assert "refused the sender easeback@example.org: 553 not yours" in str(caught.value)


def test_the_dialogue_can_be_listened_to_without_its_secrets() -> None:
    """Each step with its answer, in order, without the password in any form."""
    heard: list[tuple[str, str]] = []
    settings = {"host": "localhost", "security": "none", "username": "ann", "password": "hidden"}
    with SmtpServer(login=("ann", "hidden")) as server:
        server.fail("auth", "235 come in")
        SmtpMailer(
            MailSection(port=server.port, **settings),  # type: ignore[arg-type]  # a dict of strings
            heard=lambda said, answer: heard.append((said, answer)),
        ).send(MIME, sender="a@example.org", recipient="b@example.org", before_dot=lambda: None)
    assert [said.partition(" ")[0].upper() for said, _ in heard] == [
        "CONNECT", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "THE", "QUIT",
    ]  # fmt: skip
    assert dict(heard)["the mail"] == "250 taken"
    assert dict(heard)["AUTH (not shown)"] == "235 come in"


def test_a_refusal_is_listened_to_as_well() -> None:
    """The transcript shows where it ends, and why."""
    heard: list[str] = []
    with SmtpServer() as server:
        server.fail("rcpt", "550 5.1.1 no such user")
        post = SmtpMailer(
            MailSection(host="localhost", port=server.port, security="none"),
            heard=lambda said, answer: heard.append(f"{said}: {answer}"),
        )
        with refused():
            send(post)
    assert "rcpt TO:<runner@example.org>: 550 5.1.1 no such user" in heard


# Settings


def test_the_server_is_told_the_name_that_was_set() -> None:
    """Some servers require a full name, and a container has none."""
    heard: list[str] = []
    with SmtpServer() as server:
        settings = MailSection(
            host="localhost", port=server.port, security="none", ehlo_name="nas.example.org"
        )
        SmtpMailer(settings, heard=lambda said, _: heard.append(said)).check()
    assert "ehlo nas.example.org" in heard


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_an_authority_can_be_trusted_for_mail_alone(
    authority: trustme.CA, certificate: trustme.LeafCert, tmp_path: Path, tls: str
) -> None:
    """No other connection of the worker trusts it."""
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    with SmtpServer(tls=tls, certificate=certificate) as server:  # type: ignore[arg-type]  # a str
        send(mailer(server, ca_file=tmp_path / "authority.pem"))
        with refused():
            send(mailer(server))
    assert len(server.mails) == 1


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_without_authorities_is_named(
    certificate: trustme.LeafCert, tmp_path: Path, content: str | None
) -> None:
    """The settings are wrong, not the mail."""
    if content:
        (tmp_path / "authority.pem").write_text(content)
    with SmtpServer(tls="tls", certificate=certificate) as server, refused() as caught:
        send(mailer(server, ca_file=tmp_path / "authority.pem"))
    assert "[mail] ca_file" in str(caught.value)
    assert "authority.pem" in str(caught.value)
    assert caught.value.login


@pytest.mark.parametrize(
    ("settings", "port", "sender"),
    [
        (MailSection(), 587, "Easeback <easeback@localhost>"),
        (MailSection(security="tls", username="me@x.org"), 465, "Easeback <me@x.org>"),
        (MailSection(security="none", username="me", sender="A <a@b.c>"), 25, "A <a@b.c>"),
        (MailSection(port=2525), 2525, "Easeback <easeback@localhost>"),
    ],
)
def test_defaults_follow_from_what_is_set(settings: MailSection, port: int, sender: str) -> None:
    """Host and login are enough for the usual provider."""
    assert (settings.port_number, settings.from_header) == (port, sender)


@pytest.mark.parametrize("security", ["starttls", "none"])
def test_a_server_that_waits_for_tls_is_recognised_within_seconds(
    certificate: trustme.LeafCert, security: str
) -> None:
    """On any port."""
    with SmtpServer(tls="tls", certificate=certificate) as server, refused() as caught:
        began = monotonic()
        send(mailer(server, security=security, timeouts=Timeouts()))
    assert monotonic() - began < 10
    assert 'set [mail] security to "tls"' in str(caught.value)
    assert not caught.value.permanent


@pytest.mark.parametrize(
    ("answer", "said", "unsaid"),
    [
        (
            "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.",
            "basic authentication is off",
            "app password",
        ),
        (
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled",
            "basic authentication is off",
            "app password",
        ),
        (
            "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.",
            "app password",
            "Microsoft takes no password",
        ),
    ],
)
def test_microsofts_refusal_of_any_password_is_said(answer: str, said: str, unsaid: str) -> None:
    """Another password wouldn't help."""
    with SmtpServer(login=("me@outlook.test", "secret")) as server, refused() as caught:
        server.fail("auth", answer)
        send(mailer(server))
    assert "535 5.7.139" in str(caught.value)
    assert said in str(caught.value)
    assert unsaid not in str(caught.value)
    assert caught.value.login
