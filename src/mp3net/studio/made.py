"""Songs that were made for visitors: kept under names that nobody can guess, the oldest forgotten first."""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from mp3net.audio.encoding import FORMATS
from mp3net.audio.growing import Leveller, wav_header, wav_samples
from mp3net.figures import png_bytes, waveform_and_spectrogram
from mp3net.files import replacing
from mp3net.generation import MAX_SEED, MP3net, Song, SongSettings

KEPT_BYTES, KEPT_STREAMS = 400_000_000, 100
ENDINGS = (*FORMATS, "png")
# An endless stream is one song of this length after another, of following seeds.
EACH_S = 180.0
WINDOW_S = 5.0


@dataclass
class Made:
    """A song, and what it is called where it is downloaded."""

    name: str
    song: Song


@dataclass(frozen=True)
class Endless:
    """What an endless stream plays: seed after seed, in the manner of these settings."""

    model: MP3net
    settings: SongSettings

    def chunks(self) -> Iterator[bytes]:
        """A WAV file without an end."""
        rate, channels = self.model.config.audio.sample_rate_hz, self.model.config.audio.channels
        yield wav_header(channels, rate, {})
        level = Leveller(rate)
        for seed in count(self.settings.seed):
            for piece in self.model.pieces(self.song(seed), WINDOW_S):
                yield wav_samples(level(piece))

    def song(self, seed: int) -> SongSettings:
        """One of its songs."""
        duration_s = EACH_S if self.model.any_length else None
        return self.settings.model_copy(update={"seed": seed % (MAX_SEED + 1), "duration_s": duration_s})

    @property
    def each_s(self) -> float:
        """How long each of its songs lasts."""
        return EACH_S if self.model.any_length else self.model.song_duration_s


class Songs:
    """Safe for several threads. Files lie in a folder of their own, which `close` removes."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._made: OrderedDict[str, Made] = OrderedDict()
        self._endless: OrderedDict[str, Endless] = OrderedDict()
        self._kept_bytes = kept_bytes
        self._folder = TemporaryDirectory(prefix="mp3net-studio-")
        self._lock, self._writing = Lock(), Lock()

    def close(self) -> None:
        self._folder.cleanup()

    def add(self, name: str, song: Song) -> str:
        """Keep a song; returns its key."""
        key = secrets.token_urlsafe(12)
        with self._lock:
            self._made[key] = Made(re.sub(r"[^\w.-]+", "-", name).strip("-"), song)
            while len(self._made) > 1 and sum(made.song.audio.nbytes for made in self._made.values()) > self._kept_bytes:
                forgotten, _ = self._made.popitem(last=False)
                for ending in ENDINGS:
                    self._path(forgotten, ending).unlink(missing_ok=True)
        return key

    def add_endless(self, endless: Endless) -> str:
        """Keep what a stream will play; returns its key."""
        key = secrets.token_urlsafe(12)
        with self._lock:
            self._endless[key] = endless
            while len(self._endless) > KEPT_STREAMS:
                self._endless.popitem(last=False)
        return key

    def endless(self, key: str) -> Endless | None:
        return self._endless.get(key)

    def song(self, key: str) -> Song | None:
        made = self._made.get(key)
        return made.song if made is not None else None

    def file(self, key: str, ending: str) -> tuple[Path, str] | None:
        """(path, name) of a song as a file of that format, or as a picture (png); None if there is none."""
        made = self._made.get(key)
        if made is None or ending not in ENDINGS:
            return None
        path = self._path(key, ending)
        with self._writing:
            if path.exists():
                pass
            elif ending == "png":
                picture = waveform_and_spectrogram(made.song.audio * made.song.gain, made.song.sample_rate_hz)
                with replacing(path, shared=True) as unfinished:
                    unfinished.write_bytes(png_bytes(picture))
            else:
                made.song.save(path)
        return path, f"{made.name}.{ending}"

    def _path(self, key: str, ending: str) -> Path:
        return Path(self._folder.name) / f"{key}.{ending}"
