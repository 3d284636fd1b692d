"""The sections of a configuration: frozen, validated when built. A family is a class with a `kind`, an option is a section
that is present or absent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Strict, Tag, model_validator

from mp3net.config.frozen import Frozen
from mp3net.config.models import Mp3net2Model, PaperModel

WindowName = Literal["vorbis", "sine"]
Precision = Literal["float32", "bfloat16"]

# Points (tracks seen, factor), linear in between and constant outside; none: 1 throughout. JSON has only lists.
Schedule = Annotated[tuple[Annotated[tuple[int, float], Strict(False)], ...], Strict(False)]


class AudioConfig(Frozen):
    """What a coefficient means: sample rate, audio channels, bins of the MDCT and its window."""

    sample_rate_hz: int = Field(22016, ge=1000, le=192000)
    channels: int = Field(2, ge=1, le=2)
    num_bins: int = Field(128, ge=4, le=4096)
    window: WindowName = "vorbis"

    @property
    def hop_length(self) -> int:
        """Samples from one frame to the next; equal to the number of bins."""
        return self.num_bins


class DataConfig(Frozen):
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
    downmix: bool = Field(False, description="recordings of more than two channels are mixed down to stereo")
    strict: bool = Field(False, description="recordings of which music is missing or damaged are left out")
    drop_duplicates: bool = Field(True, description="the same audio under other names or formats counts once")
    heldout_share: float = Field(0.1, ge=0, lt=1)
    split_seed: int = Field(0, ge=0)


class AugmentConfig(Frozen):
    """Changes that could have happened to the recordings themselves, drawn anew for every crop."""

    random_sign: bool = Field(True, description="polarity: inaudible, changes every coefficient")
    swap_channels: bool = Field(True, description="left and right, half of the time; stereo only")
    gain_db: float = Field(0.0, ge=0, le=24, description="level lowered by up to this")
    resample_semitones: float = Field(0.0, ge=0, le=2, description="faster or slower, pitch included, by up to this")


def _in_order(points: Schedule) -> Schedule:
    tracks = [seen for seen, _ in points]
    if any(seen < 0 or factor < 0 for seen, factor in points) or tracks != sorted(set(tracks)):
        raise ValueError(f"{list(points)}: needs points [tracks seen, factor] of rising tracks, neither below 0")
    return points


# Points (tracks seen, factor), linear in between and constant outside; none: 1 throughout.
OrderedSchedule = Annotated[Schedule, AfterValidator(_in_order)]


class MaskingNoise(Frozen):
    """Inaudible noise on everything that the discriminator sees (paper section 2.2)."""

    grid: Literal["exact", "released"] = "exact"


class WganGp(Frozen):
    """The paper's objective (section 3.2): Wasserstein distance, gradient penalty (slope 1 in between), drift."""

    kind: Literal["wgan_gp"] = "wgan_gp"
    discriminator_steps: int = Field(2, ge=1, description="discriminator updates per generator update")
    gradient_penalty_weight: float = Field(3.0, ge=0)
    gradient_penalty_schedule: OrderedSchedule = Field(
        (), description="factors of the penalty's weight: [[tracks seen, factor], ...]"
    )
    drift_weight: float = Field(0.1, ge=0)
    masking_noise: MaskingNoise | None = MaskingNoise()

    def cost_per_track(self, made: float, scored: float) -> float:
        """Cost per track that the discriminator sees, from that of one forward pass of each network; a backward pass counts
        twice. Discriminator step: one generator pass; scores of real and fake with their backward passes, 2 x 3; penalty:
        score, gradient towards the input (1), and backward through both (2 + 2): 12 passes of the discriminator in all.
        Generator step: 3 passes of the generator and, its weights being fixed, 2 of the discriminator."""
        return made + 12 * scored + (3 * made + 2 * scored) / self.discriminator_steps


class Relativistic(Frozen):
    """The second family's objective: generated and real scores in pairs, gradient penalties on both (2501.05441)."""

    kind: Literal["relativistic"] = "relativistic"
    discriminator_steps: int = Field(1, ge=1, description="discriminator updates per generator update")
    gradient_penalty_weight: float = Field(20.0, ge=0, description="gamma of R1 and R2")
    gradient_penalty_schedule: OrderedSchedule = Field(
        (), description="factors of the penalty's weight: [[tracks seen, factor], ...]"
    )
    penalty_every: int = Field(4, ge=1, description="discriminator steps per penalty, which then weighs as many times more")
    beat_weight: float = Field(
        6.0,
        ge=0,
        description="how strongly onsets are drawn to the clocks, as recordings' are to the beat; with beat_clocks",
    )
    key_weight: float = Field(40.0, ge=0, description="how strongly pitches are drawn to the song's key; with keys")
    tuning_weight: float = Field(
        1.0, ge=0, description="how strongly songs are drawn to the frequencies of recordings; with tuning_harmonics"
    )
    movement_weight: float = Field(
        10.0, ge=0, description="how strongly levels are drawn to move as those of recordings do; with movement_lags"
    )
    loudness_weight: float = Field(
        10.0, ge=0, description="how strongly loudness is drawn to move as that of recordings does; with loudness_lags"
    )
    interval_weight: float = Field(
        30.0, ge=0, description="how strongly intervals are drawn to come as often as in recordings; with interval_lags"
    )
    masking_noise: MaskingNoise | None = MaskingNoise()

    @property
    def weights(self) -> dict[str, float]:
        """How strongly songs are drawn to what recordings have in the mean, by the name of its estimate."""
        return {
            "beat": self.beat_weight,
            "key": self.key_weight,
            "tuning": self.tuning_weight,
            "movement": self.movement_weight,
            "loudness": self.loudness_weight,
            "intervals": self.interval_weight,
        }

    def cost_per_track(self, made: float, scored: float) -> float:
        """As for `WganGp`. Discriminator step: a generator pass; scores of real and fake with their backward passes, 2 x 3;
        every few steps the gradient towards the features of both (2) and backward through it (2 x 2). Generator step: 3
        passes of the generator and, its weights being fixed, 2 of the discriminator and 1 more for the real partners."""
        return made + (6 + 6 / self.penalty_every) * scored + (3 * made + 3 * scored) / self.discriminator_steps


class OptimiserConfig(Frozen):
    """How weights are updated (paper section 4.2). Progress is counted in tracks seen by the discriminator."""

    batch_size: int = Field(8, ge=1)
    learning_rate: float = Field(1e-4, gt=0)
    learning_rate_schedule: OrderedSchedule = Field(
        (), description="factors of the learning rate: [[tracks seen, factor], ...]"
    )
    beta1: float = Field(0.5, ge=0, lt=1)
    beta2: float = Field(0.9, ge=0, lt=1)
    ema_half_life_tracks: int = Field(20_000, ge=1, description="at most; early in a run a twentieth of the tracks seen")
    precision: Precision = "bfloat16"
    train_last_blocks: int | None = Field(
        None, ge=1, description="blocks nearest to the audio that are trained, in both networks; null: everything"
    )
    seed: int = Field(0, ge=0)


class RunConfig(Frozen):
    """What may change when a run is resumed: it controls bookkeeping, not the mathematics of a step."""

    total_tracks: int = Field(6_000_000, ge=1)
    micro_batch_size: int | None = Field(
        None, ge=1, description="samples computed at a time; their gradients add up to those of the batch"
    )
    activation_checkpointing: bool = Field(False, description="less memory for one forward pass more")
    log_every_tracks: int = Field(800, ge=1)
    sample_every_tracks: int = Field(8_000, ge=1)
    checkpoint_every_tracks: int = Field(8_000, ge=1)
    keep_checkpoints: int = Field(3, ge=1)
    evaluate_every_tracks: int = Field(8_000, ge=1)
    evaluate_samples: int = Field(64, ge=0, description="songs per light evaluation, at least 8; 0 leaves it out")

    @model_validator(mode="after")
    def _enough_samples(self) -> RunConfig:
        if 0 < self.evaluate_samples < 8:
            raise ValueError(f"evaluate_samples = {self.evaluate_samples}: distances need at least 8 songs, or 0 for none")
        return self


def _kind_or(default: str) -> Callable[[Any], str]:
    """The kind that a section names; `default` if it names none."""

    def kind(section: Any) -> str:
        named = section.get("kind", default) if isinstance(section, dict) else getattr(section, "kind", default)
        return str(named)

    return kind


ModelConfig = Annotated[
    Annotated[PaperModel, Tag("paper")] | Annotated[Mp3net2Model, Tag("mp3net2")], Discriminator(_kind_or("paper"))
]
ObjectiveConfig = Annotated[
    Annotated[WganGp, Tag("wgan_gp")] | Annotated[Relativistic, Tag("relativistic")], Discriminator(_kind_or("wgan_gp"))
]
# Which objective trains which networks: one scores single tracks, the other tracks and their parts, in features.
OBJECTIVES = {"paper": "wgan_gp", "mp3net2": "relativistic"}


class Config(Frozen):
    """Everything that defines a model and its training."""

    audio: AudioConfig = AudioConfig()
    model: ModelConfig = PaperModel()
    objective: ObjectiveConfig = WganGp()
    optimiser: OptimiserConfig = OptimiserConfig()
    augment: AugmentConfig = AugmentConfig()
    run: RunConfig = RunConfig()

    @model_validator(mode="after")
    def _bins_agree(self) -> Config:
        if isinstance(self.model, PaperModel) and self.audio.num_bins != self.model.num_bins:
            raise ValueError(
                f"audio.num_bins = {self.audio.num_bins} but the networks give base_bins x 2^num_blocks = "
                f"{self.model.base_bins} x 2^{self.model.num_blocks} = {self.model.num_bins}"
            )
        if self.audio.num_bins % 2:
            raise ValueError(f"audio.num_bins = {self.audio.num_bins} must be even")
        return self

    @model_validator(mode="after")
    def _objective_fits(self) -> Config:
        wanted = OBJECTIVES[self.model.kind]
        if self.objective.kind != wanted:
            raise ValueError(
                f"objective.kind = {self.objective.kind} does not train model.kind = {self.model.kind}; use {wanted}"
            )
        return self

    @property
    def track_samples(self) -> int:
        """Samples that a track's frames span: overlapping frames need one hop more than their count."""
        return (self.model.num_frames + 1) * self.audio.hop_length

    @property
    def song_samples(self) -> int:
        """Samples of a track that can be heard: at both ends one hop lacks the frame that cancels its aliasing."""
        return (self.model.num_frames - 1) * self.audio.hop_length

    @property
    def track_duration_s(self) -> float:
        return self.model.num_frames * self.audio.hop_length / self.audio.sample_rate_hz
