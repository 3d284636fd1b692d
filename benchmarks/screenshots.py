"""The pictures of the studio in docs/: its first page, a training, and a phone.

    python benchmarks/screenshots.py docs/images RUN

Needs pip install -e ".[studio,browser]" and the system's Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from mp3net.studio.serving import serve
from mp3net.studio.shelf import BUNDLED_NAME

SETTLED_S = 2.0
DRAWN = "(() => { const i = document.querySelector('.mp-picture img'); return i && i.naturalWidth > 0; })()"
HEARD = "[...document.querySelectorAll('.mp-moment img')].every(i => i.complete && i.naturalWidth > 0)"


def opened(browser: Any, address: str, width: int, height: int) -> Any:
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(address)
    page.wait_for_selector("#mp-make")
    time.sleep(SETTLED_S)
    page.click("#mp-model input")
    page.get_by_role("option", name=BUNDLED_NAME).click()
    time.sleep(SETTLED_S)
    page.fill("#mp-seed input", "7")
    page.click("#mp-make")
    page.wait_for_function(DRAWN)
    time.sleep(SETTLED_S)
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("run", type=Path)
    options = parser.parse_args()
    served = serve([options.run])
    with sync_playwright() as tool:
        arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = tool.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        page = opened(browser, served.address, 1100, 1040)
        page.screenshot(path=options.folder / "studio-play.png")
        page.get_by_role("tab", name="on track").click()
        page.wait_for_selector("#mp-curves img")
        page.wait_for_selector(".mp-moment img")
        page.locator(".mp-moment").last.scroll_into_view_if_needed()
        page.wait_for_function(HEARD)
        time.sleep(SETTLED_S)
        page.set_viewport_size({"width": 1100, "height": 1900})
        time.sleep(SETTLED_S)
        top = page.locator("[role=tablist]").first.bounding_box()["y"]
        clip = {"x": 0, "y": top - 10, "width": 1100, "height": 1900 - top + 10}
        page.screenshot(path=options.folder / "studio-training.png", clip=clip)
        opened(browser, served.address, 360, 760).screenshot(path=options.folder / "studio-phone.png")
        browser.close()
    served.close()


if __name__ == "__main__":
    main()
