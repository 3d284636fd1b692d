"""Whether a run is on track, in a sentence or two: for `mp3net train` and `mp3net info`."""

from __future__ import annotations

from pathlib import Path

from mp3net.config import Config
from mp3net.training.course import read_course
from mp3net.training.reference import beside, reference_for
from mp3net.training.verdict import judge


def on_track(run: Path, config: Config) -> str:
    """The verdict on a run, and where the reference of its preset was, if there is one."""
    course = read_course(run)
    reference = reference_for(config)
    compared = beside(course, reference) if reference is not None else ""
    return f"{judge(course)}" + (f"; {compared}" if compared else "")
