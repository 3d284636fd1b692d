"""A folder in which documented commands find what they name, and run on something small.

Commands are run as documented. What is added to their options, or changed in constants, makes networks, tracks, songs and
sums smaller, and nothing else.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile

from mp3net.apps import cli
from mp3net.apps.train import Request, choose
from mp3net.config import PRESETS, read_config
from mp3net.data.dataset import check_audio
from mp3net.generation import BUNDLED, MP3net
from tests.documents.command_line import parse_mp3net
from tests.recordings import piece

RATE = 11008
# What is named on a command line and has to be there, by command and parameter.
NEEDED = {
    "prepare": {"folder": "recordings"},
    "parquet": {"data": "dataset"},
    "train": {"data": "dataset", "config": "config", "init_from": "run"},
    "generate": {"snapshot": "run", "like": "song"},
    "evaluate": {"snapshot": "run", "data": "dataset", "audio": "recordings"},
    "sliders": {"snapshot": "run"},
    "inspect": {"file": "song"},
    "export": {"snapshot": "run", "report": "report"},
    "info": {"path": "song"},
}
SMALL = {
    "mp3net2": [
        "model.width=16", "model.deep_width=16", "model.global_dim=4", "model.local_dim=4", "model.noise_channels=1",
        "model.attention_heads=1", "optimiser.batch_size=2",
    ],
    "short": ["audio.num_bins=16", "model.num_doublings=2", "model.view_frames=[]", "model.movement_lags=[1]", "model.loudness_lags=[1]", "model.tuning_harmonics=2", "model.interval_lags=[0]", "model.partials_per_bin=1"],
    "paper": [
        "audio.num_bins=16", "model.base_frames=1", "model.base_bins=4", "model.num_blocks=2", "model.top_channels=4",
        "model.channel_cap=16", "model.latent_dim=8", "optimiser.batch_size=2",
    ],
    "bundled": ["model.num_parts=1", "optimiser.batch_size=1"],
}  # fmt: skip
SONG_S = 2.0


class Workshop:
    """Makes what is needed once, in `shelf`, and copies it into the folder of each block.

    There are so many `pieces` of `piece_s` seconds. With `short`, tracks of small networks are some milliseconds long.
    """

    def __init__(self, shelf: Path, pieces: int = 3, piece_s: float = 3.0, short: bool = True) -> None:
        self.shelf = shelf
        self.short = short
        self.printed: dict[str, str] = {}
        self._trained: set[tuple[str, ...]] = set()
        for seed in range(pieces):
            (shelf / "recordings").mkdir(exist_ok=True)
            soundfile.write(shelf / "recordings" / f"piece {seed}.flac", piece(piece_s, RATE, seed), RATE)

    def supply(self, what: str, there: Path, preset: str) -> None:
        """Put something of that kind there, for a preset."""
        kept = self.shelf / (what if what in ("recordings", "song", "report") else f"{what} {preset}")
        if not kept.exists():
            makers: dict[str, Callable[[Path, str], None]] = {
                "dataset": self._dataset, "run": self._run, "song": self._song, "config": self._config,
                "report": self._report, "sliding": lambda path, _: shutil.copytree(BUNDLED, path),
            }  # fmt: skip
            makers[what](kept, preset)
        there.parent.mkdir(parents=True, exist_ok=True)
        if kept.is_dir():
            shutil.copytree(kept, there)
        else:
            shutil.copy(kept, there)

    def _dataset(self, path: Path, preset: str) -> None:
        words = ("prepare", self.shelf / "recordings", "--out", path, "--preset", preset)
        run(self.smaller(tuple(map(str, words))))

    def _run(self, path: Path, preset: str) -> None:
        data = self.shelf / f"dataset {preset}"
        if not data.exists():
            self._dataset(data, preset)
        run(self.smaller(("train", str(data), "--preset", preset, "--out", str(path))))

    def _song(self, path: Path, _: str) -> None:
        written = path.with_suffix(".flac")  # the ending chooses the format
        MP3net.from_pretrained().generate(seed=7, duration_s=24.0).save(written)
        written.rename(path)

    def _config(self, path: Path, preset: str) -> None:
        path.write_text(PRESETS[preset].model_dump_json())

    def _report(self, path: Path, _: str) -> None:
        value = {"value": 1.0, "low": 0.5, "high": 1.5}
        row = {"meaning": "distance", "value": value, "floor": {"value": value}, "unit": "", "place": "no more than real"}
        path.write_text(json.dumps({"candidate": {"kind": "snapshot"}, "metrics": {"distance": row}}))

    def furnish(self, words: tuple[str, ...], given: dict[str, Any]) -> None:
        """Supply everything that a command names and that is not there."""
        for parameter, what in NEEDED[words[0]].items():
            value = given[parameter]
            if value is None or str(value) == "bundled" or str(value) in PRESETS or Path(value).exists():
                continue
            preset = given.get("preset") or "mp3net2-nano"
            if what == "run":  # of a family, since the length of its tracks does not matter
                preset = "mp3net2-nano" if PRESETS[preset].model.kind == "mp3net2" else "piano-95s"
            if what == "run" and (words[0] == "sliders" or given.get("slide")):
                what = "sliding"
            self.supply(what, Path(value), preset)

    def smaller(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """The words and what makes the same command small: of options that are given twice, the last one counts."""
        given = parse_mp3net(words)
        assert given is not None
        if words[0] == "prepare":
            return (*words, "--min-duration", "1")
        if words[0] == "train":
            kind = self._kind(given)
            settings = [
                *SMALL[kind],
                *(SMALL["short"] if self.short and kind == "mp3net2" else ()),
                "run.evaluate_samples=0",
            ]
            pairs = [word for setting in settings for word in ("--set", setting)]
            return (*words, *pairs, "--tracks", "2")
        if words[0] == "generate" and given["like"] is None:
            return (*words, "--duration", str(SONG_S))
        return words

    def perform(self, words: tuple[str, ...], more: tuple[str, ...] = ()) -> bool:
        """Run the command on something small; False if it is a training of a kind that has been run: of the others it is
        only found out whether their configuration, data and beginning fit each other."""
        given = parse_mp3net(words)
        assert given is not None
        self.furnish(words, given)
        if words[0] == "train" and self.short:
            kind = (
                self._kind(given),
                *(name for name in ("config", "init_from", "train_blocks") if given[name] is not None),
            )
            if kind in self._trained:
                chosen = choose(Request(**{**given, "settings": tuple(given["settings"] or ())}))
                check_audio(chosen.data, chosen.store.index.config, chosen.config.audio)
                return False
            self._trained.add(kind)
        run((*self.smaller(words), *more))
        kept = self.shelf / "run mp3net2-nano"
        if words == ("train", "data/piano", "--out", "runs/piano") and not kept.exists():
            shutil.copytree("runs/piano", kept)
        return True

    def _kind(self, given: dict[str, Any]) -> str:
        if str(given["init_from"]) == "bundled":
            return "bundled"
        if given["config"] is not None:
            return read_config(given["config"]).model.kind
        name = given["preset"] or json.loads((Path(given["data"]) / "dataset.json").read_text())["preset"]
        return PRESETS[name].model.kind


def run(words: tuple[str, ...]) -> None:
    """`mp3net` with these words, in this process. Errors: AssertionError for another exit status than 0."""
    before, sys.argv = sys.argv, ["mp3net", *words]
    try:
        with pytest.raises(SystemExit) as stopped:
            cli.main()
    finally:
        sys.argv = before
    assert not stopped.value.code, f"exit status {stopped.value.code}: mp3net {' '.join(words)}"
