"""Take pictures of every page in each of its states, in Chromium.

    python bench/web_look.py FOLDER [--only NAME] [--languages en,de] [--widths 390,820]
        [--schemes light,dark]

Says where a page is wider than its window, and which buttons, links of their own and fields are too
low for a finger. Needs playwright and a Chromium at /usr/bin/chromium (or in the environment's
CHROMIUM).
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent))

from simulators.every_page import everything, operators_pages
from simulators.web_instance import instance
from worker.notify.render import SHIPPED, SHIPPED_LANGUAGES

WIDTHS = (390, 820, 1280)
SCHEMES: tuple[Any, ...] = ("light", "dark")
FINGER = 44
"""Minimum height in pixels of something to tap."""

_NOT_STICKY = "form.card > .action { position: static !important }"
"""In a full-page picture a sticky button would cover what's under it."""

_TOO_LOW = """
    least => [...document.querySelectorAll(
            "button, .button, summary, select, label:has(input), input:not(label input)")]
        .filter(one => one.offsetHeight && one.type !== "hidden")
        .filter(one => one.getBoundingClientRect().height < least)
        .map(one => one.outerHTML.slice(0, 60))
"""


def main() -> None:
    """Write the pictures into a folder, one each language below it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="a pattern of the names to look at")
    parser.add_argument("--languages", default=",".join(SHIPPED_LANGUAGES))
    parser.add_argument("--widths", default=",".join(map(str, WIDTHS)))
    parser.add_argument("--schemes", default=",".join(SCHEMES))
    wanted = parser.parse_args()
    widths = [int(width) for width in wanted.widths.split(",")]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        for language in wanted.languages.split(","):
            folder = wanted.folder / language
            folder.mkdir(parents=True, exist_ok=True)
            for name, html in _pages(language):
                if re.search(wanted.only, name):
                    stem = folder / re.sub(r"[^\w-]+", "-", name).strip("-")
                    _shoot(browser, stem, html, widths, wanted.schemes.split(","))
        browser.close()


def _pages(language: str) -> Iterator[tuple[str, str]]:
    """Every page as sent to the browser, by name, with its style inlined."""
    style = (SHIPPED / "web" / "pages.css").read_text("utf-8")
    with tempfile.TemporaryDirectory() as folder:
        made = instance(Path(folder))
        with made.client() as client:
            client.headers["accept-language"] = language
            for name, answer in everything(made, client, language):
                if answer.headers.get("content-type", "").startswith("text/html"):
                    yield name, answer.text.replace("</head>", f"<style>{style}</style></head>")
        made.store.close()
    if language == "en":
        with tempfile.TemporaryDirectory() as folder:
            made = instance(Path(folder))
            for name, answer in operators_pages(made):
                yield name, answer.text.replace("</head>", f"<style>{style}</style></head>")
            made.store.close()


def _shoot(browser: Browser, stem: Path, html: str, widths: list[int], schemes: list[Any]) -> None:
    for width in widths:
        context = browser.new_context(viewport={"width": width, "height": 740}, offline=True)
        page = context.new_page()
        page.set_content(html)
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        page.add_style_tag(content=_NOT_STICKY)
        _measure(page, stem.name, width)
        for scheme in schemes:
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=f"{stem}-{width}-{scheme}.png", full_page=True)
        context.close()


def _measure(page: Page, name: str, width: int) -> None:
    wide = page.evaluate("document.documentElement.scrollWidth")
    if wide > width:
        print(f"{name} at {width}: content is {wide} wide")
    for low in page.evaluate(_TOO_LOW, FINGER):
        print(f"{name} at {width}: less than {FINGER} high: {low}")


if __name__ == "__main__":
    main()
