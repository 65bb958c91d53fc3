"""A therapist with thirty athletes in a real browser: from the link to the copy."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from email import message_from_bytes, policy
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from simulators.mail_lint import lint
from simulators.practice import add_therapist, add_thirty, practice_link
from simulators.web_instance import NOW, TODAY, Instance, instance
from tests.web import browsing
from worker.domain.models import Athlete, Recording
from worker.notify.render import SHIPPED_LANGUAGES
from worker.pipeline.ingest import ingest
from worker.web import WebServer, build_app

TABLET: Any = {"width": 768, "height": 1024}
PHONE: Any = {"width": 360, "height": 740}
WIDTHS = (320, 360, 768, 1280)


@dataclass
class Practice:
    """A running practice, and a browser to visit it with."""

    made: Instance
    server: WebServer
    browser: Browser

    def open(self, path: str, viewport: Any = TABLET, *, javascript: bool = False) -> Page:
        """A page in its own window; a request to any other host is a failure."""
        context = self.browser.new_context(viewport=viewport, java_script_enabled=javascript)
        context.set_default_timeout(15_000)
        context.route("**/*", self._only_here)
        page = context.new_page()
        page.goto(self.server.address + path)
        return page

    def _only_here(self, route: Route) -> None:
        assert route.request.url.startswith(self.server.address), route.request.url
        route.continue_()


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    """The pages of a practice that gets copies, served."""
    made = instance(tmp_path_factory.mktemp("practice"))
    services = replace(made.web.services, copies_alerts=True)
    signer = services.composer.signer
    assert signer is not None
    made.signer = signer  # the mails' links lead here
    made.web = replace(made.web, services=services, signer=signer)
    server = WebServer(build_app(made.web), host="127.0.0.1", port=0)
    with browsing.chromium() as browser:
        server.start()
        yield Practice(made, server, browser)
        server.stop()
    made.store.close()


@pytest.fixture(scope="module")
def thirty(practice: Practice) -> Mapping[str, Athlete]:
    return add_thirty(practice.made)


@pytest.fixture(scope="module")
def axe() -> str:
    return browsing.axe_source()


def names(page: Page) -> list[str]:
    return page.locator(".roster h3").all_inner_texts()


def jump(site: Practice, athlete: Athlete) -> None:
    """A run arrives that stands out and may be mailed about."""
    run = Recording("inbox", "jump", NOW, TODAY, 16_000.0, 5_600.0, 5_700.0)
    with site.made.store.transaction() as tx:
        found = tx.athletes.by_id(athlete.id)
        assert found is not None
        ingest(tx, site.made.web.services, found, [run], now=NOW)


def queued(site: Practice, athlete: Athlete) -> list[str]:
    """The recipients of queued mails about an athlete."""
    with site.made.store.reading() as tx:
        return [one.recipient for one in tx.outbox.unsent() if one.athlete_id == athlete.id]


def test_a_therapists_morning(practice: Practice, thirty: Mapping[str, Athlete]) -> None:
    """The worst off, one of them in detail, a pause, a new patient, and a copy after consent.

    On a tablet, without JavaScript, with nothing from other hosts.
    """
    site, made = practice, practice.made
    vera = add_therapist(made)
    page = site.open(practice_link(made, vera))

    # Everybody on one screen, the worst first.
    assert len(names(page)) == 30
    assert names(page)[:2] == ["Anna Berger", "Bruno Keller"]
    page.get_by_role("navigation", name="What to look at").get_by_text("Red flag").click()
    assert names(page) == ["Anna Berger", "Bruno Keller"]

    # One of them in detail, and back.
    page.get_by_role("link", name="Anna Berger").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Anna Berger")
    expect(page.get_by_text("No run is planned while this stands.")).to_be_visible()
    page.get_by_role("link", name="All athletes").click()

    # Search for somebody and pause their mail.
    page.get_by_role("textbox", name="Name").first.fill("nils")
    page.get_by_role("button", name="Search").click()
    assert names(page) == ["Nils Hansen"]
    page.get_by_role("link", name="Nils Hansen").click()
    page.get_by_role("button", name="Pause the mail").click()
    expect(page.get_by_role("status")).to_have_text("Saved.")
    jump(site, thirty["Nils"])
    assert queued(site, thirty["Nils"]) == []
    page.get_by_role("button", name="Let mail go out again").click()
    page.get_by_role("link", name="All athletes").click()

    # Add and invite a new patient.
    page.get_by_text("Add an athlete").click()
    page.get_by_role("textbox", name="Name").last.fill("Pia Lund")
    page.get_by_role("textbox", name="Mail address").fill("pia@example.org")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("status")).to_contain_text("The invitation is on its way.")
    with made.store.reading() as tx:
        pia = tx.athletes.named("Pia Lund")
    assert pia is not None
    assert queued(site, pia) == ["pia@example.org"]

    # A patient agrees to copies on their own page; the next warning is copied.
    paul = thirty["Paul"]
    theirs = site.open(made.link("athlete", paul))
    theirs.get_by_role("button", name="I agree to copies").click()
    expect(theirs.get_by_text("You agreed to copies of your warnings")).to_be_visible()
    jump(site, paul)
    assert sorted(queued(site, paul)) == ["paul@example.org", vera.email]

    # The copy's link opens the patient's page, on which the therapist ends copies.
    with made.store.reading() as tx:
        (copy,) = [one for one in tx.outbox.unsent() if one.recipient == vera.email]
    lint(copy.mime)
    part = message_from_bytes(copy.mime, policy=policy.default).get_body(("plain",))
    assert part is not None
    (address,) = [word for word in part.get_content().split() if "/practice/" in word]
    page = site.open("/practice/" + address.partition("/practice/")[2])
    expect(page.get_by_role("heading", level=1)).to_have_text("Paul Schneider")
    page.get_by_role("button", name="No more copies").click()
    expect(page.get_by_text("The practice has turned them off.")).to_be_visible()
    assert queued(site, paul) == ["paul@example.org"]


@pytest.fixture(scope="module")
def tab(practice: Practice) -> Page:
    return practice.open("/livez", javascript=True)


def pages_of(practice: Practice, thirty: Mapping[str, Athlete], language: str) -> dict[str, str]:
    """The path of each page in a language."""
    vera = add_therapist(practice.made, f"Dr. {language}", language=language)
    link = practice_link(practice.made, vera)
    return {
        "everybody": link,
        "nobody found": f"{link}?name=nobody",
        **{
            first: f"{link}/athletes/{thirty[first].link_id}" for first in ("Anna", "Elena", "Ines")
        },
        "not there": f"{link}/athletes/nobody",
    }


@pytest.mark.parametrize("language", SHIPPED_LANGUAGES)
def test_axe_finds_nothing_wrong_and_nothing_sticks_out(
    practice: Practice, thirty: Mapping[str, Athlete], tab: Page, axe: str, language: str
) -> None:
    """Each page in light and dark, from 320 pixels to a desktop; also a rejected form."""
    with practice.made.store.transaction() as tx:
        tx.therapists.save_consent(thirty["Elena"], agreed_at=NOW)
    paths = pages_of(practice, thirty, language)
    for name, path in paths.items():
        tab.goto(practice.server.address + path)
        check(tab, axe, name)
    tab.goto(practice.server.address + paths["everybody"])
    tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    tab.locator("#new-name").fill("a/b")
    tab.locator("#new-email").fill("a@b")
    with tab.expect_navigation():
        tab.locator("form[method=post] button").click()
    expect(tab.get_by_role("alert")).to_be_visible()
    check(tab, axe, "wrong form")


def check(tab: Page, axe: str, name: str) -> None:
    assert browsing.violations_in_each_scheme(tab, axe) == [], name
    for width in WIDTHS:
        tab.set_viewport_size({"width": width, "height": 740})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, (name, width)


def test_everything_to_tap_is_large_enough(
    practice: Practice, thirty: Mapping[str, Athlete]
) -> None:
    """44 pixels for buttons and filters, on a phone."""
    page = practice.open(pages_of(practice, thirty, "")["everybody"], PHONE)
    for target in page.locator("button:visible, .chips a").all():
        box = target.bounding_box()
        assert box is not None
        assert box["height"] >= 44
