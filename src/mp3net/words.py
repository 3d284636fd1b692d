"""Numbers, quantities and commands in sentences."""

from __future__ import annotations

import shlex
import sys


def counted(number: int, noun: str) -> str:
    """ "1 file", "2 files", "12,000 tracks", "2 processes"."""
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"


def mono_or_stereo(channels: int) -> str:
    """The name of a number of channels."""
    return {1: "mono", 2: "stereo"}.get(channels) or counted(channels, "channel")


def install(*what: str) -> str:
    """The command that installs packages beside mp3net, where `pip` alone may be another Python's."""
    return shlex.join([sys.executable, "-m", "pip", "install", *what])
