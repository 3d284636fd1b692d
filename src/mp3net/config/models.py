"""How large the networks of each family are, and what follows from it for frames and latents."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, Strict, model_validator

from mp3net.config.frozen import Frozen


class PaperModel(Frozen):
    """Sizes of the paper's networks (section 3). Each block quadruples frames and doubles bins."""

    calibrated: ClassVar[bool] = False
    # Settings that may change when training begins with a snapshot's weights.
    shapeless: ClassVar[frozenset[str]] = frozenset({"stddev_group_size"})

    kind: Literal["paper"] = "paper"
    base_frames: int = Field(4, ge=1, le=1024)
    base_bins: int = Field(2, ge=2, le=4096)
    num_blocks: int = Field(6, ge=1, le=10)
    top_channels: int = Field(16, ge=1, le=4096, description="c_0: channels next to the audio")
    channel_cap: int = Field(512, ge=1, le=16_384)
    latent_dim: int = Field(512, ge=1, le=65_536)
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


class Mp3net2Model(Frozen):
    """Sizes of the second family: bins are channels, frames a sequence; the weights do not depend on its length."""

    # Networks and front-end use the level that each bin has in the training data as their unit.
    calibrated: ClassVar[bool] = True
    # Samples of a batch that are scored together.
    coupled_samples: ClassVar[int | None] = 1
    shapeless: ClassVar[frozenset[str]] = frozenset(
        {"num_parts", "loudness_gain", "tuning_harmonics", "movement_lags", "loudness_lags", "interval_lags"}
    )

    kind: Literal["mp3net2"] = "mp3net2"
    num_parts: int = Field(1, ge=1, le=100_000, description="parts of a track in training, one local latent each")
    base_frames: int = Field(4, ge=1, le=1024, description="frames of a part at the deepest level")
    num_doublings: int = Field(4, ge=1, le=10, description="levels above the deepest; each doubles the frames")
    width: int = Field(256, ge=8, le=16_384)
    deep_width: int = Field(512, ge=8, le=16_384)
    deep_levels: int = Field(2, ge=1, le=11, description="levels of the deep width, counted from the deepest")
    blocks_per_level: int = Field(1, ge=1, le=64)
    global_dim: int = Field(128, ge=1, le=65_536, description="the latent of a whole track")
    local_dim: int = Field(128, ge=1, le=65_536, description="the latent of a part")
    global_share: float = Field(
        1.0, ge=0, le=1, description="share of the global latent in what modulates a part; the rest is the part's own latent"
    )
    noise_channels: int = Field(8, ge=1, le=1024)
    attention_heads: int = Field(4, ge=1, le=256)
    partials_per_bin: int = Field(
        0, ge=0, le=8, description="the generator gives slow amplitudes of so many partials per bin; 0: the coefficients"
    )
    phase_dim: int = Field(
        0, ge=0, le=256, description="the latent of the phases at which partials begin; 0: all begin alike"
    )
    beat_clocks: int = Field(
        0, ge=0, le=8, description="clocks that the generator goes by, a bar of four beats, half a bar, ...; 0: no beat"
    )
    keys: int = Field(
        0, ge=0, le=48, description="keys in which songs are, each a step of an octave from the next: 12; 0: no key"
    )
    tuning_harmonics: int = Field(
        0,
        ge=0,
        le=32,
        description="how finely songs are drawn to the recordings' frequencies within each bin; 0: not at all",
    )
    movement_lags: Annotated[tuple[int, ...], Strict(False)] = Field(
        (), description="frames after which levels of songs are drawn to have moved as far as those of recordings have"
    )
    loudness_lags: Annotated[tuple[int, ...], Strict(False)] = Field(
        (), description="frames after which the loudness of songs is drawn to have changed as far as that of recordings has"
    )
    interval_lags: Annotated[tuple[int, ...], Strict(False)] = Field(
        (), description="frames between pitches whose intervals are drawn to come as often as in recordings; 0: chords"
    )
    hold_frames: int = Field(
        1, ge=1, description="frames per amplitude of a partial, a power of two; amplitudes fade linearly into the next"
    )
    hearing_db: float = Field(
        0.0, ge=-60, le=0, description="level above which the discriminator hears, relative to the masking threshold"
    )
    loudness_gain: float = Field(
        1.0, gt=0, le=100, description="how much of loudness, the masking threshold, the discriminator hears"
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
    def _latents_add(self) -> Mp3net2Model:
        if self.global_share < 1 and self.local_dim != self.global_dim:
            raise ValueError(
                f"global_share = {self.global_share} adds the two latents: local_dim = {self.local_dim} must be equal to "
                f"global_dim = {self.global_dim}"
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

    @model_validator(mode="after")
    def _lags_fit_a_part(self) -> Mp3net2Model:
        # Intervals are of pitches, which take two frames.
        for name, lags, first, last in (
            ("movement_lags", self.movement_lags, 1, self.frames_per_part - 1),
            ("loudness_lags", self.loudness_lags, 1, self.frames_per_part - 1),
            ("interval_lags", self.interval_lags, 0, self.frames_per_part - 2),
        ):
            if len(set(lags)) < len(lags) or not all(first <= lag <= last for lag in lags):
                raise ValueError(
                    f"{name} = {list(lags)}: choose from {first} to {last}, shorter than a part, each at most once"
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

    @property
    def beat_dim(self) -> int:
        """Random numbers that decide the beat: its length, and where in a bar a song begins."""
        return 2 if self.beat_clocks else 0

    @property
    def block_channels(self) -> int:
        """Channels that each of the generator's blocks hears besides its own: noise, cos and sin of clocks, tempo, keys."""
        return self.noise_channels + (2 * self.beat_clocks + 1 if self.beat_clocks else 0) + self.keys

    @property
    def common_size(self) -> int:
        """Random numbers that all parts have in common: the global latent, those of phases, beat and key."""
        return self.key_place + (1 if self.keys else 0)

    @property
    def beat_place(self) -> int:
        """Where those of the beat begin."""
        return self.global_dim + self.phase_dim

    @property
    def key_place(self) -> int:
        """Where that of the key is."""
        return self.beat_place + self.beat_dim

    def whole_frames(self, wanted: int | None) -> int:
        """Frames of a track of at least `wanted` frames: whole parts."""
        return self.num_frames if wanted is None else max(-(-wanted // self.frames_per_part), 1) * self.frames_per_part

    def latent_size(self, num_frames: int) -> int:
        """Random numbers that a track of whole parts is made of."""
        return self.common_size + num_frames // self.frames_per_part * self.part_size

    @property
    def sizes(self) -> str:
        """The sizes in a few words."""
        return f"{self.num_doublings + 1} levels, width {self.width}-{self.deep_width}"
