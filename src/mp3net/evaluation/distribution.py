"""Distances between two sets of embeddings. Every set is (n, d), one row per clip; computed in float64."""

from __future__ import annotations

import numpy as np

KERNEL_SCALE = 100.0
NEIGHBOURS = 5


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """|mu_x - mu_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^(1/2)) of Gaussians fitted to both sets: 0 for equal sets; biased up.

    The eigenvalues of S_x S_y are the squared singular values of X Y^T / sqrt((n_x - 1)(n_y - 1)), X and Y being the
    centred sets, so no square root of a nearly singular matrix is taken.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)
    shift = x.mean(0) - y.mean(0)
    factor_x, factor_y = _factor(x), _factor(y)
    traces = np.square(factor_x).sum() + np.square(factor_y).sum()
    product = np.linalg.svd(factor_x @ factor_y.T, compute_uv=False).sum()
    return max(float(shift @ shift + traces - 2 * product), 0.0)


def _factor(x: np.ndarray) -> np.ndarray:
    """R with R^T R = the covariance of x."""
    centred = (x - x.mean(0)) / np.sqrt(len(x) - 1)
    return centred if len(x) <= x.shape[1] else np.asarray(np.linalg.qr(centred, mode="r"))


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances (n_x, n_y)."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    centre = y.mean(0)  # rows far from zero would lose digits in the expansion
    x, y = x - centre, y - centre
    return np.asarray(np.maximum(np.square(x).sum(1)[:, None] + np.square(y).sum(1)[None] - 2 * x @ y.T, 0))


class Distances:
    """All pairs of a reference and a candidate set, computed once: resampling only picks rows and columns."""

    def __init__(self, reference: np.ndarray, candidate: np.ndarray) -> None:
        self.between = squared_distances(reference, candidate)
        self.in_reference = squared_distances(reference, reference)
        self.in_candidate = squared_distances(candidate, candidate)
        upper = self.in_reference[np.triu_indices(len(reference), 1)]
        # Identical reference clips (silence) provide no scale; any positive one tells "equal" from "not equal".
        self.bandwidth_squared = float(np.median(upper)) or 1.0


def kernel_distance(distances: Distances, reference: np.ndarray, candidate: np.ndarray) -> float:
    """Kernel audio distance: 100 x the unbiased squared maximum mean discrepancy; about 0, possibly below, for equal laws.

    Gaussian kernel exp(-d^2 / 2 s^2), where s is the median distance within the reference. Unbiased at any sample size.
    """

    def kernel(squared: np.ndarray) -> np.ndarray:
        return np.asarray(np.exp(-squared / (2 * distances.bandwidth_squared)))

    def mean_off_diagonal(squared: np.ndarray) -> float:
        values = kernel(squared)
        return float((values.sum() - np.trace(values)) / (len(values) * (len(values) - 1)))

    within = mean_off_diagonal(distances.in_reference[np.ix_(reference, reference)])
    within += mean_off_diagonal(distances.in_candidate[np.ix_(candidate, candidate)])
    between = float(kernel(distances.between[np.ix_(reference, candidate)]).mean())
    return KERNEL_SCALE * (within - 2 * between)


def density_and_coverage(
    distances: Distances, reference: np.ndarray, candidate: np.ndarray, k: int = NEIGHBOURS
) -> tuple[float, float]:
    """Density (fidelity) and coverage (diversity) of Naeem et al. 2020; both near 1 for equal laws, coverage at most 1.

    A reference clip's ball reaches to its k-th nearest reference clip. Density: mean number of balls that contain a
    candidate, over k. Coverage: share of the balls that contain any candidate.
    """
    within = np.sort(distances.in_reference[np.ix_(reference, reference)], axis=1)
    radii = within[:, min(k, len(reference) - 1)]  # column 0 is the clip itself
    inside = distances.between[np.ix_(reference, candidate)] <= radii[:, None]
    return float(inside.sum() / (k * len(candidate))), float(inside.any(1).mean())
