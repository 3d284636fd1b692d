from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from mp3net import MP3net
from mp3net.config import override
from mp3net.dsp.mdct import imdct
from mp3net.errors import Mp3netError
from mp3net.generation import BUNDLED, Song, fades
from mp3net.model.build import build_discriminator
from mp3net.model.paper.generator import Generator
from mp3net.model.snapshot import open_snapshot, save_snapshot
from mp3net.model.weights import load_tensors, save_tensors
from mp3net.training.state import build_state
from tests.training.conftest import TINY


@pytest.fixture
def snapshot(tmp_path):
    """A snapshot with a loud, untrained stereo generator: its peak lies beyond 1."""
    config = override(TINY, ["audio.channels=2"])
    state = build_state(config, torch.device("cpu"))
    weights = {name: 2.5 * value for name, value in state.networks.generator.named_parameters()}
    save_snapshot(tmp_path / "snapshot", config, weights, None, {"tracks_seen": 3})
    return tmp_path / "snapshot"


def test_the_bundled_snapshot_makes_music_sized_audio():
    song = MP3net.from_pretrained().generate(seed=7)
    config = open_snapshot(BUNDLED).config
    assert song.sample_rate_hz == config.audio.sample_rate_hz
    assert song.audio.shape == (config.audio.channels, (config.model.num_frames - 1) * config.audio.num_bins)
    assert song.audio.dtype == np.float32
    assert 0.01 < song.peak < 3


def test_seeds_are_reproducible_and_independent_of_company(snapshot):
    model = MP3net.from_pretrained(snapshot)
    alone = model.generate(3).audio
    batch = [model.generate(seed).audio for seed in range(1, 5)]
    assert np.array_equal(alone, batch[2])
    assert not np.array_equal(batch[0], batch[1])
    assert np.array_equal(alone, MP3net.from_pretrained(snapshot).generate(3).audio)
    ends = [model.generate(seed).audio for seed in (0, 2**31, 2**32 - 1)]
    assert not any(np.array_equal(a, b) for a, b in ((ends[0], ends[1]), (ends[1], ends[2]), (ends[0], ends[2])))


def test_the_sound_is_the_inverse_transform_of_the_generator(snapshot):
    model = MP3net.from_pretrained(snapshot)
    generator = Generator(model.config.model, 2)
    generator.load_state_dict(load_tensors(snapshot / "generator.safetensors"))
    z = torch.randn(1, 8, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = imdct(generator(z))[0].numpy()
    middle = slice(80, -80)  # inside the fades
    np.testing.assert_allclose(model.generate(5).audio[:, middle], expected[:, middle], atol=1e-5)


def test_songs_start_and_end_without_a_click(snapshot):
    for model in (MP3net.from_pretrained(), MP3net.from_pretrained(snapshot)):
        sound = model.generate(1).audio
        assert np.abs(sound[:, 0]).max() == 0
        assert np.abs(sound[:, -1]).max() == 0
        # The steps of the first and last millisecond are no larger than those in the middle of the song.
        steps = np.abs(np.diff(sound))
        length = model.config.audio.sample_rate_hz // 1000
        assert max(steps[:, :length].max(), steps[:, -length:].max()) < 0.25 * steps.max()


def test_fades_are_short_and_leave_the_rest_alone():
    gains = fades(22016, 22016)
    assert float(gains[0]) == float(gains[-1]) == 0
    assert bool((gains[220:-220] == 1).all())
    assert bool((np.diff(gains)[:219] > 0).all())
    assert np.array_equal(gains, gains[::-1])
    assert len(fades(10, 22016)) == 10


def test_peaks_are_lowered_and_reported_never_clipped(snapshot, tmp_path):
    song = MP3net.from_pretrained(snapshot).generate(2)
    assert song.peak > 1, "the fixture must be loud enough to test this"
    assert song.gain == pytest.approx(0.999 / song.peak)
    song.save(tmp_path / "x.wav")
    samples, _ = soundfile.read(tmp_path / "x.wav")
    np.testing.assert_allclose(samples.T, song.audio * song.gain, atol=2**-15)
    quiet = Song(0.01 * song.audio, 8000, 2)
    assert quiet.gain == 1
    assert Song(np.zeros((1, 5), np.float32), 8000, 0).gain == 1


def test_bfloat16_is_close_to_float32(snapshot):
    exact = MP3net.from_pretrained(snapshot).generate(1).audio
    coarse = MP3net.from_pretrained(snapshot, precision="bfloat16").generate(1).audio
    error = np.sqrt(np.mean((exact - coarse) ** 2) / np.mean(exact**2))
    assert 1e-6 < error < 0.15


def test_a_device_that_is_not_there(snapshot):
    for device in ("tpu", "xla:3", *([] if torch.cuda.is_available() else ["cuda"])):
        with pytest.raises(Mp3netError, match=f"device '{device}': PyTorch cannot use it here: "):
            MP3net.from_pretrained(snapshot, device=device)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "1"])
def test_seed_out_of_range(snapshot, seed):
    with pytest.raises(Mp3netError, match="give a whole number from 0 to 4294967295"):
        MP3net.from_pretrained(snapshot).generate(seed)


def edit(snapshot, change):
    content = json.loads((snapshot / "config.json").read_text())
    change(content)
    (snapshot / "config.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "no such folder"),
        (lambda s: (s / "config.json").unlink(), "holds neither config.json nor checkpoints/"),
        (lambda s: (s / "config.json").write_text("{"), "cannot be read as JSON"),
        (lambda s: (s / "config.json").write_text("[]"), "not a configuration of format 3"),
        (lambda s: edit(s, lambda c: c.update(format_version=99)), "newer mp3net, upgrade"),
        (lambda s: edit(s, lambda c: c["config"]["model"].update(size=3)), "unknown key 'model.size'"),
        (lambda s: edit(s, lambda c: c["config"]["model"].update(latent_dim=9)), r"dense.weight: .*\(64, 8\) instead of .*\(64, 9\)"),
        (lambda s: edit(s, lambda c: c["config"]["audio"].update(num_bins=8)), "audio.num_bins = 8 but"),
        (lambda s: (s / "generator.safetensors").unlink(), "generator.safetensors: no such file"),
        (lambda s: (s / "generator.safetensors").write_bytes(b"\x80\x04" * 50), "not a complete safetensors file"),
        (lambda s: (s / "generator.safetensors").write_bytes((s / "generator.safetensors").read_bytes()[:-9]), "not a complete"),
    ],
)  # fmt: skip
def test_damaged_snapshots_are_explained(snapshot, damage, message):
    damage(snapshot)
    with pytest.raises(Mp3netError, match=message):
        MP3net.from_pretrained(snapshot)


def test_half_precision_weights_are_widened(snapshot):
    """What is shared packed sounds the same; other kinds of numbers are refused."""
    config, weights = open_snapshot(snapshot).config, load_tensors(snapshot / "generator.safetensors")
    for name, kind in (("half", torch.float16), ("whole", torch.int32)):
        save_snapshot(snapshot.parent / name, config, {key: value.to(kind) for key, value in weights.items()}, None, {})
    full = MP3net.from_pretrained(snapshot)
    half = MP3net.from_pretrained(snapshot.parent / "half")
    assert next(half.generator.parameters()).dtype == torch.float32
    a, b = full.generate(3).audio, half.generate(3).audio
    assert 0 < np.abs(a - b).max() < 0.01 * np.abs(a).max()
    with pytest.raises(Mp3netError, match="int32"):
        MP3net.from_pretrained(snapshot.parent / "whole")


def test_non_finite_weights_are_not_played(snapshot):
    config = open_snapshot(snapshot).config
    weights = load_tensors(snapshot / "generator.safetensors")
    weights["to_audio.bias"][0] = float("nan")
    save_snapshot(snapshot.parent / "bad", config, weights, None, {})
    with pytest.raises(Mp3netError, match="weights are damaged"):
        MP3net.from_pretrained(snapshot.parent / "bad").generate(1)


def test_the_snapshot_that_came_with_format_1_sounds_and_scores_as_it_did(tmp_path):
    """Its configuration as it was written, its tensors' names and shapes, and what the program of that time made of
    weights drawn by a rule: normal, over the root of their inputs."""
    old = json.loads((Path(__file__).parent / "format_1" / "bundled.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(old["config.json"]))
    for seed, (network, shapes) in enumerate(old["shapes"].items()):
        source = torch.Generator().manual_seed(seed)
        weights = {
            name: torch.randn(shape, generator=source) / max(math.prod(shape[1:]), 1) ** 0.5
            for name, shape in shapes.items()
        }
        save_tensors(tmp_path / f"{network}.safetensors", weights)
    model = MP3net.from_pretrained(tmp_path)
    sound = model.generate(5).audio[0]
    first = old["song"]["from"]
    np.testing.assert_allclose(sound[first : first + 8], old["song"]["values"], rtol=1e-3)
    assert (len(sound), np.sqrt(np.mean(sound.astype(float) ** 2))) == (
        old["song"]["samples"],
        pytest.approx(old["song"]["rms"], rel=1e-3),
    )
    discriminator = build_discriminator(model.config)
    model.snapshot.load_discriminator(discriminator)
    with torch.no_grad():
        score = discriminator(model.coefficients(model.latent(5)).clone())
    assert score.item() == pytest.approx(old["score"], rel=1e-3)
    assert model.snapshot.metadata["tracks_seen"] == 102_352
