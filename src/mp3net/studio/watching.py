"""A training as a visitor sees it: a verdict, curves beside those of a reference, and samples through time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from mp3net.training.course import Course, read_course
from mp3net.training.origin import read_origin
from mp3net.training.progress import format_duration
from mp3net.training.reference import Reference, reference_for
from mp3net.training.standing import Standing, standing
from mp3net.training.verdict import READINGS, Reading, State

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
# The logarithmic axis of the kernel distance ends here.
LEAST_DRAWN = 0.05
# A training has one panel for each of READINGS.
TITLES = (
    "kernel distance: 0 is real", "coverage: 1 is full", "pitch: octave flatness, 1 is real",
    "variety: its spread over songs, 1 is real",
)  # fmt: skip


@dataclass(frozen=True)
class Moment:
    """A point of a training at which songs were kept: after so much training, in words."""

    tracks_seen: int
    words: str


def told(run: Path) -> str:
    """The verdict on a run as Markdown: what it is, the numbers that it rests on, what to do, time left, and what is missing
    to be called good."""
    stands = standing(run, read_origin(run).config)
    said = [f"### {_heading(stands)}", f"{_sentence(stands.verdict.because)}."]
    if stands.verdict.advice:
        said.append(f"**What to do:** {stands.verdict.advice}.")
    if stands.compared:
        said.append(f"{_sentence(stands.compared)}.")
    said.append(f"{stands.progress}.")
    if stands.course.evaluated:
        said.append(_goals(stands.course))
    return "\n\n".join(said)


def _heading(stands: Standing) -> str:
    words = WORDS[stands.verdict.state]
    if stands.stopped:
        return f"{words} (it has stopped)"
    ended = stands.finished and stands.verdict.state == "improving"
    return "It has ended, and was still getting better" if ended else words


def _goals(course: Course) -> str:
    """A table: the last evaluation, the best so far, and what is called good."""
    now = course.evaluated[-1]
    rows = []
    for one in READINGS:
        best = min(course.evaluated, key=one.error)
        reached = "yes" if one.is_good(now) else "not yet"
        rows.append(
            f"| {one.name} | {one.shown(now)} | {one.shown(best)} ({best.tracks_seen:,}) | {one.wanted(now)} | {reached} |"
        )
    head = f"| | after {now.tracks_seen:,} tracks | best so far (tracks) | called good | reached |"
    return "\n".join([head, "|---|---|---|---|---|", *rows])


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}"


def _kept_at(run: Path) -> list[int]:
    folders = (run / SAMPLES_FOLDER).glob("tracks-*")
    return sorted(int(found[1]) for folder in folders if (found := re.fullmatch(r"tracks-(\d{12})", folder.name)))


def moments(run: Path) -> list[Moment]:
    """Up to MOMENTS points from the first to the last, spread evenly over the logarithm of the tracks seen."""
    seen = _kept_at(run)
    if len(seen) > MOMENTS:
        wanted = np.geomspace(seen[0], seen[-1], MOMENTS)
        seen = sorted({min(seen, key=lambda tracks: abs(tracks - goal)) for goal in wanted})
    course = read_course(run)
    return [Moment(tracks, f"after {format_duration(3600 * course.hours_at(tracks))}, {tracks:,} tracks") for tracks in seen]


def samples_note(run: Path) -> str:
    """What the moments are, and where the others are."""
    seconds, count, chosen = read_origin(run).config.track_duration_s, len(_kept_at(run)), len(moments(run))
    more = f" {chosen} of {count} moments; all are in {run / SAMPLES_FOLDER}." if chosen < count else ""
    return f"Each is as long as a track of this training, {seconds:.1f} s; under Play, songs are longer.{more}"


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
    figure = Figure(figsize=(7.2, 6), dpi=110, layout="constrained")
    for axis, reading, title in zip(figure.subplots(2, 2).flat, READINGS, TITLES, strict=True):
        if reference is not None:
            axis.plot(*_line(reference.course, reading), color="#b8bcc4", linewidth=3, label=_label(reference))
        axis.plot(*_line(course, reading), color="#b3408e", marker="o", markersize=3, linewidth=1.4, label="this training")
        for bound in reading.bounds(course.evaluated[-1]):
            if bound is not None:
                bound = bound if reading.fixed is not None else bound / reading.real(course.evaluated[-1])
                axis.axhline(bound, color="#0a7d2c", linewidth=1, linestyle=":", label="called good")
        axis.set_title(title, fontsize=10, loc="left")
        axis.grid(alpha=0.25)
    _logarithmic(figure.axes[0])
    for axis in figure.axes[2:]:
        axis.set_xlabel("thousand tracks")
    handles = dict(zip(*reversed(figure.axes[2].get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def _logarithmic(axis: Axes) -> None:
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())


def _line(course: Course, reading: Reading) -> tuple[list[float], list[float]]:
    """Relative to real music, so that trainings on different recordings can be compared."""
    seen = [point.tracks_seen / 1000 for point in course.evaluated]
    if reading.fixed is None:
        return seen, [reading.value(point) / max(reading.real(point), 1e-9) for point in course.evaluated]
    return seen, [max(reading.value(point), LEAST_DRAWN) for point in course.evaluated]


def _label(reference: Reference) -> str:
    return f"reference: {reference.data}"
