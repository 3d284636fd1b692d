"""What the second family's discriminator hears: its front-end and its views, by the physics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mp3net.config import AudioConfig
from mp3net.dsp.mdct import mdct
from mp3net.model.mp3net2.front_end import FrontEnd
from mp3net.model.mp3net2.views import View
from tests.model.small_networks import AUDIO, CONFIG, MODEL, networks, noise, source


@pytest.mark.parametrize(("hearing_db", "gain"), [(0.0, 1.0), (-12.0, 3.0)])
def test_the_front_end_is_what_its_docstring_says(hearing_db, gain):
    """Against plain complex numbers, on sound with silence and tones."""
    front_end = FrontEnd(AUDIO, hearing_db, gain).double()
    front_end.bin_levels.copy_(torch.linspace(0.01, 0.1, 16))
    audio = 0.2 * noise(1, 2, 13 * 16)
    audio[..., :64] = 0
    coefficients = mdct(audio, 16, edges="crop")
    found = front_end(coefficients)[0].detach().numpy()  # (T, 6, C, F)
    assert found.shape == (12, 6, 2, 16)
    from mp3net.dsp.baseband import baseband

    i, q = baseband(coefficients)
    c = torch.complex(i, q)[0].numpy()
    m = front_end.psychoacoustics.masking_threshold(torch.from_numpy(np.sqrt(np.abs(c) ** 2 + 1e-14))).numpy()
    level = 0.3 * np.log(1 + np.abs(c) ** 2 / (10 ** (hearing_db / 20) * m) ** 2)
    phase = c / np.sqrt(np.abs(c) ** 2 + 1e-3 * m**2)
    rotated = level * phase
    before = np.concatenate([np.zeros_like(rotated[:, :1]), rotated[:, :-1]], 1)
    level_before = np.concatenate([np.zeros_like(level[:, :1]), level[:, :-1]], 1)
    turn = rotated * before.conj() / np.sqrt(level * level_before + 1e-4)
    loudness = gain * (0.4 * np.log(m / np.linspace(0.01, 0.1, 16)) + 1)
    expected = [level, rotated.real, rotated.imag, turn.real, turn.imag, loudness]
    for number, values in enumerate(expected):
        np.testing.assert_allclose(found[:, number], values.transpose(1, 0, 2), atol=2e-6, err_msg=str(number))


def test_the_front_end_holds_a_steady_tone_still_and_is_finite_in_silence():
    audio = AudioConfig(sample_rate_hz=11008, channels=1, num_bins=256)
    front_end = FrontEnd(audio)
    t = torch.arange(21 * 256, dtype=torch.float64) / 11008
    tone = mdct(0.3 * torch.sin(2 * math.pi * 700.0 * t)[None, None], 256, edges="crop").float()
    features = front_end(tone)[0, 2:-2, :, 0]
    loud = int(700 / 21.5)
    assert float(features[:, 0, loud].std()) < 1e-3 * float(features[:, 0, loud].mean())
    for number in (3, 4):  # the turn from frame to frame
        assert float(features[:, number, loud].std()) < 1e-2
    silence = torch.zeros(1, 1, 4, 256, requires_grad=True)
    features = front_end(silence)
    assert float(features.detach()[:, :, :5].abs().max()) == 0
    (gradient,) = torch.autograd.grad(features.sum(), silence)
    assert bool(torch.isfinite(gradient).all())


def test_the_discriminator_hears_as_deep_as_it_is_told():
    for hearing_db, factor in ((0.0, 1.0), (-20.0, 0.1)):
        model = MODEL.model_copy(update={"hearing_db": hearing_db})
        assert networks(CONFIG.model_copy(update={"model": model})).discriminator.front_end.hearing == pytest.approx(factor)


def test_weights_can_go_on_with_another_gain_of_loudness():
    """What a discriminator says stays the same when its front-end's gain is changed, and its weights are told."""
    quiet, loud = (
        networks(CONFIG.model_copy(update={"model": MODEL.model_copy(update={"loudness_gain": gain})}))
        for gain in (1.0, 3.0)
    )
    loud.discriminator.load_state_dict(quiet.discriminator.state_dict())
    coefficients = 0.1 * noise(2, CONFIG.audio.channels, MODEL.num_frames, CONFIG.audio.num_bins)
    expected = quiet.discriminator(coefficients)
    assert (loud.discriminator(coefficients) - expected).abs().max() > 1e-3
    loud.hear_as_before(quiet.discriminator.config)
    torch.testing.assert_close(loud.discriminator(coefficients), expected, rtol=1e-4, atol=1e-5)


def test_a_view_is_what_its_docstring_says():
    """Against plain complex numbers and a sum over frames."""
    view = View(8, 3, 5).double()
    view.mix.initialise(source())
    torch.nn.init.normal_(view.mix.bias, generator=source(1))
    features = noise(2, 12, 6, 1, 3)
    x = np.pad(torch.complex(features[:, :, 1, 0], features[:, :, 2, 0]).numpy(), ((0, 0), (2, 2), (0, 0)))
    window = np.hanning(8) + 0.08
    window /= np.sqrt((window**2).sum())
    expected = np.zeros((2, 3, 3, 8))
    for number in range(3):
        for q in range(-4, 4):
            turn = np.exp(-2j * np.pi * q * (np.arange(8) - 3.5) / 8)[None, :, None]
            line = (x[:, 4 * number : 4 * number + 8] * window[None, :, None] * turn).sum(1)
            expected[:, number, :, q + 4] = np.sqrt(np.abs(line) ** 2 + 0.01) - 0.1
    mixed = expected.reshape(2, 3, 24) @ view.mix.weight.detach().numpy().T + view.mix.bias.detach().numpy()
    np.testing.assert_allclose(view(features).detach().numpy(), mixed, atol=1e-12)


def test_a_held_note_is_one_line_of_a_view_and_noise_is_all_of_them():
    """Features of steady amplitude 2, turning by a whole part of the circle per frame, and of noise with the same power."""
    view = View(8, 1, 8).double()
    with torch.no_grad():
        view.mix.weight.copy_(torch.eye(8))
        view.mix.bias.zero_()
        t = torch.arange(32, dtype=torch.float64)
        angle = 2 * math.pi * t / 8  # line 1, which is the sixth of -4 ... 3
        features = torch.zeros(2, 32, 6, 1, 1, dtype=torch.float64)
        features[0, :, 1, 0, 0], features[0, :, 2, 0, 0] = 2 * angle.cos(), 2 * angle.sin()
        features[1, :, 1:3, 0, 0] = noise(32, 2) * math.sqrt(2)
        held, hiss = view(features)[:, 1:-1]
    assert (held.argmax(-1) == 5).all()
    assert float(held[:, 5].min()) > 3 * float(held[:, [0, 1, 2, 3]].max())
    assert float(hiss.mean(0).max()) < 2 * float(hiss.mean(0).min())


def test_views_reach_the_level_of_their_hop_and_only_the_scores_of_nearby_parts():
    model = MODEL.model_copy(update={"view_frames": (4, 8)})
    discriminator = networks(CONFIG.model_copy(update={"model": model})).discriminator
    plain = networks().discriminator
    features = plain.front_end(noise(1, 2, 8 * 8, 16))
    for level, width in ((1, 16), (2, 32)):
        assert discriminator.views[str(level)](features).shape == (1, 64 >> level, width)
    scores = discriminator.judge(features)
    assert scores.shape == (1, 9)
    changed = features.clone()
    changed[:, -8:] += 1
    moved = (discriminator.judge(changed) - scores).abs()[0].detach()
    assert float(moved[1:5].max()) == 0
    assert float(moved[-1]) > 0
    near = discriminator.blocks_near_audio(2)
    assert discriminator.views["1"] in near
    assert discriminator.views["2"] not in near
