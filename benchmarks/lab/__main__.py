"""The lab: trains recipes one core each, judges them at fixed numbers of tracks, and keeps a table of the results.

    python -m benchmarks.lab run DATA RUNS [--plan base parts | --recipe NAME --seed 0,1,2] [--workers 2]
        [--precision float32]
    python -m benchmarks.lab show                       # what is done, and what is left of each plan
    python -m benchmarks.lab table RECIPE[:TRACKS]...   # readings, means over seeds with 95 % intervals, as Markdown
    python -m benchmarks.lab compare BETTER[:TRACKS] WORSE[:TRACKS]     # gaps to recordings and their ratio
    python -m benchmarks.lab draw PNG RECIPE...         # readings against core minutes and PFLOP
    python -m benchmarks.lab curve RUN CSV              # reports of any run of `mp3net train`

Without TRACKS a recipe's last judged number of tracks counts. DATA is prepared for 11,008 Hz, mono
(examples/bach_chorales). Each run has one thread and a core of its own at the lowest priority, so two go on side by side
and one beside other work. Stopped or killed, the same command goes on. Results lie in benchmarks/lab: results.csv, curves/
(reports of each run) and pictures/ (spectrograms of the songs of eight fixed seeds).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from mp3net.errors import Mp3netError
from mp3net.machine import usable_cpus

from .recipes import PLANS, RECIPES
from .table import COST_FILE, FOLDER, TABLE, found, rows_of

ROOT = Path(__file__).parents[2]
NICENESS = 19
POLL_S = 2.0
PROGRESS_S = 60.0


def wanted(options: argparse.Namespace) -> list[tuple[str, int]]:
    """The runs that the command line names, in order."""
    if options.recipe:
        return [(options.recipe, seed) for seed in options.seed]
    return [(name, seed) for plan in options.plan for name, seeds in PLANS[plan] for seed in range(seeds)]


def finished(name: str, seed: int, results: Path) -> bool:
    rows = found(rows_of(results / TABLE), name, seed)
    return RECIPES[name].tracks in rows or any(row["ended"] for row in rows.values())


def start(name: str, seed: int, core: int, options: argparse.Namespace) -> subprocess.Popen[bytes]:
    options.runs.mkdir(parents=True, exist_ok=True)
    log = (options.runs / f"{name}-{seed}.log").open("ab")
    command = [sys.executable, "-m", "benchmarks.lab", "one", name, str(seed)]
    command += [str(options.data.resolve()), str(options.runs.resolve())]

    def settle() -> None:
        os.nice(NICENESS)
        os.sched_setaffinity(0, {core})

    command += ["--results", str(options.results.resolve()), "--precision", options.precision]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, preexec_fn=settle, env=environment)


def progress(name: str, seed: int, runs: Path) -> str:
    """How far a run is, or the run that it begins with, and how much processor time that stage still needs."""
    recipe = RECIPES[name]
    path = runs / f"{name}-{seed}" / COST_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if not lines and recipe.begins_with:
        return progress(recipe.begins_with, seed, runs)
    if not lines:
        return f"{name}, seed {seed}: starting"
    costs = [json.loads(line) for line in lines]
    seen, minutes = costs[-1]["tracks_seen"], sum(line["core_s"] for line in costs) / 60
    left = max(recipe.tracks - seen, 0) / seen * minutes
    return f"{name}, seed {seed}: {seen:,} of {recipe.tracks:,} tracks, {minutes:.0f} core minutes, {left:.0f} left"


def run(options: argparse.Namespace) -> int:
    """All runs that are wanted and not finished, as many at a time as there are workers. Returns the number that failed."""
    left = [job for job in wanted(options) if not finished(*job, options.results)]
    cores = sorted(os.sched_getaffinity(0))
    free = [cores[number % len(cores)] for number in range(options.workers)]
    at_work: dict[subprocess.Popen[bytes], tuple[str, int, int]] = {}
    failed, told = 0, time.monotonic()
    try:
        while left or at_work:
            while left and free:
                (name, seed), core = left.pop(0), free.pop(0)
                at_work[start(name, seed, core, options)] = (name, seed, core)
                print(f"{time.strftime('%H:%M:%S')} {name}, seed {seed}: begun, {len(left)} left", flush=True)
            time.sleep(POLL_S)
            if time.monotonic() - told >= PROGRESS_S:
                told = time.monotonic()
                for name, seed, _ in at_work.values():
                    print(f"{time.strftime('%H:%M:%S')} {progress(name, seed, options.runs)}", flush=True)
            for process in [process for process in at_work if process.poll() is not None]:
                name, seed, core = at_work.pop(process)
                free.append(core)
                failed += process.returncode != 0
                ended = "done" if process.returncode == 0 else f"failed, see {options.runs / f'{name}-{seed}.log'}"
                print(f"{time.strftime('%H:%M:%S')} {name}, seed {seed}: {ended}", flush=True)
    finally:
        for process in at_work:
            process.terminate()
    return failed


def show(options: argparse.Namespace) -> None:
    """What is done of each plan; of runs that have not ended, how far their rows go."""
    rows = rows_of(options.results / TABLE)
    print(f"{'plan':8} {'recipe':24} {'finished':8}  question")
    for plan, jobs in PLANS.items():
        for name, seeds in jobs:
            done = [seed for seed in range(seeds) if finished(name, seed, options.results)]
            begun = {seed: max(found(rows, name, seed), default=0) for seed in range(seeds) if seed not in done}
            parts = [f"seed {seed} at {seen:,} of {RECIPES[name].tracks:,} tracks" for seed, seen in begun.items() if seen]
            question = RECIPES[name].question + (f" ({', '.join(parts)})" if parts else "")
            print(f"{plan:8} {name:24} {f'{len(done)} of {seeds}':8}  {question}")


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        prog="python -m benchmarks.lab", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = whole.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--results", type=Path, default=FOLDER, help="folder of the table, the curves and the pictures")
    common.add_argument(
        "--precision", choices=("bfloat16", "float32"), default="bfloat16", help="which of them is faster here"
    )
    many = commands.add_parser("run", parents=[common])
    many.add_argument("data", type=Path)
    many.add_argument("runs", type=Path, help="folder for the run directories")
    many.add_argument("--plan", choices=list(PLANS), nargs="+", default=list(PLANS))
    many.add_argument("--recipe", choices=list(RECIPES))
    many.add_argument("--seed", type=lambda text: [int(part) for part in text.split(",")], default=[0])
    many.add_argument("--workers", type=int, default=usable_cpus())
    one = commands.add_parser("one", parents=[common])
    one.add_argument("name", choices=list(RECIPES))
    one.add_argument("seed", type=int)
    one.add_argument("data", type=Path)
    one.add_argument("runs", type=Path)
    commands.add_parser("show", parents=[common])
    tabled = commands.add_parser("table", parents=[common])
    tabled.add_argument("recipes", type=named, nargs="+", metavar="RECIPE[:TRACKS]", help="default: all of its tracks")
    against = commands.add_parser("compare", parents=[common])
    against.add_argument("better", type=named, metavar="RECIPE[:TRACKS]", help="whose distances from recordings are divided")
    against.add_argument("worse", type=named, metavar="BASELINE[:TRACKS]", help="by those of this one: 0 is as recordings")
    drawn = commands.add_parser("draw", parents=[common])
    drawn.add_argument("png", type=Path)
    drawn.add_argument("recipes", nargs="+")
    kept = commands.add_parser("curve", help="the reports of any run of `mp3net train` as CSV")
    kept.add_argument("run", type=Path)
    kept.add_argument("csv", type=Path)
    return whole


def named(text: str) -> tuple[str, int | None]:
    """RECIPE or RECIPE:TRACKS."""
    name, _, tracks = text.partition(":")
    return name, int(tracks) if tracks else None


def report(options: argparse.Namespace) -> None:
    from . import reporting
    from .worker import keep_curve

    if options.command == "curve":
        keep_curve(options.run, options.csv)
        return
    rows = rows_of(options.results / TABLE)
    if options.command == "table":
        print(reporting.table(rows, options.recipes))
    elif options.command == "compare":
        print(reporting.compared(rows, options.better, options.worse))
    else:
        reporting.draw(rows, options.recipes, options.png)


def main() -> None:
    options = parser().parse_args()
    if options.command == "run":
        sys.exit(min(run(options), 1))
    if options.command == "one":
        from .worker import Run

        Run(options.name, options.seed, options.data, options.runs, options.results.resolve(), options.precision).finish()
    if options.command == "show":
        show(options)
    if options.command in ("table", "compare", "draw", "curve"):
        try:
            report(options)
        except Mp3netError as error:
            sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
