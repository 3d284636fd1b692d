"""`mp3net inspect`: pictures, numbers and listening checks of one recording."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mp3net.apps.ending import ended_tidily
from mp3net.apps.waiting import Waiting
from mp3net.config import preset
from mp3net.errors import Mp3netError
from mp3net.files import check_writable
from mp3net.inspection.album import ALBUM, NUMBERS_FILE, PAGE_FILE, facts, save_album
from mp3net.inspection.checks import write_whole
from mp3net.inspection.measuring import LEAST_S, MOST_PASSAGE_S, measure

USUAL_PRESET = "mp3net2-95s"
WITH_NOISE_FILE, NOISE_FILE = "with-noise.flac", "noise.flac"


@dataclass(frozen=True)
class Request:
    """The command line of `mp3net inspect`; None for options that were not given."""

    file: Path
    out: Path | None
    preset: str
    at: str | None
    seconds: float
    sounds: bool
    force: bool


def run(request: Request) -> None:
    """Check what can be checked beforehand, read the file, write the album and print what was measured."""
    audio = preset(request.preset).audio
    if not LEAST_S <= request.seconds <= MOST_PASSAGE_S:
        raise Mp3netError(f"--seconds {request.seconds:g}: choose from {LEAST_S} to {MOST_PASSAGE_S:g}")
    at_s = _seconds(request.at) if request.at is not None else None
    if not request.file.is_file():
        what = "is a folder; name one recording" if request.file.is_dir() else "no such file"
        raise Mp3netError(f"{request.file}: {what}")
    view = "" if request.preset == USUAL_PRESET else f"-{request.preset}"
    out = request.out or Path(f"{request.file.stem}{view}-inspection")
    _check_out(out, request.force)
    with ended_tidily():
        waiting = Waiting("s looked at", "s/s")
        measured = measure(  # each half of the work is one reading
            request.file, audio, at_s, request.seconds, lambda done_s, total_s: waiting(done_s / 2, total_s / 2)
        )
        save_album(measured, out)
        if request.sounds:
            write_whole(measured, out / WITH_NOISE_FILE, out / NOISE_FILE, Waiting("s written", "s/s"))
    print(f"{request.file}, at the rate and bins of {request.preset}")
    for name, text in facts(measured):
        print(f"  {name}: {text}")
    kept = f"{len(ALBUM)} pictures, {NUMBERS_FILE}" + (f", {WITH_NOISE_FILE}, {NOISE_FILE}" if request.sounds else "")
    print(f"{out / PAGE_FILE}; beside it: {kept}")


def _seconds(text: str) -> float:
    """ "65", "65.0" and "1:05" are the same time."""
    if found := re.fullmatch(r"(?:(?:(\d+):)?(\d+):(?=[0-5]?\d(?:\.|$)))?(\d+(?:\.\d*)?)", text.strip()):
        hours, minutes, seconds = found.groups("0")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    raise Mp3netError(f"--at {text}: give seconds, or minutes:seconds, such as 65 or 1:05")


def _check_out(out: Path, force: bool) -> None:
    check_writable(out)
    ours = {PAGE_FILE, NUMBERS_FILE, WITH_NOISE_FILE, NOISE_FILE, *(shown.file for shown in ALBUM)}
    there = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    if PAGE_FILE in there:
        if not force:
            raise Mp3netError(f"{out}: holds an inspection already; give --force to replace it, or --out to keep both")
        return
    if strange := [name for name in there if name not in ours]:  # ours alone: what an interrupted inspection left
        raise Mp3netError(f"{out}: holds other files, such as {strange[0]}; name a new folder with --out")
