"""The `mp3net` command. Each subcommand imports what it needs when it runs, so `--help` answers at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from mp3net import __version__
from mp3net.config import PRESETS, DataConfig, override, parse_config, preset
from mp3net.errors import Mp3netError
from mp3net.files import local

app = typer.Typer(
    name="mp3net",
    help="Train a generator on your own recordings and make music with it: prepare, train, generate, evaluate.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
)

# How users call the settings of a dataset.
PREPARE_OPTIONS = {
    "sample_rate_hz": "--sample-rate", "channels": "--channels", "min_duration_s": "--min-duration", "level": "--level",
    "loudness_lufs": "--loudness", "trim_silence_db": "--trim-silence", "heldout_share": "--heldout",
    "split_seed": "--split-seed",
}  # fmt: skip
PRESET_HELP = f"One of: {', '.join(PRESETS)}. `mp3net info` tells what they are."


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mp3net {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train a generator on your own recordings and make music with it: prepare, train, generate, evaluate."""


@app.command()
def prepare(
    out: Annotated[Path, typer.Option(help="Folder for the dataset; must not hold another one.")],
    folder: Annotated[Path | None, typer.Argument(help="Folder of recordings, searched at any depth.")] = None,
    preset_name: Annotated[
        str | None,
        typer.Option("--preset", help=f"Take rate, channels and shortest piece from a preset. {PRESET_HELP}"),
    ] = None,
    sample_rate: Annotated[int | None, typer.Option(help="Hz; default 22016, or the preset's.")] = None,
    channels: Annotated[
        int | None, typer.Option(help="1 mixes to mono, 2 keeps stereo; default 2, or the preset's.")
    ] = None,
    min_duration: Annotated[
        float | None, typer.Option(help="Skip shorter files, in seconds; default 1, or the preset's track.")
    ] = None,
    level: Annotated[str, typer.Option(help="peak, loudness (see --loudness) or original.")] = "peak",
    loudness: Annotated[
        float | None, typer.Option(help="LUFS, for --level loudness; peaks stay below full scale. Default -20.")
    ] = None,
    trim_silence: Annotated[
        str, typer.Option(help="Cut ends that stay so many dB below the recording's peak; or off.", metavar="DB")
    ] = "-60",
    keep_dc: Annotated[bool, typer.Option("--keep-dc", help="Do not subtract the mean of each channel.")] = False,
    keep_duplicates: Annotated[
        bool, typer.Option("--keep-duplicates", help="Keep the same audio under other names or formats.")
    ] = False,
    heldout: Annotated[
        float | None, typer.Option(help="Share of pieces kept from training, to judge results by. Default 0.1.")
    ] = None,
    split_seed: Annotated[int, typer.Option(help="Chooses which pieces are held out.")] = 0,
    maestro: Annotated[
        Path | None, typer.Option(help="Instead of FOLDER: the MAESTRO collection, in its own splits.")
    ] = None,
    years: Annotated[str | None, typer.Option(help="With --maestro: only these, such as 2004,2006,2008,2009.")] = None,
    title: Annotated[str, typer.Option(help="For the dataset's card.")] = "",
    source: Annotated[str, typer.Option(help="For the dataset's card: where the recordings come from.")] = "",
    licence: Annotated[str, typer.Option(help="For the dataset's card, such as CC-BY-4.0.")] = "",
    workers: Annotated[int, typer.Option(help="Processes that decode at the same time.", min=1)] = os.cpu_count() or 1,
    shard: Annotated[
        str | None,
        typer.Option(help="K/N: decode only this part, as one of N jobs; then once more without it.", metavar="K/N"),
    ] = None,
    ray: Annotated[
        str | None, typer.Option(help="Decode on a Ray cluster: its address, auto or local.", metavar="ADDRESS")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read the headers, print hours and disk need, write nothing.")
    ] = False,
) -> None:
    """Turn a folder of recordings (WAV, FLAC, OGG, Opus, MP3, M4A/AAC ...) into a dataset.

    Files are recognised by content. Ends with a table of what was kept or left out and why. Interrupted, the same command
    goes on where it stopped.
    """
    from mp3net.apps import prepare as room

    if loudness is not None and level != "loudness":
        raise Mp3netError(f"--loudness {loudness:g} belongs to --level loudness")
    if heldout is not None and maestro is not None:
        raise Mp3netError(f"--heldout {heldout:g}: --maestro has splits of its own; leave it out")
    settings: dict[str, object] = {
        "split_seed": split_seed, "level": level,
        "trim_silence_db": room.trim_threshold(trim_silence), "remove_dc": not keep_dc,
        "drop_duplicates": not keep_duplicates,
    }  # fmt: skip
    if preset_name is not None:
        chosen = preset(preset_name)
        settings |= {"sample_rate_hz": chosen.audio.sample_rate_hz, "channels": chosen.audio.channels}
        settings["min_duration_s"] = chosen.track_samples / chosen.audio.sample_rate_hz
    given = {"sample_rate_hz": sample_rate, "channels": channels, "min_duration_s": min_duration}
    given |= {"heldout_share": heldout, "loudness_lufs": loudness}
    settings |= {key: value for key, value in given.items() if value is not None}
    config = parse_config(settings, "prepare", DataConfig, PREPARE_OPTIONS)
    local(out, "--out")
    recordings = room.find(folder, maestro, years)
    if dry_run:
        room.dry_run(recordings, out, config, workers)
    else:
        room.run(recordings, out, config, workers, shard, ray, room.provenance(recordings, title, source, licence))


@app.command()
def parquet(
    data: Annotated[Path, typer.Argument(help="Dataset made by `mp3net prepare`.")],
    out: Annotated[Path, typer.Option(help="Folder for the Parquet files; must be new or empty.")],
) -> None:
    """Export a dataset as Parquet files with a card, as the Hugging Face hub takes them."""
    from mp3net.apps.prepare import to_parquet

    to_parquet(local(data, "DATA"), local(out, "--out"))


@app.command()
def train(
    data: Annotated[
        str,
        typer.Argument(
            help="Dataset made by `mp3net prepare`: a folder, or where a copy of it lies (s3://, https://)."
        ),
    ],
    preset_name: Annotated[str, typer.Option("--preset", help=PRESET_HELP)],
    out: Annotated[Path, typer.Option(help="Run directory: checkpoints, snapshots, metrics, samples.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting of the preset, e.g. optimiser.batch_size=4; repeatable."),
    ] = None,
    tracks: Annotated[
        int | None,
        typer.Option(help="Train until so many tracks were seen, rounded up to whole iterations (run.total_tracks)."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads of each process; default: all cores.", min=1)] = None,
    init_from: Annotated[
        Path | None,
        typer.Option(help="Begin with both networks of this snapshot or run; a run that exists goes on from itself."),
    ] = None,
    train_blocks: Annotated[
        str | None,
        typer.Option(
            help="all, or last-N (N from 1): only the N blocks nearest to the audio, in both networks.", metavar="WHICH"
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and end; nothing is written.")] = False,
) -> None:
    """Train the networks of a preset on a dataset. The same command again resumes.

    Prints the plan first: time, memory, disk. Ctrl-C saves a checkpoint and ends. Listen to RUN/samples, or open
    RUN/tensorboard. On several GPUs or machines: torchrun --nproc-per-node N -m mp3net train ...
    """
    from mp3net.apps.train import last_blocks, run

    config = override(preset(preset_name), settings or [])
    if tracks is not None:
        config = override(config, [f"run.total_tracks={tracks}"], "--tracks")
    if train_blocks is not None:
        config = override(config, [f"optimiser.train_last_blocks={last_blocks(train_blocks)}"], "--train-blocks")
    run(data, preset_name, config, local(out, "--out"), device, threads, init_from, dry_run)


@app.command()
def generate(
    snapshot: Annotated[
        Path | None,
        typer.Argument(help="Snapshot or run directory; default: the bundled snapshot.", show_default=False),
    ] = None,
    seed: Annotated[str, typer.Option(help="Seeds: 7, or 1..8, or 1,5,9.")] = "1",
    duration: Annotated[
        float | None,
        typer.Option(
            help="Length in seconds, up to a quarter of an hour; default: that of the tracks in training. The paper's "
            "networks know no other.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder, or the name of one file; default ./song.FORMAT, or ./songs for several seeds.",
            show_default=False,
        ),
    ] = None,
    audio_format: Annotated[
        str | None,
        typer.Option(
            "--format", help="wav, flac, ogg or mp3; default: the ending of --out, else wav.", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
    normalize: Annotated[
        bool, typer.Option("--normalize", help="Raise or lower every song to a peak of -0.01 dBFS.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "cpu",
    precision: Annotated[str, typer.Option(help="float32, or bfloat16: faster where the hardware has it.")] = "float32",
) -> None:
    """Make music: one song per seed. The same seed on the same machine always gives the same samples."""
    from mp3net.apps.generate import run

    run(snapshot, seed, duration, out, audio_format, force, normalize, device, precision)


@app.command()
def evaluate(
    data: Annotated[Path, typer.Option(help="Dataset made by `mp3net prepare`: the real music to compare with.")],
    out: Annotated[Path, typer.Option(help="Folder for report.json and report.html.")],
    snapshot: Annotated[
        Path | None,
        typer.Argument(help="Snapshot or run directory; default: the bundled snapshot.", show_default=False),
    ] = None,
    audio: Annotated[
        Path | None,
        typer.Option(help="Judge the audio files of this folder instead of a snapshot.", show_default=False),
    ] = None,
    samples: Annotated[int, typer.Option(help="Clips per set, at least 32.", min=32)] = 256,
    seconds: Annotated[
        float | None,
        typer.Option(
            help="Length of a clip; default: the model's songs, or the shortest file above half the median.",
            min=0.1,
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Chooses clips; also the first seed of generated songs.", min=0)] = 0,
    measures: Annotated[
        str | None,
        typer.Option(
            help="Some of: spectrum, logmel, timbre, notes, structure, memory, and the slow piano; default: all but piano.",
            show_default=False,
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Where features and the ladder are kept; default: DATA/evaluation.", show_default=False),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps: where songs are generated.")] = "cpu",
    precision: Annotated[str, typer.Option(help="float32, or bfloat16: faster where the hardware has it.")] = "float32",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: all cores.", min=1)] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing report.")] = False,
    match_level: Annotated[
        bool,
        typer.Option(
            "--match-level", help="With --audio: one gain for all files that gives them the level of real clips."
        ),
    ] = False,
) -> None:
    """Say how good a model is: every number with the floor of real music, an interval, and its place on a ladder of faults.

    The first evaluation with a dataset computes the ladder (minutes) and keeps it. Interrupted, the same command goes on.
    docs/evaluation.md explains every metric.
    """
    from mp3net.apps.evaluate import run

    run(
        snapshot,
        audio,
        local(data, "--data"),
        local(out, "--out"),
        samples,
        seconds,
        seed,
        measures,
        cache,
        device,
        precision,
        threads,
        force,
        match_level,
    )


@app.command()
def info(
    path: Annotated[
        Path | None,
        typer.Argument(help="Snapshot, run directory or dataset; default: list the presets.", show_default=False),
    ] = None,
) -> None:
    """Describe a snapshot, a run or a dataset; without a path, list the presets."""
    from mp3net.apps.info import run

    run(local(path, "PATH") if path is not None else None)


def main() -> None:
    """Entry point: user errors become one line and exit status 2."""
    try:
        app()
    except Mp3netError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
