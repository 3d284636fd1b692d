"""`mp3net info`: what a folder or file holds, or which presets there are."""

from __future__ import annotations

import difflib
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Column, Table

from mp3net.apps.console import plain_console
from mp3net.audio.encoding import FORMATS
from mp3net.config import PRESETS, assignments, preset
from mp3net.data.index import INDEX_FILE, STAGING, read_index
from mp3net.data.inventory import SPLITS
from mp3net.errors import Mp3netError
from mp3net.words import counted, install, mono_or_stereo

if TYPE_CHECKING:
    from mp3net.config import Config
    from mp3net.model.snapshot import Snapshot
    from mp3net.training.origin import Origin


def run(path: Path | None, settings: bool = False) -> None:
    """Print one description; with `settings`, of a run, snapshot or preset, its configuration alone.

    Errors: Mp3netError if the folder or file holds nothing made by mp3net.
    """
    if str(path) == "bundled" and not Path("bundled").exists():
        from mp3net.generation.places import BUNDLED

        path = BUNDLED
    if path is None:
        plain_console().print(_presets())
        print("begin with mp3net2-nano, on any machine (docs/recipes.md); all settings of one: mp3net info PRESET")
    elif str(path) in PRESETS and not path.exists():
        print(json.dumps(preset(str(path)).model_dump(), indent=1))
    elif settings:
        _configuration(path)
    elif path.suffix.lower() == ".onnx":
        _onnx(path)
    elif path.is_file():
        _song(path)
    elif (path / INDEX_FILE).exists():
        _dataset(path)
    elif (path / STAGING).exists():
        from mp3net.apps.unfinished import describe_unfinished

        print(describe_unfinished(path))
    else:
        _snapshot(path)


def _song(path: Path) -> None:
    """What a file says about its making, and the command that makes it again."""
    from mp3net.generation import BUNDLED, read_origin
    from mp3net.model.snapshot import open_snapshot

    origin = read_origin(path)
    print(
        f"song {path}: {origin.settings.words}, weights {origin.snapshot}, by mp3net {origin.version} ({origin.computed_by})"
    )
    print(json.dumps(origin.settings.model_dump(mode="json"), indent=1))
    for sentence in _length(path, origin.settings.duration_s)[1]:
        print(sentence)
    bundled = open_snapshot(BUNDLED).digest == origin.snapshot
    command = ["mp3net", "generate", *([] if bundled else ["SNAPSHOT"]), "--like", str(path), "--out", f"again{path.suffix}"]
    print(f"make it again: {shlex.join(command)}{'' if bundled else ' (SNAPSHOT: the one with these weights)'}")


def _length(path: Path, duration_s: float | None) -> tuple[str, list[str]]:
    """How much of a song can be decoded, and what is missing: headers of files that were cut state the whole length."""
    from mp3net.audio.decoding import UnusableAudioError
    from mp3net.audio.reading import heard

    try:
        found = heard(path)
    except UnusableAudioError as error:
        return "0.0 s", [f"incomplete: {error}"]
    if not (missing := str(found)) and duration_s is not None and found.decoded_s < duration_s - 0.1:
        missing = f"{found.decoded_s:.1f} of {duration_s:.1f} s"
    return f"{found.decoded_s:.1f} s", [f"incomplete: {missing}"] if missing else []


def _songs(folder: Path) -> bool:
    """Print a line for each song of a folder, and how to repeat one; False if there are none that mp3net made."""
    from mp3net.generation import format_called, read_origin

    made = None
    for path in sorted(path for path in folder.iterdir() if format_called(path.suffix[1:]) in FORMATS):
        try:
            origin = read_origin(path)
        except Mp3netError:
            continue
        made = path
        lasts, missing = _length(path, origin.settings.duration_s)
        print(f"song {path}: {lasts}, {origin.settings.words}, weights {origin.snapshot}", *missing, sep="\n")
    if made is not None:
        print(f"all about one of them: {shlex.join(['mp3net', 'info', str(made)])}")
    return made is not None


def _onnx(path: Path) -> None:
    """What an exported file says about itself."""
    if not path.is_file():
        raise Mp3netError(f"{path}: no such file")
    try:
        import onnx
    except ImportError:
        raise Mp3netError(f"{path}: reading it needs onnx; install it with: {install('mp3net[export]')}") from None
    try:
        facts = {one.key: one.value for one in onnx.load(path, load_external_data=False).metadata_props}
    except Exception as error:  # protobuf's errors have no class in common that can be imported without it
        raise Mp3netError(f"{path}: no ONNX file, or a damaged one: {error}") from None
    if "snapshot" not in facts:
        raise Mp3netError(f"{path}: was not written by `mp3net export`")
    print(f"ONNX model {path}, weights {facts['snapshot']}")
    print(json.dumps(facts, indent=1))
    print(f"play it: python examples/onnx/play.py {shlex.quote(str(path))} 7 20 song.wav")


def _presets() -> Table:
    table = Table(Column("preset", no_wrap=True), "audio", "bins x frames", "track", "family", "networks", "batch")
    for name, config in PRESETS.items():
        audio, model = config.audio, config.model
        table.add_row(
            name,
            f"{audio.sample_rate_hz} Hz {mono_or_stereo(audio.channels)}",
            f"{audio.num_bins} x {model.num_frames}",
            f"{config.track_duration_s:.2f} s",
            model.kind,
            model.sizes,
            str(config.optimiser.batch_size),
        )
    return table


def _dataset(path: Path) -> None:
    index = read_index(path)
    config = index.config
    if (path / STAGING).exists():
        print("an addition of recordings is at work or was interrupted; the same `mp3net prepare` command goes on")
    prepared_for = f", prepared for the preset {index.preset}" if index.preset is not None else ""
    print(f"dataset {path}: {config.sample_rate_hz} Hz, {mono_or_stereo(config.channels)}{prepared_for}")
    for split in SPLITS:
        lengths = [entry["num_samples"] / config.sample_rate_hz for entry in index.entries if entry["split"] == split]
        longest_s = max(lengths, default=0)
        print(f"{split}: {counted(len(lengths), 'piece')}, {sum(lengths) / 3600:.2f} h, longest {longest_s:.1f} s")


def _snapshot(path: Path) -> None:
    from mp3net.generation.places import BUNDLED
    from mp3net.generation.steering import FILE as SLIDERS_FILE
    from mp3net.generation.steering import read_sliders
    from mp3net.model.snapshot import CHECKPOINTS_FOLDER, CONFIG_FILE, SNAPSHOT_FOLDER, open_snapshot
    from mp3net.training.origin import RUN_FILE, read_origin

    if not path.is_dir():
        near = difflib.get_close_matches(str(path), PRESETS, 1)
        raise Mp3netError(
            f"{path}: no such folder or file; "
            + (f"did you mean the preset {near[0]}? Otherwise " if near else "")
            + "name a snapshot, a run directory, a dataset, a song or a preset, or nothing for all presets"
        )
    origin = read_origin(path) if (path / RUN_FILE).is_file() else None
    if origin is not None:
        _run(path, origin)
        if not (path / CHECKPOINTS_FOLDER).is_dir():
            print("it has no checkpoint yet, from which songs could be made")
            return
    if origin is None and not any((path / name).exists() for name in (CONFIG_FILE, SNAPSHOT_FOLDER, CHECKPOINTS_FOLDER)):
        if _songs(path):
            return
        raise Mp3netError(_foreign(path))
    snapshot = open_snapshot(path)
    print(f"snapshot {snapshot.folder}, weights {snapshot.digest}: {_config_words(snapshot.config)}")
    _metadata(snapshot)
    if (snapshot.folder / SLIDERS_FILE).exists():
        try:
            effects = read_sliders(snapshot).effects
            print("sliders, by what one unit changes:", ", ".join(f"{name} {effects[name]}" for name in effects))
        except Mp3netError as error:
            print(f"no sliders: {error}")
    shown = [] if path == BUNDLED else [str(path)]
    print(f"listen: {shlex.join(['mp3net', 'studio', *shown])}")
    print(f"all settings: {shlex.join(['mp3net', 'info', *(shown or ['bundled']), '--settings'])}")


def _metadata(snapshot: Snapshot) -> None:
    """One line each, but for what is no fact for people."""
    from mp3net.training.stages import STAGES, stages_in_words

    for name, value in snapshot.metadata.items():
        if name == STAGES:
            print(f"{name}: {stages_in_words(snapshot)}")
        elif not isinstance(value, dict | list):
            print(f"{name}: {value}")


def _config_words(config: Config) -> str:
    audio, model = config.audio, config.model
    sound = f"{audio.sample_rate_hz} Hz {mono_or_stereo(audio.channels)}, {audio.num_bins} bins"
    return f"{model.kind}, {sound}, tracks of {config.track_duration_s:.2f} s"


def _configuration(path: Path) -> None:
    """The configuration of a run or snapshot, as a file for `mp3net train --config`."""
    from mp3net.model.snapshot import open_snapshot
    from mp3net.training.origin import RUN_FILE, read_origin

    config = read_origin(path).config if (path / RUN_FILE).is_file() else open_snapshot(path).config
    print(json.dumps(config.model_dump(), indent=1))


def _foreign(path: Path) -> str:
    """What to do with a folder that mp3net has not written to."""
    from mp3net.apps.unfinished import holds_recordings

    if not holds_recordings(path):
        return f"{path}: holds no snapshot, run or dataset, and no recordings"
    out = Path("data") / path.resolve().name
    command = shlex.join(["mp3net", "prepare", str(path), "--out", str(out)])
    return f"{path}: holds recordings; this makes a dataset of them, which `mp3net train` can learn from: {command}"


def _run(path: Path, origin: Origin) -> None:
    """Print how the run goes, the command that reproduces it, and the data and weights it needs."""
    from mp3net.training.standing import standing

    command = ["mp3net", "train", origin.data or "DATA"]
    if origin.preset in PRESETS and origin.preset is not None:
        command += ["--preset", origin.preset]
        base = preset(origin.preset)
        command += [part for setting in assignments(base, origin.config) for part in ("--set", setting)]
    else:
        command += ["--config", str(path / "run.json")]
    if origin.init_from:
        command += ["--init-from", origin.init_from]
    print(
        f"run {path}, by mp3net {origin.version or 'before 0.1.0'}, on data with the fingerprint {origin.data_sha256[:12]}"
    )
    stands = standing(path, origin.config)
    print(f"on track? {stands}")
    print(f"progress: {stands.progress}")
    if stands.readings:
        print(f"readings: {stands.readings}")
    for earlier in origin.earlier_data:
        print(f"its first {earlier['until_tracks']:,} tracks saw data with the fingerprint {earlier['data_sha256'][:12]}")
    if origin.init_weights:
        print(f"began with the weights {origin.init_weights} of {origin.init_from}")
    if origin.earlier_data:
        print("no single command repeats this run, because its data changed on the way")
        return
    print(f"reproduce: {shlex.join(command)} --out NEW")
