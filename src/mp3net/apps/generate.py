"""`mp3net generate`: which songs, which files, and what came out."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mp3net.apps.device import open_model
from mp3net.apps.ending import ended_tidily
from mp3net.apps.targets import (
    check_files,
    check_space,
    known_format,
    parse_duration,
    parse_seeds,
    parse_slides,
    plan_targets,
)
from mp3net.apps.waiting import Waiting
from mp3net.audio import encoding
from mp3net.audio.growing import GrowingFile, GrowingPipe, Leveller
from mp3net.audio.stored import StoredAudio
from mp3net.errors import Mp3netError
from mp3net.files import existing_part
from mp3net.generation import CEILING, MP3net, Origin, SongSettings, format_called, read_origin
from mp3net.generation.song_settings import checked
from mp3net.words import mono_or_stereo

STANDARD_OUTPUT = Path("-")
# Settings of songs as options, where they have other names.
OPTIONS = {name: f"--{name.replace('_', '-')}" for name in SongSettings.model_fields}
OPTIONS |= {"duration_s": "--duration", "sliders": "--slide"}
# Where tracks in training are shorter than this, songs are this long unless something else is asked for.
USUAL_S = 20.0
MADE = "s made", "times real time"
# Songs of more samples (all channels) than this are kept on disk while they are made.
MOST_IN_MEMORY = 10_000_000


@dataclass(frozen=True)
class Request:
    """The command line of `mp3net generate`; None for options that were not given."""

    snapshot: Path | None = None
    seed: str = "1"
    duration: str | None = None
    variations: str | None = None
    path: str | None = None
    like: Path | None = None
    slides: tuple[str, ...] = ()
    settings: dict[str, Any] | None = None
    out: Path | None = None
    audio_format: str | None = None
    force: bool = False
    stream: bool = False
    device: str = "auto"
    precision: str = "float32"


def run(request: Request) -> None:
    """Check everything that can be checked first, then generate and save song by song."""
    origin = read_origin(request.like) if request.like is not None else None
    if origin is not None:
        _check_alone(request)
        request = replace(request, stream=origin.settings.streamed)
    songs = [origin.settings] if origin is not None else _wanted(request)
    if request.stream and any(song.normalize for song in songs):
        raise Mp3netError("--normalize: the peak of a stream is known only at its end; leave out one of them and --stream")
    with ended_tidily():
        if request.out == STANDARD_OUTPUT:
            _pipe(request, songs, origin)
        else:
            _files(request, songs, origin)


def _files(request: Request, songs: list[SongSettings], origin: Origin | None) -> None:
    """Write each song to its file."""
    targets = plan_targets(songs, request.out, request.audio_format)
    model, songs = _model(request, songs, origin)
    check_files(targets, request.force)
    samples = model.config.audio.channels * model.song_samples(songs[0].duration_s)
    check_space(targets, samples, kept=samples > MOST_IN_MEMORY and not request.stream)
    for song, target in zip(songs, targets, strict=True):
        write = _grow if request.stream else _write
        print(f"{target}: {write(model, song, target)}", flush=True)


def _check_alone(request: Request) -> None:
    """Errors: Mp3netError if --like stands beside options that would make another song."""
    usual = Request()
    options = {name: name for name in ("seed", "duration", "path", "stream", "device", "precision")}
    options |= {"variations": "variation", "slides": "slide"}
    given = [f"--{name.replace('_', '-')}" for name in request.settings or {}]
    given += [f"--{option}" for name, option in options.items() if getattr(request, name) != getattr(usual, name)]
    if given:
        raise Mp3netError(f"--like makes the same song again: leave out {', '.join(given)}, or --like")


def _wanted(request: Request) -> list[SongSettings]:
    """The songs that the options describe."""
    given = dict(request.settings or {})
    if request.duration is not None:
        given["duration_s"] = parse_duration(request.duration)
    if request.path is not None:
        given["path"] = parse_seeds(request.path, "--path")
    if request.slides:
        given["sliders"] = parse_slides(request.slides)
    if request.variations is None and given.get("strength"):
        raise Mp3netError("--strength: says how far --variation goes; name variations too, such as --variation 1..4")
    if request.variations is not None and "strength" not in given:
        raise Mp3netError("--variation: give --strength too, from 0 (the song itself) to 1 (another song)")
    variations = parse_seeds(request.variations, "--variation") if request.variations is not None else [0]
    return [
        checked(given | {"seed": seed, "variation": variation}, OPTIONS)
        for seed in parse_seeds(request.seed)
        for variation in variations
    ]


def _model(request: Request, songs: list[SongSettings], origin: Origin | None) -> tuple[MP3net, list[SongSettings]]:
    """The model that is asked for, and the songs with their duration.

    Errors: Mp3netError if it cannot make them, or is not the one that made the song to be repeated."""
    device, precision = request.device, request.precision
    if origin is not None:
        device, precision = origin.device_and_precision
    model = open_model(request.snapshot, device, precision)
    if origin is not None:
        assert model.snapshot is not None
        if model.snapshot.digest != origin.snapshot:
            raise Mp3netError(
                f"--like {request.like}: was made by the snapshot {origin.snapshot}, and {model.snapshot.folder} is "
                f"{model.snapshot.digest}; name the one that made it"
            )
        if origin.sliders and model.sliders.digest != origin.sliders:
            raise Mp3netError(
                f"--like {request.like}: was made with the sliders {origin.sliders}, and {model.snapshot.folder} has "
                f"{model.sliders.digest}: they were found anew since then"
            )
    elif songs[0].duration_s is None and model.any_length and model.song_duration_s < USUAL_S:
        songs = [song.model_copy(update={"duration_s": USUAL_S}) for song in songs]
    for song in songs[:1]:
        model.check(song)
    return model, songs


def _pipe(request: Request, songs: list[SongSettings], origin: Origin | None) -> None:
    """Write one song to standard output, and what came out to standard error."""
    if len(songs) > 1:
        raise Mp3netError(f"--out - writes one song, but there are {len(songs)}; name a folder")
    ending = known_format(request.audio_format) or "wav"
    if request.stream and ending != "wav":
        raise Mp3netError(f"--stream --out -: writes WAV, not {ending}; name a file to grow")
    if sys.stdout.isatty():
        raise Mp3netError("--out -: standard output is a terminal; send it to a program or a file, or name one with --out")
    model, (song,) = _model(request, songs, origin)
    try:
        if request.stream:
            came_out = _grow(model, song, None)
        else:
            with TemporaryDirectory(prefix="mp3net-") as folder:
                target = Path(folder) / f"song.{ending}"  # writers of audio files go back to fill in the header
                came_out = _write(model, song, target)
                sys.stdout.buffer.write(target.read_bytes())
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at the end
        raise Mp3netError("--out -: the reading program ended before it had the whole song") from None
    except OSError as error:
        raise Mp3netError(f"--out -: standard output cannot be written: {error.strerror}") from None
    print(f"standard output: {came_out}", file=sys.stderr)


def _write(model: MP3net, settings: SongSettings, target: Path) -> str:
    """Generate and save one song; returns what came out, in words."""
    started = time.perf_counter()
    channels = model.config.audio.channels
    if channels * model.song_samples(settings.duration_s) > MOST_IN_MEMORY:
        return _write_long(model, settings, target)
    song = model.song(settings)
    rate = song.save(target)
    took_s = time.perf_counter() - started
    return _describe(model, settings, song.duration_s, took_s, f"peak {song.peak:.3f}", rate, song.gain)


def _write_long(model: MP3net, settings: SongSettings, target: Path) -> str:
    """The same in memory that does not depend on the duration."""
    started = time.perf_counter()
    rate, channels = model.config.audio.sample_rate_hz, model.config.audio.channels
    total_s = model.song_samples(settings.duration_s) / rate
    waiting = Waiting(*MADE)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with StoredAudio(existing_part(target.parent), channels) as stored:
            for piece in model.pieces(settings):
                stored.append(piece)
                waiting(stored.shape[1] / rate, total_s)
            peak = stored.peak
            if peak > 1 or (settings.normalize and peak):
                stored.gain = CEILING / peak
            tags = model.tags(settings)
            file_rate = encoding.write(target, stored, rate, format_called(target.suffix[1:]), tags)
            gain = 1.0 if settings.normalize else stored.gain
    except OSError as error:
        raise Mp3netError(f"{target}: cannot be written: {error.strerror}") from None
    took_s = time.perf_counter() - started
    return _describe(model, settings, total_s, took_s, f"peak {peak * (stored.gain / gain):.3f}", file_rate, gain)


def _grow(model: MP3net, settings: SongSettings, target: Path | None) -> str:
    """Write a song while it is made, to a file or to standard output."""
    started = time.perf_counter()
    rate, channels = model.config.audio.sample_rate_hz, model.config.audio.channels
    total_s = model.song_samples(settings.duration_s) / rate
    level, waiting = Leveller(rate), Waiting(*MADE)
    first_s, done = 0.0, 0
    tags = model.tags(settings.model_copy(update={"streamed": True}))
    if target is None:
        file: GrowingFile | GrowingPipe = GrowingPipe(sys.stdout.buffer, channels, rate, tags)
    else:
        file = GrowingFile(target, channels, rate, format_called(target.suffix[1:]), tags)
    pieces = model.pieces(settings, window_s=5.0)
    with file:
        for piece in pieces:
            file.append(level(piece))
            first_s = first_s or time.perf_counter() - started
            done += piece.shape[1]
            waiting(done / rate, total_s)
    took_s = time.perf_counter() - started
    return _describe(model, settings, done / rate, took_s, f"first sound after {first_s:.2f} s", rate, level.gain)


def _describe(
    model: MP3net, settings: SongSettings, duration_s: float, took_s: float, came: str, file_rate_hz: int, gain: float
) -> str:
    rate, channels = model.config.audio.sample_rate_hz, model.config.audio.channels
    resampled = f" (resampled to {file_rate_hz} Hz for MP3)" if file_rate_hz != rate else ""
    lowered = f", lowered by {1 / gain:.3f}x to avoid clipping" if gain < 1 else ""
    return (
        f"{duration_s:.2f} s {mono_or_stereo(channels)} at {rate} Hz{resampled}, {settings.words}, "
        f"made in {took_s:.2f} s, {came}{lowered}"
    )
