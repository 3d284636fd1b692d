"""Numbers, quantities and commands in sentences."""

from __future__ import annotations

import shlex
import sys


def counted(number: int, noun: str) -> str:
    """ "1 file", "2 files", "12,000 tracks", "2 processes"."""
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"


def duration(seconds: float) -> str:
    """Hours, or seconds if hours would vanish in two decimals."""
    return f"{seconds / 3600:.2f} h" if seconds >= 360 else f"{seconds:.0f} s"


def size(num_bytes: float) -> str:
    """In GB, or in MB below a tenth of one."""
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.1f} MB"


def mono_or_stereo(channels: int) -> str:
    """The name of a number of channels."""
    return {1: "mono", 2: "stereo"}.get(channels) or counted(channels, "channel")


def install(*what: str) -> str:
    """The command that installs packages beside mp3net, where `pip` alone may be another Python's."""
    return shlex.join([sys.executable, "-m", "pip", "install", *what])
