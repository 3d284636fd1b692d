"""What is said while work takes a while."""

from __future__ import annotations

import sys
import time

# Where progress is no line that is written over, so often there is a new one.
LINE_EVERY_S = 30.0


class Waiting:
    """How far work is, how fast, how long yet, on standard error: on a terminal in one line after the first second, else in
    a line every half a minute."""

    def __init__(self, done_words: str, rate_words: str) -> None:
        self.done_words, self.rate_words = done_words, rate_words
        self.started = time.perf_counter()
        self.on_terminal = sys.stderr.isatty()
        self.next_s = 1.0 if self.on_terminal else LINE_EVERY_S

    def __call__(self, done: float, total: float) -> None:
        took_s = time.perf_counter() - self.started
        if took_s < self.next_s:
            return
        rate = done / took_s
        shown = f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}"
        text = f"{done:.0f} of {total:.0f} {self.done_words}, {shown} {self.rate_words}, {(total - done) / rate:.0f} s left"
        if self.on_terminal:
            print(f"\r{text}  ", end="" if done < total else "\n", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)
            self.next_s = took_s + LINE_EVERY_S
