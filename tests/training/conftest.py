from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mp3net.config import AudioConfig, Config, DataConfig, Mp3net2Model, OptimiserConfig, PaperModel, Relativistic, RunConfig
from mp3net.data.dataset import CropDataset
from mp3net.data.preparation import prepare
from mp3net.data.recordings import below
from mp3net.model.snapshot import Snapshot
from mp3net.training.checkpoint import RunDirectory
from mp3net.training.origin import Origin
from mp3net.training.trainer import Trainer
from tests.recordings import write_folder

TINY = Config(
    audio=AudioConfig(sample_rate_hz=8000, channels=1, num_bins=16),
    model=PaperModel(base_frames=1, base_bins=4, num_blocks=2, top_channels=4, channel_cap=16, latent_dim=8),
    optimiser=OptimiserConfig(batch_size=4, ema_half_life_tracks=32, precision="float32"),
    run=RunConfig(total_tracks=64, log_every_tracks=16, sample_every_tracks=32, checkpoint_every_tracks=16),
)


SECOND = Config(
    audio=AudioConfig(sample_rate_hz=8000, channels=1, num_bins=16),
    model=Mp3net2Model(
        base_frames=2, num_doublings=3, width=16, deep_width=16, global_dim=4, local_dim=4, noise_channels=2,
        attention_heads=2,
    ),
    objective=Relativistic(),
    optimiser=OptimiserConfig(
        batch_size=4, learning_rate=1e-3, beta1=0.0, beta2=0.99, ema_half_life_tracks=32, precision="float32"
    ),
    run=RunConfig(total_tracks=64, log_every_tracks=16, sample_every_tracks=32, checkpoint_every_tracks=16),
)  # fmt: skip


CPU = torch.device("cpu")


def trainer(config: Config, data: Path, run: Path | None = None, init_from: Snapshot | None = None) -> Trainer:
    """A training on one process, in a run directory or in memory alone."""
    dataset = CropDataset(data, config.track_samples)
    directory = RunDirectory(run, Origin(config, dataset.fingerprint)) if run is not None else None
    return Trainer(config, dataset, directory, CPU, init_from=init_from)


def final_bytes(run: Path) -> bytes:
    return (sorted((run / "checkpoints").iterdir())[-1] / "training.safetensors").read_bytes()


@pytest.fixture
def tiny() -> Config:
    return TINY


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    write_folder(folder / "in")
    prepare(below(folder / "in"), folder / "data", DataConfig(sample_rate_hz=8000, channels=1), 2)
    return folder / "data"
