"""The second family's objective against known critics, and everything a training can do with it."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mp3net.config import PRESETS, override
from mp3net.dsp.mdct import mdct
from mp3net.errors import Mp3netError
from mp3net.generation import MP3net
from mp3net.model.snapshot import open_snapshot
from mp3net.model.weights import load_tensors
from mp3net.training.levels import measure_bin_levels
from mp3net.training.objectives.draws import DISCRIMINATOR_STREAM, TrackDraws
from mp3net.training.objectives.relativistic import pairing_loss, squared_slope
from mp3net.training.plan import flop_per_track, forward_flop, measure_memory
from tests.training.conftest import CPU, SECOND, trainer


def test_the_pairing_loss_is_its_formula():
    real, fake = torch.tensor([[1.0, 2.0, 0.0], [0.0, -1.0, 3.0]]), torch.tensor([[0.5, 2.5, 1.0], [1.0, 0.0, 0.0]])
    margin = np.log1p(np.exp((fake - real).numpy()))
    expected = (margin[:, 0].mean() + margin[:, 1:].mean()) / 2
    assert float(pairing_loss(real, fake)) == pytest.approx(expected, rel=1e-6)
    assert float(pairing_loss(real, real)) == pytest.approx(math.log(2), rel=1e-6)
    assert float(pairing_loss(real + 9, fake)) < 0.01 < 7 < float(pairing_loss(fake, real + 9))


def test_the_slope_of_linear_scores_is_known():
    """Track: <w, x>, parts: <v_p, x_p>. Over all signs, cross terms cancel and n |w|^2 / 2 + mean |v_p|^2 / 2 is left."""
    w, v = (torch.from_numpy(np.random.default_rng(n).standard_normal((3, 4))) for n in range(2))
    x = torch.randn(1, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).repeat(16, 1, 1)
    x.requires_grad_(True)
    scores = torch.cat([(x * w).sum((1, 2))[:, None], (x * v).sum(2)], 1)
    signs = torch.tensor(list(itertools.product((1.0, -1.0), repeat=4)))
    slopes = squared_slope(scores, x, signs)
    assert slopes.mean().item() == pytest.approx(float(3 * w.square().sum() / 2 + v.square().sum() / 3 / 2), rel=1e-12)
    cross = ((w * v).sum(1).numpy() * signs[:, :1].numpy() * signs[:, 1:].numpy()).sum(1)
    np.testing.assert_allclose(slopes.detach().numpy() - slopes.mean().item(), cross, rtol=1e-6, atol=1e-12)


def test_signs_of_the_penalty_are_random_for_every_track_and_score():
    signs = TrackDraws(3, range(400), DISCRIMINATOR_STREAM, CPU).signs(5)
    assert set(signs.flatten().tolist()) == {1.0, -1.0}
    correlation = signs.T @ signs / 400
    assert float((correlation - torch.eye(5)).abs().max()) < 0.2
    assert float(signs.mean(0).abs().max()) < 0.2


def test_penalties_come_every_few_steps_and_weigh_as_much_more(tiny_data):
    session = trainer(override(SECOND, ["objective.penalty_every=2"]), tiny_data)
    first = session.steps.discriminator_gradients(step=0)
    second = session.steps.discriminator_gradients(step=1)
    assert "penalty/gradient" in first
    assert "penalty/gradient" not in second
    losses: list[torch.Tensor] = []
    ones = {name: lambda *shape: torch.ones(2, *shape) for name in ("normal", "signs")}
    draws = SimpleNamespace(tracks_seen=0, **ones)
    real = session.loader.any_tracks(range(2)).real
    with_penalty = session.steps.objective.discriminator(real, draws, losses.append)
    penalty = float(with_penalty["penalty/gradient"])
    assert penalty == pytest.approx(float(with_penalty["slope/real"] + with_penalty["slope/fake"]) / 2, rel=1e-5)
    assert losses[0].item() == pytest.approx(float(with_penalty["loss/pairs"]) + 2 * 20 * penalty, rel=1e-5)


def test_the_penalty_is_the_slope_of_the_features(tiny_data):
    """By finite differences along one random direction of the features, through the trained path."""
    session = trainer(override(SECOND, ["objective.masking_noise=null"]), tiny_data)
    discriminator = session.state.networks.discriminator.double()
    features = discriminator.front_end(session.loader.any_tracks(range(2)).real.double()).detach().requires_grad_(True)
    scores = discriminator.judge(features)
    signs = TrackDraws(0, range(2), DISCRIMINATOR_STREAM, CPU).signs(scores.shape[1])
    slope = squared_slope(scores, features, signs).sum().detach()

    def together(x: torch.Tensor) -> torch.Tensor:
        signed = signs * discriminator.judge(x)
        num_parts = signed.shape[1] - 1
        return ((num_parts**0.5 * signed[:, 0] + signed[:, 1:].sum(1) / num_parts**0.5) / 2**0.5).sum()

    (gradient,) = torch.autograd.grad(together(features), features)
    step = 1e-6 * gradient / gradient.norm()
    ahead, behind = (together(features.detach() + sign * step).item() for sign in (1, -1))
    assert (ahead - behind) / 2e-6 == pytest.approx(float(slope) ** 0.5, rel=1e-5)


def test_the_generator_learns_through_noise_and_front_end(tiny_data):
    """With the threshold's path cut its gradient is another one; the discriminator's parameters get none."""
    session = trainer(SECOND, tiny_data)

    def gradient() -> torch.Tensor:
        session.steps.generator_gradients()
        return session.state.networks.generator.to_bins.weight.grad.clone()

    through = gradient()
    assert all(parameter.grad is None for parameter in session.state.networks.discriminator.parameters())
    model = session.state.networks.discriminator.front_end.psychoacoustics
    original = model.masking_threshold
    model.masking_threshold = lambda x: original(x).detach()
    assert float((through - gradient()).abs().max()) > 1e-3 * float(through.abs().max())


def test_levels_are_those_of_the_data_and_travel_with_the_weights(tiny_data, tmp_path):
    session = trainer(SECOND, tiny_data, tmp_path / "run")
    levels = measure_bin_levels(session.dataset, SECOND)
    crops = mdct(session.dataset.batch(2**31, 0, 512), 16, edges="crop")
    power = crops.square().mean((0, 1, 2)).sqrt().numpy()
    smoothed = np.convolve(np.pad(power, 2, mode="edge"), np.ones(5) / 5, mode="valid")
    np.testing.assert_allclose(levels.numpy(), smoothed + 1e-6, rtol=1e-4)
    session.run()
    snapshot = open_snapshot(tmp_path / "run")
    generator = load_tensors(snapshot.folder / "generator.safetensors")
    discriminator = load_tensors(snapshot.folder / "discriminator.safetensors")
    assert torch.equal(session.state.networks.generator.bin_levels, levels)
    assert torch.equal(discriminator["front_end.bin_levels"], levels)
    # Another training that begins with these networks keeps the levels that they count in.
    longer = override(SECOND, ["model.num_parts=3", "optimiser.seed=5"])
    second = trainer(longer, tiny_data, init_from=snapshot)
    assert torch.equal(second.state.networks.generator.bin_levels, levels)
    averaged = second.state.networks.generator.get_parameter("to_bins.weight")
    assert torch.equal(averaged, generator["to_bins.weight"])
    second.steps.iteration()


@pytest.mark.parametrize("partials", [0, 2])
def test_songs_of_the_averaged_generator_have_the_level_of_the_data(partials, tiny_data, tmp_path):
    """Averaged weights that are too quiet, as they are when partials' amplitudes are powers: every bin is put right."""
    config = override(SECOND, [f"model.partials_per_bin={partials}"])
    session = trainer(config, tiny_data, tmp_path / "run")
    state = session.state
    levels = state.networks.generator.bin_levels.clone()
    before = state.tensors()["generator/weight/to_bins.weight"].clone()
    with torch.no_grad():
        state.ema.network.to_bins.weight.mul_(0.5)
        state.ema.network.bin_levels.mul_(3)  # what an earlier correction has left
    session.listening.songs()
    change = (state.ema.network.bin_levels / levels).clone()
    made = MP3net(state.ema.network, config)
    latents = torch.Generator().manual_seed(2**31 + 1)  # those that it was measured with: powers of three vary much
    size = config.model.latent_size(config.model.num_frames)
    songs = torch.cat([made.coefficients(torch.randn(1, size, generator=latents)) for _ in range(256)])
    crops = mdct(session.dataset.batch(2**31, 0, 512), 16, edges="crop")
    heard, wanted = (
        np.convolve(np.pad(x.abs().mean((0, 1, 2)).numpy(), 2, mode="edge"), np.ones(5) / 5, mode="valid") + 1e-6
        for x in (songs / change, crops)  # without the correction
    )
    np.testing.assert_allclose(20 * np.log10(change.numpy()), 20 * np.log10(wanted / heard), atol=0.01)
    assert torch.equal(state.networks.generator.bin_levels, levels), "training goes on in the levels of the data"
    assert torch.equal(state.networks.generator.to_bins.weight, before)
    session.run_directory.save(state, {})
    saved = load_tensors(open_snapshot(tmp_path / "run").folder / "generator.safetensors")
    assert torch.equal(saved["bin_levels"], state.ema.network.bin_levels)
    assert not torch.equal(saved["bin_levels"], levels)


def test_saving_puts_the_levels_right_and_broken_weights_are_left_to_those_who_look_for_them(tiny_data, tmp_path):
    session = trainer(SECOND, tiny_data, tmp_path / "run")
    average, levels = session.state.ema.network, session.state.networks.generator.bin_levels
    session._save()
    assert not torch.equal(average.bin_levels, levels)
    assert bool(((average.bin_levels / levels).log10().abs() <= 1).all())
    with torch.no_grad():
        average.to_bins.weight.fill_(math.nan)
    session.state.tracks_seen = 8
    session.listening.levels.bring()
    assert torch.equal(average.bin_levels, levels)


def test_micro_batches_equal_the_large_batch_and_are_read_once(tiny_data):
    whole = trainer(SECOND, tiny_data)
    parts = trainer(override(SECOND, ["run.micro_batch_size=2"]), tiny_data)
    for session in (whole, parts):
        session.steps.iteration()
        session.reads = []
        read = session.loader._read
        session.loader._read = lambda tracks, read=read, seen=session.reads: (seen.append(tracks), read(tracks))[1]
        session.steps.iteration()
        session.steps.iteration()
        if session.loader._ahead is not None:
            session.loader._ahead[1].result()
        assert len(session.reads) == len(set(session.reads)), "both networks' steps share their tracks"
    for (name, a), b in zip(
        whole.state.networks.generator.named_parameters(), parts.state.networks.generator.parameters(), strict=True
    ):
        # Adam's first steps are the rate times a sign: where a gradient is all rounding, weights go opposite ways.
        assert float((a - b).detach().abs().max()) <= 2 * 3 * 1e-3, name
    first, second = whole.steps.discriminator_gradients(step=0), parts.steps.discriminator_gradients(step=0)
    assert float(first["loss/pairs"]) == pytest.approx(float(second["loss/pairs"]), rel=0.05)


def test_the_plan_counts_what_is_computed(tiny_data):
    made, scored = forward_flop(SECOND)
    assert flop_per_track(SECOND) == made + 7.5 * scored + 3 * made + 3 * scored
    memory = measure_memory(trainer(SECOND, tiny_data).steps)
    assert memory.bytes_per_sample >= 0
    coefficients = override(
        PRESETS["mp3net2-nano"],
        [
            "model.width=256", "model.deep_width=512",
            "model.phase_dim=0", "model.partials_per_bin=0", "model.view_frames=[]",
        ],
    )  # fmt: skip
    nano, judged = forward_flop(coefficients)
    # Two 3-frame convolutions per level, wide at 4 and 8 frames, and the head; the rest is small.
    convolutions = 2 * 2 * 3 * (512 * 512 * 12 + 256 * 256 * 112)
    assert nano == pytest.approx(convolutions + 2 * 3 * 256 * 256 * 64, rel=0.1)
    # Four numbers per bin, and each bin as a sum over those of 48.
    played = forward_flop(override(coefficients, ["model.partials_per_bin=2"]))[0]
    assert played - nano == 2 * 64 * (256 * 1024 + 256 * 48 * 4) - 2 * 3 * 256 * 256 * 64
    # Held for 4 frames: 18 times amplitudes instead of 64, each for the bins of 8 frames, and no levels of 32 and 64 frames.
    rich = override(coefficients, ["model.partials_per_bin=2", "model.hold_frames=4"])
    # Two convolutions each; noise, beat and key; modulation.
    levels = 2 * 2 * 3 * 256 * 256 * 96 + 2 * 3 * 256 * 33 * 96 + 2 * 2 * 128 * 512
    held = 2 * 256 * 48 * 4 * (18 * 8 - 64)
    assert forward_flop(rich)[0] == played - levels - 2 * (64 - 18) * 256 * 1024 + held
    # A view of 8 frames, 16 times per track: two numbers of 8 frames become two of 8 lines, and all lines are mixed.
    viewed = forward_flop(override(coefficients, ["model.view_frames=[8]"]))[1]
    assert viewed - judged == 2 * 16 * (256 * 8 * 8 * 4 + 256 * 8 * 256)


def test_songs_of_any_length(tiny_data, tmp_path):
    trainer(SECOND, tiny_data, tmp_path / "run").run()
    model = MP3net.from_pretrained(tmp_path / "run")
    assert model.generate(3).audio.shape == (1, 15 * 16)
    long = model.generate(3, 2.0)
    assert long.audio.shape == (1, 16000)
    assert np.isfinite(long.audio).all()
    assert float(np.abs(long.audio[:, -4000:]).max()) > 0
    assert np.array_equal(long.audio, model.generate(3, 2.0).audio)
    for wrong in (0.0, -1.0, 1e6, float("nan")):
        with pytest.raises(Mp3netError, match="songs last from 0.1 s|duration_s nan: give seconds"):
            model.generate(3, wrong)


def test_a_song_of_the_papers_networks_has_one_length(untrained):
    with pytest.raises(Mp3netError, match="one length, here 1.48 s"):
        MP3net.from_pretrained(untrained).generate(1, 12.0)
