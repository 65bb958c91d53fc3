"""Every page in each of its states and languages on a phone, including error pages."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from starlette.testclient import TestClient

from simulators.every_page import everything
from simulators.web_instance import Instance
from tests.web import browsing
from worker.notify.render import SHIPPED, SHIPPED_LANGUAGES

PHONE: Any = {"width": 360, "height": 740}
STYLE = (SHIPPED / "web" / "pages.css").read_text("utf-8")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing.chromium() as browser:
        yield browser


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    """A window without network access."""
    context = browser.new_context(viewport=PHONE, offline=True)
    yield context.new_page()
    context.close()


@pytest.mark.nightly
@pytest.mark.parametrize("language", SHIPPED_LANGUAGES)
def test_everybody_can_use_it(
    made: Instance, client: TestClient, phone: Page, language: str
) -> None:
    """axe-core finds nothing, and no line overflows. Colours don't depend on the language."""
    axe = browsing.axe_source()
    client.headers["accept-language"] = language
    wrong, seen = [], 0
    for name, answer in everything(made, client, language):
        if not answer.headers.get("content-type", "").startswith("text/html"):
            continue
        seen += 1
        phone.set_content(answer.text.replace("</head>", f"<style>{STYLE}</style></head>"))
        phone.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        look = browsing.violations_in_each_scheme if language == "en" else browsing.violations
        wrong += [(name, fault) for fault in look(phone, axe)]
        if phone.evaluate("document.documentElement.scrollWidth") > PHONE["width"]:
            wrong.append((name, "wider than the screen"))
    assert seen > 60
    assert wrong == []
