"""The command lines of what works with a model or a sound: generate, evaluate, sliders, inspect, export, info."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mp3net.apps.options import PRESET_NAMES, Device, Open, Play, Precision, Snapshot
from mp3net.files import local


def generate(
    snapshot: Snapshot = None,
    seed: Annotated[str, typer.Option(help="Seeds: 7, or 1..8, or 1,5,9.")] = "1",
    duration: Annotated[
        str | None,
        Open(
            help="Length: 20 (seconds), 90s, 10min, 1h, 1:30. Default: that of the training tracks, at least 20 s. The "
            "paper's networks make no other than that of their tracks."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        Open(
            help="Folder, or the name of one file, or - for standard output; default: ./song.FORMAT, or ./songs for several "
            "songs."
        ),
    ] = None,
    audio_format: Annotated[
        str | None, Open("--format", help="wav, flac, ogg (.oga too) or mp3; default: the extension of --out, else wav.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
    normalize: Annotated[
        bool, typer.Option("--normalize", help="Raise or lower every song to a peak of -0.01 dBFS.")
    ] = False,
    stream: Annotated[
        bool,
        typer.Option("--stream", help="Write while generating: play the file as it grows, or pipe --out - into a player."),
    ] = False,
    like: Annotated[
        Path | None, Open(help="Make again the song of this file, which mp3net generate wrote.", metavar="FILE")
    ] = None,
    truncation: Annotated[
        float | None, Play(help="Factor of the latents, 0 to 2: below 1 more typical songs, above 1 stranger ones.")
    ] = None,
    variation: Annotated[
        str | None, Play(help="Variations of each seed, numbered as seeds are; see --strength.", metavar="SEEDS")
    ] = None,
    strength: Annotated[float | None, Play(help="How far variations go: 0 the song itself, 1 another song.")] = None,
    path: Annotated[
        str | None, Play(help="Move from the seed to this one, or these, within one song.", metavar="SEEDS")
    ] = None,
    local_seed: Annotated[
        int | None, Play(help="Another piece in the manner of the seed. Second family only.", metavar="SEED")
    ] = None,
    form: Annotated[
        str | None, Play(help="Sections, equal letters for equal ones, such as ABA. Second family only.")
    ] = None,
    slide: Annotated[
        list[str] | None,
        Play(help="Units to move a slider by, -5 to 5; repeatable. `mp3net sliders` finds them.", metavar="NAME=UNITS"),
    ] = None,
    device: Device = "auto",
    precision: Precision = "float32",
) -> None:
    """Make music: one song per seed. The same seed on the same machine always gives the same samples.

    Files carry their seed and settings: mp3net info SONG shows them.
    """
    from mp3net.apps.generate import Request, run

    playing = {"truncation": truncation, "strength": strength, "local_seed": local_seed, "form": form}
    settings = {name: value for name, value in playing.items() if value is not None}
    if normalize:
        settings["normalize"] = True
    request = Request(
        snapshot=snapshot, seed=seed, duration=duration, variations=variation, path=path,
        like=local(like, "--like"), settings=settings, slides=tuple(slide or ()), out=local(out, "--out"),
        audio_format=audio_format, force=force, stream=stream, device=device, precision=precision,
    )  # fmt: skip
    run(request)


def evaluate(
    out: Annotated[Path, typer.Option(help="Folder for report.json and report.html.")],
    snapshot: Snapshot = None,
    data: Annotated[
        Path | None,
        Open(help="Dataset made by `mp3net prepare`: the real music to compare with. Default: the run's training data."),
    ] = None,
    audio: Annotated[Path | None, Open(help="Judge the audio files of this folder instead of a snapshot.")] = None,
    samples: Annotated[int, typer.Option(help="Clips per set, at least 32.", min=32)] = 256,
    seconds: Annotated[
        float | None,
        Open(help="Length of a clip; default: the model's songs, or the shortest file above half the median.", min=0.1),
    ] = None,
    seed: Annotated[int, typer.Option(help="Chooses the clips; also the first seed of generated songs.", min=0)] = 0,
    measures: Annotated[
        str | None,
        Open(
            help="Some of: spectrum, logmel, timbre, notes, structure, pairs, memorisation, and the slow piano; default: "
            "all but piano."
        ),
    ] = None,
    cache: Annotated[Path | None, Open(help="Folder for features and the ladder; default: DATA/evaluation.")] = None,
    device: Device = "auto",
    precision: Precision = "float32",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: all cores.", min=1)] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing report.")] = False,
    match_level: Annotated[
        bool, Open("--match-level", help="With --audio: one gain for all files that gives them the real clips' level.")
    ] = False,
) -> None:
    """Rate a model: every number with the floor of real music, an interval, and its place on a ladder of faults.

    The first evaluation with a dataset computes the ladder (minutes) and keeps it. If interrupted, run the same command
    again to continue. docs/evaluation.md explains every metric.
    """
    from mp3net.apps.evaluate import Request, run

    request = Request(
        out=local(out, "--out"), snapshot=snapshot, data=local(data, "--data"),
        audio=local(audio, "--audio"), samples=samples, seconds=seconds, seed=seed, measures=measures,
        cache=local(cache, "--cache"), device=device, precision=precision, threads=threads, force=force,
        match_level=match_level,
    )  # fmt: skip
    run(request)


def sliders(
    snapshot: Snapshot = None,
    songs: Annotated[int, typer.Option(help="Songs to learn from; about five minutes for 1,500.", min=48)] = 1500,
) -> None:
    """Find sliders for a snapshot: directions of its latents with an effect that can be heard, such as register.

    They are kept beside the weights, for mp3net generate --slide NAME=UNITS. What one unit does is measured and printed.
    """
    from mp3net.apps.sliders import run

    run(snapshot, songs)


def inspect(
    file: Annotated[Path, typer.Argument(help="A recording, of any format and length.")],
    out: Annotated[Path | None, Open(help="Folder for the pictures and the page; default: ./NAME-inspection.")] = None,
    preset: Annotated[
        str, typer.Option(help=f"Look at it at the sample rate and bins of this preset: {PRESET_NAMES}.")
    ] = "mp3net2-95s",
    at: Annotated[
        str | None,
        Open(help="Where the passage begins that is looked at closely, in seconds or as 1:05; default: the loudest."),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Length of that passage, 0.5 to 60.")] = 10.0,
    sounds: Annotated[
        bool, typer.Option("--sounds", help="Also write the whole recording with the masking noise, and the noise alone.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing inspection.")] = False,
) -> None:
    """See and hear what the method makes of a recording: MDCT, masking threshold, tonality, baseband, inaudible noise.

    Writes PNG pictures and one page, inspection.html, with listening checks; prints how much nobody can hear.
    """
    from mp3net.apps.inspect import Request, run

    run(Request(local(file, "FILE"), local(out, "--out"), preset, at, seconds, sounds, force))


def studio(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Runs (also in training), snapshots, models of the hub, and reports of mp3net evaluate; the bundled "
            "snapshot is always there.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int | None, Open(help="Port on this machine; default: the first free one from 7860 on.", min=1, max=65535)
    ] = None,
    share: Annotated[
        bool, typer.Option("--share", help="Also give it a public address for a week, through Gradio's servers.")
    ] = False,
    browser: Annotated[bool, typer.Option(help="Open it in the browser.")] = True,
    device: Device = "auto",
    precision: Precision = "float32",
) -> None:
    """Open a page on this machine: make songs, listen, blend, keep favourites, and see whether a training is on track.

    Nobody else can reach it, unless --share is given, and it opens nothing but what is named here. Needs
    pip install 'mp3net\\[studio]'.
    """
    from mp3net.apps.studio import Request, run

    run(Request(tuple(paths or ()), port, share, browser, device, precision))


def export(
    snapshot: Snapshot = None,
    export_format: Annotated[
        str,
        Open(
            "--format",
            help="onnx: one file, latent in, audio out; needs pip install 'mp3net\\[export]'. hub: a folder for the Hugging "
            "Face hub, with a card. page: a folder with a web page that makes songs in the browser. Default: onnx.",
        ),
    ] = "onnx",
    out: Annotated[Path | None, Open(help="File or folder to write; default: ./model.onnx, ./hub or ./page.")] = None,
    report: Annotated[
        Path | None, Open(help="For the card: report.json of mp3net evaluate for this snapshot.", metavar="FILE")
    ] = None,
    runtime: Annotated[
        Path | None,
        Open(help="For the page: onnxruntime-web, as npm packs it or unpacked; default: npm fetches it.", metavar="PATH"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a model for programs that have neither PyTorch nor mp3net, or for sharing."""
    from mp3net.apps.export import Request, run

    places = local(out, "--out"), export_format, local(report, "--report"), local(runtime, "--runtime")
    run(Request(snapshot, *places, force))


def info(
    path: Annotated[
        Path | None,
        typer.Argument(
            help="Snapshot, run directory, dataset, song, folder of songs, ONNX file, or the name of a preset; default: "
            "list the presets."
        ),
    ] = None,
    settings: Annotated[
        bool, typer.Option("--settings", help="Print all settings of a run or snapshot instead, as JSON for --config.")
    ] = False,
) -> None:
    """Describe a snapshot, a run (is it on track, how to repeat it), a dataset (how to finish it), a song (how it was made),
    an ONNX file, or a preset."""
    from mp3net.apps.info import run

    run(local(path, "PATH"), settings)
