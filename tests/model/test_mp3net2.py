"""The second family: its layers against slow formulas, its front-end by the physics, its lengths."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mp3net.config import PRESETS, AudioConfig, Config, Mp3net2Model, OptimiserConfig, Relativistic, override
from mp3net.dsp.mdct import mdct
from mp3net.dsp.partials import clock, render
from mp3net.errors import Mp3netError
from mp3net.model.build import build_discriminator, build_generator, build_networks
from mp3net.model.mp3net2 import generator as generator_module
from mp3net.model.mp3net2.front_end import FrontEnd
from mp3net.model.mp3net2.generator import expanded
from mp3net.model.mp3net2.layers import Attention, FrameConv, ResidualBlock, doubled, halved, stretched
from mp3net.model.mp3net2.views import View

AUDIO = AudioConfig(sample_rate_hz=8000, channels=2, num_bins=16)
MODEL = Mp3net2Model(
    num_parts=2, base_frames=2, num_doublings=2, width=16, deep_width=32, deep_levels=1, global_dim=6, local_dim=5,
    noise_channels=3, attention_heads=2,
)  # fmt: skip
CONFIG = Config(audio=AUDIO, model=MODEL, objective=Relativistic(), optimiser=OptimiserConfig(batch_size=4))


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=source(seed))


def networks(config: Config = CONFIG):
    built = build_networks(config)
    for network in (built.generator, built.discriminator):
        network.initialise(source())
        network.double()
        # Attention starts as nothing: here it is to matter.
        torch.nn.init.normal_(network.attention.to_out.weight, generator=source(1))
    return built


def test_a_convolution_along_frames_is_the_slow_sum():
    layer = FrameConv(3, 4, 3).double()
    layer.initialise(source())
    torch.nn.init.normal_(layer.bias, generator=source(1))
    x = noise(2, 5, 3)
    kernel = layer.weight.detach().numpy().reshape(4, 3, 3)  # out, tap, in
    for t in range(5):
        expected = layer.bias.detach().numpy() + sum(
            x[:, min(max(t + tap - 1, 0), 4)].numpy() @ kernel[:, tap].T for tap in range(3)
        )
        np.testing.assert_allclose(layer(x)[:, t].detach().numpy(), expected, atol=1e-14)


def test_frames_double_on_straight_lines_and_halve_with_their_power():
    line = torch.arange(6, dtype=torch.float64)[None, :, None]
    assert doubled(line)[0, 1:-1, 0].tolist() == [0.25 + 0.5 * i for i in range(10)]
    x = noise(3, 8, 2)
    torch.testing.assert_close(doubled(x), F.interpolate(x.transpose(1, 2), scale_factor=2, mode="linear").transpose(1, 2))
    assert float(halved(noise(50, 100, 10)).square().mean()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("each", [1, 2, 3, 8])
def test_numbers_of_parts_are_stretched_to_frames_on_straight_lines(each):
    x = noise(2, 5, 3)
    expected = F.interpolate(x.transpose(1, 2), scale_factor=each, mode="linear").transpose(1, 2)
    torch.testing.assert_close(stretched(x, 5 * each), expected)
    assert torch.equal(stretched(x[:, :1], each), x[:, :1])  # one for all frames
    rounded = stretched(x.bfloat16(), 5 * each)
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.double(), expected, atol=0.05, rtol=0)


def test_attention_is_the_slow_sum_and_knows_distances_only():
    layer = Attention(16, 2).double()
    for part in (layer.to_parts, layer.to_out):
        torch.nn.init.normal_(part.weight, std=0.3, generator=source())
        torch.nn.init.zeros_(part.bias)
    x = noise(1, 6, 16)
    parts = F.linear(F.leaky_relu(x, 0.2), layer.to_parts.weight)[0].reshape(6, 3, 2, 4).detach().numpy()
    taken = np.zeros((6, 2, 4))

    def turned(vector: np.ndarray, frame: int) -> np.ndarray:
        unit = vector / np.sqrt((vector**2).mean() + 1e-6)
        angles = frame * 10_000.0 ** (-np.arange(2) / 2)
        spun = (unit[:2] + 1j * unit[2:]) * np.exp(1j * angles)
        return np.concatenate([spun.real, spun.imag])

    for head in range(2):
        for t in range(6):
            scores = [turned(parts[t, 0, head], t) @ turned(parts[s, 1, head], s) / 2 for s in range(6)]
            weight = np.exp(scores) / np.exp(scores).sum()
            taken[t, head] = sum(w * parts[s, 2, head] for s, w in enumerate(weight))
    expected = x[0] + torch.from_numpy(taken.reshape(6, 8)) @ layer.to_out.weight.detach().T
    torch.testing.assert_close(layer(x)[0].detach(), expected.detach(), atol=1e-12, rtol=0)


def test_any_length_from_one_set_of_weights():
    made = networks()
    per_part = MODEL.frames_per_part
    for parts in (1, 2, 5):
        z = noise(3, MODEL.latent_size(parts * per_part))
        coefficients = made.generator(z)
        assert coefficients.shape == (3, 2, parts * per_part, 16)
        assert made.discriminator(coefficients).shape == (3, 1 + parts)
    assert MODEL.whole_frames(None) == MODEL.num_frames == 2 * per_part == 16
    assert [MODEL.whole_frames(n) for n in (1, 8, 9)] == [8, 8, 16]
    with pytest.raises(ValueError, match="whole parts"):
        made.generator(noise(1, MODEL.latent_size(16) + 1))
    with pytest.raises(ValueError, match="whole parts"):
        made.discriminator(noise(1, 2, 9, 16))


def test_every_random_number_matters_and_samples_do_not_meet():
    made = networks()
    z = noise(2, MODEL.latent_size(16)).requires_grad_(True)
    out = made.generator(z)
    (gradient,) = torch.autograd.grad(out[0].square().sum(), z)
    assert bool((gradient[0] != 0).all())
    assert bool((gradient[1] == 0).all())
    scores = made.discriminator(out.detach())
    torch.testing.assert_close(made.discriminator(out.detach()[1:])[0], scores[1])


def with_styles(share: float) -> Config:
    return override(CONFIG, ["model.global_dim=6", "model.local_dim=6", f"model.global_share={share}"])


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_what_modulates_a_part_is_the_tracks_and_its_own(share):
    generator = networks(with_styles(share)).generator
    sizes = generator.config
    z = noise(2, sizes.latent_size(24))
    heard: list[torch.Tensor] = []
    generator.mapping[0].register_forward_pre_hook(lambda module, inputs: heard.append(inputs[0]))
    generator(z)
    local = z[:, 6:].reshape(2, 3, sizes.part_size)[..., :6]
    torch.testing.assert_close(heard[0].expand(2, 3, 6), share**0.5 * z[:, None, :6] + (1 - share) ** 0.5 * local)


def test_styles_of_parts_need_latents_of_one_size():
    with pytest.raises(
        Mp3netError, match=r"global_share = 0.5 adds the two latents: local_dim = 5 must be equal to global_dim = 6"
    ):
        override(CONFIG, ["model.global_share=0.5"])


@pytest.mark.parametrize("config", [CONFIG, with_styles(0.25)], ids=["one style", "styles of parts"])
def test_without_attention_everything_is_local_along_frames(config):
    """A change of the last part's latent does not reach the first frames: what windows of a long track need."""
    generator = networks(config).generator
    torch.nn.init.zeros_(generator.attention.to_out.weight)
    z = noise(1, config.model.latent_size(8 * 8))
    changed = z.clone()
    changed[:, -config.model.part_size :] += 1
    difference = (generator(changed) - generator(z)).abs().amax((0, 1, 3))
    assert bool((difference[: 8 * 8 - 8 - 24] == 0).all())
    assert bool((difference[-8:] > 0).all())


def test_a_block_is_its_formula():
    block = ResidualBlock(4, style_dim=3, noise_channels=2).double()
    for number, parameter in enumerate(block.parameters()):
        torch.nn.init.normal_(parameter, std=0.5, generator=source(number))
    x, style, noise_ = noise(2, 5, 4), noise(2, 5, 3, seed=1), noise(2, 5, 2, seed=2)
    turned = style @ block.modulation.weight.T + block.modulation.bias
    h = F.leaky_relu(x, 0.2) * (1 + turned[..., :4]) + turned[..., 4:]
    h = F.leaky_relu(block.first(torch.cat([h, noise_], -1)), 0.2)
    torch.testing.assert_close(block(x, style, noise_), x + block.second(h))


def test_a_part_is_scored_by_its_frames_and_the_track_by_all():
    discriminator = networks().discriminator
    torch.nn.init.zeros_(discriminator.attention.to_out.weight)
    x = noise(1, 2, 8 * 8, 16)
    changed = x.clone()
    changed[:, :, -4:] += 1
    scores, moved = discriminator(x)[0].detach(), discriminator(changed)[0].detach()
    assert float((scores[1:5] - moved[1:5]).abs().max()) == 0
    assert float((scores[-1] - moved[-1]).abs()) > 0
    assert float((scores[0] - moved[0]).abs()) > 0


def test_the_head_of_partials_and_the_levels_of_the_bins():
    config = CONFIG.model_copy(update={"model": MODEL.model_copy(update={"partials_per_bin": 3})})
    plain, rich = networks(), networks(config)
    levels = torch.linspace(0.1, 2, 16)
    z = noise(2, MODEL.latent_size(16))
    for made in (plain, rich):
        before = made.generator(z)
        made.calibrate(levels)
        torch.testing.assert_close(made.generator(z), before * levels)
        assert torch.equal(made.discriminator.front_end.bin_levels, levels.double())
    numbers: list[torch.Tensor] = []
    rich.generator.to_bins.register_forward_hook(lambda module, inputs, output: numbers.append(output))
    made_ = rich.generator(z)
    amplitudes = numbers[0].reshape(2, 16, 2, 2, 16, 3)  # tracks, frames, channels, real and imaginary, bins, partials
    for channel in range(2):
        torch.testing.assert_close(made_[:, channel], levels * render(expanded(amplitudes[:, :, channel])))


def with_phases(phase_dim: int = 32, per_bin: int = 3, hold_frames: int = 1):
    settings = {"partials_per_bin": per_bin, "phase_dim": phase_dim, "hold_frames": hold_frames}
    return CONFIG.model_copy(update={"model": MODEL.model_copy(update=settings)})


@pytest.mark.parametrize(("per_bin", "hold", "at_a_time"), [(1, 1, 12), (3, 1, 12), (3, 2, 6), (2, 4, 2), (1, 4, 1)])
def test_rendering_a_few_frames_at_a_time_does_not_show(per_bin, hold, at_a_time, monkeypatch):
    generator = networks(with_phases(32, per_bin, hold)).generator
    z = noise(2, generator.config.latent_size(40))
    at_once = generator(z)
    assert at_once.shape == (2, 2, 40, 16)
    pieces: list[int] = []
    generator.to_bins.register_forward_hook(lambda module, inputs, output: pieces.append(output.shape[1]))
    monkeypatch.setattr(generator_module, "NUMBERS_RENDERED", at_a_time * len(generator.to_bins.bias))
    torch.testing.assert_close(generator(z), at_once, atol=1e-12, rtol=0)
    assert pieces[0] == at_a_time
    assert sum(pieces) == (40 if hold == 1 else 40 // hold + 2)


def test_held_amplitudes_need_no_levels_beyond_their_own():
    """The generator's last level has a frame for every amplitude; the first and the last one go on to the ends."""
    generator = networks(with_phases(hold_frames=2)).generator
    assert len(generator.levels) == len(MODEL.level_frames) - 1
    assert generator.config.part_size < MODEL.part_size
    outputs: list[torch.Tensor] = []
    generator.to_bins.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    z = noise(2, generator.config.latent_size(40))
    made = generator(z)
    assert outputs[0].shape[:2] == (2, 22)
    assert torch.equal(outputs[0][:, 0], outputs[0][:, 1])
    assert torch.equal(outputs[0][:, -1], outputs[0][:, -2])
    amplitudes = expanded(outputs[0].reshape(2, 22, 2, 2, 16, 3).transpose(1, 2))
    angles = generator._angles(z[:, MODEL.global_dim : MODEL.global_dim + 32])
    turns = clock(22, amplitudes[:, :, :, 0], angles, 2, first=-1)
    torch.testing.assert_close(made, render(amplitudes, turns=turns, hold_frames=2)[..., 3:-3, :], atol=1e-12, rtol=0)


@pytest.mark.parametrize("hold", [1, 2, 4])
def test_fresh_generators_have_the_level_of_the_data(hold):
    config = override(PRESETS["mp3net2-nano"], [f"model.hold_frames={hold}"])
    generator = build_generator(config)
    generator.initialise(source(1))
    with torch.no_grad():
        power = float(generator(noise(8, config.model.latent_size(64)).float()).square().mean())
    assert -5 < 10 * math.log10(power) < 3


def test_the_latent_of_the_phases_turns_partials_and_does_nothing_else(monkeypatch):
    generator = networks(with_phases()).generator
    z = noise(2, generator.config.latent_size(40))
    other = z.clone()
    other[:, MODEL.global_dim : MODEL.global_dim + 32] = noise(2, 32, seed=5)
    outputs: list[torch.Tensor] = []
    generator.to_bins.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    made = [generator(z), generator(other)]
    assert torch.equal(*outputs)
    assert (made[0] - made[1]).std() > 0.5 * made[0].std()
    turns = torch.from_numpy(2 * np.random.RandomState(0).standard_normal((32, 48)))
    amplitudes = expanded(outputs[0].reshape(2, 40, 2, 2, 16, 3).transpose(1, 2))
    for latent, coefficients in zip((z, other), made, strict=True):
        angle = (latent[:, MODEL.global_dim : MODEL.global_dim + 32] @ turns).view(2, 1, 1, 16, 3)
        both = torch.complex(amplitudes[..., 0, :, :], amplitudes[..., 1, :, :]) * torch.exp(1j * angle)
        torch.testing.assert_close(coefficients, render(torch.stack([both.real, both.imag], 3)))
    monkeypatch.setattr(generator_module, "NUMBERS_RENDERED", 12 * len(generator.to_bins.bias))
    torch.testing.assert_close(generator(z), made[0], atol=1e-12, rtol=0)


def test_phases_are_uniform_and_independent():
    """Over tracks, every phase is uniform, and so is the difference of every pair: both mean exp(j phase) vanish."""
    turns = generator_module._turns(256, 8, 32)
    assert turns.shape == (32, 2048)
    alone = turns.square().sum(0)  # variances of normal phases: |mean exp(j phase)| = exp(-variance / 2)
    pairs = torch.cdist(turns.T, turns.T).square() + 1e9 * torch.eye(2048)
    assert float(torch.exp(-alone.min() / 2)) < 1e-9
    assert float(torch.exp(-pairs.min() / 2)) < 1e-9


def test_small_amplitudes_get_quiet_and_large_ones_do_not_run_away():
    z = torch.tensor([[0.6, 0.0, 0.0, 300.0], [0.8, 0.1, 0.0, 400.0]], dtype=torch.float64)[:, None]
    made = expanded(z)[:, 0]
    # |z| -> 0.3 |z| (|z|^2 + 1e-3) / (1 + |z|^2 / 16): 1 -> 0.28264, 0.1 -> 0.00032979, 500 -> 500 x 4.8
    assert (made[0, 0] / made[1, 0]).item() == pytest.approx(0.75)
    expected = torch.tensor([0.2826353, 0.00032979, 0.0, 2399.848], dtype=torch.float64)
    torch.testing.assert_close(made.square().sum(0).sqrt(), expected, rtol=1e-4, atol=1e-12)
    assert torch.autograd.gradcheck(expanded, torch.zeros(2, 1, 3, dtype=torch.float64).requires_grad_(True))


def test_fresh_networks_keep_the_power_of_signals():
    """At the size of the smallest preset: output at the level of the data, scores of the size of 1."""
    config = PRESETS["mp3net2-nano"]
    generator, discriminator = build_generator(config), build_discriminator(config)
    for network in (generator, discriminator):
        network.initialise(source())
    with torch.no_grad():
        made = generator(torch.randn(8, config.model.latent_size(64), generator=source(2)))
        scores = discriminator(made)
    assert 0.5 < float(made.std()) < 2
    assert 0.02 < float(scores.std()) < 2


@pytest.mark.parametrize("hearing_db", [0.0, -12.0])
def test_the_front_end_is_what_its_docstring_says(hearing_db):
    """Against plain complex numbers, on sound with silence and tones."""
    front_end = FrontEnd(AUDIO, hearing_db).double()
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
    expected = [level, rotated.real, rotated.imag, turn.real, turn.imag, 0.4 * np.log(m / np.linspace(0.01, 0.1, 16)) + 1]
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


def test_the_large_presets_cost_what_they_promise():
    from mp3net.training.plan import forward_flop

    made, _ = forward_flop(PRESETS["mp3net2-95s"])
    assert 5e9 < made <= 60e9
    assert PRESETS["mp3net2-95s"].track_duration_s == pytest.approx(95.26, abs=0.01)
    assert PRESETS["mp3net2-44k"].track_duration_s == pytest.approx(95.11, abs=0.01)
    assert PRESETS["mp3net2-6s"].track_duration_s == pytest.approx(5.95, abs=0.01)


def test_blocks_near_the_audio():
    made = networks()
    names = {id(parameter): name for name, parameter in made.generator.named_parameters()}
    near = {names[id(p)] for part in made.generator.blocks_near_audio(1) for p in part.parameters()}
    assert {name.split(".")[0] + "." + name.split(".")[1] for name in near} == {"levels.2", "to_bins.weight", "to_bins.bias"}
    names = {id(parameter): name for name, parameter in made.discriminator.named_parameters()}
    near = {names[id(p)] for part in made.discriminator.blocks_near_audio(1) for p in part.parameters()}
    assert {name.split(".")[0] + "." + name.split(".")[1] for name in near} == {
        "levels.0", "from_bins.weight", "from_bins.bias"
    }  # fmt: skip


@pytest.mark.parametrize("view_frames", [(), (8,)])
def test_checkpointing_changes_nothing(view_frames):
    made = networks(CONFIG.model_copy(update={"model": MODEL.model_copy(update={"view_frames": view_frames})}))
    z = noise(2, MODEL.latent_size(16))

    def gradients() -> list[torch.Tensor]:
        features = made.discriminator.front_end(made.generator(z))
        scores = made.discriminator.judge(features)
        (slope,) = torch.autograd.grad(scores.sum(), features, create_graph=True)
        parameters = [*made.generator.parameters(), *made.discriminator.parameters()]
        return list(torch.autograd.grad(slope.square().sum() + scores.sum(), parameters, allow_unused=True))

    plain = gradients()
    made.generator.checkpointing = made.discriminator.checkpointing = True
    for a, b in zip(gradients(), plain, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-9)
