"""Screens that documents show, compared with what commands print and with what the code can say."""

from __future__ import annotations

import re

from tests.test_troubleshooting import ours

# How screens begin, and the command that prints them.
COMMANDS = {
    r"prepared \d+ of \d+ files": "mp3net prepare ~/Music/piano --out data/piano --preset mp3net2-nano",
    r"preset \S+, for which": "mp3net train data/piano --out runs/piano",
    r"songs/seed-1\.wav: ": "mp3net generate runs/piano --seed 1..8 --out songs",
    r"song\.wav: ": "mp3net generate --force --out song.wav",
    r"\S+\.flac\n  recording: ": "mp3net inspect song.flac",
}
# The only screen with lines that are not printed in the tests: of damaged recordings and of what is no recording.
IN_PART = r"prepared \d+ of \d+ files"
# A peak may be lowered, a time may need minutes, a list of bands is cut short, recordings are mono or stereo, and there are
# several threads.
OPTIONAL = r", lowered by \S+ to avoid clipping|\d+ min(?= \d+ s)|\(\d+ to \d+ Hz .*\)|\bmono\b|\bstereo\b|\bthreads?\b"
UNITS = ("days", "h", "min", "s")
FILE = r"\S*/\S+|\S+\.(?:wav|mp3|flac|ogg|txt|html|json)\b"


def shapes(screen: str) -> list[str]:
    """The lines of a screen (cells, in a table) without numbers, files and presets."""
    found = []
    for part in re.split(r"[\n│┃]", re.sub(OPTIONAL, "", screen)):
        text = re.sub(rf"{FILE}|\b\w+-\w*\d\S*|[\w.+±-]*\d[\w.,:+%-]*", " ", part)
        if re.search("[a-zA-Z]", text):
            found.append(" ".join(word for word in re.findall("[a-zA-Z]+", text) if word not in UNITS))
    return found


def unknown_words(screen: str) -> set[str]:
    """Words that no text of the code has."""
    known = {word for text in ours().strings for word in re.findall("[a-zA-Z]+", text)}
    return {word for shape in shapes(screen) for word in shape.split()} - known


def command_of(screen: str) -> str | None:
    return next((command for pattern, command in COMMANDS.items() if re.match(pattern, screen)), None)


def lines_that_are_not_printed(screen: str, printed: str) -> list[str]:
    """Shapes of the screen's lines that are no part of a printed line: long ones are wrapped on the screen."""
    if re.match(IN_PART, screen):
        return []
    there = shapes(printed)
    return [shape for shape in shapes(screen) if not any(shape in line for line in there)]
