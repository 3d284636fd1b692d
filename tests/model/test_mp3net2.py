"""The second family: lengths, styles of parts, scores, and what its networks cost."""

from __future__ import annotations

import pytest
import torch

from mp3net.config import PRESETS, Config, override
from mp3net.errors import Mp3netError
from mp3net.model.build import build_discriminator, build_generator
from tests.model.small_networks import CONFIG, MODEL, networks, noise, source


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
