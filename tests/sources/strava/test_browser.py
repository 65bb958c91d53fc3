"""From the link to the first warning, with a real browser on the simulated consent page."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from simulators.http_server import Server
from simulators.strava.accounts import Account
from tests.sources.strava.app import StravaApp, strava_app
from tests.web import browsing
from worker.app import build_web_server
from worker.config import Settings
from worker.domain.models import Athlete
from worker.keys import read_keys
from worker.links import Signer

DAY = timedelta(days=1)


@dataclass
class Site:
    """The application with its web server running, and a browser."""

    app: StravaApp
    origin: str
    signer: Signer
    browser: Browser

    def open_link(self, athlete: Athlete) -> Page:
        """The athlete's link, as from a mail, in a fresh window."""
        context = self.browser.new_context()
        context.set_default_timeout(15_000)
        page = context.new_page()
        page.goto(self.signer.sign("connect", athlete, now=self.app.clock()))
        page.get_by_role("link", name="That’s me: go on to Strava").click()
        return page


@pytest.fixture
def site(server: Server, tmp_path: Path) -> Iterator[Site]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    origin = f"http://127.0.0.1:{port}"
    settings = Settings(data_dir=tmp_path)
    with strava_app(server, tmp_path) as app, browsing.chromium() as browser:
        face = build_web_server(settings, app.services, app.clock, base_url=origin, port=port)
        face.start()
        yield Site(app, origin, Signer(read_keys(settings), origin), browser)
        face.stop()


def a_season(app: StravaApp, account: Account) -> None:
    """Seventy easy runs up to yesterday."""
    for number in range(1, 71):
        app.service.diary.add(account, app.clock() - number * 5 * DAY, 8_000)


def test_connects_in_a_browser_and_is_warned(site: Site) -> None:
    """Link, consent, confirmation; the past without mails; then one long run and one mail."""
    athlete, account = site.app.add()
    a_season(site.app, account)
    page = site.open_link(athlete)
    page.get_by_role("button", name="Authorize").click()
    expect(page.get_by_role("heading", name="Strava is connected")).to_be_visible()
    site.app.turn()
    assert len(site.app.runs(athlete)) == 70
    assert site.app.mails("alert") == []
    site.app.service.diary.add(account, site.app.service.clock.step(DAY), 16_000)
    site.app.turn()
    assert len(site.app.mails("alert")) == 1


def test_an_unticked_box_is_explained_where_it_was_unticked(site: Site) -> None:
    """The page says what's missing; the same link can be used again."""
    athlete, account = site.app.add()
    site.app.service.logged_in = account
    page = site.open_link(athlete)
    page.get_by_role("checkbox").first.uncheck()
    page.get_by_role("button", name="Authorize").click()
    expect(page.get_by_role("heading", name="isn’t connected")).to_be_visible()
    expect(page.get_by_text("was unticked")).to_be_visible()


def test_a_cancelled_consent_is_said_in_the_browser(site: Site) -> None:
    """And that nothing was changed."""
    athlete, _ = site.app.add()
    page = site.open_link(athlete)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("nothing was changed")).to_be_visible()
    with site.app.services.store.reading() as tx:
        assert tx.source("strava").credential(athlete) is None
