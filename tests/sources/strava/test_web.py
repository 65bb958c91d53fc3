"""Strava's pages: the consent flow in one browser, and a webhook that answers at once."""

import html
import http.client
import json
import re
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient

from simulators.http_server import Server
from simulators.strava.browser import answer_consent
from tests.sources.strava.app import StravaApp, event, strava_app, subscribe
from worker.app import build_web_server
from worker.config import Settings
from worker.domain.models import Athlete
from worker.links import Signer
from worker.pipeline.credentials import disconnect_athlete
from worker.web.consent import COOKIE

ORIGIN = "http://127.0.0.1:8765"
JUNK = ["", "null", "[" * 9_000, '"x"', "{}", '{"owner_id": 1e999}', "\x00", '{"object_id": []}']


@pytest.fixture
def app(server: Server, tmp_path: Path) -> Iterator[StravaApp]:
    with strava_app(server, tmp_path) as made:
        yield made


@pytest.fixture
def browser(app: StravaApp) -> Iterator[TestClient]:
    yield from a_browser(app)


def a_browser(app: StravaApp, origin: str = ORIGIN) -> Iterator[TestClient]:
    served = build_web_server(settings_of(app), app.services, app.clock, base_url=origin).app
    with TestClient(
        served, base_url=origin, client=("127.0.0.1", 50_000), follow_redirects=False
    ) as browser:
        yield browser


def link(app: StravaApp, athlete: Athlete) -> str:
    signed = app.strava.signer.sign("connect", athlete, now=app.clock())
    return urlsplit(signed).path


def go(browser: TestClient, path: str) -> str:
    """Open the page that names the athlete; returns its address at Strava."""
    page = browser.get(path)
    assert page.status_code == 200
    (there,) = re.findall(r'href="([^"]+/oauth/authorize[^"]+)"', page.text)
    return html.unescape(there)


def come_back(browser: TestClient, back: dict[str, str]) -> Any:
    return browser.get("/strava/callback", params=back)


class TestTheWay:
    def test_leads_there_and_back(self, app: StravaApp, browser: TestClient) -> None:
        """One link, one consent, connected; the cookie is gone afterwards."""
        athlete, _ = app.add()
        there = go(browser, link(app, athlete))
        done = come_back(browser, answer_consent(there))
        assert done.status_code == 200
        assert "Strava is connected" in done.text
        assert COOKIE not in browser.cookies
        with app.services.store.reading() as tx:
            assert tx.source("strava").credential(athlete) is not None

    def test_says_whose_page_it_is_before_it_goes_there(
        self, app: StravaApp, browser: TestClient
    ) -> None:
        """Somebody who was sent another's link sees that; the next address needs the same
        browser.
        """
        athlete, _ = app.add()
        page = browser.get(link(app, athlete))
        assert (page.status_code, "location" in page.headers) == (200, False)
        assert f"Connect Strava for <bdi>{athlete.name}</bdi>" in page.text
        there = go(browser, link(app, athlete))
        browser.cookies.clear()
        browser.get(link(app, athlete))
        assert come_back(browser, answer_consent(there)).status_code == 400

    def test_the_operators_own_link_goes_there_at_once(
        self, app: StravaApp, browser: TestClient
    ) -> None:
        """`easeback connect Mira` already names the athlete."""
        athlete, _ = app.add()
        path = app.strava.signer.token("connect", athlete, now=app.clock(), by="operator")
        assert browser.get(f"/connect/{path}").status_code == 303

    def test_opening_the_link_changes_nothing(self, app: StravaApp, browser: TestClient) -> None:
        """A mail scanner follows links: nothing is stored for it."""
        athlete, _ = app.add()
        before = (app.folder / "easeback.db").stat().st_mtime_ns
        go(browser, link(app, athlete))
        assert (app.folder / "easeback.db").stat().st_mtime_ns == before

    def test_closing_the_links_ends_what_was_under_way(
        self, app: StravaApp, browser: TestClient
    ) -> None:
        """A flow begun with a link that was closed meanwhile connects nothing."""
        athlete, _ = app.add()
        back = answer_consent(go(browser, link(app, athlete)))
        with app.services.store.transaction() as tx:
            tx.athletes.close_links(athlete, now=app.clock())
        assert come_back(browser, back).status_code == 400
        with app.services.store.reading() as tx:
            assert tx.source("strava").credential(athlete) is None

    def test_another_browser_cannot_finish_it(self, app: StravaApp, browser: TestClient) -> None:
        """The state is worth nothing without the cookie."""
        athlete, _ = app.add()
        there = go(browser, link(app, athlete))
        back = answer_consent(there)
        browser.cookies.clear()
        refused = come_back(browser, back)
        assert refused.status_code == 400
        assert "another browser" in refused.text
        with app.services.store.reading() as tx:
            assert tx.source("strava").credential(athlete) is None

    def test_a_redirect_that_strava_refuses_is_said_here(self, app: StravaApp) -> None:
        """In our words, before the browser gets to Strava's."""
        athlete, _ = app.add()
        for browser in a_browser(app, "https://runner.example"):
            refused = browser.get(link(app, athlete))
            assert refused.status_code == 400
            assert "Authorization Callback Domain" in refused.text
            assert "to runner.example" in refused.text

    def test_an_application_that_is_full_is_said_here(self, app: StravaApp) -> None:
        """Before the browser gets to Strava's page, which is a dead end."""
        app.service.application = replace(app.service.application, is_full=True)
        athlete, _ = app.add()
        for browser in a_browser(app, "http://127.0.0.1:8765"):
            refused = browser.get(link(app, athlete))
            assert refused.status_code == 400
            assert "Limit of connected athletes exceeded" in refused.text

    def test_a_strava_that_cannot_be_asked_keeps_nobody_from_going(
        self, app: StravaApp, browser: TestClient
    ) -> None:
        """The runner's browser may get further than we do."""
        athlete, _ = app.add()
        app.server.fault("reset", "/oauth/authorize", times=2)
        assert go(browser, link(app, athlete)).startswith(app.server.base_url)

    def test_an_account_is_connected_for_one_athlete_alone(
        self, app: StravaApp, browser: TestClient
    ) -> None:
        """Another athlete may be logged in at Strava in a shared browser; the first's still
        works.
        """
        mira, account = app.connected("Mira")
        timo, _ = app.add("Timo")
        app.service.logged_in = account
        back = answer_consent(go(browser, link(app, timo)))
        refused = come_back(browser, back)
        assert refused.status_code == 400
        assert "is connected for another athlete already" in refused.text
        assert "log in at Strava as Timo" in refused.text
        assert "Mira" not in refused.text
        made = app.service.diary.add(account, app.clock() - timedelta(hours=1))
        app.turn()
        assert app.runs(mira).keys() == {str(made.id)}
        with app.services.store.reading() as tx:
            assert tx.source("strava").credential(timo) is None
        app.connect(mira, account)
        disconnect_athlete(app.services, "strava", mira, now=app.clock())
        app.connect(timo, account)

    def test_a_cancelled_consent_says_so(self, app: StravaApp, browser: TestClient) -> None:
        """And that nothing was changed."""
        athlete, _ = app.add()
        there = go(browser, link(app, athlete))
        refused = come_back(browser, answer_consent(there, button="cancel"))
        assert "nothing was changed" in refused.text

    def test_an_unticked_box_says_what_will_be_missing(
        self, app: StravaApp, browser: TestClient
    ) -> None:
        """In words, on the page."""
        athlete, _ = app.add()
        there = go(browser, link(app, athlete))
        back = answer_consent(there, untick=("activity:read_all",))
        assert "unticked" in come_back(browser, back).text

    def test_a_forged_link_opens_nothing(self, app: StravaApp, browser: TestClient) -> None:
        """Signed by another key or for another purpose."""
        athlete, _ = app.add()
        forged = Signer(["other"], ORIGIN).sign("connect", athlete, now=app.clock())
        other = app.strava.signer.sign("checkin", athlete, now=app.clock())
        for path in (urlsplit(forged).path, urlsplit(other).path.replace("checkin", "connect")):
            assert browser.get(path).status_code == 403

    def test_the_cookie_is_for_the_way_back_alone(
        self, app: StravaApp, browser: TestClient
    ) -> None:
        """Not accessible to scripts and other pages."""
        athlete, _ = app.add()
        cookie = browser.get(link(app, athlete)).headers["set-cookie"].lower()
        for said in ("httponly", "samesite=lax", "path=/strava/callback", "max-age=900"):
            assert said in cookie


class TestTheWebhook:
    def test_echoes_the_challenge_to_whoever_knows_the_token(
        self, app: StravaApp, browser: TestClient
    ) -> None:
        """Strava checks a subscription with it; other requests are refused."""
        asked = {"hub.mode": "subscribe", "hub.challenge": "15f7d1"}
        known = asked | {"hub.verify_token": app.strava.verify_token}
        forged = asked | {"hub.verify_token": "guess"}
        for path in (app.strava.webhook_path, "/strava/webhook"):
            assert browser.get(path, params=known).json() == {"hub.challenge": "15f7d1"}
            assert browser.get(path, params=forged).status_code == 403
        assert browser.get(f"{app.strava.webhook_path}x", params=known).status_code == 404

    def test_keeps_the_wish_and_lets_the_worker_act(
        self, app: StravaApp, browser: TestClient
    ) -> None:
        """The event is answered; the run comes with the next turn."""
        athlete, account = app.connected()
        app.turn()
        subscribe(app)
        made = app.service.diary.add(account, app.clock())
        told = event(app, account.id, made.id)
        assert browser.post(app.strava.webhook_path, json=told).status_code == 200
        assert app.runs(athlete) == {}
        app.turn()
        assert str(made.id) in app.runs(athlete)

    def test_what_waits_is_small_whatever_was_posted(self, app: StravaApp) -> None:
        """Events of 16 kB that decompress to ten times as much, while the store is busy."""
        served = build_web_server(settings_of(app), app.services, app.clock, port=0)
        served.start()
        junk = ",".join(["[]"] * 5_200)
        try:
            host = urlsplit(served.address)
            line = http.client.HTTPConnection(str(host.hostname), host.port, timeout=30)
            with app.services.store.transaction():
                tracemalloc.start()
                for number in range(60):
                    told = json.dumps(event(app, 1, number))[:-1]
                    line.request("POST", app.strava.webhook_path, f'{told}, "junk": [{junk}]}}')
                    assert line.getresponse().read() == b"{}"
                held_bytes, _ = tracemalloc.get_traced_memory()
                tracemalloc.stop()
            line.close()
        finally:
            served.stop()
        assert held_bytes < 2 * 2**20

    @pytest.mark.parametrize("body", JUNK)
    def test_answers_well_whatever_it_is_fed(
        self, app: StravaApp, browser: TestClient, body: str
    ) -> None:
        """No body causes an error."""
        subscribe(app)
        assert browser.post(app.strava.webhook_path, content=body.encode()).status_code == 200

    def test_answers_while_the_store_is_busy(self, app: StravaApp, server: Server) -> None:
        """The worker holds the write lock; the answer doesn't wait for it."""
        face = build_web_server(settings_of(app), app.services, app.clock, port=0)
        face.start()
        try:
            host = urlsplit(face.address)
            line = http.client.HTTPConnection(str(host.hostname), host.port, timeout=5)
            with app.services.store.transaction():
                # The lock is held until the answer is complete, or the connection times out.
                line.request("POST", app.strava.webhook_path, body=b"{}")
                answered = line.getresponse()
                answered.read()
            line.close()
        finally:
            face.stop()
        assert answered.status == 200


def settings_of(app: StravaApp) -> Settings:
    return Settings(data_dir=app.folder)
