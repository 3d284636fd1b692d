"""Beat and key are found in recordings that have one, and the losses draw songs to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from mp3net.config import DataConfig, override
from mp3net.data.dataset import CropDataset
from mp3net.data.preparation import prepare
from mp3net.data.recordings import below
from mp3net.dsp.mdct import mdct
from mp3net.model.build import build_networks
from mp3net.model.mp3net2.harmony import transposed
from mp3net.model.mp3net2.intervals import interval_profile
from mp3net.model.mp3net2.meter import beat_profile
from mp3net.model.snapshot import open_snapshot, save_snapshot
from mp3net.training.music import BarFit, fitted_keys, measure_music
from tests.training.conftest import SECOND, trainer

WITH_BEAT = override(SECOND, ["model.beat_clocks=3", "model.keys=12"])
FRAME_S = 16 / 8000


def pulses(beat_frames: float, begin: float, num_frames: int = 3000, accents: tuple[float, ...] = (1.0,)) -> torch.Tensor:
    """Levels (1, T, 16) that rise with every beat, by one accent after the other; the first bar begins at frame `begin`."""
    level = torch.full((1, num_frames, 16), 0.0)
    beats = np.arange(begin, num_frames - 2, beat_frames)
    for number, beat in enumerate(beats):
        level[:, round(beat)] = accents[number % len(accents)]
    return level


@pytest.mark.parametrize("beat_frames", [190.0, 251.3, 338.0])
def test_bars_fit_the_onsets(beat_frames):
    level = pulses(beat_frames, 77.0, accents=(2.0, 1.0, 1.5, 1.0))
    candidates = 175.0 * 2 ** (torch.arange(280) / 280)
    beats = BarFit(candidates, 3000)(level)
    assert float(beats.bar_frames) / 4 == pytest.approx(beat_frames, rel=0.004)
    bars = beats.bars(torch.tensor([77.5]))
    assert abs(float(bars) - round(float(bars))) < 0.02  # the accent is where the bar begins
    profile = beat_profile(level, beats.bars(torch.arange(3000) + 0.5))
    assert float(profile[0, -1, 3, 0]) > 0.9


def test_beats_outside_the_octave_are_halved_or_doubled_and_three_are_not_four():
    candidates = 175.0 * 2 ** (torch.arange(280) / 280)
    fit = BarFit(candidates, 3000)
    waltz = pulses(250.0, 9.0, accents=(2.0, 1.0, 1.0))
    for level in (pulses(125.0, 9.0), pulses(500.0, 9.0), waltz):
        assert float(fit(level).bar_frames) / 4 == pytest.approx(250.0, rel=0.004)


def clicking(beats_s: list[float], folder: Path) -> CropDataset:
    """Recordings of 14 s of short tones, one for each beat."""
    folder.mkdir()
    for number, beat_s in enumerate(beats_s):
        sound = np.zeros(14 * 8000)
        decay = np.exp(-np.arange(4000) / 1200) * np.sin(np.arange(4000) * (0.4 + 0.05 * number))
        for start in np.arange(0.1 * number, 13.5, beat_s):
            sound[int(start * 8000) : int(start * 8000) + 4000] += decay
        soundfile.write(folder / f"{number}.wav", 0.5 * sound, 8000)
    data = folder.with_name(f"{folder.name}-data")
    prepare(below(folder), data, DataConfig(sample_rate_hz=8000, channels=1, heldout_share=0), workers=1)
    return CropDataset(data, WITH_BEAT.track_samples)


def test_the_beat_of_recordings_is_measured(tmp_path):
    config = override(WITH_BEAT, ["objective.masking_noise=null"])  # in frames of 2 ms it rises as often as tones do
    networks = build_networks(config)
    measure_music(clicking([0.6, 0.6, 0.6, 0.45], tmp_path / "steady"), config, networks)
    beats_s = networks.generator.beat_frames * FRAME_S
    assert beats_s[2] == pytest.approx(0.45, rel=0.01)
    assert beats_s[len(beats_s) // 2] == pytest.approx(0.6, rel=0.005)
    steady = networks.discriminator.beat.recordings.clone()
    assert steady.shape == (3, 16, 2)
    quarters = float(steady[-1, 3, 0])
    assert quarters > 0.12
    assert steady[-1, [0, 1, 2, 4, 5, 6], 0].abs().max() < 0.1 * quarters
    assert steady[..., 1].abs().max() < 0.5 * quarters
    source = np.random.default_rng(5)
    rare = clicking([float(source.uniform(5, 9)) for _ in range(4)], tmp_path / "rare")
    measure_music(rare, config, networks)
    assert networks.discriminator.beat.recordings[-1, 3, 0] < 0.5 * quarters


def test_keys_that_fit_lead_recordings_back_to_one_profile():
    source = torch.Generator().manual_seed(2)
    base = torch.randn(1, 12, 2, generator=source) * torch.tensor([1, 1, 1, 1, 6, 1, 4, 1, 1, 1, 1, 9.0])[:, None]
    numbers = torch.randint(12, (50,), generator=source)
    back = torch.eye(12)[-numbers % 12]
    recordings = transposed(base.expand(50, -1, -1), back) + 0.1 * torch.randn(50, 12, 2, generator=source)
    keys, profile = fitted_keys(recordings)
    found = keys.argmax(1)
    first = (found - numbers) % 12
    assert (first == first[0]).all()
    torch.testing.assert_close(transposed(profile[None], torch.eye(12)[-first[:1] % 12])[0], base[0], atol=0.2, rtol=0)
    assert profile[4, 0] > 0.9 * profile[4].norm()


def test_a_training_measures_the_beat_before_it_begins(tiny_data):
    session = trainer(WITH_BEAT, tiny_data)
    measured = session.state.networks.generator.beat_frames
    assert torch.equal(session.state.ema.network.beat_frames, measured)
    assert not torch.equal(measured, build_networks(WITH_BEAT).generator.beat_frames)
    assert session.state.networks.discriminator.beat.recordings.abs().max() > 0.01
    assert session.state.networks.discriminator.key.recordings.abs().max() > 0.01
    shares = session.state.networks.generator.key_shares
    assert torch.equal(session.state.ema.network.key_shares, shares)
    assert float(shares[-1]) == pytest.approx(1.0)
    assert not torch.equal(shares, build_networks(WITH_BEAT).generator.key_shares)
    assert 0.35 <= float(measured.min()) * FRAME_S <= float(measured.max()) * FRAME_S <= 0.7


@pytest.mark.parametrize("name", ["beat", "key"])
def test_the_estimate_learns_and_pulls_the_generator(name, tiny_data):
    session = trainer(WITH_BEAT, tiny_data)
    discriminator, generator = session.state.networks.discriminator, session.state.networks.generator
    terms = session.steps.discriminator_gradients(step=1)
    assert {f"{name}/followed", f"{name}/gap"} <= terms.keys()
    estimate = getattr(discriminator, name)
    assert estimate.scaled.grad.abs().max() > 0
    assert float(terms[f"{name}/gap"]) == 0.0

    def gradient() -> torch.Tensor:
        session.steps.generator_gradients()
        return generator.to_bins.weight.grad.clone()

    before = gradient()
    with torch.no_grad():
        estimate.scaled.copy_(-estimate.recordings / 10)
    pulled = gradient()
    assert float((pulled - before).abs().max()) > 1e-4 * float(before.abs().max())
    without = trainer(override(WITH_BEAT, [f"objective.{name}_weight=0.0"]), tiny_data)
    assert f"{name}/followed" not in without.steps.discriminator_gradients(step=1)


def test_the_beat_does_not_depend_on_how_a_batch_is_divided(tiny_data):
    whole = trainer(WITH_BEAT, tiny_data).steps
    parts = trainer(override(WITH_BEAT, ["run.micro_batch_size=1"]), tiny_data).steps
    for session in (whole, parts):
        session.discriminator_gradients(step=1)
    for name in ("beat", "key"):
        one, other = (getattr(session.state.networks.discriminator, name).scaled.grad for session in (whole, parts))
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


MOVING = override(
    WITH_BEAT,
    [
        "model.movement_lags=[1, 4]",
        "model.loudness_lags=[1, 3]",
        "model.tuning_harmonics=2",
        "model.interval_lags=[0, 2, 5]",
    ],
)


@pytest.mark.parametrize(
    ("name", "shape", "weight"),
    [
        ("tuning", (2, 2, 3), "tuning"),
        ("movement", (2, 2, 16), "movement"),
        ("loudness", (2, 2, 16), "loudness"),
        ("intervals", (3, 49), "interval"),
    ],
)
def test_how_recordings_are_is_measured_and_songs_are_drawn_to_it(tiny_data, name, shape, weight):
    """The estimate is trained, and pulls the generator; without weight there is none."""
    session = trainer(MOVING, tiny_data)
    estimate = session.state.networks.discriminator.estimates[name]
    assert estimate.recordings.shape == shape
    assert (0.01 if name != "tuning" else -1) < float(estimate.recordings.min()) < float(estimate.recordings.max()) < 1
    terms = session.steps.iteration()
    assert {f"{name}/gap", f"{name}/followed"} <= terms.keys()
    assert float(estimate.scaled.detach().abs().median()) > 0, "the estimate is trained"
    slopes = slopes_by_gap(session, estimate, (0.0, 0.01))
    assert float((slopes[1] - slopes[0]).norm()) > 1e-3 * float(slopes[0].norm())
    silent = trainer(override(MOVING, [f"objective.{weight}_weight=0"]), tiny_data)
    assert f"{name}/gap" not in silent.steps.iteration()


def test_intervals_are_measured_in_pieces_as_long_as_tracks(tmp_path):
    """Of crops of 12 s, which hold many short tracks, the mean of roots would be that of longer pieces."""
    config = override(MOVING, ["objective.masking_noise=null"])
    data = clicking([0.6, 0.6, 0.7, 0.45], tmp_path / "clicks")
    networks = build_networks(config)
    measure_music(data, config, networks)
    front_end = networks.discriminator.front_end
    source = CropDataset(data.store, (config.model.num_frames + 1) * config.audio.hop_length)
    pieces = mdct(source.batch(1, 0, 400), config.audio.num_bins, config.audio.window, edges="crop")
    assert pieces.shape[2] == config.model.num_frames
    expected = interval_profile(front_end(pieces), config.audio, config.model.interval_lags).mean(0)
    measured = networks.discriminator.intervals.recordings
    torch.testing.assert_close(measured, expected, atol=0.05, rtol=0)  # 0.48 of the whole crops


def test_a_gap_of_movement_beyond_the_longest_pulls_no_more(tiny_data):
    session = trainer(MOVING, tiny_data)
    movement = session.state.networks.discriminator.movement
    torch.testing.assert_close(*slopes_by_gap(session, movement, (1.0, 100.0)), rtol=1e-3, atol=1e-6)


def slopes_by_gap(session, estimate, wide: tuple[float, float]) -> list[torch.Tensor]:
    """What the generator is told when every number of the scaled estimate is this one."""
    slopes = []
    for value in wide:
        with torch.no_grad():
            estimate.scaled.fill_(value)
        session.steps.generator_gradients()
        slopes.append(session.state.networks.generator.to_bins.weight.grad.clone())
    return slopes


def test_a_training_may_begin_with_networks_that_knew_nothing_of_movement_and_intervals(tiny_data, tmp_path):
    before = trainer(WITH_BEAT, tiny_data)
    weights = before.state.networks.generator.state_dict(), before.state.networks.discriminator.state_dict()
    save_snapshot(tmp_path / "before", WITH_BEAT, *weights, {"tracks_seen": 0})
    after = trainer(MOVING, tiny_data, init_from=open_snapshot(tmp_path / "before"))
    discriminator = after.state.networks.discriminator
    assert discriminator.movement.recordings.abs().max() > 0.01
    assert discriminator.loudness.recordings.abs().max() > 0.01
    assert discriminator.tuning.recordings.abs().max() > 0.01
    assert discriminator.intervals.recordings.abs().max() > 0.01
    assert torch.equal(discriminator.from_bins.weight, before.state.networks.discriminator.from_bins.weight)
    assert torch.equal(discriminator.key.recordings, before.state.networks.discriminator.key.recordings)
    weights = after.state.networks.generator.state_dict(), discriminator.state_dict()
    save_snapshot(tmp_path / "after", MOVING, *weights, {"tracks_seen": 0})
    back = trainer(WITH_BEAT, tiny_data, init_from=open_snapshot(tmp_path / "after"))
    assert back.state.networks.discriminator.estimates.keys() == {"beat", "key"}
