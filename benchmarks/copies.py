"""How often a copy is taken for another recording, and another recording for a copy, on pairs made for it.

    python benchmarks/copies.py FOLDER_OF_FLAC [--recordings 14] [--rate 22016]

Prints the table of docs/results.md. Needs the `ffmpeg` command. Of each recording, 40 s are changed in every way of SAME
(what encoders, gains, cuts and converters do: must be dropped) and of OTHER (other mixes and masters: must be kept).
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr
from scipy.signal import butter, fftconvolve, sosfilt

from mp3net.data.fingerprint import Fingerprinter, find_alike
from mp3net.data.sameness import compare_pieces

RATE = 44100
SECONDS = 40
Change = Callable[[np.ndarray, np.ndarray], np.ndarray]


class InMemory:
    def __init__(self, sound: np.ndarray) -> None:
        self.sound, self.num_samples = sound, len(sound)

    def read(self, start: int, count: int) -> np.ndarray:
        return self.sound[start : start + count].T


def coded(sound: np.ndarray, ending: str, *options: str) -> np.ndarray:
    with tempfile.TemporaryDirectory() as name:
        plain, lossy, back = (f"{name}/{file}" for file in ("a.wav", f"b.{ending}", "c.wav"))
        soundfile.write(plain, sound, RATE)
        run = ["ffmpeg", "-loglevel", "error", "-i"]
        subprocess.run([*run, plain, *options, lossy], check=True)
        subprocess.run([*run, lossy, "-ar", str(RATE), "-ac", "2", back], check=True)
        return soundfile.read(back, always_2d=True)[0]


def codec(ending: str, *options: str) -> Change:
    return lambda sound, other: coded(sound, ending, *options)


def at_rate(rate: int) -> Change:
    return lambda sound, other: soxr.resample(soxr.resample(sound, RATE, rate), rate, RATE)


def filtered(sound: np.ndarray, frequency_hz: float, kind: str, order: int = 4) -> np.ndarray:
    return sosfilt(butter(order, frequency_hz, kind, fs=RATE, output="sos"), sound, axis=0)


def level(sound: np.ndarray) -> float:
    return float(np.sqrt(np.mean(sound**2) + 1e-12))


def voice(gain_db: float, share: float = 1.0) -> Change:
    """A second voice, that loud relative to the first, in that share of the time."""

    def change(sound: np.ndarray, other: np.ndarray) -> np.ndarray:
        added = np.resize(other, sound.shape) * level(sound) / level(other) * 10 ** (gain_db / 20)
        begin = int(0.4 * len(sound)) if share < 1 else 0
        added[:begin] = added[begin + int(share * len(sound)) :] = 0
        return sound + added

    return change


def reverberation(wet: float, seconds: float) -> Change:
    count = round(seconds * RATE)
    response = np.random.default_rng(0).normal(0, 1, (count, 1)) * np.exp(-6.9 * np.arange(count) / count)[:, None]

    def change(sound: np.ndarray, other: np.ndarray) -> np.ndarray:
        tail = fftconvolve(sound, response, axes=0)[: len(sound)]
        return sound + wet * level(sound) / level(tail) * tail

    return change


def bass(gain_db: float) -> Change:
    return lambda sound, other: sound + (10 ** (gain_db / 20) - 1) * filtered(sound, 250, "low", 1)


def compressed(sound: np.ndarray, other: np.ndarray) -> np.ndarray:
    window = np.hanning(RATE // 10)
    envelope = np.sqrt(fftconvolve((sound**2).mean(1), window / window.sum(), "same").clip(1e-9))
    threshold = 0.25 * envelope.max()
    return sound * np.where(envelope > threshold, (threshold / envelope) ** 0.6, 1.0)[:, None]


SAME: dict[str, Change] = {
    "MP3 128 kbit/s": codec("mp3", "-b:a", "128k"), "MP3 64": codec("mp3", "-b:a", "64k"),
    "MP3 32": codec("mp3", "-b:a", "32k"), "AAC 64": codec("m4a", "-b:a", "64k"), "AAC 32": codec("m4a", "-b:a", "32k"),
    "Opus 64": codec("opus", "-b:a", "64k"), "Opus 32": codec("opus", "-b:a", "32k"),
    "Vorbis q1": codec("ogg", "-c:a", "libvorbis", "-q:a", "1"),
    "MP3 96, then AAC 64": lambda sound, other: coded(coded(sound, "mp3", "-b:a", "96k"), "m4a", "-b:a", "64k"),
    "12 dB lower, inverted": lambda sound, other: -0.25 * sound, "1.2 s cut": lambda sound, other: sound[54_421:],
    "16 kHz": at_rate(16000), "8 kHz": at_rate(8000), "8 bits": lambda sound, other: np.round(sound * 127) / 127,
    "mono": lambda sound, other: np.repeat(sound.mean(1, keepdims=True), 2, 1),
    "cut, 6 dB lower, MP3 64": lambda sound, other: coded(0.5 * sound[50_003:], "mp3", "-b:a", "64k"),
}  # fmt: skip
OTHER: dict[str, Change] = {
    "second voice at 0 dB": voice(0), "at -6 dB": voice(-6), "at -10 dB": voice(-10),
    "at 0 dB in a quarter of the time": voice(0, 0.25), "at -6 dB in a tenth": voice(-6, 0.1),
    "reverberation 1.5 s, half as loud": reverberation(0.5, 1.5), "a quarter": reverberation(0.25, 1.5),
    "small room, half as loud": reverberation(0.5, 0.3),
    "high-pass 120 Hz": lambda sound, other: filtered(sound, 120, "high"),
    "200 Hz": lambda sound, other: filtered(sound, 200, "high"), "400 Hz": lambda sound, other: filtered(sound, 400, "high"),
    "low-pass 2 kHz": lambda sound, other: filtered(sound, 2000, "low", 2),
    "bass +4 dB": bass(4), "bass -3 dB": bass(-3), "compressed 2.5:1": compressed,
}  # fmt: skip


def judged(sound: np.ndarray, changed: np.ndarray, rate: int) -> tuple[bool, bool]:
    """Whether the fingerprint, and whether the comparison after it takes them for one."""
    pair = [soxr.resample(one / max(1.0, np.abs(one).max()), RATE, rate).astype(np.float32) for one in (sound, changed)]
    words = []
    for one in pair:
        prints = Fingerprinter(rate)
        prints.add(one)
        words.append(prints.words())
    alike = find_alike(words)
    if not alike or not alike[0].is_copy:
        return False, False
    found = compare_pieces(InMemory(pair[0]), InMemory(pair[1]), alike[0].offset_s, rate)  # type: ignore[arg-type]
    return True, found is None or found.is_same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recordings", type=int, default=14)
    parser.add_argument("--rate", type=int, default=22016)
    options = parser.parse_args()
    files = sorted(options.folder.rglob("*.flac"))
    files = files[:: max(1, len(files) // options.recordings)][: options.recordings]
    sounds = [soundfile.read(path, always_2d=True, frames=SECONDS * RATE)[0] for path in files]
    for wanted, changes in ((True, SAME), (False, OTHER)):
        wrong = 0
        for name, change in changes.items():
            found = [judged(sound, change(sound, sounds[n - 1]), options.rate) for n, sound in enumerate(sounds)]
            by_print, by_sound = (sum(column) for column in zip(*found, strict=True))
            wrong += sum(one[1] != wanted for one in found)
            print(f"{name}: {by_print} of {len(found)} by the fingerprint, {by_sound} after comparing", flush=True)
        what = "copies not found" if wanted else "others dropped"
        print(f"{what} at {options.rate} Hz: {wrong} of {len(changes) * len(sounds)}", flush=True)


if __name__ == "__main__":
    main()
