"""What the lab compares: recipes by name, each with the question that it answers, and plans, the order in which they run.

A recipe is a preset with settings changed, perhaps with a change to the code that no setting makes (`changes.py`), and a
number of tracks. Its results stay in the table under its name: to change a recipe is to give it another name.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from mp3net.config import Config, override, preset

from . import changes


class Change(Protocol):
    """A change to the code, in force inside of the context."""

    __name__: str

    def __call__(self) -> AbstractContextManager[Any]: ...


def unchanged() -> AbstractContextManager[Any]:
    return nullcontext()


@dataclass(frozen=True)
class Recipe:
    """`tracks` are seen in all, and judged at each of `marks` equal parts. `begins_with` names the recipe whose snapshot of
    the same seed is the beginning."""

    question: str
    preset: str
    tracks: int
    settings: tuple[str, ...] = ()
    marks: int = 4
    change: Change = unchanged
    begins_with: str | None = None

    def config(self, seed: int, precision: str = "bfloat16") -> Config:
        """The configuration that is trained. `run` and the precision are the lab's own choice and no part of the recipe."""
        every = self.tracks // self.marks
        own = (
            f"optimiser.seed={seed}", f"optimiser.precision={precision}", f"run.total_tracks={self.tracks}",
            "run.evaluate_samples=0", f"run.sample_every_tracks={self.tracks}", "run.log_every_tracks=800",
            f"run.checkpoint_every_tracks={min(every, 4000)}", "run.keep_checkpoints=1",
        )  # fmt: skip
        begun = preset(self.preset)
        guides = UNGUIDED if begun.model.kind == "mp3net2" else ()
        return override(begun, [*guides, *self.settings, *own])

    def judged_at(self) -> list[int]:
        """Tracks seen at which the recipe is judged."""
        return [self.tracks * mark // self.marks for mark in range(1, self.marks + 1)]

    @property
    def digest(self) -> str:
        """Changes with everything that could change a result, the seed and the number of tracks left aside."""
        config = self.config(0)
        content = config.model_dump(exclude={"run"}, exclude_defaults=True)  # so that a new setting leaves it as it was
        content.get("optimiser", {}).pop("precision", None)
        kinds = [config.model.kind, config.objective.kind]
        text = json.dumps([content, kinds, self.change.__name__, self.begins_with], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


FAMILY, PAPER = "mp3net2-nano", "nano-1.5s"


# All recipes here are from before there were clocks of beats, keys, movement, loudness and intervals.
FREE = tuple(f"model.{name}_lags=[]" for name in ("movement", "loudness", "interval"))
UNGUIDED = ("model.beat_clocks=0", "model.keys=0", "model.loudness_gain=1.0", "model.tuning_harmonics=0", *FREE)
# The second family as it was before the lab changed it.
WIDE = ("model.width=256", "model.deep_width=512")
ONE_STYLE = ("model.global_share=1.0",)
STEADY = ("optimiser.learning_rate=2e-4", "optimiser.learning_rate_schedule=[]", *ONE_STYLE)
COEFFICIENTS = ("model.partials_per_bin=0", "model.phase_dim=0", "model.view_frames=[]", "model.hearing_db=0.0")
FIRST = (*COEFFICIENTS, *WIDE, "optimiser.ema_half_life_tracks=500", *STEADY)
# What the lab found.
SONG = (
    "model.partials_per_bin=8", "model.phase_dim=32", "model.view_frames=[8]", "model.hearing_db=-12.0",
    "optimiser.ema_half_life_tracks=1500",
)  # fmt: skip
HALF = ("model.width=192", "model.deep_width=256")
STYLES = ("model.global_share=0.25",)
FALLING = "optimiser.learning_rate_schedule=[[4000, 1], [16000, 0.3]]"


def part(question: str, *settings: str, change: Change = unchanged) -> Recipe:
    """Ten minutes of one change beside the recipe "song-falling"."""
    return Recipe(question, FAMILY, 16_000, (*STEADY, *SONG, *WIDE, FALLING, *settings), marks=2, change=change)


def small(question: str, *settings: str, change: Change = unchanged) -> Recipe:
    """Networks of half the size at the FLOP of a `part`."""
    falling = "optimiser.learning_rate_schedule=[[6500, 1], [26000, 0.3]]"
    return Recipe(question, FAMILY, 26_000, (*STEADY, *SONG, *HALF, falling, *settings), marks=2, change=change)


RECIPES: dict[str, Recipe] = {
    "paper": Recipe("the paper's recipe at equal compute", PAPER, 32_000),
    "family": Recipe("the second family as it came, a head of coefficients", FAMILY, 64_000, FIRST, marks=8),
    "song": Recipe(
        "partials, free phases, a view, deeper hearing", FAMILY, 48_000,
        (*STEADY, *SONG, *WIDE, "optimiser.learning_rate_schedule=[[8000, 1], [48000, 0.2]]"), marks=6,
    ),
    "paper-6s": Recipe("the paper's recipe at equal compute, tracks of 6 s", "micro-6s", 5_000),
    "song-half": Recipe(
        "as song, with networks half as large: the best", FAMILY, 78_000,
        (*STEADY, *SONG, *HALF, "optimiser.learning_rate_schedule=[[13000, 1], [78000, 0.2]]"), marks=6,
    ),
    "song-52": Recipe(
        "as song-half, two thirds as long: a beginning for longer tracks", FAMILY, 52_000,
        (*STEADY, *SONG, *HALF, "optimiser.learning_rate_schedule=[[13000, 1], [52000, 0.3]]"), marks=2,
    ),
    "song-52-global-4": Recipe(
        "as song-52, with a global latent of 4 numbers", FAMILY, 52_000,
        (
            *STEADY, *SONG, *HALF, "model.global_dim=4",
            "optimiser.learning_rate_schedule=[[13000, 1], [52000, 0.3]]",
        ),
        marks=2,
    ),
    "song-6s": Recipe(
        "a third of the compute on tracks of 1.5 s (song-small), then tracks of 6 s", "mp3net2-6s", 13_600,
        (*STEADY, *SONG, *HALF, "optimiser.learning_rate_schedule=[[0, 0.6], [13600, 0.2]]"), begins_with="song-small",
    ),
    "song-6s-late": Recipe(
        "two thirds of the compute on tracks of 1.5 s (song-52), then tracks of 6 s", "mp3net2-6s", 6_800,
        (*STEADY, *SONG, *HALF, "optimiser.learning_rate_schedule=[[0, 0.5], [6800, 0.2]]"), marks=2, begins_with="song-52",
    ),
    "song-6s-fresh": Recipe(
        "as song-6s, all of the compute on tracks of 6 s", "mp3net2-6s", 20_200,
        (*STEADY, *SONG, *HALF, "optimiser.learning_rate_schedule=[[3400, 1], [20200, 0.2]]"),
    ),
    "song-falling": part("the rate falls to 0.3 from 4,000 to 16,000 tracks"),
    "song-steady": part("a steady rate", "optimiser.learning_rate_schedule=[]"),
    "song-falling-gamma-5": part("a quarter of the penalty", "objective.gradient_penalty_weight=5.0"),
    **{
        f"song-gamma-{gamma}-rate-{rate}": part(
            "a corner of the grid of penalty and rate",
            f"objective.gradient_penalty_weight={gamma}.0", f"optimiser.learning_rate={rate}",
        )
        for gamma in (5, 80) for rate in ("1e-4", "4e-4")
    },
    "song-gamma-80": part("four times the penalty", "objective.gradient_penalty_weight=80.0"),
    "song-rate-4e-4": part("twice the rate", "optimiser.learning_rate=4e-4"),
    "song-rate-1e-4": part("half the rate", "optimiser.learning_rate=1e-4"),
    "song-coefficients": part("without partials", "model.partials_per_bin=0", "model.phase_dim=0"),
    "song-2-per-bin": part("two partials per bin", "model.partials_per_bin=2"),
    "song-4-per-bin": part("four partials per bin", "model.partials_per_bin=4"),
    "song-no-phases": part("partials that begin alike", "model.phase_dim=0"),
    "song-no-view": part("without the view of eight frames", "model.view_frames=[]"),
    "song-views": part("views of 8 and 16 frames", "model.view_frames=[8, 16]"),
    "song-hearing-0": part("hearing begins at the masking threshold", "model.hearing_db=0.0"),
    "song-hearing-20": part("hearing begins 20 dB below the masking threshold", "model.hearing_db=-20.0"),
    "song-unexpanded": part("amplitudes as the last layer gives them", change=changes.unexpanded),
    "song-hold-2": part("an amplitude for two frames, a level less", "model.hold_frames=2"),
    "song-hold-4": part("an amplitude for four frames, two levels less", "model.hold_frames=4"),
    "song-hold-8": part("an amplitude for eight frames, three levels less", "model.hold_frames=8"),
    "song-quiet": part("one noise channel instead of eight", "model.noise_channels=1"),
    "song-tuning": part("recordings tuned anew by up to half a semitone", "augment.resample_semitones=0.5"),
    "song-batch-16": part("batches of 16, 1.4 times the rate", "optimiser.batch_size=16", "optimiser.learning_rate=2.8e-4"),
    "song-two-blocks": part("two blocks per level", "model.blocks_per_level=2"),
    "song-wide": part("networks half as wide again", "model.width=384", "model.deep_width=768"),
    "song-small": small("networks half as large, of which the same compute gives 26,000 tracks"),
    "song-small-global-16": small("as song-small, with a global latent of 16 numbers", "model.global_dim=16"),
    "song-small-styled": small("as song-small, every part has a style of its own", *STYLES),
    "song-6s-styled": Recipe(
        "as song-6s, every part has a style of its own", "mp3net2-6s", 13_600,
        (*STEADY, *SONG, *HALF, *STYLES, "optimiser.learning_rate_schedule=[[0, 0.6], [13600, 0.2]]"),
        begins_with="song-small-styled",
    ),
    "song-52-styled": Recipe(
        "as song-52, every part has a style of its own", FAMILY, 52_000,
        (*STEADY, *SONG, *HALF, *STYLES, "optimiser.learning_rate_schedule=[[13000, 1], [52000, 0.3]]"), marks=2,
    ),
    "song-6s-late-styled": Recipe(
        "as song-6s-late, every part has a style of its own", "mp3net2-6s", 6_800,
        (*STEADY, *SONG, *HALF, *STYLES, "optimiser.learning_rate_schedule=[[0, 0.5], [6800, 0.2]]"), marks=2,
        begins_with="song-52-styled",
    ),
    "song-6s-levelled": Recipe(
        "as song-6s-late-styled, brought to level by the mean magnitudes of eight times as many songs", "mp3net2-6s", 6_800,
        (*STEADY, *SONG, *HALF, *STYLES, "optimiser.learning_rate_schedule=[[0, 0.5], [6800, 0.2]]"), marks=2,
        begins_with="song-52-styled",
    ),
    "song-67-styled": Recipe(
        "song-52-styled goes on: 15,600 tracks more", FAMILY, 15_600,
        (*STEADY, *SONG, *HALF, *STYLES, "optimiser.learning_rate_schedule=[[0, 0.5], [15600, 0.3]]"), marks=1,
        begins_with="song-52-styled",
    ),
    "song-6s-later": Recipe(
        "as song-6s-levelled, five sixths of the compute on tracks of 1.5 s", "mp3net2-6s", 3_400,
        (*STEADY, *SONG, *HALF, *STYLES, "optimiser.learning_rate_schedule=[[0, 0.4], [3400, 0.2]]"), marks=1,
        begins_with="song-67-styled",
    ),
    **{
        f"song-{seconds}s-styled": Recipe(
            f"as song-6s-levelled, with tracks of {seconds} s", "mp3net2-6s", 6_800 * 6 // seconds,
            (
                *STEADY, *SONG, *HALF, *STYLES, f"model.num_parts={seconds * 2 // 3}",
                f"optimiser.learning_rate_schedule=[[0, 0.5], [{6_800 * 6 // seconds}, 0.2]]",
            ),
            marks=2, begins_with="song-52-styled",
        )
        for seconds in (12, 24)
    },
    "song-shallow": part("256 channels at every level", "model.deep_width=256"),
    "song-512-bins": part("512 bins, frames of 46 ms", "audio.num_bins=512", "model.num_doublings=3"),
}  # fmt: skip

# Names of recipes, each with the number of seeds to run it with.
PLANS: dict[str, list[tuple[str, int]]] = {
    "base": [("paper", 3), ("song", 3), ("song-half", 3)],
    "6s": [
        ("paper-6s", 3),
        ("song-6s", 3),
        ("song-6s-levelled", 3),
        ("song-6s-later", 3),
        ("song-12s-styled", 1),
        ("song-24s-styled", 1),
    ],
    "parts": [
        (name, 1)
        for name, recipe in RECIPES.items()
        if name.startswith("song-") and recipe.preset == FAMILY and recipe.tracks <= 26_000
    ],
    "matter": [
        (name, 3)
        for name in (
            "song-falling",
            "song-coefficients",
            "song-no-phases",
            "song-no-view",
            "song-hearing-0",
            "song-unexpanded",
        )
    ],
}
