"""Outgoing calls: addresses, certificates, no redirects."""

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import trustme
from pydantic import SecretStr, ValidationError

from simulators.http_server import LONGEST_FAULT_S, FaultKind, running
from simulators.strava.service import Service
from worker.config import MailSection, Settings
from worker.mail import SendError, SmtpMailer
from worker.ping import fetch_address
from worker.sources.base import Credential, SourceError, Unavailable
from worker.sources.strava.client import Strava, StravaSection

NOW = datetime(2026, 11, 20, 18, tzinfo=UTC)
GRANT = Credential(
    "1", ("an access token", "a refresh token"), datetime(2026, 11, 20, 23, tzinfo=UTC)
)
WRONG = (
    "http://www.strava.com",
    "http://169.254.169.254",
    "http://127.0.0.1.evil.example",
    "http://127.0.0.1:80@evil.example",
    "http://localhost@evil.example",
    "https://user:password@www.strava.com",
    "https://www.strava.com/?x=",
    "file:///etc/passwd",
    "ftp://www.strava.com",
    "//www.strava.com",
    "",
)


@contextmanager
def a_server(
    *, tls: trustme.LeafCert | None = None, to: str | None = None
) -> Iterator[tuple[int, list[str]]]:
    """A web server that records its requests, and may redirect them."""
    asked: list[str] = []

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.path} {self.headers.get('Authorization')}")
            self.send_response(302 if to else 200)
            if to:
                self.send_header("Location", to)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(HTTPServer):
        def handle_error(self, *_: object) -> None:
            pass

    server = Quiet(("127.0.0.1", 0), Door)
    if tls is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.configure_cert(context)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1], asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def client(base_url: str, *, ca_file: str | None = None) -> Strava:
    section = StravaSection(client_id="1", client_secret=SecretStr("s"), base_url=base_url)
    return Strava(section, ca_file=ca_file, answer_s=2.0)


@pytest.mark.parametrize("address", WRONG)
def test_strava_is_asked_at_no_address_that_would_give_tokens_away(address: str) -> None:
    """Plain HTTP is for this machine alone, whatever the address looks like."""
    with pytest.raises(ValueError, match="http"):
        client(address)


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://example.org", "data:,x", "http://", "https:///x", "x"]
)
def test_the_dead_mans_switch_is_reached_over_http_or_not_at_all(address: str) -> None:
    """The given address isn't shown: its path may be a secret."""
    with pytest.raises(ValidationError) as refused:
        Settings(ping_url=address)
    assert refused.value.errors()[0]["loc"] == ("ping_url",)
    assert "must begin with http" in str(refused.value.errors()[0]["msg"])


def test_strava_under_a_certificate_nobody_knows_is_not_spoken_to() -> None:
    """The token isn't sent."""
    certificate = trustme.CA().issue_cert("localhost")
    with a_server(tls=certificate) as (port, asked):
        strava = client(f"https://localhost:{port}")
        with pytest.raises(Unavailable, match="certificate isn't trusted"):
            strava.list_activities(GRANT, now=NOW)
        strava.close()
    assert asked == []


def test_strava_under_another_names_certificate_is_not_spoken_to(tmp_path: Path) -> None:
    """Even if its authority is trusted."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with a_server(tls=authority.issue_cert("other.example")) as (port, asked):
        strava = client(f"https://localhost:{port}", ca_file=str(tmp_path / "ca.pem"))
        with pytest.raises(Unavailable, match="certificate isn't trusted"):
            strava.list_activities(GRANT, now=NOW)
        strava.close()
    assert asked == []


def test_a_redirect_carries_no_token_away() -> None:
    """Strava's API has no redirects, so none is followed."""
    with (
        a_server() as (elsewhere, asked_there),
        a_server(to=f"http://127.0.0.1:{elsewhere}/") as (port, asked),
    ):
        strava = client(f"http://127.0.0.1:{port}")
        with pytest.raises(SourceError):
            strava.list_activities(GRANT, now=NOW)
        strava.close()
    assert len(asked) == 1
    assert asked_there == []


def test_the_dead_mans_switch_is_checked_as_well() -> None:
    """An unknown certificate is an error, reported without the address."""
    certificate = trustme.CA().issue_cert("localhost")
    with a_server(tls=certificate) as (port, asked):
        assert not fetch_address(f"https://localhost:{port}/secret")
    assert asked == []


def test_old_tls_is_not_spoken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing below 1.2, in mail as elsewhere: Python's defaults are kept."""
    contexts: list[ssl.SSLContext | None] = []

    def dial(*_: object, tls: ssl.SSLContext | None = None, **__: object) -> None:
        contexts.append(tls)
        raise OSError("that's enough")

    monkeypatch.setattr("worker.mail.smtp.Dialogue", dial)
    with pytest.raises(SendError):
        SmtpMailer(MailSection(host="localhost", security="tls")).check()
    [context] = contexts
    assert context is not None
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize("kind", ["slow head", "endless continues"])
def test_the_dead_mans_switch_is_not_waited_for_without_end(kind: FaultKind) -> None:
    """A slow or endless head is an error within the deadline."""
    with running(Service()) as server:
        server.fault(kind)
        began = time.monotonic()
        assert not fetch_address(f"{server.base_url}/secret", within_s=1.0)
        assert time.monotonic() - began < LONGEST_FAULT_S / 2
        assert server.flooded_bytes < 2**23
