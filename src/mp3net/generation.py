"""From a snapshot to sound: `MP3net.from_pretrained(path).generate(seed=7).save("song.flac")`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mp3net.audio import encoding
from mp3net.config import Config, Precision
from mp3net.dsp.mdct import imdct
from mp3net.errors import Mp3netError
from mp3net.model.build import Generator, build_generator
from mp3net.model.snapshot import Snapshot, open_snapshot

BUNDLED = Path(__file__).parent / "bundled"
FADE_S = 0.01
CEILING = 0.999
# A quarter of an hour of 23 ms frames: more would need windows, not one pass.
MAX_FRAMES = 40_000
MAX_SEED = 2**32 - 1  # PyTorch's generator on the CPU uses only 32 bits: larger seeds would repeat songs

# Other endings of formats that `audio/encoding.py` writes.
ALIASES = {"oga": "ogg", "wave": "wav"}


@dataclass(frozen=True)
class Song:
    """Generated audio (C, S), float32, as the model made it: its peak may exceed 1."""

    audio: np.ndarray
    sample_rate_hz: int
    seed: int

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

    def save(self, path: str | Path, audio_format: str | None = None) -> int:
        """Write the song, lowered by `gain`; its format is the name's unless given. Returns the file's sample rate."""
        target = Path(path)
        chosen = format_called(audio_format or target.suffix[1:])
        return encoding.write(target, self.audio * self.gain, self.sample_rate_hz, chosen)


def format_called(name: str) -> str:
    """The audio format of a file's ending, in any case and without the dot: "oga" -> "ogg"."""
    return ALIASES.get(name.lower(), name.lower())


class MP3net:
    """A generator with its inverse transform: seeds in, audio out."""

    def __init__(self, generator: Generator, config: Config, precision: Precision = "float32") -> None:
        self.generator = generator
        self.config = config
        self.precision = precision
        self.snapshot: Snapshot | None = None

    @classmethod
    def from_pretrained(
        cls, path: str | Path | None = None, device: str = "cpu", precision: Precision = "float32"
    ) -> MP3net:
        """Load a snapshot or the latest one of a run directory; without a path, the one that comes with mp3net.

        Errors: Mp3netError for a missing, damaged or foreign snapshot.
        """
        snapshot = open_snapshot(BUNDLED if path is None else Path(path))
        with torch.device("meta"):
            generator = build_generator(snapshot.config)
        generator = generator.to_empty(device="cpu")
        snapshot.load_generator(generator)
        generator = generator.to(device=device, memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]
        model = cls(generator, snapshot.config, precision)
        model.snapshot = snapshot
        return model

    @property
    def song_duration_s(self) -> float:
        """The default length of a song: that of a training track without its outer frames."""
        return self.config.song_samples / self.config.audio.sample_rate_hz

    def song_samples(self, duration_s: float | None) -> int:
        """Samples of a song of that duration. Errors: Mp3netError if this model cannot make one."""
        audio, model = self.config.audio, self.config.model
        if duration_s is None:
            return self.config.song_samples
        samples = round(duration_s * audio.sample_rate_hz) if math.isfinite(duration_s) else 0
        longest_s = MAX_FRAMES * audio.hop_length / audio.sample_rate_hz
        try:
            model.whole_frames(-(-samples // audio.hop_length) + 1)
        except ValueError as error:
            raise Mp3netError(
                f"duration {duration_s:g} s: {error}, here {self.song_duration_s:.2f} s; leave the "
                "duration out, or train a preset of the second family, which makes any length"
            ) from None
        if not audio.sample_rate_hz / 10 <= samples <= MAX_FRAMES * audio.hop_length:
            raise Mp3netError(f"duration {duration_s:g} s: songs last from 0.1 s to {longest_s:.0f} s")
        return samples

    def latent_frames(self, duration_s: float | None = None) -> int:
        """Frames of the track from which a song of that duration is cut."""
        frames = -(-self.song_samples(duration_s) // self.config.audio.hop_length) + 1
        return self.config.model.whole_frames(frames)

    def latent(self, seed: int, duration_s: float | None = None) -> Tensor:
        """The random numbers (1, Z) of a seed; drawn on the CPU, so they are the same on every device."""
        if not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
            raise Mp3netError(f"seed {seed!r}: seeds are whole numbers from 0 to {MAX_SEED}")
        size = self.config.model.latent_size(self.latent_frames(duration_s))
        return torch.randn(1, size, generator=torch.Generator().manual_seed(seed))

    @torch.inference_mode()
    def coefficients(self, z: Tensor) -> Tensor:
        """Latents (B, Z) -> MDCT coefficients (B, C, T, F), float32."""
        z = z.to(next(self.generator.parameters()).device)
        with torch.autocast(z.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            coefficients: Tensor = self.generator(z)
        return coefficients

    @torch.inference_mode()
    def render(self, z: Tensor, samples: int | None = None) -> Tensor:
        """Latents (B, Z) -> audio (B, C, (T - 1) N), or the first `samples` of them.

        A generated track is a piece from the middle of music: its first and last N samples would need the frames before
        and after to cancel their aliasing, so they are left out, and 10 ms fades let the rest start and end in silence.
        """
        sound = imdct(self.coefficients(z), self.config.audio.window, edges="zeros")[..., :samples]
        return sound * fades(sound.shape[-1], self.config.audio.sample_rate_hz).to(sound)

    def generate(self, seed: int, duration_s: float | None = None) -> Song:
        """One song. The same seed and duration on the same machine always give the same samples.

        `duration_s` is for models whose songs may have any length; default: `song_duration_s`.
        Errors: Mp3netError for a seed or duration out of range or a model that gives non-finite samples.
        """
        z = self.latent(seed, duration_s)
        sound = self.render(z, self.song_samples(duration_s))[0].float().cpu().numpy()
        if not np.isfinite(sound).all():
            raise Mp3netError(f"seed {seed}: the model gives non-finite samples; its weights are damaged")
        return Song(sound, self.config.audio.sample_rate_hz, seed)


def fades(samples: int, sample_rate_hz: int) -> Tensor:
    """(S,) gains: 1 except for raised-cosine ramps of 10 ms (at most half the length) at both ends, starting at 0."""
    length = min(round(FADE_S * sample_rate_hz), samples // 2)
    ramp = 0.5 - 0.5 * torch.cos(torch.pi * torch.arange(length) / length)
    return torch.cat([ramp, torch.ones(samples - 2 * length), ramp.flip(0)])
