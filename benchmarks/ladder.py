"""The ladder of a dataset: a table in Markdown and the picture.

    python benchmarks/ladder.py DATA --out docs/images/ladder.png [--seconds 6] [--samples 128] [--measures ...]

What is judged beside it are other clips of the training recordings.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import soundfile

from mp3net.evaluation.clips import real_sets
from mp3net.evaluation.ladder import RUNGS
from mp3net.evaluation.report import ladder_table, number
from mp3net.evaluation.session import Evaluation, evaluate
from mp3net.figures import ladder_chart, save_png


def write_clips(data: Path, folder: Path, samples: int, seconds: float) -> None:
    rate = real_sets(data, 32, 11008, 0).config.sample_rate_hz
    chosen = real_sets(data, samples, round(seconds * rate), 1).training
    for index in range(len(chosen)):
        soundfile.write(folder / f"{index:04d}.flac", chosen.read(index).T, rate)


def print_table(evaluation: Evaluation) -> None:
    """Values by metric and rung; in brackets where the rung cannot be told from real."""
    rungs = [rung.name for rung in RUNGS]
    print("| metric |", " | ".join(rungs), "|")
    print("|---" * (len(rungs) + 1) + "|")
    for result in evaluation.results:
        cells = []
        for rung in rungs:
            score = result.ladder.get(rung)
            if score is None:
                cells.append("")
                continue
            text = number(score.value.value)
            cells.append(text if score.deviation.low > result.floor.deviation.high else f"({text})")
        print(f"| {result.metric.name} |", " | ".join(cells), "|")
    weak = {result.metric.name: result.unseen for result in evaluation.results if result.unseen}
    print("claims not met:", weak or "none")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--measures")
    arguments = parser.parse_args()
    measures = arguments.measures.split(",") if arguments.measures else None
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_clips(arguments.data, folder, arguments.samples, arguments.seconds)
        evaluation = evaluate(folder, arguments.data, arguments.samples, arguments.seconds, measures=measures)
    print(f"{len(evaluation.real.reference)} clips of {arguments.seconds:g} s per set")
    for warning in evaluation.warnings:
        print(f"warning: {warning}")
    print_table(evaluation)
    table = ladder_table(evaluation)
    for row in table.values():
        del row["judged"]
    save_png(ladder_chart(table), arguments.out)


if __name__ == "__main__":
    main()
