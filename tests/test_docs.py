"""What the documents state about the code is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from mp3net.apps.cli import app
from mp3net.config import PRESETS, valid_keys

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("README.md")]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def test_the_table_of_presets():
    rows = re.findall(r"^\| `([\w.-]+)`.*?\| ([\d,]+) Hz (\w+), ([\d,]+) bins \| ([\d.]+) s", PAGES[0].read_text(), re.M)
    stated = {name: (int(hz.replace(",", "")), width, int(bins.replace(",", "")), s) for name, hz, width, bins, s in rows}
    assert stated == {
        name: (
            config.audio.sample_rate_hz, "stereo" if config.audio.channels == 2 else "mono", config.audio.num_bins,
            f"{config.track_duration_s:.{len(stated[name][3].split('.')[1])}f}",
        )
        for name, config in PRESETS.items()
    }  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_and_options_that_are_named_exist(page):
    text = page.read_text()
    sections = {key.split(".")[0] for key in valid_keys()}
    for key in re.findall(rf"(?<![\w/.])((?:{'|'.join(sections)})\.[a-z_0-9]+(?:\.[a-z_0-9]+)*)(?![\w/(])", text):
        known = any(other == key or other.startswith(f"{key}.") for other in valid_keys())
        assert known or key.endswith((".py", ".kind")), f"{page}: {key}"
    options = {name for command in COMMANDS.values() for parameter in command.params for name in parameter.opts}
    for line in re.findall(r"mp3net (?:prepare|train|generate|evaluate)\b[^`\n#]*", text):
        unknown = set(re.findall(r"(?<!\S)--[a-z-]+", line)) - options - {"--help"}
        assert not unknown, f"{page}: {line}"


def headings(page: Path) -> set[str]:
    """Anchors of a page, as GitHub and the site call them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)$", text, re.M)}


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "lab" / "README.md"], ids=lambda page: page.name
)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target, anchor in re.findall(r"\]\(([^)\s#:]*)(?:#([^)\s]+))?\)", text):
        there = page.parent / target if target else page
        assert there.exists(), f"{page}: {target}"
        assert not anchor or anchor in headings(there), f"{page}: {target}#{anchor}"
