"""What the table of results says: means over seeds with intervals, gaps to recordings, and curves against compute."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import t as student

from mp3net.errors import Mp3netError
from mp3net.figures import save_png

from .recipes import RECIPES
from .table import Row
from .worker import REAL

SHOWN = {
    "kernel_logmel": ("kernel distance, log-mel", 2),
    "kernel_notes": ("kernel distance, notes", 2),
    "coverage_logmel": ("coverage, log-mel", 3),
    "coverage_notes": ("coverage, notes", 3),
    "level_error_db": ("level error, dB", 2),
    "confident_share": ("confident note cells, %", 2),
    "octave_flatness": ("octave flatness", 3),
    "octave_flatness_spread": ("its spread", 3),
    "notes_per_s": ("notes/s", 1),
    "polyphony": ("polyphony", 2),
    "checkerboard_db": ("checkerboard, dB", 1),
}
SCALE = {"confident_share": 100.0}
JUDGED = ("kernel_logmel", "kernel_notes", "coverage_logmel", "level_error_db", "confident_share")
"""What a recipe's gap to recordings is taken of."""
CONFIDENCE = 0.95


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the width of Student's 95 % interval; infinite for a single value."""
    if len(values) < 2:
        return float(values[0]), math.inf
    half = student.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return float(np.mean(values)), float(half)


def at(rows: Sequence[Row], recipe: str, tracks: int | None = None) -> list[Row]:
    """The rows of all seeds of a recipe after `tracks`, by default the most that any seed has seen."""
    own = [row for row in rows if row["recipe"] == recipe and row["kernel_logmel"] is not None]
    if not own:
        near = difflib.get_close_matches(recipe, {row["recipe"] for row in rows}, 3)
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        raise Mp3netError(f"{recipe}: the table has no row of it; {meant}`python -m benchmarks.lab show` says what is done")
    tracks = max(row["tracks_seen"] for row in own) if tracks is None else tracks
    chosen = [row for row in own if row["tracks_seen"] == tracks]
    if not chosen:
        there = sorted({row["tracks_seen"] for row in own})
        raise Mp3netError(f"{recipe}: was not judged at {tracks} tracks, but at {', '.join(map(str, there))}")
    return chosen


def recordings_like(recipe: str) -> str:
    """The name of the rows of recordings whose clips are as long as the recipe's. Of recipes that are no longer listed,
    those with `6s` in their name had longer tracks than 1.5 s."""
    listed = RECIPES.get(recipe)
    long = listed.config(0).track_duration_s > 3 if listed else "6s" in recipe.split("-")
    return f"{REAL}-{'6s' if long else '1.5s'}"


def _cell(rows: Sequence[Row], name: str, digits: int) -> str:
    values = [row[name] * SCALE.get(name, 1) for row in rows if row[name] is not None]
    return _shown(*interval(values), digits) if values else ""


def _shown(mean: float, half: float, digits: int) -> str:
    return f"{mean:.{digits}f}" + (f" ± {half:.{digits}f}" if math.isfinite(half) else " (one seed)")


def table(rows: Sequence[Row], chosen: Sequence[tuple[str, int | None]]) -> str:
    """A Markdown table of recipes, each at a number of tracks, after the recordings that they are judged beside."""
    heads = ["recipe", "seeds", "tracks", "core minutes", "PFLOP", *(title for title, _ in SHOWN.values())]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    real = dict.fromkeys(recordings_like(name) for name, _ in chosen)
    for name, tracks in [*((name, 0) for name in real), *chosen]:
        found = at(rows, name, tracks)
        minutes = np.mean([row["core_minutes"] for row in found])
        facts = [name, len(found), f"{found[0]['tracks_seen']:,}", f"{minutes:.0f}", f"{found[0]['petaflop']:.3f}"]
        cells = [_cell(found, column, digits) for column, (_, digits) in SHOWN.items()]
        lines.append(f"| {' | '.join(map(str, [*facts, *cells]))} |")
    return "\n".join(lines)


def gaps(rows: Sequence[Row], recipe: str, tracks: int | None = None) -> dict[str, list[float]]:
    """Distance of each seed's readings from the mean of the recordings'."""
    real = at(rows, recordings_like(recipe))
    found = at(rows, recipe, tracks)
    return {name: [abs(row[name] - float(np.mean([r[name] for r in real]))) for row in found] for name in JUDGED}


def compared(rows: Sequence[Row], better: tuple[str, int | None], worse: tuple[str, int | None]) -> str:
    """A Markdown table: the gaps of two recipes to recordings, their ratio, and whether the intervals are apart.

    Errors: Mp3netError if the two were judged by clips of different length.
    """
    lengths = [recordings_like(name) for name, _ in (better, worse)]
    if lengths[0] != lengths[1]:
        raise Mp3netError(
            f"{better[0]} and {worse[0]} were judged by clips of different length ({' and '.join(lengths)}): their gaps "
            "do not compare; choose two recipes with tracks equally long"
        )
    heads = [f"{name}, {at(rows, name, tracks)[0]['tracks_seen']:,} tracks" for name, tracks in (worse, better)]
    lines = [f"| distance from recordings | {' | '.join(heads)} | ratio | intervals apart |", "|---|---|---|---|---|"]
    mine, theirs = gaps(rows, *better), gaps(rows, *worse)
    for name in JUDGED:
        title, digits = SHOWN[name]
        scale = SCALE.get(name, 1.0)
        (low, low_half), (high, high_half) = (interval([gap * scale for gap in of[name]]) for of in (mine, theirs))
        apart = "yes" if low + low_half < high - high_half else "no"
        if math.isinf(low_half + high_half):
            apart = "none: one seed"
        cells = [_shown(high, high_half, digits), _shown(low, low_half, digits)]
        ratio = low / high if high else math.inf
        lines.append(f"| {title} | {' | '.join(cells)} | {ratio:.2f} | {apart} |")
    return "\n".join(lines)


def draw(rows: Sequence[Row], recipes: Sequence[str], path: Path) -> None:
    """Readings against core minutes (above) and PFLOP (below): mean of the seeds, their range, recordings dashed."""
    names = [*JUDGED, "octave_flatness"]
    figure = Figure(figsize=(3.4 * len(names), 7), dpi=80, layout="constrained")
    panels = figure.subplots(2, len(names))
    for line, against in zip(panels, ("core_minutes", "petaflop"), strict=True):
        for axis, name in zip(line, names, strict=True):
            _panel(axis, rows, recipes, name, against)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, ncols=6, loc="outside lower center")
    save_png(figure, path)


def _panel(axis: Axes, rows: Sequence[Row], recipes: Sequence[str], name: str, against: str) -> None:
    scale = SCALE.get(name, 1.0)
    for number, recipe in enumerate(recipes):
        own = [row for row in rows if row["recipe"] == recipe and row[name] is not None]
        marks = sorted({row["tracks_seen"] for row in own})
        groups = [[row for row in own if row["tracks_seen"] == mark] for mark in marks]
        x = [np.mean([row[against] for row in group]) for group in groups]
        values = [[row[name] * scale for row in group] for group in groups]
        axis.plot(x, [np.mean(group) for group in values], f"C{number % 10}.-", linewidth=1, label=recipe)
        lows, highs = [min(group) for group in values], [max(group) for group in values]
        axis.fill_between(x, lows, highs, color=f"C{number % 10}", alpha=0.2, linewidth=0)
    for real in dict.fromkeys(recordings_like(recipe) for recipe in recipes):
        axis.axhline(np.mean([row[name] * scale for row in at(rows, real)]), color="grey", linestyle="--", linewidth=1)
    axis.set_title(SHOWN[name][0], fontsize=10)
    axis.set_xlabel({"core_minutes": "core minutes", "petaflop": "PFLOP"}[against])
    axis.grid(alpha=0.3)
    if name.startswith("kernel"):
        axis.set_yscale("log")
