"""The sounds of docs/sounds.md: songs of the bundled snapshot, and a recording with the faults of the evaluation's ladder.

    python benchmarks/sounds.py docs/sounds RECORDING --at SECONDS

RECORDING may be given away (examples/wesnoth_music); its licence belongs into docs/sounds/LICENCE.txt. Every browser plays
MP3 files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from mp3net.audio.encoding import write
from mp3net.audio.reading import read
from mp3net.evaluation.ladder import FAULTS
from mp3net.generation import MP3net

SONG_S, EXCERPT_S, RATE_HZ = 20.0, 10.0, 22050
PEAK = 0.9
FADE_S = 0.05


def songs(folder: Path) -> None:
    model = MP3net.from_pretrained()
    wanted = {
        "seed-7": {"seed": 7},
        "seed-8": {"seed": 8},
        "morph-7-to-8": {"seed": 7, "path": (8,)},
        "blend-7-and-8": {"seed": 7, "variation": 8, "strength": 0.5},
        "register-low": {"seed": 7, "sliders": {"register": -2.0}},
        "register-high": {"seed": 7, "sliders": {"register": 2.0}},
        "truncation-0.5": {"seed": 7, "truncation": 0.5},
    }
    for name, settings in wanted.items():
        model.generate(duration_s=SONG_S, **settings).save(folder / f"{name}.mp3")
        print(folder / f"{name}.mp3")


def ladder(folder: Path, recording: Path, at_s: float) -> None:
    sound, rate = read(recording, RATE_HZ, 1)
    excerpt = sound[:, round(at_s * rate) :][:, : round(EXCERPT_S * rate)]
    excerpt = excerpt * (PEAK / np.abs(excerpt).max())
    ramp = np.linspace(0, 1, round(FADE_S * rate), dtype=np.float32)
    heard = {"real": excerpt} | {
        rung.name.replace(" ", "-"): rung.fault(excerpt, rate, np.random.default_rng(0))
        for rung in FAULTS
        if rung.fault is not None and rung.name != "silence"
    }
    for name, made in heard.items():
        made = made * min(1.0, PEAK / np.abs(made).max())
        made[:, : len(ramp)] *= ramp
        made[:, -len(ramp) :] *= ramp[::-1]
        write(folder / f"ladder-{name}.mp3", made.astype(np.float32), rate, "mp3")
        print(folder / f"ladder-{name}.mp3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--at", type=float, default=0.0, metavar="SECONDS")
    options = parser.parse_args()
    songs(options.folder)
    ladder(options.folder, options.recording, options.at)


if __name__ == "__main__":
    main()
