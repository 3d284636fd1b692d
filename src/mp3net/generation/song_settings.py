"""What a song is made from, besides the weights: plain data that a file of audio can carry."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, Strict, model_validator

from mp3net.config.frozen import Frozen
from mp3net.generation.latents import MAX_SEED

Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


class SongSettings(Frozen):
    """One song. The order in which they act is that of `latents.latent`."""

    seed: Seed
    duration_s: float | None = Field(None, description="null: as long as a track in training")
    local_seed: Seed | None = Field(
        None, description="second family: all but the global latent and the phases come from this seed"
    )
    variation: Seed = Field(0, description="which variation, if strength is not 0")
    strength: float = Field(0.0, ge=0, le=1, description="how far a variation goes: 1 leaves nothing of the seed")
    form: str = Field(
        "", pattern="^([A-Z]{2,26})?$", description="second family: sections, such as ABA; equal letters repeat"
    )
    path: Annotated[tuple[Seed, ...], Strict(False)] = Field(
        (), description="seeds to which the song moves, one after the other"
    )
    truncation: float = Field(1.0, ge=0, le=2, description="factor of the latents: below 1 more typical, above less")
    sliders: dict[str, Annotated[float, Field(ge=-5, le=5)]] = Field(
        default_factory=dict, description="units that the snapshot's sliders are moved by, by name"
    )
    streamed: bool = Field(False, description="written while it was made, lowered from where it would have been clipped")
    normalize: bool = Field(False, description="raised or lowered to a peak of -0.01 dBFS")

    @model_validator(mode="after")
    def _one_at_a_time(self) -> SongSettings:
        if self.path and self.form:
            raise ValueError("a song either repeats sections (form) or moves along a path, not both")
        return self

    @property
    def words(self) -> str:
        """What it is, in a few words."""
        found = [f"seed {self.seed}"]
        found += [f"local seed {self.local_seed}"] if self.local_seed is not None else []
        found += [f"variation {self.variation} at {self.strength:g}"] if self.strength else []
        found += [f"form {self.form}"] if self.form else []
        found += [f"to seed {', '.join(map(str, self.path))}"] if self.path else []
        found += [f"truncation {self.truncation:g}"] if self.truncation != 1 else []
        found += [f"{name} {amount:+g}" for name, amount in self.sliders.items()]
        return ", ".join(found)
