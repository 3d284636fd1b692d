"""The inverse MDCT and the fades as a graph. Coefficients are (C, F, T) here: bins are rows."""

from __future__ import annotations

import math

import numpy as np

from mp3net.config import AudioConfig
from mp3net.dsp import tables
from mp3net.export.graph import Graph
from mp3net.generation.songs import FADE_S


def sounded(graph: Graph, coefficients: str, audio: AudioConfig) -> str:
    """Coefficients (C, F, T) -> audio (C, (T - 1) F), faded in and out: what `MP3net.render` makes of them.

    Unfolding is a choice of rows with signs, which go into the window (`dsp/mdct.py`).
    """
    num_bins = audio.num_bins
    half = num_bins // 2
    dct = tables.dct4_matrix(num_bins) * math.sqrt(4 * num_bins)
    folded = graph.op("MatMul", graph.constant(dct), coefficients)  # (C, F, T): u above v
    window = tables.window(num_bins, audio.window)
    forwards, backwards = np.arange(half), np.arange(half)[::-1]
    first = np.concatenate([half + forwards, half + backwards])  # v, -v reversed
    second = np.concatenate([backwards, forwards])  # -u reversed, -u
    signs = np.where(np.arange(num_bins) < half, 1, -1)
    rising = _windowed(graph, folded, first, window[:num_bins] * signs)
    falling = _windowed(graph, folded, second, -window[num_bins:])
    hops = graph.op("Add", graph.slice(rising, 1, 0, axis=2), graph.slice(falling, 0, -1, axis=2))
    sound = graph.reshape(graph.op("Transpose", hops, perm=[0, 2, 1]), audio.channels, -1)
    length = round(FADE_S * audio.sample_rate_hz)
    ramp = np.sin(math.pi / 2 * np.arange(length) / length) ** 2
    begins = graph.op("Mul", graph.slice(sound, 0, length, axis=1), graph.constant(ramp))
    ends = graph.op("Mul", graph.slice(sound, -length, 0, axis=1), graph.constant(ramp[::-1].copy()))
    return str(graph.op("Concat", begins, graph.slice(sound, length, -length, axis=1), ends, axis=1))


def _windowed(graph: Graph, folded: str, rows: np.ndarray, window: np.ndarray) -> str:
    chosen = graph.op("Gather", folded, graph.constant(rows), axis=1)
    return str(graph.op("Mul", chosen, graph.constant(window[:, None])))
