"""Copy the latest snapshot of a run into the package, with the card that says what it is.

python examples/bach_chorales/bundle.py RUN --hours 1.5
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from mp3net.files import read_json, write_json
from mp3net.model.snapshot import CONFIG_FILE, open_snapshot

BUNDLED = Path(__file__).parents[2] / "src" / "mp3net" / "bundled"


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a run's latest snapshot the bundled one.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--hours", type=float, required=True, help="hours of training on two CPU cores")
    options = parser.parse_args()
    source = open_snapshot(options.run).folder
    shutil.rmtree(BUNDLED, ignore_errors=True)
    shutil.copytree(source, BUNDLED)
    content = read_json(BUNDLED / CONFIG_FILE)
    content["metadata"] |= {
        "name": "chorales-nano",
        "recipe": "nano-1.5s: the paper's recipe at a size for two CPU cores",
        "training_hours_on_2_cores": options.hours,
        "data": "Bach chorales from music21's corpus, rendered with FluidSynth and the FluidR3 GM piano",
        "licence": "MIT; music in the public domain, soundfont MIT (examples/bach_chorales/README.md)",
    }
    write_json(BUNDLED / CONFIG_FILE, content)
    print(f"{source} -> {BUNDLED}")


if __name__ == "__main__":
    main()
