"""Every mail in a real browser at a phone's size: axe-core finds nothing, and nothing overflows."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from simulators.mails import MAILS
from tests.web import browsing
from tests.web.browsing import PHONE
from worker.links import Signer
from worker.notify import Composer
from worker.notify.render import standalone


@pytest.fixture(scope="module")
def phone() -> Iterator[Page]:
    """A phone that shows one mail after another, without network access."""
    with browsing.chromium() as browser:
        yield browser.new_context(viewport=PHONE, offline=True).new_page()


@pytest.fixture(scope="module")
def axe() -> str:
    return browsing.axe_source()


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer(signer=Signer(["a key for tests"], "https://easeback.example.org"),
                    checkins=True, reply_to="therapist@example.org")  # fmt: skip


@pytest.mark.parametrize("name", MAILS)
def test_everybody_can_read_it(phone: Page, axe: str, composer: Composer, name: str) -> None:
    """With a screen reader or poor sight, in either scheme; no line is wider than the screen."""
    phone.set_content(standalone(MAILS[name](composer)))
    assert browsing.violations_in_each_scheme(phone, axe) == []
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("name", [name for name in MAILS if name.startswith("alert")])
@pytest.mark.parametrize("images", [True, False])
def test_the_first_screen_of_an_alert_carries_the_message(
    phone: Page, composer: Composer, name: str, images: bool
) -> None:
    """What happened and what to do now are visible without scrolling."""
    email = MAILS[name](composer)
    phone.set_content(standalone(email) if images else email.html.replace("cid:", "data:,"))
    for words in (phone.locator("h1"), phone.locator("td.short, td.grave")):
        box = words.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= PHONE["height"]
