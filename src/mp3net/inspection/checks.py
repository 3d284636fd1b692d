"""Listening checks: is the masking noise as inaudible as the method claims?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from mp3net.audio.encoding import why_not
from mp3net.config import AudioConfig
from mp3net.dsp.mdct import imdct
from mp3net.dsp.psychoacoustics import Psychoacoustics
from mp3net.dsp.streaming import streamed_imdct, streamed_mdct
from mp3net.errors import Mp3netError
from mp3net.files import replacing
from mp3net.inspection.measuring import Measured, Progress

# Music at full scale and noise upon it need room; both files have it, so that they can be compared.
ROOM = 0.5
SEED = 0


@dataclass(frozen=True)
class Checks:
    """The passage (C, S): as it is, with the masking noise, the noise alone, and with white noise of the same power."""

    music: np.ndarray
    with_noise: np.ndarray
    noise: np.ndarray
    with_white_noise: np.ndarray


def checks(measured: Measured) -> Checks:
    """All at one gain, so that no difference is one of level. The noise is drawn as in training, from a fixed seed."""
    coefficients, audio = measured.passage, measured.audio
    noise = _noise(audio)(coefficients)
    white = torch.randn(noise.shape, generator=torch.Generator().manual_seed(SEED)) * noise.square().mean().sqrt()
    sounds = [
        imdct(each, audio.window).numpy() for each in (coefficients, coefficients + noise, noise, coefficients + white)
    ]
    gain = min(1.0, 0.999 / max(float(np.abs(sound).max()) for sound in sounds))
    return Checks(*(np.float32(gain) * sound for sound in sounds))


def write_whole(
    measured: Measured, with_noise: Path, alone: Path, progress: Progress = lambda done_s, total_s: None
) -> None:
    """The whole recording with the masking noise, and the noise alone, as 24-bit FLAC, 6 dB lower, in constant memory.

    Errors: Mp3netError if a file cannot be written.
    """
    audio = measured.audio
    done = 0
    try:
        with (
            replacing(with_noise) as first,
            replacing(alone) as second,
            _flac(first, audio) as both,
            _flac(second, audio) as only,
        ):
            for piece in streamed_imdct(_beside_noise(measured), audio.window):
                music, noise = ROOM * piece.numpy().reshape(2, audio.channels, -1)[:, :, : measured.num_samples - done]
                both.write(np.clip(music + noise, -1, 1).T)
                only.write(noise.T)
                done += music.shape[1]
                progress(done / audio.sample_rate_hz, measured.duration_s)
    except (OSError, soundfile.LibsndfileError) as error:
        raise Mp3netError(f"{with_noise.parent}: cannot be written: {why_not(error)}") from None


def _beside_noise(measured: Measured) -> Iterator[Tensor]:
    """Coefficients of the recording and, as further channels, of the noise (2 C, T, F)."""
    noise_of = _noise(measured.audio)
    for piece in streamed_mdct(measured.blocks(), measured.audio.num_bins, measured.audio.window):
        yield torch.cat([piece, noise_of(piece)])


def _noise(audio: AudioConfig) -> Callable[[Tensor], Tensor]:
    model, generator = Psychoacoustics(audio.sample_rate_hz, audio.num_bins), torch.Generator().manual_seed(SEED)
    return lambda coefficients: model.add_masking_noise(coefficients, generator) - coefficients


def _flac(path: Path, audio: AudioConfig) -> soundfile.SoundFile:
    return soundfile.SoundFile(path, "w", audio.sample_rate_hz, audio.channels, format="FLAC", subtype="PCM_24")
