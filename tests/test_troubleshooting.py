"""Messages quoted in docs/troubleshooting.md are those of the code, word for word."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "troubleshooting.md"
HOLE = "¤"
"""Stands for what a message fills in: `<...>` on the page, an expression in the code."""
LEAST_LETTERS = 8
"""So many letters a string of the code has at least that explains a message: `"{path}: {error}"` would explain anything."""


def quoted(page: str) -> list[str]:
    """The messages of the page, each in one line, with holes."""
    blocks = re.findall(r"^```text\n(.*?)\n```$", page, re.M | re.S)
    return [re.sub(r"<[^<>]*>", HOLE, " ".join(block.split())) for block in blocks]


def strings(source: str) -> set[str]:
    """All strings of a program, with a hole for each expression in them, joined where `+` joins them."""
    nodes = ast.walk(ast.parse(source))
    return {_text(node) for node in nodes if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp)} - {HOLE}


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant):
        return " ".join(re.split(r"\s+", node.value)) if isinstance(node.value, str) else HOLE
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    return HOLE


class Code:
    """What a program can say."""

    def __init__(self, found: set[str]) -> None:
        self.strings = found
        long = sorted((one for one in found if len(re.findall("[a-zA-Z]", one)) >= LEAST_LETTERS), key=len, reverse=True)
        self.templates = [one.split(HOLE) for one in long if HOLE in one]

    def explains(self, message: str) -> bool:
        """Whether the message is part of a string, or a string whose holes are filled with what the code says."""
        bare = re.sub(r"^[\W_]+|[\W_]+$", "", message)
        if not re.search("[a-zA-Z]", bare) or any(bare in one for one in self.strings):
            return True
        for parts in self.templates:
            for text in (message, bare):
                if all(part in text for part in parts):
                    filled = re.fullmatch("(.*?)".join(map(re.escape, parts)), text)
                    if filled is not None and all(map(self.explains, filled.groups())):
                        return True
        return False

    def says(self, message: str) -> bool:
        return self.explains(message) or self.explains(re.sub("^(error|note|warning): ", "", message))


@cache
def ours() -> Code:
    return Code(set().union(*(strings(path.read_text(encoding="utf-8")) for path in (ROOT / "src").rglob("*.py"))))


MESSAGES = quoted(PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.replace(HOLE, "_")[:60])
def test_the_code_says_what_the_page_quotes(message):
    assert ours().says(message), message.replace(HOLE, "<...>")


def test_a_change_on_either_side_is_noticed():
    """One word of each message is changed, first on the page, then in the code."""
    for message in MESSAGES:
        word = max(re.findall("[a-zA-Z]{4,}", re.sub("^(error|note|warning): ", "", message)), key=len)
        assert not ours().says(message.replace(word, "qqq")), message
        near = {one for one in ours().strings if any(len(part) > 3 and part in message for part in one.split(HOLE))}
        near |= {one for one in ours().strings if re.sub("^(error|note|warning): ", "", message) in one}
        assert Code(near).says(message), message
        assert not Code({one.replace(word, "qqq") for one in near}).says(message), message
