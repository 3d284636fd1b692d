"""Every metric: what it measures, what it claims to see and to be blind to, and how it is computed from features.

Features are dicts "extractor/name" -> one row per clip. A metric gives a value and a deviation from real music, 0 being the
best: only deviations are compared with each other. `sees` and `blind` are claims about the ladder, checked by the tests;
every report checks `sees` again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mp3net.evaluation import pairs
from mp3net.evaluation.distribution import Distances, density_and_coverage, frechet_distance, kernel_distance
from mp3net.evaluation.spectrum import Features, checkerboard_db
from mp3net.evaluation.statistics import Measure, Reading

BIN_POWER_FLOOR = 1e-12
SHARE = (0.0, 1.0)
POSITIVE = (0.0, math.inf)


@dataclass(frozen=True)
class Metric:
    """`name` is unique; `unit` may be empty; `sees` and `blind` name rungs of the ladder."""

    name: str
    group: str
    meaning: str
    unit: str = ""
    sees: tuple[str, ...] = ()
    blind: tuple[str, ...] = ()
    bounds: tuple[float, float] = (-math.inf, math.inf)  # of the value; intervals are cut there
    one_sided: bool = False  # less than real is not a fault


@dataclass(frozen=True)
class Family:
    """Metrics computed together from the features `needs`; `per_clip`: one number per clip, whose mean is the value."""

    metrics: tuple[Metric, ...]
    needs: str
    build: Callable[[Features, Features], Measure]
    per_clip: bool = False


def _single(metric: Metric, key: str, read: Callable[[np.ndarray, np.ndarray], Reading], per_clip: bool = False) -> Family:
    """A single metric: `read` takes the features of the chosen real and judged clips, in float64."""

    def build(reference: Features, candidate: Features) -> Measure:
        real, judged = reference[key].astype(np.float64), candidate[key].astype(np.float64)
        return lambda r, c: {metric.name: read(real[r], judged[c])}

    return Family((metric,), key, build, per_clip)


def wasserstein(x: np.ndarray, y: np.ndarray) -> float:
    """Mean distance between the quantiles of two samples: 0 only for equal distributions, at least |mean x - mean y|."""
    if len(x) != len(y):
        grid = (np.arange(256) + 0.5) / 256
        x, y = np.quantile(x, grid), np.quantile(y, grid)
    return float(np.abs(np.sort(x.astype(np.float64)) - np.sort(y.astype(np.float64))).mean())


def _per_clip(metric: Metric, key: str) -> Family:
    """Value: the mean over clips; deviation: how far the distributions over clips lie apart."""
    return _single(metric, key, lambda r, c: Reading(float(c.mean()), wasserstein(r, c)), per_clip=True)


def _excess(metric: Metric, key: str) -> Family:
    """Value: the mean over clips; deviation: how far it exceeds that of real clips. Less is not a fault."""

    def read(real: np.ndarray, judged: np.ndarray) -> Reading:
        value = float(judged.mean())
        return Reading(value, max(value - float(real.mean()), 0.0))

    return _single(metric, key, read, per_clip=True)


def _level_error(real: np.ndarray, judged: np.ndarray) -> Reading:
    error = float(np.abs(level_db(judged) - level_db(real)).mean())
    return Reading(error, error)


def level_db(bin_power: np.ndarray) -> np.ndarray:
    """Power per clip and bin (n, F) -> level in dB of each bin over all clips (F,)."""
    return np.asarray(10 * np.log10(np.maximum(bin_power.mean(0), BIN_POWER_FLOOR)))


def _checkerboard(real: np.ndarray, judged: np.ndarray) -> Reading:
    value = checkerboard_db(judged.mean(0))
    return Reading(value, abs(value - checkerboard_db(real.mean(0))))


def _histograms(real: np.ndarray, judged: np.ndarray) -> Reading:
    distance = histogram_distance(real.sum(0), judged.sum(0))
    return Reading(distance, distance)


# One repeated clip is dense by definition, silence lies where some real clip is silent, and small sets have wide balls.
DENSITY_SEES = ("band noise", "overdriven", "white noise")


def embedding_family(name: str, meaning: str, sees: tuple[str, ...] = (), blind: tuple[str, ...] = ()) -> Family:
    """The four distances between sets of points of the embedding `name`."""
    key = f"{name}/embedding"
    metrics = (
        Metric(f"frechet_{name}", "distribution", f"Frechet distance of {meaning}", "", sees, blind, POSITIVE),
        Metric(f"kernel_{name}", "distribution", f"Kernel distance of {meaning}; unbiased", "", sees, blind),
        Metric(
            f"density_{name}", "distribution", f"Density: how typical clips are, by {meaning}",
            sees=tuple(rung for rung in sees if rung in DENSITY_SEES), blind=blind, bounds=POSITIVE,
        ),
        Metric(
            f"coverage_{name}", "distribution", f"Share of real clips that some judged clip resembles, by {meaning}",
            sees=tuple(rung for rung in sees if rung != "vocoded"), blind=blind, bounds=SHARE,
        ),
    )  # fmt: skip

    def build(reference: Features, candidate: Features) -> Measure:
        distances = Distances(reference[key], candidate[key])

        def measure(r: np.ndarray, c: np.ndarray) -> dict[str, Reading]:
            frechet = frechet_distance(reference[key][r], candidate[key][c])
            kernel = kernel_distance(distances, r, c)
            density, coverage = density_and_coverage(distances, r, c)
            return {
                f"frechet_{name}": Reading(frechet, frechet),
                f"kernel_{name}": Reading(kernel, max(kernel, 0.0)),
                f"density_{name}": Reading(density, abs(1 - density)),
                f"coverage_{name}": Reading(coverage, 1 - coverage),
            }

        return measure

    return Family(metrics, key, build)


def _diversity(reference: Features, candidate: Features) -> Measure:
    distances = Distances(reference["logmel/embedding"], candidate["logmel/embedding"])

    def measure(r: np.ndarray, c: np.ndarray) -> dict[str, Reading]:
        real, judged = distances.in_reference[np.ix_(r, r)], distances.in_candidate[np.ix_(c, c)]
        pairwise = _mean_pair(judged) / max(_mean_pair(real), 1e-9)
        nearest = _nearest(judged) / max(_nearest(real), 1e-9)
        return {
            "pairwise_distance": Reading(pairwise, abs(1 - pairwise)),
            "nearest_distance": Reading(nearest, abs(1 - nearest)),
        }

    return measure


def _mean_pair(squared: np.ndarray) -> float:
    return float(np.sqrt(squared).sum() / (len(squared) * (len(squared) - 1)))


def _nearest(squared: np.ndarray) -> float:
    return float(np.median(np.sqrt(np.sort(squared, axis=1)[:, 1])))


def histogram_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Jensen-Shannon distance (base 2) of two histograms, in [0, 1]; 1 where one of them is empty."""
    if x.sum() <= 0 or y.sum() <= 0:
        return float(x.sum() > 0 or y.sum() > 0)
    p, q = x.astype(np.float64) / x.sum(), y.astype(np.float64) / y.sum()
    middle = (p + q) / 2

    def divergence(a: np.ndarray) -> float:
        some = a > 0
        return float((a[some] * np.log2(a[some] / middle[some])).sum())

    return float(np.sqrt(max((divergence(p) + divergence(q)) / 2, 0.0)))


PITCHLESS = ("random signs", "vocoded", "band noise")
STATIC = ("white noise", "silence")


def _spectrum() -> list[Family]:
    faults = {"clipped_share", "silent_share", "dc"}
    bounded = {"tonality", "octave_flatness", "clipped_share", "silent_share", "dc"}

    def family(name: str, meaning: str, unit: str, sees: tuple[str, ...], blind: tuple[str, ...]) -> Family:
        bounds = SHARE if name in bounded else (-math.inf, math.inf)
        fault = name in faults
        build = _excess if fault else _per_clip
        return build(Metric(name, "spectrum", meaning, unit, sees, blind, bounds, fault), f"spectrum/{name}")

    clean = ("faint noise", *PITCHLESS)
    return [
        family("tonality", "Spectral flatness of MDCT frames over -60 dB (the paper's number)", "", STATIC,
               ("random signs", "shuffled", "frame ripple")),
        family("octave_flatness", "Flatness within octaves of a long spectrum: pitch", "", (*PITCHLESS, *STATIC),
               ("faint noise",)),
        _single(Metric("level_error_db", "spectrum", "Mean error of the level per MDCT bin", "dB",
                       ("overdriven", *STATIC), ("random signs", "shuffled", "band noise"), POSITIVE),
                "spectrum/bin_power", _level_error),
        _single(Metric("checkerboard_db", "spectrum", "Excess of level ripples of 2, 4, 8, 16 frames: the hum", "dB",
                       ("frame ripple",), ("faint noise", "random signs", "overdriven")),
                "spectrum/modulation", _checkerboard),
        family("clipped_share", "Share of samples clipped: three or more at full scale", "", ("overdriven",), clean),
        family("silent_share", "Share of 50 ms below -60 dBFS", "", ("silence",), ("random signs", "vocoded", "shuffled")),
        family("dc", "Constant offset of the worst channel", "", ("overdriven",), ("frame ripple", "vocoded")),
        family("loudness_lufs", "Integrated loudness, at least -70", "LUFS", ("overdriven", "silence"), clean),
        family("stereo_correlation", "Correlation of left and right", "", ("white noise",), ("faint noise", "overdriven")),
    ]  # fmt: skip


def _notes() -> list[Family]:
    def family(name: str, meaning: str, unit: str, sees: tuple[str, ...]) -> Family:
        return _per_clip(Metric(name, "notes", meaning, unit, sees, ("faint noise",), POSITIVE), f"notes/{name}")

    gone = (*PITCHLESS, "silence")
    return [
        family("notes_per_s", "Transcribed notes per second", "1/s", gone),
        family("polyphony", "Notes sounding at once", "", gone),
        family("note_length_s", "Mean length of a clip's notes", "s", gone),
        family("confident_share", "Share of note cells above 0.5", "", (*gone, "white noise")),
        _single(Metric("pitch_class_distance", "notes", "Jensen-Shannon distance of pitch classes", "", ("silence",),
                       ("faint noise",), SHARE), "notes/pitch_classes", _histograms),
        _single(Metric("interval_distance", "notes", "Jensen-Shannon distance of sounding intervals", "", ("silence",),
                       ("faint noise",), SHARE), "notes/intervals", _histograms),
    ]  # fmt: skip


def _structure() -> list[Family]:
    def family(name: str, meaning: str, unit: str, sees: tuple[str, ...]) -> Family:
        return _per_clip(Metric(name, "structure", meaning, unit, sees, ("faint noise",)), f"structure/{name}")

    return [
        family("key_stability", "Share of 5 s windows in the clip's key", "", ()),
        family("recurrence", "Similarity of 2 s passages to the most similar one 4 s or more away", "", STATIC),
        family("beat_strength", "Autocorrelation of onsets at the beat, 6 s windows", "", STATIC),
        family("tempo_spread", "Spread of local tempo", "octaves", ("white noise",)),
        family("pulse", "Autocorrelation of onsets at 3 to 6 s: does the beat keep its phase", "", ("shuffled", *STATIC)),
        family("thirds_timbre_db", "Difference of spectra of first and last third", "dB", STATIC),
        family("thirds_chroma", "Correlation of pitch classes of first and last third", "", ()),
        family("level_spread_db", "Spread of the level curve", "dB", STATIC),
    ]  # fmt: skip


NOISES = (*PITCHLESS, *STATIC, "one clip")


def _built_in_embeddings() -> list[Family]:
    return [
        embedding_family(
            "logmel", "log-mel statistics", ("overdriven", *STATIC, "band noise", "one clip"), ("faint noise",)
        ),
        embedding_family("timbre", "timbre activations", NOISES, ("shuffled",)),
        embedding_family("notes", "note activations", NOISES, ("faint noise",)),
    ]


def _diversity_and_memorisation() -> list[Family]:
    pairwise = Metric(
        "pairwise_distance", "diversity", "Mean log-mel distance of two clips, over that of real ones", "",
        ("one clip", "silence"), ("faint noise",), POSITIVE,
    )  # fmt: skip
    nearest = Metric(
        "nearest_distance", "diversity", "Median distance to the nearest other clip, over that of real ones", "",
        ("one clip", "silence"), ("faint noise",), POSITIVE,
    )  # fmt: skip
    copied = Metric(
        "copied_share", "memorisation", "Share of clips as similar to a training passage as exact copies are", "",
        ("training copies",), bounds=SHARE, one_sided=True,
    )  # fmt: skip
    similarity = Metric(
        "similarity", "memorisation", "Similarity to the nearest training passage", "", ("training copies",), one_sided=True
    )
    return [
        Family((pairwise, nearest), "logmel/embedding", _diversity),
        _excess(copied, "memorisation/copied"),
        _excess(similarity, "memorisation/similarity"),
    ]


PAIR_ERROR = Metric(
    "pair_error", "pairs", "Blind pair test: how often a small classifier takes a judged second for the real one", "",
    ("overdriven", "one clip", *PITCHLESS, *STATIC), ("faint noise", "shuffled"), SHARE,
)  # fmt: skip


def _pairs(reference: Features, candidate: Features) -> Measure:
    test = pairs.PairTest(
        reference[pairs.LEVELS], reference[pairs.UNITS][:, 0], candidate[pairs.LEVELS], candidate[pairs.UNITS][:, 0]
    )

    def measure(r: np.ndarray, c: np.ndarray) -> dict[str, Reading]:
        error = test.error(r, c)
        return {PAIR_ERROR.name: Reading(error, max(pairs.CHANCE - error, 0.0))}

    return measure


FAMILIES: tuple[Family, ...] = (
    *_spectrum(),
    *_built_in_embeddings(),
    *_notes(),
    *_structure(),
    Family((PAIR_ERROR,), pairs.LEVELS, _pairs),
    *_diversity_and_memorisation(),
)
