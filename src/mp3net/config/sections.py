"""The sections of a configuration: frozen, validated when built. A family is a class with a `kind`, an option is a section
that is present or absent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Strict, Tag, model_validator

WindowName = Literal["vorbis", "sine"]
Precision = Literal["float32", "bfloat16"]


# Points (tracks seen, factor), linear in between and constant outside; none: 1 throughout. JSON has only lists.
Schedule = Annotated[tuple[Annotated[tuple[int, float], Strict(False)], ...], Strict(False)]


class _Frozen(BaseModel):
    # JSON as Python reads it has Infinity and NaN, which pass most bounds and end a training much later.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


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


class PaperModel(_Frozen):
    """Sizes of the paper's networks (section 3). Each block quadruples frames and doubles bins."""

    calibrated: ClassVar[bool] = False
    # Settings that may change when training begins with a snapshot's weights.
    shapeless: ClassVar[frozenset[str]] = frozenset({"stddev_group_size"})

    kind: Literal["paper"] = "paper"
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
    def _even_bins(self) -> PaperModel:
        if self.base_bins % 2:
            raise ValueError(f"base_bins = {self.base_bins} must be even: a block splits off its top octave")
        return self

    @property
    def num_frames(self) -> int:
        return int(self.base_frames * 4**self.num_blocks)

    @property
    def num_bins(self) -> int:
        return int(self.base_bins * 2**self.num_blocks)

    @property
    def coupled_samples(self) -> int | None:
        """Samples of a batch that are scored together; None: all of them."""
        return self.stddev_group_size

    def whole_frames(self, wanted: int | None) -> int:
        """Frames of a track of at least `wanted` frames: there is only one length. Errors: ValueError for a longer one."""
        if wanted is not None and wanted > self.num_frames:
            raise ValueError("the paper's networks make tracks of one length")
        return self.num_frames

    def latent_size(self, num_frames: int) -> int:
        """Random numbers that a track is made of."""
        return self.latent_dim

    @property
    def sizes(self) -> str:
        """The sizes in a few words."""
        return f"{self.num_blocks} blocks, width {self.top_channels}-{self.channel_cap}"

    def block_channels(self, index: int) -> tuple[int, int, int]:
        """Channels (in, mid, out) of generator block `index`, 0 being the deepest (paper section 3.1)."""
        width = 4 ** (self.num_blocks - 1 - index) * self.top_channels
        wide, mid, narrow = (min(self.channel_cap, factor * width) for factor in (4, 2, 1))
        return wide, mid, narrow


class Mp3net2Model(_Frozen):
    """Sizes of the second family: bins are channels, frames a sequence; the weights do not depend on its length."""

    # Networks and front-end use the level that each bin has in the training data as their unit.
    calibrated: ClassVar[bool] = True
    # Samples of a batch that are scored together.
    coupled_samples: ClassVar[int | None] = 1
    shapeless: ClassVar[frozenset[str]] = frozenset({"num_parts"})

    kind: Literal["mp3net2"] = "mp3net2"
    num_parts: int = Field(1, ge=1, description="parts of a track in training, one local latent each")
    base_frames: int = Field(4, ge=1, description="frames of a part at the deepest level")
    num_doublings: int = Field(4, ge=1, le=10, description="levels above the deepest; each doubles the frames")
    width: int = Field(256, ge=8)
    deep_width: int = Field(512, ge=8)
    deep_levels: int = Field(2, ge=1, description="levels of the deep width, counted from the deepest")
    blocks_per_level: int = Field(1, ge=1)
    global_dim: int = Field(128, ge=1, description="the latent of a whole track, which modulates every block")
    local_dim: int = Field(128, ge=1, description="the latent of a part")
    noise_channels: int = Field(8, ge=1)
    attention_heads: int = Field(4, ge=1)
    partials_per_bin: int = Field(
        0, ge=0, le=8, description="the generator gives slow amplitudes of so many partials per bin; 0: the coefficients"
    )
    phase_dim: int = Field(0, ge=0, description="the latent of the phases at which partials begin; 0: all begin alike")
    hold_frames: int = Field(
        1, ge=1, description="frames per amplitude of a partial, a power of two; amplitudes fade linearly into the next"
    )
    hearing_db: float = Field(
        0.0, ge=-60, le=0, description="level above which the discriminator hears, relative to the masking threshold"
    )
    view_frames: Annotated[tuple[int, ...], Strict(False)] = Field(
        (), description="the discriminator also hears so many frames as one; powers of two from 4 on, each once"
    )

    @model_validator(mode="after")
    def _heads_fit(self) -> Mp3net2Model:
        if self.level_widths[0] % (4 * self.attention_heads):
            raise ValueError(
                f"the deepest width {self.level_widths[0]} must be a multiple of 4 x attention_heads = "
                f"{4 * self.attention_heads}"
            )
        return self

    @model_validator(mode="after")
    def _views_are_of_levels(self) -> Mp3net2Model:
        possible = [4 * 2**level for level in range(self.num_doublings)]
        if len(set(self.view_frames)) < len(self.view_frames) or not set(self.view_frames) <= set(possible):
            raise ValueError(
                f"view_frames = {list(self.view_frames)}: with num_doublings = {self.num_doublings} choose from {possible}, "
                "each at most once"
            )
        return self

    @model_validator(mode="after")
    def _partials_are_held_by_a_level(self) -> Mp3net2Model:
        for name, value, without in (("phase_dim", self.phase_dim, 0), ("hold_frames", self.hold_frames, 1)):
            if value != without and not self.partials_per_bin:
                raise ValueError(f"{name} = {value} without partials: set partials_per_bin, or {name} = {without}")
        possible = [2**level for level in range(self.num_doublings + 1)]
        if self.hold_frames not in possible:
            raise ValueError(
                f"hold_frames = {self.hold_frames}: with num_doublings = {self.num_doublings} choose from {possible}"
            )
        return self

    @property
    def level_frames(self) -> list[int]:
        """Frames of a part at each level, the deepest first."""
        return [self.base_frames * 2**level for level in range(self.num_doublings + 1)]

    @property
    def level_widths(self) -> list[int]:
        """Channels at each level, the deepest first."""
        return [self.deep_width if level < self.deep_levels else self.width for level in range(self.num_doublings + 1)]

    @property
    def generator_level_frames(self) -> list[int]:
        """Those of the generator's levels, the last of which has a frame for every amplitude."""
        return [frames for frames in self.level_frames if frames * self.hold_frames <= self.frames_per_part]

    @property
    def frames_per_part(self) -> int:
        return self.level_frames[-1]

    @property
    def num_frames(self) -> int:
        """Frames of a track in training."""
        return self.num_parts * self.frames_per_part

    @property
    def part_size(self) -> int:
        """Random numbers of a part: its latent, and the noise of its frames in every block."""
        return self.local_dim + self.noise_channels * self.blocks_per_level * sum(self.generator_level_frames)

    def whole_frames(self, wanted: int | None) -> int:
        """Frames of a track of at least `wanted` frames: whole parts."""
        return self.num_frames if wanted is None else max(-(-wanted // self.frames_per_part), 1) * self.frames_per_part

    def latent_size(self, num_frames: int) -> int:
        """Random numbers that a track of whole parts is made of."""
        return self.global_dim + self.phase_dim + num_frames // self.frames_per_part * self.part_size

    @property
    def sizes(self) -> str:
        """The sizes in a few words."""
        return f"{self.num_doublings + 1} levels, width {self.width}-{self.deep_width}"


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
    downmix: bool = Field(False, description="recordings of more than two channels are mixed down to stereo")
    strict: bool = Field(False, description="recordings of which music is missing or damaged are left out")
    drop_duplicates: bool = Field(True, description="the same audio under other names or formats counts once")
    heldout_share: float = Field(0.1, ge=0, lt=1)
    split_seed: int = Field(0, ge=0)


class AugmentConfig(_Frozen):
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


class MaskingNoise(_Frozen):
    """Inaudible noise on everything that the discriminator sees (paper section 2.2)."""

    grid: Literal["exact", "released"] = "exact"


class WganGp(_Frozen):
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


class Relativistic(_Frozen):
    """The second family's objective: generated and real scores in pairs, gradient penalties on both (2501.05441)."""

    kind: Literal["relativistic"] = "relativistic"
    discriminator_steps: int = Field(1, ge=1, description="discriminator updates per generator update")
    gradient_penalty_weight: float = Field(20.0, ge=0, description="gamma of R1 and R2")
    gradient_penalty_schedule: OrderedSchedule = Field(
        (), description="factors of the penalty's weight: [[tracks seen, factor], ...]"
    )
    penalty_every: int = Field(4, ge=1, description="discriminator steps per penalty, which then weighs as many times more")
    masking_noise: MaskingNoise | None = MaskingNoise()

    def cost_per_track(self, made: float, scored: float) -> float:
        """As for `WganGp`. Discriminator step: a generator pass; scores of real and fake with their backward passes, 2 x 3;
        every few steps the gradient towards the features of both (2) and backward through it (2 x 2). Generator step: 3
        passes of the generator and, its weights being fixed, 2 of the discriminator and 1 more for the real partners."""
        return made + (6 + 6 / self.penalty_every) * scored + (3 * made + 3 * scored) / self.discriminator_steps


class OptimiserConfig(_Frozen):
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


class RunConfig(_Frozen):
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


class Config(_Frozen):
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
