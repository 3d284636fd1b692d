"""`mp3net generate`: which seeds, which files, and what came out."""

from __future__ import annotations

import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mp3net.apps.device import open_model
from mp3net.audio.encoding import FORMATS
from mp3net.errors import Mp3netError
from mp3net.generation import CEILING, MAX_SEED, MP3net, Song, format_called
from mp3net.words import mono_or_stereo

# Extensions that nobody gives to a folder.
UNSUPPORTED = ("aac", "aif", "aiff", "au", "m4a", "mp4", "opus", "wma", "webm")

STANDARD_OUTPUT = Path("-")


@dataclass(frozen=True)
class Request:
    """The command line of `mp3net generate`; None for options that were not given."""

    snapshot: Path | None = None
    seed: str = "1"
    duration_s: float | None = None
    out: Path | None = None
    audio_format: str | None = None
    force: bool = False
    normalize: bool = False
    device: str = "auto"
    precision: str = "float32"


def run(request: Request) -> None:
    """Check everything that can be checked first, then generate and save song by song."""
    seeds = parse_seeds(request.seed)
    if request.out == STANDARD_OUTPUT:
        _pipe(request, seeds)
        return
    targets = plan_targets(seeds, request.out, request.audio_format)
    model = _model(request)
    existing = [str(path) for path in targets.values() if path.exists()]
    if existing and not request.force:
        more = f" and {len(existing) - 3} more" if len(existing) > 3 else ""
        raise Mp3netError(f"{', '.join(existing[:3])}{more}: exists; add --force to overwrite, or name another --out")
    for seed, target in targets.items():
        print(f"{target}: {_write(model, request, seed, target)}", flush=True)


def _pipe(request: Request, seeds: list[int]) -> None:
    """Write one song to standard output, and what came out to standard error."""
    if len(seeds) > 1:
        raise Mp3netError(f"--out - writes one song, but there are {len(seeds)} seeds; name a folder")
    ending = known_format(request.audio_format) or "wav"
    if sys.stdout.isatty():
        raise Mp3netError("--out -: standard output is a terminal; send it to a program or a file, or name one with --out")
    model = _model(request)
    with TemporaryDirectory(prefix="mp3net-") as folder:
        target = Path(folder) / f"song.{ending}"  # writers of audio files go back to fill in the header
        came_out = _write(model, request, seeds[0], target)
        try:
            sys.stdout.buffer.write(target.read_bytes())
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at the end
            raise Mp3netError("--out -: the reading program ended before it had the whole song") from None
        except OSError as error:
            raise Mp3netError(f"--out -: standard output cannot be written: {error.strerror}") from None
    print(f"standard output: {came_out}", file=sys.stderr)


def _model(request: Request) -> MP3net:
    """The model that is asked for. Errors: Mp3netError if it cannot make songs of that duration."""
    model = open_model(request.snapshot, request.device, request.precision)
    model.song_samples(request.duration_s)
    return model


def _write(model: MP3net, request: Request, seed: int, target: Path) -> str:
    """Generate and save one song; returns what came out, in words."""
    started = time.perf_counter()
    song = model.generate(seed, request.duration_s)
    if request.normalize and song.peak > 0:
        song = Song(song.audio * (CEILING / song.peak), song.sample_rate_hz, seed)
    rate = song.save(target)
    return _describe(song, rate, time.perf_counter() - started)


def parse_seeds(text: str) -> list[int]:
    """ "7" -> [7], "1..3" -> [1, 2, 3], "1,5" -> [1, 5]; Mp3netError for anything else."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,19})(?:\.\.(\d{1,19}))?\s*", part)
        first = int(match[1]) if match else 0
        last = int(match[2]) if match and match[2] else first
        if match is None or last < first or last > MAX_SEED:
            raise Mp3netError(
                f"--seed {text!r}: give a number from 0 to {MAX_SEED}, a range such as 1..8, or a list such as 1,5,9"
            )
        if last - first >= 100_000:
            raise Mp3netError(f"--seed {text!r}: at most 100,000 songs at a time")
        seeds += range(first, last + 1)
    return list(dict.fromkeys(seeds))


def known_format(name: str | None) -> str | None:
    """`--format` under its usual name. Errors: Mp3netError for a format that cannot be written."""
    chosen = format_called(name) if name is not None else None
    if chosen is not None and chosen not in FORMATS:
        raise Mp3netError(f"--format {name!r}: choose one of {', '.join(FORMATS)}")
    return chosen


def plan_targets(seeds: list[int], out: Path | None, audio_format: str | None) -> dict[int, Path]:
    """The file of each seed. `out` names one file if it has an audio extension, otherwise a folder."""
    chosen = known_format(audio_format)
    ending = out.suffix[1:].lower() if out is not None else ""
    if format_called(ending) in FORMATS and out is not None and not out.is_dir():
        if len(seeds) > 1:
            raise Mp3netError(f"--out {out} names one file, but there are {len(seeds)} seeds; name a folder")
        if chosen not in (None, format_called(ending)):
            raise Mp3netError(f"--out {out} ends in .{ending}, but --format is {audio_format}; leave one of them out")
        return {seeds[0]: out}
    if ending in UNSUPPORTED:
        raise Mp3netError(f"--out {out}: cannot write .{ending}; the formats are: {', '.join(FORMATS)}")
    ending = chosen or "wav"
    if out is None and len(seeds) == 1:
        return {seeds[0]: Path(f"song.{ending}")}
    folder = out if out is not None else Path("songs")
    return {seed: folder / f"seed-{seed}.{ending}" for seed in seeds}


def _describe(song: Song, file_rate_hz: int, took_s: float) -> str:
    resampled = f" (resampled to {file_rate_hz} Hz for MP3)" if file_rate_hz != song.sample_rate_hz else ""
    lowered = f", lowered by {1 / song.gain:.3f}x to avoid clipping" if song.gain < 1 else ""
    return (
        f"{song.duration_s:.2f} s {mono_or_stereo(len(song.audio))} at {song.sample_rate_hz} Hz{resampled}, "
        f"seed {song.seed}, made in {took_s:.2f} s, peak {song.peak:.3f}{lowered}"
    )
