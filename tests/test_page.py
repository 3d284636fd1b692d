"""The page that makes songs in the browser."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mp3net import MP3net
from mp3net.export import page as module
from mp3net.generation.latents import normal

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NODE = shutil.which("node")


@pytest.fixture
def runtime(tmp_path) -> Path:
    """What is needed of onnxruntime-web, without its content."""
    dist = tmp_path / "runtime" / "package" / "dist"
    dist.mkdir(parents=True)
    for name in (module.SCRIPT, module.MODULE, module.BINARY):
        (dist / name).write_bytes(name.encode())
    return tmp_path / "runtime"


def test_the_page_is_one_folder_of_static_files(mp3net, tmp_path, runtime):
    status, out, _ = mp3net("export", "--format", "page", "--runtime", runtime, "--out", "site")
    assert (status, "next: open site/index.html in a browser" in out) == (0, True)
    assert sorted(path.name for path in (tmp_path / "site").iterdir()) == [
        "index.html", "model.js", module.SCRIPT, "player.js", "runtime.js",
    ]  # fmt: skip
    text = (tmp_path / "site" / "index.html").read_text()
    facts = json.loads(re.search(r"const FACTS = (\{.*\});", text)[1])
    model = MP3net.from_pretrained()
    assert facts["snapshot"] == model.snapshot.digest
    assert (facts["sample_rate_hz"], facts["any_length"]) == (11008, True)
    assert facts["usual_numbers"] == facts["common_numbers"] + 4 * facts["numbers_per_part"]
    sources = re.findall(r'src="([^"]+)"', text)
    assert all((tmp_path / "site" / source).exists() for source in sources), "nothing is fetched from elsewhere"
    assert not re.search(r"https?://", text + (tmp_path / "site" / "player.js").read_text())
    assert not re.search(r"\{[a-z]+\}", re.sub(r"<style>.*</style>|<script>.*</script>", "", text, flags=re.S))


def test_what_stands_in_the_way_of_a_page(mp3net, tmp_path, runtime, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.tgz").write_bytes(b"x")
    page = ["export", "--format", "page"]
    for arguments, message in (
        ([*page, "--out", "full", "--runtime", runtime], "full: is not empty; name a new folder"),
        ([*page, "--runtime", "empty"], f"empty: holds no {module.SCRIPT}"),
        ([*page, "--runtime", "broken.tgz"], "broken.tgz: is no package of npm"),
        ([*page, "--runtime", "none.tgz"], "--runtime none.tgz: no such file or folder"),
        (["export", "--runtime", runtime], "--runtime: belongs to --format page"),
    ):
        status, _, err = mp3net(*arguments)
        assert (status, message in err, err.count("\n")) == (2, True, 1), err
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    assert "npm is not installed; fetch onnxruntime-web@" in mp3net(*page)[2]
    assert not (tmp_path / "page").exists()


@pytest.mark.skipif(NODE is None, reason="node is not installed")
@pytest.mark.parametrize(("seed", "count"), [(0, 16), (7, 4640), (2**32 - 1, 1000), (12345, 2003)])
def test_seeds_are_the_same_in_the_browser(tmp_path, seed, count):
    """The page's random numbers, by Node, against those of `mp3net generate`."""
    source = (Path(module.__file__).parent / "page_files" / "player.js").read_text()
    functions = source[source.index("class Twister") : source.index("// How many numbers")]
    (tmp_path / "draw.js").write_text(f"{functions}\nconsole.log(JSON.stringify(Array.from(normal({seed}, {count}))));")
    done = subprocess.run([NODE, tmp_path / "draw.js"], capture_output=True, text=True, check=True)
    np.testing.assert_allclose(json.loads(done.stdout), normal(seed, count), atol=3e-6)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_in_a_real_browser_the_song_is_ours(mp3net, tmp_path):
    """From the file system, without a server: npm fetches the runtime, Chromium makes the song, and a click plays it."""
    from playwright.sync_api import sync_playwright

    assert mp3net("export", "--format", "page", "--out", "site")[0] == 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 420, "height": 800})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((tmp_path / "site" / "index.html").as_uri())
        page.wait_for_selector("#make:not([disabled])", timeout=60_000)
        for seed, seconds in ((7, 5.0), (4294967295, 12.3)):
            made = page.evaluate(f"makeSong({seed}, {seconds}).then(song => Array.from(song.samples[0]))")
            ours = MP3net.from_pretrained().generate(seed, seconds).audio[0]
            assert len(made) == len(ours)
            assert np.abs(np.array(made) - ours).max() < 1e-3 * np.abs(ours).max()
        page.fill("#seed", "3")
        page.click("#make")
        page.wait_for_function("document.getElementById('status').textContent.startsWith('Seed 3: 20.0 s')", timeout=60_000)
        with page.expect_download() as download:
            page.click("#download")
        song, rate = soundfile.read(io.BytesIO(Path(download.value.path()).read_bytes()))
        assert (len(song), rate, download.value.suggested_filename) == (20 * 11008, 11008, "seed-3.wav")
        page.screenshot(path=tmp_path / "page.png")
        browser.close()
    assert errors == []
