# ruff: noqa: E402, INP001, T201  a script beside the package, not a part of it
"""Take the pictures of pages and mails for the documentation, of made-up runners, in Chromium.

    python scripts/screenshots.py [FOLDER]

Runs `easeback demo` in a temporary folder, serves its pages at the time of its last day, then those
of a made-up practice, and writes docs/images/page-phone.png and others; then an alert and a weekly
mail. Pages that don't exist are skipped. Pictures use a palette, which makes them small. Needs
playwright, Pillow and a Chromium at /usr/bin/chromium (or in the environment's CHROMIUM).
"""

import argparse
import os
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from simulators.mails import MAILS
from simulators.practice import add_therapist, add_thirty, practice_link
from simulators.web_instance import instance
from worker.app import build_services
from worker.config import load
from worker.demo.runner import ENDS
from worker.links import Signer
from worker.notify import Composer
from worker.notify.render import standalone
from worker.web import WebContext, WebServer, build_app

SIZES = {"phone": (390, 1200), "tablet": (820, 1100)}
SCHEMES = {"": "light", "-dark": "dark"}
SHOWN_MAILS = {"alert-phone": "alert", "weekly-phone": "weekly"}
MAIL_SIZE = (360, 740)
BASE_URL = "http://127.0.0.1:8765"


def now() -> datetime:
    """The last moment of the demo's season, the current time of its links and pages."""
    return ENDS


def web_of(settings_file: Path) -> tuple[WebContext, dict[str, str]]:
    """The pages of a demo's folder, and the path of each page to show, by picture name."""
    settings, file = load(settings_file)
    services = build_services(settings, file)
    signer = Signer(["a key for pictures"], BASE_URL)
    web = WebContext(services, signer, now, BASE_URL, settings.data_dir)
    with services.store.reading() as tx:
        athlete = tx.athletes.all()[0]
    page = f"/athlete/{signer.token('athlete', athlete, now=now())}"
    return web, {"page-phone": page, "routine-phone": f"{page}/routine"}


def practice_of(folder: Path) -> tuple[WebContext, dict[str, str]]:
    """The pages of a made-up practice with thirty athletes, and the path of its list."""
    made = instance(folder)
    add_thirty(made)
    return made.web, {"practice-tablet": practice_link(made, add_therapist(made))}


def shoot(browser: Browser, address: str, file: Path, *, size: tuple[int, int], dark: bool) -> bool:
    """Write a picture of the top of a page; False if there is no such page."""
    width, height = size
    page = browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
    )
    answer = page.goto(address)
    is_there = answer is not None and answer.ok
    if is_there:
        save(page, file)
    page.close()
    return is_there


def save(page: Page, file: Path) -> None:
    """Write the window's content as a picture of at most 256 colours."""
    page.screenshot(path=file)
    with Image.open(file) as picture:
        picture.convert("RGB").quantize(dither=Image.Dither.NONE).save(file, optimize=True)


def shoot_mails(browser: Browser, folder: Path) -> None:
    """Write a picture of the top of each mail at twice the size, as on phones."""
    composer = Composer(signer=Signer(["a key for pictures"], BASE_URL), checkins=True)
    width, height = MAIL_SIZE
    page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=2)
    for name, mail in SHOWN_MAILS.items():
        page.set_content(standalone(MAILS[mail](composer)))
        save(page, folder / f"{name}.png")
    page.close()


def shoot_all(browser: Browser, web: WebContext, shown: dict[str, str], folder: Path) -> None:
    """Write a picture of each page in both colour schemes; `shown` maps picture names to paths."""
    server = WebServer(build_app(web), host="127.0.0.1", port=0)
    server.start()
    for name, path in shown.items():
        size = SIZES[name.rpartition("-")[2]]
        for ending, scheme in SCHEMES.items():
            file, address = folder / f"{name}{ending}.png", server.address + path
            if not shoot(browser, address, file, size=size, dark=scheme == "dark"):
                print(f"{name}: no such page yet")
    server.stop()
    web.store.close()


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        demo = [sys.executable, "-m", "worker", "demo", "--no-open", "--folder", f"{made}/demo"]
        subprocess.run(demo, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  our own
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        for web, shown in (web_of(Path(made, "demo", "easeback.toml")), practice_of(Path(made))):
            shoot_all(browser, web, shown, folder)
        shoot_mails(browser, folder)
        browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "docs" / "images")
    main(parser.parse_args().folder)
