"""Sets of clips: disjoint, without overlap, of one size; and every way they can be wrong is said."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise

import numpy as np
import pytest
import soundfile
import torch

from mp3net.config import DataConfig
from mp3net.data.index import read_index
from mp3net.data.preparation import prepare
from mp3net.data.recordings import below
from mp3net.errors import Mp3netError
from mp3net.evaluation.clips import draw_slots, folder_set, generated_set, open_folder, real_sets
from mp3net.generation import MP3net
from tests.evaluation.conftest import RATE
from tests.recordings import piece

CLIP = round(1.5 * RATE)


def test_slots_do_not_overlap_and_are_spread_evenly():
    lengths = [100, 35, 9, 60]
    slots = draw_slots(lengths, 10, 1000, np.random.default_rng(0))
    assert len(slots) == 10 + 3 + 0 + 6
    for recording, length in enumerate(lengths):
        starts = sorted(start for number, start in slots if number == recording)
        assert all(b - a >= 10 for a, b in pairwise(starts))
        assert all(0 <= start <= length - 10 for start in starts)
    first = draw_slots(lengths, 10, 6, np.random.default_rng(0))
    assert sorted(number for number, _ in first) == [0, 0, 1, 1, 3, 3]


def test_real_sets_are_disjoint_by_piece(dataset):
    sets = real_sets(dataset, 64, CLIP, 0)
    split = {entry["piece"]: entry["split"] for entry in read_index(dataset).entries}
    reference, again, training = ({*clips.sources} for clips in (sets.reference, sets.again, sets.training))
    assert not reference & again
    assert {split[name] for name in reference | again} == {"heldout"}
    assert {split[name] for name in training} == {"train"}
    assert len(sets.reference) == len(sets.again) == len(sets.training) == 64
    assert sets.warnings == []
    assert sets.reference.batch(0, 3).shape == (3, 1, CLIP)


def test_sets_depend_on_the_seed_alone(dataset):
    first, second, other = (real_sets(dataset, 40, CLIP, seed).reference for seed in (0, 0, 1))
    assert first.identity == second.identity != other.identity
    assert np.array_equal(first.batch(0, 40), second.batch(0, 40))
    assert not np.array_equal(first.batch(0, 40), other.batch(0, 40))


def test_fewer_clips_than_asked_are_stated(dataset):
    sets = real_sets(dataset, 5000, CLIP, 0)
    assert len(sets.reference) < 5000
    assert f"{len(sets.reference)} clips per set instead of 5000" in sets.warnings[0]


def dataset_with_heldout(recordings, folder, share):
    prepare(below(recordings), folder, DataConfig(sample_rate_hz=RATE, channels=1, heldout_share=share), workers=2)
    return folder


def test_little_held_out_music_is_stated(recordings, tmp_path):
    some = dataset_with_heldout(recordings, tmp_path / "some", 0.1)
    sets = real_sets(some, 32, CLIP, 0)
    assert "the reference comes from training pieces" in sets.warnings[0]
    assert not {*sets.reference.sources} & {*sets.again.sources}
    none = dataset_with_heldout(recordings, tmp_path / "none", 0.0)
    sets = real_sets(none, 32, CLIP, 0)
    assert "both real sets come from all pieces" in sets.warnings[0]
    assert not {*sets.reference.sources} & {*sets.again.sources}


def test_too_few_recordings_are_an_error(dataset):
    with pytest.raises(Mp3netError, match=r"0 of 44 pieces are as long as a clip of 60.00 s .* --seconds"):
        real_sets(dataset, 64, 60 * RATE, 0)
    with pytest.raises(Mp3netError, match="at least 4 pieces and 32 clips each are needed"):
        real_sets(dataset, 64, 11 * RATE, 0)


def test_folder_of_other_rates_and_channels_is_converted_and_said(tmp_path):
    config = DataConfig(sample_rate_hz=RATE, channels=1)
    for seed in range(4):
        soundfile.write(tmp_path / f"{seed}.wav", piece(15.0, 22050, seed, 2), 22050)
    soundfile.write(tmp_path / "low.wav", piece(15.0, 8000, 9), 8000)
    (tmp_path / "cover.jpg").write_bytes(b"\xff\xd8" + bytes(100))
    folder = open_folder(tmp_path, config)
    assert len(folder.files) == 5
    notes = " | ".join(folder.notes)
    assert "converted to the dataset's 11008 Hz, mono: 4 files of 22050 Hz, stereo" in notes
    assert "hold nothing above 4000 Hz" in notes
    assert "skipped cover.jpg: not audio" in notes
    clips = folder_set(folder, config, 40, CLIP, 0)
    assert len(clips) == 40
    assert clips.batch(0, 2).shape == (2, 1, CLIP)
    assert len(np.unique(clips.units)) == 5


def test_files_with_nan_are_left_out_with_the_reason(tmp_path):
    bad = piece(5.0, RATE, 0)
    bad[1000] = np.nan
    soundfile.write(tmp_path / "bad.wav", bad, RATE, subtype="FLOAT")
    with pytest.raises(Mp3netError, match=r"no usable audio file: bad.wav: holds non-finite samples"):
        open_folder(tmp_path, DataConfig(sample_rate_hz=RATE, channels=1))


def test_an_empty_folder_and_a_short_one_are_errors(tmp_path):
    config = DataConfig(sample_rate_hz=RATE, channels=1)
    with pytest.raises(Mp3netError, match="no usable audio file"):
        open_folder(tmp_path, config)
    with pytest.raises(Mp3netError, match="no such folder"):
        open_folder(tmp_path / "nowhere", config)
    soundfile.write(tmp_path / "short.wav", piece(4.0, RATE, 0), RATE)
    with pytest.raises(Mp3netError, match="2 clips of 1.50 s in 1 file; at least 32"):
        folder_set(open_folder(tmp_path, config), config, 64, CLIP, 0)


def test_one_long_file_is_judged_with_a_warning(tmp_path):
    config = DataConfig(sample_rate_hz=RATE, channels=1)
    soundfile.write(tmp_path / "long.wav", piece(60.0, RATE, 0), RATE)
    clips = folder_set(open_folder(tmp_path, config), config, 64, CLIP, 0)
    assert len(clips) == 40
    assert "treated as independent" in clips.notes[-1]
    assert max(np.abs(clips.read(index)).max() for index in range(40)) == pytest.approx(0.6, abs=1e-3)
    loud = folder_set(open_folder(tmp_path, config), config, 64, CLIP, 0, gain=0.5)
    assert np.allclose(loud.read(3), 0.5 * clips.read(3))


def test_a_stray_short_file_does_not_shorten_all(tmp_path):
    config = DataConfig(sample_rate_hz=RATE, channels=1)
    for seed in range(40):
        soundfile.write(tmp_path / f"{seed}.wav", piece(2.0 + 0.01 * seed, RATE, seed), RATE)
    soundfile.write(tmp_path / "stray.wav", piece(0.5, RATE, 0), RATE)
    soundfile.write(tmp_path / "quiet.wav", np.zeros((2 * RATE, 1)), RATE)
    folder = open_folder(tmp_path, config)
    assert folder.usual_samples() == 2 * RATE
    clips = folder_set(folder, config, 64, 2 * RATE, 0)
    assert "skipped as shorter than a clip of 2.00 s: stray.wav" in clips.notes
    assert "quiet.wav is silent; it is judged like the others" in clips.notes


def test_generated_clips_are_songs_or_parts_of_them(untrained):
    model = MP3net.from_pretrained(untrained)
    samples = (model.config.model.num_frames - 1) * model.config.audio.hop_length
    whole = generated_set(model, 5, samples, 7)
    assert whole.sources == [f"seed {seed}" for seed in range(7, 12)]
    assert np.array_equal(whole.read(2), model.generate(9).audio)
    parts = generated_set(model, 64, samples // 3, 0)
    assert len(np.unique(parts.units)) == 32
    first = parts.read(0)
    start = round(parts.positions_s[0] * model.config.audio.sample_rate_hz)
    assert np.array_equal(first, model.generate(0).audio[:, start : start + samples // 3])
    with pytest.raises(Mp3netError, match="--seconds: .* one length, here 1.48 s"):
        generated_set(model, 32, samples + 1, 0)


def test_damaged_index_is_an_error(dataset, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(dataset, copy)
    (copy / "dataset.json").write_text(json.dumps({"format_version": 99}))
    with pytest.raises(Mp3netError, match="not a dataset of format 2"):
        real_sets(copy, 64, CLIP, 0)


def test_models_of_any_length_make_clips_of_any_length():
    from mp3net.model.build import build_generator
    from tests.training.conftest import SECOND

    generator = build_generator(SECOND)
    generator.initialise(torch.Generator().manual_seed(0))
    model = MP3net(generator, SECOND)
    clips = generated_set(model, 33, 6000, 5)
    assert clips.sources == [f"seed {seed}" for seed in range(5, 38)]
    assert np.array_equal(clips.read(2), model.generate(7, 6000 / 8000).audio)
