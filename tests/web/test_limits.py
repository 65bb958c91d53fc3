"""Limits: headers on answers, bounds on requests, links that open nothing."""

import asyncio
import json
import logging
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from typing import NoReturn

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient
from starlette.types import Message

from simulators.web_instance import BASE_URL, Clock, Instance
from worker.domain.models import Athlete
from worker.links import Signer
from worker.setting_types import LOOPBACK
from worker.store import tables
from worker.web import build_app
from worker.web.forms import LONGEST_BODY
from worker.web.limits import client_of
from worker.web.rate_limiter import ClientRateLimiter
from worker.web.visits import Visit

SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "x-robots-tag": "noindex, nofollow",
}


def every_get(made: Instance, athlete: Athlete) -> list[str]:
    """The path of every page."""
    page = made.link("athlete", athlete)
    return [
        page,
        f"{page}/routine",
        f"{page}/easeback.json",
        f"{page}/easeback.zip",
        made.link("checkin", athlete, feels="fine"),
        made.link("unsubscribe", athlete, kind="weekly"),
        "/status",
        "/metrics",
        "/livez",
        "/icon.svg",
        made.web.pages.stylesheet_path,
        "/",
        "/nowhere",
    ]


def dump(made: Instance) -> str:
    """The whole content of the store."""
    with made.store.reading() as tx:
        return json.dumps(
            {
                table.name: [tuple(row) for row in tx.connection.execute(select(table))]
                for table in tables.metadata.sorted_tables
            },
            default=str,
        )


class TestHeaders:
    def test_every_answer_is_dressed(
        self, made: Instance, runner: Athlete, client: TestClient
    ) -> None:
        """Pages, downloads, pictures and refusals alike."""
        for path in every_get(made, runner):
            headers = client.get(path).headers
            assert SECURITY.items() <= dict(headers).items(), path
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "script-src" not in policy
            assert "unsafe" not in policy
            assert "set-cookie" not in headers

    def test_personal_pages_are_kept_by_nobody(
        self, made: Instance, runner: Athlete, client: TestClient
    ) -> None:
        """Only content that's the same for everybody may be cached."""
        stills = ("/icon.svg", made.web.pages.stylesheet_path)
        for path in every_get(made, runner):
            kept = client.get(path).headers["cache-control"] != "no-store"
            assert kept is (path in stills), path

    def test_pages_bring_nothing_that_the_policy_forbids(
        self, made: Instance, runner: Athlete, client: TestClient
    ) -> None:
        """No script, no style in an attribute, nothing from another site."""
        for path in every_get(made, runner):
            answer = client.get(path)
            if "html" in answer.headers.get("content-type", ""):
                assert "<script" not in answer.text
                assert " style=" not in answer.text
                said = answer.text.replace("http://www.w3.org/2000/svg", "")
                # For the athlete's calendar and apps; the page itself loads nothing from these
                # links.
                said = re.sub(r'(href="webcal|value="https?)://[^"]*/(calendar|athlete)/', "", said)
                assert "//" not in said

    def test_https_is_insisted_on_where_it_is_spoken(self, made: Instance) -> None:
        """On plain HTTP the header would lock a runner out of a local instance."""
        name = "strict-transport-security"
        assert name not in made.client().get("/livez").headers
        secure = made.client(base_url="https://easeback.example.org")
        assert secure.get("/livez").headers[name] == "max-age=31536000"


def test_no_get_and_no_head_changes_anything(
    made: Instance, runner: Athlete, client: TestClient
) -> None:
    """Whatever a scanner, a prefetch or a preview opens, however often."""
    before = dump(made)
    for path in [*every_get(made, runner), *every_get(made, runner)]:
        client.get(path)
        client.head(path)
    assert dump(made) == before


class TestLinks:
    @pytest.fixture(params=["athlete", "checkin", "unsubscribe"])
    def purpose(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_a_forged_link_opens_nothing(
        self, made: Instance, mira: Athlete, client: TestClient, purpose: str
    ) -> None:
        """Truncated, changed, made up, signed by another key or for another purpose: a
        plain 403.
        """
        link = made.link(purpose, mira, kind="weekly")
        stranger = Signer(["another key"], BASE_URL)
        signed = stranger.sign(purpose, mira, now=made.clock.now)
        other = "checkin" if purpose != "checkin" else "athlete"
        borrowed = made.link(other, mira).replace(other, purpose)
        for path in (
            link[:-1],
            link[:-9] + ("A" if link[-9] != "A" else "B") + link[-8:],
            f"/{purpose}/" + "x" * 3000,
            f"/{purpose}/%00%0d%0aSet-Cookie:x",
            signed.removeprefix(BASE_URL),
            borrowed,
        ):
            for ask in (client.get, client.post):
                answer = ask(path)
                assert answer.status_code in (403, 405), path
                assert mira.name not in answer.text
        assert made.diary(mira) == ()
        assert made.athlete(mira).wants == mira.wants

    def test_a_link_to_a_kind_of_mail_that_is_none_opens_nothing(
        self, made: Instance, mira: Athlete, client: TestClient
    ) -> None:
        """A valid signature doesn't help."""
        assert client.get(made.link("unsubscribe", mira, kind="spam")).status_code == 403

    @pytest.mark.parametrize(("purpose", "days"), [("athlete", 60), ("checkin", 30)])
    def test_a_link_runs_out(
        self, made: Instance, mira: Athlete, client: TestClient, purpose: str, days: int
    ) -> None:
        """With its own message and status 410, only after its last day."""
        link = made.link(purpose, mira)
        made.clock.now += timedelta(days=days)
        assert client.get(link).status_code == 200
        made.clock.now += timedelta(seconds=1)
        answer = client.get(link)
        assert answer.status_code == 410
        assert "This link has run out" in answer.text


class TestBounds:
    def test_a_long_body_is_refused_before_it_is_read(
        self, made: Instance, mira: Athlete, client: TestClient
    ) -> None:
        """By its stated length, and by the bytes received."""
        link = made.link("checkin", mira)
        long = b"feels=fine&" + b"x" * LONGEST_BODY
        assert client.post(link, content=long).status_code == 413

        def pieces() -> Iterator[bytes]:
            yield b"feels=fine&"
            yield b"x" * LONGEST_BODY

        assert client.post(link, content=pieces()).status_code == 413
        assert made.diary(mira) == ()

    def test_half_a_form_is_not_acted_on(self, made: Instance, mira: Athlete) -> None:
        """A disconnect in the middle submits nothing."""
        heard: list[Message] = [
            {"type": "http.disconnect"},
            {"type": "http.request", "body": b"feels=hurts&", "more_body": True},
        ]
        said: list[Message] = []

        async def receive() -> Message:
            return heard.pop()

        async def send(message: Message) -> None:
            said.append(message)

        path = made.link("checkin", mira)
        scope = {
            "type": "http", "method": "POST", "path": path, "raw_path": path.encode(),
            "query_string": b"", "client": ("127.0.0.1", 1), "http_version": "1.1",
            "headers": [(b"content-type", b"application/x-www-form-urlencoded")],
        }  # fmt: skip
        asyncio.run(build_app(made.web)(scope, receive, send))
        assert said[0]["status"] == 400
        assert made.diary(mira) == ()

    def test_a_wrong_method_is_refused(
        self, made: Instance, mira: Athlete, client: TestClient
    ) -> None:
        """With a plain page."""
        answer = client.delete(made.link("checkin", mira))
        assert answer.status_code == 405
        assert "<h1>" in answer.text

    def test_who_asks_too_often_waits(self, made: Instance, mira: Athlete) -> None:
        """Later requests are answered again; health checks are never refused."""
        client = made.client(burst=3)
        link = made.link("checkin", mira)
        assert [client.get(link).status_code for _ in range(4)] == [200, 200, 200, 429]
        refused = client.get(link)
        assert refused.headers["retry-after"] == "2"
        assert client.get("/livez").status_code == 200
        made.clock.now += timedelta(seconds=2)
        assert client.get(link).status_code == 200

    def test_guessing_is_dearer_than_asking(self, made: Instance, mira: Athlete) -> None:
        """Five visits to invalid links cost as much as thirty to the front page."""
        client = made.client(burst=30)
        assert [client.get("/athlete/guess").status_code for _ in range(6)] == [403] * 5 + [429]
        assert client.get("/").status_code == 429

    def test_a_sound_link_is_not_charged_for_wrong_ones_of_the_same_address(
        self, made: Instance, mira: Athlete
    ) -> None:
        """As behind a proxy that isn't configured; its own flood is still charged."""
        client = made.client(burst=30)
        for _ in range(40):
            client.get("/athlete/guess")
        unsubscribe = made.link("unsubscribe", mira, kind="weekly")
        assert client.get(made.link("athlete", mira)).status_code == 200
        assert client.post(unsubscribe, data={"List-Unsubscribe": "One-Click"}).status_code == 200
        asked = [client.get(made.link("athlete", mira)).status_code for _ in range(40)]
        assert asked == [200] * 28 + [429] * 12
        assert client.get(made.link("athlete", made.add("Nora"))).status_code == 200

    def test_a_database_that_cannot_be_reached_is_said_in_words(
        self, made: Instance, mira: Athlete, client: TestClient
    ) -> None:
        """503, to be tried again; not a traceback."""
        link = made.link("checkin", mira)
        with made.store.transaction() as tx:
            tx.connection.exec_driver_sql("DROP TABLE checkin")
        answer = client.post(link, data={"feels": "fine"})
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
        assert "checkin" not in answer.text.replace(link, "")

    def test_a_surprise_is_a_plain_page_and_a_line_in_the_log(
        self, made: Instance, mira: Athlete, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The page reveals nothing internal; the log has everything except the link."""

        class Broken(Signer):
            def check(self, *_: object, **__: object) -> NoReturn:
                raise RuntimeError("a secret of the inside")

        link = made.link("athlete", mira)
        answer = made.client(signer=Broken(["a key"], BASE_URL)).get(link)
        assert answer.status_code == 500
        assert "a secret" not in answer.text
        assert SECURITY.items() <= dict(answer.headers).items()
        assert "a secret of the inside" in caplog.text
        assert link.rpartition("/")[2] not in caplog.text

    def test_links_stay_out_of_the_log(
        self, made: Instance, runner: Athlete, client: TestClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Reading the log must not give access to an athlete's page."""
        caplog.set_level(logging.DEBUG, logger="worker")
        links = [made.link("checkin", runner), made.link("unsubscribe", runner, kind="alert")]
        client.post(links[0], data={"feels": "fine"})
        client.post(links[1])
        assert "check-in of athlete" in caplog.text
        assert not any(link.rpartition("/")[2] in caplog.text for link in links)


class TestClients:
    @staticmethod
    def scope(peer: str, told: str = "") -> dict[str, object]:
        headers = [(b"x-forwarded-for", line.encode()) for line in told.splitlines()]
        return {"type": "http", "client": (peer, 1), "headers": headers}

    @pytest.mark.parametrize(
        ("peer", "told", "client"),
        [
            ("203.0.113.9", "", "203.0.113.9"),
            ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
            ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
            ("127.0.0.1", "8.8.8.8, 198.51.100.1", "198.51.100.1"),
            ("127.0.0.1", "nonsense", "127.0.0.1"),
            ("127.0.0.1", "8.8.8.8, 198.51.100.1, 10.1.2.3", "198.51.100.1"),
            ("10.9.9.9", "8.8.8.8\n198.51.100.1", "198.51.100.1"),
            ("::ffff:127.0.0.1", "198.51.100.1", "198.51.100.1"),
            ("10.9.9.9", "10.1.1.1", "10.1.1.1"),
            ("2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),
        ],
    )
    def test_a_client_is_who_a_trusted_proxy_says(self, peer: str, told: str, client: str) -> None:
        """Nobody else's header is accepted."""
        proxies = (*LOOPBACK, ip_network("10.0.0.0/8"))
        assert client_of(self.scope(peer, told), proxies=proxies) == client

    def test_visits_at_the_same_time_share_one_limit(self) -> None:
        """Threads that change places at every step don't give each other more."""
        clock, rate_limiter = Clock(), ClientRateLimiter(burst=1, per_s=0.001)
        waits: list[int] = []
        together = threading.Barrier(6)

        def visit() -> None:
            together.wait()
            waits.extend(rate_limiter.wait_s("one", clock.now) for _ in range(20_000))

        visitors = [threading.Thread(target=visit) for _ in range(together.parties)]
        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            for visitor in visitors:
                visitor.start()
            for visitor in visitors:
                visitor.join()
        finally:
            sys.setswitchinterval(before)
        assert waits.count(0) == 1

    def test_the_rate_limiter_forgets_the_longest_unseen(self) -> None:
        """For any number of clients its memory is bounded."""
        clock, rate_limiter = Clock(), ClientRateLimiter(burst=1, per_s=0.001, most=2)
        assert rate_limiter.wait_s("first", clock.now) == 0
        assert rate_limiter.wait_s("first", clock.now) > 0
        for other in ("second", "third"):
            rate_limiter.wait_s(other, clock.now)
        assert rate_limiter.wait_s("first", clock.now) == 0

    def test_a_clock_that_goes_back_locks_nobody_out(self) -> None:
        """A step backwards counts as no time passed."""
        clock, rate_limiter = Clock(), ClientRateLimiter(burst=2, per_s=1)
        rate_limiter.wait_s("one", clock.now)
        assert rate_limiter.wait_s("one", clock.now - timedelta(days=1)) == 0


def test_a_visit_knows_its_desk_and_nothing_of_cookies(made: Instance) -> None:
    """The context's repr contains no secrets."""
    web = replace(made.web, token="planted secret")
    assert "planted secret" not in repr(web)
    assert not hasattr(Visit, "cookies")
