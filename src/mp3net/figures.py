"""Pictures of sound. Drawn without pyplot, so no global state and no display are involved."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mp3net.dsp.spectrogram import power_of_two, power_spectrogram
from mp3net.files import replacing

RANGE_DB = 80.0


def spectrogram_db(audio: np.ndarray, sample_rate_hz: int, window_s: float = 0.046) -> np.ndarray:
    """Audio (C, S) -> level in dB (frequencies, times) of the channels' mean power; a full-scale sine reaches 0 dB."""
    length = power_of_two(window_s * sample_rate_hz)
    power = power_spectrogram(torch.from_numpy(audio), length, length // 4).mean(0)
    return (10 * torch.log10(power.clamp(min=1e-14))).numpy()


def spectrogram_grid(rows: list[tuple[str, list[np.ndarray]]], sample_rate_hz: int) -> Figure:
    """A figure with one line of spectrograms (of audio (C, S)) per named row; all share one colour scale."""
    columns = max(len(clips) for _, clips in rows)
    figure = Figure(figsize=(3.2 * columns + 1, 2.6 * len(rows) + 0.4), dpi=100, layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey=True)
    for line, (name, clips) in zip(grid, rows, strict=True):
        for axis in line[len(clips) :]:
            axis.set_axis_off()
        for axis, clip in zip(line, clips, strict=False):
            extent = (0, clip.shape[1] / sample_rate_hz, 0, sample_rate_hz / 2000)
            image = axis.imshow(
                spectrogram_db(clip, sample_rate_hz), origin="lower", aspect="auto", extent=extent, cmap="magma",
                vmin=-20 - RANGE_DB, vmax=-20, interpolation="nearest",
            )  # fmt: skip
        line[0].set_ylabel(f"{name}\nkHz")
    for axis in grid[-1]:
        axis.set_xlabel("s")
    figure.colorbar(image, ax=grid, label="dB re full scale", shrink=0.8)
    return figure


def waveform_and_spectrogram(audio: np.ndarray, sample_rate_hz: int) -> Figure:
    """Audio (C, S) in [-1, 1]: lowest and highest samples above a spectrogram, without margins at the sides, so that a place
    in the picture is a time."""
    figure = Figure(figsize=(9, 3), dpi=100)
    above, below = figure.subplots(2, 1, height_ratios=(1, 2.4))
    figure.subplots_adjust(0, 0, 1, 1, hspace=0.02)
    columns = min(900, audio.shape[1])
    edges = np.linspace(0, audio.shape[1], columns, endpoint=False).astype(int)
    lowest, highest = np.minimum.reduceat(audio.min(0), edges), np.maximum.reduceat(audio.max(0), edges)
    above.fill_between(range(columns), lowest, highest, color="#b3408e", linewidth=0)
    above.set_xlim(0, columns - 1)
    above.set_ylim(-1, 1)
    level = spectrogram_db(audio, sample_rate_hz)
    below.imshow(level, origin="lower", aspect="auto", cmap="magma", vmin=-20 - RANGE_DB, vmax=-20, interpolation="nearest")
    for axis in (above, below):
        axis.set_axis_off()
    top_khz = sample_rate_hz / 2000
    for khz in (khz for khz in (1, 2, 4, 8, 16) if khz < 0.95 * top_khz):
        below.text(0.005, khz / top_khz, f"{khz} kHz", transform=below.transAxes, color="white", fontsize=7, va="center")
    return figure


def to_rgb(figure: Figure) -> np.ndarray:
    """Figure -> pixels (height, width, 3), uint8."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]


def save_png(figure: Figure, path: Path) -> None:
    """Write a PNG atomically."""
    with replacing(path) as unfinished:
        FigureCanvasAgg(figure).print_png(unfinished)  # type: ignore[no-untyped-call]


def level_curves(curves: dict[str, np.ndarray], sample_rate_hz: int) -> Figure:
    """Level in dB per MDCT bin (F,), one named line each."""
    figure = Figure(figsize=(8, 3), dpi=100, layout="constrained")
    axis = figure.subplots()
    for name, level in curves.items():
        frequency_khz = (np.arange(len(level)) + 0.5) * sample_rate_hz / (2000 * len(level))
        axis.plot(frequency_khz, level, label=name, linewidth=1.2)
    axis.set_xlabel("kHz")
    axis.set_ylabel("level per bin, dB")
    axis.legend(frameon=False)
    axis.grid(alpha=0.3)
    return figure


def histograms(quantities: dict[str, dict[str, np.ndarray]]) -> Figure:
    """One panel per quantity: distributions over clips of the named sets, as outlines with common bins."""
    columns = 4
    lines = -(-len(quantities) // columns)
    figure = Figure(figsize=(3 * columns, 2.2 * lines), dpi=100, layout="constrained")
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axis in panels[len(quantities) :]:
        axis.set_axis_off()
    for axis, (quantity, sets) in zip(panels, quantities.items(), strict=False):
        everything = np.concatenate(list(sets.values()))
        low, high = float(everything.min()), float(everything.max())
        edges = np.linspace(low, high if high > low else low + 1, 31)
        for name, values in sets.items():
            axis.hist(values, edges, histtype="step", label=name, density=True, linewidth=1.2)
        axis.set_title(quantity, fontsize=9)
        axis.set_yticks([])
        axis.tick_params(labelsize=8)
    figure.axes[0].legend(frameon=False, fontsize=8)
    return figure


def scatter_grid(panels: dict[str, dict[str, np.ndarray]]) -> Figure:
    """One panel per embedding: points (n, 2) of the named sets."""
    figure = Figure(figsize=(4 * max(len(panels), 1), 3.6), dpi=100, layout="constrained")
    for axis, (title, sets) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for name, points in sets.items():
            axis.scatter(points[:, 0], points[:, 1], s=7, alpha=0.6, label=name, linewidths=0)
        axis.set_title(title, fontsize=10)
        axis.set_xticks([])
        axis.set_yticks([])
    figure.axes[0].legend(frameon=False)
    return figure


def similarity_grid(rows: list[tuple[str, list[np.ndarray]]], duration_s: float) -> Figure:
    """One line of self-similarity matrices (blocks, blocks) in [-1, 1] per named row."""
    columns = max(len(matrices) for _, matrices in rows)
    figure = Figure(figsize=(2.6 * columns + 1, 2.5 * len(rows)), dpi=100, layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey=True)
    for line, (name, matrices) in zip(grid, rows, strict=True):
        for axis, matrix in zip(line, matrices, strict=True):
            extent = (0, duration_s, 0, duration_s)
            image = axis.imshow(matrix, origin="lower", extent=extent, vmin=-1, vmax=1, cmap="RdBu_r")
        line[0].set_ylabel(f"{name}\ns")
    figure.colorbar(image, ax=grid, label="correlation of chroma", shrink=0.8)
    return figure


def ladder_chart(table: dict[str, dict[str, float]]) -> Figure:
    """Rows: metrics; columns: rungs; a square's area is |value| in [0, 1], hollow where the value is negative or 0."""
    rungs = list(dict.fromkeys(rung for row in table.values() for rung in row))
    figure = Figure(figsize=(1.6 + 0.62 * len(rungs), 1.2 + 0.24 * len(table)), dpi=100, layout="constrained")
    axis = figure.subplots()
    for line, row in enumerate(table.values()):
        for rung, value in row.items():
            colour = "#b3261e" if value > 0 else "none"
            size = 12 + 130 * abs(value)
            axis.scatter(rungs.index(rung), line, s=size, marker="s", facecolor=colour, edgecolor="#b3261e", linewidth=0.7)
    axis.set_xticks(range(len(rungs)), rungs, rotation=40, ha="left", fontsize=8)
    axis.set_yticks(range(len(table)), list(table), fontsize=8)
    axis.xaxis.tick_top()
    axis.set_ylim(len(table) - 0.5, -0.5)
    axis.set_xlim(-0.6, len(rungs) - 0.4)
    axis.grid(alpha=0.25)
    axis.set_axisbelow(True)
    return figure


def png_bytes(figure: Figure) -> bytes:
    """The PNG file of a figure."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()
