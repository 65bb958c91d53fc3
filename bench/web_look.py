"""Take pictures of every page in Chromium: phone to desktop, light and dark.

    python bench/web_look.py FOLDER [--only NAME]

Serves a made instance on a free port. Says where a page is wider than its window. Needs
playwright and a Chromium at /usr/bin/chromium (or in the environment's CHROMIUM).
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent))

from simulators.web_instance import NOW, TODAY, Instance, instance, run_winter
from worker.domain.checkins import CheckIn
from worker.domain.models import Athlete, Race
from worker.notify.render import ENGLISH, SHIPPED_LANGUAGES
from worker.web import WebServer, build_app

WIDTHS = (360, 768, 1280)
LONG_NAME = "Wolfgang-Maximilian von Hohenlohe-Schillingsfürst zu Ratibor und Corvey the 3rd"

Act = Callable[[Page], None]


def main() -> None:
    """Write the pictures into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="")
    wanted = parser.parse_args()
    wanted.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        made = instance(Path(folder))
        views = _views(made)
        server = WebServer(build_app(made.web), host="127.0.0.1", port=0)
        server.start()
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        for name, (path, act) in views.items():
            if re.fullmatch(wanted.only or ".*", name):
                _shoot(browser, wanted.folder / name, server.address + path, act)
        browser.close()
        server.stop()


def _views(made: Instance) -> dict[str, tuple[str, Act]]:
    """Every page worth a look, and what is done on it before the picture."""
    race = Race("Spring Half Marathon", date(2026, 5, 10), 21_097.5)
    mira = made.add("Mira Sommer", pain=("buttock",), race=race)
    run_winter(made, mira)
    made.answer(
        mira,
        CheckIn(TODAY - timedelta(days=9), "sore", ("buttock",), 3),
        CheckIn(TODAY - timedelta(days=3), "fine"),
    )
    long = made.add(LONG_NAME, units="mi", email=f"{'long' * 15}@example.org")
    run_winter(made, long)
    made.answer(long, CheckIn(TODAY, "hurts", ("hip_front", "groin"), 7, ("groin_hop",)))
    new = made.add("New")
    with made.store.transaction() as tx:
        for name in made.web.ticks:
            tx.progress.ticked(name, at=NOW, trouble=None)
        tx.progress.ticked("inbox", at=NOW, trouble="the folder /srv/inbox can't be read")
    checkin = made.link("checkin", mira, feels="sore")
    others: dict[str, tuple[str, Act]] = {}
    for language in SHIPPED_LANGUAGES:
        if language != ENGLISH:
            who = made.add(f"Mira {language}", pain=("buttock",), race=race, language=language)
            run_winter(made, who)
            sore = made.link("checkin", who, feels="sore")
            stop = made.link("unsubscribe", who, kind="reconnect")
            others |= {
                f"athlete-{language}": (made.link("athlete", who), _open_all),
                f"routine-{language}": (f"{made.link('athlete', who)}/routine", _nothing),
                f"checkin-{language}": (sore, _nothing),
                f"checkin-seen-{language}": (sore, _tick("bone_point")),
                f"unsubscribe-{language}": (stop, _nothing),
            }
    return others | {
        "athlete": (made.link("athlete", mira), _open_all),
        "athlete-long": (made.link("athlete", long), _nothing),
        "routine": (f"{made.link('athlete', mira)}/routine", _nothing),
        "athlete-new": (made.link("athlete", new), _nothing),
        "checkin": (checkin, _nothing),
        "checkin-fine": (_of(made, new, "fine"), _save),
        "checkin-sore": (_of(made, new, "sore"), _save),
        "checkin-hurts": (_of(made, new, "hurts"), _save),
        "checkin-seen": (_of(made, long, "hurts"), _tick("bone_point")),
        "checkin-emergency": (_of(made, long, "hurts"), _tick("saddle_numb")),
        "unsubscribe": (made.link("unsubscribe", mira, kind="alert"), _nothing),
        "unsubscribed": (made.link("unsubscribe", long, kind="weekly"), _save),
        "status": ("/status", _nothing),
        "refused": ("/checkin/forged", _nothing),
    }


def _of(made: Instance, athlete: Athlete, feels: str) -> str:
    return made.link("checkin", replace(athlete), feels=feels)


def _nothing(_: Page) -> None:
    pass


def _save(page: Page) -> None:
    with page.expect_navigation():
        page.locator("button[type=submit]").click()


def _tick(flag: str) -> Act:
    def act(page: Page) -> None:
        page.locator(f"input[value={flag}]").check()
        _save(page)

    return act


def _open_all(page: Page) -> None:
    for summary in page.locator("summary").all():
        summary.click()


def _shoot(browser: Browser, stem: Path, address: str, act: Act) -> None:
    for width in WIDTHS:
        for scheme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": width, "height": 740},
                color_scheme=scheme,
                device_scale_factor=2 if width == WIDTHS[0] else 1,
            )
            page = context.new_page()
            page.goto(address)
            act(page)
            wide = page.evaluate("document.documentElement.scrollWidth")
            if wide > width:
                print(f"{stem.name} at {width}: content is {wide} wide")
            page.screenshot(path=f"{stem}-{width}-{scheme}.png", full_page=True)
            context.close()


if __name__ == "__main__":
    main()
