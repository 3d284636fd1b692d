"""The lab: its table, its recipes, and a run that is killed on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.lab import recipes, reporting, table, worker
from benchmarks.lab.__main__ import finished, progress
from benchmarks.lab.recipes import PLANS, RECIPES, Recipe
from mp3net.config import DataConfig, preset
from mp3net.data.dataset import CropDataset
from mp3net.data.preparation import prepare
from mp3net.data.recordings import below
from mp3net.errors import Mp3netError
from mp3net.model.snapshot import DISCRIMINATOR_FILE, open_snapshot
from mp3net.model.weights import load_tensors
from mp3net.training.plan import flop_per_track
from mp3net.training.trainer import Trainer
from tests.recordings import write_folder

ROOT = Path(__file__).parents[1]
SMALL = (
    "audio.sample_rate_hz=8000", "audio.num_bins=32", "model.width=16", "model.deep_width=16", "model.attention_heads=1",
    "model.global_dim=4", "model.local_dim=4", "model.noise_channels=1", "optimiser.batch_size=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab")
    write_folder(folder / "in")
    prepare(below(folder / "in"), folder / "data", DataConfig(sample_rate_hz=8000, channels=1, heldout_share=0.4), 1)
    return folder / "data"


def row(recipe: str, seed: int, tracks: int, **readings: float) -> table.Row:
    facts = {"recipe": recipe, "seed": seed, "tracks_seen": tracks, "digest": "d", "code": "c", "precision": "float32"}
    return {**facts, "core_minutes": 1.5, "petaflop": 0.25, "ended": "", **dict.fromkeys(table.READINGS, 0.5), **readings}


def test_rows_come_back_as_they_were_added(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    first, second = row("a", 0, 8), {**row("a", 1, 8), "kernel_notes": None, "ended": "training stopped after 3 tracks"}
    table.add(path, first)
    table.add(path, second)
    assert table.rows_of(path) == [first, second]
    with pytest.raises(Mp3netError, match="a, 1, 8 already"):
        table.add(path, second)
    assert table.rows_of(path) == [first, second]


def test_processes_that_add_at_once_lose_no_row(tmp_path: Path) -> None:
    program = (
        "import json, sys; from pathlib import Path; from benchmarks.lab import table\n"
        "for n in range(10): table.add(Path(sys.argv[1]), json.loads(sys.argv[2]) | {'tracks_seen': n})"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "results.csv")]
    at_work = [subprocess.Popen([*command, json.dumps(row(name, 0, 0))], cwd=ROOT) for name in ("a", "b")]
    assert [process.wait(120) for process in at_work] == [0, 0]
    found = {(line["recipe"], line["tracks_seen"]) for line in table.rows_of(tmp_path / "results.csv")}
    assert found == {(name, n) for name in ("a", "b") for n in range(10)}


def test_the_digest_knows_what_changes_a_result() -> None:
    base = Recipe("?", "mp3net2-nano", 800)
    same = [replace(base, question="!", tracks=1600), replace(base, marks=2)]
    other = [
        replace(base, settings=("optimiser.beta2=0.9",)),
        replace(base, preset="mp3net2-6s"),
        replace(base, begins_with="family"),
        replace(base, change=recipes.changes.unexpanded),
    ]
    assert {recipe.digest for recipe in same} == {base.digest}
    assert len({recipe.digest for recipe in [base, *other]}) == 5


@pytest.mark.parametrize(("recipe", "name"), [("song-52-styled", "mp3net2-nano"), ("song-6s-later", "mp3net2-6s")])
def test_the_presets_are_the_best_recipe(recipe: str, name: str) -> None:
    """But for the schedule of the rate, which depends on the number of tracks, and what songs are drawn to, which came later."""
    best, offered = RECIPES[recipe].config(0), preset(name)
    assert best.model == offered.model.model_copy(
        update={
            "beat_clocks": 0,
            "keys": 0,
            "loudness_gain": 1.0,
            "tuning_harmonics": 0,
            "movement_lags": (),
            "loudness_lags": (),
            "interval_lags": (),
        }
    )
    assert best.objective == offered.objective
    assert best.audio == offered.audio
    same = {"learning_rate_schedule": ()}
    assert best.optimiser.model_copy(update=same) == offered.optimiser.model_copy(update=same)


def test_intervals_are_students() -> None:
    assert reporting.interval([1.0, 2.0, 3.0]) == pytest.approx((2.0, 4.302653 / 3**0.5), rel=1e-6)
    assert reporting.interval([5.0]) == (5.0, float("inf"))


def test_gaps_are_compared_with_the_recordings_and_intervals_must_be_apart() -> None:
    rows = [row("recordings-1.5s", seed, 0, level_error_db=0.4, confident_share=0.028) for seed in range(3)]
    rows += [row("paper", seed, 8, level_error_db=5.0 + seed / 10, confident_share=0.0) for seed in range(3)]
    rows += [row("family", seed, 8, level_error_db=0.7 + seed / 10, confident_share=0.01 * seed) for seed in range(3)]
    lines = {line.split(" | ")[0]: line for line in reporting.compared(rows, ("family", 8), ("paper", None)).splitlines()}
    assert lines["| level error, dB"].endswith("| 4.70 ± 0.25 | 0.40 ± 0.25 | 0.09 | yes |")
    assert lines["| confident note cells, %"].endswith("| no |")
    with pytest.raises(Mp3netError, match="family: was not judged at 9 tracks, but at 8"):
        reporting.at(rows, "family", 9)
    shown = reporting.table(rows, [("family", None)])
    assert "| recordings-1.5s | 3 | 0 |" in shown
    assert "| 0.80 ± 0.25 |" in shown


def test_recipes_that_are_no_longer_listed_are_still_compared_and_one_seed_has_no_interval() -> None:
    rows = [row("recordings-1.5s", seed, 0, level_error_db=0.4) for seed in range(3)]
    rows += [row("retired", 0, 8, level_error_db=0.6), *(row("paper", seed, 16, level_error_db=5.4) for seed in range(2))]
    lines = reporting.compared(rows, ("retired", None), ("paper", None)).splitlines()
    assert lines[0] == "| distance from recordings | paper, 16 tracks | retired, 8 tracks | ratio | intervals apart |"
    assert any(line.startswith("| level error, dB") and line.endswith("| 0.04 | none: one seed |") for line in lines)
    assert "| retired | 1 | 8 |" in reporting.table(rows, [("retired", None)])


def test_recipes_judged_by_clips_of_different_length_are_not_compared() -> None:
    rows = [row(name, 0, 0) for name in ("recordings-1.5s", "recordings-6s", "paper", "paper-6s", "song-6s")]
    assert reporting.compared(rows, ("song-6s", None), ("paper-6s", None))
    assert reporting.recordings_like("song-6s-retired") == "recordings-6s"
    with pytest.raises(Mp3netError, match="song-6s and paper were judged by clips of different length"):
        reporting.compared(rows, ("song-6s", None), ("paper", None))


def test_progress_is_of_the_stage_that_runs(tmp_path: Path) -> None:
    def costs(name: str, *lines: tuple[int, float]) -> None:
        (tmp_path / name).mkdir()
        text = "".join(json.dumps({"tracks_seen": seen, "core_s": seconds}) + "\n" for seen, seconds in lines)
        (tmp_path / name / table.COST_FILE).write_text(text)

    assert progress("song-6s", 1, tmp_path) == "song-small, seed 1: starting"
    costs("song-small-1", (800, 60.0), (6_500, 540.0))
    assert progress("song-6s", 1, tmp_path) == "song-small, seed 1: 6,500 of 26,000 tracks, 10 core minutes, 30 left"
    costs("song-6s-1", (3_400, 600.0))
    assert progress("song-6s", 1, tmp_path) == "song-6s, seed 1: 3,400 of 13,600 tracks, 10 core minutes, 30 left"


def test_what_was_not_run_is_said_in_a_line() -> None:
    command = [sys.executable, "-m", "benchmarks.lab", "table", "nonsense"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 1
    assert said.stderr == "error: nonsense: the table has no row of it; `python -m benchmarks.lab show` says what is done\n"
    said = subprocess.run([*command[:-1], "song-haf"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "error: song-haf: the table has no row of it; did you mean song-half or " in said.stderr


def test_a_curve_has_a_line_for_each_number_of_tracks_and_the_last_word_counts(tmp_path: Path) -> None:
    reports = [
        {"tracks_seen": 8, "score/gap": 2.0, "loss/pairs": 1.0}, {"tracks_seen": 100_008, "score/gap": 3.0},
        {"tracks_seen": 100_008, "score/gap": 1.5}, {"tracks_seen": 100_008, "evaluation/kernel_logmel": 4.0},
    ]  # fmt: skip
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(report)}\n" for report in reports))
    command = [sys.executable, "-m", "benchmarks.lab", "curve", str(tmp_path), str(tmp_path / "curve.csv")]
    subprocess.run(command, cwd=ROOT, check=True)
    expected = "tracks_seen,score/gap,evaluation/kernel_logmel\n8,2,\n100008,1.5,4\n"
    assert (tmp_path / "curve.csv").read_text() == expected
    said = subprocess.run([*command[:-2], "nowhere", "x.csv"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (said.returncode, "error: nowhere/metrics.jsonl: no such file" in said.stderr) == (1, True)


def test_what_is_done_is_shown_with_how_far_the_rest_is(tmp_path: Path) -> None:
    table.add(tmp_path / table.TABLE, row("song-falling", 0, 16_000))
    table.add(tmp_path / table.TABLE, row("song-falling", 1, 8_000))
    command = [sys.executable, "-m", "benchmarks.lab", "show", "--results", str(tmp_path)]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0].split() == ["plan", "recipe", "finished", "question"]
    (shown,) = (line for line in lines if line.split()[:2] == ["matter", "song-falling"])
    assert " 1 of 3 " in shown
    assert shown.endswith("tracks (seed 1 at 8,000 of 16,000 tracks)")


def test_plans_name_recipes_and_shared_committed_rows_are_of_today() -> None:
    assert {name for jobs in PLANS.values() for name, _ in jobs} <= set(RECIPES)
    for line in table.rows_of(table.FOLDER / table.TABLE):
        if line["recipe"] in RECIPES:
            assert line["digest"] == RECIPES[line["recipe"]].digest, line["recipe"]


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.change is not recipes.unchanged])
def test_every_change_trains_and_is_undone(name: str, data: Path) -> None:
    small = replace(RECIPES[name], settings=(*RECIPES[name].settings, *SMALL))

    def after_a_step() -> torch.Tensor:
        config = small.config(0, "float32")
        torch.manual_seed(0)
        trainer = Trainer(config, CropDataset(data, config.track_samples), None, torch.device("cpu"))
        trainer.steps.iteration()
        with torch.no_grad():
            fake = trainer.state.networks.generator(torch.zeros(1, config.model.latent_size(config.model.num_frames)))
            return torch.cat([fake.flatten(), trainer.state.networks.discriminator(fake).flatten()])

    before = after_a_step()
    with small.change():
        changed = after_a_step()
    assert torch.isfinite(changed).all()
    assert not torch.equal(changed, before)
    assert torch.equal(after_a_step(), before)


@pytest.mark.slow
def test_a_run_that_is_stopped_goes_on_and_gives_the_same_rows(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECIPES, "small", Recipe("?", "mp3net2-nano", 10, SMALL, marks=2))  # marks between steps
    monkeypatch.setattr(worker, "CLIPS", {"1.5s": (0.25, 8)})

    def work(where: str) -> worker.Run:
        run = worker.Run("small", 0, data, tmp_path / where / "runs", tmp_path / where, "float32")
        run.finish()
        return run

    whole = work("whole")
    with monkeypatch.context() as broken:
        broken.setattr(worker.Run, "_report", lambda self, mark, judge, ended: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            work("parts")
    assert not finished("small", 0, tmp_path / "parts")
    parts = work("parts")
    assert finished("small", 0, tmp_path / "parts")
    readings = [
        [{k: line[k] for k in (*table.KEYS, *table.READINGS)} for line in table.rows_of(run.table)] for run in (whole, parts)
    ]
    assert readings[0] == readings[1]
    assert [line["tracks_seen"] for line in readings[0]] == [0, 0, 0, 5, 10]
    assert all(np.isfinite(value) for line in readings[0] for value in line.values() if isinstance(value, float))
    for run in (whole, parts):
        assert 0 < worker.core_minutes(run.folder, 6) < worker.core_minutes(run.folder, 10) < 5
        assert (run.results / "pictures" / "small-0.png").stat().st_size > 100
        assert (run.results / "curves" / "small-0.csv").read_text().startswith("tracks_seen,score/gap,")
    work("whole")  # nothing is left to do, and nothing is added
    assert len(table.rows_of(whole.table)) == 5


@pytest.mark.slow
def test_a_run_that_begins_with_another_makes_it_first_and_counts_its_cost(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    @contextmanager
    def change() -> Iterator[None]:
        made.append(1)
        yield
        made.append(-1)

    monkeypatch.setattr(worker, "CLIPS", {"1.5s": (0.25, 8)})
    monkeypatch.setitem(RECIPES, "short", Recipe("?", "mp3net2-nano", 4, SMALL, marks=1, change=change))
    longer = (*SMALL, "model.num_parts=4", "optimiser.learning_rate=1e-12")
    recipe = Recipe("?", "mp3net2-nano", 2, longer, marks=1, change=change, begins_with="short")
    monkeypatch.setitem(RECIPES, "long", recipe)
    worker.Run("long", 0, data, tmp_path / "runs", tmp_path, "float32").finish()
    assert made == [1, -1, 1, -1]  # each run makes its change once: made twice at a time, it could be another change
    short, long = (line for line in table.rows_of(tmp_path / table.TABLE) if line["tracks_seen"])
    assert (short["recipe"], long["recipe"]) == ("short", "long")
    assert long["core_minutes"] > short["core_minutes"] > 0
    per_track = [flop_per_track(RECIPES[name].config(0)) / 1e15 for name in ("short", "long")]
    assert long["petaflop"] == pytest.approx(4 * per_track[0] + 2 * per_track[1], rel=1e-4)
    assert short["petaflop"] == pytest.approx(4 * per_track[0], rel=1e-4)
    before, after = (
        load_tensors(open_snapshot(tmp_path / "runs" / f"{name}-0").folder / DISCRIMINATOR_FILE)
        for name in ("short", "long")
    )
    assert all(torch.allclose(after[name], before[name], atol=1e-8) for name in before)
