"""Hooks of `mkdocs build`: pages that lie elsewhere in the repository, and links that leave the site.

Links are written for readers of the repository, where every file has its place. In the site, the documents of ELSEWHERE are
pages too, and a link to any other file outside of this folder becomes that file's path. A comment

    <!-- include: README.md, Presets -->

is replaced by what stands below that heading of that file, so that nothing has to be said twice.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
ELSEWHERE = {
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/lab/README.md": "lab.md",
    "examples/bach_chorales/README.md": "chorales.md",
    "examples/wesnoth_music/README.md": "wesnoth.md",
}
FENCED = r"(^```.*?^```$)"
INCLUDE = r"^<!-- include: (\S+), (.+) -->$"
SOUND = r"\[([^\]]*)\]\((sounds/[^)\s]+\.mp3)\)"
LINK = r"(!?\[[^\]]*\])\(([^)\s#:]+)(#[^)\s]*)?\)"


def on_files(files: Files, config: Any) -> Files:
    for source, uri in ELSEWHERE.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    uri = page.file.src_uri
    source = next((name for name, there in ELSEWHERE.items() if there == uri), f"docs/{uri}")
    parts = re.split(FENCED, markdown, flags=re.M | re.S)
    parts[::2] = [re.sub(INCLUDE, _included, _linked(_played(part), source), flags=re.M) for part in parts[::2]]
    return "".join(parts)


def _played(markdown: str) -> str:
    """Links to sounds become players."""
    return re.sub(SOUND, r"\1<br><audio controls preload='none' src='\2'></audio>", markdown)


def _included(found: re.Match[str]) -> str:
    name, heading = found.groups()
    sections = re.split(r"^## (.+)$", (ROOT / name).read_text(encoding="utf-8"), flags=re.M)
    if heading not in sections:
        raise PluginError(f"{name} has no heading {heading!r}")
    return _linked(sections[sections.index(heading) + 1].strip(), name)


def _linked(markdown: str, source: str) -> str:
    """Text of the file `source` with links for a page of the site; all of these lie in one folder."""

    def link(found: re.Match[str]) -> str:
        text, target, anchor = found[1], found[2], found[3] or ""
        place = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if place.startswith("docs/"):
            return f"{text}({place.removeprefix('docs/')}{anchor})"
        if place in ELSEWHERE:
            return f"{text}({ELSEWHERE[place]}{anchor})"
        if not (ROOT / place).exists():
            raise PluginError(f"{source}: links to {target}, which does not exist")
        return f"`{place}`" if text[1:-1] in (place, f"`{place}`") else f"{text[1:-1]} (`{place}`)"

    return re.sub(LINK, link, markdown)
