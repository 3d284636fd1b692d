"""Copy the latest snapshot of a run into the package, in half precision, and write the card that says what it is.

    python examples/bach_chorales/bundle.py RUN --recipe "mp3net2-nano, then mp3net2-6s" --cores 1
    mp3net evaluate --data DATA --out REPORT
    mp3net evaluate --data DATA --seconds 24 --samples 96 --measures structure,logmel --out LONG_REPORT
    python examples/bach_chorales/bundle.py --card REPORT/report.json LONG_REPORT/report.json

Hours of one core, floating-point operations and curves are those of the run and of what it began with, and go into the
snapshot's metadata, so that a later run that begins with it knows them. The report can only be made of what is bundled, so
the card comes last.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from mp3net.apps.curves import judged_in
from mp3net.export.card import LIMITS, Card, curve, readings
from mp3net.files import read_json, write_json, write_text
from mp3net.model.snapshot import CONFIG_FILE, DISCRIMINATOR_FILE, GENERATOR_FILE, Snapshot, open_snapshot
from mp3net.model.weights import load_tensors, save_tensors
from mp3net.training.stages import STAGES, after_each_other, stages_of

BUNDLED = Path(__file__).parents[2] / "src" / "mp3net" / "bundled"
PIANO_ONLY = (
    "It plays one piano, in the manner of four-part chorales, mono at 11 kHz. It has no melody; its sections do not return, "
    "and its phrases do not end. " + LIMITS
)


def bundle(snapshot: Snapshot, options: argparse.Namespace) -> None:
    shutil.rmtree(BUNDLED, ignore_errors=True)
    BUNDLED.mkdir()
    for name in (GENERATOR_FILE, DISCRIMINATOR_FILE):
        # Matrices only: levels and biases are few, and small numbers lose most.
        tensors = load_tensors(snapshot.folder / name)
        packed = {key: value.half() if value.ndim > 1 else value for key, value in tensors.items()}
        save_tensors(BUNDLED / name, packed)
    content = read_json(snapshot.folder / CONFIG_FILE)
    stages = stages_of(snapshot)
    first = len(stages) - len(options.cores)
    if first < 0:
        raise SystemExit(f"--cores has {len(options.cores)} numbers, but only {len(stages)} runs led to {snapshot.folder}")
    stages[first:] = [stage.on_cores(cores) for stage, cores in zip(stages[first:], options.cores, strict=True)]
    stages = after_each_other(stages)
    content["metadata"] |= {
        "name": options.name,
        "recipe": options.recipe,
        "training_hours": round(stages[-1].hours, 2),
        "training_cores": 1,
        "training_flop": f"{sum(stage.flop for stage in stages):.2g}",
        STAGES: [stage.to_json() for stage in stages],
        "data": "Bach chorales from music21's corpus, rendered with FluidSynth and the FluidR3 GM piano",
        "licence": "MIT; music in the public domain, soundfont MIT (see examples/bach_chorales in the source of mp3net)",
    }
    write_json(BUNDLED / CONFIG_FILE, content)
    print(f"{snapshot.folder} -> {BUNDLED}: {stages[-1].hours:.2f} hours")


def write_card(reports: list[Path]) -> None:
    snapshot = open_snapshot(BUNDLED)
    found = []
    for report in reports:
        found += [f"Clips of {read_json(report)['clips']['length_s']:.1f} s:", "", *readings(report, snapshot.digest), ""]
    card = Card(
        snapshot,
        BUNDLED.name,
        opened_by="",
        readings=found[:-1],
        curve=curve(judged_in(stages_of(snapshot))),
        limits=PIANO_ONLY,
    )
    write_text(BUNDLED / "README.md", card.text())
    print(BUNDLED / "README.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--name", default="chorales")
    parser.add_argument("--recipe", help="how it was trained, in a few words")
    help_cores = "CPU cores that the last runs had, the latest last; hours are those of one core"
    parser.add_argument("--cores", type=int, nargs="+", help=help_cores)
    help_card = "write the card of what is bundled, with these reports"
    parser.add_argument("--card", type=Path, nargs="+", metavar="REPORT_JSON", help=help_card)
    options = parser.parse_args()
    if options.card:
        write_card(options.card)
    elif options.run and options.recipe and options.cores:
        bundle(open_snapshot(options.run), options)
    else:
        parser.error("RUN, --recipe and --cores, or --card")


if __name__ == "__main__":
    main()
