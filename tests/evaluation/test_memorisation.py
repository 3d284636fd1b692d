"""The search for training passages: finds copies at any shift and gain, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mp3net.data.index import read_index
from mp3net.data.storage import LocalStore
from mp3net.evaluation import memorisation
from mp3net.evaluation.clips import ClipSet, real_sets
from mp3net.evaluation.ladder import FAULTS, rung_set
from tests.evaluation.conftest import RATE

SAMPLES = round(2.5 * RATE)


@pytest.fixture(scope="module")
def index(dataset):
    return memorisation.index_training(LocalStore(dataset))


@pytest.fixture(scope="module")
def sets(dataset):
    return real_sets(dataset, 40, SAMPLES, 3)


class Changed(ClipSet):
    """Every clip replaced by what `change` makes of it and its number."""

    def __init__(self, clips, change, clip_samples=None):
        form = replace(clips.form, clip_samples=clip_samples or clips.form.clip_samples)
        super().__init__("changed", form, clips.slots, clips.names)
        self.clips, self.change = clips, change

    def read(self, index):
        return self.change(self.clips.read(index), index).astype(np.float32)


def search(clips, index, exclude_own=False):
    return memorisation.search(clips, index, exclude_own, lambda done: None)


def test_copies_are_found_with_source_and_position(dataset, index, sets):
    rng = np.random.default_rng(0)
    gains = 10 ** (rng.uniform(-20, 0, 40) / 20)
    copies = Changed(sets.training, lambda clip, number: clip * gains[number])
    found = search(copies, index)
    sources = {entry["piece"]: entry["source"] for entry in read_index(dataset).entries}
    matches = memorisation.matches(copies, found, index)
    assert [match.similarity for match in matches] == sorted(found["similarity"], reverse=True)
    for match in matches:
        assert match.source == sources[match.clip]
        assert abs(match.source_position_s - match.clip_position_s) < 0.05
    threshold = memorisation.copy_threshold(found["similarity"])
    assert (found["similarity"] >= threshold).mean() == pytest.approx(0.95, abs=0.03)
    unrelated = search(sets.again, index)["similarity"]
    assert (unrelated >= threshold).mean() < 0.05


def test_gain_leaves_the_similarity_unchanged(index, sets):
    quiet = Changed(sets.training, lambda clip, number: clip * 0.05)
    assert np.allclose(search(sets.training, index)["similarity"], search(quiet, index)["similarity"], atol=1e-3)


def test_noise_and_silence_are_like_nothing(index, sets):
    for rung in FAULTS[-2:]:
        assert search(rung_set(rung, sets, 0), index)["similarity"].max() < 0.4


def test_own_piece_is_left_out(index, sets):
    excluded = search(sets.training, index, exclude_own=True)
    assert excluded["similarity"].max() < search(sets.training, index)["similarity"].min()


def test_nearest_by_loops():
    random = torch.Generator().manual_seed(0)
    frames = torch.randn(60, 32, generator=random) * 5 - 40
    starts = np.array([0, 25])
    index = memorisation.TrainingIndex(frames, starts, ["a", "b"], ["a.wav", "b.wav"])
    queries = torch.randn(3, 10, 32, generator=random) * 5 - 40
    queries[1] = frames[30:40] - 7
    best, place = memorisation.nearest(queries, index)
    for number, query in enumerate(queries.double().numpy()):
        q = query - query.mean(0)
        scores = {}
        for first, last in ((0, 25), (25, 60)):
            for start in range(first, last - 9):
                w = frames[start : start + 10].double().numpy()
                w = w - w.mean(0)
                scores[start] = float((q * w).sum() / np.linalg.norm(q) / np.linalg.norm(w))
        assert place[number] == max(scores, key=scores.get)
        assert best[number] == pytest.approx(max(scores.values()), abs=1e-5)
    assert best[1] == pytest.approx(1, abs=1e-5)
    assert memorisation.nearest(queries[1:2], index, ["b"])[0][0] < 0.9


def test_long_clips_are_searched_in_parts(dataset, index):
    long = real_sets(dataset, 32, round(4.0 * RATE), 0)

    def half_copied(clip: np.ndarray, number: int) -> np.ndarray:
        noise = 0.1 * np.random.default_rng(number).standard_normal((1, round(8.0 * RATE)))
        noise[:, : round(4.0 * RATE)] = clip
        return noise

    before = memorisation.PROBE_S
    try:
        memorisation.PROBE_S = 4.0
        found = search(Changed(long.training, half_copied, round(8.0 * RATE)), index)
    finally:
        memorisation.PROBE_S = before
    assert (found["similarity"] > 0.8).mean() > 0.9
    assert not found["offset_s"].any()
