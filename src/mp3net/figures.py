"""Pictures of sound. Drawn without pyplot, so no global state and no display are involved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

RANGE_DB = 80.0


def spectrogram_db(audio: np.ndarray, sample_rate_hz: int, window_s: float = 0.046) -> np.ndarray:
    """Audio (C, S) -> level in dB (frequencies, times) of the channels' mean power; a full-scale sine reaches 0 dB."""
    length = 1 << round(np.log2(window_s * sample_rate_hz))
    window = torch.hann_window(length)
    stft = torch.stft(
        torch.from_numpy(audio), length, length // 4, window=window, pad_mode="constant", return_complex=True
    )
    power = (stft.abs() * 2 / window.sum()).square().mean(0)
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


def to_rgb(figure: Figure) -> np.ndarray:
    """Figure -> pixels (height, width, 3), uint8."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]


def save_png(figure: Figure, path: Path) -> None:
    """Write a PNG to a temporary name, then rename."""
    partial = path.with_name(f".{path.name}.partial")
    FigureCanvasAgg(figure).print_png(partial)  # type: ignore[no-untyped-call]
    partial.replace(path)
