"""A real browser for the tests, and axe-core to check pages with.

If either is missing a test is skipped with the reason; under CI it fails instead.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NoReturn

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

AXE_VERSION = "4.14.1"
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
CACHE = Path(__file__).parents[2] / ".cache" / "axe"
PHONE: Any = {"width": 360, "height": 740}
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
RULES_OF_COLOUR = ("color-contrast", "link-in-text-block")
# Dark and light differ in colours only, so dark needs only the contrast rules.
SCHEMES: tuple[tuple[Literal["light", "dark"], tuple[str, ...]], ...] = (
    ("light", RULES),
    ("dark", RULES_OF_COLOUR),
)
# Only violations: passed rules aren't computed or returned for each node.
_VIOLATIONS = """
    rules => axe.run(document, {runOnly: rules, resultTypes: ["violations"]})
        .then(found => found.violations)
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Headless Chromium."""
    if not CHROMIUM.exists():
        _do_without(f"there is no Chromium at {CHROMIUM}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


def axe_source() -> str:
    """axe-core's script, fetched once with npm into the cache."""
    script = CACHE / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        npm = shutil.which("npm")
        if npm is None:
            _do_without("axe-core isn't cached, and there's no npm to fetch it with")
        CACHE.mkdir(parents=True, exist_ok=True)
        fetched = subprocess.run(  # noqa: S603  npm, with arguments of our own
            [npm, "install", "--prefix", str(CACHE), "--no-audit", "--no-fund", "--no-save",
             "--ignore-scripts", f"axe-core@{AXE_VERSION}"],
            capture_output=True, check=False, text=True, timeout=120,
        )  # fmt: skip
        if fetched.returncode or not script.exists():
            _do_without(f"axe-core can't be fetched: {fetched.stderr.strip()[-200:]}")
    return script.read_text("utf-8")


def violations_in_each_scheme(page: Page, axe: str) -> list[str]:
    """axe-core's violations on a page in light and dark, one line each."""
    found: list[str] = []
    for scheme, rules in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        found += [f"{scheme}: {one}" for one in violations(page, axe, rules)]
    return found


def violations(page: Page, axe: str, rules: Sequence[str] = RULES) -> list[str]:
    """axe-core's violations on the page as it is, by these rules, one line each."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe)
    found: list[dict[str, Any]] = page.evaluate(_VIOLATIONS, list(rules))
    return [
        f"{one['id']}: {one['help']}: {node['html'][:160]}"
        for one in found
        for node in one["nodes"]
    ]


def _do_without(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
