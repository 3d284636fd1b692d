"""One recording, read twice from beginning to end: for its level and loudest passage, then for everything else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mp3net.audio.decoding import AudioInfo, UnusableAudioError, probe
from mp3net.audio.reading import Stream
from mp3net.config import AudioConfig, DataConfig
from mp3net.data.level import Levels, Outcome
from mp3net.dsp.loudness import Loudness
from mp3net.dsp.psychoacoustics import NOISE_PER_THRESHOLD
from mp3net.dsp.streaming import streamed_mdct
from mp3net.errors import Mp3netError
from mp3net.inspection.sums import Sums

# The loudest passage is sought in steps of this length.
STEP_S = 0.1
LEAST_S = 0.5
# 60 dB below the recording, a passage is silence.
SILENT_POWER = 1e-6
DEFAULT_PASSAGE_S, MOST_PASSAGE_S = 10.0, 60.0

Progress = Callable[[float, float], None]


@dataclass(frozen=True)
class Levelled:
    """What the first reading found. `energies`: of each step of STEP_S."""

    num_samples: int
    outcome: Outcome
    loudness_lufs: float | None
    energies: np.ndarray


@dataclass(frozen=True)
class Measured:
    """What was found in a recording, after its mean was removed and its peak brought to 0.999, as preparation does by
    default.

    `passage` (C, T, F) has the coefficients of the part that is looked at closely, from `passage_begin_s` on. `damage` is
    what is missing of the file, as a sentence.
    """

    path: Path
    audio: AudioConfig
    info: AudioInfo
    damage: str
    levels: Levelled
    sums: Sums
    passage: Tensor
    passage_begin_s: float

    @property
    def num_samples(self) -> int:
        return self.levels.num_samples

    @property
    def duration_s(self) -> float:
        return self.num_samples / self.audio.sample_rate_hz

    def blocks(self) -> Iterator[Tensor]:
        """The recording once more: blocks (C, S)."""
        return _blocks(Stream(self.path, self.audio.sample_rate_hz, self.audio.channels, downmix=True), self.levels.outcome)

    @property
    def masked_share(self) -> float:
        """Share of all coefficients whose magnitude is below the masking threshold."""
        return float(self.sums.masked_share.mean())

    @property
    def noise_db(self) -> float:
        """Power of the masking noise over that of the recording, in dB; infinite for silence."""
        noise, music = NOISE_PER_THRESHOLD**2 * self.sums.threshold_power.sum(), self.sums.power.sum()
        return 10 * math.log10(noise / music) if music > 0 else math.inf

    @property
    def passage_is_silent(self) -> bool:
        """Whether the passage is so much quieter than the whole that pictures of it say nothing of the recording."""
        first = math.floor(self.passage_begin_s / STEP_S)
        steps = math.ceil(self.passage.shape[1] * self.audio.hop_length / self.audio.sample_rate_hz / STEP_S)
        passage = self.levels.energies[first + 1 : max(first + steps - 1, first + 2)]
        return len(passage) > 0 and float(passage.mean()) <= SILENT_POWER * float(self.levels.energies.mean())

    def masked_share_by_octave(self) -> list[tuple[float, float, float]]:
        """(lowest Hz, highest Hz, share below the masking threshold) of up to seven octaves; the lowest begins at 0."""
        bin_hz = self.audio.sample_rate_hz / 2 / self.audio.num_bins
        rows: list[tuple[float, float, float]] = []
        end = self.audio.num_bins
        while end:
            begin = end // 2 if end > max(2, self.audio.num_bins // 64) else 0
            rows.append((begin * bin_hz, end * bin_hz, float(self.sums.masked_share[begin:end].mean())))
            end = begin
        return rows[::-1]


def measure(
    path: Path,
    audio: AudioConfig,
    at_s: float | None = None,
    passage_s: float = DEFAULT_PASSAGE_S,
    progress: Progress = lambda done_s, total_s: None,
) -> Measured:
    """Read a recording at the rate and bins of `audio`, in memory that grows by a few bytes per frame.

    Stereo is mixed to mono if `audio.channels` is 1; mono stays mono. The passage begins at `at_s`; None: it is the loudest.
    `progress` is told the seconds done and in all, over both readings.
    Errors: Mp3netError naming the file, also if it is shorter than half a second or the passage lies beyond its end.
    """
    try:
        info = probe(path, downmix=True)
        audio = audio.model_copy(update={"channels": min(audio.channels, info.channels)})
        levels = _levels(path, audio, lambda done_s: progress(done_s, 2 * max(info.duration_s, done_s)))
        length_s = levels.num_samples / audio.sample_rate_hz
        if length_s < LEAST_S:
            raise Mp3netError(f"{path}: holds {length_s:.2f} s of audio; at least {LEAST_S} s are needed")
        begin_s = _beginning(path, length_s, levels.energies, at_s, passage_s)
        sums, passage = Sums(audio), _Frames(audio, begin_s, min(begin_s + passage_s, length_s))
        stream = Stream(path, audio.sample_rate_hz, audio.channels, downmix=True)
        for piece in streamed_mdct(_blocks(stream, levels.outcome), audio.num_bins, audio.window):
            passage.add(sums.frames, piece)
            sums.add(piece)
            progress(length_s + min(sums.frames * audio.hop_length / audio.sample_rate_hz, length_s), 2 * length_s)
    except UnusableAudioError as error:
        raise Mp3netError(f"{path}: {error}") from None
    begins_s = passage.first * audio.hop_length / audio.sample_rate_hz
    return Measured(path, audio, info, str(stream.damage), levels, sums, passage.joined(), begins_s)


def _blocks(stream: Stream, outcome: Outcome) -> Iterator[Tensor]:
    """(C, S) without its mean, at the level of a dataset."""
    for block in stream:
        yield torch.from_numpy((block - outcome.offset) * np.float32(outcome.gain)).T


def _levels(path: Path, audio: AudioConfig, progress: Callable[[float], None]) -> Levelled:
    """First reading."""
    rate = audio.sample_rate_hz
    config = DataConfig(sample_rate_hz=rate, channels=audio.channels, trim_silence_db=None)
    levels, loudness = Levels(config), Loudness(rate, audio.channels)
    step, rest = round(STEP_S * rate), np.zeros(0, np.float32)
    energies: list[np.ndarray] = []
    for block in Stream(path, rate, audio.channels, downmix=True):
        levels.add(block)
        loudness.add(block)
        squares = np.concatenate([rest, np.square(block).sum(1)])
        whole = len(squares) // step * step
        energies.append(squares[:whole].reshape(-1, step).sum(1, dtype=np.float64))
        rest = squares[whole:]
        progress(levels.num_samples / rate)
    if not levels.num_samples:
        raise UnusableAudioError("holds no samples")
    return Levelled(levels.num_samples, levels.finish(config), loudness.integrated_lufs(), np.concatenate(energies))


def _beginning(path: Path, length_s: float, energies: np.ndarray, at_s: float | None, passage_s: float) -> float:
    """Where the passage begins: at `at_s`, or where it is loudest."""
    if at_s is not None:
        if at_s > length_s - LEAST_S:
            raise Mp3netError(f"{path}: is {length_s:.1f} s long; --at {at_s:g} leaves less than {LEAST_S} s to look at")
        return at_s
    steps = round(passage_s / STEP_S)
    if steps >= len(energies):
        return 0.0
    sums = np.concatenate([[0.0], np.cumsum(energies)])
    return float(np.argmax(sums[steps:] - sums[:-steps])) * STEP_S


class _Frames:
    """Those frames that determine the samples from `begin_s` to `end_s`: frame t covers the hops t - 1 and t."""

    def __init__(self, audio: AudioConfig, begin_s: float, end_s: float) -> None:
        hop_s = audio.hop_length / audio.sample_rate_hz
        self.first, self.last = math.floor(begin_s / hop_s), math.ceil(end_s / hop_s)
        self._pieces: list[Tensor] = []

    def add(self, number: int, piece: Tensor) -> None:
        """Take what is wanted of the frames `number`, `number` + 1 ... (C, T, F)."""
        wanted = piece[:, max(self.first - number, 0) : max(self.last + 1 - number, 0)]
        if wanted.numel():
            self._pieces.append(wanted.clone())

    def joined(self) -> Tensor:
        return torch.cat(self._pieces, 1)
