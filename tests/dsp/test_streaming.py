from __future__ import annotations

import pytest
import torch

from mp3net.dsp.mdct import imdct, mdct
from mp3net.dsp.streaming import streamed_imdct, streamed_mdct


@pytest.mark.parametrize("samples", [1, 63, 64, 65, 640, 10_007])
@pytest.mark.parametrize("sizes", [[1, 70, 3], [64], [10_007], [100]])
@pytest.mark.parametrize("frames", [1, 7, 1024])
def test_pieces_make_the_mdct_of_the_whole(samples, sizes, frames):
    track = torch.randn(2, samples, generator=torch.Generator().manual_seed(samples), dtype=torch.float64)
    edges = torch.tensor(sizes * (samples // sum(sizes) + 1)).cumsum(0)
    pieces = list(streamed_mdct(track.tensor_split(edges[edges < samples], 1), 64, "sine", frames))
    whole = mdct(track, 64, "sine")
    torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=0, atol=1e-15)
    assert all(piece.shape[1] == frames for piece in pieces[:-1])
    torch.testing.assert_close(torch.cat(list(streamed_imdct(pieces, "sine")), 1), imdct(whole, "sine"), rtol=0, atol=1e-13)


def test_there_is_nothing_of_nothing():
    assert list(streamed_mdct([], 64)) == []
    assert list(streamed_imdct([])) == []
