"""Recordings in every format, and what pipes, crashes, downloads and joining do to them."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile

import av
import numpy as np
import soundfile

from tests.recordings import music

RATE = 44100
SECONDS = 8.0
# Damage in the middle: long enough that every format loses more than is worth telling.
DAMAGED_FROM, DAMAGED_TO = 0.4, 0.5

Encoder = Callable[[np.ndarray, int], bytes]


def sndfile(**options: str) -> Encoder:
    def encode(sound: np.ndarray, rate: int) -> bytes:
        out = io.BytesIO()
        soundfile.write(out, sound, rate, **options)
        return out.getvalue()

    return encode


def ffmpeg(container: str, codec: str, sample_format: str, **options: str) -> Encoder:
    def encode(sound: np.ndarray, rate: int) -> bytes:
        layout = "stereo" if sound.shape[1] == 2 else "mono"
        scale = 32767 if sample_format.startswith("s16") else 1
        planes = np.ascontiguousarray((sound.T * scale).astype("i2" if scale > 1 else "f4"))
        if not sample_format.endswith("p"):
            planes = np.ascontiguousarray(planes.T.reshape(1, -1))
        with NamedTemporaryFile() as out, av.open(out.name, "w", format=container, container_options=options) as file:
            stream = file.add_stream(codec, rate=rate, layout=layout)
            frame = av.AudioFrame.from_ndarray(planes, sample_format, layout)
            frame.sample_rate = rate
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                file.mux(packet)
            file.close()
            return Path(out.name).read_bytes()

    return encode


ENCODERS: dict[str, Encoder] = {
    "WAV": sndfile(format="WAV", subtype="PCM_16"),
    "RF64": sndfile(format="RF64", subtype="PCM_24"),
    "AIFF": sndfile(format="AIFF", subtype="PCM_16"),
    "W64": sndfile(format="W64", subtype="PCM_16"),
    "CAF": sndfile(format="CAF", subtype="PCM_16"),
    "FLAC": sndfile(format="FLAC", subtype="PCM_16"),
    "WavPack": ffmpeg("wv", "wavpack", "s16p"),
    "MP3": sndfile(format="MP3"),
    "MP3 without a count": ffmpeg("mp3", "libmp3lame", "fltp", write_xing="0", id3v2_version="0"),
    "AAC": ffmpeg("adts", "aac", "fltp"),
    "M4A": ffmpeg("mp4", "aac", "fltp"),
    "M4A, table first": ffmpeg("mp4", "aac", "fltp", movflags="faststart"),
    "M4A (ALAC)": ffmpeg("mp4", "alac", "s16p", movflags="faststart"),
    "Ogg Vorbis": sndfile(format="OGG", subtype="VORBIS"),
    "Opus": sndfile(format="OGG", subtype="OPUS"),
    "Matroska": ffmpeg("matroska", "libmp3lame", "fltp"),
}
RATES = {"Opus": (48000, 24000)}


@lru_cache(None)
def encoded(name: str, channels: int = 2, half_rate: bool = False, seconds: float = SECONDS, seed: int = 3) -> bytes:
    rate = RATES.get(name, (RATE, RATE // 2))[half_rate]
    return ENCODERS[name](music(seconds, rate, channels, seed), rate)


def halved(data: bytes) -> bytes:
    return data[: len(data) // 2 - 77]


def damaged(data: bytes) -> bytes:
    """A stretch in the middle overwritten: a bad sector."""
    begin, end = int(len(data) * DAMAGED_FROM), int(len(data) * DAMAGED_TO)
    return data[:begin] + np.random.default_rng(0).bytes(end - begin) + data[end:]


def with_length(name: str, data: bytes, share: float | None) -> bytes:
    """The header states this share of the length, or, if None, that nothing is known."""
    if name == "FLAC":  # 36 bits of samples, the lowest four of byte 21 and the next four
        total = int.from_bytes(data[21:26], "big") & (1 << 36) - 1
        stated = 0 if share is None else int(total * share)
        rest = int.from_bytes(data[21:26], "big") >> 36 << 36
        return data[:21] + (rest | stated).to_bytes(5, "big") + data[26:]
    marks = {"WAV": b"data", "RF64": b"ds64", "AIFF": b"SSND", "W64": b"data", "CAF": b"data"}
    place = data.index(marks[name]) + {"W64": 16, "RF64": 16}.get(name, 4)
    width, order = {"WAV": (4, "little"), "AIFF": (4, "big"), "CAF": (8, "big")}.get(name, (8, "little"))
    there = int.from_bytes(data[place : place + width], order)  # type: ignore[arg-type]
    stated = int(there * share) // 24 * 24 if share is not None else (2**64 - 1 if name == "CAF" else 0)
    data = data[:place] + stated.to_bytes(width, order) + data[place + width :]  # type: ignore[arg-type]
    if name == "AIFF":  # the number of frames in COMM as well
        comm = data.index(b"COMM") + 10
        frames = int.from_bytes(data[comm : comm + 4], "big")
        data = data[:comm] + int(frames * (share or 0)).to_bytes(4, "big") + data[comm + 4 :]
    return data
