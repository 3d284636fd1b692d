"""Partials: their coefficients against the MDCT of the sound itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mp3net.dsp import constants, tables
from mp3net.dsp.mdct import mdct
from mp3net.dsp.partials import clock, clock_period, render

FRAMES = 12


def amplitudes(num_bins: int, per_bin: int, seed: int = 0) -> torch.Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(FRAMES, 2, num_bins, per_bin, dtype=torch.float64, generator=source)


def one(num_bins: int, per_bin: int, number: int, value: complex) -> torch.Tensor:
    """The amplitude of a single partial, the same in all frames."""
    z = torch.zeros(FRAMES, 2, num_bins, per_bin, dtype=torch.float64)
    z[:, 0, number // per_bin, number % per_bin], z[:, 1, number // per_bin, number % per_bin] = value.real, value.imag
    return z


def sine(num_bins: int, nu: float, phase: float) -> torch.Tensor:
    """Coefficients of cos(pi nu (n - N + 1/2) / N + phase)."""
    n = torch.arange((FRAMES + 1) * num_bins, dtype=torch.float64)
    return mdct(torch.cos(math.pi / num_bins * nu * (n - num_bins + 0.5) + phase)[None], num_bins, edges="crop")[0]


@pytest.mark.parametrize(("num_bins", "per_bin"), [(36, 1), (64, 2), (100, 3), (256, 2)])
def test_a_constant_amplitude_is_a_steady_sine(num_bins, per_bin):
    gains = []
    count = num_bins * per_bin
    for number in (0, 1, count // 7, count // 2 + 1, count - 2, count - 1):
        phase = 0.4 + number
        made = render(one(num_bins, per_bin, number, complex(math.cos(phase), math.sin(phase))))
        expected = sine(num_bins, (number + 0.5) / per_bin, phase)
        gain = float((made * expected).sum() / expected.square().sum())
        gains.append(gain)
        # What the window lets through beyond 8 bins is left out: -64 dB of the largest coefficient.
        assert float((made - gain * expected).abs().max() / made.abs().max()) < 7e-4
    assert max(gains) / min(gains) == pytest.approx(1, abs=2e-3)
    assert min(gains) > 0


def test_a_pitch_between_two_partials_is_an_amplitude_that_turns():
    """A quarter of the spacing above a partial the turn per frame is pi / 4 R; the window's response is an eighth of a bin off."""
    per_bin, nu = 2, 20.25
    turn = math.pi / per_bin / 4 * torch.arange(FRAMES, dtype=torch.float64)
    z = one(64, per_bin, 40, 1 + 0j)
    z[:, 0, 20, 0], z[:, 1, 20, 0] = turn.cos(), turn.sin()
    made, expected = render(z), sine(64, nu + 0.25 / per_bin, 0.0)
    made = made / made.norm() * expected.norm()
    exact = render(one(64, per_bin, 40, 1 + 0j))
    assert float((made - expected).norm() / expected.norm()) < 0.14
    assert float((exact / exact.norm() * expected.norm() - expected).norm() / expected.norm()) > 0.5


@pytest.mark.parametrize(("num_bins", "per_bin"), [(100, 1), (64, 2), (300, 2)])
def test_independent_amplitudes_keep_their_power(num_bins, per_bin):
    power = torch.stack([render(amplitudes(num_bins, per_bin, seed)).square().mean() for seed in range(8)]).mean()
    assert float(power) == pytest.approx(1, abs=0.03)


def test_blocks_of_bins_do_not_show(monkeypatch):
    z = amplitudes(150, 2)
    whole = render(z)
    for block in (16, 50, 149, 150, 4096):
        monkeypatch.setattr(constants, "_built", {})
        monkeypatch.setattr(tables, "BLOCK_BINS", block)
        torch.testing.assert_close(render(z), whole, atol=1e-13, rtol=0)


def test_it_is_linear_and_differentiable_and_batches_are_independent():
    x, y = amplitudes(18, 2), amplitudes(18, 2, 1)
    torch.testing.assert_close(render(2 * x - 3 * y), 2 * render(x) - 3 * render(y), atol=1e-12, rtol=0)
    torch.testing.assert_close(render(torch.stack([x, y])[None]), torch.stack([render(x), render(y)])[None])
    assert torch.autograd.gradcheck(render, x[:2].requires_grad_(True))
    assert render(x.float()).dtype == torch.float32


def test_the_clock_is_exact_after_an_hour():
    like = torch.zeros(512, 2)
    cosine, sine_ = clock(160_000, like)
    nu = (torch.arange(1024, dtype=torch.float64) + 0.5) / 2
    angle = torch.remainder(159_999 * nu / 2, 1) * 2 * math.pi  # exact: nu / 2 are multiples of 1 / 8
    for found, expected in ((cosine, angle.cos()), (sine_, angle.sin())):
        torch.testing.assert_close(found[-1], expected.reshape(512, 2).float(), atol=1e-6, rtol=0)


def test_partials_begin_where_they_are_told():
    """Against complex numbers; and the tables that are given are those that are used."""
    z = amplitudes(18, 3)
    angles = amplitudes(18, 3, 5)[:1, 0] * 3
    told = clock(FRAMES, z, angles)
    both = torch.complex(z[:, 0], z[:, 1]) * torch.exp(1j * angles)
    torch.testing.assert_close(render(z, turns=told), render(torch.stack([both.real, both.imag], 1)))
    assert float((render(z, turns=told) - render(z)).std()) > 0.5


def test_tables_are_kept_apart_by_partials_and_window():
    x = one(20, 1, 7, 1 + 0j)
    first = render(x)
    assert float((render(x, "sine") - first).abs().max()) > 0.01
    assert render(one(20, 3, 22, 1 + 0j)).shape == first.shape
    torch.testing.assert_close(render(x), first)


@pytest.mark.parametrize(("num_bins", "per_bin", "hold"), [(36, 1, 2), (100, 3, 4), (64, 8, 4), (20, 1, 8)])
def test_held_amplitudes_are_those_of_every_frame_on_straight_lines(num_bins, per_bin, hold):
    """Between the middles of two amplitudes lies a straight line, and silence before the first and after the last one."""
    few = amplitudes(num_bins, per_bin)[:5]
    angles = amplitudes(num_bins, per_bin, 5)[:1, 0]
    middles = hold * (np.arange(7) - 1) + hold / 2 - 0.5
    frames = np.arange(6 * hold) - hold // 2
    silent = torch.zeros_like(few[:1])
    points = torch.cat([silent, few, silent]).flatten(1).numpy()
    lines = np.stack([np.interp(frames, middles, column) for column in points.T], 1)
    every = torch.from_numpy(lines).reshape(len(frames), *few.shape[1:])
    expected = render(every, turns=clock(len(frames), every, angles, first=-(hold // 2)))
    made = render(few, turns=clock(5, few, angles, hold), hold_frames=hold)
    torch.testing.assert_close(made, expected, atol=1e-12, rtol=0)


def test_held_amplitudes_in_pieces_overlap_by_the_hold():
    few = amplitudes(20, 3)
    whole = render(few, hold_frames=2)
    first, second = (
        render(piece, turns=clock(6, piece, None, 2, start), hold_frames=2) for piece, start in ((few[:6], 0), (few[6:], 6))
    )
    assert (len(first), len(second), len(whole)) == (14, 14, 26)
    torch.testing.assert_close(first[-2:] + second[:2], whole[12:14], atol=1e-12, rtol=0)
    torch.testing.assert_close(first[:-2], whole[:12], atol=1e-12, rtol=0)
    torch.testing.assert_close(second[2:], whole[14:], atol=1e-12, rtol=0)


def test_the_clock_of_held_amplitudes_begins_anew_after_whole_turns_of_all_partials():
    for per_bin, hold, amplitudes_ in ((1, 1, 4), (1, 8, 1), (3, 4, 3), (8, 4, 8), (3, 8, 3)):
        assert clock_period(per_bin, hold) == amplitudes_
        like = torch.zeros(20, per_bin, dtype=torch.float64)
        for held, every in zip(clock(40, like, None, hold, first=-1), clock(40 * hold, like), strict=True):
            torch.testing.assert_close(held[1:], every[: 39 * hold : hold], atol=1e-13, rtol=0)


def test_fades_add_up_to_one_and_odd_holds_are_refused():
    for hold in (2, 4, 16):
        fade = tables.fades(hold)
        np.testing.assert_allclose(fade[:hold] + fade[hold:], 1)
    assert tables.fades(1).tolist() == [1]
    for hold in (0, 3, -2):
        with pytest.raises(ValueError, match=f"hold_frames = {hold}"):
            tables.fades(hold)
