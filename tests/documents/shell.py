"""Lines of a shell, as documents show them, taken apart."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

# Words in capitals that stand for what the reader puts there, and a value that will do. What stands for a file or a folder
# (DATA, RUN) is a name like any other.
PLACEHOLDERS = {"PRESET": "mp3net2-nano", "PRECISION": "float32", "RECIPE": "song", "MODEL...": "MODEL"}


@dataclass(frozen=True)
class Command:
    """One command: its words, the variables set for it, where its output goes (a file), and whether a pipe takes it."""

    words: tuple[str, ...]
    variables: tuple[str, ...] = ()
    output: str | None = None
    piped: bool = False

    @property
    def text(self) -> str:
        return " ".join(self.words)


def commands(text: str) -> list[Command]:
    """The commands of a block. Errors: ValueError for an open quote, or what this small shell does not know."""
    found: list[Command] = []
    for line in re.sub(r"\\\n", " ", text).splitlines():
        found += _of_line(line)
    return found


def _of_line(line: str) -> list[Command]:
    reader = shlex.shlex(line, posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    found: list[Command] = []
    words: list[str] = []
    for token in [*reader, "&&"]:
        if token in ("&&", "||", ";", "|"):
            if words:
                found.append(_command(words, token == "|"))
            words = []
        elif re.fullmatch(r"[();<>|&]+", token) and token != ">":
            raise ValueError(f"{line!r}: {token} is not expected in a document")
        else:
            words.append(token)
    return found


def _command(words: list[str], piped: bool) -> Command:
    output = None
    if ">" in words:
        at = words.index(">")
        if at != len(words) - 2:
            raise ValueError(f"{' '.join(words)!r}: one file after >, at the end")
        output, words = words[-1], words[:at]
    variables = []
    while words and re.match(r"[A-Z_]+=", words[0]):
        variables.append(words[0])
        words = words[1:]
    for word in words:
        if re.search(r"\$\w", word):
            raise ValueError(f"{word}: no document has set this variable")
    words = [_value(word) for word in words]
    return Command(tuple(words), tuple(variables), output, piped)


def _value(word: str) -> str:
    if re.fullmatch(r"\[--[a-z-]+\]", word):  # may be left out, and should exist
        return word[1:-1]
    return PLACEHOLDERS.get(word, word)
