"""Copy the latest snapshot of a run into the package, in half precision, with the card that says what it is.

python examples/bach_chorales/bundle.py RUN --recipe "mp3net2-nano, then mp3net2-6s" --hours 1.5 --cores 1
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from mp3net.files import read_json, write_json
from mp3net.model.snapshot import CONFIG_FILE, DISCRIMINATOR_FILE, GENERATOR_FILE, open_snapshot
from mp3net.model.weights import load_tensors, save_tensors

BUNDLED = Path(__file__).parents[2] / "src" / "mp3net" / "bundled"


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a run's latest snapshot the bundled one.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", default="chorales")
    parser.add_argument("--recipe", required=True, help="how it was trained, in a few words")
    parser.add_argument("--hours", type=float, required=True, help="hours of training, of all stages")
    parser.add_argument("--cores", type=int, required=True, help="CPU cores that they ran on")
    options = parser.parse_args()
    source = open_snapshot(options.run).folder
    shutil.rmtree(BUNDLED, ignore_errors=True)
    BUNDLED.mkdir()
    for name in (GENERATOR_FILE, DISCRIMINATOR_FILE):
        # Matrices only: levels and biases are few, and small numbers lose most.
        tensors = load_tensors(source / name)
        packed = {key: value.half() if value.ndim > 1 else value for key, value in tensors.items()}
        save_tensors(BUNDLED / name, packed)
    content = read_json(source / CONFIG_FILE)
    content["metadata"] |= {
        "name": options.name,
        "recipe": options.recipe,
        "training_hours": options.hours,
        "training_cores": options.cores,
        "data": "Bach chorales from music21's corpus, rendered with FluidSynth and the FluidR3 GM piano",
        "licence": "MIT; music in the public domain, soundfont MIT (see examples/bach_chorales in the source of mp3net)",
    }
    write_json(BUNDLED / CONFIG_FILE, content)
    print(f"{source} -> {BUNDLED}")


if __name__ == "__main__":
    main()
