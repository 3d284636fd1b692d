"""The whole evaluation: reproducible, resumable, cached, honest about what it could not do."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from mp3net.errors import Mp3netError
from mp3net.evaluation import features as features_module
from mp3net.evaluation.features import FeatureStore
from mp3net.evaluation.metrics import FAMILIES, Metric, histogram_distance, wasserstein
from mp3net.evaluation.report import number, outcome, plane, save_report, short_interval, summary
from mp3net.evaluation.result import Result, Score
from mp3net.evaluation.session import evaluate
from mp3net.evaluation.statistics import Estimate
from mp3net.generation import MP3net
from tests.evaluation.conftest import SAMPLES, SECONDS

LIGHT = ["spectrum", "logmel"]


def digest(evaluation) -> str:
    return json.dumps(evaluation.to_json(), sort_keys=True)


def test_same_arguments_same_numbers_with_and_without_cache(dataset, judged_folder, tmp_path):
    first = evaluate(judged_folder, dataset, 40, 1.0, measures=LIGHT, cache=tmp_path / "a")
    cached = evaluate(judged_folder, dataset, 40, 1.0, measures=LIGHT, cache=tmp_path / "a")
    fresh = evaluate(judged_folder, dataset, 40, 1.0, measures=LIGHT, cache=tmp_path / "b")
    other = evaluate(judged_folder, dataset, 40, 1.0, seed=1, measures=LIGHT, cache=tmp_path / "a")
    assert digest(first) == digest(cached) == digest(fresh) != digest(other)


def test_interrupted_evaluation_goes_on(dataset, judged_folder, tmp_path, monkeypatch):
    computed, interrupting = [], [True]
    original = features_module.compute

    def counting(clips, extractors, progress):
        computed.append(clips.name)
        if clips.name == "random signs" and interrupting:
            raise RuntimeError("stopped here")
        return original(clips, extractors, progress)

    monkeypatch.setattr(features_module, "compute", counting)
    with pytest.raises(RuntimeError, match="stopped here"):
        evaluate(judged_folder, dataset, 40, 1.0, measures=LIGHT, cache=tmp_path)
    done = set(computed) - {"random signs"}
    computed.clear()
    interrupting.clear()
    evaluate(judged_folder, dataset, 40, 1.0, measures=LIGHT, cache=tmp_path)
    assert not done & {name for name in computed if name != "random signs"}
    assert "random signs" in computed
    assert "reference" not in computed


def test_cut_cache_files_are_computed_again(dataset, judged_folder, tmp_path):
    first = evaluate(judged_folder, dataset, 40, 1.0, measures=LIGHT, cache=tmp_path)
    for path in tmp_path.glob("spectrum-*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    assert digest(evaluate(judged_folder, dataset, 40, 1.0, measures=LIGHT, cache=tmp_path)) == digest(first)


def test_cache_holds_no_pickles(tmp_path):
    store = FeatureStore(tmp_path)
    with store.path("x", "evil").open("wb") as file:
        np.savez(file, a=np.array([{"code": 1}], dtype=object))
    assert store.load("x", "evil") is None


def test_own_embedding(dataset, judged_folder, tmp_path):
    class Loudness:
        name = "loudness"

        def __call__(self, audio, sample_rate_hz):
            return np.log(np.square(audio).mean((1, 2)) + 1e-9)[:, None].astype(np.float32)

    found = evaluate(
        judged_folder, dataset, 40, 1.0, measures=["logmel"], embeddings=[Loudness()], cache=tmp_path, match_level=True
    )
    assert found.result("frechet_loudness").ladder["silence"].value.value > 10
    assert found.result("kernel_loudness").as_real


def test_a_snapshot_is_judged_and_told_from_music_that_it_has_not_learned(evaluation, dataset):
    """On the ladder that the evaluation of the folder has made."""
    found = evaluate(MP3net.from_pretrained(), dataset, SAMPLES, SECONDS, measures=["spectrum", "notes"])
    assert found.candidate["kind"] == "snapshot"
    assert len(found.candidate["weights"]) == 12
    for name in ("octave_flatness", "confident_share", "kernel_notes"):
        assert not found.result(name).as_real, name


def test_training_copies_are_listed_with_their_source(dataset, recordings, evaluation, tmp_path):
    from mp3net.data.index import read_index

    copied = tmp_path / "copied"
    copied.mkdir()
    train = [entry for entry in read_index(dataset).entries if entry["split"] == "train"]
    for entry in train[:8]:
        shutil.copy(recordings / entry["source"], copied / f"mine-{entry['source']}")
    found = evaluate(copied, dataset, SAMPLES, SECONDS, measures=["memorisation"])
    assert found.result("copied_share").score.value.value > 0.8
    assert not found.result("copied_share").as_real
    assert len(found.matches) == 20
    for match in found.matches:
        assert match.clip == f"mine-{match.source}"
        assert abs(match.clip_position_s - match.source_position_s) < 0.1
    assert evaluation.result("copied_share").score.value.value < 0.3
    assert evaluation.result("copied_share").as_real


def test_what_is_left_out_is_said(evaluation, dataset, judged_folder, monkeypatch):
    assert evaluation.left_out == {"structure": "needs clips of 10 s or more, these last 1.50 s"}
    import importlib.util

    original = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "basic_pitch" else original(name))
    with pytest.raises(Mp3netError, match="basic_pitch is not installed; install it with: .* -m pip install"):
        evaluate(judged_folder, dataset, 40, 1.0, measures=["notes"])
    extractors, left_out = features_module.build_extractors(features_module.MEASURES, 1.0, required=False)
    assert "notes" not in extractors
    assert "pip install" in left_out["notes"]


def test_wrong_arguments_are_errors(dataset, judged_folder, tmp_path):
    with pytest.raises(Mp3netError, match="unknown measures vibes; the measures are: spectrum"):
        evaluate(judged_folder, dataset, measures=["vibes"])
    (tmp_path / "file").write_text("")
    with pytest.raises(Mp3netError, match="name a --cache"):
        evaluate(judged_folder, dataset, 40, 1.0, measures=LIGHT, cache=tmp_path / "file" / "x")


def test_a_model_of_another_rate_is_an_error(recordings, tmp_path):
    from mp3net.config import DataConfig
    from mp3net.data.preparation import prepare
    from mp3net.data.recordings import below

    prepare(below(recordings), tmp_path / "data", DataConfig(sample_rate_hz=8000, channels=1, heldout_share=0.5), workers=2)
    with pytest.raises(Mp3netError, match="prepared at 8000 Hz"):
        evaluate(MP3net.from_pretrained(), tmp_path / "data")


def test_report_holds_everything_and_nothing_from_elsewhere(evaluation, tmp_path):
    save_report(evaluation, tmp_path / "report")
    data = json.loads((tmp_path / "report" / "report.json").read_text())
    assert data["clips"]["per_set"] == SAMPLES
    for name, metric in data["metrics"].items():
        for estimate in (
            (metric["value"], metric["deviation"], metric["floor"]["value"], *metric["ladder"]["one clip"].values())
            if "one clip" in metric["ladder"]
            else (metric["value"],)
        ):
            assert estimate["low"] <= estimate["value"] <= estimate["high"], name
        assert metric["place"]
    page = (tmp_path / "report" / "report.html").read_text()
    assert not re.findall(r"(?:src|href)=['\"](?!data:)", page)
    assert page.count("data:image/png;base64,") == 5
    assert page.count("<audio") == 8
    for name in data["metrics"]:
        assert f"<b>{name}</b>" in page


def test_names_in_the_report_cannot_inject_html(evaluation, tmp_path):
    evil = replace(evaluation, candidate={"kind": "x", "name": "<script>alert(1)</script>"}, warnings=["<img src=x>"])
    save_report(evil, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "<script" not in page
    assert "<img src=x>" not in page


def test_the_page_tells_facts_about_the_weights_and_no_tables(evaluation, tmp_path):
    candidate = {"kind": "x", "name": "y", "hours": 12.1, "stages": [{"track_s": 1.5}], "rates": {"a": 1}}
    save_report(replace(evaluation, candidate=candidate), tmp_path)
    assert "<p><small>hours: 12.1</small></p>" in (tmp_path / "report.html").read_text()
    assert json.loads((tmp_path / "report.json").read_text())["candidate"] == candidate


def test_place_between_rungs():
    def score(value: float) -> Score:
        return Score(Estimate(0.5, 0.4, 0.6), Estimate(value, value - 0.1, value + 0.1))

    ladder = {"real again": score(0.1), "shuffled": score(1.0), "silence": score(3.0)}
    metric = Metric("m", "spectrum", "", sees=("shuffled",))
    places = {value: Result(metric, score(value), ladder).place for value in (0.2, 0.6, 2.0, 3.0, 9.0)}
    assert places == {
        0.2: "not told from real",
        0.6: "between real again and shuffled",
        2.0: "between shuffled and silence",
        3.0: "like silence",
        9.0: "beyond silence",
    }
    assert Result(metric, score(0.2), {**ladder, "shuffled": score(0.25)}).unseen == ["shuffled"]


def test_wasserstein_against_scipy():
    from scipy.stats import wasserstein_distance

    x, y = np.random.default_rng(0).standard_normal((2, 200)) * [[1], [2]]
    assert wasserstein(x, y) == pytest.approx(wasserstein_distance(x, y), rel=1e-9)
    assert wasserstein(x, y[:150]) == pytest.approx(wasserstein_distance(x, y[:150]), rel=0.05)


def test_histogram_distance_against_scipy():
    from scipy.spatial.distance import jensenshannon

    x, y = np.random.default_rng(0).random((2, 12))
    assert histogram_distance(x, y) == pytest.approx(jensenshannon(x, y, base=2), rel=1e-9)
    assert histogram_distance(x, 3 * x) == pytest.approx(0, abs=1e-7)
    assert histogram_distance(x, np.zeros(12)) == 1
    assert histogram_distance(np.zeros(12), np.zeros(12)) == 0


def test_every_metric_has_its_own_name_and_a_group_of_the_report():
    from mp3net.evaluation.report import GROUPS

    metrics = [metric for family in FAMILIES for metric in family.metrics]
    assert len({metric.name for metric in metrics}) == len(metrics)
    assert {metric.group for metric in metrics} == {*GROUPS}


def test_plane_keeps_the_largest_spread():
    points = np.random.default_rng(0).standard_normal((100, 5)) * [1, 9, 1, 4, 1]
    flat = plane({"real": points, "other": points + 1})
    assert flat["real"].std(0) == pytest.approx(points.std(0)[[1, 3]], rel=0.05)
    assert flat["other"].shape == (100, 2)


def test_fewer_faults_than_real_are_no_fault():
    def score(value: float) -> Score:
        return Score(Estimate(value, value - 0.01, value + 0.01), Estimate(0.0, 0.0, 0.0))

    ladder = {"real again": score(0.3), "silence": score(1.0)}
    fault = Metric("m", "spectrum", "", one_sided=True)
    assert Result(fault, score(0.0), ladder).place == "no more than real"
    # A value that lies far from the floor's is told from real, however wide the deviations' intervals are.
    assert not Result(Metric("m", "spectrum", ""), score(0.0), ladder).as_real


def test_judged_and_real_sets_have_one_size(dataset, judged_folder, recordings, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(judged_folder.iterdir())[:5]:
        shutil.copy(path, few)
    found = evaluate(few, dataset, 64, SECONDS, measures=["logmel"], cache=tmp_path / "cache", match_level=True)
    assert len(found.judged) == len(found.real.reference) == len(found.real.again) == 40
    assert any("40 clips per set instead of 64: the folder holds no more" in note for note in found.warnings)
    assert found.result("coverage_logmel").as_real


def test_level_is_kept_unless_matched(dataset, judged_folder, tmp_path):
    plain, matched = (
        evaluate(judged_folder, dataset, 40, SECONDS, measures=["spectrum"], cache=tmp_path, match_level=match)
        for match in (False, True)
    )
    assert plain.result("loudness_lufs").score.value.value < matched.result("loudness_lufs").score.value.value - 3
    assert any("to match the level of the real clips" in note for note in matched.warnings)
    assert matched.result("level_error_db").score.value.value < 2.5 < plain.result("level_error_db").score.value.value


def test_nothing_to_compute_is_an_error(dataset, judged_folder):
    with pytest.raises(Mp3netError, match=r"nothing to compute: structure needs clips of 10 s or more"):
        evaluate(judged_folder, dataset, 40, 1.5, measures=["structure"])


def test_summary_says_what_was_judged_and_how_it_did(evaluation):
    first, *others = summary(evaluation)
    assert "64 clips of 1.50 s, 11008 Hz, mono, against 64 clips of" in first
    others = "\n".join(others)
    musical = [result for result in evaluation.results if not result.metric.one_sided]
    alike = sum(result.as_real for result in musical)
    assert f"\nnot told from real in {alike} of {len(musical)} metrics (spectrum" in others
    assert alike > 0.7 * len(musical)
    assert others.startswith(f"on the ladder of faults: pitch {evaluation.result('octave_flatness').place}; ")


def graded(names: dict[str, float], floor: float = 0.1) -> list[Result]:
    """Results of metrics that deviate by so much from real music, on a ladder of two faults."""

    def score(value: float) -> Score:
        return Score(Estimate(value, value, value), Estimate(value, value - 0.01, value + 0.01))

    metrics = {metric.name: metric for family in FAMILIES for metric in family.metrics}
    ladder = {"real again": score(floor), "vocoded": score(1.0), "silence": score(3.0)}
    return [Result(replace(metrics[name], sees=()), score(value), ladder) for name, value in names.items()]


FAULTS = ("clipped_share", "silent_share", "dc", "copied_share", "similarity")


def test_the_headline_of_noise_has_no_praise():
    """Noise neither clips nor copies: that is no success."""
    noise = graded({"octave_flatness": 2.0, "level_error_db": 2.0, "kernel_logmel": 9.0} | dict.fromkeys(FAULTS, 0.0))
    assert list(outcome(noise)) == [
        "on the ladder of faults: pitch between vocoded and silence; tone colour beyond silence",
        "not told from real in 0 of 3 metrics (spectrum 0 of 2, distribution 0 of 1)",
        f"no more than in real music, as in most noise: {', '.join(FAULTS)}",
    ]


def test_the_headline_of_a_good_model_and_of_a_copying_one():
    good = dict.fromkeys(("octave_flatness", "kernel_logmel", "coverage_logmel", "kernel_notes"), 0.1)
    lines = list(outcome(graded(good | dict.fromkeys(FAULTS, 0.1))))
    alike = "not told from real"
    assert lines[0] == f"on the ladder of faults: pitch {alike}; notes {alike}; tone colour {alike}; variety {alike}"
    assert lines[1] == "not told from real in 4 of 4 metrics (spectrum 1 of 1, distribution 3 of 3)"
    copying = list(outcome(graded(good | {"clipped_share": 0.1, "copied_share": 0.9})))
    assert copying[2:] == [
        "more than in real music: copied_share",
        "no more than in real music, as in most noise: clipped_share",
    ]
    assert list(outcome(graded({"dc": 2.0}))) == ["more than in real music: dc"]


def test_numbers_are_short():
    assert short_interval(Estimate(0.27, 0.26, 0.3)) == "0.27 ±0.03"
    assert short_interval(Estimate(0.0, 0.0, 0.0)) == "0"
    assert [number(x) for x in (12345.6, 0.000123, 1.0, float("inf"))] == ["12346", "0.000123", "1", "inf"]
