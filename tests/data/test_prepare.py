from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from mp3net.audio.decoding import UnusableAudioError, probe
from mp3net.config import DataConfig
from mp3net.data import preparation as module
from mp3net.data.dataset import CropDataset
from mp3net.data.index import STAGING, read_index
from mp3net.data.inventory import REPORT_FILE, SPLITS
from mp3net.data.level import PEAK
from mp3net.data.pieces import Piece
from mp3net.data.preparation import Advance, prepare
from mp3net.data.recordings import below, split_pieces
from mp3net.data.staging import check_place
from mp3net.errors import Mp3netError
from tests.recordings import music, write_folder

CONFIG = DataConfig(heldout_share=0.3)


def write_bad_files(folder: Path) -> dict[str, str]:
    """One file per way of being useless; returns name -> a part of the expected reason."""
    good = music(3.0, 22016, 1)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "notes.txt").write_text("not music " * 500)
    (folder / "noise.mp3").write_bytes(np.random.default_rng(0).bytes(20000))
    soundfile.write(folder / "short.wav", good[:1000], 22016)
    soundfile.write(folder / "no_samples.wav", good[:0], 22016)
    soundfile.write(folder / "silent.wav", 0 * good, 22016)
    broken = good.copy()
    broken[30000] = np.nan
    soundfile.write(folder / "nan.wav", broken, 22016, subtype="FLOAT")
    broken[30000] = np.inf
    soundfile.write(folder / "inf.wav", broken, 22016, subtype="FLOAT")
    soundfile.write(folder / "eight.wav", np.repeat(good, 8, axis=1), 22016)
    (folder / "dangling.wav").symlink_to(folder / "nowhere.wav")
    return {
        "empty.wav": "empty file", "notes.txt": "not audio", "noise.mp3": "", "short.wav": "shorter than 1 s",
        "no_samples.wav": "holds no samples", "silent.wav": "silent", "nan.wav": "non-finite", "inf.wav": "non-finite",
        "eight.wav": "8 channels", "dangling.wav": "a link that leads nowhere",
    }  # fmt: skip


def test_prepare_keeps_the_good_and_explains_the_bad(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    write_folder(source)
    bad = write_bad_files(source)
    seen: list[Advance] = []
    report = prepare(below(source), out, CONFIG, 2, seen.append)
    assert (seen[-1].done, seen[-1].total) == (16, 16)
    assert seen[-1].done_s == pytest.approx(seen[-1].total_s)
    assert 6 * 3 <= seen[-1].total_s < 12 * 3
    assert seen[-1].left_s == pytest.approx(0, abs=1e-6)
    assert Advance(1, 3, 0.0, 10.0, 5.0).left_s is None, "nothing is known of the speed yet"
    assert Advance(3, 3, 0.0, 0.0, 5.0).left_s == 0
    assert {file.path for file in report.kept} == {
        "a.wav", "sub/b.flac", "Öde an die Freude.ogg", "d.opus", "e.mp3", "no_ending",
    }  # fmt: skip
    reasons = {file.path: file.reason for file in report.files if file.status == "skipped"}
    assert reasons.keys() == bad.keys()
    for name, part in bad.items():
        assert reasons[name], name
        assert part in reasons[name], (name, reasons[name])
    on_disk = json.loads((out / "report.json").read_text())
    assert (on_disk["kept"], on_disk["skipped"]) == (6, 10)
    index = read_index(out)
    config, pieces = index.config, index.entries
    assert config == CONFIG
    assert sum(piece["split"] == "heldout" for piece in pieces) == 2
    assert not (out / STAGING).exists()
    assert report.size_bytes == sum(path.stat().st_size for path in out.rglob("*.arrow"))
    assert report.hours("train") + report.hours("heldout") == pytest.approx(6 * 3 / 3600, rel=0.05)


def test_pieces_hold_the_audio_with_full_resolution(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    samples = music(30.0, 22016, 2)
    samples[: 22016 * 14] *= 1e-3  # a quiet first row must not drown in 16-bit steps of the loud one
    soundfile.write(source / "x.wav", samples, 22016, subtype="FLOAT")
    prepare(below(source), out, DataConfig(heldout_share=0, remove_dc=False, trim_silence_db=None), 1)
    pieces = read_index(out).entries
    piece = Piece(out / "train" / f"{pieces[0]['piece']}.arrow")
    assert piece.num_samples == len(samples)
    gain = PEAK / np.abs(samples).max()
    whole = piece.read(0, len(samples))
    np.testing.assert_allclose(whole, samples.T * gain, atol=0.6 / 32767)
    quiet = slice(0, 200_000)
    error = np.abs(whole[:, quiet] - samples.T[:, quiet] * gain).max()
    assert error < 1e-3 * 0.6 / 32767 * 1.01
    assert np.abs(whole).max() == pytest.approx(PEAK, rel=1e-4)
    for start, count in ((0, 1), (65_530, 10), (65_536, 5), (100, 600_000)):
        np.testing.assert_array_equal(piece.read(start, count), whole[:, start : start + count])


def test_hugging_face_datasets_reads_the_shards(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    source, out = tmp_path / "in", tmp_path / "out"
    write_folder(source)
    prepare(below(source), out, CONFIG, 2)
    files = {split: [str(path) for path in sorted((out / split).glob("*.arrow"))] for split in ("train", "heldout")}
    loaded = datasets.load_dataset("arrow", data_files=files, cache_dir=str(tmp_path / "cache"))
    assert {split: len(set(loaded[split]["piece"])) for split in files} == {"train": 4, "heldout": 2}
    row = loaded["train"].with_format("numpy")[0]
    samples = row["audio"].reshape(-1, int(row["channels"])) * row["scale"]
    assert len(samples) == row["num_samples"]
    assert 0.2 < np.abs(samples).max() <= 1


def test_splits_are_by_piece_seeded_and_never_empty():
    names = {f"piece-{index}": "" for index in range(200)}
    two, one = dict(list(names.items())[:2]), dict(list(names.items())[:1])
    splits = split_pieces(names, 0.1, 0)
    assert sum(split == "heldout" for split in splits.values()) == 20
    assert splits == split_pieces(dict(reversed(names.items())), 0.1, 0)
    assert splits != split_pieces(names, 0.1, 1)
    assert set(split_pieces(two, 0.01, 0).values()) == {"train", "heldout"}
    assert set(split_pieces(two, 0.9, 0).values()) == {"train", "heldout"}
    assert set(split_pieces(one, 0.99, 0).values()) == {"train"}
    assert set(split_pieces(names, 0, 0).values()) == {"train"}
    assert split_pieces({}, 0.1, 0) == {}


@pytest.mark.parametrize("seed", range(20))
def test_pieces_of_one_group_are_never_split(seed):
    groups = {f"piece-{index}": f"group-{index // 3}" if index < 60 else "" for index in range(200)}
    splits = split_pieces(groups, 0.1, seed)
    assert all(len({splits[f"piece-{3 * group + member}"] for member in range(3)}) == 1 for group in range(20))
    assert 18 <= sum(split == "heldout" for split in splits.values()) <= 22
    assert set(split_pieces(dict.fromkeys(groups, "all of one"), 0.1, seed).values()) == {"train"}


def test_interrupted_preparation_goes_on_and_gives_the_same(tmp_path, monkeypatch):
    source = tmp_path / "in"
    write_folder(source)
    prepare(below(source), tmp_path / "whole", CONFIG, 2)

    class StoppedError(Exception):
        pass

    def stop(now):
        if now.done == 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        prepare(below(source), tmp_path / "out", CONFIG, 1, stop)
    assert not (tmp_path / "out" / "dataset.json").exists()
    with pytest.raises(Mp3netError, match="unfinished"):
        read_index(tmp_path / "out")
    with pytest.raises(
        Mp3netError, match=r"unfinished dataset of other settings .*--sample-rate: 22016 -> 8000; .* Give the same"
    ):
        prepare(below(source), tmp_path / "out", DataConfig(sample_rate_hz=8000), 1)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / STAGING).glob("*.arrow")}
    assert stamps
    prepare(below(source), tmp_path / "out", CONFIG, 2)
    moved = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.arrow")}
    assert all(moved[path.name] == stamp for path, stamp in stamps.items()), "finished pieces are not decoded again"
    for path in (tmp_path / "whole").rglob("*.*"):
        twin = tmp_path / "out" / path.relative_to(tmp_path / "whole")
        assert twin.read_bytes() == path.read_bytes(), path


def test_a_stop_while_moving_leaves_no_piece_in_two_splits(tmp_path, monkeypatch):
    """Killed after the pieces were moved, then another recording is added: the new split leaves nothing of the old."""
    source, out = tmp_path / "in", tmp_path / "out"
    write_folder(source)
    half = DataConfig(heldout_share=0.5)
    with monkeypatch.context() as patch:
        patch.setattr(module, "INDEX_FILE", "absent/dataset.json")  # the last write fails
        with pytest.raises(Mp3netError, match="cannot be written"):
            prepare(below(source), out, half, 2)
    before = {path.name for path in (out / "heldout").glob("*.arrow")}
    assert len(before) == 3
    for path in sorted(source.iterdir())[:1]:
        path.unlink()
    report = prepare(below(source), out, half, 2)
    for split in SPLITS:
        found = {path.stem for path in (out / split).glob("*.arrow")}
        assert found == {piece for piece, part in report.splits.items() if part == split}


def test_nothing_usable_is_an_error_that_says_what_was_looked_for(tmp_path):
    with pytest.raises(Mp3netError, match="no such folder"):
        prepare(below(tmp_path / "absent"), tmp_path / "out", CONFIG, 1)
    (tmp_path / "in").mkdir()
    with pytest.raises(Mp3netError, match=r"holds no files. Looked.*WAV, FLAC"):
        prepare(below(tmp_path / "in"), tmp_path / "out", CONFIG, 1)
    (tmp_path / "in" / "a.txt").write_text("x" * 1000)
    with pytest.raises(
        Mp3netError, match=r"the only file is not usable: skipped: not audio \(1\). Looked for WAV.*report.json"
    ):
        prepare(below(tmp_path / "in"), tmp_path / "out", CONFIG, 1)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["files"][0]["reason"] == "not audio"
    write_folder(tmp_path / "in" / "more")
    prepare(below(tmp_path / "in"), tmp_path / "out", DataConfig(sample_rate_hz=8000), 2)  # other settings are no obstacle


def test_advice_where_there_is_no_dataset_can_be_followed(tmp_path, monkeypatch):
    """Recordings go elsewhere; what a failed `prepare` left, and a folder in the place of a dataset, are no recordings."""
    monkeypatch.chdir(tmp_path)
    for name in ("music", "failed", "data/piano"):
        Path(name).mkdir(parents=True)
    (Path("failed") / REPORT_FILE).write_text("{}")
    ways = {"music": "music --out data/music", "failed": "FOLDER --out failed", "data/piano": "FOLDER --out data/piano"}
    for name, way in ways.items():
        with pytest.raises(Mp3netError, match=f"^{name}: holds no prepared dataset; make one with `mp3net prepare {way}`$"):
            read_index(Path(name))
    message = "^gone: no such folder; if you have no dataset yet, make one with `mp3net prepare FOLDER --out gone`$"
    with pytest.raises(Mp3netError, match=message):
        read_index(Path("gone"))
    with pytest.raises(Mp3netError, match="report.json: is a file; name the folder of a dataset"):
        read_index(Path("failed") / REPORT_FILE)


@pytest.mark.parametrize(("offset", "rate"), [(0.1, 44100), (-0.3, 22016)], ids=["resampled", "as it is"])
def test_an_offset_hides_neither_silent_ends_nor_silence(tmp_path, offset, rate):
    folder = tmp_path / "in"
    folder.mkdir()
    silence = np.zeros((3 * rate, 1))
    track = np.concatenate([silence, 0.5 * music(10.0, rate, 1), silence]) + offset
    soundfile.write(folder / "offset.wav", track, rate, subtype="FLOAT")
    soundfile.write(folder / "constant.wav", np.full(5 * rate, offset), rate, subtype="FLOAT")
    report = prepare(below(folder), tmp_path / "out", DataConfig(sample_rate_hz=22016, channels=1), 2)
    found = {file.path: file for file in report.files}
    assert found["offset.wav"].trimmed_s == pytest.approx(6.0, abs=0.15)
    assert "silent" in found["constant.wav"].reason


def test_a_folder_that_may_not_be_read_is_accounted_for(tmp_path, monkeypatch):
    write_folder(tmp_path / "in")
    scan = os.scandir

    def refusing(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    recordings = below(tmp_path / "in")
    monkeypatch.undo()
    report = prepare(recordings, tmp_path / "out", CONFIG, 2)
    reasons = {file.path: file.reason for file in report.files}
    assert reasons["sub"] == "a folder that cannot be read: Permission denied"
    assert "sub/b.flac" not in reasons


def test_what_is_no_file_or_cannot_be_looked_at_is_accounted_for(tmp_path, monkeypatch):
    """In a folder without the right to enter it, names can be read, but nothing about them."""
    source = tmp_path / "in"
    write_folder(source)
    (tmp_path / "other").mkdir()
    (source / "linked").symlink_to(tmp_path / "other")
    os.mkfifo(source / "pipe.wav")
    look = Path.lstat

    def refusing(path):
        if path.parent.name == "sub":
            raise PermissionError(13, "Permission denied", str(path))
        return look(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "lstat", refusing)
        recordings = below(source)
    reasons = {file.path: file.reason for file in prepare(recordings, tmp_path / "out", CONFIG, 2).files}
    assert reasons["sub/b.flac"] == "cannot be read: Permission denied"
    assert reasons["linked"] == "a link to a folder, which is not followed: prepare that folder by itself, or move it here"
    assert reasons["pipe.wav"] == "a pipe or device, not a file"


def test_a_folder_that_holds_only_a_link_says_so(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "music").mkdir()
    (tmp_path / "in" / "m").symlink_to(tmp_path / "music")
    with pytest.raises(Mp3netError, match="holds no files but m: a link to a folder, which is not followed: prepare that"):
        below(tmp_path / "in")


def test_looking_only_refuses_what_preparing_would(tmp_path, monkeypatch):
    source, out = tmp_path / "in", tmp_path / "out"
    write_folder(source)
    check_place(out, below(source), CONFIG)
    assert not out.exists()
    out.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: False)
        with pytest.raises(Mp3netError, match="may not be written to"):
            check_place(out, below(source), CONFIG)
    prepare(below(source), out, CONFIG, 1)
    check_place(out, below(source), CONFIG)
    with pytest.raises(Mp3netError, match=r"holds a dataset of other settings .*--level: peak -> original"):
        check_place(out, below(source), CONFIG.model_copy(update={"level": "original"}))


def test_foreign_and_finished_folders_are_left_alone(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    write_folder(source)
    out.mkdir()
    (out / "mine.txt").write_text("x")
    with pytest.raises(Mp3netError, match="is not empty"):
        prepare(below(source), out, CONFIG, 1)
    (out / "mine.txt").unlink()
    prepare(below(source), out, CONFIG, 2)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    write_folder(tmp_path / "elsewhere")
    with pytest.raises(Mp3netError, match=r"folder of recordings: .*in -> .*elsewhere"):
        prepare(below(tmp_path / "elsewhere"), out, CONFIG, 1)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_unwritable_place_is_one_line(tmp_path):
    write_folder(tmp_path / "in")
    (tmp_path / "file").write_text("")
    with pytest.raises(Mp3netError, match="is a file; name a folder"):
        prepare(below(tmp_path / "in"), tmp_path / "file" / "out", CONFIG, 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_skipped(tmp_path):
    path = tmp_path / "x.wav"
    soundfile.write(path, music(2.0, 22016, 1), 22016)
    path.chmod(0)
    with pytest.raises(UnusableAudioError):
        probe(path)


@pytest.fixture
def dataset_folder(tmp_path) -> Path:
    write_folder(tmp_path / "in")
    prepare(below(tmp_path / "in"), tmp_path / "out", DataConfig(sample_rate_hz=8000, channels=1, heldout_share=0.3), 2)
    return tmp_path / "out"


def test_crops_are_addressed_uniform_and_from_their_split(dataset_folder):
    data = CropDataset(dataset_folder, 2000)
    batch = data.batch(seed=5, first_index=10, count=4)
    assert batch.shape == (4, 1, 2000)
    assert batch.dtype == torch.float32
    assert torch.equal(batch[2:], data.batch(seed=5, first_index=12, count=2))
    assert not torch.equal(batch, data.batch(seed=6, first_index=10, count=4))
    places = [data.locate(0, index) for index in range(4000)]
    counts = np.bincount([piece for piece, _ in places], minlength=len(data.names))
    expected = np.diff(np.concatenate([[0], data.ends])) / data.ends[-1] * 4000
    assert ((counts - expected) ** 2 / expected).sum() < 20  # chi-squared with 3 degrees of freedom: p < 0.0002
    assert len({start % 16 for _, start in places}) == 16, "crops start at any sample, not on a grid"
    for piece, start in places:
        assert 0 <= start <= data.lengths[piece] - 2000
    heldout = CropDataset(dataset_folder, 2000, "heldout")
    assert not set(heldout.names) & set(data.names)


def test_too_long_crops_are_explained(dataset_folder):
    with pytest.raises(Mp3netError, match=r"none of its 4 train pieces is as long as one crop of 12.50 s"):
        CropDataset(dataset_folder, 100_000)


def test_damaged_piece_is_named(dataset_folder):
    path = next((dataset_folder / "train").glob("*.arrow"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(Mp3netError, match=path.name):
        CropDataset(dataset_folder, 2000)
