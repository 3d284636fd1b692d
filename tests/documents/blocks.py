"""The code blocks of a Markdown document, and of what kind each of them is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
    ROOT / "benchmarks" / "lab" / "README.md",
]
# What a line of a shell begins with; other programs than these are not expected in the documents.
PROGRAMS = ("mp3net", "make", "python", "pip", "source", "git", "cd", "torchrun", "apt-get", "aws", "hf", ".ci/run")
# Documents with equations, and those with messages that tests/test_troubleshooting.py checks.
WITH_EQUATIONS = ("docs/method.md", "docs/costs.md")
WITH_MESSAGES = ("docs/troubleshooting.md",)
LISTED = r"(?:data|runs)/\S+\s{2,}\S|(?:data|runs)/\S+$"


@dataclass(frozen=True)
class Block:
    """A code block: its document (from the root), its first line, its language ("" if none is named) and its text."""

    document: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def kind(self) -> str:
        """python, shell, json, toml, listing (files that exist), equations, message, output or settings (of mkdocstrings).

        Errors: ValueError for a block that is none of these.
        """
        if self.language in ("python", "json", "toml"):
            return self.language
        if self.language in ("bash", "sh", "console"):
            return "shell"
        lines = [line for line in self.text.splitlines() if line.strip()]
        if self.language == "text":
            return "message" if self.document in WITH_MESSAGES else "output"
        if self.language:
            raise ValueError(f"{self.place}: no test knows what to do with the language {self.language!r}")
        if lines[0].split()[0] in PROGRAMS:
            return "shell"
        if lines[0].startswith("options:") and self.document == "docs/api.md":
            return "settings"
        if all(re.match(LISTED, line) for line in lines):
            return "listing"
        if self.document in WITH_EQUATIONS and all(" = " in line for line in lines):
            return "equations"
        if any(re.match(pattern, line) for pattern in FIRST_OUTPUTS for line in lines[:1]):
            return "output"
        raise ValueError(f"{self.place}: no test knows what to do with a block that begins {lines[0]!r}")


# How the screens begin that the documents show.
FIRST_OUTPUTS = (
    r"prepared \d+ of \d+ files", r"preset \S+, for which", r"stopping after this iteration", r"configuration of ",
    r"songs/seed-1\.wav: ", r"runs/piano/checkpoints/\S+: ", r"missing music: ",
)  # fmt: skip


def blocks(document: Path) -> list[Block]:
    """All fenced and indented code blocks of a document. What is indented below an item of a list belongs to that item."""
    name = str(document.relative_to(ROOT))
    return blocks_of(name, document.read_text(encoding="utf-8"))


def blocks_of(name: str, text: str) -> list[Block]:
    """Those of a document with this name and text."""
    found: list[Block] = []
    lines = [*text.splitlines(), ""]
    in_list = after_blank = False
    number = 0
    while number < len(lines):
        line = lines[number]
        if fence := re.match(r"( *)(```+|~~~+) *(\S*)", line):
            end = next(at for at in range(number + 1, len(lines)) if lines[at].strip() == fence[2])
            inside = [one.removeprefix(fence[1]) for one in lines[number + 1 : end]]
            found.append(Block(name, number + 1, fence[3], "\n".join(inside)))
            number = end + 1
            continue
        indented = line.startswith("    ") and line.strip() != ""
        if indented and not in_list and (after_blank or lines[number - 1].startswith(":::")):
            end = next(at for at in range(number, len(lines)) if not lines[at].startswith("    "))
            found.append(Block(name, number + 1, "", "\n".join(one[4:] for one in lines[number:end])))
            number = end
            continue
        if re.match(r"\s*(?:[-*+]|\d+\.) ", line):
            in_list = True
        elif line.strip() and not line.startswith(" ") and after_blank:
            in_list = False
        after_blank = not line.strip()
        number += 1
    return found
