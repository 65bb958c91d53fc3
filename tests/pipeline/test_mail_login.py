"""Mail with OAuth tokens: a simulated token service, and a mail server that requires them."""

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from simulators.empty_database import put_empty_database
from simulators.http_server import Server, running
from simulators.smtp_server import SmtpServer
from simulators.token_service import TokenService
from worker.app import build_services
from worker.cli.app import run_command_line
from worker.config import SettingsError, load
from worker.health import Audience, check_health
from worker.pipeline.deliver import Delivered, deliver
from worker.pipeline.services import Services
from worker.store import Encrypter, Store

ANN = "ann@example.org"
MIME = b"Subject: You jumped\r\n\r\nEase off.\r\n"


@pytest.fixture
def tokens() -> TokenService:
    return TokenService()


@pytest.fixture
def provider(tokens: TokenService) -> Iterator[Server]:
    with running(tokens) as server:  # type: ignore[arg-type]  # it answers questions too
        yield server


@pytest.fixture
def post(tokens: TokenService) -> Iterator[SmtpServer]:
    """It accepts every token ever issued; a test may change that."""
    with SmtpServer(login=(ANN, ""), tokens=tokens.access_tokens) as server:
        server.tokens = tokens.access_tokens
        yield server


@pytest.fixture
def set_up(
    post: SmtpServer, provider: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Settings for Microsoft in a folder with a database."""
    (tmp_path / "data" / "inbox").mkdir(parents=True)
    put_empty_database(tmp_path / "data" / "easeback.db")
    monkeypatch.chdir(tmp_path)
    given = {
        "HOST": "127.0.0.1", "PORT": str(post.port), "SECURITY": "none", "USERNAME": ANN,
        "AUTH": "xoauth2", "PROVIDER": "microsoft", "CLIENT_ID": "made-app",
        "PROVIDER_URL": provider.base_url,
    }  # fmt: skip
    for key, value in given.items():
        monkeypatch.setenv(f"EASEBACK_MAIL__{key}", value)
    return tmp_path


@pytest.fixture
def services(set_up: Path) -> Iterator[Services]:
    made = build_services(*load())
    yield made
    made.store.close()


def connect() -> int:
    return run_command_line(["connect", "mail"])


def send_one(services: Services, key: str = "k") -> Delivered:
    now = datetime.now(UTC)
    with services.store.transaction() as tx:
        tx.outbox.enqueue(
            None, kind="notice", key=key, message_id=f"<{key}@x.org>", sender=ANN,
            recipient=f"{key}@x.org", mime=MIME, now=now,
        )  # fmt: skip
    return deliver(services, lambda: datetime.now(UTC))


def retry_now(services: Services) -> Delivered:
    """Deliver as the operator does, regardless of pauses."""
    assert run_command_line(["outbox", "retry", "--all"]) == 0
    return deliver(services, lambda: datetime.now(UTC))


def status(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    run_command_line(["status", "--json"])
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


def test_a_typed_code_connects_and_mail_goes_by_its_token(
    services: Services, tokens: TokenService, post: SmtpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says where to go and what to type, and waits until that's done."""
    tokens.pending = 1
    assert connect() == 0
    told = capsys.readouterr().out
    assert "https://login.example.org/device" in told
    assert "MADE-CODE" in told
    assert [path for path, _ in tokens.log] == [
        "/common/oauth2/v2.0/devicecode",
        *["/common/oauth2/v2.0/token"] * 2,
    ]
    assert "https://outlook.office.com/SMTP.Send" in tokens.log[0][1]["scope"]
    assert send_one(services).sent == 1
    assert [mail.content for mail in post.mails] == [MIME]


def test_a_token_serves_until_it_ends_and_then_another_is_fetched(
    services: Services, tokens: TokenService, post: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It isn't fetched for each mail; the next refresh uses the latest refresh token."""
    connect()
    for key in ("a", "b"):
        assert send_one(services, key).sent == 1
    assert tokens.access_tokens == ["access-1", "access-2"]
    services.mail_login._token_until = 0.0  # type: ignore[union-attr]  # its hour is over
    assert send_one(services, "c").sent == 1
    renewals = [form["refresh_token"] for _, form in tokens.log if "refresh_token" in form]
    assert renewals == ["refresh-1", "refresh-2"]


def test_a_token_that_ended_early_is_replaced(
    services: Services, tokens: TokenService, post: SmtpServer
) -> None:
    """The server refuses it and accepts the next one."""
    connect()
    assert send_one(services, "a").sent == 1
    post.tokens = ["access-3"]
    failed = send_one(services, "b")
    assert failed.sent == 0
    assert "535 5.7.3 Authentication unsuccessful" in failed.troubles[0]
    assert retry_now(services).sent == 1


def test_access_that_was_taken_back_is_trouble_and_costs_no_mail(
    services: Services, tokens: TokenService, post: SmtpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """`status` and doctor report it, requests stop; connecting again sends the waiting mails."""
    connect()
    tokens.revoke()
    assert send_one(services).sent == 0
    told = status(capsys)
    assert not told["ok"]
    assert "`easeback connect mail` again" in told["attention"][0]
    assert told["outbox"]["retrying"] == 1
    with services.store.reading() as tx:
        now = datetime.now(UTC)
        (withheld,) = check_health(tx, now, patience={}, audience=Audience.PING)
    assert withheld.name == "mail"
    asked = len(tokens.log)
    assert retry_now(services).sent == 0
    assert len(tokens.log) == asked
    assert run_command_line(["doctor"]) == 1
    assert "BAD  mail: Microsoft takes the login of ann@example.org" in capsys.readouterr().out
    assert connect() == 0
    assert retry_now(services).sent == 1


def test_before_it_is_connected_mail_waits(
    services: Services, post: SmtpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says how to connect."""
    assert send_one(services).sent == 0
    assert "mail isn't connected for ann@example.org yet" in status(capsys)["attention"][0]


@pytest.mark.parametrize("refusal", ["access_denied", "expired_token", "authorization_declined"])
def test_a_consent_that_is_refused_changes_nothing(
    services: Services, tokens: TokenService, refusal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, with exit status 1."""
    tokens.refusal = refusal
    assert connect() == 1
    told = capsys.readouterr().err
    assert refusal in told
    assert len(told.splitlines()) == 1
    with services.store.reading() as tx:
        assert tx.mail_login.get() is None


def test_a_token_service_that_is_away_costs_no_mail(
    services: Services, tokens: TokenService, provider: Server, post: SmtpServer
) -> None:
    """Like a mail server that can't be reached."""
    connect()
    for fault in ("reset", "status", "nonsense"):
        provider.fault(fault)  # type: ignore[arg-type]  # kinds of faults
        assert (retry_now if fault != "reset" else send_one)(services).sent == 0
    assert post.mails == []
    assert retry_now(services).sent == 1


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled",
            "sending by SMTP is switched off for this mailbox or its organisation",
        ),
        ("535 5.7.3 Authentication unsuccessful", "it's tried once more with a new token"),
    ],
)
def test_what_the_mail_server_says_of_a_token_is_said_with_what_to_do(
    services: Services, post: SmtpServer, answer: str, advice: str
) -> None:
    """Not as a wrong password."""
    connect()
    post.fail("auth", answer)
    (trouble,) = send_one(services).troubles
    assert advice in trouble
    assert "password" not in trouble


def test_a_server_without_token_logins_is_said(services: Services, post: SmtpServer) -> None:
    """Such as a wrong host; no token is sent to it."""
    connect()
    post.tokens = ()
    (trouble,) = send_one(services).troubles
    assert "takes no login by token (XOAUTH2)" in trouble
    assert "auth" not in post.commands


def test_what_is_kept_is_encrypted_and_follows_new_keys(
    services: Services, tokens: TokenService, set_up: Path
) -> None:
    """No token is in the database as plain text; one under an old key survives `rotate-keys`."""
    connect()
    assert b"refresh-1" not in (set_up / "data" / "easeback.db").read_bytes()
    assert run_command_line(["rotate-keys"]) == 0
    newest = (set_up / "data" / "keys").read_text().split()[0]
    with services.store.reading() as tx:
        stored = tx.mail_login.get()
    assert stored is not None
    assert Encrypter([newest]).decrypt(stored.encrypted) == "refresh-1"


def test_disconnecting_forgets_it(
    services: Services, tokens: TokenService, capsys: pytest.CaptureFixture[str]
) -> None:
    """Microsoft can't revoke it by request; the message says where to do that."""
    connect()
    assert run_command_line(["disconnect", "mail", "--yes"]) == 0
    assert "what Microsoft lists of it ends in your account there" in capsys.readouterr().out
    with services.store.reading() as tx:
        assert tx.mail_login.get() is None
    assert send_one(services).sent == 0


@pytest.fixture
def google(set_up: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASEBACK_MAIL__PROVIDER", "google")
    monkeypatch.setenv("EASEBACK_MAIL__CLIENT_SECRET", "made-secret")


def test_at_google_the_address_of_the_consent_is_pasted(
    google: None, tokens: TokenService, post: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With PKCE, a proof that the same program asked; it's revoked at disconnecting."""
    services = build_services(*load())
    login = services.mail_login
    assert login is not None
    begun = login.begin_by_page()
    login.finish_page(begun, tokens.consented(begun.address) + "\n", now=datetime.now(UTC))
    assert tokens.log[0][1]["code_verifier"] == begun.verifier
    assert tokens.log[0][1]["client_secret"] == "made-secret"
    assert "code_challenge_method=S256" in begun.address
    assert send_one(services).sent == 1
    assert run_command_line(["disconnect", "mail", "--yes"]) == 0
    assert tokens.log[-1][0] == "/revoke"
    services.store.close()


@pytest.mark.parametrize(
    "pasted",
    [
        "",
        "nonsense",
        "http://127.0.0.1:1/?state=other&code=made-consent",
        "http://127.0.0.1:1/?state=\u00e4ndern&code=made-consent",
        "http://[127.0.0.1:1/?state=other&code=made-consent",
    ],
)
def test_another_address_is_refused(
    google: None, tokens: TokenService, pasted: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """In one line, and no token is requested."""
    monkeypatch.setattr("sys.stdin", io.StringIO(pasted))
    assert connect() == 1
    assert "that isn't the address at which this consent ended" in capsys.readouterr().err
    assert tokens.log == []


def test_settings_that_lack_something_say_what(
    set_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if tokens would be sent without encryption."""
    monkeypatch.setenv("EASEBACK_MAIL__PROVIDER_URL", "http://login.example.org")
    with pytest.raises(SettingsError, match="EASEBACK_MAIL__PROVIDER_URL: must begin with https"):
        load()
    monkeypatch.delenv("EASEBACK_MAIL__PROVIDER_URL")
    monkeypatch.delenv("EASEBACK_MAIL__CLIENT_ID")
    with pytest.raises(SettingsError, match='auth = "xoauth2" needs client_id too'):
        load()


@pytest.mark.parametrize("command", [["connect", "mail"], ["disconnect", "mail", "--yes"]])
def test_where_mail_logs_in_by_a_password_there_is_nothing_to_connect(
    set_up: Path, command: list[str], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Nor for a single athlete."""
    assert run_command_line([*command[:2], "Anna", *command[2:]]) == 2
    monkeypatch.setenv("EASEBACK_MAIL__AUTH", "password")
    assert run_command_line(command) == 2
    assert '[mail] auth = "xoauth2"' in capsys.readouterr().err


def test_a_login_is_kept_on_either_database(store: Store) -> None:
    """One at most; an older token doesn't overwrite a renewed one."""
    now = datetime(2026, 3, 1, tzinfo=UTC)
    with store.transaction() as tx:
        for token in (b"first", b"second"):
            tx.mail_login.connect(ANN, encrypted=token, now=now)
        stored = tx.mail_login.get()
        assert stored is not None
        assert (stored.username, stored.encrypted, stored.trouble) == (ANN, b"second", None)
        tx.mail_login.renew(stored, encrypted=b"third")
        tx.mail_login.renew(stored, encrypted=b"late")
        tx.mail_login.failed(stored, trouble="late too")
        after = tx.mail_login.get()
        assert after is not None
        assert (after.encrypted, after.trouble) == (b"third", None)
        tx.mail_login.forget()
        assert tx.mail_login.get() is None
