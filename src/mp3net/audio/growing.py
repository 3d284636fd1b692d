"""Audio that is written while it is made: whoever listens need not wait for its end."""

from __future__ import annotations

import struct
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import soundfile

from mp3net.audio.encoding import MP3_RATES_HZ, SUBTYPES, WRITE_SAMPLES, why_not
from mp3net.errors import Mp3netError
from mp3net.files import PARTIAL

CEILING = 0.999
# Over so long a time a stream is lowered where it would be clipped.
RAMP_S = 0.01
# Where a WAV file carries what `encoding.write` calls by these names.
INFO = {"title": b"INAM", "comment": b"ICMT", "software": b"ISFT"}
# What a WAV file says of its size, where that is not known: the most that there can be.
UNKNOWN = 2**32 - 1


class Leveller:
    """Lowers a stream, once and for all, where it would be clipped: its peak is not known in advance."""

    def __init__(self, sample_rate_hz: int) -> None:
        self.gain = 1.0
        self._ramp = round(RAMP_S * sample_rate_hz)

    def __call__(self, piece: np.ndarray) -> np.ndarray:
        """(C, n) -> the same within [-0.999, 0.999]; the gain falls over 10 ms at the beginning of the piece."""
        gains = np.full(piece.shape[1], self.gain, np.float32)
        peak = float(np.abs(piece).max(initial=0))
        if peak * self.gain > CEILING:
            lowered = CEILING / peak
            few = min(self._ramp, len(gains))
            gains[:few] = np.linspace(self.gain, lowered, few, dtype=np.float32)
            gains[few:] = self.gain = lowered
        return np.clip(piece * gains, -CEILING, CEILING)


class GrowingFile:
    """An audio file that can be played while it grows. If it is not finished, it is removed, and what it replaces is back.

    Errors: Mp3netError if the format cannot hold this sample rate or the file cannot be written.
    """

    def __init__(self, path: Path, channels: int, sample_rate_hz: int, audio_format: str, tags: dict[str, str]) -> None:
        if audio_format == "mp3" and sample_rate_hz not in MP3_RATES_HZ:
            raise Mp3netError(f"--stream: MP3 has no sample rate of {sample_rate_hz} Hz; choose wav, flac or ogg")
        kind: dict[str, Any] = {"format": audio_format.upper(), "subtype": SUBTYPES[audio_format]}
        self.path, self._tags = path, tags
        self._replaced = path.with_name(f".{path.name}.replaced{PARTIAL}")
        self._open = partial(soundfile.SoundFile, path, "w", sample_rate_hz, channels, **kind)

    def _give_back(self) -> None:
        self.path.unlink(missing_ok=True)
        if self._replaced.exists():
            self._replaced.replace(self.path)

    def append(self, piece: np.ndarray) -> None:
        """Add (C, n) samples in [-1, 1]."""
        try:
            for start in range(0, piece.shape[1], WRITE_SAMPLES):
                self._file.write(piece[:, start : start + WRITE_SAMPLES].T)
            self._file.flush()
        except (OSError, soundfile.LibsndfileError) as error:
            raise Mp3netError(f"{self.path}: cannot be written: {why_not(error)}") from None

    def __enter__(self) -> GrowingFile:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and not self._replaced.exists():  # or it is what a process left that was killed
                self.path.replace(self._replaced)
            self._file = self._open()
            for name, text in self._tags.items():
                setattr(self._file, name, text)
        except (OSError, soundfile.LibsndfileError) as error:
            self._give_back()
            raise Mp3netError(f"{self.path}: cannot be written: {why_not(error)}") from None
        except BaseException:  # Ctrl-C, just now
            self._give_back()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._file.close()
        except soundfile.LibsndfileError as problem:  # what it still had to write
            self._give_back()
            raise Mp3netError(f"{self.path}: cannot be written: {why_not(problem)}") from None
        if kind is not None:
            self._give_back()
        self._replaced.unlink(missing_ok=True)


class GrowingPipe:
    """A WAV stream of unknown length, as players take it from standard input."""

    def __enter__(self) -> GrowingPipe:
        return self

    def __exit__(self, *_: object) -> None:
        """Standard output stays open."""

    def __init__(self, out: BinaryIO, channels: int, sample_rate_hz: int, tags: dict[str, str]) -> None:
        self._out = out
        out.write(wav_header(channels, sample_rate_hz, tags))

    def append(self, piece: np.ndarray) -> None:
        """Add (C, n) samples in [-1, 1], rounded as libsndfile does. Errors: OSError if the reader has gone."""
        self._out.write(wav_samples(piece))
        self._out.flush()


def wav_header(channels: int, sample_rate_hz: int, tags: dict[str, str]) -> bytes:
    """The beginning of a WAV stream of unknown length, 16 bits."""
    words = b"INFO" + b"".join(_chunk(INFO[name], text.encode() + b"\0") for name, text in tags.items())
    each = 2 * channels
    sound = struct.pack("<HHIIHH", 1, channels, sample_rate_hz, sample_rate_hz * each, each, 16)
    begin = struct.pack("<4sI4s", b"RIFF", UNKNOWN, b"WAVE") + _chunk(b"fmt ", sound) + _chunk(b"LIST", words)
    return begin + struct.pack("<4sI", b"data", UNKNOWN)


def wav_samples(piece: np.ndarray) -> bytes:
    """(C, n) samples in [-1, 1] as they follow in it, rounded as libsndfile does."""
    return np.floor(piece.T * np.float32(32768)).astype("<i2").tobytes()


def _chunk(name: bytes, content: bytes) -> bytes:
    """One of a RIFF file: an even number of bytes follows."""
    return struct.pack("<4sI", name, len(content)) + content + b"\0" * (len(content) % 2)
