"""How commands end when they are told to."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

# What batch systems send before they kill, and what a closed terminal sends; Windows has no terminal that would.
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP) if hasattr(signal, "SIGHUP") else (signal.SIGTERM,)


@contextmanager
def ended_tidily() -> Iterator[None]:
    """The signals that tell a process to end do so as Ctrl-C does, within the block."""
    before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    for number in before:
        if not ignored(number):
            signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignored(number: int) -> bool:
    """Whether whoever started this process wants it to go on, as `nohup` does."""
    return signal.getsignal(number) == signal.SIG_IGN


def terminals() -> list[int]:
    """Those of the three standard streams that are a terminal."""
    return [stream for stream in range(3) if os.isatty(stream)]


def leave(streams: Sequence[int]) -> None:
    """What is printed there from now on goes nowhere: writing to a terminal that was closed fails."""
    with open(os.devnull, "r+b") as nowhere:  # noqa: PTH123
        for stream in streams:
            os.dup2(nowhere.fileno(), stream)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
