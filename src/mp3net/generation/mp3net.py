"""From a snapshot to sound: `MP3net.from_pretrained(path).generate(seed=7).save("song.flac")`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

import mp3net
from mp3net.config import Config, Mp3net2Model, Precision
from mp3net.errors import Mp3netError
from mp3net.generation.latents import around, between, check, keep_the_beat, latent
from mp3net.generation.places import place
from mp3net.generation.players import InstantPlayer, Player
from mp3net.generation.song_settings import SongSettings, checked
from mp3net.generation.songs import Origin, Song, fades
from mp3net.generation.steering import Sliders, read_sliders
from mp3net.model.snapshot import Snapshot, open_snapshot

if TYPE_CHECKING:
    from torch import Tensor

    from mp3net.generation.torch_player import TorchPlayer
    from mp3net.model.build import Generator

# The first window of a stream is short, so that it begins at once.
FIRST_WINDOW_S = 1.0
# Whole songs are made in windows too, so that memory does not grow with their length.
WHOLE_WINDOW_S = 24.0
# A song along a path of seeds goes on in steps; between two of them it fades.
STEP_S = 1.5
STEP_FADE_HOPS = 4
LONGEST_S = 24 * 3600.0


class MP3net:
    """A generator with its inverse transform: seeds in, audio out."""

    def __init__(self, generator: Generator, config: Config, precision: Precision = "float32") -> None:
        from mp3net.generation.torch_player import TorchPlayer

        self._choose(config, TorchPlayer(generator, config, precision))

    def _choose(self, config: Config, player: Player, snapshot: Snapshot | None = None) -> None:
        self.config, self.player, self.snapshot = config, player, snapshot

    @classmethod
    def from_pretrained(
        cls, path: str | Path | None = None, device: str = "cpu", precision: Precision = "float32"
    ) -> MP3net:
        """Load a snapshot, the latest one of a run directory, or a model of the Hugging Face hub by its name
        (`places.place`); without a path, the one that comes with mp3net.

        On the CPU and in float32, models of the second family play without PyTorch, whose import alone takes longer than a
        song; all others play with it. Errors: Mp3netError for a missing, damaged or foreign snapshot, or a device or
        precision that there is not.
        """
        if precision not in get_args(Precision):
            raise Mp3netError(f"precision {precision!r}: choose one of {', '.join(get_args(Precision))}")
        snapshot = open_snapshot(place(path))
        model = cls.__new__(cls)
        if device == "cpu" and precision == "float32" and InstantPlayer.plays(snapshot.config):
            model._choose(snapshot.config, InstantPlayer(snapshot), snapshot)
        else:
            from mp3net.generation.torch_player import TorchPlayer

            model._choose(snapshot.config, TorchPlayer.of(snapshot, device, precision), snapshot)
        return model

    @cached_property
    def torch_player(self) -> TorchPlayer:
        """What plays with PyTorch: for batches, coefficients, and all but the second family."""
        from mp3net.generation.torch_player import TorchPlayer

        if isinstance(self.player, TorchPlayer):
            return self.player
        assert self.snapshot is not None
        return TorchPlayer.of(self.snapshot, "cpu", "float32")

    @property
    def generator(self) -> Generator:
        """The network."""
        return self.torch_player.generator

    @property
    def precision(self) -> str:
        """In which songs are computed: float32 or bfloat16."""
        return self.player.name.split()[-1]

    @property
    def song_duration_s(self) -> float:
        """The default length of a song: that of a training track without its outer frames."""
        return self.config.song_samples / self.config.audio.sample_rate_hz

    def song_samples(self, duration_s: float | None) -> int:
        """Samples of a song of that duration. Errors: Mp3netError if this model cannot make one."""
        audio, model = self.config.audio, self.config.model
        if duration_s is None and self.song_duration_s > LONGEST_S:
            raise Mp3netError(
                f"songs as long as this model's tracks, {self.song_duration_s:.0f} s, are too long; give a duration"
            )
        if duration_s is None:
            return self.config.song_samples
        samples = round(duration_s * audio.sample_rate_hz) if math.isfinite(duration_s) else 0
        try:
            model.whole_frames(-(-samples // audio.hop_length) + 1)
        except ValueError as error:
            raise Mp3netError(
                f"duration {duration_s:g} s: {error}, here {self.song_duration_s:.2f} s; leave the "
                "duration out, or train a preset of the second family, which makes any length"
            ) from None
        if not audio.sample_rate_hz / 10 <= samples <= LONGEST_S * audio.sample_rate_hz:
            raise Mp3netError(f"duration {duration_s:g} s: songs last from 0.1 s to {LONGEST_S / 3600:.0f} hours")
        return samples

    def latent_frames(self, duration_s: float | None = None) -> int:
        """Frames of the track from which a song of that duration is cut."""
        frames = -(-self.song_samples(duration_s) // self.config.audio.hop_length) + 1
        return self.config.model.whole_frames(frames)

    def latent(self, seed: int, duration_s: float | None = None) -> Tensor:
        """The random numbers (1, Z) of a seed; the same on every device. Errors: Mp3netError for a seed out of range."""
        import torch

        return torch.from_numpy(self._z(SongSettings.model_construct(seed=seed, duration_s=duration_s)))[None]

    def _z(self, settings: SongSettings, seed: int | None = None) -> np.ndarray:
        frames = self.latent_frames(settings.duration_s)
        return latent(settings, self.config.model, frames, seed, self.sliders if settings.sliders else None)

    @cached_property
    def sliders(self) -> Sliders:
        """The named directions that were found for this snapshot. Errors: Mp3netError if there are none."""
        if self.snapshot is None:
            raise Mp3netError("sliders: belong to a snapshot; this model was made without one")
        return read_sliders(self.snapshot)

    def coefficients(self, z: Tensor) -> Tensor:
        """Latents (B, Z) -> MDCT coefficients (B, C, T, F), float32."""
        return self.torch_player.coefficients(z)

    def render(self, z: Tensor, samples: int | None = None) -> Tensor:
        """Latents (B, Z) -> audio (B, C, (T - 1) N), or the first `samples` of them.

        A generated track is a piece from the middle of music: its first and last N samples would need the frames before
        and after to cancel their aliasing, so they are left out, and 10 ms fades let the rest start and end in silence.
        """
        return self.torch_player.render(z, samples)

    def generate(self, seed: int, duration_s: float | None = None, **settings: Any) -> Song:
        """One song. The same seed and duration on the same machine always give the same samples.

        `duration_s` is for models whose songs may have any length; default: `song_duration_s`. `settings` are those of
        `SongSettings`, such as `truncation=0.7`, `path=(3, 8)` or `form="ABA"`.
        Errors: Mp3netError for a seed, duration or setting out of range, or a model that gives non-finite samples.
        """
        return self.song(checked({"seed": seed, "duration_s": duration_s} | settings))

    def song(self, settings: SongSettings) -> Song:
        """The song of these settings. Errors: as `generate`."""
        audio = np.concatenate(list(self._windows(settings, WHOLE_WINDOW_S, WHOLE_WINDOW_S)), axis=1)
        song = Song(audio, self.config.audio.sample_rate_hz, settings.seed, self._origin(settings))
        return song.normalized() if settings.normalize else song

    def stream(
        self, seed: int, window_s: float = 5.0, duration_s: float | None = None, **settings: Any
    ) -> Iterator[np.ndarray]:
        """The same song as `generate` gives, as consecutive pieces (C, S) that are made as they are asked for.

        The first lasts a second at most, so that it is there at once, the others `window_s`. Memory does not grow with the
        duration, but for the random numbers and the deepest level of a track: 50 MB for an hour at 11 kHz.
        Errors: as `generate`, before the first piece is made.
        """
        chosen = checked({"seed": seed, "duration_s": duration_s} | settings)
        if chosen.normalize:
            raise Mp3netError("normalize: the peak of a stream is known only at its end")
        if not 0 < window_s < math.inf:
            raise Mp3netError(f"window_s = {window_s}: a window lasts longer than 0 s")
        self.check(chosen)
        return self.pieces(chosen, window_s)

    def pieces(self, settings: SongSettings, window_s: float = WHOLE_WINDOW_S) -> Iterator[np.ndarray]:
        """The audio of a song as it is made, not normalized: (C, S) each. Errors: as `generate`."""
        return self._windows(settings, min(FIRST_WINDOW_S, window_s), window_s)

    def check(self, settings: SongSettings) -> None:
        """Errors: Mp3netError if this model cannot make the song; of what can be known before it is made."""
        lasts_s = self.song_samples(settings.duration_s) / self.config.audio.sample_rate_hz
        check(settings, self.config.model)
        needed_s, seeds = len(settings.form) * self._part_s, len(settings.path) + 1
        if settings.form and len(settings.form) > self.latent_frames(settings.duration_s) // self._part_frames:
            raise Mp3netError(
                f"form {settings.form}: its sections last {self._part_s:.2f} s each at least, and the song {lasts_s:.4g} s; "
                f"make it {math.ceil(needed_s)} s"
            )
        if settings.path and seeds > self._num_steps(settings):
            raise Mp3netError(
                f"path: its {seeds} seeds take {STEP_S} s each at least, and the song lasts {lasts_s:.4g} s; "
                f"make it {math.ceil(seeds * STEP_S)} s"
            )
        if settings.sliders:
            self.sliders.move(np.zeros(self.config.model.latent_size(0), np.float32), settings.sliders)

    @property
    def any_length(self) -> bool:
        """Whether songs may have any duration."""
        return isinstance(self.config.model, Mp3net2Model)

    def tags(self, settings: SongSettings) -> dict[str, str]:
        """What an audio file of the song says about itself."""
        origin = self._origin(settings)
        return origin.tags if origin else {}

    def _origin(self, settings: SongSettings) -> Origin | None:
        if self.snapshot is None:
            return None
        sliders = self.sliders.digest if settings.sliders else ""
        return Origin(settings, self.snapshot.digest, self.player.name, mp3net.__version__, sliders)

    def _windows(self, settings: SongSettings, first_s: float, window_s: float) -> Iterator[np.ndarray]:
        """A song's audio, faded at both ends, in windows of about so many seconds."""
        self.check(settings)
        samples, rate = self.song_samples(settings.duration_s), self.config.audio.sample_rate_hz
        per_s = rate / self.config.audio.hop_length
        sizes = max(round(first_s * per_s), 1), max(round(window_s * per_s), 1)
        done = 0
        for piece in self._steps(settings) if settings.path else self._track(self._z(settings), settings, *sizes):
            few = piece[:, : samples - done]
            if not np.isfinite(few).all():
                raise Mp3netError(f"seed {settings.seed}: the model gives non-finite samples; its weights are damaged")
            yield few * fades(samples, rate, done, few.shape[1])
            done += few.shape[1]

    def _track(self, z: np.ndarray, settings: SongSettings, first: int, window: int) -> Iterator[np.ndarray]:
        """One track's audio, a window of so many hops after the other."""
        begun, start, hops = self.player.begin(z), 0, self._hops(settings)
        while start < hops:
            end = min(start + (window if start else first), hops)
            yield self.player.sound(begun, start, end + 1)
            start = end

    def _steps(self, settings: SongSettings) -> Iterator[np.ndarray]:
        """Along a path of seeds: every step is cut from a track of its own latents, and fades into the next. Of long tracks
        only what is around the step is made, so that time grows with the duration and no faster. The beat goes on."""
        points = [self._z(settings, seed) for seed in (settings.seed, *settings.path)]
        hops = self._hops(settings)
        count = self._num_steps(settings)
        edges = [round(hops * number / count) for number in range(count + 1)]
        tail, bars = np.zeros((self.config.audio.channels, 0), np.float32), None
        for number, (start, end) in enumerate(pairwise(edges)):
            place = number / (count - 1) * (len(points) - 1)
            before = min(int(place), len(points) - 2)
            beyond = min(end + STEP_FADE_HOPS, hops)
            (one, first), (other, _) = (around(point, self.config.model, start, beyond + 1) for point in points[before:][:2])
            z = between(one, other, place - before)
            bars = keep_the_beat(z, self.config.model, self.player.beat_frames, start - first, end - first, bars)
            begun = self.player.begin(z)
            piece = self.player.sound(begun, start - first, beyond + 1 - first)
            few = tail.shape[1]
            rise = np.linspace(0, 1, few, dtype=np.float32)
            piece[:, :few] = rise * piece[:, :few] + (1 - rise) * tail
            whole = (end - start) * self.config.audio.hop_length
            yield piece[:, :whole]
            tail = piece[:, whole:]

    @property
    def _part_frames(self) -> int:
        """Frames of a part; the paper's networks have only one."""
        model = self.config.model
        return model.frames_per_part if isinstance(model, Mp3net2Model) else model.num_frames

    @property
    def _part_s(self) -> float:
        return self._part_frames * self.config.audio.hop_length / self.config.audio.sample_rate_hz

    def _num_steps(self, settings: SongSettings) -> int:
        """Those of a song along a path."""
        seconds = self._hops(settings) * self.config.audio.hop_length / self.config.audio.sample_rate_hz
        return max(round(seconds / STEP_S), 2)

    def _hops(self, settings: SongSettings) -> int:
        return -(-self.song_samples(settings.duration_s) // self.config.audio.hop_length)
