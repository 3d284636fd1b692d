"""Is a training on track? A plain verdict, the numbers that it rests on, and what to do.

A training gets better if one of its light evaluations' readings moves towards that of real music, by the test of Mann and
Kendall: of all pairs of evaluations, more than chance would have the later one nearer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mp3net.training.course import Course, Point
from mp3net.training.progress import format_duration

State = Literal[
    "early", "improving", "flat", "good", "collapsed", "discriminator ahead", "discriminator behind", "unstable",
    "learned by heart", "copies",
]  # fmt: skip

# Trends are sought in the last evaluations, from LEAST to MOST of them; a flat stretch has at least FLAT. Fewer than LEAST
# cannot show a trend by this test: then steps count that are larger than two evaluations differ by chance.
LEAST, MOST, FLAT = 5, 8, 6
LARGE_STEP = 0.3
# One-sided, of Mann and Kendall's statistic: 2 % by chance.
SIGNIFICANT_Z = 2.05
# Of a run that has just begun nothing of this can be said.
FIRST_TRACKS = 2400
# The gap between scores, by family: what healthy trainings on the chorales never exceed, and a discriminator that has lost.
MOST_GAP, LEAST_GAP = 5.0, 0.3
MOST_PENALTY = 1.0
# Songs whose level is this far from that of the recordings are silence or overload.
MOST_LEVEL_DB = 15.0
# Songs that resemble each other so much more than recordings do are one song.
LEAST_PAIRWISE, LEAST_COVERAGE = 0.35, 0.1
MOST_MEMORISED, MOST_COPIED = 0.5, 0.15
"""Shares: beyond 0.5 the discriminator finds held-out recordings more like songs than like those that it knows."""


@dataclass(frozen=True)
class Verdict:
    """`because` are the numbers, `advice` what to do about it; empty if nothing."""

    state: State
    because: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.state}: {self.because}" + (f". {self.advice}" if self.advice else "")


@dataclass(frozen=True)
class Reading:
    """A reading of light evaluations, which real music has too.

    `fixed` is that of real music: 0, the least there is, 1, the most, or None if it is measured; then errors are relative.
    `goal`: the largest error that is called good.
    """

    name: str
    metric: str
    digits: int
    goal: float
    fixed: Literal[0, 1] | None = None

    def value(self, point: Point) -> float:
        return max(point.readings[f"evaluation/{self.metric}"], 0.0)

    def real(self, point: Point) -> float:
        return self.fixed if self.fixed is not None else point.readings[f"evaluation/{self.metric}_real"]

    def error(self, point: Point) -> float:
        """How far it is from that of real music."""
        off = abs(self.value(point) - self.real(point))
        return off if self.fixed is not None else off / max(self.real(point), 1e-9)

    def is_good(self, point: Point) -> bool:
        return self.error(point) <= self.goal + 1e-9

    def bounds(self, point: Point) -> tuple[float | None, float | None]:
        """From where to where it is good; None: no such bound."""
        real = self.real(point)
        off = self.goal if self.fixed is not None else self.goal * real
        return None if self.fixed == 0 else real - off, None if self.fixed == 1 else real + off

    def shown(self, point: Point) -> str:
        return f"{self.value(point):.{self.digits}f}"

    def shown_real(self, point: Point) -> str:
        return f"{self.fixed}" if self.fixed is not None else f"{self.real(point):.{self.digits}f}"

    def wanted(self, point: Point) -> str:
        """Its bounds as words."""
        least, most = (f"{bound:.{self.digits}f}" if bound is not None else None for bound in self.bounds(point))
        return f"{least} to {most}" if least and most else f"at least {least}" if least else f"at most {most}"


READINGS = (
    Reading("kernel distance", "kernel_logmel", 2, 1.5, fixed=0),
    Reading("coverage", "coverage_logmel", 2, 0.1, fixed=1),
    Reading("octave flatness", "octave_flatness", 3, 0.1),
    Reading("flatness spread over songs", "octave_flatness_spread", 3, 0.25),
)


def judge(course: Course, falls_until: int | None = None) -> Verdict:
    """The verdict on a run as far as it has gone; faults first, from what is certain to what is not.

    `falls_until`: the number of tracks up to which its learning rate still falls; None if it does not fall any more.
    """
    for rule in (_broken, _copies, _level, _ahead, _alike, _by_heart, _good):
        verdict = rule(course)
        if verdict is not None:
            return verdict
    return _trend(course, falls_until)


def _broken(course: Course) -> Verdict | None:
    if course.diverged_at is None:
        return None
    return Verdict(
        "unstable",
        f"a loss or a weight was no longer finite after {course.diverged_at:,} tracks, and the training stopped",
        "Begin anew with half of optimiser.learning_rate, or a higher objective.gradient_penalty_weight",
    )


def _copies(course: Course) -> Verdict | None:
    if not course.evaluated or "evaluation/copied_share" not in course.evaluated[-1].readings:
        return None
    readings = course.evaluated[-1].readings
    copied, real = readings["evaluation/copied_share"], readings.get("evaluation/copied_share_real", 0.0)
    if copied - real <= MOST_COPIED:
        return None
    return Verdict(
        "copies",
        f"{copied:.0%} of the songs are as similar to a passage of the training recordings as exact copies are; of "
        f"recordings it has not seen, {real:.0%}",
        "Train on more recordings, or go back to an earlier snapshot",
    )


def _level(course: Course) -> Verdict | None:
    recent = [point.readings for point in course.logged[-3:] if "level_db/real" in point.readings]
    if not recent or course.tracks_seen < FIRST_TRACKS:
        return None
    off_db = [readings["level_db/generated"] - readings["level_db/real"] for readings in recent]
    if min(abs(value) for value in off_db) <= MOST_LEVEL_DB:
        return None
    return Verdict(
        "collapsed",
        f"songs are {abs(off_db[-1]):.0f} dB {'quieter' if off_db[-1] < 0 else 'louder'} than the recordings",
        "Begin anew with half of optimiser.learning_rate",
    )


def _ahead(course: Course) -> Verdict | None:
    """The discriminator has won, or lost: by its gap in the last quarter of the reports."""
    recent = course.logged[-max(3, len(course.logged) // 4) :]
    if len(recent) < 3 or course.tracks_seen < FIRST_TRACKS:
        return None
    gaps = [point.readings["score/gap"] for point in recent if "score/gap" in point.readings]
    penalties = [point.readings["penalty/gradient"] for point in recent if "penalty/gradient" in point.readings]
    penalty = _median(penalties) if penalties else 0.0
    if gaps and _median(gaps) < LEAST_GAP:
        return Verdict(
            "discriminator behind",
            f"it scores recordings only {_median(gaps):.2f} above songs (healthy: 1.5 to 3), so the songs learn nothing "
            "from it",
            "Lower objective.gradient_penalty_weight by half",
        )
    of_penalty = f"gradient penalty {penalty:.3g} (healthy: below 0.1)"
    if gaps and _median(gaps) > MOST_GAP:
        return Verdict(
            "discriminator ahead",
            f"it scores recordings {_median(gaps):.1f} above songs (healthy: 1.5 to 3), {of_penalty}",
            "Raise objective.gradient_penalty_weight, or lower optimiser.learning_rate, and begin anew",
        )
    if penalty > MOST_PENALTY:
        return Verdict(
            "unstable",
            f"{of_penalty}: the discriminator leaps, and the songs follow",
            "Begin anew with half of optimiser.learning_rate, a higher objective.gradient_penalty_weight or another "
            "optimiser.seed",
        )
    return None


def _alike(course: Course) -> Verdict | None:
    if not course.evaluated or course.tracks_seen < FIRST_TRACKS:
        return None
    now = course.evaluated[-1].readings
    best = max(point.readings["evaluation/coverage_logmel"] for point in course.evaluated)
    coverage, pairwise = now["evaluation/coverage_logmel"], now["evaluation/pairwise_distance"]
    fallen = coverage < LEAST_COVERAGE < best / 3
    if pairwise >= LEAST_PAIRWISE and not fallen:
        return None
    return Verdict(
        "collapsed",
        f"songs differ {pairwise:.2f} times as much from each other as recordings do, and come near {coverage:.0%} of the "
        f"recordings (at best {best:.0%})",
        "Go back to a snapshot from before, or begin anew with half of optimiser.learning_rate",
    )


def _by_heart(course: Course) -> Verdict | None:
    shares = [
        point.readings["evaluation/memorised_share"]
        for point in course.evaluated[-2:]
        if "evaluation/memorised_share" in point.readings
    ]
    if len(shares) < 2 or min(shares) <= MOST_MEMORISED:
        return None
    return Verdict(
        "learned by heart",
        f"the discriminator takes recordings that it has not seen for songs, {shares[-1]:.0%} of the way (healthy: below "
        f"{MOST_MEMORISED:.0%}): it knows those that it trains on by heart",
        "Train on more recordings",
    )


def _good(course: Course) -> Verdict | None:
    if not course.evaluated or not all(reading.is_good(course.evaluated[-1]) for reading in READINGS):
        return None
    return Verdict("good", f"as near to real music as it can be told here: {_numbers(course.evaluated[-1])}",
                   "mp3net evaluate looks further")  # fmt: skip


def _trend(course: Course, falls_until: int | None) -> Verdict:
    points = course.evaluated
    if len(points) < 2:
        known = f"one evaluation: {_numbers(points[0])}" if points else "no evaluation yet"
        return Verdict("early", f"{known}; a verdict needs two or more", "Listen to samples/ meanwhile")
    if (moved := _moved(course, points[-MOST:])) is not None:
        return Verdict("improving", moved)
    # One evaluation scatters: a trend that only the last one interrupts has not ended.
    if len(points) > LEAST and (moved := _moved(course, points[-MOST - 1 : -1])) is not None:
        return Verdict("improving", f"{moved}; the last evaluation does not continue it: {_numbers(points[-1])}")
    if len(points) < FLAT:
        return Verdict("early", f"no trend yet in {len(points)} evaluations: {_numbers(points[-1])}")
    return _flat(course, falls_until)


def _moved(course: Course, points: Sequence[Point]) -> str | None:
    """What moved towards real music, and what away from it; None if nothing moved towards it."""
    errors = {reading: [reading.error(point) for point in points] for reading in READINGS}
    better = [reading for reading in READINGS if _better(errors[reading])]
    if not better:
        return None
    worse = [reading for reading in READINGS if trend_z([-error for error in errors[reading]]) >= SIGNIFICANT_Z]
    away = f"; away from real music: {_moves(worse, points)}" if worse else ""
    return f"{_moves(better, points)}, over {_span(course, points)}{away}"


def _moves(readings: Sequence[Reading], points: Sequence[Point]) -> str:
    first, last = points[0], points[-1]
    return ", ".join(
        f"{one.name} {one.shown(first)} to {one.shown(last)} (real music {one.shown_real(last)})" for one in readings
    )


def _flat(course: Course, falls_until: int | None) -> Verdict:
    points = course.evaluated
    still = points[-MOST:]
    while len(still) < len(points):  # as far back as nothing moved
        longer = points[-len(still) - 1 :]
        if any(_better([reading.error(point) for point in longer]) for reading in READINGS):
            break
        still = longer
    if falls_until is not None:
        advice = f"Let it go on: its learning rate falls until {falls_until:,} tracks, which often brings a last step"
    else:
        advice = (
            "Listen to samples/; if you want more, train on from here with --init-from and a lower optimiser.learning_rate, "
            "or on more recordings"
        )
    return Verdict(
        "flat", f"nothing has moved towards real music for {_span(course, still)}: {_numbers(points[-1])}", advice
    )


def _better(errors: Sequence[float]) -> bool:
    if len(errors) < LEAST:
        return errors[-1] < (1 - LARGE_STEP) * errors[0] and errors[-1] == min(errors)
    return trend_z(errors) >= SIGNIFICANT_Z


def trend_z(errors: Sequence[float]) -> float:
    """Mann and Kendall's statistic of falling values, in standard deviations and corrected for continuity; 0 for fewer than
    three."""
    n = len(errors)
    if n < 3:
        return 0.0
    s = sum((a > b) - (a < b) for i, a in enumerate(errors) for b in errors[i + 1 :])
    return (s - (s > 0) + (s < 0)) / math.sqrt(n * (n - 1) * (2 * n + 5) / 18)


def _numbers(point: Point) -> str:
    return ", ".join(f"{reading.name} {reading.shown(point)}" for reading in READINGS)


def _span(course: Course, points: Sequence[Point]) -> str:
    tracks = points[-1].tracks_seen - points[0].tracks_seen
    return f"{format_duration(3600 * (points[-1].hours - points[0].hours))} ({tracks:,} tracks)"


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
