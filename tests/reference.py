"""Slow, obvious float64 versions of every formula: what the fast code is compared with where no golden data are.

Written from the paper with plain loops and NumPy, sharing nothing with the package.
"""

from __future__ import annotations

import math

import numpy as np


def vorbis_window(num_bins: int) -> np.ndarray:
    n = np.arange(2 * num_bins)
    return np.sin(np.pi / 2 * np.sin(np.pi / (2 * num_bins) * (n + 0.5)) ** 2)


def sine_window(num_bins: int) -> np.ndarray:
    return np.sin(np.pi / (2 * num_bins) * (np.arange(2 * num_bins) + 0.5))


def mdct_crop(audio: np.ndarray, num_bins: int, window: np.ndarray, phase: float = 0.5) -> np.ndarray:
    """The cosine sum over frames of (S,) audio; `phase` is the offset in units of N (+1/2: textbook)."""
    frames = len(audio) // num_bins - 1
    out = np.zeros((frames, num_bins))
    n = np.arange(2 * num_bins)
    for m in range(frames):
        part = audio[m * num_bins : (m + 2) * num_bins] * window
        for k in range(num_bins):
            cosine = np.cos(np.pi / num_bins * (n + 0.5 + phase * num_bins) * (k + 0.5))
            out[m, k] = (part * cosine).sum() / (math.sqrt(2) * num_bins)
    return out


def imdct_crop(coefficients: np.ndarray, window: np.ndarray) -> np.ndarray:
    frames, num_bins = coefficients.shape
    out = np.zeros((frames + 1) * num_bins)
    k = np.arange(num_bins)
    for m in range(frames):
        for n in range(2 * num_bins):
            cosine = np.cos(np.pi / num_bins * (n + 0.5 + num_bins / 2) * (k + 0.5))
            out[m * num_bins + n] += 2 * math.sqrt(2) * window[n] * (coefficients[m] * cosine).sum()
    return out


def bark(f: float) -> float:
    return 6 * math.asinh(f / 600)


def hertz(z: float) -> float:
    return 600 * math.sinh(z / 6)


def tonality(frame: np.ndarray) -> float:
    power = np.maximum(frame**2, 1e-14)
    flatness_db = 10 * math.log10(math.exp(np.log(power).mean()) / ((frame**2).mean() + 1e-14))
    return min(1.0, max(0.0, flatness_db / -60))


def masking_threshold(frame: np.ndarray, sample_rate_hz: float, bands: int = 24, alpha: float = 0.6) -> np.ndarray:
    """Amplitude threshold of one frame (F,), band by band, with exact Bark distances between band mid-points."""
    num_bins, nyquist = len(frame), sample_rate_hz / 2
    width = bark(nyquist) / bands
    bin_hz = nyquist / num_bins
    edges = [hertz(b * width) for b in range(bands + 1)]

    def overlap(k: int, b: int) -> float:
        return max(0.0, min((k + 1) * bin_hz, edges[b + 1]) - max(k * bin_hz, edges[b]))

    intensity = [sum(frame[k] ** 2 * overlap(k, b) / bin_hz for k in range(num_bins)) for b in range(bands)]
    tau = tonality(frame)
    limit = []
    for j in range(bands):
        z_j = (j + 0.5) * width
        offset = tau * (14.5 + z_j) + (1 - tau) * 5.5
        total = 0.0
        for i in range(bands):
            dz = (j - i) * width + 0.474
            spread = 15.81 + 7.5 * dz - 17.5 * math.sqrt(1 + dz**2)
            total += max(intensity[i], 1e-14) ** alpha * 10 ** (alpha * (spread - offset) / 10)
        khz = hertz(z_j) / 1000
        quiet = 3.64 * khz**-0.8 - 6.5 * math.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4
        quiet = 10 ** ((min(120.0, max(-20.0, quiet)) - 120) / 10)
        limit.append(max(max(total, 1e-14) ** (1 / alpha), quiet))
    power = [sum(limit[b] * overlap(k, b) / (edges[b + 1] - edges[b]) for b in range(bands)) for k in range(num_bins)]
    return np.sqrt(np.maximum(power, 1e-14))


def leaky(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.2 * x)


def conv(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: tuple[int, int] = (1, 1)) -> np.ndarray:
    """Direct "same" convolution of (C, T, F) with (out, in, h, w), padded as the authors' framework does."""
    (_, height, width), sizes = weight.shape[1:], x.shape[1:]
    pads = []
    for size, step, kernel in zip(sizes, stride, (height, width), strict=True):
        total = max((math.ceil(size / step) - 1) * step + kernel - size, 0)
        pads.append((total // 2, total - total // 2))
    padded = np.pad(x, [(0, 0), *pads])
    out = np.zeros((weight.shape[0], math.ceil(sizes[0] / stride[0]), math.ceil(sizes[1] / stride[1])))
    for o in range(out.shape[0]):
        for t in range(out.shape[1]):
            for f in range(out.shape[2]):
                patch = padded[:, t * stride[0] : t * stride[0] + height, f * stride[1] : f * stride[1] + width]
                out[o, t, f] = (patch * weight[o]).sum() + bias[o]
    return out


def conv_transpose(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: tuple[int, int]) -> np.ndarray:
    """Each input paints its 3x3 kernel (in, out, 3, 3) onto the output; cropped as the authors' framework does."""
    _, frames, bins = x.shape
    canvas = np.zeros((weight.shape[1], (frames - 1) * stride[0] + 3, (bins - 1) * stride[1] + 3))
    for t in range(frames):
        for f in range(bins):
            painted = np.tensordot(x[:, t, f], weight, axes=(0, 0))
            canvas[:, t * stride[0] : t * stride[0] + 3, f * stride[1] : f * stride[1] + 3] += painted
    first = [int(step == 1) for step in stride]  # stride 1 drops one on either side, stride 2 only the last
    out = canvas[:, first[0] : first[0] + frames * stride[0], first[1] : first[1] + bins * stride[1]]
    return out + bias[:, None, None]


def octave_up(x: np.ndarray, w: dict[str, np.ndarray]) -> np.ndarray:
    """Generator block on (C, T, F), from the paper's section 3.1; `w` holds "name.weight" and "name.bias"."""

    def up(name: str, value: np.ndarray, stride: tuple[int, int]) -> np.ndarray:
        return conv_transpose(value, w[f"{name}.weight"], w[f"{name}.bias"], stride)

    def flat(name: str, value: np.ndarray) -> np.ndarray:
        return conv(value, w[f"{name}.weight"], w[f"{name}.bias"])

    low = leaky(flat("low_conv", leaky(up("low_up", x, (2, 1)))))
    high = leaky(flat("high_conv", leaky(up("high_up", x[:, :, x.shape[2] // 2 :], (2, 2)))))
    both = np.concatenate([flat("low_balance", low), flat("high_balance", high)], axis=2)
    return leaky(flat("merge_conv", leaky(up("merge_up", both, (2, 1)))))


def octave_down(x: np.ndarray, w: dict[str, np.ndarray]) -> np.ndarray:
    """Discriminator block on (C, T, F)."""

    def run(name: str, value: np.ndarray, stride: tuple[int, int] = (1, 1)) -> np.ndarray:
        return conv(value, w[f"{name}.weight"], w[f"{name}.bias"], stride)

    x = leaky(run("split_down", leaky(run("split_conv", x)), (2, 1)))
    half = x.shape[2] // 2
    low = run("low_balance", leaky(run("low_down", leaky(run("low_conv", x[:, :, :half])), (2, 1))))
    high = run("high_balance", leaky(run("high_down", leaky(run("high_conv", x[:, :, half:])), (2, 2))))
    low[:, :, low.shape[2] - high.shape[2] :] += high
    return low


def minibatch_stddev(x: np.ndarray) -> float:
    total, count = 0.0, 0
    for element in x.reshape(len(x), -1).T:
        mean = sum(element) / len(element)
        total += math.sqrt(sum((value - mean) ** 2 for value in element) / len(element) + 1e-8)
        count += 1
    return total / count
