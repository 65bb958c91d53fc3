"""The pages in a real browser: without JavaScript, by keyboard, on a phone, checked by axe-core."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from simulators.web_instance import TODAY, Instance, instance, run_winter
from tests.web import browsing
from tests.web.browsing import PHONE
from worker.domain.checkins import CheckIn
from worker.domain.models import PAIN_AREAS, Athlete, Race
from worker.web import WebServer, build_app

DESK: Any = {"width": 1280, "height": 900}


@dataclass
class Site:
    """A running instance, and a browser window to visit it with, without JavaScript."""

    made: Instance
    server: WebServer
    window: Page

    def open(self, path: str, viewport: Any = PHONE) -> Page:
        """Open a page in a fresh window."""
        self.window.context.clear_cookies()
        self.window.set_viewport_size(viewport)
        self.window.goto(self.server.address + path)
        return self.window


def window_at(browser: Browser, address: str, *, javascript: bool) -> Page:
    """A new window; a request to any other host is a failure."""

    def only_there(route: Route) -> None:
        assert route.request.url.startswith(address), route.request.url
        route.continue_()

    context = browser.new_context(viewport=PHONE, java_script_enabled=javascript)
    context.set_default_timeout(15_000)
    context.route("**/*", only_there)
    return context.new_page()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing.chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = instance(tmp_path_factory.mktemp("site"))
    server = WebServer(build_app(made.web), host="127.0.0.1", port=0)
    server.start()
    yield Site(made, server, window_at(browser, server.address, javascript=False))
    server.stop()
    made.store.close()


@pytest.fixture(scope="module")
def axe() -> str:
    return browsing.axe_source()


def new_athlete(site: Site, name: str) -> Athlete:
    return site.made.add(name, pain=("buttock",))


def test_a_check_in_takes_one_tap_on_the_page(site: Site) -> None:
    """The answer is chosen, the button is on the first screen, and the page confirms the answer."""
    athlete = new_athlete(site, "One tap")
    page = site.open(site.made.link("checkin", athlete, feels="sore"))
    assert page.get_by_label("A bit sore").is_checked()
    button = page.get_by_role("button", name="Save my answer")
    box = button.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= PHONE["height"]
    button.click()
    assert page.get_by_role("heading", level=1).inner_text() == "Saved. Keep it easy"
    assert site.made.diary(athlete) == (CheckIn(TODAY, "sore", ("buttock",)),)


def test_a_check_in_can_be_done_by_keyboard(site: Site) -> None:
    """From the skip link to the saved answer, with visible focus at every step."""
    athlete = new_athlete(site, "By keyboard")
    page = site.open(site.made.link("checkin", athlete), viewport=DESK)
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.get_by_label("It hurts").is_checked()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")  # unticks the buttock
    page.get_by_label("How strong").focus()
    page.keyboard.type("5")
    page.get_by_label("Fever").focus()
    page.keyboard.press("Space")
    for _ in range(4):
        page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Save my answer"
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Please see a clinician before you run again").wait_for()
    assert site.made.diary(athlete) == (CheckIn(TODAY, "hurts", (), 5, ("fever",)),)


def test_focus_is_never_hidden_behind_the_button(site: Site) -> None:
    """The sticky bar at the bottom doesn't cover the focused element."""
    page = site.open(site.made.link("checkin", new_athlete(site, "Focus")))
    button = page.get_by_role("button", name="Save my answer")
    for box in page.locator("input[type=checkbox]").all():
        box.focus()
        here, bar = box.bounding_box(), button.bounding_box()
        assert here is not None
        assert bar is not None
        assert here["y"] + here["height"] <= bar["y"]


def test_unsubscribing_and_back(site: Site) -> None:
    """Two taps, each with a page that shows the current state."""
    athlete = new_athlete(site, "Enough mail")
    page = site.open(site.made.link("unsubscribe", athlete, kind="weekly"))
    page.get_by_role("button", name="Stop the weekly mail").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Stopped"
    assert "weekly" not in site.made.athlete(athlete).wants
    page.get_by_role("button", name="That was a mistake").click()
    page.get_by_role("heading", name="You’ll get the weekly mail again").wait_for()
    assert site.made.athlete(athlete).wants == athlete.wants


def test_opening_reloading_and_going_back_change_nothing(site: Site) -> None:
    """Browsers do all of that unasked."""
    athlete = new_athlete(site, "Looks only")
    page = site.open(site.made.link("checkin", athlete, feels="hurts"))
    page.reload()
    page.goto(site.server.address + site.made.link("unsubscribe", athlete, kind="alert"))
    page.go_back()
    assert site.made.diary(athlete) == ()
    assert site.made.athlete(athlete) == athlete


@pytest.mark.parametrize("purpose", ["checkin", "unsubscribe", "athlete"])
def test_a_forged_link_is_a_plain_page(site: Site, purpose: str) -> None:
    """Readable, and without a form."""
    page = site.open(f"/{purpose}/forged")
    assert page.get_by_role("heading", level=1).inner_text() == "This link opens nothing"
    assert page.locator("form").count() == 0


def test_settings_can_be_changed(site: Site) -> None:
    """The reloaded page shows them."""
    athlete = new_athlete(site, "Settings")
    page = site.open(site.made.link("athlete", athlete))
    page.get_by_label("A warning when a run or a week is suddenly longer").uncheck()
    page.get_by_label("Distances in").select_option("miles")
    page.get_by_role("button", name="Save the settings").click()
    page.get_by_role("status").wait_for()
    kept = site.made.athlete(athlete)
    assert "alert" not in kept.wants
    assert kept.units == "mi"


def test_what_a_form_could_not_use_is_said_in_view(site: Site) -> None:
    """The reason has the focus, wherever its form is on the page."""
    page = site.open(site.made.link("athlete", new_athlete(site, "No zone")))
    page.get_by_label("Your time zone").fill("Berlin")
    page.get_by_role("button", name="Save the settings").click()
    reason = page.get_by_role("alert")
    expect(reason).to_be_focused()
    expect(reason).to_be_in_viewport()


def test_a_printed_page_has_the_plan_and_nothing_to_tap(site: Site) -> None:
    """The weeks up to the race are printed though they're collapsed on the screen."""
    athlete = site.made.add("On paper", race=Race("Half", TODAY + timedelta(days=78), 21_097.5))
    run_winter(site.made, athlete)
    page = site.open(site.made.link("athlete", athlete))
    weeks = page.get_by_role("cell", name="taper").first
    expect(weeks).to_be_hidden()
    page.emulate_media(media="print")
    expect(weeks).to_be_visible()
    expect(page.locator("button:visible, .button:visible, input:visible")).to_have_count(0)
    page.emulate_media(media="screen")


def test_deleting_asks_for_the_box(site: Site) -> None:
    """The browser doesn't submit the form without it."""
    athlete = new_athlete(site, "Leaves")
    page = site.open(site.made.link("athlete", athlete))
    page.get_by_text("Delete me").click()
    page.get_by_role("button", name="Delete everything").click()
    assert site.made.athlete(athlete) == athlete
    page.get_by_label("Yes, delete everything about me").check()
    page.get_by_role("button", name="Delete everything").click()
    page.get_by_role("heading", name="Everything is deleted").wait_for()
    with site.made.store.reading() as tx:
        assert tx.athletes.named("Leaves") is None


PAGES = (
    "athlete", "new athlete", "welcome", "new address", "routine", "check-in", "unsubscribe",
    "status", "refused",
)  # fmt: skip


@pytest.fixture(scope="module")
def paths(site: Site) -> dict[str, str]:
    """The path of each page, by what it shows."""
    made = site.made
    full = made.add("Mira " + "Sommerfeld-" * 6, units="mi",
                    race=Race("Half Marathon", TODAY.replace(month=5), 21_097.5))  # fmt: skip
    run_winter(made, full)
    made.answer(full, CheckIn(TODAY, "hurts", ("knee",), 8, ("fever",)))
    moving = made.add("Moving")
    with made.store.transaction() as tx:
        tx.addresses.ask(moving, "new@example.org", code="code", now=made.clock.now)
    return {
        "welcome": made.link("welcome", full),
        "new address": made.link("address", moving, code="code"),
        "athlete": made.link("athlete", full),
        "new athlete": made.link("athlete", made.add("New")),
        "routine": f"{made.link('athlete', made.add('In pain', pain=PAIN_AREAS))}/routine",
        "check-in": made.link("checkin", full, feels="hurts"),
        "unsubscribe": made.link("unsubscribe", full, kind="alert"),
        "status": "/status",
        "refused": "/checkin/forged",
    }


@pytest.fixture(scope="module")
def tab(site: Site, browser: Browser) -> Page:
    """One window with JavaScript, for checks from outside."""
    return window_at(browser, site.server.address, javascript=True)


def look_at(tab: Page, site: Site, path: str) -> None:
    tab.goto(site.server.address + path)
    tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_wrong(
    site: Site, paths: dict[str, str], tab: Page, axe: str, name: str
) -> None:
    """Names, roles, order of headings, contrast in light and dark, with all details open."""
    look_at(tab, site, paths[name])
    assert browsing.violations_in_each_scheme(tab, axe) == []


@pytest.mark.parametrize(
    ("feels", "flag"), [("fine", ""), ("sore", ""), ("hurts", ""), ("hurts", "weak_legs")]
)
def test_axe_finds_nothing_wrong_with_what_a_button_leads_to(
    site: Site, tab: Page, axe: str, feels: str, flag: str
) -> None:
    """The pages after an answer, from the mildest to the gravest."""
    athlete = new_athlete(site, f"Answers {feels} {flag}")
    look_at(tab, site, site.made.link("checkin", athlete, feels=feels))
    if flag:
        tab.locator(f"input[value={flag}]").check()
    with tab.expect_navigation():
        tab.get_by_role("button", name="Save my answer").click()
    assert browsing.violations(tab, axe) == []


@pytest.mark.parametrize("name", PAGES)
def test_no_page_is_wider_than_its_window(
    site: Site, paths: dict[str, str], tab: Page, name: str
) -> None:
    """With a long name, and down to 320 pixels, as in WCAG 1.4.10."""
    look_at(tab, site, paths[name])
    for width in (320, 360, 768, 1280):
        tab.set_viewport_size({"width": width, "height": 740})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, width


@pytest.mark.parametrize("name", ["check-in", "athlete"])
def test_tap_targets_are_large_enough(site: Site, paths: dict[str, str], name: str) -> None:
    """44 pixels for buttons, choices and expandable parts, on a phone."""
    page = site.open(paths[name])
    for target in page.locator(":is(button, .tile, label:has(input), summary):visible").all():
        box = target.bounding_box()
        assert box is not None
        assert box["height"] >= 44, target.inner_text()
        assert box["width"] >= 44, target.inner_text()
