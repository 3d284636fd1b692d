"""What the studio does for its visitors: songs, blends, streams, and songs made again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mp3net.errors import Mp3netError
from mp3net.generation import MAX_SEED, SongSettings, read_origin
from mp3net.generation.song_settings import checked
from mp3net.studio.made import Endless, Songs
from mp3net.studio.shelf import Shelf

MOST_S, USUAL_S = 180, 20
MOST_SLIDERS, MOST_UNITS = 6, 3
# Settings as the page calls them.
NAMES = {
    "duration_s": "length", "truncation": "strangeness", "strength": "blend", "path": "second seed",
    "variation": "second seed",
}  # fmt: skip


@dataclass(frozen=True)
class Played:
    """A song that was made, under its key; `kept` is what a favourite is made of."""

    key: str
    said: str
    kept: dict[str, Any]


class Stage:
    """All arguments come from a browser. Errors, of every method: Mp3netError in words for a visitor."""

    def __init__(self, shelf: Shelf, songs: Songs) -> None:
        self.shelf, self.songs = shelf, songs

    def slider_names(self, name: str) -> list[str]:
        """The sliders that come with a model; none if nobody has looked for them."""
        try:
            return list(self.shelf.model(name).sliders.directions)[:MOST_SLIDERS]
        except Mp3netError:
            return []

    def settings(self, name: str, length_s: float, units: list[float], **asked: Any) -> SongSettings:
        """What was asked for, if this model can make it; `units` are those of its sliders, in their order."""
        model = self.shelf.model(name)
        if not length_s <= MOST_S:
            raise Mp3netError(f"length {length_s:g} s: at most {MOST_S} s at a time; the endless stream goes on for longer")
        moved = {slider: float(amount) for slider, amount in zip(self.slider_names(name), units, strict=False) if amount}
        for key in ("seed", "variation"):
            if key in asked and asked[key] is None:
                raise Mp3netError(f"{NAMES.get(key, key)}: is empty; give a whole number from 0 to {MAX_SEED}")
        asked = {key: _whole(value) if key in ("seed", "variation") else value for key, value in asked.items()}
        asked |= {"duration_s": float(length_s) if model.any_length else None} | ({"sliders": moved} if moved else {})
        settings = checked(asked, NAMES)
        model.check(settings)
        return settings

    def play(self, name: str, settings: SongSettings) -> Played:
        """Make a song and keep it for the player."""
        started = time.perf_counter()
        model = self.shelf.model(name)
        song = model.song(settings)
        took_s = time.perf_counter() - started
        key = self.songs.add(f"{name} {settings.words}", song)
        said = f"{_words(settings)}: {song.duration_s:.0f} s, made in {took_s:.2f} s"
        return Played(key, said, _kept(name, settings))

    def again(self, kept: object) -> Played:
        """A favourite, which came back from a browser and may be anything."""
        if not isinstance(kept, dict) or not isinstance(kept.get("model"), str):
            raise Mp3netError("this favourite is damaged; remove it")
        settings = checked({key: value for key, value in kept.items() if key != "model"}, NAMES)
        if (settings.duration_s or 0) > MOST_S:
            raise Mp3netError(f"this favourite is longer than {MOST_S} s")
        return self.play(kept["model"], settings)

    def like(self, file: Path) -> Played:
        """The song of a file that mp3net wrote, if the model that made it is at hand."""
        try:
            origin = read_origin(file)
        except Mp3netError as error:
            raise Mp3netError(str(error).replace(f"{file}: ", "This file ", 1)) from None
        if (origin.settings.duration_s or 0) > MOST_S:
            raise Mp3netError(f"This song is longer than {MOST_S} s; mp3net generate --like makes it again")
        for name in self.shelf.playable:
            try:
                snapshot = self.shelf.model(name).snapshot
            except Mp3netError:
                continue
            if snapshot is not None and snapshot.digest == origin.snapshot:
                return self.play(name, origin.settings.model_copy(update={"streamed": False}))
        raise Mp3netError(f"This song was made by another model ({origin.snapshot}); start the studio with it")

    def endless(self, name: str, settings: SongSettings) -> tuple[Endless, Played]:
        """A stream of such songs, from this seed on; what is kept of it is its first song."""
        endless = Endless(self.shelf.model(name), settings)
        first = endless.song(settings.seed)
        manner = _words(settings).partition(",")[2]
        said = f"Endless{manner and ','}{manner}: {endless.each_s:.0f} s of each seed, until you make something else"
        return endless, Played(self.songs.add_endless(endless), said, _kept(name, first))


def words_of(kept: dict[str, Any]) -> str:
    """A favourite in a few words."""
    try:
        settings = checked({key: value for key, value in kept.items() if key != "model"})
    except Mp3netError:
        return "damaged"
    words = _words(settings)
    return f"{words[:1].lower()}{words[1:]}, {settings.duration_s or 0:g} s, {kept.get('model')}"


def nth_song(kept: dict[str, Any], nth: Any) -> dict[str, Any]:
    """The favourite of the song that is `nth` in an endless stream which began with `kept`; 0 for whatever is no number."""
    further = int(nth) if isinstance(nth, (int, float)) and 0 <= nth <= MAX_SEED else 0
    return kept | {"seed": (kept.get("seed", 0) + further) % (MAX_SEED + 1)} if further else kept


def _kept(name: str, settings: SongSettings) -> dict[str, Any]:
    return {"model": name, **settings.model_dump(exclude_defaults=True, mode="json")}


def _words(settings: SongSettings) -> str:
    """As the page calls things."""
    words = settings.words.replace("truncation", NAMES["truncation"])
    if settings.strength:
        blend = f"seeds {settings.seed} and {settings.variation} blended, {settings.strength:.0%} of the second"
        words = words.replace(f"seed {settings.seed}, variation {settings.variation} at {settings.strength:g}", blend)
    return f"{words[:1].upper()}{words[1:]}"


def _whole(value: Any) -> Any:
    """Numbers of a page are floating-point numbers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
