"""Known-good configurations by name."""

from __future__ import annotations

import difflib
from typing import Any

from mp3net.config.models import Mp3net2Model, PaperModel
from mp3net.config.sections import (
    AudioConfig,
    AugmentConfig,
    Config,
    OptimiserConfig,
    Relativistic,
    RunConfig,
)
from mp3net.errors import Mp3netError

# The paper uses crops as they were recorded.
UNCHANGED = AugmentConfig(random_sign=False, swap_channels=False)


def _second_family(audio: AudioConfig, num_parts: int, total_tracks: int, **settings: Any) -> Config:
    """The recipe that the lab found (docs/decisions.md says what each setting is worth), with `settings` of the model."""
    model = Mp3net2Model(
        num_parts=num_parts, global_share=0.25, partials_per_bin=8, phase_dim=32, view_frames=(8,), hearing_db=-12.0,
        beat_clocks=6, keys=12, **settings,
    )  # fmt: skip
    optimiser = OptimiserConfig(
        learning_rate=2e-4,
        learning_rate_schedule=((total_tracks // 6, 1.0), (total_tracks, 0.2)),
        beta1=0.0,
        beta2=0.99,
        ema_half_life_tracks=1500,
    )
    return Config(
        audio=audio, model=model, objective=Relativistic(), optimiser=optimiser, run=RunConfig(total_tracks=total_tracks)
    )


_MONO_11K = AudioConfig(sample_rate_hz=11008, channels=1, num_bins=256)

PRESETS: dict[str, Config] = {
    # The second family: frames of 23 ms, parts of 64 frames, 1.49 s. The first two are for one
    # CPU core, and each can start from the weights of the other. First in the table, because they learn fastest.
    "mp3net2-nano": _second_family(_MONO_11K, 1, 150_000, width=192, deep_width=256),
    "mp3net2-6s": _second_family(
        _MONO_11K, 4, 400_000, width=192, deep_width=256, loudness_gain=3.0, tuning_harmonics=8,
        movement_lags=(1, 2, 4, 8, 16), loudness_lags=(1, 2, 4, 8, 16), interval_lags=(0, 8, 16, 32),
    ),
    "mp3net2-95s": _second_family(AudioConfig(num_bins=512), 64, 6_000_000, width=256, deep_width=512),
    "mp3net2-44k": _second_family(
        AudioConfig(sample_rate_hz=44100, num_bins=1024), 64, 6_000_000, width=256, deep_width=512
    ),
    # The paper's two models, with the released training values.
    "piano-95s": Config(augment=UNCHANGED),
    "piano-5s": Config(
        model=PaperModel(base_frames=1, base_bins=4, num_blocks=5, top_channels=128),
        optimiser=OptimiserConfig(batch_size=64),
        run=RunConfig(total_tracks=160_000 * 64),
        augment=UNCHANGED,
    ),
    # The paper's networks for today's musicians: full bandwidth. 256 bins separate semitones down to lower pitches.
    "music44k-95s": Config(audio=AudioConfig(sample_rate_hz=44100, num_bins=256), model=PaperModel(base_bins=4)),
    "music32k-64s": Config(
        audio=AudioConfig(sample_rate_hz=32768, num_bins=256), model=PaperModel(base_frames=2, base_bins=4)
    ),
    # The paper's networks for two CPU cores.
    "nano-1.5s": Config(
        audio=AudioConfig(sample_rate_hz=11008, channels=1, num_bins=64),
        model=PaperModel(base_frames=1, base_bins=4, num_blocks=4, top_channels=8, channel_cap=64, latent_dim=64),
        run=RunConfig(total_tracks=400_000),
    ),
    "micro-6s": Config(
        audio=AudioConfig(sample_rate_hz=11008, channels=1, num_bins=64),
        model=PaperModel(base_frames=1, base_bins=2, num_blocks=5, top_channels=8, channel_cap=128, latent_dim=128),
        run=RunConfig(total_tracks=400_000),
    ),
}  # fmt: skip


def presets_for(sample_rate_hz: int, channels: int, longest_samples: int) -> list[str]:
    """Names of the presets that recordings of this kind can serve, the longest of which has so many samples."""
    return [
        name
        for name, config in PRESETS.items()
        if (config.audio.sample_rate_hz, config.audio.channels) == (sample_rate_hz, channels)
        and config.track_samples <= longest_samples
    ]


def preset(name: str) -> Config:
    """The preset called `name`; Mp3netError names those that are called alike, or all."""
    if name not in PRESETS:
        alike = [other for other in PRESETS if len(name) > 2 and name in other] or difflib.get_close_matches(
            name, PRESETS, 1
        )
        if alike:
            raise Mp3netError(f"unknown preset {name!r}; did you mean {' or '.join(alike)}? `mp3net info` lists all")
        raise Mp3netError(f"unknown preset {name!r}; the presets are: {', '.join(PRESETS)}")
    return PRESETS[name]
