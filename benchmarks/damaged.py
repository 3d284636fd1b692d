"""Damaged but playable files: how much of each is kept, against FFmpeg's command line as an independent judge.

    python benchmarks/damaged.py RECORDING.flac [--files 300]

Prints the lines of docs/results.md. Needs `ffmpeg`, `lame`, `oggenc`, `opusenc` and `flac`. Each file is a half minute of
the recording in one format with one fault at a random place; files whose lengths differ are listed. The judge, too, is told
to leave out frames whose checksum is wrong.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mp3net.audio.decoding import Decoder, UnusableAudioError

RATE = 44100
MOST_DIFFERENCE = 0.01
FORMATS = {
    "wav": "ffmpeg -y -i {in} {out}", "aiff": "ffmpeg -y -i {in} {out}", "w64": "ffmpeg -y -i {in} {out}",
    "flac": "flac -f -o {out} {in}", "pipe.flac": "ffmpeg -i {in} -f flac - | cat > {out}",
    "vbr.mp3": "lame -V 4 {in} {out}", "cbr.mp3": "lame -b 128 {in} {out}", "bare.mp3": "lame -t -V 4 {in} {out}",
    "pipe.mp3": "ffmpeg -i {in} -q:a 3 -f mp3 - | cat > {out}", "ogg": "oggenc {in} -o {out}",
    "opus": "opusenc {in} {out}", "m4a": "ffmpeg -y -i {in} -movflags +faststart {out}",
    "alac.m4a": "ffmpeg -y -i {in} -c:a alac -movflags +faststart {out}", "aac": "ffmpeg -y -i {in} {out}",
    "mka": "ffmpeg -y -i {in} {out}", "wma": "ffmpeg -y -i {in} {out}", "wv": "ffmpeg -y -i {in} {out}",
    "ac3": "ffmpeg -y -i {in} {out}",
}  # fmt: skip
Fault = Callable[[bytes, bytes, np.random.Generator], bytes]


def whole(data: bytes, other: bytes, random: np.random.Generator) -> bytes:
    return data


def cut(data: bytes, other: bytes, random: np.random.Generator) -> bytes:
    return data[: int(random.uniform(0.2, 0.98) * len(data))]


def overwritten(data: bytes, other: bytes, random: np.random.Generator) -> bytes:
    place, count = int(random.uniform(0.1, 0.9) * len(data)), int(random.uniform(50, 8000))
    return data[:place] + random.bytes(count) + data[place + count :]


def zeroed(data: bytes, other: bytes, random: np.random.Generator) -> bytes:
    place, count = int(random.uniform(0.1, 0.9) * len(data)), int(random.uniform(50, 8000))
    return data[:place] + bytes(min(count, len(data) - place)) + data[place + count :]


def flipped(data: bytes, other: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for place in random.integers(len(data) // 10, len(data), 5):
        changed[place] ^= 1 << int(random.integers(8))
    return bytes(changed)


def joined(data: bytes, other: bytes, random: np.random.Generator) -> bytes:
    return data + other


FAULTS: list[Fault] = [whole, cut, overwritten, zeroed, flipped, joined]


def judge_s(path: Path) -> float:
    """Seconds that FFmpeg's command line decodes."""
    command = ["ffmpeg", "-loglevel", "quiet", "-err_detect", "crccheck+explode", "-i", str(path), "-map", "0:a:0"]
    output = ["-f", "s16le", "-ac", "1", "-ar", str(RATE), "-"]
    return len(subprocess.run([*command, *output], capture_output=True).stdout) / 2 / RATE


def ours_s(path: Path) -> tuple[float, str]:
    decoder = Decoder(path)
    try:
        seconds = sum(len(block) / rate for rate, block in decoder.blocks())
    except UnusableAudioError as error:
        return 0.0, str(error)
    return seconds, str(decoder.damage)


def encode(recording: Path, folder: Path) -> dict[str, tuple[bytes, bytes]]:
    """Format -> the recording's first half minute, and ten seconds that follow, in another form where the format has one."""
    made = {}
    for number, part in enumerate((["-t", "30"], ["-ss", "30", "-t", "10"])):
        plain = folder / f"part-{number}.wav"
        subprocess.run(["ffmpeg", "-loglevel", "quiet", "-y", "-i", str(recording), *part, str(plain)], check=True)
    for name, command in FORMATS.items():
        found = []
        for number in range(2):
            out = folder / f"{number}.{name}"
            line = command.replace("{in}", str(folder / f"part-{number}.wav")).replace("{out}", str(out))
            subprocess.run(["sh", "-c", f"({line}) > /dev/null 2>&1"], check=True)
            found.append(out.read_bytes())
        made[name] = (found[0], found[1])
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--files", type=int, default=300)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        made = encode(options.recording, Path(name))
        for number in range(options.files):
            form, fault = list(made)[number % len(made)], FAULTS[number // len(made) % len(FAULTS)]
            path = Path(name) / f"{number}-{fault.__name__}.{form}"
            path.write_bytes(fault(*made[form], np.random.default_rng(number)))
            wanted_s, (found_s, said) = judge_s(path), ours_s(path)
            share = (found_s - wanted_s) / max(wanted_s, found_s, 1e-9)
            kind = "equal" if abs(share) <= MOST_DIFFERENCE else "more" if share > 0 else "less"
            counts[kind] += 1
            if kind != "equal":
                print(f"{kind}: {path.name}: {found_s:.2f} s, judge {wanted_s:.2f} s; {said}", flush=True)
    said = f"{counts['equal']} within 1 % of the judge, {counts['more']} longer, {counts['less']} shorter"
    print(f"{options.files} files: {said}")


if __name__ == "__main__":
    main()
