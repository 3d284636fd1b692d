"""Files that nobody should have to decode: what disks, downloads and malice make of recordings."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from tests.recordings import music, write_m4a

RATE = 22050
NAMES = [
    "音楽",
    "музыка",
    "موسيقى",
    "संगीत",
    "🎹🎶",
    "a\nb",
    "tab\there",
    " leading",
    "quote'\"",
    "-rf",
    "%s%n",
    "e\u0301",
    "x" * 200,
]


def good_files(folder: Path, seed: int) -> dict[str, bytes]:
    """Name -> content of one short recording in every format."""
    sound = music(1.5, RATE, 2, seed)
    scratch = folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    options = {
        "wav": {}, "w8.wav": {"subtype": "PCM_U8"}, "w64.wav": {"subtype": "DOUBLE"}, "rf.wav": {"format": "RF64"},
        "flac": {}, "ogg": {}, "mp3": {}, "aiff": {}, "caf": {}, "opus": {"format": "OGG", "subtype": "OPUS"},
        "au": {}, "w64": {},
    }  # fmt: skip
    files = {}
    for name, option in options.items():
        path = scratch / f"x.{name}"
        rate = 48000 if name == "opus" else RATE
        soundfile.write(path, sound, rate, **option)
        files[name] = path.read_bytes()
    write_m4a(scratch / "x.m4a", sound, RATE)
    files["m4a"] = (scratch / "x.m4a").read_bytes()
    return files


def write_hostile(folder: Path, count: int, seed: int = 0) -> set[bytes]:
    """Write `count` files; returns the names of those that are sound recordings and must be kept."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    files = good_files(folder, seed)
    kinds: list[Callable[[np.random.Generator, dict[str, bytes]], bytes]] = [
        truncated, flipped, flipped_head, misnamed, random_bytes, absurd_wav, repeated_head, text, zeros, many_channels,
    ]  # fmt: skip
    for number in range(count - 10 - len(NAMES)):
        kind = kinds[number % len(kinds)]
        extension = random.choice(list(files)).split(".")[-1]
        (folder / f"{kind.__name__}-{number}.{extension}").write_bytes(kind(random, files))
    kept = set()
    sound = music(1.2, RATE, 1, 99)
    for number, name in enumerate(NAMES):
        soundfile.write(folder / f"{name}.wav", music(1.2, RATE, 1, 100 + number), RATE)
        kept.add(os.fsencode(f"{name}.wav"))
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "folder loop").symlink_to(folder)
    (folder / "dangling.flac").symlink_to("/nowhere")
    os.mkfifo(folder / "pipe.wav")
    (folder / "empty.mp3").write_bytes(b"")
    soundfile.write(folder / "secret.wav", sound, RATE)
    (folder / "secret.wav").chmod(0)
    bad_name = os.fsdecode(b"not utf-8 \xff\xfe.wav")
    soundfile.write(folder / "plain.wav", music(1.2, RATE, 1, 98), RATE)
    (folder / "plain.wav").rename(folder / bad_name)
    kept.add(os.fsencode(bad_name))
    soundfile.write(folder / "eight.wav", np.repeat(sound, 8, 1), RATE)
    (folder / "nested" / "deep").mkdir(parents=True)
    (folder / "nested" / "deep" / "zip.flac").write_bytes(b"PK\x03\x04" + random.bytes(500))
    (folder / "looks like.wav").mkdir()
    return kept


def pick(random: np.random.Generator, files: dict[str, bytes]) -> bytes:
    return files[str(random.choice(list(files)))]


def truncated(random, files):
    data = pick(random, files)
    return data[: int(random.integers(1, len(data)))]


def flipped(random, files):
    data = bytearray(pick(random, files))
    for place in random.integers(0, len(data), int(random.integers(1, 200))):
        data[place] ^= 1 << int(random.integers(8))
    return bytes(data)


def flipped_head(random, files):
    data = bytearray(pick(random, files))
    for place in random.integers(0, 100, 8):
        data[place] = int(random.integers(256))
    return bytes(data)


def misnamed(random, files):
    return pick(random, files)


def random_bytes(random, files):
    return random.bytes(int(random.integers(1, 20_000)))


def repeated_head(random, files):
    data = pick(random, files)
    return data[:200] * 50 + data


def text(random, files):
    return "\n".join(["#EXTM3U", "file.mp3", "http://example.org/x", "ffconcat version 1.0", "file /dev/zero"] * 20).encode()


def zeros(random, files):
    return bytes(int(random.integers(1, 100_000)))


def absurd_wav(random, files):
    """A WAV header with impossible channels, rates, lengths and alignments before a little noise."""
    edge = [0, 1, 2, 3, 8, 255, 65535]
    rate = [0, 1, 7, 44100, 2**31 - 1, 2**32 - 1, 1_000_000]
    size = [0, 1, 100, 2**31 - 1, 2**32 - 1, 2**32 - 8]
    body = random.bytes(30_000)
    channels, bits = int(random.choice(edge)), int(random.choice([0, 1, 8, 16, 24, 32, 64, 65535]))
    form = struct.pack(
        "<HHIIHH", int(random.choice([0, 1, 3, 6, 17, 65534])), channels, int(random.choice(rate)),
        int(random.choice(rate)), int(random.choice(edge)), bits,
    )  # fmt: skip
    head = b"RIFF" + struct.pack("<I", int(random.choice(size))) + b"WAVEfmt " + struct.pack("<I", len(form)) + form
    return head + b"data" + struct.pack("<I", int(random.choice(size))) + body


def many_channels(random, files):
    return absurd_wav(random, files)[:22] + struct.pack("<H", 2) + struct.pack("<I", 44100) + random.bytes(5000)
