"""What strangers and athletes can do to a running server's pages, and to other visitors."""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from http.client import HTTPConnection, HTTPResponse

import pytest
from starlette.testclient import TestClient

from simulators.web_instance import Instance
from tests.waiting import wait_until
from worker.domain.models import Athlete
from worker.setting_types import LOOPBACK
from worker.sources.base import Unavailable
from worker.sources.strava.client import Strava, StravaSection
from worker.web import WebServer, build_app
from worker.web.connections import HEADERS_WITHIN_S
from worker.web.forms import read_form
from worker.web.limits import client_of
from worker.web.rate_limiter import ClientRateLimiter
from worker.web.visits import LINK_LIVES

MULTIPART = "multipart/form-data; boundary=b"


@pytest.fixture
def server(made: Instance) -> Iterator[WebServer]:
    server = running(made)
    yield server
    server.stop()


def running(made: Instance) -> WebServer:
    generous = ClientRateLimiter(burst=1e6)
    server = WebServer(build_app(made.web, rate_limiter=generous), host="127.0.0.1", port=0)
    server.start()
    return server


def port(server: WebServer) -> int:
    return int(server.address.rpartition(":")[2])


def connected(server: WebServer, stack: ExitStack) -> socket.socket:
    return stack.enter_context(socket.create_connection(("127.0.0.1", port(server)), timeout=5))


def silent(server: WebServer, stack: ExitStack, words: bytes) -> socket.socket:
    """A connection with a request that is begun and never ended."""
    client = connected(server, stack)
    client.sendall(words)
    return client


def livez(server: WebServer) -> float:
    """The seconds that `/livez` took, which uses no database; it must answer."""
    began = time.monotonic()
    with closing(HTTPConnection("127.0.0.1", port(server), timeout=5)) as connection:
        connection.request("GET", "/livez")
        assert connection.getresponse().status == 200
    return time.monotonic() - began


def said(server: WebServer, request: bytes) -> tuple[int, str, bool]:
    """Status and headers of the answer to raw bytes, and whether the connection was closed."""
    with ExitStack() as stack:
        client = connected(server, stack)
        client.sendall(request)
        answer = HTTPResponse(client)
        answer.begin()
        headers = str(answer.headers).lower()
        answer.read()
        try:
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            is_closed = client.recv(1) == b""
        except OSError:
            is_closed = True
        return answer.status, headers, is_closed


class TestStrangers:
    @pytest.mark.parametrize("purpose", list(LINK_LIVES))
    def test_a_made_up_link_is_refused_before_its_form_is_read(
        self, server: WebServer, purpose: str
    ) -> None:
        """The body never arrives; the answer comes at once, and the connection ends."""
        head = (
            f"POST /{purpose}/made.up HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 16000\r\n\r\n"
        )
        status, _, is_closed = said(server, head.encode())
        assert (status, is_closed) == (403, True)

    @pytest.mark.parametrize(
        "words",
        [
            b"form-data" + b"(a)" * 5_300,
            b'form-data; name="' + b"a " * 7_900,
            b"form-data" + b"; a=b" * 3_200,
            b"\r\n".join(b"a: b" for _ in range(2_000)),
            b"\r\n--b" * 3_000,
            b"\r\n--b\r\nContent-Disposition: form-data; name=a\r\n\r\n" * 300,
        ],
    )
    def test_no_form_costs_more_than_its_length(self, words: bytes) -> None:
        """Each would take the mail parser half a second or more of the event loop."""
        body = (b"--b\r\nContent-Disposition: " + words)[:16_300] + b"\r\n\r\nx\r\n--b--\r\n"
        began = time.process_time()
        read_form(MULTIPART, body)
        assert time.process_time() - began < 0.02

    def test_no_chain_of_proxies_costs_more_than_a_short_one(self) -> None:
        """Sixteen thousand of them would take a third of a second of the event loop per request."""
        told = b",".join([b"::1"] * 16_000)
        scope = {"client": ("127.0.0.1", 1), "headers": [(b"x-forwarded-for", told)]}
        began = time.process_time()
        assert client_of({"type": "http", **scope}, proxies=LOOPBACK) == "::/64"
        assert time.process_time() - began < 0.02

    @pytest.mark.parametrize(
        "words",
        [
            b"",
            b"GET / HTTP/1.1\r\nHost: ",
            b"POST /strava/webhook HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{",
        ],
    )
    def test_who_says_nothing_keeps_nobody_out(self, server: WebServer, words: bytes) -> None:
        """More connections than are served: visitors are answered, and some idle ones closed."""
        with ExitStack() as stack:
            first, *_ = [silent(server, stack, words) for _ in range(201)]
            assert livez(server) < 1
            with suppress(ConnectionError):
                assert first.recv(1) == b""

    def test_headers_have_a_deadline(
        self, server: WebServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also those of a second request, sent a byte at a time; with a deadline of 2 s here."""
        assert HEADERS_WITHIN_S == 15
        monkeypatch.setattr("worker.web.connections.HEADERS_WITHIN_S", 2.0)
        with ExitStack() as stack:
            never, slow = connected(server, stack), connected(server, stack)
            slow.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            slow.recv(4096)
            began, is_open = time.monotonic(), True
            for byte in b"GET /livez HTTP/1.1\r\nHost: " + b"a" * 40:
                try:
                    slow.sendall(bytes([byte]))
                    time.sleep(0.1)
                except OSError:
                    is_open = False
                    break
            assert not is_open
            assert time.monotonic() - began < 4
            assert never.recv(1) == b""

    def test_a_service_that_hangs_keeps_nobody_from_the_pages(
        self, made: Instance, mira: Athlete
    ) -> None:
        """Eight consents wait for it; other visitors don't."""
        with ExitStack() as stack:
            hangs = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            there = f"http://127.0.0.1:{hangs.getsockname()[1]}"
            section = StravaSection(client_id="1", client_secret="made", base_url=there)
            strava = replace(made.web.services.sources["strava"], client=Strava(section))
            services = replace(made.web.services, sources={"strava": strava})
            server = running(replace(made, web=replace(made.web, services=services)))
            stack.callback(server.stop)
            for _ in range(8):
                path = made.link("connect", mira, by="operator")
                connected(server, stack).sendall(
                    f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
                )
            hangs.settimeout(5)
            stack.enter_context(hangs.accept()[0])
            with closing(HTTPConnection("127.0.0.1", port(server), timeout=5)) as connection:
                connection.request("GET", made.link("athlete", mira))
                assert connection.getresponse().status == 200


def test_pages_wait_for_a_service_less_long_than_the_worker(made: Instance, mira: Athlete) -> None:
    """Each call from a page has its own deadline; the worker's client keeps its longer ones."""
    with ExitStack() as stack:
        hangs = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        there = f"http://127.0.0.1:{hangs.getsockname()[1]}"
        section = StravaSection(client_id="1", client_secret="made", base_url=there)
        patient = Strava(section, answer_s=30)
        began = time.monotonic()
        stack.callback(patient.close)
        hasty = patient.impatient(0.3)
        stack.callback(hasty.close)
        with pytest.raises(Unavailable):
            hasty.check_redirect("http://127.0.0.1:8765/strava/callback", now=made.clock.now)
        assert time.monotonic() - began < 5
        assert patient.session is not hasty.session


class TestOddRequests:
    def test_no_address_leads_to_another(
        self, server: WebServer, made: Instance, mira: Athlete
    ) -> None:
        """A second slash would redirect a visitor to any Host, by http, with the token."""
        paths = [made.link(purpose, mira, kind="weekly") for purpose in LINK_LIVES]
        for path in (*paths, "/status", "/livez", "/strava/callback", "//evil.example/"):
            for odd in (f"{path}/", f"{path}//", f"/{path}", f"{path}/..{path}", f"{path}/%2e%2e/"):
                request = f"GET {odd} HTTP/1.1\r\nHost: evil.example\r\n\r\n"
                status, headers, _ = said(server, request.encode())
                assert status in (403, 404), odd
                assert "\nlocation:" not in headers

    def test_two_lengths_are_none(self, server: WebServer, made: Instance, mira: Athlete) -> None:
        """One parser's body is another parser's next request."""
        request = (
            f"POST {made.link('checkin', mira)} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        )
        status, headers, is_closed = said(server, request.encode())
        assert (status, is_closed) == (400, True)
        assert "connection: close" in headers

    @pytest.mark.parametrize("host", ["[", "[::1", "a:b", "127.0.0.1:99999999", "]["])
    def test_a_host_that_is_none_is_refused(
        self, server: WebServer, made: Instance, mira: Athlete, host: str
    ) -> None:
        """On every kind of page, in one line and without a traceback."""
        for path in ("/", "/status", made.link("checkin", mira), made.link("athlete", mira)):
            request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            assert said(server, request.encode())[0] == 400

    @pytest.mark.parametrize("given", ["é", "YTpi" * 3 + "é", "???", "/w==", "="])
    def test_a_password_that_is_none_is_refused(self, made: Instance, given: str) -> None:
        """Not ASCII, not base64, not UTF-8."""
        client = made.client(token="a token of the operator", base_url="https://example.org")
        answer = client.get("/status", headers={b"Authorization": f"Basic {given}".encode()})
        assert answer.status_code == 400

    @pytest.mark.parametrize(
        ("page", "form"),
        [
            ("settings", {"weekday": "mon", "at": "07:00Z"}),
            ("settings", {"weekday": "mon", "at": "07:00+01:00"}),
            ("settings", {"weekday": "mon", "at": "07:00:00.5"}),
            ("settings", {"weekday": "mon", "at": "24:00"}),
            ("settings", {"weekday": "é", "at": "07:00"}),
            ("checkin", {"feels": "pain", "level": "9" * 5_000}),
            ("checkin", {"feels": "pain", "level": "٣"}),
            ("runs/exclude", {"run": "9" * 30}),
            ("runs/include", {"run": f"-{'9' * 30}"}),
            ("runs/add", {"date": "2026-02-01", "distance": "5", "minutes": "1e300"}),
            ("garmin", {"garmin_key": "x\r\ny", "expires": "9" * 5_000}),
            ("garmin", {"garmin_key": "\x00é", "expires": "0001-01-01"}),
        ],
    )
    def test_odd_values_are_refused(
        self, made: Instance, mira: Athlete, client: TestClient, page: str, form: dict[str, str]
    ) -> None:
        """They change nothing, and cause no later error."""
        link = made.link("checkin" if page == "checkin" else "athlete", mira)
        answer = client.post(link if page == "checkin" else f"{link}/{page}", data=form)
        assert answer.status_code == 400
        assert made.athlete(mira) == mira
        assert made.diary(mira) == ()

    @pytest.mark.parametrize("odd", ["%00", "%ff", "[", "é", "a" * 3_000, "&&==", "hub.challenge"])
    def test_odd_queries_break_nothing(
        self, made: Instance, mira: Athlete, client: TestClient, odd: str
    ) -> None:
        """On every page with a query."""
        paths = ("/", "/status", "/strava/callback", "/strava/webhook", made.link("athlete", mira))
        for path in paths:
            for query in (
                odd,
                f"saved={odd}",
                f"state={odd}&code={odd}",
                f"hub.challenge={odd}",
            ):
                assert client.get(f"{path}?{query}").status_code < 500


class TestAthletes:
    @pytest.mark.parametrize("source", ["strava", "garmin"])
    def test_disconnecting_nothing_does_nothing(
        self, made: Instance, mira: Athlete, client: TestClient, source: str
    ) -> None:
        """Otherwise the whole database would be rewritten each time."""
        path = f"{made.link('athlete', mira)}/disconnect"
        with made.store.engine.connect() as watcher:
            before = watcher.exec_driver_sql("PRAGMA data_version").scalar()
            for _ in range(3):
                assert client.post(path, data={"source": source}).status_code == 303
            assert watcher.exec_driver_sql("PRAGMA data_version").scalar() == before

    def test_an_export_is_made_once_at_a_time_for_each(
        self, server: WebServer, made: Instance, runner: Athlete
    ) -> None:
        """A client that doesn't read it waits alone: others get theirs, and finally it does."""
        path, nora = made.link("athlete", runner), made.link("athlete", made.add("Nora"))
        ask = "GET {}/easeback.zip HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        assert made.web.exporting.begin(runner.id)
        assert said(server, ask.format(path).encode())[0] == 429
        assert said(server, ask.format(nora).encode())[0] == 200
        made.web.exporting.end(runner.id)
        for _ in range(3):
            assert said(server, ask.format(path).encode())[0] == 200

    def test_an_export_that_fails_or_is_not_taken_keeps_nobody_waiting(
        self, server: WebServer, made: Instance, runner: Athlete
    ) -> None:
        """Neither an error nor a visitor who leaves blocks it forever."""
        path = f"{made.link('athlete', runner)}/easeback.json"
        with ExitStack() as stack:
            leaves = connected(server, stack)
            leaves.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            leaves.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            leaves.recv(1)
        wait_until(lambda: made.web.exporting.begin(runner.id))
        made.web.exporting.end(runner.id)
        with made.store.transaction() as tx:
            tx.connection.exec_driver_sql("ALTER TABLE checkin RENAME TO gone")
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        assert said(server, request.encode())[0] == 503
        assert made.web.exporting.begin(runner.id)
