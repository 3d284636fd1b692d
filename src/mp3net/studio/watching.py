"""A training as a visitor sees it: a verdict, curves beside those of a reference, and samples through time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mp3net.training.course import Course, Point, read_course
from mp3net.training.origin import read_origin
from mp3net.training.progress import format_duration
from mp3net.training.reference import Reference, beside, reference_for
from mp3net.training.verdict import State, judge

SAMPLES_FOLDER = "samples"
# So many moments of a training are heard side by side.
MOMENTS = 6
WORDS: dict[State, str] = {
    "early": "Too early to tell",
    "improving": "On track: it is getting better",
    "flat": "It has stopped getting better",
    "good": "It is as good as can be told here",
    "collapsed": "It has collapsed",
    "discriminator ahead": "The discriminator is far ahead",
    "discriminator behind": "The discriminator has lost",
    "unstable": "It is unstable",
    "learned by heart": "It learns the recordings by heart",
    "copies": "It copies the recordings",
}
PANELS = (
    ("evaluation/kernel_logmel", "kernel distance (lower is better)", ""),
    ("evaluation/coverage_logmel", "coverage (1 is full)", ""),
    ("evaluation/octave_flatness", "octave flatness: pitch", "evaluation/octave_flatness_real"),
    ("evaluation/octave_flatness_spread", "flatness spread: variety of songs", "evaluation/octave_flatness_spread_real"),
)


@dataclass(frozen=True)
class Moment:
    """A point of a training at which songs were kept: after so much training, in words."""

    tracks_seen: int
    words: str


def told(run: Path) -> str:
    """The verdict on a run as Markdown: what it is, the numbers that it rests on, what to do, and time left."""
    config = read_origin(run).config
    course = read_course(run)
    verdict = judge(course)
    total = config.run.total_tracks
    rate = course.tracks_per_hour()
    said = [f"### {WORDS[verdict.state]}", f"{verdict.because[0].upper()}{verdict.because[1:]}."]
    if verdict.advice:
        said.append(f"**What to do:** {verdict.advice}.")
    reference = reference_for(config)
    if reference is not None and (compared := beside(course, reference)):
        said.append(f"{compared[0].upper()}{compared[1:]}.")
    done = f"{course.tracks_seen:,} of {total:,} tracks"
    if course.tracks_seen >= total:
        said.append(f"{done}: finished.")
    else:
        left = f", {format_duration(3600 * (total - course.tracks_seen) / rate)} left at its latest rate" if rate else ""
        said.append(f"{done}{left}.")
    return "\n\n".join(said)


def moments(run: Path) -> list[Moment]:
    """Up to MOMENTS points from the first to the last, spread evenly over the logarithm of the tracks seen."""
    folders = (run / SAMPLES_FOLDER).glob("tracks-*")
    seen = sorted(int(found[1]) for folder in folders if (found := re.fullmatch(r"tracks-(\d{12})", folder.name)))
    if len(seen) > MOMENTS:
        wanted = np.geomspace(seen[0], seen[-1], MOMENTS)
        seen = sorted({min(seen, key=lambda tracks: abs(tracks - goal)) for goal in wanted})
    course = read_course(run)
    return [Moment(tracks, f"after {format_duration(3600 * course.hours_at(tracks))}, {tracks:,} tracks") for tracks in seen]


def seeds_at(run: Path, tracks_seen: int) -> list[int]:
    """The seeds whose songs were kept at a moment."""
    folder = run / SAMPLES_FOLDER / f"tracks-{tracks_seen:012d}"
    return sorted(int(found[1]) for path in folder.glob("*.wav") if (found := re.fullmatch(r"seed-(\d+)\.wav", path.name)))


def sample(run: Path, tracks_seen: int, seed: int) -> Path:
    """Where a song of a moment lies; made of numbers alone."""
    return run / SAMPLES_FOLDER / f"tracks-{int(tracks_seen):012d}" / f"seed-{int(seed)}.wav"


def curves(run: Path) -> Figure | None:
    """The light evaluations of a run, and behind them those of its reference; None before the first."""
    course, reference = read_course(run), reference_for(read_origin(run).config)
    if not course.evaluated:
        return None
    figure = Figure(figsize=(9, 5.2), dpi=100, layout="constrained")
    for axis, (name, title, real) in zip(figure.subplots(2, 2).flat, PANELS, strict=True):
        if reference is not None:
            axis.plot(*_line(reference.course, name), color="#b8bcc4", linewidth=3, label=_label(reference))
        axis.plot(*_line(course, name), color="#b3408e", marker="o", markersize=3, linewidth=1.4, label="this training")
        if real:
            axis.axhline(
                course.evaluated[-1].readings[real], color="#0a7d2c", linewidth=1, linestyle=":", label="real music"
            )
        if name.endswith("kernel_logmel"):
            axis.set_yscale("log")
            axis.yaxis.set_major_formatter("{x:g}")
            axis.yaxis.set_minor_formatter("{x:g}")
        axis.set_title(title, fontsize=10, loc="left")
        axis.grid(alpha=0.25)
    for axis in figure.axes[2:]:
        axis.set_xlabel("thousand tracks")
    figure.axes[2].legend(frameon=False, fontsize=8)
    return figure


def _line(course: Course, name: str) -> tuple[list[float], list[float]]:
    points: list[Point] = [point for point in course.evaluated if name in point.readings]
    return [point.tracks_seen / 1000 for point in points], [max(point.readings[name], 1e-3) for point in points]


def _label(reference: Reference) -> str:
    return f"reference: {reference.data}"
