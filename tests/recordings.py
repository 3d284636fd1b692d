"""Small synthetic recordings in many formats, for tests."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import soundfile


def music(seconds: float, rate: int, channels: int = 2, seed: int = 0) -> np.ndarray:
    """A few decaying tones per second, (S, C) float32, peak 0.5."""
    rng = np.random.default_rng(seed)
    out = np.zeros((round(seconds * rate), channels))
    for start in np.arange(0, seconds, 0.25):
        pitch = 220 * 2 ** (rng.integers(0, 24) / 12)
        begin = int(np.ceil(start * rate))
        after = np.arange(begin, min(begin + 5 * rate, len(out))) / rate - start  # by then it is far below 16 bits
        note = np.sin(2 * np.pi * pitch * after) * np.exp(-4 * after)
        out[begin : begin + len(note)] += note[:, None] * rng.uniform(0.3, 1, channels)
    return (0.5 * out / np.abs(out).max()).astype(np.float32)


def write_m4a(path: Path, samples: np.ndarray, rate: int) -> None:
    """AAC in an MP4 container, which libsndfile cannot read."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=rate, layout="stereo" if samples.shape[1] == 2 else "mono")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), "fltp", stream.layout.name)
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def write_folder(folder: Path, seconds: float = 3.0) -> None:
    """One recording per format, at differing rates and channels, some in a subfolder and under odd names."""
    (folder / "sub").mkdir(parents=True)
    soundfile.write(folder / "a.wav", music(seconds, 44100, 2, 1), 44100)
    soundfile.write(folder / "sub" / "b.flac", music(seconds, 48000, 1, 2), 48000)
    soundfile.write(folder / "Öde an die Freude.ogg", music(seconds, 32000, 2, 3), 32000)
    soundfile.write(folder / "d.opus", music(seconds, 48000, 2, 4), 48000, format="OGG", subtype="OPUS")
    soundfile.write(folder / "e.mp3", music(seconds, 44100, 2, 5), 44100)
    write_m4a(folder / "no_ending", music(seconds, 44100, 2, 6), 44100)


@lru_cache(None)
def piano_tone(pitch: int, rate: int) -> np.ndarray:
    """1.2 s of a decaying harmonic tone."""
    time = np.arange(round(1.2 * rate)) / rate
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    partials = [k for k in range(1, 9) if k * frequency < 0.45 * rate]
    tone = sum(np.sin(2 * np.pi * k * frequency * time) / k**1.5 for k in partials) * np.exp(-3 * time)
    return tone * np.minimum(time / 0.005, 1) * np.minimum((1.2 - time) / 0.05, 1)


def piece(seconds: float, rate: int, seed: int, channels: int = 1) -> np.ndarray:
    """A small piano-like piece, (S, C) float32: three decaying harmonic voices on a steady beat in one key, peak 0.6."""
    rng = np.random.default_rng(seed)
    out = np.zeros((round(seconds * rate), channels))
    beat = rng.uniform(0.3, 0.5)
    scale = rng.integers(0, 12) + np.array([0, 2, 4, 5, 7, 9, 11])
    for count, start in enumerate(np.arange(0.05, seconds - 0.2, beat)):
        for voice, octave in enumerate((48, 60, 72)):
            if voice == 2 or count % 2 == 0:
                tone = piano_tone(int(octave + rng.choice(scale)), rate) * rng.uniform(0.5, 1)
                begin = round(start * rate)
                part = tone[: len(out) - begin, None] * rng.uniform(0.6, 1, channels)
                out[begin : begin + len(part)] += part
    return (0.6 * out / np.abs(out).max()).astype(np.float32)
