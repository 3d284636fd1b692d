"""The same dataset whoever decodes: one process, shards as separate jobs, a Ray cluster of two workers."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from mp3net.config import DataConfig
from mp3net.data.index import STAGING, read_index
from mp3net.data.inventory import Provenance
from mp3net.data.parquet import export_parquet
from mp3net.data.preparation import prepare
from mp3net.data.recordings import Shard, below, maestro, parse_shard, parse_years
from mp3net.errors import Mp3netError
from tests.recordings import music, write_folder

CONFIG = DataConfig(sample_rate_hz=8000, channels=1, heldout_share=0.3)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recordings") / "in"
    write_folder(folder)
    shutil.copy(folder / "a.wav", folder / "again.wav")  # a duplicate, across shards
    (folder / "broken.flac").write_bytes((folder / "sub" / "b.flac").read_bytes()[:9000])
    return folder


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    prepare(below(source), out, CONFIG, 1)
    return out


def assert_same(left: Path, right: Path) -> None:
    names = {path.relative_to(left) for path in left.rglob("*.*")}
    assert names == {path.relative_to(right) for path in right.rglob("*.*")}
    for name in names:
        assert (left / name).read_bytes() == (right / name).read_bytes(), name


def test_shards_in_any_order_give_the_same_without_rewriting(source, whole, tmp_path):
    out = tmp_path / "out"
    parts = [prepare(below(source), out, CONFIG, 1, shard=Shard(number, 3)) for number in (3, 1, 2)]
    paths = [file.path for part in parts for file in part.files]
    assert sorted(paths) == sorted(below(source).paths), "every file belongs to one shard"
    with pytest.raises(Mp3netError, match="unfinished"):
        read_index(out)
    stamps = {path.name: (path.stat().st_mtime_ns, path.stat().st_ino) for path in (out / STAGING).glob("*.arrow")}
    prepare(below(source), out, CONFIG, 1)
    for path in out.rglob("*.arrow"):
        assert stamps[path.name] == (path.stat().st_mtime_ns, path.stat().st_ino), "merging only renames"
    assert_same(whole, out)


def test_shards_are_given_as_k_of_n():
    assert parse_shard("3/64") == Shard(3, 64)
    for wrong in ("0/3", "4/3", "3", "a/b", "1/0", "-1/3", "1/3/5"):
        with pytest.raises(Mp3netError, match="give K/N"):
            parse_shard(wrong)


@pytest.mark.slow
def test_a_ray_cluster_of_two_workers_gives_the_same(source, whole, tmp_path):
    """In a process of its own, since Ray leaves threads and connections behind."""
    pytest.importorskip("ray")
    script = f"""
import sys
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={{"num_cpus": 0}})
for _ in range(2):
    cluster.add_node(num_cpus=1)
from mp3net.apps.cli import app
app(["prepare", {str(source)!r}, "--out", {str(tmp_path / "out")!r}, "--sample-rate", "8000", "--channels", "1",
     "--heldout", "0.3", "--ray", cluster.address], standalone_mode=False)
print("workers:", len([node for node in ray.nodes() if node["Resources"].get("CPU") == 1]))
ray.shutdown()
cluster.shutdown()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert "workers: 2" in done.stdout
    assert_same(whole, tmp_path / "out")


def test_a_recording_that_was_replaced_is_decoded_again(source, tmp_path):
    folder = tmp_path / "in"
    shutil.copytree(source, folder)
    out = tmp_path / "out"
    prepare(below(folder), out, CONFIG, 1, shard=Shard(1, 1))
    soundfile.write(folder / "a.wav", music(2.0, 44100, 2, 77), 44100)
    (folder / "broken.flac").write_bytes((folder / "sub" / "b.flac").read_bytes())
    report = prepare(below(folder), out, CONFIG, 1)
    lengths = {file.path: file.num_samples for file in report.files}
    assert lengths["a.wav"] < 2.1 * 8000
    assert {file.path: file.duplicate_of for file in report.files}["sub/b.flac"] == "broken.flac"


def write_maestro(folder: Path) -> None:
    """A miniature of the collection's own layout."""
    rows = [
        ("Bach", "Fugue", "train", 2004, "2004/a.midi", "2004/a.wav", 3.0),
        ("Bach", "Prelude", "test", 2004, "2004/b.midi", "2004/b.wav", 3.0),
        ("Liszt", "Etude, No. 3", "validation", 2006, "2006/c.midi", "2006/c.wav", 3.0),
        ("Liszt", "Sonata", "train", 2006, "2006/d.midi", "2006/d.wav", 3.0),
        ("Ravel", "Miroirs", "train", 2011, "2011/e.midi", "2011/e.wav", 3.0),
    ]
    for number, row in enumerate(rows):
        path = folder / row[5]
        path.parent.mkdir(parents=True, exist_ok=True)
        if row[5] != "2006/d.wav":
            soundfile.write(path, music(3.0, 16000, 2, number), 16000)
    with (folder / "maestro-v3.0.0.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        head = ("canonical_composer", "canonical_title", "split", "year", "midi_filename", "audio_filename", "duration")
        writer.writerows([head, *rows])
    (folder / "LICENSE").write_text("CC")


def test_maestro_is_read_by_its_own_table(tmp_path):
    folder, out = tmp_path / "maestro", tmp_path / "out"
    write_maestro(folder)
    recordings = maestro(folder, parse_years("2004, 2006"))
    report = prepare(recordings, out, CONFIG, 1, provenance=Provenance("M", recordings.source, recordings.licence))
    pieces = read_index(out).entries
    assert {piece["source"]: piece["split"] for piece in pieces} == {
        "2004/a.wav": "train", "2004/b.wav": "heldout", "2006/c.wav": "heldout",
    }  # fmt: skip
    absent = [file for file in report.files if file.status == "skipped"]
    assert [(file.path, file.reason) for file in absent] == [("2006/d.wav", "listed, but not there")]
    card = (out / "README.md").read_text()
    assert 'license: "cc-by-nc-sa-4.0"' in card
    assert "Piano-e-Competition" in card
    assert maestro(folder, None).splits["2011/e.wav"] == "train"
    assert len(maestro(folder, None).paths) == 4


def test_what_is_no_maestro_is_explained(tmp_path):
    folder = tmp_path / "maestro"
    with pytest.raises(Mp3netError, match="no such folder; name the unpacked MAESTRO folder"):
        maestro(tmp_path / "nowhere", None)
    with pytest.raises(Mp3netError, match="holds no maestro-v"):
        maestro(tmp_path, None)
    write_maestro(folder)
    with pytest.raises(Mp3netError, match=r"--years 1999: not in .*2004, 2006, 2011"):
        maestro(folder, [2004, 1999])
    with pytest.raises(Mp3netError, match="give years"):
        parse_years("2004;2006")
    table = folder / "maestro-v3.0.0.csv"
    whole = table.read_text()
    for wrong, why in (
        (whole.replace("split", "part"), "it has no column split"),
        (whole.replace("train", "learn"), "split 'learn'"),
        (whole.replace("2004/a.wav", "../../etc/x"), "audio_filename"),
        ("", "it lists nothing"),
    ):
        table.write_text(wrong)
        with pytest.raises(Mp3netError, match=f"not a table of MAESTRO: .*{why}"):
            maestro(folder, None)
    table.write_text(whole)
    for path in folder.rglob("*.wav"):
        path.unlink()
    with pytest.raises(Mp3netError, match="none of the 5 recordings"):
        maestro(folder, None)
    table.write_text("\n".join(whole.splitlines()[:2]))
    with pytest.raises(Mp3netError, match="not the one recording that maestro-v3.0.0.csv lists for the years is there"):
        maestro(folder, None)


def test_the_card_and_parquet_files_are_read_by_hugging_face_datasets(whole, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    files = export_parquet(whole, tmp_path / "parquet", shard_bytes=100_000)
    assert len(files) > 2
    assert "path: train-*.parquet" in (tmp_path / "parquet" / "README.md").read_text()
    from_arrow = datasets.load_dataset(str(whole), cache_dir=str(tmp_path / "a"))
    from_parquet = datasets.load_dataset(str(tmp_path / "parquet"), cache_dir=str(tmp_path / "b"))
    for split in ("train", "heldout"):
        assert from_arrow[split].num_rows == from_parquet[split].num_rows > 0
        rows = [
            sorted(data[split], key=lambda row: (row["piece"], row["start_sample"])) for data in (from_arrow, from_parquet)
        ]
        assert rows[0] == rows[1]
    with pytest.raises(Mp3netError, match="not an empty folder"):
        export_parquet(whole, tmp_path / "parquet")


def test_the_report_is_a_table_too(whole):
    rows = list(csv.DictReader((whole / "report.csv").read_text().splitlines()))
    listed = json.loads((whole / "report.json").read_text())
    assert [row["path"] for row in rows] == [file["path"] for file in listed["files"]]
    assert (listed["kept"], listed["duplicate"], listed["skipped"]) == (6, 1, 1)
    assert {row["path"]: row["duplicate_of"] for row in rows if row["status"] == "duplicate"} == {"again.wav": "a.wav"}
    unknown = [row for row in rows if row["status"] == "skipped"]
    assert [(row["source_rate_hz"], row["lossless"], row["peak"]) for row in unknown] == [("", "", "")]
