"""Every page in each of its states and languages on a phone, including error pages."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from starlette.testclient import TestClient

from simulators.every_page import everything, operators_pages
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
    client.headers["accept-language"] = language
    pages = [
        (name, answer.text)
        for name, answer in everything(made, client, language)
        if answer.headers.get("content-type", "").startswith("text/html")
    ]
    assert len(pages) > 60
    assert faults(phone, pages, in_each_scheme=language == "en") == []


def test_the_operator_can_use_theirs(made: Instance, phone: Page) -> None:
    """It is in English only."""
    pages = [(name, answer.text) for name, answer in operators_pages(made)]
    assert len(pages) == 3
    assert faults(phone, pages, in_each_scheme=True) == []


def faults(
    phone: Page, pages: Sequence[tuple[str, str]], *, in_each_scheme: bool
) -> list[tuple[str, object]]:
    """What is wrong with pages, by their names."""
    axe = browsing.axe_source()
    look = browsing.violations_in_each_scheme if in_each_scheme else browsing.violations
    wrong: list[tuple[str, object]] = []
    for name, text in pages:
        phone.set_content(text.replace("</head>", f"<style>{STYLE}</style></head>"))
        phone.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        wrong += [(name, fault) for fault in look(phone, axe)]
        if phone.evaluate("document.documentElement.scrollWidth") > PHONE["width"]:
            wrong.append((name, "wider than the screen"))
    return wrong
