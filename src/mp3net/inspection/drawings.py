"""The pictures of an inspection: figures 1, 2 and 6 of the paper for one recording, and those that explain ours."""

from __future__ import annotations

import math

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from mp3net.config import AudioConfig
from mp3net.dsp.baseband import audible_level, baseband
from mp3net.dsp.mdct import imdct
from mp3net.dsp.psychoacoustics import (
    FULL_SCALE_DB,
    NOISE_PER_THRESHOLD,
    Psychoacoustics,
    amplitude_to_db,
    tonality,
)
from mp3net.dsp.reduced import reduced_spectrogram
from mp3net.figures import spectrogram_db
from mp3net.inspection.measuring import Measured

SHOWN_DB = 80.0
# White Gaussian noise has this tonality; a pure tone has 1.
NOISE_TONALITY = 0.09
# Octaves are folded as long as those that are left reach up to here, where notes still have some of their partials.
LEAST_FOLDED_HZ = 1000.0
# The baseband is shown where notes have their lowest partials.
BASEBAND_HZ = 1400.0
BASEBAND_S = 1.0
TONALITY_POINTS = 1500
DB = "dB (full scale 120)"
AUDIBLE, INAUDIBLE, THRESHOLD, QUIET, NOISE = "#1f4e79", "#c3c7cc", "#b3261e", "#0a7d2c", "#d98b00"


def amplitudes_and_spectrogram(measured: Measured) -> Figure:
    """Figure 1: the MDCT of the passage above its power spectrogram."""
    audio, passage = measured.audio, measured.passage
    figure = Figure(figsize=(11, 6), dpi=100, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    level = amplitude_to_db(passage.square().mean(0).sqrt()).numpy()
    sound = imdct(passage, audio.window).numpy()
    spectrum = spectrogram_db(sound, audio.sample_rate_hz) + FULL_SCALE_DB
    for axis, picture, title in ((above, level.T, "MDCT coefficients"), (below, spectrum, "power spectrogram")):
        image = axis.imshow(picture, **_extent(measured), cmap="magma", vmin=picture.max() - SHOWN_DB, vmax=picture.max())
        axis.set_title(title, fontsize=10, loc="left")
        axis.set_ylabel("kHz")
        figure.colorbar(image, ax=axis, label=DB)
    below.set_xlabel("s")
    return figure


def thresholds(measured: Measured) -> Figure:
    """Figure 2: one frame's spectrum, the threshold in quiet, the masking threshold and the noise below it."""
    audio, number = measured.audio, steady_frame(measured)
    coefficients = measured.passage[0, number]
    model = Psychoacoustics(audio.sample_rate_hz, audio.num_bins)
    threshold = model.masking_threshold(coefficients)
    khz = _bins_khz(audio)
    level, limit = amplitude_to_db(coefficients).numpy(), amplitude_to_db(threshold).numpy()
    heard = level >= limit
    figure = Figure(figsize=(11, 4.2), dpi=100, layout="constrained")
    axis = figure.subplots()
    for chosen, colour, name in ((heard, AUDIBLE, "coefficients that are heard"), (~heard, INAUDIBLE, "inaudible ones")):
        axis.vlines(khz[chosen], -20, np.maximum(level[chosen], -20), colors=colour, linewidth=1.2, label=name)
    axis.step(khz, limit, color=THRESHOLD, linewidth=1.5, where="mid", label="masking threshold")
    quiet = amplitude_to_db(model.quiet_threshold()).numpy()
    axis.step(khz, quiet, color=QUIET, linewidth=1.5, where="mid", label="threshold in quiet")
    noise_db = limit + 20 * math.log10(NOISE_PER_THRESHOLD)
    axis.step(
        khz, noise_db, color=NOISE, linewidth=1, where="mid", linestyle="--", label="masking noise, standard deviation"
    )
    axis.set_xscale("log")
    axis.set_xlim(khz[0], khz[-1])
    axis.set_ylim(-20, FULL_SCALE_DB)
    axis.set_xticks(ticks := [tick for tick in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if khz[0] < tick < khz[-1]])
    axis.set_xticklabels([f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.set_xlabel("kHz")
    axis.set_ylabel(DB)
    axis.set_title(f"the frame at {_frame_s(measured, number):.2f} s", fontsize=10, loc="left")
    axis.legend(frameon=False, fontsize=8, ncols=2, loc="upper right")
    axis.grid(alpha=0.25)
    return figure


def tonality_over_time(measured: Measured) -> Figure:
    """Tonality of every frame; of long recordings its lowest, mean and highest value in steps."""
    values = measured.sums.tonality
    step = -(-len(values) // TONALITY_POINTS)
    starts = np.arange(0, len(values), step)
    counts = np.diff(np.append(starts, len(values)))
    times_s = (starts + (counts - 1) / 2) * measured.audio.hop_length / measured.audio.sample_rate_hz
    figure = Figure(figsize=(11, 3), dpi=100, layout="constrained")
    axis = figure.subplots()
    if step > 1:
        lowest, highest = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
        each = f"{step * _hop_s(measured.audio):.2g} s"
        axis.fill_between(
            times_s, lowest, highest, color=AUDIBLE, alpha=0.25, linewidth=0, label=f"lowest to highest of each {each}"
        )
    axis.plot(
        times_s,
        np.add.reduceat(values, starts) / counts,
        color=AUDIBLE,
        linewidth=1,
        label="every frame" if step == 1 else "mean",
    )
    axis.legend(frameon=False, fontsize=8, loc="lower right", ncols=2)
    for height, name in ((NOISE_TONALITY, "white noise"), (1.0, "a pure tone")):
        axis.axhline(height, color=THRESHOLD, linewidth=0.8, linestyle=":")
        axis.text(1.002, height, name, transform=axis.get_yaxis_transform(), fontsize=8, va="center", color=THRESHOLD)
    axis.set_xlim(0, measured.duration_s)
    axis.set_ylim(0, 1.05)
    axis.set_xlabel("s")
    axis.set_ylabel("tonality")
    axis.grid(alpha=0.25)
    return figure


def reduced(measured: Measured) -> Figure:
    """Figure 6: the passage, and after every fold of its highest octave; below, the whole recording after the last."""
    audio = measured.audio
    folds = num_folds(audio)
    steps = reduced_spectrogram(measured.passage.abs().mean(0), folds)
    whole = reduced_spectrogram(torch.from_numpy(measured.sums.columns), folds)[-1]
    figure = Figure(figsize=(11, 2.1 * (len(steps) + 1)), dpi=100, layout="constrained")
    panels = figure.subplots(len(steps) + 1, 1)
    for axis, amplitudes, count in zip(panels[:-1], steps, range(folds + 1), strict=True):
        _show_amplitudes(axis, amplitudes, _extent(measured, amplitudes.shape[-1]))
        axis.set_title(
            ("as it is", "one octave folded")[count] if count < 2 else f"{count} octaves folded", fontsize=10, loc="left"
        )
    span_s = len(whole) * measured.sums.column_frames * audio.hop_length / audio.sample_rate_hz
    extent = (0.0, span_s, 0.0, whole.shape[-1] * _bin_hz(audio) / 1000)
    _show_amplitudes(panels[-1], whole, {"extent": extent, "origin": "lower", "aspect": "auto", "interpolation": "nearest"})
    panels[-1].set_xlim(0, measured.duration_s)
    panels[-1].set_title("the whole recording, folded as often", fontsize=10, loc="left")
    panels[-1].set_xlabel("s")
    return figure


def levels(measured: Measured) -> Figure:
    """Level per bin of the whole recording beside the masking threshold, and the share of coefficients below it."""
    khz, sums = _bins_khz(measured.audio), measured.sums
    figure = Figure(figsize=(11, 5), dpi=100, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for power, colour, name in ((sums.power, AUDIBLE, "recording"), (sums.threshold_power, THRESHOLD, "masking threshold")):
        above.plot(khz, 10 * np.log10(np.maximum(power, 1e-14)) + FULL_SCALE_DB, color=colour, linewidth=1.2, label=name)
    above.set_ylabel(f"mean power, {DB}")
    above.legend(frameon=False, fontsize=9)
    below.fill_between(khz, 100 * sums.masked_share, step="mid", color=INAUDIBLE)
    below.set_ylim(0, 100)
    below.set_ylabel("coefficients below\nthe threshold, %")
    below.set_xlabel("kHz")
    below.set_xlim(khz[0], khz[-1])
    for axis in (above, below):
        axis.grid(alpha=0.25)
    return figure


def baseband_beside_coefficients(measured: Measured) -> Figure:
    """The same second as raw coefficients, as magnitude of the baseband, as its turn, and the strongest bin over time."""
    audio = measured.audio
    second = steady_second(measured)
    bins = max(4, min(audio.num_bins, round(BASEBAND_HZ / _bin_hz(audio))))
    everything = measured.passage[:1]
    in_phase, quadrature = (part[0] for part in baseband(everything, audio.window))
    threshold = Psychoacoustics(audio.sample_rate_hz, audio.num_bins).masking_threshold(everything)[0]
    power = in_phase.square() + quadrature.square()
    heard = audible_level(power, threshold)[second, :bins].numpy()
    turn = turns(in_phase, quadrature)[second, :bins].numpy()
    raw = everything[0][second, :bins].numpy()
    magnitude = power.sqrt()[second, :bins].numpy()
    figure = Figure(figsize=(11, 9.5), dpi=100, layout="constrained")
    panels = figure.subplots(4, 1, sharex=True)
    begin_s = _frame_s(measured, second.start)
    where = _extent(measured, bins, (begin_s, begin_s + len(raw) * _hop_s(audio)))
    _show_signed(panels[0], raw, where)
    panels[0].set_title("MDCT coefficients: red positive, blue negative", fontsize=10, loc="left")
    level = 20 * np.log10(np.maximum(magnitude, 1e-7)).T + FULL_SCALE_DB
    shown = panels[1].imshow(level, **where, cmap="magma", vmin=level.max() - 60, vmax=level.max())
    panels[1].set_title("magnitude of the baseband", fontsize=10, loc="left")
    figure.colorbar(shown, ax=panels[1], label=DB, location="bottom", aspect=60)
    image = panels[2].imshow(turn.T, **where, cmap="hsv", vmin=-1, vmax=1, alpha=np.clip(heard, 0, 1).T)
    panels[2].set_title("turn of the baseband per frame (fainter where less audible)", fontsize=10, loc="left")
    figure.colorbar(
        image, ax=panels[2], label="bins above the middle", ticks=[-1, -0.5, 0, 0.5, 1], location="bottom", aspect=60
    )
    strongest = int(np.median(magnitude, 0).argmax())  # for most of the second, not at one onset
    times_s = begin_s + (np.arange(len(raw)) + 0.5) * _hop_s(audio)
    panels[3].plot(times_s, raw[:, strongest], color=INAUDIBLE, marker=".", linewidth=1, label="coefficient")
    panels[3].plot(times_s, magnitude[:, strongest], color=THRESHOLD, linewidth=1.6, label="magnitude of the baseband")
    panels[3].axhline(0, color="black", linewidth=0.5)
    panels[3].set_title(f"the strongest bin, {(strongest + 0.5) * _bin_hz(audio):.0f} Hz", fontsize=10, loc="left")
    panels[3].legend(frameon=False, fontsize=8, loc="lower right", ncols=2)
    panels[3].set_xlabel("s")
    for axis in panels[:3]:
        axis.set_ylabel("kHz")
    return figure


def turns(in_phase: Tensor, quadrature: Tensor) -> Tensor:
    """Baseband (T, F) -> by how many bins what sounds is above the middle of each bin (T, F), in (-1, 1].

    A steady sine d bins above the middle turns by pi d per frame. The first frame has the turn of the second.
    """
    real = in_phase[1:] * in_phase[:-1] + quadrature[1:] * quadrature[:-1]
    imaginary = quadrature[1:] * in_phase[:-1] - in_phase[1:] * quadrature[:-1]
    turn = torch.atan2(imaginary, real) / math.pi
    return torch.cat([turn[:1], turn])


def steady_second(measured: Measured) -> slice:
    """The frames of the second of the passage that is most tonal, weighted by its power: where notes are held."""
    passage = measured.passage
    wanted = min(max(2, round(BASEBAND_S / _hop_s(measured.audio))), passage.shape[1])
    weight = passage.square().sum((0, 2)).sqrt()
    worth = torch.cat([torch.zeros(1), (tonality(passage).mean((0, -1)) * weight).cumsum(0)])
    begin = int((worth[wanted:] - worth[:-wanted]).argmax().item())
    return slice(begin, begin + wanted)


def steady_frame(measured: Measured) -> int:
    """The frame in the middle of the steady second."""
    second = steady_second(measured)
    return int(second.start + second.stop) // 2


def num_folds(audio: AudioConfig) -> int:
    """How often the highest octave can be folded before less than 1 kHz is left."""
    folds, num_bins = 0, audio.num_bins
    while num_bins % 4 == 0 and num_bins / 2 * _bin_hz(audio) >= LEAST_FOLDED_HZ:
        num_bins //= 2
        folds += 1
    return folds


def _show_amplitudes(axis: Axes, amplitudes: Tensor, where: dict[str, object]) -> None:
    level = 20 * np.log10(np.maximum(amplitudes.numpy(), 1e-7)).T
    axis.imshow(level, **where, cmap="magma", vmin=level.max() - 60, vmax=level.max())  # type: ignore[arg-type]
    axis.set_ylabel("kHz")


def _show_signed(axis: Axes, values: np.ndarray, where: dict[str, object]) -> None:
    """Signs by colour; roots of magnitudes, so that quiet partials are seen too."""
    rooted = np.sign(values) * np.sqrt(np.abs(values))
    most = float(np.abs(rooted).max()) or 1.0
    axis.imshow(rooted.T, **where, cmap="RdBu_r", vmin=-most, vmax=most)  # type: ignore[arg-type]


def _extent(measured: Measured, bins: int | None = None, span_s: tuple[float, float] | None = None) -> dict[str, object]:
    audio = measured.audio
    begin_s = measured.passage_begin_s
    first_s, last_s = span_s or (begin_s, begin_s + (measured.passage.shape[1] - 1) * _hop_s(audio))
    top_khz = (bins or audio.num_bins) * _bin_hz(audio) / 1000
    return {"extent": (first_s, last_s, 0.0, top_khz), "origin": "lower", "aspect": "auto", "interpolation": "nearest"}


def _frame_s(measured: Measured, number: int) -> float:
    """Where the middle of a frame of the passage lies in the recording."""
    return measured.passage_begin_s + number * _hop_s(measured.audio)


def _hop_s(audio: AudioConfig) -> float:
    return audio.hop_length / audio.sample_rate_hz


def _bin_hz(audio: AudioConfig) -> float:
    return audio.sample_rate_hz / 2 / audio.num_bins


def _bins_khz(audio: AudioConfig) -> np.ndarray:
    return (np.arange(audio.num_bins) + 0.5) * _bin_hz(audio) / 1000
