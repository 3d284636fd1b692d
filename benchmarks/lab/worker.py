"""One run of the lab: train to the next mark, judge, add the row, and so on. Goes on where it was stopped."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mp3net.config import Config, override
from mp3net.data.dataset import CropDataset
from mp3net.errors import Mp3netError
from mp3net.files import replacing, write_text
from mp3net.generation import MP3net
from mp3net.model.snapshot import Snapshot, open_snapshot
from mp3net.training.checkpoint import RunDirectory, saved_checkpoints
from mp3net.training.memory import keep_freed_memory
from mp3net.training.origin import Origin
from mp3net.training.plan import flop_per_track
from mp3net.training.trainer import Trainer
from mp3net.training.watcher import Watcher

from .judges import FLOOR_SEED, REFERENCE_SEED, Judge, picture, real_clips, songs
from .recipes import RECIPES, Recipe
from .table import COST_FILE, READINGS, TABLE, Row, add, found, rows_of

PICTURED = 8
CURVE = (
    "score/gap", "penalty/gradient", "loss/generator", "distance/wasserstein", "level_db/real", "level_db/generated",
    "evaluation/octave_flatness", "evaluation/octave_flatness_spread", "evaluation/kernel_logmel",
    "evaluation/coverage_logmel", "evaluation/level_error_db", "evaluation/checkerboard_db",
)  # fmt: skip
# Seconds and number of the clips that tracks of about that length are judged by: the same samples whatever the bins.
CLIPS = {"1.5s": (1.46, 256), "6s": (5.9, 128)}
REAL = "recordings"
"""Training clips in the place of generated ones: no recipe can be asked for more."""


class CostWatcher(Watcher):
    """Keeps the processor time of training beside the run, a line for every report. Judging and starting do not count."""

    def __init__(self, run: Path, tracks_seen: int) -> None:
        self.path = run / COST_FILE
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        kept = [line for line in lines if json.loads(line)["tracks_seen"] <= tracks_seen]
        write_text(self.path, "".join(f"{line}\n" for line in kept))
        self._since = time.process_time()

    def logged(self, tracks_seen: int, readings: Mapping[str, float]) -> None:
        now = time.process_time()
        line = json.dumps({"tracks_seen": tracks_seen, "core_s": now - self._since})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
        self._since = now


def core_minutes(run: Path, tracks_seen: int) -> float:
    """Processor time that training needed up to `tracks_seen`."""
    lines = [json.loads(line) for line in (run / COST_FILE).read_text(encoding="utf-8").splitlines()]
    return sum(line["core_s"] for line in lines if line["tracks_seen"] <= tracks_seen) / 60


class Run:
    """A recipe with a seed, on a dataset, with its folder under `runs` and its results in `results`."""

    def __init__(self, name: str, seed: int, data: Path, runs: Path, results: Path, precision: str) -> None:
        self.name, self.seed, self.data, self.runs, self.results = name, seed, data, runs, results
        self.recipe: Recipe = RECIPES[name]
        self.config = self.recipe.config(seed, precision)
        self.folder = self.runs / f"{name}-{seed}"
        self.table = results / TABLE
        self.code = code()  # now, before anything can be changed under a run that takes hours

    def finish(self) -> None:
        """Everything that is missing of the run and its rows."""
        torch.set_num_threads(1)
        keep_freed_memory()
        beginning = self._beginning()  # outside, because the run before makes the change of its own recipe
        torch.manual_seed(self.seed)  # for layers of changed code that draw their own beginnings
        with self.recipe.change():
            judge = judge_for(self.config, self.data, self.table)
            for mark in self.recipe.judged_at():
                rows = found(rows_of(self.table), self.name, self.seed)
                if any(row["digest"] != self.recipe.digest for row in rows.values()):
                    raise Mp3netError(
                        f"{self.table}: its rows of {self.name} are of another recipe; give this one a new name"
                    )
                if any(row["ended"] for row in rows.values()):
                    return
                ended = self._train(mark, beginning)
                if mark not in rows and not ended and self._reached() > mark + self._slack:
                    print(f"{self.name}, seed {self.seed}: no row of {mark:,} tracks, the run has gone on", flush=True)
                elif mark not in rows:
                    self._report(mark, judge, ended)
                if ended:
                    return

    @property
    def _slack(self) -> int:
        """A step of the paper's recipe sees two batches, and so ends up to this far behind a mark."""
        return 2 * self.config.optimiser.batch_size - 1

    def _reached(self) -> int:
        """Tracks seen at the latest checkpoint."""
        return int(saved_checkpoints(self.folder)[-1].name.rpartition("-")[2])

    def _before(self) -> Run | None:
        """The run that is the beginning of this one."""
        name, precision = self.recipe.begins_with, self.config.optimiser.precision
        return Run(name, self.seed, self.data, self.runs, self.results, precision) if name else None

    def _beginning(self) -> Snapshot | None:
        """The snapshot to begin with; made first if its run is not there."""
        before = self._before()
        if before is None or saved_checkpoints(self.folder):
            return None
        before.finish()
        return open_snapshot(before.folder)

    def _train(self, mark: int, beginning: Snapshot | None) -> str:
        """Train up to `mark` tracks; returns why training ended before, or nothing."""
        config = override(self.config, [f"run.total_tracks={mark}"])
        dataset = CropDataset(self.data, config.track_samples, augment=config.augment)
        directory = RunDirectory(self.folder, Origin(config, dataset.fingerprint, str(self.data.resolve())))
        try:
            trainer = Trainer(config, dataset, directory, torch.device("cpu"), init_from=beginning)
            trainer.run(CostWatcher(self.folder, trainer.state.tracks_seen))
        except Mp3netError as error:
            if not str(error).startswith("training stopped"):
                raise
            return str(error).partition("; ")[0]
        return ""

    def _cost(self, mark: int) -> tuple[float, float]:
        """Core minutes and PFLOP up to a mark, with those of the run that was the beginning."""
        before = self._before()
        minutes, petaflop = before._cost(before.recipe.tracks) if before else (0.0, 0.0)
        minutes += core_minutes(self.folder, mark + self._slack)
        return minutes, petaflop + flop_per_track(self.config) * mark / 1e15

    def _report(self, mark: int, judge: Judge, ended: str) -> None:
        minutes, petaflop = self._cost(mark)
        facts: Row = {
            "recipe": self.name, "seed": self.seed, "tracks_seen": mark, "digest": self.recipe.digest, "code": self.code,
            "precision": self.config.optimiser.precision,
            "core_minutes": minutes, "petaflop": petaflop, "ended": ended,
        }  # fmt: skip
        readings: dict[str, float | None] = dict.fromkeys(READINGS)
        if not ended:
            model = MP3net.from_pretrained(self.folder)
            samples = judge.heldout.shape[-1]
            duration_s = samples / judge.rate if self.config.model.kind != "paper" else None
            audio = songs(model, duration_s, len(judge.heldout))
            readings |= {name: value for name, value in judge(audio[..., :samples]).items() if name in READINGS}
            if mark == self.recipe.tracks:
                self._draw(model, duration_s, samples)
        keep_curve(self.folder, self.results / "curves" / f"{self.name}-{self.seed}.csv")
        add(self.table, facts | readings)
        print(facts | readings, flush=True)

    def _draw(self, model: MP3net, duration_s: float | None, samples: int) -> None:
        clips = songs(model, duration_s, PICTURED, first_seed=1)[..., :samples]
        save_picture(self.results / "pictures" / f"{self.name}-{self.seed}.png", clips, self.config.audio.sample_rate_hz)


def keep_curve(run: Path, path: Path) -> None:
    """The reports of a training, its evaluations among them, as a CSV file: a line for each number of tracks seen.

    Errors: Mp3netError if it has no reports.
    """
    metrics = run / "metrics.jsonl"
    if not metrics.is_file():
        raise Mp3netError(f"{metrics}: no such file; expected a run directory that `mp3net train` wrote")
    reports: dict[int, dict[str, float]] = {}
    for line in metrics.read_text(encoding="utf-8").splitlines():
        report = json.loads(line)
        reports.setdefault(report["tracks_seen"], {}).update(report)
    names = [name for name in CURVE if any(name in report for report in reports.values())]
    rows = [
        [str(seen), *(f"{report[name]:.5g}" if name in report else "" for name in names)] for seen, report in reports.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(f"{','.join(row)}\n" for row in [["tracks_seen", *names], *rows]))


def judge_for(config: Config, data: Path, table: Path) -> Judge:
    """The judge of clips as long as the recipe's tracks, whatever its bins, and the rows of recordings in their place."""
    rate = config.audio.sample_rate_hz
    length = "6s" if config.track_duration_s > 3 else "1.5s"
    clip_s, clips = CLIPS[length]
    samples = round(clip_s * rate)
    judge = Judge(real_clips(data, "heldout", samples, clips, REFERENCE_SEED), rate, notes=True)
    name = f"{REAL}-{length}"
    for seed in range(3):
        if not found(rows_of(table), name, seed):
            audio = real_clips(data, "train", samples, clips, FLOOR_SEED + seed)
            facts: Row = {"recipe": name, "seed": seed, "tracks_seen": 0, "digest": "", "code": code(), "ended": ""}
            facts |= {"core_minutes": 0.0, "petaflop": 0.0, "precision": ""}
            readings = {name: value for name, value in judge(audio).items() if name in READINGS}
            try:
                add(table, facts | readings)
            except Mp3netError:
                continue  # the process beside this one has been faster
            if seed == 0:
                save_picture(table.parent / "pictures" / f"{name}.png", audio[:PICTURED], rate)
    return judge


def save_picture(path: Path, clips: np.ndarray, rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        Image.fromarray(picture(list(clips), rate)).quantize(16).save(unfinished, "PNG", optimize=True)


def code() -> str:
    """The commit of the code that runs, with a plus sign if its files differ from it."""
    here = Path(__file__).parents[2]
    show = ["git", "-C", str(here), "describe", "--always", "--abbrev=8", "--dirty=+", "--exclude=*"]
    return subprocess.run(show, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
