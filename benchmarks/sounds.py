"""The sounds of docs/: songs of the bundled snapshot and of others, and a recording with the faults of the ladder.

    python benchmarks/sounds.py docs/sounds --songs
    python benchmarks/sounds.py docs/sounds --of minute-6=RUN/checkpoints/tracks-000000008000 --of ...
    python benchmarks/sounds.py docs/sounds --ladder RECORDING --at SECONDS

RECORDING may be given away (examples/wesnoth_music); its licence belongs in docs/sounds/LICENCE.txt. Every browser plays
MP3 files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from pictures import save_small

from mp3net.audio.encoding import write
from mp3net.audio.reading import read
from mp3net.evaluation.ladder import FAULTS
from mp3net.figures import spectrogram_grid
from mp3net.generation import MP3net

SONG_S, EXCERPT_S, RATE_HZ = 20.0, 10.0, 22050
PEAK = 0.9
PICTURED_SEEDS = (7, 8)
FADE_S = 0.05


def songs(folder: Path) -> None:
    model = MP3net.from_pretrained()
    model.generate(seed=7, duration_s=60.0).save(folder / "a-minute.mp3")
    wanted = {
        "seed-7": {"seed": 7},
        "seed-8": {"seed": 8},
        "morph-7-to-8": {"seed": 7, "path": (8,)},
        "blend-7-and-8": {"seed": 7, "variation": 8, "strength": 0.5},
        "register-low": {"seed": 7, "sliders": {"register": -2.0}},
        "register-high": {"seed": 7, "sliders": {"register": 2.0}},
        "tempo-slower": {"seed": 7, "sliders": {"tempo": -1.0}},
        "tempo-faster": {"seed": 7, "sliders": {"tempo": 1.0}},
        "truncation-0.5": {"seed": 7, "truncation": 0.5},
    }
    for name, settings in wanted.items():
        model.generate(duration_s=SONG_S, **settings).save(folder / f"{name}.mp3")
        print(folder / f"{name}.mp3")


def songs_of(folder: Path, snapshots: dict[str, str], picture: Path | None) -> None:
    """Seed 7 of each; the picture has two seeds of each, one row below the other."""
    rows: list[tuple[str, list[np.ndarray]]] = []
    rate = 0
    for name, snapshot in snapshots.items():
        model = MP3net.from_pretrained(snapshot)
        rate = model.config.audio.sample_rate_hz
        made = [model.generate(seed, EXCERPT_S) for seed in PICTURED_SEEDS]
        made[0].save(folder / f"{name}.mp3")
        rows.append((name.replace("-", " "), [song.audio for song in made]))
        print(folder / f"{name}.mp3")
    if picture:
        save_small(spectrogram_grid(rows, rate), picture)


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
    parser.add_argument("--songs", action="store_true", help="those of the bundled snapshot")
    parser.add_argument("--of", action="append", default=[], metavar="NAME=SNAPSHOT", help="seed 7 of another snapshot")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="spectrograms of the songs of --of")
    parser.add_argument("--ladder", type=Path, metavar="RECORDING")
    parser.add_argument("--at", type=float, default=0.0, metavar="SECONDS", help="where in the recording")
    options = parser.parse_args()
    if options.songs:
        songs(options.folder)
    if options.of:
        songs_of(options.folder, dict(each.split("=", 1) for each in options.of), options.picture)
    if options.ladder:
        ladder(options.folder, options.ladder, options.at)


if __name__ == "__main__":
    main()
