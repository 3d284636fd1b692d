"""A small dataset of synthetic pieces, and one evaluation of it, shared by the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from mp3net.config import DataConfig
from mp3net.data.preparation import prepare
from mp3net.data.recordings import below
from mp3net.evaluation.features import DEFAULT_MEASURES
from mp3net.evaluation.session import Evaluation, evaluate
from tests.recordings import piece

RATE = 11008
SECONDS = 1.5
SAMPLES = 64


@pytest.fixture(scope="session")
def recordings(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    for seed in range(44):
        soundfile.write(folder / f"piece-{seed:02d}.wav", piece(12.0, RATE, seed), RATE, subtype="FLOAT")
    return folder


@pytest.fixture(scope="session")
def dataset(recordings, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "set"
    prepare(below(recordings), folder, DataConfig(sample_rate_hz=RATE, channels=1, heldout_share=0.5), workers=2)
    return folder


@pytest.fixture(scope="session")
def judged_folder(tmp_path_factory) -> Path:
    """Audio of another "system": pieces that nobody has seen."""
    folder = tmp_path_factory.mktemp("judged")
    for seed in range(100, 110):
        soundfile.write(folder / f"other-{seed}.flac", piece(12.0, RATE, seed), RATE)
    return folder


@pytest.fixture(scope="session")
def evaluation(dataset, judged_folder) -> Evaluation:
    quick = [name for name in DEFAULT_MEASURES if name != "pairs"]
    return evaluate(judged_folder, dataset, SAMPLES, SECONDS, measures=quick, match_level=True)


@pytest.fixture(scope="session")
def pair_evaluation(dataset, judged_folder) -> Evaluation:
    """The blind pair test, which learns for minutes."""
    return evaluate(judged_folder, dataset, SAMPLES, SECONDS, measures=["pairs"], match_level=True)


@pytest.fixture(scope="session")
def long_evaluation(tmp_path_factory) -> Evaluation:
    """Clips of 12 s in stereo: structure and stereo image."""
    folder = tmp_path_factory.mktemp("long")
    for seed in range(50):
        soundfile.write(folder / f"piece-{seed:02d}.wav", piece(37.0, RATE, seed, channels=2), RATE, subtype="FLOAT")
    data = tmp_path_factory.mktemp("long-data") / "set"
    prepare(below(folder), data, DataConfig(sample_rate_hz=RATE, channels=2, heldout_share=0.5), workers=2)
    return evaluate(folder, data, 36, 12.0, measures=["spectrum", "structure"])
