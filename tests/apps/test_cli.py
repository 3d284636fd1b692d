"""The commands as a user meets them: output, files and exit status."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import soundfile
import typer

from mp3net.apps import cli, options
from mp3net.config import PRESETS
from tests.data.test_remote import Server
from tests.recordings import write_folder

HERE = Path(__file__).parent


def test_help_names_the_presets():
    assert options.PRESET_NAMES.split(", ") == list(PRESETS)


def test_help_needs_none_of_the_libraries():
    code = (
        "import sys\nsys.argv = ['mp3net', '--help']\nfrom mp3net.apps.cli import main\n"
        "try:\n    main()\nfinally:\n    heavy = {'torch', 'numpy', 'pydantic', 'pyarrow', 'matplotlib', 'soundfile'} & sys.modules.keys()\n"
        "    assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in ("prepare", "train", "generate", "info"))


def test_training_reads_a_dataset_from_a_web_server(mp3net, tmp_path, monkeypatch):
    """The same run from a folder and from a URL: bit-identical weights."""
    monkeypatch.setenv("MP3NET_CACHE", str(tmp_path / "cache"))
    write_folder(tmp_path / "music")
    (tmp_path / "data").mkdir()
    mp3net("prepare", "music", "--out", "data/set", "--sample-rate", 8000, "--channels", 1)
    server = Server(tmp_path / "data" / "set")
    settings = ["audio.sample_rate_hz=8000", "audio.num_bins=16", "model.num_blocks=2", "run.evaluate_samples=0"]
    shared = [item for setting in settings for item in ("--set", setting)] + ["--tracks", 16, "--device", "cpu"]
    for place, run in (("data/set", "near"), (server.url, "far")):
        status, out, errors = mp3net("train", place, "--preset", "nano-1.5s", "--out", f"runs/{run}", *shared)
        assert status == 0, errors
        assert "finished at 16 tracks" in out
    near, far = (next((tmp_path / "runs" / run / "checkpoints").glob("tracks-*")) for run in ("near", "far"))
    assert (near / "training.safetensors").read_bytes() == (far / "training.safetensors").read_bytes()
    server.shutdown()
    server.server_close()
    status, _, errors = mp3net("train", "ftp://x/y", "--preset", "nano-1.5s", "--out", "runs/z")
    assert status == 2
    assert "ftp://x/y: not a place to read from" in errors


def test_prepare_train_generate(mp3net, tmp_path):
    write_folder(tmp_path / "music")
    (tmp_path / "music" / "cover.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(500))
    status, out, _ = mp3net("prepare", "music", "--out", "data", "--sample-rate", 8000, "--channels", 1, "--workers", 2)
    assert status == 0
    assert "kept for training" in out
    assert "skipped: not audio" in out
    assert "cover.jpg" in out
    settings = ["audio.sample_rate_hz=8000", "audio.num_bins=16", "model.num_blocks=2", "run.checkpoint_every_tracks=16"]
    train = ["train", "data", "--preset", "nano-1.5s", "--out", "runs/a", "--device", "cpu"]
    train += [item for setting in settings for item in ("--set", setting)]
    status, out, _ = mp3net(*train, "--tracks", 32)
    assert status == 0
    plan = [line for line in out.splitlines() if not line.startswith("note: ")][1:6]  # which precision is faster differs
    assert re.match(r"nano-1.5s on cpu \(\d+ threads?\), bfloat16: generator .* M parameters", plan[0])
    assert "5 pieces" in plan[1]
    assert "GFLOP per track seen, peak memory" in plan[3]
    assert "32 of 32 tracks to go" in plan[4]
    assert "left" in plan[4]
    assert "finished at 32 tracks" in out
    working = tmp_path / "runs" / "a" / "checkpoints" / ".tracks-000000000048.partial"
    working.mkdir()  # a training that is saving at this moment
    status, out, _ = mp3net(*train, "--tracks", 64, "--dry-run")
    assert status == 0
    assert working.exists()
    assert json.loads((tmp_path / "runs" / "a" / "run.json").read_text())["config"]["run"]["total_tracks"] == 32
    assert "resuming at 32 tracks; 32 of 64 tracks to go" in out
    assert "saved" not in out
    tuned = [item if item != "runs/a" else "runs/b" for item in train]
    falling = ["--set", "optimiser.learning_rate_schedule=[[0, 1], [64, 0]]", "--tracks", 48]
    status, out, _ = mp3net(*tuned, "--init-from", "runs/a", "--train-blocks", "last-1", *falling, "--dry-run")
    assert status == 0
    assert "beginning with both networks of runs/a" in out
    assert "trained: the last 1 block," in out
    assert "learning rate: x 1 at 0, x 0 at 64 tracks (beyond the end of this training)" in out
    for which, message in (("last-1", "begin with --init-from"), ("last-0", "choose all, or last-N with N from 1")):
        status, out, err = mp3net(*tuned, "--train-blocks", which)
        assert status == 2
        assert message in err
    assert not (tmp_path / "runs" / "b").exists()
    status, out, _ = mp3net(*train, "--tracks", 64)
    assert status == 0
    assert "resuming at 32 tracks" in out
    status, out, _ = mp3net("generate", "runs/a", "--seed", "1..3", "--out", "songs", "--format", "flac")
    assert status == 0
    assert sorted(path.name for path in Path("songs").iterdir()) == ["seed-1.flac", "seed-2.flac", "seed-3.flac"]
    assert out.count("seed ") == 3
    assert "peak" in out
    status, _, _ = mp3net("generate", "runs/a", "--seed", 3, "--out", "three.flac")
    assert status == 0
    np.testing.assert_array_equal(soundfile.read("three.flac")[0], soundfile.read("songs/seed-3.flac")[0])
    status, out, _ = mp3net("info", "runs/a")
    lines = out.splitlines()
    assert lines[0].startswith("run runs/a, by mp3net ")
    assert lines[1] == "on track? early: no evaluation yet; a verdict needs two or more. Listen to samples/ meanwhile"
    assert lines[2] == "progress: 64 of 64 tracks: finished"
    assert lines[3].startswith("reproduce: mp3net train ")
    assert "tracks_seen: 64" in lines
    assert lines[-2:] == ["listen: mp3net studio runs/a", "all settings: mp3net info runs/a --settings"]
    status, out, _ = mp3net("info", "runs/a", "--settings")
    assert (status, json.loads(out)) == (0, json.loads(Path("runs/a/run.json").read_text())["config"])
    snapshot = next(Path("runs/a/checkpoints").iterdir()) / "snapshot"
    assert json.loads(mp3net("info", snapshot, "--settings")[1])["run"]["total_tracks"] == 64
    status, out, _ = mp3net("info", "data")
    assert "train: 5 pieces" in out
    changed = [*train, "--tracks", 64, "--set", "optimiser.seed=3"]
    status, _, err = mp3net(*changed)
    assert status == 2
    assert "optimiser.seed: 0 -> 3" in err
    wrong = [part.replace("8000", "11008") for part in train]
    status, _, err = mp3net(*wrong[:5], "runs/b", *wrong[6:])
    assert status == 2
    assert "was prepared at 8000 Hz" in err
    status, _, err = mp3net("train", "data", "--preset", "piano-95s", "--out", "runs/b")
    assert status == 2
    assert "was prepared at 8000 Hz" in err
    assert mp3net("info", next(Path("runs/a/checkpoints").iterdir()))[0] == 0
    Path("file").write_text("")
    status, _, err = mp3net(*train[:5], "file", *train[6:])
    assert status == 2
    assert "file: is a file; name a folder for the run" in err


@pytest.mark.slow
def test_what_the_command_line_leaves_out_is_taken_from_run_and_dataset(mp3net, tmp_path):
    write_folder(tmp_path / "music")
    assert mp3net("prepare", "music", "--out", "data", "--preset", "nano-1.5s", "--workers", 2)[0] == 0
    assert "prepared for the preset nano-1.5s" in mp3net("info", "data")[1]
    small = ["--set", "model.channel_cap=8", "--set", "optimiser.batch_size=4"]
    chosen = [*small, "--set", "run.evaluate_samples=0", "--device", "cpu"]
    status, out, _ = mp3net("train", "data", "--out", "runs/a", *chosen, "--tracks", 8)
    assert (status, out.splitlines()[0]) == (0, "preset nano-1.5s, for which data was prepared")
    status, out, _ = mp3net("train", "--out", "runs/a", "--tracks", 16)
    data = tmp_path / "data"
    assert (status, out.splitlines()[0]) == (0, f"configuration of runs/a; data {data}, as in runs/a")
    assert "resuming at 8 tracks" in out
    # The printed command makes the same run again.
    line = next(line for line in mp3net("info", "runs/a")[1].splitlines() if line.startswith("reproduce: mp3net "))
    settings = "--set run.total_tracks=16 --set run.evaluate_samples=0"
    assert line == f"reproduce: mp3net train {data} --preset nano-1.5s {' '.join(small)} {settings} --out NEW"
    assert mp3net(*shlex.split(line)[2:-1], "runs/again")[0] == 0
    name = "checkpoints/tracks-000000000016/training.safetensors"
    assert Path("runs/again", name).read_bytes() == Path("runs/a", name).read_bytes()
    assert "runs/a: finished, 16 tracks seen. Raise --tracks to go on" in mp3net("train", "--out", "runs/a")[1]
    mp3net("train", "--out", "runs/a", "--tracks", 8)  # nothing to do: what reproduces the run stays as it is
    status, out, _ = mp3net("train", "--config", "runs/a/run.json", "--out", "runs/c", "--dry-run")
    assert out.startswith(f"data {data}, as in runs/a/run.json\n")
    assert (status, "batch 4," in out, "16 of 16 tracks to go" in out) == (0, True, True)
    Path("plain.json").write_text(json.dumps(json.loads(Path("runs/a/run.json").read_text())["config"]))
    assert mp3net("train", "data", "--config", "plain.json", "--out", "runs/c", "--dry-run")[0] == 0
    # A run that began with weights begins with the same ones where its configuration is taken, or says that they are gone.
    assert mp3net("train", "data", "--out", "runs/d", "--init-from", "runs/again", *chosen, "--tracks", 8)[0] == 0
    status, out, _ = mp3net("train", "--config", "runs/d/run.json", "--out", "runs/e", "--tracks", 8)
    assert (status, f"beginning with both networks of {tmp_path / 'runs' / 'again'}" in out) == (0, True)
    name = "checkpoints/tracks-000000000008/training.safetensors"
    assert Path("runs/e", name).read_bytes() == Path("runs/d", name).read_bytes()
    shutil.rmtree("runs/d/checkpoints")
    assert "beginning with both networks of" in mp3net("train", "--out", "runs/d", "--dry-run")[1]
    assert mp3net("train", "--out", "runs/again", "--tracks", 24)[0] == 0
    status, _, err = mp3net("train", "--out", "runs/d", "--dry-run")
    assert (status, "again: holds other weights (" in err) == (2, True)
    status, out, err = mp3net("evaluate", "runs/a", "--out", "report")
    assert (status, out) == (2, f"data {data}, as in runs/a\n")
    assert f"{data}: too few recordings to evaluate with" in err
    assert mp3net("prepare", "music", "--out", "plain", "--sample-rate", 11008, "--channels", 1, "--workers", 2)[0] == 0
    for arguments, message in (
        (["train", "data", "--preset", "nano-1.5s", "--config", "plain.json", "--out", "r"], "give one of them"),
        (["train", "--out", "runs/new"], "name the dataset to train on"),
        (
            ["train", "plain", "--out", "r"],
            "(it could serve mp3net2-nano, nano-1.5s)",
        ),
        (["train", "data", "--config", "nowhere.json", "--out", "r"], "nowhere.json: no such file"),
        (["train", "data", "--config", "runs/a", "--out", "r"], "runs/a: is a folder; name a file, such as runs/a/run.json"),
        (["train", "runs/a", "--out", "runs/a"], "runs/a: is a run, not a dataset; to resume it: mp3net train --out runs/a"),
        (["evaluate", "--out", "report"], "name the real music to compare with: --data DATA"),
    ):
        status, _, err = mp3net(*arguments)
        assert (status, message in err) == (2, True), err
    shutil.rmtree("data/heldout")
    Path("data/dataset.json").write_text(Path("plain/dataset.json").read_text())
    assert "warning: " in mp3net("evaluate", "runs/a", "--out", "report")[1]
    shutil.rmtree("data")
    for command in (["train"], ["evaluate", "runs/a"]):
        out = "runs/a" if command == ["train"] else "report"
        status, _, err = mp3net(*command, "--out", out)
        assert (status, f"{data} is no longer there; if you have moved it, name it" in err) == (2, True), err
    # Another rate than the preset's: the dataset is not one for that preset.
    other = ["prepare", "music", "--out", "other", "--preset", "nano-1.5s", "--sample-rate", 8000, "--workers", 2]
    assert mp3net(*other)[0] == 0
    assert "prepared for" not in mp3net("info", "other")[1]


def test_generate_without_arguments_uses_the_bundled_snapshot(mp3net, tmp_path):
    status, out, _ = mp3net("generate")
    assert status == 0
    assert out.startswith("song.wav: ")
    assert soundfile.info("song.wav").samplerate == 11008
    before = (tmp_path / "song.wav").read_bytes()
    status, _, err = mp3net("generate")
    assert status == 2
    assert "song.wav: exists; add --force" in err
    assert (tmp_path / "song.wav").read_bytes() == before
    assert mp3net("generate", "--force", "--seed", 2)[0] == 0
    assert (tmp_path / "song.wav").read_bytes() != before


@pytest.mark.parametrize("audio_format", ["wav", "flac", "ogg", "mp3"])
def test_generate_formats(mp3net, audio_format):
    status, out, _ = mp3net("generate", "--format", audio_format)
    assert status == 0
    info = soundfile.info(f"song.{audio_format}")
    assert info.format == audio_format.upper()
    assert ("resampled to 11025 Hz for MP3" in out) == (audio_format == "mp3")


def test_normalize(mp3net):
    assert mp3net("generate", "--normalize")[0] == 0
    assert np.abs(soundfile.read("song.wav")[0]).max() == pytest.approx(0.999, abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "nowhere"], "nowhere: no such folder"),
        (["generate", "--seed", "x"], "give a number from 0"),
        (["generate", "--seed", 2**32], "from 0 to 4294967295"),
        (["generate", "--out", "a.aac"], "cannot write .aac; the formats are: wav, flac, ogg, mp3"),
        (["generate", "--seed", "1..9999999"], "at most 100,000 songs"),
        (["generate", "--format", "aac"], "choose one of wav, flac, ogg, mp3"),
        (["generate", "--seed", "1..2", "--out", "a.wav"], "names one file, but there are 2 songs"),
        (["generate", "--out", "a.wav", "--format", "mp3"], "leave one of them out"),
        (["generate", "--device", "tpu"], "choose one of auto, cpu, cuda, cuda:N, mps"),
        (["generate", "--precision", "int8"], "choose one of float32, bfloat16"),
        (["generate", "--out", "/proc/no/such"], "cannot be written"),
        (["prepare", "nowhere", "--out", "data"], "nowhere: no such folder of recordings"),
        (["prepare", __file__, "--out", "data"], "is a file; name the folder that holds it"),
        (["prepare", HERE, "--out", HERE / "data"], "lies inside the folder of recordings"),
        (["prepare", HERE, "--out", HERE.parent / "conftest.py"], "is a file; name a folder"),
        (
            ["train", "d", "--preset", "nano-1.5s", "--out", "r", "--tracks", "0"],
            "--tracks: run.total_tracks: needs a whole number, at least 1",
        ),
        (
            ["prepare", ".", "--out", "../data", "--channels", "3"],
            "prepare: --channels: needs a whole number, at least 1 and at most 2",
        ),
        (["prepare", ".", "--out", "../data", "--preset", "x"], "unknown preset 'x'; the presets are: mp3net2-nano"),
        (
            ["train", "data", "--preset", "piano", "--out", "r"],
            "unknown preset 'piano'; did you mean piano-95s or piano-5s?",
        ),
        (["train", "nowhere", "--preset", "nano-1.5s", "--out", "r"], "make one with `mp3net prepare FOLDER --out nowhere`"),
        (["train", HERE, "--preset", "nano-1.5s", "--out", "r"], f"`mp3net prepare {HERE} --out data/{HERE.name}`"),
        (
            ["train", "d", "--preset", "nano-1.5s", "--out", "r", "--set", "optimiser.batchsize=1"],
            "did you mean optimiser.batch_size? `mp3net info PRESET` prints all",
        ),
        (["info", "nowhere"], "nowhere: no such folder"),
        (["train", "d", "--config", "nano-1.5s", "--out", "r"], "for the preset of that name, give --preset nano-1.5s"),
        (["train", "d", "--config", HERE / "__init__.py", "--out", "r"], "cannot be read as JSON: it is empty"),
        (
            ["info", "https://a.org/data"],
            "PATH https://a.org/data: a URL; only files and folders of this machine will do here",
        ),
        (["prepare", HERE, "--out", "http://a.org/data"], "--out http://a.org/data: a URL"),
        (["prepare", "s3://bucket/music", "--out", "data"], "FOLDER s3://bucket/music: a URL"),
        (["prepare", "--maestro", "gs://maestro", "--out", "data"], "--maestro gs://maestro: a URL"),
        (["prepare", "--maestro", "nowhere", "--out", "data"], "--maestro nowhere: no such folder"),
        (["parquet", "http://a.org/data", "--out", "p"], "DATA http://a.org/data: a URL"),
        (["evaluate", "--data", "http://a.org/data", "--out", "p"], "--data http://a.org/data: a URL"),
        (
            ["evaluate", "--data", "d", "--out", "p", "--seconds", "inf"],
            "--seconds inf: give the length of a clip in seconds",
        ),
        (
            ["prepare", ".", "--out", "d", "--min-duration", "inf"],
            "prepare: --min-duration: needs a finite number, above 0",
        ),
        (["train", "d", "--preset", "nano-1.5s", "--out", "s3://bucket/r"], "--out s3://bucket/r: a URL"),
        (["prepare", ".", "--out", "d", "--loudness", "-14"], "--loudness -14 belongs to --level loudness"),
        (["prepare", "--maestro", ".", "--out", "d", "--heldout", "0.2"], "--maestro has splits of its own"),
        (["prepare", ".", "--out", "d", "--heldout", "1.5"], "prepare: --heldout: needs a number, at least 0 and below 1"),
        (
            ["prepare", ".", "--out", "d", "--sample-rate", "1"],
            "prepare: --sample-rate: needs a whole number, at least 1000 and at most 192000",
        ),
        (
            ["prepare", ".", "--out", "d", "--trim-silence", "45"],
            "--trim-silence 45: give dB relative to the peak, such as -45",
        ),
        (
            ["prepare", ".", "--out", "d", "--trim-silence", "nan"],
            "--trim-silence nan: give dB relative to the peak, such as -60",
        ),
        (["prepare", HERE, "--out", HERE / "data", "--dry-run"], "lies inside the folder of recordings"),
        (["prepare", HERE, "--out", "d", "--shard", "0/4"], "--shard '0/4': give K/N with K from 1 to N, such as 3/64"),
        (["prepare", HERE, "--out", "d", "--shard", "0/4", "--dry-run"], "--shard '0/4': give K/N with K from 1 to N"),
        (["prepare", HERE, "--out", "d", "--dry-run"], "no audio in "),
    ],
)
def test_errors_are_one_line_with_the_remedy_and_status_2(mp3net, tmp_path, arguments, message):
    status, out, err = mp3net(*arguments)
    assert status == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert out == ""
    assert list(tmp_path.iterdir()) == [], "nothing may be left behind"


NEEDED = {"prepare": ["--out", "o"], "train": ["--out", "o"], "evaluate": ["--out", "o"], "parquet": ["d", "--out", "o"]}


def path_options() -> list[tuple[str, str]]:
    """All commands and those of their options and arguments that name a file or folder; snapshots may be on the hub."""
    found = []
    for command in (one.callback for one in cli.app.registered_commands):
        for name, hint in get_type_hints(command, include_extras=True).items():
            kind, *about = get_args(hint) if get_origin(hint) is Annotated else (hint,)
            if Path in (kind, *get_args(kind)) and name != "snapshot":
                is_argument = isinstance(about[0], typer.models.ArgumentInfo)
                found.append((command.__name__, name if is_argument else f"--{name.replace('_', '-')}"))
    return found


@pytest.mark.parametrize(("command", "option"), path_options())
def test_no_path_may_be_a_url(mp3net, tmp_path, command, option):
    url = "s3://bucket/a.wav"
    if option.startswith("--"):
        given = [*NEEDED.get(command, ["x"] if command == "inspect" else []), option, url]
    else:
        given = [url, *NEEDED.get(command, [])[-2:]]
    status, out, err = mp3net(command, *given)
    name = option if option.startswith("--") else option.upper()
    assert (status, out, list(tmp_path.iterdir())) == (2, "", [])
    assert err == f"error: {name} {url}: a URL; only files and folders of this machine will do here\n"


def test_every_path_of_a_command_is_asked_about():
    assert {("generate", "--out"), ("evaluate", "--cache"), ("train", "--init-from"), ("info", "path")} < set(path_options())


@pytest.mark.parametrize("command", ["generate", "sliders", "export", "evaluate"])
def test_a_snapshot_may_be_no_url_but_that_of_the_hub(mp3net, tmp_path, command):
    if command == "evaluate":  # it asks for a dataset first
        write_folder(tmp_path / "music")
        mp3net("prepare", "music", "--out", "data", "--preset", "nano-1.5s")
    before = sorted(tmp_path.iterdir())
    options = ["--out", "o", "--data", "data"] if command == "evaluate" else []
    status, _, err = mp3net(command, "https://a.org/s", *options)
    message = "error: https://a.org/s: a URL; name a folder of this machine, or a model of the hub: hf://OWNER/NAME\n"
    assert (status, err, sorted(tmp_path.iterdir())) == (2, message, before)
