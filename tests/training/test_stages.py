"""Which runs led to a snapshot, and what a model card says of them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mp3net.apps.curves import judged_in
from mp3net.config import Config, preset
from mp3net.errors import Mp3netError
from mp3net.export.card import CURVE_ROWS, Judged, curve
from mp3net.model.snapshot import open_snapshot
from mp3net.training.course import Course, Point
from mp3net.training.origin import Origin
from mp3net.training.plan import flop_per_track
from mp3net.training.stages import STAGES, Stage, stages_of

SHORT, LONG = preset("mp3net2-nano"), preset("mp3net2-6s")


def write_run(run: Path, config: Config, tracks: list[int], rate: float, init_from: str = "") -> None:
    run.mkdir()
    (run / "run.json").write_text(json.dumps(Origin(config, "", init_from=init_from).to_json()))
    lines: list[dict[str, float]] = [{"tracks_seen": count, "rate/tracks_per_s": rate} for count in tracks]
    lines += [{"tracks_seen": tracks[-1], "evaluation/kernel_logmel": rate / 10, "evaluation/pair_error": 0.25}]
    lines += [{"tracks_seen": tracks[-1], "evaluation/octave_flatness": 0.2, "evaluation/octave_flatness_real": 0.3}]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def snapshot(tmp_path, untrained):
    """One whose run saw 3,600 tracks at 1 per second and began with one of 36,000 at 20 per second, and has gone on since."""
    write_run(tmp_path / "short", SHORT, [18_000, 36_000], 20.0)
    write_run(tmp_path / "long", LONG, [1_800, 3_600, 7_200], 1.0, init_from=str(tmp_path / "short"))
    opened = open_snapshot(untrained)
    return replace(opened, folder=tmp_path / "long", metadata={"tracks_seen": 3_600})


def test_the_runs_that_led_to_a_snapshot(snapshot):
    short, long = stages_of(snapshot)
    assert (short.tracks_seen, long.tracks_seen) == (36_000, 3_600)
    assert (short.track_s, long.track_s) == pytest.approx((1.512, 5.977), abs=1e-3)
    assert short.hours == pytest.approx(0.5)
    assert long.hours == pytest.approx(1.5), "the hours of the run before it belong to it, those after the snapshot do not"
    assert long.flop == pytest.approx(3_600 * flop_per_track(LONG))
    assert {point.tracks_seen for point in judged_in([short, long])} == {36_000}, "what came later is not of this snapshot"


def test_tracks_of_one_length_are_counted_on():
    def run(track_s: float, tracks: int) -> Stage:
        return Stage(track_s, 1.0, Course([], [Point(tracks, 0.5, {})]), tracks)

    counted = judged_in([run(1.5, 100), run(6.0, 40), run(6.0, 20), run(1.5, 7)])
    assert [(point.track_s, point.tracks_seen) for point in counted] == [(1.5, 100), (6.0, 40), (6.0, 60), (1.5, 7)]


def test_runs_that_are_gone_and_runs_that_name_each_other(snapshot, tmp_path):
    (tmp_path / "short").rename(tmp_path / "elsewhere")
    assert [stage.tracks_seen for stage in stages_of(snapshot)] == [3_600]
    write_run(tmp_path / "short", SHORT, [10], 1.0, init_from=str(tmp_path / "long"))
    assert [stage.tracks_seen for stage in stages_of(snapshot)] == [10, 3_600]
    assert stages_of(replace(snapshot, folder=tmp_path)) == []


def test_a_snapshot_that_travels_takes_its_stages_along(snapshot, untrained, tmp_path):
    """So does the next one, whose run began with it, and no run of the first need be there any more."""
    published, config = tmp_path / "published", json.loads((untrained / "config.json").read_text())
    shutil.copytree(untrained, published)
    config["metadata"] |= {STAGES: [stage.to_json() for stage in stages_of(snapshot)], "tracks_seen": 3_600}
    (published / "config.json").write_text(json.dumps(config))
    before = stages_of(snapshot)
    shutil.rmtree(tmp_path / "short")
    shutil.rmtree(tmp_path / "long")
    found = stages_of(open_snapshot(published))
    assert [stage.hours for stage in found] == pytest.approx([stage.hours for stage in before])
    assert [stage.flop for stage in found] == pytest.approx([stage.flop for stage in before])
    assert curve(judged_in(found)) == curve(judged_in(before)) != []
    write_run(tmp_path / "later", LONG, [3_600], 1.0, init_from=str(published))
    later = stages_of(replace(snapshot, folder=tmp_path / "later", metadata={}))
    assert [stage.hours for stage in later] == pytest.approx([0.5, 1.5, 2.5])
    run = json.loads((tmp_path / "later" / "run.json").read_text())
    for weights, known in ((open_snapshot(published).digest, 3), ("0123456789ab", 1)):
        (tmp_path / "later" / "run.json").write_text(json.dumps(run | {"init_weights": weights}))
        assert len(stages_of(replace(snapshot, folder=tmp_path / "later", metadata={}))) == known
    shutil.rmtree(published)
    assert len(stages_of(replace(snapshot, folder=tmp_path / "later", metadata={}))) == 1


def test_a_run_counts_up_to_the_snapshot_that_the_next_one_began_with(snapshot, untrained, tmp_path):
    """The first run went on to 36,000 tracks; what the second began with was made after 18,123."""
    begun = tmp_path / "short" / "checkpoints" / "tracks-18123" / "snapshot"
    shutil.copytree(untrained, begun)
    config = json.loads((begun / "config.json").read_text())
    (begun / "config.json").write_text(json.dumps(config | {"metadata": {"tracks_seen": 18_123}}))
    run = json.loads((tmp_path / "long" / "run.json").read_text()) | {"init_from": str(begun)}
    for weights, counted in ((open_snapshot(begun).digest, 18_123), ("0123456789ab", 36_000)):
        (tmp_path / "long" / "run.json").write_text(json.dumps(run | {"init_weights": weights}))
        assert [stage.tracks_seen for stage in stages_of(snapshot)] == [counted, 3_600]


def test_hours_of_one_core(snapshot):
    *_, long = stages_of(snapshot)
    twice = long.on_cores(2)
    assert twice.hours - twice.hours_before == pytest.approx(2 * (long.hours - long.hours_before))
    assert twice.to_json()["hours"] == pytest.approx(2 * long.to_json()["hours"])
    assert twice.flop == long.flop


@pytest.mark.parametrize("wrong", [5, [5], [{}], [{"tracks_seen": "x"}], "stages", {"a": 1}])
def test_stages_that_cannot_be_read_are_named(wrong, untrained):
    opened = open_snapshot(untrained)
    with pytest.raises(Mp3netError, match=r"metadata.stages in its config.json cannot be read"):
        stages_of(replace(opened, metadata={STAGES: wrong}))


def test_a_card_has_the_curve_with_its_end():
    readings = {"octave_flatness": 0.25, "octave_flatness_real": 0.3, "pair_error": 0.125}
    lines = curve([Judged(1000 * count, 1.5, count / 2, readings) for count in range(1, 26)])
    assert len(lines) - 2 == len(range(25, 0, -3)) <= CURVE_ROWS
    assert lines[-1] == "| 25,000 of 1.5 s | 12.5 | 0.25 (recordings 0.3) |  |  | 0.125 |"
    assert len({line.count("|") for line in lines}) == 1
    assert curve([]) == []
