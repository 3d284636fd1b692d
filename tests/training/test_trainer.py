from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import soundfile
import torch
from rich.console import Console

from mp3net.apps.train import ConsoleWatcher
from mp3net.config import override
from mp3net.data.dataset import CropDataset
from mp3net.errors import Mp3netError
from mp3net.generation import MP3net
from mp3net.model.snapshot import open_snapshot
from mp3net.model.weights import load_tensors
from mp3net.training.checkpoint import RunDirectory
from mp3net.training.course import read_course
from mp3net.training.objectives.draws import GENERATOR_STREAM, TrackDraws, addressed_generator
from mp3net.training.origin import Origin
from mp3net.training.plan import probe
from mp3net.training.progress import format_duration
from mp3net.training.trainer import Trainer
from mp3net.training.verdict import judge
from tests.training.conftest import CPU, SECOND, TINY, final_bytes, trainer


def lines_of(session: Trainer) -> list[str]:
    """Train; what the console says."""
    said: list[str] = []
    session.run(ConsoleWatcher(session, said.append, Console(file=io.StringIO())))
    return said


def read_metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_writes_everything_that_is_promised(tiny, tiny_data, tmp_path):
    session = trainer(tiny, tiny_data, tmp_path / "run")
    said = lines_of(session)
    outcome = session.run()
    assert (outcome.tracks_seen, outcome.finished) == (64, True)
    assert outcome.checkpoint is not None
    assert outcome.checkpoint.name == "tracks-000000000064"
    lines = read_metrics(tmp_path / "run")
    assert [line["tracks_seen"] for line in lines] == [16, 32, 48, 64]
    wanted = {
        "loss/discriminator", "loss/generator", "distance/wasserstein", "penalty/gradient", "penalty/drift", "score/real",
        "score/fake", "tonality/real", "tonality/generated", "level_db/real", "level_db/generated", "rate/tracks_per_s",
    }  # fmt: skip
    assert wanted <= lines[0].keys()
    assert all(0 < line["tonality/real"] < 1 for line in lines)
    loss = lines[1]["loss/discriminator"]
    parts = -lines[1]["distance/wasserstein"] + 3 * lines[1]["penalty/gradient"] + 0.1 * lines[1]["penalty/drift"]
    assert loss == pytest.approx(parts, rel=1e-5)
    assert len(said) == 4
    assert "left" in said[0]
    kept = [path.name for path in sorted((tmp_path / "run" / "checkpoints").iterdir())]
    assert kept == ["tracks-000000000032", "tracks-000000000048", "tracks-000000000064"], "the oldest is rotated out"
    samples, rate = soundfile.read(tmp_path / "run" / "samples" / "tracks-000000000064" / "seed-1.wav")
    assert (rate, len(samples)) == (8000, (tiny.model.num_frames - 1) * 16)
    board = b"".join(path.read_bytes() for path in (tmp_path / "run" / "tensorboard").iterdir())
    for tag in (b"distance/wasserstein", b"tonality/generated", b"generated/seed-1", b"spectrograms"):
        assert tag in board


def test_evaluations_on_the_way_are_logged_and_change_nothing(tiny, tiny_data, tmp_path):
    config = override(tiny, ["run.evaluate_every_tracks=32", "run.evaluate_samples=8"])
    said = lines_of(trainer(config, tiny_data, tmp_path / "evaluated"))
    lines = [line for line in read_metrics(tmp_path / "evaluated") if "evaluation/octave_flatness" in line]
    assert [line["tracks_seen"] for line in lines] == [32, 64]
    wanted = {
        "evaluation/tonality", "evaluation/tonality_real", "evaluation/level_error_db", "evaluation/checkerboard_db",
        "evaluation/loudness_lufs_real", "evaluation/octave_flatness_spread", "evaluation/octave_flatness_spread_real", "evaluation/frechet_logmel", "evaluation/kernel_logmel", "evaluation/coverage_logmel",
        "evaluation/pairwise_distance",
    }  # fmt: skip
    assert wanted <= lines[0].keys()
    assert lines[0]["evaluation/octave_flatness"] != lines[1]["evaluation/octave_flatness"]
    assert lines[0]["evaluation/octave_flatness_real"] == lines[1]["evaluation/octave_flatness_real"]
    assert sum("evaluation of 8 songs" in line for line in said) == 2
    verdicts = [after for before, after in pairwise(said) if "evaluation of 8 songs" in before]
    assert verdicts[0].strip().startswith("early: one evaluation: kernel distance ")
    assert judge(read_course(tmp_path / "evaluated")).state in verdicts[1]
    trainer(override(tiny, ["run.evaluate_samples=0"]), tiny_data, tmp_path / "plain").run()
    assert final_bytes(tmp_path / "evaluated") == final_bytes(tmp_path / "plain")


@pytest.mark.parametrize(("first", "expected"), [(65, []), (64, [64])])
def test_what_is_kept_in_the_end_is_evaluated_unless_it_was_a_mere_try(
    tiny, tiny_data, tmp_path, monkeypatch, first, expected
):
    monkeypatch.setattr("mp3net.training.trainer.FIRST_TRACKS", first)
    trainer(override(tiny, ["run.evaluate_samples=8"]), tiny_data, tmp_path / "run").run()
    assert [point.tracks_seen for point in read_course(tmp_path / "run").evaluated] == expected


def test_a_run_shorter_than_its_intervals_is_reported_too(tiny, tiny_data, tmp_path):
    config = override(tiny, ["run.log_every_tracks=800", "run.sample_every_tracks=800", "run.total_tracks=8"])
    trainer(config, tiny_data, tmp_path / "run").run()
    assert [line["tracks_seen"] for line in read_metrics(tmp_path / "run")] == [8]
    assert len(list((tmp_path / "run" / "samples" / "tracks-000000000008").iterdir())) == 4


def test_the_snapshot_is_the_averaged_generator(tiny, tiny_data, tmp_path):
    session = trainer(tiny, tiny_data, tmp_path / "run")
    session.run()
    model = MP3net.from_pretrained(tmp_path / "run")
    assert model.snapshot is not None
    assert model.snapshot.metadata["tracks_seen"] == 64
    ema = session.state.ema.weights
    assert all(torch.equal(value, ema[name]) for name, value in model.generator.named_parameters())
    raw = dict(session.state.networks.generator.named_parameters())
    assert any(not torch.equal(ema[name], raw[name]) for name in ema)
    saved = load_tensors(model.snapshot.folder / "discriminator.safetensors")
    assert saved.keys() == dict(session.state.networks.discriminator.named_parameters()).keys()


@pytest.mark.parametrize(
    ("config", "gap", "fresh", "clear"),
    [(TINY, "distance/wasserstein", 0.01, 0.1), (SECOND, "score/gap", 0.3, 0.5)],
    ids=["paper", "second family"],
)
def test_each_step_improves_its_own_side(config, gap, fresh, clear, tiny_data):
    """Discriminator steps alone tell real from generated; generator steps alone then raise the scores of what it makes."""
    session = trainer(override(config, ["optimiser.learning_rate=0.001"]), tiny_data)
    networks, steps = session.state.networks, session.steps

    def weights(network) -> list[torch.Tensor]:
        return [parameter.detach().clone() for parameter in network.parameters()]

    frozen, first = weights(networks.generator), steps.discriminator()
    penalties = [
        terms["penalty/gradient"].item() for _ in range(100) if "penalty/gradient" in (terms := steps.discriminator())
    ]
    last = steps.discriminator()
    assert all(map(torch.equal, frozen, weights(networks.generator)))
    assert abs(first[gap].item()) < fresh
    assert last[gap].item() > clear
    if config is TINY:
        assert first["penalty/gradient"].item() > 0.9
        assert penalties[-1] < 0.5
    frozen, before = weights(networks.discriminator), steps.generator()["loss/generator"].item()
    for _ in range(20):
        after = steps.generator()["loss/generator"].item()
    assert all(map(torch.equal, frozen, weights(networks.discriminator)))
    assert after < before - 0.01


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", [TINY, SECOND], ids=["paper", "second family"])
def test_resume_in_process_is_bit_identical(family, tiny_data, tmp_path, precision):
    config = override(family, [f"optimiser.precision={precision}"])
    trainer(config, tiny_data, tmp_path / "whole").run()
    half = override(config, ["run.total_tracks=32"])
    trainer(half, tiny_data, tmp_path / "parts").run()
    resumed = trainer(config, tiny_data, tmp_path / "parts")
    assert resumed.state.tracks_seen == 32
    for module in (resumed.state.networks.generator, resumed.state.networks.discriminator):
        kernels = [parameter for parameter in module.parameters() if parameter.dim() == 4]
        assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
    probe(resumed.steps)  # must consume no random state and change nothing
    resumed.run()
    assert final_bytes(tmp_path / "parts") == final_bytes(tmp_path / "whole")
    metrics = [
        [{k: v for k, v in line.items() if "rate" not in k} for line in read_metrics(run)]
        for run in (tmp_path / "parts", tmp_path / "whole")
    ]
    assert metrics[0] == metrics[1]


def test_a_run_of_format_1_goes_on_bit_identically(tiny, tiny_data, tmp_path):
    trainer(tiny, tiny_data, tmp_path / "whole").run()
    trainer(override(tiny, ["run.total_tracks=32"]), tiny_data, tmp_path / "old").run()
    for path in [*(tmp_path / "old").glob("run.json"), *(tmp_path / "old").rglob("config.json")]:
        content = json.loads(path.read_text())
        config = content["config"]
        for section in ("model", "objective"):
            del config[section]["kind"]
        noise = config["objective"].pop("masking_noise")
        config["train"] = {
            **config.pop("objective"), **config.pop("optimiser"), **config.pop("run"),
            "masking_noise": True, "masking_grid": noise["grid"],
        }  # fmt: skip
        path.write_text(json.dumps({**content, "format_version": 1}))
    assert open_snapshot(tmp_path / "old").config.optimiser == tiny.optimiser
    resumed = trainer(tiny, tiny_data, tmp_path / "old")
    assert resumed.state.tracks_seen == 32
    resumed.run()
    assert final_bytes(tmp_path / "old") == final_bytes(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_killed_and_restarted_is_bit_identical(tiny_data, tmp_path, precision):
    """The command itself, killed with SIGKILL in the middle, ends as if nothing had happened."""
    command = [
        sys.executable, "-m", "mp3net", "train", str(tiny_data), "--preset", "nano-1.5s", "--device", "cpu", "--threads", "1",
        *(item for key, value in {
            "audio.sample_rate_hz": 8000, "audio.num_bins": 16, "model.num_blocks": 2, "model.channel_cap": 16,
            "run.total_tracks": 480, "optimiser.batch_size": 4, "run.checkpoint_every_tracks": 48,
            "run.log_every_tracks": 80, "run.sample_every_tracks": 4000, "optimiser.precision": precision,
        }.items() for item in ("--set", f"{key}={value}")),
    ]  # fmt: skip
    subprocess.run([*command, "--out", str(tmp_path / "whole")], check=True, capture_output=True)
    process = subprocess.Popen([*command, "--out", str(tmp_path / "killed")], stdout=subprocess.DEVNULL)
    while len(list((tmp_path / "killed" / "checkpoints").glob("tracks-*"))) < 2 and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was over before it could be killed: lengthen the run"
    done = subprocess.run([*command, "--out", str(tmp_path / "killed")], check=True, capture_output=True, text=True)
    assert "resuming at" in done.stdout
    assert final_bytes(tmp_path / "killed") == final_bytes(tmp_path / "whole")


def test_another_configuration_is_refused_with_the_differing_keys(tiny, tiny_data, tmp_path):
    trainer(tiny, tiny_data, tmp_path / "run").run()
    other = override(tiny, ["optimiser.learning_rate=0.5", "model.latent_dim=9", "run.total_tracks=128"])
    with pytest.raises(
        Mp3netError, match=r"differing: model.latent_dim: 8 -> 9; optimiser.learning_rate: 0.0001 -> 0.5\. Give"
    ):
        trainer(other, tiny_data, tmp_path / "run")
    with pytest.raises(Mp3netError, match="trained on another dataset"):
        RunDirectory(tmp_path / "run", Origin(tiny, "0" * 64))
    RunDirectory(tmp_path / "failed", Origin(tiny, "0" * 64))
    trainer(other, tiny_data, tmp_path / "failed")  # nothing was saved there, so nothing is lost
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(Mp3netError, match="holds no run"):
        RunDirectory(tmp_path / "mine", Origin(tiny, "0" * 64))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing", "state"])
def test_a_damaged_checkpoint_is_reported_and_the_previous_one_used(tiny, tiny_data, tmp_path, damage):
    trainer(tiny, tiny_data, tmp_path / "run").run()
    newest = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1]
    file = newest / ("state.json" if damage == "state" else "training.safetensors")
    content = bytearray(file.read_bytes())
    if damage == "missing":
        file.unlink()
    elif damage == "flipped":
        content[len(content) // 2] ^= 4
        file.write_bytes(content)
    else:
        file.write_bytes(content[: len(content) // 2])
    session = trainer(tiny, tiny_data, tmp_path / "run")
    assert session.state.tracks_seen == 48
    assert len(session.problems) == 1
    assert str(newest) in session.problems[0]
    session.run()
    trainer(tiny, tiny_data, tmp_path / "whole").run()
    assert final_bytes(tmp_path / "run") == final_bytes(tmp_path / "whole")
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        (path / "state.json").write_text("{}")
    with pytest.raises(Mp3netError, match="no checkpoint of .* can be loaded"):
        trainer(tiny, tiny_data, tmp_path / "run")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_loss_stops_and_names_the_last_good_checkpoint(tiny, tiny_data, tmp_path, value):
    session = trainer(tiny, tiny_data, tmp_path / "run")
    session.config = override(tiny, ["run.total_tracks=32"])
    session.run()
    with torch.no_grad():
        next(session.state.networks.discriminator.parameters())[0, 0] = value
    session.config = tiny
    good = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1]
    before = (good / "training.safetensors").read_bytes()
    with pytest.raises(Mp3netError, match=f"not finite; the last good checkpoint is {good}"):
        session.run()
    assert sorted((tmp_path / "run" / "checkpoints").iterdir())[-1] == good
    assert (good / "training.safetensors").read_bytes() == before
    verdict = judge(read_course(tmp_path / "run"))
    assert (verdict.state, "no longer finite after 40 tracks, and" in verdict.because) == ("unstable", True)
    trainer(tiny, tiny_data, tmp_path / "run").run()  # goes on from the good checkpoint, as if nothing had been
    assert read_course(tmp_path / "run").diverged_at is None


def test_weights_that_became_non_finite_are_never_saved(tiny, tiny_data, tmp_path):
    session = trainer(tiny, tiny_data, tmp_path / "run")
    weights = iter(session.state.ema.weights.values())
    for message in (
        r"non-finite weights in ema/[\w./]+; no checkpoint",
        r"non-finite weights in ema/[\w./]+ and 1 more; no",
    ):
        next(weights)[0] = float("nan")
        with pytest.raises(Mp3netError, match=message):
            session._save()
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []


def test_a_full_disk_keeps_earlier_checkpoints(tiny, tiny_data, tmp_path, monkeypatch):
    session = trainer(tiny, tiny_data, tmp_path / "run")
    session.run()
    before = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mp3net.training.checkpoint.save_snapshot", full)
    session.config = override(tiny, ["run.total_tracks=128"])
    with pytest.raises(Mp3netError, match="cannot be written.*No space left.*earlier ones are kept"):
        session.run()
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == before


def test_generator_gradients_pass_through_the_masking_threshold(tiny, tiny_data, tmp_path):
    """With the threshold's path cut, the generator's gradient is another one."""
    session = trainer(tiny, tiny_data, tmp_path / "run")
    objective = session.steps.objective

    def gradient() -> torch.Tensor:
        draws = TrackDraws(0, range(4), GENERATOR_STREAM, CPU)
        losses: list[torch.Tensor] = []
        objective.generator(session.loader.any_tracks(range(4)).real, draws, losses.append)
        return torch.autograd.grad(losses[0], session.state.networks.generator.to_audio.weight)[0]

    through = gradient()
    original = objective.psychoacoustics.masking_threshold
    objective.psychoacoustics.masking_threshold = lambda x: original(x).detach()  # type: ignore[method-assign]
    cut = gradient()
    assert float((through - cut).abs().max()) > 1e-4 * float(through.abs().max())


def test_random_numbers_are_addressed():
    draws = {
        address: float(torch.rand(1, generator=addressed_generator(*address, CPU)))
        for address in [(0, 0, 1), (0, 0, 2), (0, 8, 1), (1, 0, 1), (8, 0, 1)]
    }
    assert len(set(draws.values())) == len(draws)
    assert float(torch.rand(1, generator=addressed_generator(0, 8, 1, CPU))) == draws[(0, 8, 1)]


def test_draws_of_a_track_do_not_depend_on_its_batch():
    together, alone = (TrackDraws(3, tracks, 1, CPU) for tracks in (range(10, 14), range(12, 13)))
    for kind in ("normal", "uniform"):
        assert torch.equal(getattr(together, kind)(2, 5)[2:3], getattr(alone, kind)(2, 5))
    assert not torch.equal(*TrackDraws(3, range(2), 1, CPU).normal(5))


def test_snapshot_of_a_run_without_checkpoints(tiny, tmp_path):
    RunDirectory(tmp_path / "run", Origin(tiny, "x"))
    with pytest.raises(Mp3netError, match="has not saved a checkpoint"):
        open_snapshot(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(Mp3netError, match="no such folder"):
        open_snapshot(tmp_path / "run")


def test_durations_read_well():
    texts = [format_duration(value) for value in (5, 119, 600, 7300, 200_000)]
    assert texts == ["5 s", "119 s", "10 min", "2.0 h", "2.3 days"]


def test_a_run_begins_with_the_networks_of_a_snapshot(tiny, tiny_data, tmp_path):
    trainer(tiny, tiny_data, tmp_path / "first").run()
    snapshot = open_snapshot(tmp_path / "first")
    changed = override(tiny, ["optimiser.learning_rate=1e-5", "optimiser.beta1=0.0", "optimiser.batch_size=8"])
    dataset = CropDataset(tiny_data, tiny.track_samples)

    def open_second(config):
        run = RunDirectory(tmp_path / "second", Origin(config, dataset.fingerprint))
        return Trainer(config, dataset, run, CPU, init_from=snapshot)

    second = open_second(changed)
    averaged = load_tensors(snapshot.folder / "generator.safetensors")
    for name, parameter in second.state.networks.generator.named_parameters():
        assert torch.equal(parameter, averaged[name])
        assert torch.equal(second.state.ema.weights[name], averaged[name])
    scores = load_tensors(snapshot.folder / "discriminator.safetensors")
    assert all(torch.equal(value, scores[name]) for name, value in second.state.networks.discriminator.named_parameters())
    second.run()
    # The same command again goes on from the run's own checkpoint, not from the snapshot.
    again = open_second(changed)
    assert again.state.tracks_seen == 64
    assert not torch.equal(again.state.networks.generator.dense.weight, averaged["dense.weight"])
    other = override(tiny, ["audio.sample_rate_hz=9000"])
    with pytest.raises(Mp3netError, match=r"8000 Hz, mono, 16 bins.* is not that of this configuration \(9000 Hz"):
        Trainer(other, dataset, None, CPU, init_from=snapshot)
    wider = override(tiny, ["model.channel_cap=8", "model.stddev_group_size=2"])
    with pytest.raises(
        Mp3netError, match=r"another shape than .*: model.channel_cap: 16 -> 8. To begin .*: --set model.channel_cap=16$"
    ):
        Trainer(wider, dataset, None, CPU, init_from=snapshot)


@pytest.mark.parametrize(
    ("family", "own"),
    [
        (TINY, ("generator/weight/blocks.1", "generator/weight/to_audio", "discriminator/weight/from_audio", "discriminator/weight/blocks.0")),
        (SECOND, ("generator/weight/levels.3", "generator/weight/to_bins", "discriminator/weight/from_bins", "discriminator/weight/levels.0")),
    ],
    ids=["paper", "second family"],
)  # fmt: skip
def test_only_the_blocks_nearest_to_the_audio_are_trained(family, own, tiny_data, tmp_path):
    config = override(family, ["optimiser.train_last_blocks=1"])
    session = trainer(config, tiny_data, tmp_path / "run")
    before = {name: value.clone() for name, value in session.state.tensors().items() if "/weight/" in name}
    session.run()
    after = session.state.tensors()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {name for name in before if name.startswith(own)}
    resumed = trainer(override(config, ["run.total_tracks=96"]), tiny_data, tmp_path / "run")
    assert resumed.state.tracks_seen == 64
    resumed.run()
