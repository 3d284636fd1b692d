"""Networks of the second family that are small enough for slow formulas."""

from __future__ import annotations

import torch

from mp3net.config import AudioConfig, Config, Mp3net2Model, OptimiserConfig, Relativistic
from mp3net.model.build import build_networks

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


def with_beat(clocks: int = 3, keys: int = 12):
    """With phases, styles of parts, clocks of beats and keys."""
    settings = {"beat_clocks": clocks, "keys": keys, "global_share": 0.25, "local_dim": 6}
    return CONFIG.model_copy(update={"model": with_phases().model.model_copy(update=settings)})


def with_phases(phase_dim: int = 32, per_bin: int = 3, hold_frames: int = 1):
    settings = {"partials_per_bin": per_bin, "phase_dim": phase_dim, "hold_frames": hold_frames}
    return CONFIG.model_copy(update={"model": MODEL.model_copy(update=settings)})
