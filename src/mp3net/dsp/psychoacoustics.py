"""Psychoacoustics, what cannot be heard: threshold in quiet, tonality, masking threshold, masking noise (paper section 2.2).

Amplitudes are MDCT coefficients; an amplitude of 1 is a level of 120 dB and intensities are amplitudes squared, floored at
1e-14 (-20 dB). The model works in `num_bark_bands` bands of equal width on the Bark scale up to Nyquist.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

FULL_SCALE_DB = 120.0
INTENSITY_FLOOR = 1e-14
SIMULTANEOUS_ALPHA = 0.6
NOISE_PER_THRESHOLD = 1 / 6
TONALITY_FULL_DB = -60.0

Grid = Literal["exact", "released"]


def hz_to_bark(frequency_hz: Tensor) -> Tensor:
    """z(f) = 6 asinh(f / 600) Bark (paper equation 6)."""
    return 6 * torch.asinh(frequency_hz / 600)


def bark_to_hz(bark: Tensor) -> Tensor:
    """The inverse of `hz_to_bark`."""
    return 600 * torch.sinh(bark / 6)


def threshold_in_quiet_db(frequency_hz: Tensor) -> Tensor:
    """The faintest audible level in dB (paper equation 9), clipped to -20..120 dB."""
    f = frequency_hz / 1000
    level = 3.64 * f**-0.8 - 6.5 * torch.exp(-0.6 * (f - 3.3) ** 2) + 1e-3 * f**4
    return level.clamp(-20.0, FULL_SCALE_DB)


def spreading_db(distance_bark: Tensor) -> Tensor:
    """Level in dB, relative to the masker, of its spread to `distance_bark` above it (paper equation 11, sign corrected)."""
    shifted = distance_bark + 0.474
    return 15.81 + 7.5 * shifted - 17.5 * torch.sqrt(1 + shifted**2)


def tonality(coefficients: Tensor) -> Tensor:
    """Coefficients (..., F) -> tonality (..., 1) in [0, 1] of each frame (paper equation 13, of intensities).

    min(1, SFM_dB / -60 dB), where the spectral flatness SFM is the geometric over the arithmetic mean of the intensities. A
    constant magnitude (or silence) has 0, white noise about 0.09, a pure tone 1.
    """
    intensity = coefficients**2
    # In the logarithmic domain: the geometric mean of intensities near the floor would lose bits in float32.
    log_flatness = intensity.clamp(min=INTENSITY_FLOOR).log().mean(-1, keepdim=True) - torch.log(
        intensity.mean(-1, keepdim=True) + INTENSITY_FLOOR
    )
    flatness_db = (10 / math.log(10)) * log_flatness
    return (flatness_db / TONALITY_FULL_DB).clamp(0.0, 1.0)


def amplitude_to_db(coefficients: Tensor) -> Tensor:
    """Amplitudes -> levels in dB, -20..120 for amplitudes up to 1 (paper equation 8 with full scale at 120 dB)."""
    return 10 * torch.log10((coefficients**2).clamp(min=INTENSITY_FLOOR)) + FULL_SCALE_DB


class Psychoacoustics(nn.Module):
    """The masking model for one sample rate and number of bins; moves with `.to(device)`, has no parameters.

    grid="exact" (default) measures Bark distances between band mid-points. grid="released" is the authors' code: its
    distances are half a step off and its offsets run from 0 to the highest Bark value (docs/method.md has the effect).
    Matrices are computed in float64 and rounded once to `dtype`.
    """

    bins_to_bark: Tensor
    bark_to_bins: Tensor
    quiet_intensity: Tensor
    spreading: Tensor
    band_bark: Tensor

    def __init__(
        self,
        sample_rate_hz: float,
        num_bins: int,
        num_bark_bands: int = 24,
        alpha: float = SIMULTANEOUS_ALPHA,
        grid: Grid = "exact",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if grid not in ("exact", "released"):
            raise ValueError(f"grid {grid!r}: choose 'exact' or 'released'")
        self.alpha = alpha
        nyquist_hz = torch.tensor(sample_rate_hz / 2, dtype=torch.float64)
        highest = float(hz_to_bark(nyquist_hz))
        width = highest / num_bark_bands
        middles = (torch.arange(num_bark_bands, dtype=torch.float64) + 0.5) * width
        overlap_hz, bin_hz, band_hz = _overlap(float(nyquist_hz), num_bins, num_bark_bands, width)
        steps = torch.arange(num_bark_bands, dtype=torch.float64)
        difference = steps[None, :] - steps[:, None]  # maskee minus masker
        if grid == "exact":
            distance, offset_bark = difference * width, middles
        else:
            distance = highest * (2 * difference + 1) / (2 * num_bark_bands - 1)
            offset_bark = highest * steps / (num_bark_bands - 1)
        constants = {
            "bins_to_bark": overlap_hz / bin_hz,
            "bark_to_bins": (overlap_hz / band_hz).T,
            "quiet_intensity": 10 ** ((threshold_in_quiet_db(bark_to_hz(middles)) - FULL_SCALE_DB) / 10),
            "spreading": 10 ** (alpha * spreading_db(distance) / 10),
            "band_bark": offset_bark,
        }
        for name, value in constants.items():
            self.register_buffer(name, value.to(dtype).contiguous(), persistent=False)

    def bark_intensity(self, coefficients: Tensor) -> Tensor:
        """Coefficients (..., F) -> intensity per Bark band (..., Z); a bin's power is shared by the bands it overlaps."""
        return coefficients**2 @ self.bins_to_bark

    def masking_intensity(self, bark_intensity: Tensor, tonality: Tensor, offset_scale: float = 1.0) -> Tensor:
        """Intensity (..., Z) below which each band is masked by all (paper equations 10-12).

        I_mask,j = ( sum_i I_i^alpha 10^{alpha (f_ij - O_j) / 10} )^{1/alpha}, O_j = tau (14.5 + z_j) + (1 - tau) 5.5 dB.
        The offset depends only on the maskee j, so the sum over i is one fixed Z x Z matrix product and the offset a factor
        after it. `offset_scale` multiplies O_j (the released code's 1 - "drown").
        """
        spread = bark_intensity.clamp(min=INTENSITY_FLOOR) ** self.alpha @ self.spreading
        offset_db = offset_scale * (tonality * (9.0 + self.band_bark) + 5.5)
        masked = spread * 10 ** (-self.alpha / 10 * offset_db)
        return masked.clamp(min=INTENSITY_FLOOR) ** (1 / self.alpha)

    def masking_threshold(
        self, coefficients: Tensor, frame_tonality: Tensor | None = None, offset_scale: float = 1.0
    ) -> Tensor:
        """Coefficients (..., F) -> amplitude (..., F) below which a change is inaudible (paper equation 14).

        The larger of masking and quiet threshold per Bark band, spread back to bins. Finite with finite gradients for
        every finite input, silence included. `frame_tonality` (..., 1) replaces the frames' own.
        """
        with torch.autocast(coefficients.device.type, enabled=False):
            coefficients = coefficients.to(self.spreading.dtype)
            tau = tonality(coefficients) if frame_tonality is None else frame_tonality
            masking = self.masking_intensity(self.bark_intensity(coefficients), tau, offset_scale)
            intensity = torch.maximum(masking, self.quiet_intensity) @ self.bark_to_bins
            return intensity.clamp(min=INTENSITY_FLOOR).sqrt()

    def quiet_threshold(self) -> Tensor:
        """Amplitude (F,) of the threshold in quiet as `masking_threshold` contains it: one value per Bark band."""
        return (self.quiet_intensity @ self.bark_to_bins).clamp(min=INTENSITY_FLOOR).sqrt()

    def add_masking_noise(
        self, coefficients: Tensor, generator: torch.Generator | None = None, white: Tensor | None = None
    ) -> Tensor:
        """Coefficients (..., F) plus inaudible Gaussian noise, standard deviation threshold / 6 (paper equation 15).

        `white` is the noise before it is shaped, N(0, 1) of the same shape; without it, it is drawn from `generator`.
        Gradients pass through the threshold, as in the authors' training loss.
        """
        threshold = self.masking_threshold(coefficients)
        if white is None:
            white = torch.randn(threshold.shape, generator=generator, device=threshold.device, dtype=threshold.dtype)
        return coefficients + NOISE_PER_THRESHOLD * threshold * white


def _overlap(nyquist_hz: float, num_bins: int, num_bark_bands: int, width_bark: float) -> tuple[Tensor, float, Tensor]:
    """Overlap in Hz of bins and Bark bands (F, Z), the width of a bin and the widths of the bands (Z,)."""
    bin_edges = torch.linspace(0, nyquist_hz, num_bins + 1, dtype=torch.float64)
    band_edges = bark_to_hz(torch.arange(num_bark_bands + 1, dtype=torch.float64) * width_bark)
    upper = torch.minimum(bin_edges[1:, None], band_edges[None, 1:])
    lower = torch.maximum(bin_edges[:-1, None], band_edges[None, :-1])
    return (upper - lower).clamp(min=0), nyquist_hz / num_bins, band_edges.diff()
