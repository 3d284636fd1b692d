"""Reading metrics.jsonl back: time from rates, lines cut short, nothing yet."""

from __future__ import annotations

import json

import pytest

from mp3net.training.course import Course, Point, read_course


def write(run, rows, end="\n"):
    run.mkdir(exist_ok=True)
    (run / "metrics.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + end)


ROWS = [
    {"tracks_seen": 100, "rate/tracks_per_s": 1.0, "score/gap": 2.0},
    {"tracks_seen": 150, "evaluation/kernel_logmel": 9.0},
    {"tracks_seen": 200, "rate/tracks_per_s": 0.5, "score/gap": 2.5},
    {"tracks_seen": 200, "evaluation/kernel_logmel": 8.0},
    {"tracks_seen": 400, "rate/tracks_per_s": 2.0, "score/gap": 3.0},
]


def test_time_is_that_of_the_tracks_at_their_rates(tmp_path):
    write(tmp_path / "run", ROWS)
    course = read_course(tmp_path / "run")
    assert [point.tracks_seen for point in course.logged] == [100, 200, 400]
    assert [point.hours * 3600 for point in course.logged] == pytest.approx([100, 300, 400])
    assert [point.tracks_seen for point in course.evaluated] == [150, 200]
    assert [point.hours * 3600 for point in course.evaluated] == pytest.approx([200, 300])
    assert course.hours_at(50) * 3600 == pytest.approx(50)
    assert course.hours_at(1000) == course.logged[-1].hours
    assert course.tracks_seen == 400
    assert course.tracks_per_hour() == pytest.approx(300 / (300 / 3600))


def test_time_in_which_a_process_was_suspended_does_not_count(tmp_path):
    rates = [2.0] * 6 + [0.001] + [2.0] * 6 + [40.0] * 12
    rows = [{"tracks_seen": 100 * (n + 1), "rate/tracks_per_s": rate} for n, rate in enumerate(rates)]
    write(tmp_path / "run", rows)
    hours = [point.hours * 3600 for point in read_course(tmp_path / "run").logged]
    assert hours == pytest.approx([50 * (n + 1) for n in range(13)] + [13 * 50 + 2.5 * (n + 1) for n in range(12)])


def test_a_line_that_is_being_written_is_left_out(tmp_path):
    write(tmp_path / "run", ROWS, end='\n{"tracks_seen": 500, "rate/tra')
    assert read_course(tmp_path / "run").tracks_seen == 400
    write(tmp_path / "run", ROWS[:2], end="\n[1, 2]\n")
    assert read_course(tmp_path / "run").tracks_seen == 150


def test_a_run_that_has_just_begun(tmp_path):
    course = read_course(tmp_path)
    assert course == Course([], [])
    assert (course.tracks_seen, course.tracks_per_hour(), course.hours_at(10)) == (0, None, 0.0)
    once = Course([Point(100, 0.5, {})], [])
    assert once.tracks_per_hour() == 200
