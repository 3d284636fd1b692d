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
        content = self.config(0).model_dump()
        del content["run"], content["optimiser"]["precision"]
        text = json.dumps([content, self.change.__name__, self.begins_with], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


FAMILY, PAPER = "mp3net2-nano", "nano-1.5s"


def _with_partials(question: str, *more: Change, settings: tuple[str, ...] = ()) -> Recipe:
    change = changes.together(changes.partials_2, *more)
    return Recipe(f"with two partials per bin: {question}", FAMILY, 16_000, settings, marks=2, change=change)


RECIPES: dict[str, Recipe] = {
    "paper": Recipe("the paper's recipe at equal compute", PAPER, 32_000),
    "family": Recipe("today's preset of the second family", FAMILY, 64_000, marks=8),
    "resonators-1": Recipe("a resonator per bin as head", FAMILY, 16_000, marks=2, change=changes.one_resonator),
    "resonators-2": Recipe("two resonators per bin as head", FAMILY, 16_000, marks=2, change=changes.two_resonators),
    "stem": Recipe("the discriminator begins two-dimensional", FAMILY, 16_000, marks=2, change=changes.stem),
    "hearing-half": Recipe("half the threshold", FAMILY, 16_000, marks=2, change=changes.hearing_half),
    "partials-4": Recipe("slow amplitudes of four partials per bin", FAMILY, 16_000, marks=2, change=changes.partials_4),
    "partials-2": Recipe("two per bin", FAMILY, 16_000, marks=2, change=changes.partials_2),
    "partials-1": Recipe("one per bin", FAMILY, 16_000, marks=2, change=changes.partials_1),
    "partials-2-tuned": Recipe("their frequencies are learned", FAMILY, 16_000, marks=2, change=changes.partials_2_tuned),
    "partials-2-wide": Recipe("amplitudes from three frames", FAMILY, 16_000, marks=2, change=changes.partials_2_wide),
    "p2-stem": _with_partials("the discriminator begins two-dimensional", changes.stem),
    "p2-long-view": _with_partials("the discriminator hears eight frames as one", changes.long_view),
    "p2-hearing-half": _with_partials("half the threshold", changes.hearing_half),
    "p2-batch-4": _with_partials("half the batch", settings=("optimiser.batch_size=4",)),
    "p2-rate-4e-4": _with_partials("twice the rate", settings=("optimiser.learning_rate=4e-4",)),
    "long-view": Recipe("eight frames heard as one", FAMILY, 16_000, marks=2, change=changes.long_view),
    "hearing-deepens": Recipe(
        "the threshold falls to a quarter from 8,000 to 24,000 tracks", FAMILY, 32_000, change=changes.hearing_deepens
    ),
    "rate-4e-4": Recipe("twice the rate", FAMILY, 16_000, ("optimiser.learning_rate=4e-4",), marks=2),
    "batch-4": Recipe("half the batch", FAMILY, 16_000, ("optimiser.batch_size=4",), marks=2),
    "carriers": Recipe("the carrier head", FAMILY, 16_000, ("model.carrier_head=true",), marks=2),
}  # fmt: skip

# Names of recipes, each with the seeds to run it with.
PLANS: dict[str, list[tuple[str, int]]] = {
    "base": [("paper", 3), ("family", 3)],
    "heads": [
        ("partials-4", 1),
        ("partials-2", 1),
        ("partials-1", 1),
        ("partials-2-tuned", 1),
        ("partials-2-wide", 1),
        ("resonators-1", 1),
        ("carriers", 1),
    ],
    "partials": [
        ("p2-batch-4", 1),
        ("p2-hearing-half", 1),
        ("p2-stem", 1),
        ("p2-long-view", 1),
        ("p2-rate-4e-4", 1),
    ],
    "speed": [("rate-4e-4", 1), ("batch-4", 1), ("hearing-deepens", 1), ("stem", 1), ("long-view", 1)],
}
