"""Which frames of each level a section of a track is made of. Above the deepest level everything is local along frames.

A convolution sees one frame on either side, a block has two of them, and doubling (`layers.doubled`) makes frames 2 i and
2 i + 1 from i - 1, i and i + 1. At the two ends of a track a network repeats the outer frame; inside of a track it must
compute a few frames more than are wanted, whose own neighbours are missing, and leave them out.
"""

from __future__ import annotations

from dataclasses import dataclass

from mp3net.config import Mp3net2Model


@dataclass(frozen=True)
class Span:
    """Frames from `first` to before `last`."""

    first: int
    last: int

    def within(self, first: int) -> slice:
        """Where they lie in a sequence that begins with frame `first`."""
        return slice(self.first - first, self.last - first)

    def wider(self, frames: int, total: int) -> Span:
        """With so many frames more on either side, of the `total` that there are."""
        return Span(max(self.first - frames, 0), min(self.last + frames, total))

    def parts(self, each: int) -> Span:
        """The parts of `each` frames on which these depend: the latents of neighbouring parts fade into each other."""
        return Span(max(self.first // each - 1, 0), -(-self.last // each) + 1)


@dataclass(frozen=True)
class LevelSpan:
    """A level's part in a section: the frames that go into its blocks, and those that come out right."""

    enters: Span
    leaves: Span


def level_spans(config: Mp3net2Model, num_parts: int, wanted: Span) -> list[LevelSpan]:
    """For `wanted` frames of the last of the generator's levels: what each level computes, the deepest first.

    The deepest computes all of its frames, for the attention sees all.
    """
    found: list[LevelSpan] = []
    for frames in reversed(config.generator_level_frames[1:]):
        enters = wanted.wider(2 * config.blocks_per_level, num_parts * frames)
        found.append(LevelSpan(enters, wanted))
        wanted = Span(max((enters.first - 1) // 2, 0), min(enters.last // 2 + 1, num_parts * frames // 2))
    whole = Span(0, num_parts * config.base_frames)
    return [LevelSpan(whole, wanted), *reversed(found)]


def amplitude_span(config: Mp3net2Model, frames: Span) -> Span:
    """The amplitudes of partials, each held for `hold_frames` H, that sound in these frames of a track.

    Amplitude k sounds in the frames k H - H / 2 to k H + 3 H / 2 - 1: those before the first and after the last are counted.
    """
    hold = config.hold_frames
    return frames if hold == 1 else Span(frames.first // hold - 1, -(-frames.last // hold) + 1)
