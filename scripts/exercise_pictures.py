# ruff: noqa: INP001  a script beside the package, not a part of it
"""Make the exercises' pictures for mails: PNG from the SVG that pages show.

    .venv/bin/python scripts/exercise_pictures.py

Mail readers show no SVG, and many darken a mail by themselves. So the ground is transparent, and
each line has a tone that stands out 3:1 on white and on black alike. Needs playwright and a
Chromium at /usr/bin/chromium (or in the environment's CHROMIUM).
"""

import io
import os
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parents[1] / "worker/notify/templates/exercises"
STYLE = """
body { margin: 0; background: transparent; }
svg { display: block; }
path, circle { fill: none; stroke-linecap: round; stroke-linejoin: round; }
.body, .far { stroke-width: 8; } .torso { stroke-width: 13; }
.body, .torso { stroke: #66717f; } .far { stroke: #8793a3; }
.floor { stroke: #8793a3; stroke-width: 3; } .move { stroke: #0b8574; stroke-width: 4.5; }
"""
COLOURS = 32


def main() -> None:
    """Write a PNG beside each SVG, at twice its size."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_page(device_scale_factor=2)
        for path in sorted(FOLDER.glob("*.svg")):
            page.set_content(f"<style>{STYLE}</style>{path.read_text('utf-8')}")
            shot = page.locator("svg").screenshot(omit_background=True)
            picture = Image.open(io.BytesIO(shot)).convert("RGBA").quantize(COLOURS)
            picture.save(path.with_suffix(".png"), optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
