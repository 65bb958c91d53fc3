"""Every mail in a real browser, as a phone shows it: axe-core finds nothing, nothing sticks out."""

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page

from simulators.mails import MAILS
from tests.web import browsing
from worker.links import Signer
from worker.notify import Composer
from worker.notify.render import standalone

PHONE: Any = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing.chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def axe() -> str:
    return browsing.axe_source()


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer(signer=Signer(["a key for tests"], "https://easeback.example.org"),
                    checkins=True, reply_to="therapist@example.org")  # fmt: skip


def shown(browser: Browser, html: str, scheme: Literal["light", "dark"] = "light") -> Page:
    """The mail on a phone. It may ask nobody for anything."""
    context = browser.new_context(viewport=PHONE, color_scheme=scheme, offline=True)
    page = context.new_page()
    page.set_content(html)
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", MAILS)
def test_everybody_can_read_it(
    browser: Browser, axe: str, composer: Composer, name: str, scheme: Literal["light", "dark"]
) -> None:
    """By screen reader, with weak eyes, in either scheme; and no line runs out of the screen."""
    page = shown(browser, standalone(MAILS[name](composer)), scheme)
    assert browsing.violations(page, axe) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("name", [name for name in MAILS if name.startswith("alert")])
@pytest.mark.parametrize("images", [True, False])
def test_the_first_screen_of_an_alert_carries_the_message(
    browser: Browser, composer: Composer, name: str, images: bool
) -> None:
    """What happened and what to do now stand above the fold of a phone."""
    email = MAILS[name](composer)
    html = standalone(email) if images else email.html.replace("cid:", "data:,")
    page = shown(browser, html)
    for words in (page.locator("h1"), page.locator("td.short, td.grave")):
        box = words.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= PHONE["height"]
