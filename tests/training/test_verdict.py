"""Verdicts on real trainings, healthy and broken on purpose, and on courses made up for each rule."""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from mp3net.config import PRESETS
from mp3net.training.course import Course, Point, read_course
from mp3net.training.reference import Reference, beside, reference_for, references
from mp3net.training.schedule import falls_until
from mp3net.training.verdict import judge, trend_z
from tests.training.conftest import TINY

CURVES = Path(__file__).parents[2] / "benchmarks" / "lab" / "curves"
COURSES = Path(__file__).parent / "courses"
HEALTHY = {"early", "improving", "flat", "good"}
BROKEN = {
    "penalty": "discriminator ahead",
    "four": "learned by heart",
    "paper-penalty": "unstable",
    "paper-1": "unstable",
    "rate": "unstable",
}


def lab_course(path: Path) -> Course:
    with path.open(newline="") as file:
        rows = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
    return Course([Point(int(row["tracks_seen"]), 0.0, row) for row in rows if "level_db/real" in row], [])


@pytest.mark.parametrize("path", sorted(CURVES.glob("*.csv")), ids=lambda path: path.stem)
def test_no_training_of_the_lab_is_blamed_but_the_one_that_broke(path):
    """At any time: a hundred recipes of both families, among them the paper's with a seed that became unstable."""
    course = lab_course(path)
    found = {judge(Course(course.logged[:end], [])).state for end in range(1, len(course.logged) + 1, 3)}
    final = judge(course)
    if path.stem in BROKEN:
        assert final.state == BROKEN[path.stem]
        assert final.advice
    else:
        assert found | {final.state} <= HEALTHY


def measured(kernel=9.0, coverage=0.5, flatness=0.2, spread=0.02, pairwise_distance=0.9, **others):
    readings = {
        "kernel_logmel": kernel, "coverage_logmel": coverage, "octave_flatness": flatness, "octave_flatness_real": 0.3,
        "octave_flatness_spread": spread, "octave_flatness_spread_real": 0.05, "pairwise_distance": pairwise_distance,
        **others,
    }  # fmt: skip
    return {f"evaluation/{name}": value for name, value in readings.items()}


def course_of(evaluations, gap=2.0, penalty=0.02, level_db=0.0) -> Course:
    """Evaluations every 8,000 tracks or 10 minutes, reports ten times as often."""
    evaluated = [Point(8000 * (n + 1), (n + 1) / 6, readings) for n, readings in enumerate(evaluations)]
    logs = {"score/gap": gap, "penalty/gradient": penalty, "level_db/real": -45.0, "level_db/generated": -45.0 + level_db}
    logged = [Point(800 * (n + 1), (n + 1) / 60, logs) for n in range(10 * max(len(evaluations), 1))]
    return Course(logged, evaluated)


@pytest.mark.parametrize(
    ("changed", "state", "told"),
    [
        ({"gap": 6.0}, "discriminator ahead", "it scores recordings 6.0 above songs"),
        ({"gap": 0.1}, "discriminator behind", "only 0.10 above songs"),
        ({"penalty": 1.5}, "unstable", "gradient penalty 1.5"),
        ({"level_db": -16.0}, "collapsed", "16 dB quieter"),
        ({"level_db": 20.0}, "collapsed", "20 dB louder"),
        ({"gap": 4.5, "penalty": 0.5, "level_db": -14.0}, "flat", "for 50 min (40,000 tracks)"),
    ],
)
def test_reports_show_what_is_wrong(changed, state, told):
    verdict = judge(course_of([measured()] * 6, **changed))
    assert verdict.state == state
    assert told in verdict.because


@pytest.mark.parametrize(
    ("last", "state", "told"),
    [
        ({"copied_share": 0.4, "copied_share_real": 0.12}, "copies", "40% of the songs"),
        ({"copied_share": 0.25, "copied_share_real": 0.12}, "flat", ""),
        ({"pairwise_distance": 0.3}, "collapsed", "songs differ 0.30 times as much"),
        ({"coverage": 0.05}, "collapsed", "come near 5% of the recordings (at best 50%)"),
        ({"kernel": 1.0, "coverage": 0.93, "flatness": 0.29, "spread": 0.045}, "good", "kernel distance 1.00"),
        ({"memorised_share": 0.6}, "learned by heart", "60% of the way"),
    ],
)  # fmt: skip
def test_evaluations_show_what_is_wrong_and_what_is_good(last, state, told):
    before = {"memorised_share": 0.7} if "memorised_share" in last else {}
    verdict = judge(course_of([*[measured(**before)] * 6, measured(**last)]))
    assert verdict.state == state
    assert told in verdict.because


def test_once_is_not_enough_to_know_recordings_by_heart():
    assert judge(course_of([*[measured(memorised_share=0.1)] * 6, measured(memorised_share=0.6)])).state == "flat"


def test_what_moves_towards_real_music_improves():
    rising = [measured(flatness=0.2 + 0.005 * step) for step in range(8)]
    verdict = judge(course_of(rising))
    assert str(verdict) == "improving: octave flatness 0.200 to 0.235 (real music 0.300), over 70 min (56,000 tracks)"
    assert judge(course_of(rising[::-1])).state == "flat"
    beyond = [measured(flatness=0.3 + 0.005 * step) for step in range(8)]  # away from real music on the other side
    assert judge(course_of(beyond)).state == "flat"
    falling = [measured(flatness=0.2 + 0.005 * step, coverage=0.8 - 0.02 * step) for step in range(8)]
    away = "; away from real music: coverage 0.80 to 0.66 (real music 1)"
    assert judge(course_of(falling)).because.endswith(f"over 70 min (56,000 tracks){away}")
    late = [*rising, *[rising[-1]] * 10]  # as flat as it is long ago that something moved
    verdict = judge(course_of(late))
    assert verdict.state == "flat"
    assert "for 1" in verdict.because or "for 2" in verdict.because


def test_one_evaluation_ends_no_trend():
    gently = [measured(flatness=0.2 + 0.005 * step) for step in (0, 1, 3, 2, 5, 4, 6, 7)]
    assert trend_z([-(one["evaluation/octave_flatness"]) for one in [*gently, measured()][1:]]) < 2.05
    verdict = judge(course_of([*gently, measured()]))
    assert verdict.state == "improving"
    assert "octave flatness 0.200 to 0.235" in verdict.because
    assert "; the last evaluation does not continue it: kernel distance 9.00" in verdict.because
    assert judge(course_of([*gently, measured(), measured()])).state == "flat"


def test_advice_knows_whether_the_learning_rate_falls():
    flat = course_of([measured()] * 6)
    assert "Let it go on: its learning rate falls until 90,000 tracks" in judge(flat, falls_until=90_000).advice
    assert "--init-from and a lower optimiser.learning_rate" in judge(flat).advice
    points = ((10_000, 1.0), (60_000, 0.2))
    assert [falls_until(points, seen, 60_000) for seen in (0, 10_000, 59_999, 60_000)] == [60_000] * 3 + [None]
    assert falls_until(points, 20_000, 40_000) == 40_000
    assert falls_until((), 0, 40_000) is None
    assert falls_until(((0, 0.5), (20_000, 1.0)), 10_000, 40_000) is None


def test_a_young_training_is_judged_by_large_steps_only():
    assert judge(Course([], [])).state == "early"
    assert judge(course_of([measured()])).state == "early"
    assert judge(course_of([measured(kernel=20.0), measured(kernel=12.0)])).state == "improving"
    assert judge(course_of([measured(kernel=20.0), measured(kernel=16.0)])).state == "early"
    assert judge(course_of([measured(kernel=20.0), measured(kernel=8.0), measured(kernel=19.0)])).state == "early"


def test_the_trend_is_that_of_kendall_and_noise_seldom_has_one():
    random = np.random.default_rng(0)
    for _ in range(20):
        values = random.permutation(9).tolist()
        n = len(values)
        s = -kendalltau(range(n), values).statistic * n * (n - 1) / 2
        assert trend_z(values) == pytest.approx((s - np.sign(s)) / np.sqrt(n * (n - 1) * (2 * n + 5) / 18), abs=1e-9)
    assert trend_z([1.0, 1.0, 1.0]) == 0
    noise = random.standard_normal((4000, 8))
    assert 0.01 < np.mean([trend_z(row.tolist()) >= 2.05 for row in noise]) < 0.03


def test_trainings_that_only_scatter_are_seldom_said_to_improve():
    """Four readings, each with a trend by chance in 2 % of cases."""
    random = np.random.default_rng(0)
    states = []
    for _ in range(300):
        noise = random.standard_normal((8, 4))
        scattered = [
            measured(9 + one[0], 0.5 + 0.03 * one[1], 0.2 + 0.01 * one[2], 0.02 + 0.001 * one[3]) for one in noise.tolist()
        ]
        states.append(judge(course_of(scattered)).state)
    assert set(states) == {"flat", "improving"}
    assert 0.02 < states.count("improving") / len(states) < 0.13


def test_time_left_is_that_to_where_the_reference_became_good():
    points = [Point(8000 * n, n / 6, measured(kernel=40.0 / n)) for n in range(1, 8)]
    reference = Reference("mp3net2-nano", "chorales", 40_000, "distance at most 3", Course([], points))
    assert beside(course_of([measured()] * 2), reference) == (
        "kernel distance 9.0 and coverage 0.50 after 16,000 tracks, where the reference (mp3net2-nano on chorales) had 20.0 "
        "and 0.50; it had distance at most 3 from 40,000 tracks on, 30 min from here if this one learns as fast"
    )
    assert beside(course_of([measured()] * 6), reference).endswith("it had distance at most 3 from 40,000 tracks on")
    assert beside(course_of([measured()] * 20), reference).startswith(
        "the reference (mp3net2-nano on chorales) had distance"
    )
    assert beside(Course([], []), reference) == ""


def test_references_are_those_of_presets():
    assert "mp3net2-nano" in references()
    for name, reference in references().items():
        assert reference_for(PRESETS[name]) is reference
        points = reference.course.evaluated
        assert all(first.tracks_seen < second.tracks_seen for first, second in pairwise(points))
        good = reference.nearest(reference.good_at_tracks)
        assert good.tracks_seen == reference.good_at_tracks
        assert good.readings["evaluation/kernel_logmel"] <= 3
        assert judge(Course([], points)).state == "improving"
    assert reference_for(TINY) is None


@pytest.mark.parametrize("name", sorted(path.stem for path in COURSES.glob("*.jsonl")))
def test_trainings_broken_on_purpose(name, tmp_path):
    """Real ones on the chorales, of which the courses are kept, with --set run.evaluate_every_tracks=1600:

    penalty: mp3net2-nano, objective.gradient_penalty_weight=0; paper-penalty: the same of nano-1.5s.
    four: mp3net2-nano on four pieces, two held out.
    rate: mp3net2-nano, optimiser.learning_rate=0.002.
    """
    rows = (COURSES / f"{name}.jsonl").read_text().splitlines()
    (tmp_path / "metrics.jsonl").write_text("\n".join(rows))
    course = read_course(tmp_path)
    assert judge(course).state == BROKEN[name]
    found = [judge(until(course, tracks)).state for tracks in range(1600, course.tracks_seen + 1600, 1600)]
    first = found.index(BROKEN[name])
    assert set(found[:first]) <= HEALTHY
    assert first < {"penalty": 3, "four": 16, "paper-penalty": 3, "rate": 6}[name]


def until(course: Course, tracks: int) -> Course:
    """As it was then."""
    logged, evaluated = (
        [point for point in points if point.tracks_seen <= tracks] for points in (course.logged, course.evaluated)
    )
    return Course(logged, evaluated, course.diverged_at if (course.diverged_at or 0) <= tracks else None)
