"""The MDCT of audio that arrives block by block: the same coefficients as of the whole, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from mp3net.config import WindowName
from mp3net.dsp.mdct import imdct, mdct

# As many frames are transformed together, unless the audio ends before.
FRAMES_TOGETHER = 1024


def streamed_mdct(
    blocks: Iterable[Tensor], num_bins: int, window_name: WindowName = "vorbis", frames: int = FRAMES_TOGETHER
) -> Iterator[Tensor]:
    """Blocks (C, any S) of one track -> pieces (C, up to `frames`, F) whose concatenation is `mdct(track, edges="zeros")`.

    Frame t covers the hops t - 1 and t of the track, where those before its beginning and after its end are zeros: so every
    piece but the last needs one hop of what follows, which is kept. Nothing is yielded for no samples at all.
    """
    held: list[Tensor] = []
    holding = 0
    needed = (frames + 1) * num_bins
    for block in blocks:
        if not held:
            held, holding = [block.new_zeros(len(block), num_bins)], num_bins
        held.append(block)
        holding += block.shape[1]
        while holding >= needed:
            joined = torch.cat(held, 1)
            yield mdct(joined[:, :needed], num_bins, window_name, edges="crop")
            held = [joined[:, needed - num_bins :]]
            holding = held[0].shape[1]
    if held:
        rest = torch.cat([*held, held[0].new_zeros(len(held[0]), num_bins + -holding % num_bins)], 1)
        yield mdct(rest, num_bins, window_name, edges="crop")


def streamed_imdct(pieces: Iterable[Tensor], window_name: WindowName = "vorbis") -> Iterator[Tensor]:
    """Pieces (C, T, F) of the coefficients of a track -> audio (C, S), in pieces whose concatenation is `imdct` of all."""
    last: Tensor | None = None
    for piece in pieces:
        joined = piece if last is None else torch.cat([last, piece], 1)
        if joined.shape[1] > 1:
            yield imdct(joined, window_name)
        last = joined[:, -1:]
