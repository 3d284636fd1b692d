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
        return override(preset(self.preset), [*self.settings, *own])

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


# The presets as they were before the lab changed them.
STEADY = ("optimiser.learning_rate=2e-4", "optimiser.learning_rate_schedule=[]")
FIRST = ("model.partials_per_bin=0", *STEADY)
FREE_PHASES = "model.phase_dim=32"
FINE = ("model.partials_per_bin=8", FREE_PHASES)
PARTIALS = ("model.partials_per_bin=2", *STEADY)


def short(question: str, *settings: str, change: Change = unchanged) -> Recipe:
    """A quarter of an hour of one change beside the recipe "partials"."""
    return Recipe(f"partials, {question}", FAMILY, 16_000, (*PARTIALS, *settings), marks=2, change=change)


def cooled(question: str, *settings: str, change: Change = unchanged) -> Recipe:
    """The same with a rate that falls."""
    falls = "optimiser.learning_rate_schedule=[[4000, 1], [16000, 0.1]]"
    return short(f"the rate falls to a tenth from 4,000 to 16,000 tracks, {question}", falls, *settings, change=change)


def fine(question: str, *settings: str, change: Change = unchanged) -> Recipe:
    """The same with eight partials per bin, each of which begins at a random phase."""
    question = f"eight partials per bin that begin at random phases, {question}"
    return cooled(question, *FINE, *settings, change=change)


def viewed(question: str, *settings: str, change: Change = unchanged) -> Recipe:
    """The same with a view of eight frames."""
    return fine(
        f"the discriminator hears eight frames as one, {question}", "model.view_frames=[8]", *settings, change=change
    )


def clear(question: str, *settings: str, change: Change = unchanged) -> Recipe:
    """The same with cubed amplitudes and a quarter of the threshold."""
    both = changes.together(changes.cubed, changes.hearing_quarter, *([] if change is unchanged else [change]))
    return viewed(f"amplitudes are cubed, a quarter of the threshold, {question}", *settings, change=both)


SONG = (*FINE, "model.view_frames=[8]", "model.hearing_db=-12.0")


def song(question: str, *settings: str, change: Change = unchanged) -> Recipe:
    """What the package has: eight partials per bin at random phases, a view of eight frames, hearing 12 dB deeper."""
    return Recipe(question, FAMILY, 16_000, (*STEADY, *SONG, *settings), marks=2, change=change)


RECIPES: dict[str, Recipe] = {
    "paper": Recipe("the paper's recipe at equal compute", PAPER, 32_000),
    "family": Recipe("the second family as it came, a head of coefficients", FAMILY, 64_000, FIRST, marks=8),
    "partials": Recipe("the generator gives amplitudes of partials, two per bin", FAMILY, 64_000, PARTIALS, marks=8),
    "partials-48": Recipe(
        "partials, the rate falls to a twentieth from 8,000 to 48,000 tracks", FAMILY, 48_000,
        (*PARTIALS, "optimiser.learning_rate_schedule=[[8000, 1], [24000, 0.4], [48000, 0.05]]"), marks=6,
    ),
    "fine-48": Recipe(
        "eight partials per bin that begin at random phases, the rate falls to a twentieth from 8,000 to 48,000", FAMILY,
        48_000,
        (*FINE, "optimiser.learning_rate_schedule=[[8000, 1], [24000, 0.4], [48000, 0.05]]"),
        marks=6,
    ),
    "partials-unexpanded": short("amplitudes as the last layer gives them", change=changes.unexpanded),
    "partials-level": short("the feature that tells the level is three times as strong", change=changes.louder_level),
    "partials-hearing-half": short("half the threshold", change=changes.hearing_half),
    "partials-calm-head": short("the head moves a quarter as fast", change=changes.calm_head),
    "partials-cooled": cooled("nothing else"),
    "cooled-hearing-deepens": cooled(
        "the threshold falls to a quarter from 8,000 to 24,000 tracks", change=changes.hearing_deepens
    ),
    "cooled-part-clock": cooled("every block knows where in its part a frame is", change=changes.part_clock),
    "cooled-stem": cooled("the discriminator begins two-dimensional", change=changes.stem),
    "cooled-long-view": cooled("the discriminator hears eight frames as one", change=changes.long_view),
    "cooled-hearing-half": cooled("half the threshold", change=changes.hearing_half),
    "cooled-4-per-bin": cooled("four partials per bin", "model.partials_per_bin=4"),
    "cooled-batch-16": cooled("twice the batch, twice the rate", "optimiser.batch_size=16", "optimiser.learning_rate=4e-4"),
    "cooled-half-expanded": cooled("amplitudes are expanded less", change=changes.half_expanded),
    "cooled-quiet": cooled("one noise channel instead of eight", "model.noise_channels=1"),
    "cooled-shrunk": cooled("loud amplitudes are not expanded", change=changes.shrunk),
    "cooled-phases": cooled("every partial begins at a random phase", FREE_PHASES),
    "cooled-8-per-bin": cooled("eight partials per bin", "model.partials_per_bin=8"),
    "cooled-phases-deep": cooled(
        "random phases, noise only in deep blocks", FREE_PHASES, change=changes.noise_deep
    ),
    "cooled-phases-8": fine("nothing else"),
    "fine-deep": fine("noise only in deep blocks", change=changes.noise_deep),
    "fine-deep-clock": fine(
        "noise only in deep blocks, a clock in every block", change=changes.together(changes.noise_deep, changes.part_clock)
    ),
    "fine-clock": fine("every block knows where in its part a frame is", change=changes.part_clock),
    "fine-long-view": fine("the discriminator hears eight frames as one", change=changes.long_view),
    "fine-four-views": fine("the discriminator hears 4, 8, 16 and 32 frames as one", change=changes.four_views),
    "fine-two-views": fine("the discriminator hears 8 and 16 frames as one", change=changes.two_views),
    "fine-low-views": fine("8 frames as one, 16 of the lower half, 32 of the lowest quarter", change=changes.low_views),
    "fine-low-views-deep": fine(
        "8 frames as one, 16 of the lower half, 32 of the lowest quarter, noise only in deep blocks",
        change=changes.together(changes.low_views, changes.noise_deep),
    ),
    "fine-longer-view": fine("the discriminator hears 16 frames as one", change=changes.longer_view),
    "fine-hearing-deepens": fine(
        "the threshold falls to a half from 8,000 to 16,000 tracks", change=changes.hearing_deepens
    ),
    "fine-shrunk": fine("loud amplitudes are not expanded", change=changes.shrunk),
    "fine-residual": fine("and coefficients beside them", change=changes.residual),
    "fine-stem": fine("the discriminator begins two-dimensional", change=changes.stem),
    "fine-gamma-10": fine("half the penalty", "objective.gradient_penalty_weight=10.0"),
    "fine-gamma-5": fine("a quarter of the penalty", "objective.gradient_penalty_weight=5.0"),
    "fine-rate-4e-4": fine("twice the rate", "optimiser.learning_rate=4e-4"),
    "view-hearing-quarter": viewed("a quarter of the threshold", change=changes.hearing_quarter),
    "view-hearing-tenth": viewed("a tenth of the threshold", change=changes.hearing_tenth),
    "view-gamma-5": viewed("a quarter of the penalty", "objective.gradient_penalty_weight=5.0"),
    "view-gamma-2": viewed("a tenth of the penalty", "objective.gradient_penalty_weight=2.0"),
    "view-deep": viewed("noise only in deep blocks", change=changes.noise_deep),
    "view-rate-4e-4": viewed("twice the rate", "optimiser.learning_rate=4e-4"),
    "view-cubed": viewed("amplitudes are cubed", change=changes.cubed),
    "view-cubed-quarter": clear("nothing else"),
    "clear-deep": clear("noise only in deep blocks", change=changes.noise_deep),
    "clear-gamma-5": clear("a quarter of the penalty", "objective.gradient_penalty_weight=5.0"),
    "clear-rate-4e-4": clear("twice the rate", "optimiser.learning_rate=4e-4"),
    "clear-clock": clear("every block knows where in its part a frame is", change=changes.part_clock),
    "clear-low-views": fine(
        "8 frames as one, 16 of the lower half, 32 of the lowest quarter, amplitudes are cubed, a quarter of the threshold",
        change=changes.together(changes.low_views, changes.cubed, changes.hearing_quarter),
    ),
    "view-cubed-tenth": viewed(
        "amplitudes are cubed, a tenth of the threshold", change=changes.together(changes.cubed, changes.hearing_tenth)
    ),
    "song-steady": song("a steady rate, an average over 1,500 tracks", "optimiser.ema_half_life_tracks=1500"),
    "song-falling": song(
        "the rate falls to 0.3 from 4,000 to 16,000 tracks, an average over 1,500", "optimiser.ema_half_life_tracks=1500",
        "optimiser.learning_rate_schedule=[[4000, 1], [16000, 0.3]]",
    ),
    "song-falling-deep": song(
        "the same, noise only in deep blocks", "optimiser.ema_half_life_tracks=1500",
        "optimiser.learning_rate_schedule=[[4000, 1], [16000, 0.3]]", change=changes.noise_deep,
    ),
    "song-falling-gamma-5": song(
        "the same, a quarter of the penalty", "optimiser.ema_half_life_tracks=1500",
        "optimiser.learning_rate_schedule=[[4000, 1], [16000, 0.3]]", "objective.gradient_penalty_weight=5.0",
    ),
    "partials-rate-1e-4": short("half the rate", "optimiser.learning_rate=1e-4"),
}  # fmt: skip

# Names of recipes, each with the number of seeds to run it with.
PLANS: dict[str, list[tuple[str, int]]] = {
    "base": [("paper", 3), ("family", 3), ("partials", 3)],
    "parts": [
        (name, 1) for name in RECIPES if name.startswith(("partials-", "cooled-", "fine-", "view-", "clear-", "song-"))
    ],
}
