"""Configuration is data: frozen models, validated when built, saved as JSON beside the weights. No torch here."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from mp3net.errors import Mp3netError
from mp3net.files import read_json

WindowName = Literal["vorbis", "sine"]


def _as_tuples(points: Any) -> Any:
    """JSON knows lists only."""
    if not isinstance(points, list):
        return points
    if not all(isinstance(point, list | tuple) and len(point) == 2 for point in points):
        raise ValueError(f"{points}: expected points [tracks seen, factor], such as [[0, 1], [100000, 0]]")
    return tuple(tuple(point) for point in points)


# Points (tracks seen, factor), linear in between and constant outside; none: 1 throughout.
Schedule = Annotated[tuple[tuple[int, float], ...], BeforeValidator(_as_tuples)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class AudioConfig(_Frozen):
    """What a coefficient means: sample rate, audio channels, bins of the MDCT and its window."""

    sample_rate_hz: int = Field(22016, ge=1000, le=192000)
    channels: int = Field(2, ge=1, le=2)
    num_bins: int = Field(128, ge=4, le=4096)
    window: WindowName = "vorbis"

    @property
    def hop_length(self) -> int:
        """Samples from one frame to the next; equal to the number of bins."""
        return self.num_bins


class ModelConfig(_Frozen):
    """Sizes of both networks (paper section 3). Each block quadruples frames and doubles bins."""

    base_frames: int = Field(4, ge=1)
    base_bins: int = Field(2, ge=2)
    num_blocks: int = Field(6, ge=1, le=10)
    top_channels: int = Field(16, ge=1, description="c_0: channels next to the audio")
    channel_cap: int = Field(512, ge=1)
    latent_dim: int = Field(512, ge=1)
    stddev_position: Literal["before_last_block", "after_last_block"] = Field(
        "before_last_block", description="minibatch deviation: figure 4 of the paper, or the released code"
    )

    stddev_group_size: int | None = Field(
        None, ge=2, description="samples per minibatch deviation; null: the whole batch, as in the paper"
    )

    @model_validator(mode="after")
    def _even_bins(self) -> ModelConfig:
        if self.base_bins % 2:
            raise ValueError(f"base_bins = {self.base_bins} must be even: a block splits off its top octave")
        return self

    @property
    def num_frames(self) -> int:
        return int(self.base_frames * 4**self.num_blocks)

    @property
    def num_bins(self) -> int:
        return int(self.base_bins * 2**self.num_blocks)

    def block_channels(self, index: int) -> tuple[int, int, int]:
        """Channels (in, mid, out) of generator block `index`, 0 being the deepest (paper section 3.1)."""
        width = 4 ** (self.num_blocks - 1 - index) * self.top_channels
        wide, mid, narrow = (min(self.channel_cap, factor * width) for factor in (4, 2, 1))
        return wide, mid, narrow


class DataConfig(_Frozen):
    """How recordings become a dataset on disk."""

    sample_rate_hz: int = Field(22016, ge=1000, le=192000)
    channels: int = Field(2, ge=1, le=2)
    min_duration_s: float = Field(1.0, gt=0)
    silence_peak_db: float = Field(-80.0, lt=0, description="a file whose peak stays below this is silent")
    trim_silence_db: float | None = Field(
        -60.0, lt=0, description="beginnings and endings this far below the recording's peak are cut; null: kept"
    )
    remove_dc: bool = Field(True, description="subtract the mean of each channel")
    level: Literal["peak", "loudness", "original"] = Field(
        "peak", description="peak: every recording to 0.999; loudness: to loudness_lufs; original: as it is"
    )
    loudness_lufs: float = Field(-20.0, ge=-60, le=0, description="for level = loudness, never above a peak of 0.999")
    drop_duplicates: bool = Field(True, description="the same audio under other names or formats counts once")
    heldout_share: float = Field(0.1, ge=0, lt=1)
    split_seed: int = Field(0, ge=0)


class AugmentConfig(_Frozen):
    """Changes of crops that recordings could have had themselves, drawn anew for every crop."""

    random_sign: bool = Field(True, description="polarity: inaudible, changes every coefficient")
    swap_channels: bool = Field(True, description="left and right, half of the time; stereo only")
    gain_db: float = Field(0.0, ge=0, le=24, description="level lowered by up to this")
    resample_semitones: float = Field(0.0, ge=0, le=2, description="faster or slower, pitch included, by up to this")


class TrainConfig(_Frozen):
    """Objective and schedule (paper section 4.2). Progress is counted in tracks seen by the discriminator."""

    total_tracks: int = Field(6_000_000, ge=1)
    batch_size: int = Field(8, ge=1)
    discriminator_steps: int = Field(2, ge=1, description="discriminator updates per generator update")
    learning_rate: float = Field(1e-4, gt=0)
    beta1: float = Field(0.5, ge=0, lt=1)
    beta2: float = Field(0.9, ge=0, lt=1)
    gradient_penalty_weight: float = Field(3.0, ge=0)
    drift_weight: float = Field(0.1, ge=0)
    learning_rate_schedule: Schedule = Field(
        (), description="factors of the learning rate: [[tracks seen, factor], ...]"
    )
    gradient_penalty_schedule: Schedule = Field((), description="factors of the penalty's weight, likewise")
    masking_noise: bool = True
    masking_grid: Literal["exact", "released"] = "exact"
    ema_half_life_tracks: int = Field(20_000, ge=1)
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    micro_batch_size: int | None = Field(
        None, ge=1, description="samples computed at a time; their gradients add up to those of the batch"
    )
    train_last_blocks: int | None = Field(
        None, ge=1, description="blocks nearest to the audio that are trained, in both networks; null: everything"
    )
    activation_checkpointing: bool = Field(False, description="less memory for one forward pass more")
    seed: int = Field(0, ge=0)
    log_every_tracks: int = Field(800, ge=1)
    sample_every_tracks: int = Field(8_000, ge=1)
    checkpoint_every_tracks: int = Field(8_000, ge=1)
    keep_checkpoints: int = Field(3, ge=1)
    evaluate_every_tracks: int = Field(8_000, ge=1)
    evaluate_samples: int = Field(64, ge=0, description="songs per light evaluation, at least 8; 0 leaves it out")

    @field_validator("learning_rate_schedule", "gradient_penalty_schedule")
    @classmethod
    def _in_order(cls, points: Schedule) -> Schedule:
        tracks = [seen for seen, _ in points]
        if any(seen < 0 or factor < 0 for seen, factor in points) or tracks != sorted(set(tracks)):
            raise ValueError(f"{list(points)}: needs points [tracks seen, factor] of rising tracks, neither below 0")
        return points

    @model_validator(mode="after")
    def _enough_samples(self) -> TrainConfig:
        if 0 < self.evaluate_samples < 8:
            raise ValueError(
                f"evaluate_samples = {self.evaluate_samples}: distances need at least 8 songs, or 0 for none"
            )
        return self


# May differ between the runs of one run directory: they steer bookkeeping, not the mathematics of a step.
RESUMABLE_KEYS = frozenset(
    f"train.{key}"
    for key in (
        "total_tracks",
        "log_every_tracks",
        "sample_every_tracks",
        "checkpoint_every_tracks",
        "keep_checkpoints",
        "evaluate_every_tracks",
        "evaluate_samples",
        "micro_batch_size",
        "activation_checkpointing",
    )
)


class Config(_Frozen):
    """Everything that defines a model and its training."""

    audio: AudioConfig = AudioConfig()
    model: ModelConfig = ModelConfig()
    augment: AugmentConfig = AugmentConfig()
    train: TrainConfig = TrainConfig()

    @model_validator(mode="after")
    def _bins_agree(self) -> Config:
        if self.audio.num_bins != self.model.num_bins:
            raise ValueError(
                f"audio.num_bins = {self.audio.num_bins} but the networks give base_bins x 2^num_blocks = "
                f"{self.model.base_bins} x 2^{self.model.num_blocks} = {self.model.num_bins}"
            )
        return self

    @property
    def track_samples(self) -> int:
        """Samples that a track's frames span: overlapping frames need one hop more than their count."""
        return (self.model.num_frames + 1) * self.audio.hop_length

    @property
    def track_duration_s(self) -> float:
        return self.model.num_frames * self.audio.hop_length / self.audio.sample_rate_hz


# The paper's crops are as they were recorded.
UNCHANGED = AugmentConfig(random_sign=False, swap_channels=False)


def _preset(audio: AudioConfig, model: ModelConfig, train: TrainConfig, augment: AugmentConfig | None = None) -> Config:
    return Config(audio=audio, model=model, train=train, augment=augment or AugmentConfig())


PRESETS: dict[str, Config] = {
    # The paper's two models, with the released training values.
    "piano-95s": _preset(AudioConfig(), ModelConfig(), TrainConfig(), UNCHANGED),
    "piano-5s": _preset(
        AudioConfig(),
        ModelConfig(base_frames=1, base_bins=4, num_blocks=5, top_channels=128),
        TrainConfig(batch_size=64, total_tracks=160_000 * 64),
        UNCHANGED,
    ),
    # Today's musicians: full bandwidth. Semitones separate from lower pitches on with 256 bins.
    "music44k-95s": _preset(AudioConfig(sample_rate_hz=44100, num_bins=256), ModelConfig(base_bins=4), TrainConfig()),
    "music32k-64s": _preset(
        AudioConfig(sample_rate_hz=32768, num_bins=256), ModelConfig(base_frames=2, base_bins=4), TrainConfig()
    ),
    # Two CPU cores.
    "nano-1.5s": _preset(
        AudioConfig(sample_rate_hz=11008, channels=1, num_bins=64),
        ModelConfig(base_frames=1, base_bins=4, num_blocks=4, top_channels=8, channel_cap=64, latent_dim=64),
        TrainConfig(total_tracks=400_000),
    ),
    "micro-6s": _preset(
        AudioConfig(sample_rate_hz=11008, channels=1, num_bins=64),
        ModelConfig(base_frames=1, base_bins=2, num_blocks=5, top_channels=8, channel_cap=128, latent_dim=128),
        TrainConfig(total_tracks=400_000),
    ),
}


def preset(name: str) -> Config:
    """The preset called `name`; Mp3netError lists the valid names."""
    if name not in PRESETS:
        raise Mp3netError(f"unknown preset {name!r}; the presets are: {', '.join(PRESETS)}")
    return PRESETS[name]


def valid_keys(kind: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Dotted names of all settings below `kind`."""
    keys: list[str] = []
    for name, field in kind.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            keys += valid_keys(annotation, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def parse_config(data: Any, source: str, kind: type[BaseModel] = Config, names: Mapping[str, str] | None = None) -> Any:
    """Build `kind` from plain data; every problem is listed as Mp3netError with its key, value and remedy. `names` says how
    the user calls some of the keys."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise Mp3netError(_explain(error, source, kind, names or {})) from None


def _explain(error: ValidationError, source: str, kind: type[BaseModel], names: Mapping[str, str]) -> str:
    lines = []
    unknown = False
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"]) or "(whole configuration)"
        if problem["type"] == "extra_forbidden":
            unknown = True
            lines.append(f"unknown key {key!r}")
        else:
            value = "" if isinstance(problem["input"], (dict, BaseModel)) else f" (found {problem['input']!r})"
            lines.append(f"{names.get(key, key)}: {problem['msg'].removeprefix('Value error, ')}{value}")
    hint = f"; the valid keys are: {', '.join(valid_keys(kind))}" if unknown else ""
    return f"{source}: {'; '.join(lines)}{hint}"


def override(config: Config, assignments: list[str], source: str = "--set") -> Config:
    """`config` with `section.key=value` assignments applied; values are JSON, or bare words for strings.

    Errors: Mp3netError for an assignment without "=", an unknown key (the valid ones are listed) or a bad value.
    """
    data = config.model_dump()
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator or key not in valid_keys():
            near = difflib.get_close_matches(key, valid_keys(), n=1)
            hint = f"; did you mean {near[0]}?" if separator and near else ""
            raise Mp3netError(
                f"{source} {assignment!r}: expected KEY=VALUE with a known key{hint}; the valid keys are: "
                f"{', '.join(valid_keys())}"
            )
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        section, name = key.split(".")
        data[section][name] = value
    config_: Config = parse_config(data, source)
    return config_


def differing_keys(left: Config, right: Config) -> list[str]:
    """Dotted names whose values differ, each with both values: "train.seed: 0 -> 1"."""
    a, b = left.model_dump(), right.model_dump()
    return [
        f"{section}.{name}: {value!r} -> {b[section][name]!r}"
        for section, values in a.items()
        for name, value in values.items()
        if value != b[section][name]
    ]


def read_config(path: Path) -> Config:
    """Read a JSON configuration; Mp3netError names the file and every problem in it."""
    config: Config = parse_config(read_json(path), str(path))
    return config
