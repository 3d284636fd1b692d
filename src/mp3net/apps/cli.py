"""The `mp3net` command. Each subcommand imports what it needs when it runs, so `--help` answers at once."""

from __future__ import annotations

import itertools
import re
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mp3net import __version__
from mp3net.apps.listening_commands import evaluate, export, generate, info, inspect, sliders, studio
from mp3net.apps.options import PRESET_HELP, Card, Device, Open, Selection, Sound, Work
from mp3net.errors import Mp3netError
from mp3net.files import local

# What is added where a command itself does not say what an interruption left; the others have nothing to add.
AFTER_INTERRUPTION = {"train": " before training began; the same command begins again"}


class _Commands(TyperGroup):
    """Ctrl-C at any time, also while libraries are still loading, ends a command with one line and exit status 130."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print(f"interrupted{AFTER_INTERRUPTION.get(ctx.invoked_subcommand or '', '')}", file=sys.stderr)
            sys.exit(128 + signal.SIGINT)


app = typer.Typer(
    name="mp3net",
    cls=_Commands,
    help="Train a generator on your own recordings and make music with it: prepare, train, generate, evaluate.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mp3net {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Train a generator on your own recordings and make music with it: prepare, train, generate, evaluate."""


@app.command()
def prepare(
    out: Annotated[Path, typer.Option(help="Folder for the dataset; must not hold another one.")],
    folder: Annotated[Path | None, typer.Argument(help="Folder of recordings, searched at any depth.")] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help=f"Take rate, channels and minimum duration from a preset, which `train` then uses too. {PRESET_HELP}"
        ),
    ] = None,
    sample_rate: Annotated[int | None, Sound(help="Sample rate in Hz; default: 22016, or the preset's.")] = None,
    channels: Annotated[int | None, Sound(help="1 mixes to mono, 2 keeps stereo; default: 2, or the preset's.")] = None,
    downmix: Annotated[
        bool, Sound("--downmix", help="Mix recordings of more than two channels down to stereo, as ITU-R BS.775 says.")
    ] = False,
    level: Annotated[str, Sound(help="Level of recordings: peak, loudness (see --loudness) or original.")] = "peak",
    loudness: Annotated[
        float | None, Sound(help="LUFS, for --level loudness; peaks stay below full scale. Default: -20.")
    ] = None,
    trim_silence: Annotated[
        str, Sound(help="Cut ends that stay this many dB below the recording's peak; or off.", metavar="DB")
    ] = "-60",
    keep_dc: Annotated[bool, Sound("--keep-dc", help="Do not subtract the mean of each channel.")] = False,
    min_duration: Annotated[
        float | None, Selection(help="Skip files shorter than this, in seconds; default: 1, or the preset's track.")
    ] = None,
    strict: Annotated[
        bool,
        Selection("--strict", help="Leave out files of which more than 1 % or 2 s is missing, instead of keeping the rest."),
    ] = False,
    keep_duplicates: Annotated[
        bool, Selection("--keep-duplicates", help="Keep copies of the same audio under other names or formats.")
    ] = False,
    heldout: Annotated[
        float | None, Selection(help="Share of pieces held out from training, for evaluation. Default: 0.1.")
    ] = None,
    split_seed: Annotated[int, Selection(help="Seed that chooses which pieces are held out.")] = 0,
    maestro: Annotated[Path | None, Selection(help="Instead of FOLDER: the MAESTRO folder, with its own splits.")] = None,
    years: Annotated[str | None, Selection(help="With --maestro: only these years, such as 2004,2006,2008,2009.")] = None,
    title: Annotated[str, Card(help="Name of the dataset.")] = "",
    source: Annotated[str, Card(help="Where the recordings come from.")] = "",
    licence: Annotated[str, Card(help="Licence of the recordings, such as CC-BY-4.0.")] = "",
    workers: Annotated[
        int | None,
        Work(help="Number of processes that decode in parallel; default: what processors and memory allow.", min=1),
    ] = None,
    shard: Annotated[
        str | None, Work(help="Decode only part K, as one of N jobs; finally run once more without it.", metavar="K/N")
    ] = None,
    ray: Annotated[str | None, Work(help="Decode on a Ray cluster: its address, auto or local.", metavar="ADDRESS")] = None,
    dry_run: Annotated[bool, Work("--dry-run", help="Read headers, print hours and disk space, write nothing.")] = False,
) -> None:
    """Turn a folder of recordings (WAV, FLAC, OGG, Opus, MP3, M4A/AAC ...) into a dataset.

    Files are recognised by content. A table at the end shows what was kept or left out, and why. If interrupted, run the
    same command again to continue.
    """
    from mp3net.apps.prepare import Request, run
    from mp3net.data.inventory import Provenance

    settings = {
        "sample_rate_hz": sample_rate, "channels": channels, "min_duration_s": min_duration, "level": level,
        "loudness_lufs": loudness, "heldout_share": heldout, "split_seed": split_seed, "remove_dc": not keep_dc,
        "drop_duplicates": not keep_duplicates, "downmix": downmix, "strict": strict,
    }  # fmt: skip
    provenance = Provenance(title or Provenance.title, source, licence)
    request = Request(
        out=local(out, "--out"), settings=settings, trim_silence=trim_silence, folder=local(folder, "FOLDER"),
        maestro=local(maestro, "--maestro"), years=years, preset=preset, provenance=provenance, workers=workers,
        shard=shard, ray=ray, dry_run=dry_run,
    )  # fmt: skip
    run(request)


@app.command()
def parquet(
    data: Annotated[Path, typer.Argument(help="Dataset made by `mp3net prepare`.")],
    out: Annotated[Path, typer.Option(help="Folder for the Parquet files; must be new or empty.")],
) -> None:
    """Export a dataset as Parquet files with a card, ready for the Hugging Face hub."""
    from mp3net.apps.prepare import to_parquet

    to_parquet(local(data, "DATA"), local(out, "--out"))


@app.command()
def train(
    out: Annotated[Path, Open(help="Run directory: checkpoints, snapshots, metrics, samples.")],
    data: Annotated[
        str | None,
        typer.Argument(
            help="Dataset made by `mp3net prepare`: a folder, or the URL of a copy (s3://, https://). Default: that "
            "of the run in --out, if there is one."
        ),
    ] = None,
    preset: Annotated[
        str | None,
        Open(
            help=f"{PRESET_HELP} Default: the configuration of the run in --out, or the preset that DATA was prepared for."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        Open(
            help="Instead of --preset: a configuration as JSON, such as RUN/run.json of a run (which also names its data).",
            metavar="FILE.json",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Change a setting, e.g. optimiser.batch_size=4; repeatable.", metavar="SECTION.KEY=VALUE"
        ),
    ] = None,
    tracks: Annotated[
        int | None,
        typer.Option(help="Train until this many tracks were seen, rounded up to whole iterations (run.total_tracks)."),
    ] = None,
    device: Device = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads per process; default: all cores.", min=1)] = None,
    init_from: Annotated[
        Path | None,
        typer.Option(
            help="Start from both networks of this snapshot or run, or of the bundled snapshot: `bundled`. An existing run "
            "resumes instead."
        ),
    ] = None,
    train_blocks: Annotated[
        str | None,
        typer.Option(
            help="all, or last-N: only the N blocks (at least 1) nearest to the audio, in both networks.", metavar="WHICH"
        ),
    ] = None,
    data_changed: Annotated[
        bool, typer.Option("--data-changed", help="Go on with a run although its dataset has changed; the run keeps a note.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and exit; nothing is written.")] = False,
) -> None:
    """Train networks on a dataset. To resume, run the same command again, or `mp3net train --out RUN`.

    Prints the plan first: time, memory, disk. Ctrl-C saves a checkpoint and exits. Listen to RUN/samples, or open
    RUN/tensorboard. On several GPUs or machines: torchrun --nproc-per-node N -m mp3net train ...
    """
    from mp3net.apps.train import Request, run

    request = Request(
        out=local(out, "--out"), data=data, preset=preset, config=local(config, "--config"),
        settings=tuple(settings or ()), tracks=tracks, train_blocks=train_blocks, device=device, threads=threads,
        init_from=local(init_from, "--init-from"), dry_run=dry_run, data_changed=data_changed,
    )  # fmt: skip
    run(request)


for command in (generate, studio, evaluate, inspect, sliders, export, info):
    app.command()(command)


def _check_arguments(arguments: list[str]) -> None:
    """Errors: Mp3netError for an empty one: as a path it would mean the current folder."""
    for before, argument in itertools.pairwise(arguments):
        if not argument or re.fullmatch("--[a-z-]+=", argument):
            raise Mp3netError(f"{argument or before}: nothing follows; is it a variable of the shell that has no value?")


def main() -> None:
    """Entry point: user errors, and those of the system that name a file, become one line and exit status 2."""
    try:
        _check_arguments(sys.argv)
        app()
    except Mp3netError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)  # a name that is too long, a disk that fails
        sys.exit(2)
