"""A song: audio with what it was made from."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mp3net.audio import encoding
from mp3net.errors import Mp3netError
from mp3net.generation.song_settings import SongSettings

FADE_S = 0.01
CEILING = 0.999
# Other endings of formats that `audio/encoding.py` writes.
ALIASES = {"oga": "ogg", "wave": "wav"}
# The key of the text that files carry.
MARK = "mp3net"


@dataclass(frozen=True)
class Origin:
    """Where a song comes from: enough to make it again."""

    settings: SongSettings
    snapshot: str
    """`Snapshot.digest` of the weights."""
    computed_by: str
    """What computed it, with its precision: these can differ by rounding."""
    version: str
    sliders: str = ""
    """`Sliders.digest`, if the song has any."""

    @property
    def device_and_precision(self) -> tuple[str, str]:
        """Where and how precisely it was computed, as options of the command line have it."""
        words = self.computed_by.split()
        return (words[1] if len(words) > 2 else "cpu"), words[-1]

    @property
    def tags(self) -> dict[str, str]:
        """What an audio file says about itself."""
        title = f"{self.settings.words[:1].upper()}{self.settings.words[1:]}"
        return {"title": title, "software": f"mp3net {self.version}", "comment": self.text()}

    def text(self) -> str:
        """For the comment of an audio file: JSON, settings that are not the usual ones."""
        settings = {"seed": self.settings.seed} | self.settings.model_dump(mode="json", exclude_defaults=True)
        content = {"snapshot": self.snapshot, "computed_by": self.computed_by, "settings": settings}
        return json.dumps({MARK: self.version} | content | ({"sliders": self.sliders} if self.sliders else {}))


@dataclass(frozen=True)
class Song:
    """Generated audio (C, S), float32, as the model made it: its peak may exceed 1."""

    audio: np.ndarray
    sample_rate_hz: int
    seed: int
    origin: Origin | None = None

    @property
    def peak(self) -> float:
        return float(np.abs(self.audio).max(initial=0))

    @property
    def duration_s(self) -> float:
        return int(self.audio.shape[1]) / self.sample_rate_hz

    @property
    def gain(self) -> float:
        """What `save` multiplies by: 1, or less where the peak would be clipped."""
        return CEILING / self.peak if self.peak > 1 else 1.0

    def normalized(self) -> Song:
        """Raised or lowered to a peak of -0.01 dBFS; silence stays silence."""
        origin = self.origin and replace(self.origin, settings=self.origin.settings.model_copy(update={"normalize": True}))
        return replace(self, audio=self.audio * (CEILING / self.peak) if self.peak else self.audio, origin=origin)

    def save(self, path: str | Path, audio_format: str | None = None) -> int:
        """Write the song, lowered by `gain`, with its origin as the file's comment; its format is the name's unless given.
        Returns the file's sample rate."""
        target = Path(path)
        chosen = format_called(audio_format or target.suffix[1:])
        return encoding.write(
            target, self.audio * self.gain, self.sample_rate_hz, chosen, self.origin.tags if self.origin else {}
        )


def read_origin(path: Path) -> Origin:
    """What an audio file says about its making. Errors: Mp3netError if it says nothing, or nothing that can be read."""
    comment = encoding.comment(path)
    try:
        content: Any = json.loads(comment)
        version = content[MARK]
        settings = SongSettings.model_validate(content["settings"])
        sliders = str(content.get("sliders", ""))
        return Origin(settings, str(content["snapshot"]), str(content["computed_by"]), str(version), sliders)
    except (ValueError, KeyError, TypeError, AttributeError):
        what = "carries no word of how it was made" if MARK not in comment else "carries damaged words on how it was made"
        raise Mp3netError(f"{path}: {what}; files that `mp3net generate` wrote do") from None


def format_called(name: str) -> str:
    """The audio format of a file's ending, in any case and without the dot: "oga" -> "ogg"."""
    return ALIASES.get(name.lower(), name.lower())


def fades(samples: int, sample_rate_hz: int, first: int = 0, count: int | None = None) -> np.ndarray:
    """Gains, float32, that rise from 0 over the first 10 ms of so many samples and fall to 0 over the last: all of them, or
    `count` from the `first` on."""
    length = min(round(FADE_S * sample_rate_hz), samples // 2)
    place = np.arange(first, samples if count is None else first + count)
    away = np.minimum(place, samples - 1 - place)  # from the nearer end
    gains = np.ones(len(place), np.float32)
    near = away < length
    gains[near] = np.sin(math.pi / 2 * away[near] / max(length, 1)) ** 2
    return gains
