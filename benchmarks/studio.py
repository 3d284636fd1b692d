"""How long it takes in the studio from the click to the first sound, in a real browser.

    python benchmarks/studio.py [--songs 10] [--seconds 20]

Needs pip install -e ".[studio,browser]" and the system's Chromium. The bundled snapshot, the server and the browser all
run on this machine. Of each song: the time from the click until the player's clock runs.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import time

from playwright.sync_api import sync_playwright

from mp3net.studio.serving import serve

SETTLED_S = 2.0
PLAYING = "(() => { const s = document.querySelector('#mp-audio'); return s && s.currentTime > 0; })()"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args()
    started = time.perf_counter()
    served = serve([])
    print(f"studio there after {time.perf_counter() - started:.1f} s (Python's start not counted)")
    with sync_playwright() as tool:
        arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = tool.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        page = browser.new_page()
        page.goto(served.address)
        page.wait_for_selector("#mp-make")
        page.fill("#mp-length input[type=number]", str(options.seconds))
        time.sleep(SETTLED_S)
        took_s = []
        for seed in range(1, options.songs + 1):
            page.fill("#mp-seed input", str(seed))
            page.evaluate("(document.querySelector('#mp-audio') || document.createElement('i')).remove()")
            started = time.perf_counter()
            page.click("#mp-make")
            page.wait_for_function(PLAYING)
            took_s.append(time.perf_counter() - started)
            time.sleep(1)
        browser.close()
    served.close()
    print(f"first song {took_s[0]:.2f} s; all {len(took_s)}: median {statistics.median(took_s):.2f} s, "
          f"{min(took_s):.2f} to {max(took_s):.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
