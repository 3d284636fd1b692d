"""What a song is made from, besides the weights: plain data that a file of audio can carry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, Strict, ValidationError, model_validator

from mp3net.config import parse_config
from mp3net.config.frozen import Frozen
from mp3net.errors import Mp3netError
from mp3net.generation.latents import MAX_SEED

Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]

# What a setting may be, for whoever gave it something else.
A_SEED = f"a whole number from 0 to {MAX_SEED}"
ALLOWED = {
    "seed": A_SEED,
    "duration_s": "seconds",
    "local_seed": A_SEED,
    "variation": A_SEED,
    "strength": "a number from 0, the song itself, to 1, another song",
    "form": "2 to 26 letters, such as ABA",
    "path": "seeds, such as (8, 12)",
    "truncation": "a number from 0 to 2; 1 changes nothing",
    "sliders": "units from -5 to 5",
}


class SongSettings(Frozen):
    """One song. The order in which they act is that of `latents.latent`."""

    seed: Seed
    duration_s: float | None = Field(None, description="null: as long as a track in training")
    local_seed: Seed | None = Field(
        None, description="second family: all but the global latent and the phases come from this seed"
    )
    variation: Seed = Field(0, description="which variation, if strength is not 0")
    strength: float = Field(0.0, ge=0, le=1, description="how far a variation goes: 1 leaves nothing of the seed")
    form: Annotated[str, BeforeValidator(lambda form: form.upper() if isinstance(form, str) else form)] = Field(
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
            raise ValueError("a song either repeats the sections of a form or moves along a path, not both")
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


def checked(settings: Mapping[str, Any], names: Mapping[str, str] | None = None) -> SongSettings:
    """What a user asks for. Errors: Mp3netError that says what each setting that is unknown or out of range may be; `names`
    are those by which the user knows some of them."""
    if settings.get("streamed"):
        raise Mp3netError("streamed: tells how a file was written, and nothing that could be asked for")
    if settings.get("variation") and "strength" not in settings:
        raise Mp3netError("variation: give a strength too, from 0, the song itself, to 1, another song")
    try:
        return SongSettings.model_validate(settings)
    except ValidationError as error:
        problems = error.errors()
    said = []
    for problem in problems:
        key, *rest = [*map(str, problem["loc"])] or [""]
        if not key:
            said.append(problem["msg"].removeprefix("Value error, "))
        elif key in ALLOWED:
            slider = f"{rest[0]}={problem['input']}".removesuffix(".0") if key == "sliders" and rest else ""
            said.append(f"{(names or {}).get(key, key)} {slider or repr(problem['input'])}: give {ALLOWED[key]}")
    if not said:
        parse_config(dict(settings), "song", SongSettings)  # unknown settings: it names those that there are
    raise Mp3netError("; ".join(dict.fromkeys(said)))
