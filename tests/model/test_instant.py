"""The second family without PyTorch against the network itself."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from mp3net.config import PRESETS, Mp3net2Model, override
from mp3net.dsp.mdct import imdct
from mp3net.dsp.plain import inverse
from mp3net.generation.latents import normal
from mp3net.model.build import build_generator
from mp3net.model.mp3net2 import instant
from mp3net.model.mp3net2.instant import InstantGenerator
from tests.model.small_networks import CONFIG, MODEL, source, with_beat, with_phases

KINDS = {
    "coefficients": CONFIG,
    "two blocks per level": CONFIG.model_copy(update={"model": MODEL.model_copy(update={"blocks_per_level": 2})}),
    "partials": with_phases(phase_dim=0, per_bin=2),
    "free phases": with_phases(),
    "styles of parts": override(with_phases(), ["model.global_share=0.25", "model.local_dim=6"]),
    "beat": with_beat(keys=0),
    "key": with_beat(clocks=0),
    "beat and key": with_beat(),
}


def both(config):
    generator = build_generator(config)
    generator.initialise(source())
    torch.nn.init.normal_(generator.attention.to_out.weight, std=0.3, generator=source(1))
    with torch.no_grad():
        generator.bin_levels.uniform_(0.5, 2, generator=source(2))
        if config.model.beat_clocks:
            generator.beat_frames.copy_(torch.linspace(9.0, 14.0, len(generator.beat_frames)))
    weights = {name: value.detach().numpy() for name, value in generator.state_dict().items()}
    return generator, InstantGenerator(config.model, config.audio, weights)


@pytest.mark.parametrize("at_once", [1, 7, 128])
@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_it_makes_what_the_network_makes(config, at_once, monkeypatch):
    monkeypatch.setattr(instant, "FRAMES_AT_ONCE", at_once)
    monkeypatch.setattr(instant, "DEEPEST_AT_ONCE", 3 * at_once)
    generator, plain = both(config)
    z = normal(3, config.model.latent_size(40))
    with torch.no_grad():
        expected = generator(torch.from_numpy(z)[None])[0].numpy()
    opening = plain.open(z)
    for first, last in ((0, 40), (0, 1), (13, 29), (39, 40), (5, 40)):
        made = plain.section(opening, first, last)
        assert made.dtype == np.float32
        np.testing.assert_allclose(made, expected[:, first:last], atol=1e-5 * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize("name", [name for name, config in PRESETS.items() if isinstance(config.model, Mp3net2Model)])
def test_it_knows_the_names_and_shapes_of_the_weights(name):
    config = PRESETS[name]
    with torch.device("meta"):
        wanted = {key: tuple(value.shape) for key, value in build_generator(config).state_dict().items()}
    assert InstantGenerator.shapes(config.model, config.audio) == wanted


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_shapes_of_small_networks(config):
    wanted = {key: tuple(value.shape) for key, value in build_generator(config).state_dict().items()}
    assert InstantGenerator.shapes(config.model, config.audio) == wanted


def test_held_amplitudes_are_left_to_pytorch():
    assert not InstantGenerator.can_play(with_phases(hold_frames=2).model)
    assert InstantGenerator.can_play(with_phases().model)


def test_latents_of_another_length_are_refused():
    _, plain = both(CONFIG)
    for size in (0, 5, MODEL.common_size, MODEL.latent_size(40) + 1):
        with pytest.raises(ValueError, match="whole parts of"):
            plain.open(np.zeros(size, np.float32))


@pytest.mark.parametrize("num_bins", [4, 64, 256, 512, 1024])
@pytest.mark.parametrize("window", ["vorbis", "sine"])
def test_the_inverse_transform_is_the_same(num_bins, window):
    coefficients = torch.randn(2, 7, num_bins, generator=source())
    exact = imdct(coefficients.double(), window).numpy()
    made = inverse(coefficients.numpy(), window)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, exact, atol=2e-6 * np.abs(exact).max() * np.sqrt(num_bins), rtol=0)


@pytest.mark.parametrize("count", [2**16, 2**17 + 5, 1, 2, 5, 8, 15, 16, 17, 31, 32, 33, 100, 4640])
@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1])
def test_random_numbers_are_those_of_pytorch(count, seed):
    expected = torch.randn(count, generator=torch.Generator().manual_seed(seed)).numpy()
    np.testing.assert_allclose(normal(seed, count), expected, atol=3e-6, rtol=0)


def test_a_song_needs_no_pytorch():
    program = (
        "import sys; from mp3net import MP3net; song = MP3net.from_pretrained().generate(3, 2.0); "
        "print(song.audio.shape, [name for name in ('torch', 'scipy', 'matplotlib', 'av', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "(1, 22016) []\n"
