"""The same crops from a folder, an S3 server and a web server; what breaks on the way is retried, then explained."""

from __future__ import annotations

import http.server
import os
import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from mp3net.config import AugmentConfig, DataConfig
from mp3net.data.cache import RowCache
from mp3net.data.dataset import CropDataset
from mp3net.data.preparation import prepare
from mp3net.data.recordings import below
from mp3net.data.storage import LocalStore, Patience, RemoteStore, default_cache, is_remote, open_store
from mp3net.errors import Mp3netError
from tests.recordings import write_folder

pytest.importorskip("obstore")
CROP = 70_000  # more than a row
HASTY = Patience(retries=4, request_s=1.0, give_up_s=20, first_pause_s=0.02, longest_pause_s=0.1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("remote")
    write_folder(root / "in", seconds=15.0)
    prepare(below(root / "in"), root / "data", DataConfig(sample_rate_hz=8000, channels=2, heldout_share=0.3), 2)
    return root / "data"


class Server(http.server.ThreadingHTTPServer):
    """A web server that knows ranges, and can be told to misbehave: `faults` is taken from the front, one per request."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        self.root, self.faults, self.requests = root, [], []  # type: ignore[var-annotated]
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/data"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        server: Server = self.server  # type: ignore[assignment]
        server.requests.append((self.path, self.headers.get("Range")))
        fault = server.faults.pop(0) if server.faults else None
        if fault == "stall":
            time.sleep(3)
        path = server.root / self.path.removeprefix("/data/")
        if isinstance(fault, int) or not path.is_file():
            self.send_response(fault if isinstance(fault, int) else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = path.read_bytes()
        status = 200
        if (wanted := self.headers.get("Range")) and fault != "whole":
            begin, end = wanted.removeprefix("bytes=").split("-")
            whole, data, status = len(data), data[int(begin) : int(end) + 1], 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {begin}-{end}/{whole}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[: len(data) // 2] if fault == "cut" else data)
            if fault == "cut":
                self.close_connection = True


@pytest.fixture
def server(folder):
    server = Server(folder)
    yield server
    server.shutdown()
    server.server_close()


def remote(server: Server, tmp_path: Path, limit: int = 1 << 30) -> RemoteStore:
    return RemoteStore(server.url, RowCache(tmp_path / "cache", limit), HASTY)


def test_crops_are_those_of_the_folder(folder, server, tmp_path):
    local, far = CropDataset(LocalStore(folder), CROP), CropDataset(remote(server, tmp_path), CROP)
    assert far.fingerprint == local.fingerprint
    for first in (0, 8, 4):
        assert torch.equal(local.batch(3, first, 8), far.batch(3, first, 8))
    heldout = CropDataset(remote(server, tmp_path), CROP, "heldout")
    assert torch.equal(heldout.batch(0, 0, 2), CropDataset(folder, CROP, "heldout").batch(0, 0, 2))


def test_rows_are_asked_for_once_and_only_those_needed(folder, server, tmp_path):
    data = CropDataset(remote(server, tmp_path), CROP)
    data.batch(0, 0, 12)
    asked = len(server.requests)
    entries = {f"/data/{entry['split']}/{entry['piece']}.arrow": entry for entry in LocalStore(folder).index.entries}
    for path, wanted in server.requests[1:]:
        begin, end = map(int, wanted.removeprefix("bytes=").split("-"))
        row_bytes = entries[path]["row_bytes"]  # names differ in length, and so do rows
        assert (begin - entries[path]["first_row_offset"]) % row_bytes == 0
        assert end + 1 - begin <= 3 * row_bytes, "a crop of 70,000 samples touches three rows of 65,536 at most"
    data.batch(0, 0, 12)
    CropDataset(remote(server, tmp_path), CROP).batch(0, 0, 12)  # a new process finds them, too
    assert len(server.requests) == asked + 1, "but for the index"


@pytest.mark.parametrize("fault", [503, 500, 429, "cut", "stall"])
def test_faults_on_the_way_are_retried(folder, server, tmp_path, fault):
    server.faults = [None, fault, fault, None, fault]
    started = time.monotonic()
    far = CropDataset(remote(server, tmp_path), CROP)
    assert torch.equal(far.batch(1, 0, 6), CropDataset(folder, CROP).batch(1, 0, 6))
    assert not server.faults
    assert time.monotonic() - started < 15


def test_a_server_without_byte_ranges_is_explained_at_once(server, tmp_path):
    far = CropDataset(remote(server, tmp_path), CROP)
    server.faults = ["whole"]
    asked = len(server.requests)
    with pytest.raises(Mp3netError, match=r"does not send parts of files \(byte ranges\).*use nginx"):
        far.batch(0, 0, 1)
    assert len(server.requests) == asked + 1


def test_a_server_without_byte_ranges_is_refused_before_anything_begins(server, tmp_path):
    server.faults = ["whole"] * 500
    with pytest.raises(Mp3netError, match=rf"^{server.url}/train/.*arrow: the server does not send parts of files"):
        CropDataset(remote(server, tmp_path), CROP)
    assert len(server.requests) == 2, "the index and one row"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (401, "the server refuses access: .*401.*credentials in the environment"),
        (403, "the server refuses access: .*403.*credentials in the environment"),
        (400, "cannot be read: .*400 Bad Request: *; check the address and the server"),
        (410, "cannot be read: .*410 Gone: *; check the address and the server"),
        (416, "cannot be read: .*416 .*; check the address and the server"),
    ],
)
def test_what_the_server_refuses_for_good_is_not_asked_for_again(server, tmp_path, fault, message):
    server.faults = [fault] * 500
    with pytest.raises(Mp3netError, match=rf"^{server.url}/dataset.json: {message}"):
        remote(server, tmp_path)
    assert len(server.requests) == 1


@pytest.mark.parametrize("fault", [503, "stall"])
def test_a_server_that_stays_broken_is_a_clear_error_after_some_tries(server, tmp_path, fault):
    far = CropDataset(remote(server, tmp_path), CROP)
    before = len(server.requests)
    server.faults = [fault] * 500
    with pytest.raises(
        Mp3netError, match=rf"{server.url}/train/.*arrow: cannot be read after 5 tries: .*same command goes on"
    ):
        far.batch(0, 0, 1)
    assert len(server.requests) - before == 5


def test_what_is_missing_or_damaged_is_named(folder, server, tmp_path):
    with pytest.raises(Mp3netError, match=r"nothing/dataset.json: no such file on the server"):
        RemoteStore(f"{server.url}/nothing", RowCache(tmp_path, 1 << 20), HASTY)
    store = remote(server, tmp_path)
    entry = dict(store.index.entries[0], first_row_offset=store.index.entries[0]["first_row_offset"] + 8)
    with pytest.raises(Mp3netError, match="row 0 is damaged"):
        store.open(entry).read(0, 100)
    with pytest.raises(Mp3netError, match="not a place to read from"):
        RemoteStore("gopher://x/y", RowCache(tmp_path, 1 << 20), HASTY)
    with pytest.raises(Mp3netError, match="cannot be read after 2 tries"):
        RemoteStore("http://127.0.0.1:9", RowCache(tmp_path, 1 << 20), Patience(1, 0.5, 2, 0.01, 0.02))


def test_a_damaged_row_in_the_cache_is_fetched_again(folder, server, tmp_path):
    data = CropDataset(remote(server, tmp_path), CROP)
    expected = data.batch(0, 0, 4)
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    assert torch.equal(data.batch(0, 0, 4), expected)


def test_the_cache_is_bounded_and_drops_what_was_not_used(tmp_path):
    cache = RowCache(tmp_path / "rows", 100_000)
    cache.put("first", b"0" * 1000)
    for number in range(300):
        cache.put(f"row-{number}", bytes(1000))
        assert cache.get("first") is not None, "used all the time"
        time.sleep(0.0005)
        size = sum(path.stat().st_size for path in (tmp_path / "rows").iterdir())
        assert size <= 107_000
    assert size > 90_000
    assert cache.get("row-299") == bytes(1000)
    assert cache.get("row-0") is None
    again = RowCache(tmp_path / "rows", 10_000)  # a smaller bound holds for what is there already
    again.put("more", bytes(1000))
    assert sum(path.stat().st_size for path in (tmp_path / "rows").iterdir()) <= 10_000
    assert again.get("more") is not None


def test_a_full_disk_costs_speed_only(tmp_path):
    (tmp_path / "file").write_text("")
    cache = RowCache(tmp_path / "file" / "rows", 1000)
    cache.put("a", b"x")
    assert cache.get("a") is None


def test_the_cache_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("MP3NET_CACHE", str(tmp_path))
    monkeypatch.setenv("MP3NET_CACHE_GB", "0.5")
    assert (default_cache().folder, default_cache().limit_bytes) == (tmp_path / "rows", 2**29)
    monkeypatch.setenv("MP3NET_CACHE_GB", "much")
    with pytest.raises(Mp3netError, match="MP3NET_CACHE_GB='much'"):
        default_cache()


def test_locations():
    assert [is_remote(text) for text in ("s3://b/p", "https://h/p", "data/piano", "C:\\data")] == [True, True, False, False]
    assert not is_remote(Path("s3://b"))


def test_messages_name_the_folder_or_url_of_a_store(folder, server, tmp_path):
    for store, place in ((LocalStore(folder), str(folder)), (remote(server, tmp_path), server.url)):
        assert (str(store), f"{[store]}") == (place, f"[{place}]")
        with pytest.raises(Mp3netError, match=f"^{re.escape(place)}: none of its 4 train pieces is as long as one crop"):
            CropDataset(store, 8000 * 3600)


@pytest.fixture(scope="module")
def s3(folder):
    """A real S3 server on this machine, with the dataset uploaded."""
    moto = pytest.importorskip("moto.server")
    import boto3

    server = moto.ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=endpoint, aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1"
    )
    client.create_bucket(Bucket="music")
    for path in folder.rglob("*.*"):
        client.upload_file(str(path), "music", f"sets/piano/{path.relative_to(folder)}")
    yield endpoint
    client.close()
    server.stop()


def test_object_storage_gives_the_same_crops(folder, s3, tmp_path, monkeypatch):
    for key, value in {
        "AWS_ENDPOINT_URL": s3, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true", "MP3NET_CACHE": str(tmp_path),
    }.items():  # fmt: skip
        monkeypatch.setenv(key, value)
    augment = AugmentConfig(resample_semitones=0.5)
    far = CropDataset(open_store("s3://music/sets/piano"), CROP, augment=augment)
    assert torch.equal(far.batch(5, 100, 8), CropDataset(folder, CROP, augment=augment).batch(5, 100, 8))
    with pytest.raises(Mp3netError, match=r"s3://music/sets/violin/dataset.json: no such file"):
        open_store("s3://music/sets/violin")


@pytest.mark.parametrize(
    ("url", "environment", "message"),
    [
        ("s3://b/a", {}, "s3://b/a/dataset.json: no credentials found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or"),
        ("gs://b/a", {}, "gs://b/a/dataset.json: no credentials found: set GOOGLE_APPLICATION_CREDENTIALS to the file of"),
        (
            "az://b/a",
            {"AZURE_STORAGE_ACCOUNT_NAME": "anna"},
            "az://b/a/dataset.json: no credentials found: set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or",
        ),
        ("az://b/a", {}, "az://b/a: not a place to read from: .*Account must be specified; set AZURE_STORAGE_ACCOUNT_NAME"),
        (
            "s3://b/a",
            {"AWS_ACCESS_KEY_ID": "a"},
            "s3://b/a: not a place to read from: .*; set AWS_ACCESS_KEY_ID and AWS_SEC",
        ),
    ],
)
def test_missing_credentials_are_named_at_once(tmp_path, monkeypatch, url, environment, message):
    for name in [name for name in os.environ if re.match("AWS_|GOOGLE_|AZURE_|NO_PROXY$", name, re.I)]:
        monkeypatch.delenv(name)
    # Nothing answers at the address where a machine of a cloud finds its own credentials, also if this is one.
    for name, value in {"http_proxy": "http://127.0.0.1:9", "MP3NET_CACHE": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    begun = time.monotonic()
    with pytest.raises(Mp3netError, match=f"^{message}") as raised:
        open_store(url)
    assert "_SKIP_SIGNATURE=true" in str(raised.value)
    assert "169.254" not in str(raised.value)
    assert time.monotonic() - begun < 5, "without trying again"


def test_ranks_share_without_overlap_and_resume_at_the_exact_sample(folder):
    """Two processes of four tracks each, stopped after any batch, see the tracks that one process of eight sees."""
    data = CropDataset(folder, CROP, augment=AugmentConfig())
    whole = data.batch(9, 0, 24)
    parts = [CropDataset(folder, CROP, augment=AugmentConfig()).batch(9, first, 4) for first in range(0, 24, 4)]
    assert torch.equal(torch.cat(parts), whole)
    flat = whole.reshape(24, -1)
    assert torch.cdist(flat, flat)[~torch.eye(24, dtype=torch.bool)].min() > 0, "no two are the same crop"
    assert np.abs(whole.numpy()).max() <= 1
