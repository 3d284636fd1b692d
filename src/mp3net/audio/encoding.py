"""Writing audio files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from mp3net.audio.resampling import resampled
from mp3net.audio.stored import StoredAudio
from mp3net.errors import Mp3netError
from mp3net.files import replacing

FORMATS = ("wav", "flac", "ogg", "mp3")
SUBTYPES = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS", "mp3": "MPEG_LAYER_III"}
MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
WRITE_SAMPLES = 1 << 16
"""libsndfile's encoder of OGG overflows the stack if it is given many more at once."""


def write(
    path: Path,
    audio: np.ndarray | StoredAudio,
    sample_rate_hz: int,
    audio_format: str,
    tags: Mapping[str, str] | None = None,
) -> int:
    """Write (C, S) audio in [-1, 1] atomically; beside `audio`, memory does not grow with its length.

    `tags`: what the file says about itself, by libsndfile's names (title, comment, software ...).
    Returns the sample rate of the file.
    MP3 supports only nine sample rates; audio at any other rate is resampled to the next higher one, or to 48 kHz.
    Errors: ValueError for samples beyond [-1, 1] (they would be clipped), Mp3netError if the file cannot be written.
    """
    if audio_format not in FORMATS:
        raise Mp3netError(f"unknown audio format {audio_format!r}; the formats are: {', '.join(FORMATS)}")
    if not max((float(np.abs(block).max()) for block in _blocks(audio)), default=0.0) <= 1:
        raise ValueError("samples beyond [-1, 1] or not finite: lower the level before writing")
    rate, blocks, divisor = sample_rate_hz, partial(_blocks, audio), 1.0
    if audio_format == "mp3" and rate not in MP3_RATES_HZ:
        rate = next((candidate for candidate in MP3_RATES_HZ if candidate >= rate), MP3_RATES_HZ[-1])
        blocks = partial(_resampled, audio, sample_rate_hz, rate)
        divisor = max(1.0, *(float(np.abs(block).max(initial=0)) for block in blocks()))
    kind: dict[str, Any] = {"format": audio_format.upper(), "subtype": SUBTYPES[audio_format]}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as unfinished, soundfile.SoundFile(unfinished, "w", rate, len(audio), **kind) as file:
            for name, text in (tags or {}).items():
                setattr(file, name, text)
            for block in blocks():
                file.write(block / divisor)
    except (OSError, soundfile.LibsndfileError) as error:
        raise Mp3netError(f"{path}: cannot be written: {why_not(error)}") from None
    return rate


def why_not(error: OSError | soundfile.LibsndfileError) -> str:
    """Why a file could not be written, without the name under which it was."""
    return str(error.strerror if isinstance(error, OSError) else error.error_string)


def comment(path: Path) -> str:
    """The comment that an audio file carries, or nothing. Errors: Mp3netError if it is no file that libsndfile reads."""
    try:
        with soundfile.SoundFile(path) as file:
            return str(file.comment)
    except (OSError, soundfile.LibsndfileError) as error:
        why = "no such file" if not path.exists() else f"not an audio file of {', '.join(FORMATS)}: {error}"
        raise Mp3netError(f"{path}: {why}") from None


def _blocks(audio: np.ndarray | StoredAudio) -> Iterator[np.ndarray]:
    for start in range(0, audio.shape[1], WRITE_SAMPLES):
        yield audio[:, start : start + WRITE_SAMPLES].T


def _resampled(audio: np.ndarray | StoredAudio, from_hz: int, to_hz: int) -> Iterator[np.ndarray]:
    return resampled((block.astype(np.float32) for block in _blocks(audio)), from_hz, to_hz)
