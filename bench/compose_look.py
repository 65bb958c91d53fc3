"""Take pictures of every mail in Chromium: phone to desktop, light and dark, without images.

    python bench/compose_look.py FOLDER [--only NAME] [--languages en,de] [--axe axe.min.js]

The HTML of each mail is written beside its pictures. With `--axe` (the file is in npm's axe-core)
every view is also checked for what keeps people out. Needs playwright and a Chromium at
/usr/bin/chromium (or in the environment's CHROMIUM).
"""

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent))

from simulators.mails import MAILS
from worker.domain.models import Email
from worker.links import Signer
from worker.notify import Composer
from worker.notify.render import SHIPPED_LANGUAGES, standalone

WIDTHS = (360, 768, 1280)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def mails(languages: Sequence[str]) -> Iterator[tuple[str, Email]]:
    """Every mail to take pictures of, by name."""
    signer = Signer(["made for the picture"], "https://easeback.example.org")
    for language in languages:
        composer = Composer(signer=signer, language=language, checkins=True)
        for name, make in MAILS.items():
            yield f"{language}-{name.replace(' ', '-')}", make(composer)


def main() -> None:
    """Write the mails' HTML and pictures into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="a pattern of the names to look at")
    parser.add_argument("--languages", default=",".join(SHIPPED_LANGUAGES))
    parser.add_argument("--axe", type=Path)
    wanted = parser.parse_args()
    wanted.folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        for name, email in mails(wanted.languages.split(",")):
            if re.fullmatch(wanted.only or ".*", name):
                (wanted.folder / f"{name}.txt").write_text(f"{email.subject}\n\n{email.text}")
                _shoot(browser, wanted.folder / name, email, axe=wanted.axe)
        browser.close()


def _shoot(browser: Browser, stem: Path, email: Email, *, axe: Path | None) -> None:
    stem.with_suffix(".html").write_text(standalone(email))
    views = [(width, scheme, True) for width in WIDTHS for scheme in SCHEMES]
    for width, scheme, with_images in [*views, (WIDTHS[0], SCHEMES[0], False)]:
        context = browser.new_context(
            viewport={"width": width, "height": 740},
            color_scheme=scheme,
            device_scale_factor=2 if width == WIDTHS[0] else 1,
        )
        tab = context.new_page()
        html = standalone(email) if with_images else email.html.replace("cid:", "data:,")
        tab.set_content(html)
        marks = f"{width}-{scheme}" + ("" if with_images else "-bare")
        wide = tab.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            print(f"{stem.name} {marks}: content is {wide} wide")
        if axe is not None:
            tab.add_script_tag(path=axe)
            for violation in tab.evaluate("axe.run().then(found => found.violations)"):
                nodes = [node["html"][:120] for node in violation["nodes"][:3]]
                print(f"{stem.name} {marks}: {violation['id']} ({violation['impact']}): {nodes}")
        tab.screenshot(path=f"{stem}-{marks}.png", full_page=True)
        context.close()


if __name__ == "__main__":
    main()
