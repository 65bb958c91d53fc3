"""Every route of the app, found in the app itself, so that no new one is forgotten."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from simulators.practice import add_therapist, practice_link
from simulators.web_instance import BASE_URL, Instance, instance
from worker.domain.models import Athlete
from worker.links import Signer
from worker.web import build_app
from worker.web.consent import COOKIE_OVER_TLS
from worker.web.rate_limiter import ClientRateLimiter
from worker.web.visits import LINK_LIVES

MUST_BE_THERE = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
POLICY = {"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"}
OPEN_TO_ALL = {"/", "/livez", "/readyz", "/icon.svg", "/strava/callback", "/strava/webhook"}
"""And the webhook's secret path, which differs in each instance."""
OPERATORS = {"/status", "/metrics", "/practice"}
UNCOUNTED = {("GET", "/livez"), ("GET", "/icon.svg")}
"""And POST requests to that path."""
PUBLIC = "https://easeback.example.org"


def face(made: Instance, *, burst: float = 1e6, **more: object) -> Starlette:
    """The web server as in a worker, with Strava's pages."""
    web = replace(made.web, **more)  # type: ignore[arg-type]  # fields of WebContext
    return build_app(web, rate_limiter=ClientRateLimiter(burst=burst, per_s=0.001))


def webhook_path(made: Instance) -> str:
    return made.web.services.sources["strava"].webhook_path


def stranger(app: Starlette, address: str = "203.0.113.9") -> TestClient:
    """A visitor from another machine."""
    return TestClient(
        app, base_url=BASE_URL, client=(address, 1), raise_server_exceptions=False,
        follow_redirects=False,
    )  # fmt: skip


def every_route(app: Starlette) -> list[tuple[str, str]]:
    """Method and path of each; the one that closes every link comes last."""
    found = [
        (method, route.path)
        for route in app.routes
        if isinstance(route, Route)
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]
    assert len(found) > 15
    return sorted(found, key=lambda one: one[1].endswith("/links"))


def filled(made: Instance, path: str, athlete: Athlete) -> str:
    """The path with a link's token that is valid for the page."""
    if "{token}" not in path:
        return path
    purpose = path.split("/")[1]
    link = made.link(purpose, athlete, kind="weekly")
    if purpose == "practice":
        with made.store.reading() as tx:
            known = tx.therapists.named("Dr. Vera Sand")
        link = practice_link(made, known or add_therapist(made))
        path = path.replace("{athlete}", athlete.link_id)
    return path.replace("{token}", link.rpartition("/")[2])


class TestHeaders:
    def test_every_route_dresses_every_answer(self, made: Instance, mira: Athlete) -> None:
        """Valid links, forged ones, wrong methods: all have the policy and the other headers."""
        app = face(made)
        client = stranger(app)
        for method, path in every_route(app):
            good = filled(made, path, mira)
            for asked in (good, good.replace("/", "/x", 1), f"{good}x"):
                for way in (method, "DELETE", "TRACE", "OPTIONS"):
                    answer = client.request(way, asked)
                    assert MUST_BE_THERE.items() <= dict(answer.headers).items(), (way, asked)
                    said = set(answer.headers["content-security-policy"].split("; "))
                    assert said >= POLICY, (way, asked)
                    assert not any("script" in one or "unsafe" in one or "*" in one for one in said)
                    assert "server" not in answer.headers
                    assert not [name for name in answer.headers if name.startswith("access-con")]

    def test_every_text_names_its_type_and_its_letters(self, made: Instance, mira: Athlete) -> None:
        """So that browsers don't guess."""
        app = face(made)
        for method, path in every_route(app):
            answer = stranger(app).request(method, filled(made, path, mira))
            kind = answer.headers.get("content-type", "")
            if answer.content:
                assert kind, path
            if kind.startswith("text/"):
                assert "charset=utf-8" in kind, path

    def test_only_the_methods_that_are_meant_are_answered(
        self, made: Instance, mira: Athlete
    ) -> None:
        """TRACE and all others get 405 and have no effect."""
        app = face(made)
        for method, path in every_route(app):
            for way in {"TRACE", "PUT", "DELETE", "PATCH", "OPTIONS"} - {method}:
                answer = stranger(app).request(way, filled(made, path, mira))
                assert answer.status_code == 405, (way, path)

    def test_other_sites_are_let_read_nothing(self, made: Instance, mira: Athlete) -> None:
        """There's no CORS for any origin."""
        app = face(made)
        for method, path in every_route(app):
            answer = stranger(app).request(
                method, filled(made, path, mira), headers={"Origin": "https://evil.example"}
            )
            assert "access-control-allow-origin" not in answer.headers

    def test_nobody_is_sent_to_another_site_but_strava(self, made: Instance, mira: Athlete) -> None:
        """Whatever host name or path is requested."""
        app = face(made)
        for method, path in every_route(app):
            asked = filled(made, path, mira)
            for tried in (asked, f"{asked}/", f"//evil.example{asked}", f"{asked}?next=//evil"):
                answer = stranger(app).request(method, tried)
                to = urlsplit(answer.headers.get("location", ""))
                assert to.hostname in (None, "127.0.0.1", "www.strava.com"), (path, to)


class TestCookies:
    def test_the_only_cookie_is_bound_to_this_host_over_tls(
        self, made: Instance, mira: Athlete
    ) -> None:
        """`__Host-`: secure, inaccessible to scripts and subdomains, valid for 15 minutes."""
        app = face(made, base_url=PUBLIC)
        set_by = {}
        for method, path in every_route(app):
            answer = stranger(app).request(method, filled(made, path, mira))
            # The callback deletes it.
            if "set-cookie" in answer.headers and path != "/strava/callback":
                set_by[path] = answer.headers["set-cookie"]
        [(path, cookie)] = set_by.items()
        assert path == "/connect/{token}"
        name, *attributes = cookie.lower().split("; ")
        assert name.startswith(COOKIE_OVER_TLS.lower())
        assert {"secure", "httponly", "samesite=lax", "path=/", "max-age=900"} == set(attributes)


class TestWhoMayOpenWhat:
    def test_a_stranger_opens_only_what_is_for_everybody(
        self, made: Instance, mira: Athlete
    ) -> None:
        """Every other route is refused without a link or a token, and reveals nothing."""
        app = face(made, token="a token of the operator")
        stills = {made.web.pages.stylesheet_path}
        for method, path in every_route(app):
            if path in OPEN_TO_ALL | stills | {webhook_path(made)}:
                continue
            answer = stranger(app).request(method, path.replace("{token}", "made-up"))
            assert answer.status_code == (401 if path in OPERATORS else 403), path
            assert "Mira" not in answer.text

    @pytest.mark.parametrize("purpose", LINK_LIVES)
    def test_a_link_changed_anywhere_opens_nothing(
        self, made: Instance, mira: Athlete, purpose: str
    ) -> None:
        """Each letter of it is signed."""
        client = stranger(face(made))
        link = made.link(purpose, mira, kind="weekly")
        begin = link.rindex("/") + 1
        # The last character of base64 has unused bits.
        for at in range(begin, len(link) - 1):
            other = "A" if link[at] != "A" else "B"
            answer = client.get(link[:at] + other + link[at + 1 :])
            assert answer.status_code == 403, at

    @pytest.mark.parametrize("purpose", LINK_LIVES)
    def test_a_link_of_one_who_was_forgotten_never_opens_the_next_ones_page(
        self, made: Instance, purpose: str
    ) -> None:
        """Their id isn't reused."""
        gone = made.add("Gone")
        link = made.link(purpose, gone, kind="weekly")
        with made.store.transaction() as tx:
            tx.athletes.remove(gone)
        made.add("Next")
        answer = stranger(face(made)).get(link)
        assert answer.status_code == 410
        assert "Next" not in answer.text

    def test_a_link_holds_ids_and_no_names(self, made: Instance, mira: Athlete) -> None:
        """Anybody who has it can decode it."""
        import base64

        for purpose in LINK_LIVES:
            payload = made.link(purpose, mira).rpartition("/")[2].partition(".")[0]
            text = base64.urlsafe_b64decode(payload + "===")
            assert b"Mira" not in text
            assert b"@" not in text


class TestLimits:
    def test_every_route_makes_those_wait_who_ask_too_often(
        self, made: Instance, mira: Athlete
    ) -> None:
        """Except for health, pictures and Strava's events, which can't be used for guessing."""
        app = face(made, burst=1)
        stills = {("GET", made.web.pages.stylesheet_path)}
        for number, (method, path) in enumerate(every_route(app)):
            client = stranger(app, f"203.0.113.{number}")
            client.request(method, filled(made, path, mira))
            again = client.request(method, filled(made, path, mira))
            uncounted = (method, path) in UNCOUNTED | stills | {("POST", webhook_path(made))}
            assert (again.status_code == 429) is not uncounted, (method, path)
            assert ("retry-after" in again.headers) is not uncounted

    def test_guessing_the_webhooks_token_ends_soon(self, made: Instance) -> None:
        """Though its events aren't counted."""
        client = stranger(face(made, burst=30))
        asked = {"hub.verify_token": "guess", "hub.challenge": "x"}
        codes = [client.get("/strava/webhook", params=asked).status_code for _ in range(10)]
        assert codes[0] == 403
        assert codes[-1] == 429

    def test_guessing_the_webhooks_path_ends_soon(self, made: Instance) -> None:
        """Only POST requests to the right path aren't counted."""
        client = stranger(face(made, burst=30))
        path = webhook_path(made)
        codes = [client.post(f"{path[:-4]}{n:04}", json={}).status_code for n in range(10)]
        assert codes[0] == 404
        assert codes[-1] == 429
        client = stranger(face(made, burst=30))
        assert [client.post(path, json={}).status_code for _ in range(200)] == [200] * 200

    def test_who_is_refused_is_logged_by_address_and_not_by_link(
        self, made: Instance, mira: Athlete, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One line each; an invalid address can't write a line of its own."""
        caplog.set_level(logging.DEBUG, logger="worker.web")
        client = stranger(face(made, token="a token of the operator"))
        link = made.link("athlete", mira)
        client.get(f"{link}x")
        client.get("/status", headers={"Authorization": "Bearer wrong"})
        client.get("/checkin%0aFORGED LINE/x")
        said = [record.getMessage() for record in caplog.records]
        assert said[:2] == [
            "web: 403 to 203.0.113.9, at /athlete",
            "web: 401 to 203.0.113.9, at /status",
        ]
        assert not any("\n" in line or link.rpartition("/")[2] in line for line in said)


class TestKeys:
    @pytest.fixture
    def old(self, tmp_path: Path) -> Iterator[Instance]:
        made = instance(tmp_path)
        yield made
        made.store.close()

    def test_old_links_open_and_new_ones_are_signed_by_the_new_key(self, old: Instance) -> None:
        """Until the old key is removed, which closes them."""
        mira = old.add()
        before = old.link("athlete", mira)
        both = Signer(["a new key", "a made key"], BASE_URL)
        client = stranger(face(old, signer=both))
        assert client.get(before).status_code == 200
        fresh = urlsplit(both.sign("athlete", mira, now=old.clock.now)).path
        only_new = stranger(face(old, signer=Signer(["a new key"], BASE_URL)))
        assert only_new.get(fresh).status_code == 200
        assert only_new.get(before).status_code == 403


def test_a_link_without_an_age_opens_only_what_never_runs_out(
    made: Instance, mira: Athlete
) -> None:
    """An unsubscribe link can't become a permanent link to another page."""
    client = stranger(face(made))
    for purpose in LINK_LIVES.keys() - {"unsubscribe"}:
        ageless = urlsplit(made.signer.sign(purpose, mira)).path
        assert client.get(ageless).status_code == 410, purpose
    made.clock.now += timedelta(days=3650)
    assert client.get(made.link("unsubscribe", mira, kind="weekly")).status_code == 200


def test_an_answer_for_tomorrow_cannot_be_given(made: Instance, mira: Athlete) -> None:
    """The day of a check-in is set by us, not by the form."""
    client = stranger(face(made))
    client.post(made.link("checkin", mira), data={"feels": "fine", "day": "2030-01-01", "id": "7"})
    [kept] = made.diary(mira)
    assert kept.day == date(2026, 2, 21)
