"""Preparing and loading: rates, where the time goes, memory for ten hours, crops per second from disk and network.

    python benchmarks/preparation.py FOLDER_OF_RECORDINGS

Prints the figures of docs/results.md. Needs 3 GB in the temporary folder. The recordings are prepared to 22,016 Hz stereo
(three times, into an empty folder each time); the ten hours are a FLAC file made of the first of them.
"""

from __future__ import annotations

import argparse
import cProfile
import functools
import http.server
import pstats
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import soundfile

from mp3net.audio.decoding import probe
from mp3net.config import PRESETS, AugmentConfig, DataConfig
from mp3net.data.cache import RowCache
from mp3net.data.dataset import CropDataset
from mp3net.data.preparation import prepare
from mp3net.data.recordings import below
from mp3net.data.storage import Patience, RemoteStore, open_store
from mp3net.data.writing import write_piece
from mp3net.machine import usable_cpus

# Tracks that the discriminator sees per second: measured on two cores, estimated for one H100 (docs/training.md).
NEEDS = {"nano-1.5s": ("2 cores", 29.0), "piano-5s": ("H100", 32.2), "piano-95s": ("H100", 18.5)}


BATCH = 16


def rate(folder: Path, scratch: Path, workers: int) -> None:
    runs = []
    for _ in range(3):
        shutil.rmtree(scratch / "data", ignore_errors=True)
        begin = time.monotonic()
        report = prepare(below(folder), scratch / "data", DataConfig(drop_duplicates=False), workers)
        runs.append(time.monotonic() - begin)
    seconds = sum(file.num_samples for file in report.kept) / report.config.sample_rate_hz
    seconds += sum(file.trimmed_s for file in report.kept)
    middle = statistics.median(runs)
    print(
        f"prepare: {len(report.kept)} files, {seconds / 3600:.2f} h to 22,016 Hz stereo with {workers} processes: "
        f"{middle:.1f} s (of 3: {min(runs):.1f}-{max(runs):.1f}), {seconds / middle:.0f} x real time, "
        f"{report.size_bytes / 1e6:.0f} MB"
    )


def long_file(folder: Path, scratch: Path, hours: float) -> Path:
    path = scratch / "long.flac"
    source = sorted(folder.rglob("*.flac"))[0]
    sound, source_rate = soundfile.read(source, dtype="int16", always_2d=True)
    with soundfile.SoundFile(path, "w", source_rate, sound.shape[1], format="FLAC") as file:
        for _ in range(round(hours * 3600 * source_rate / len(sound))):
            file.write(sound)
    return path


def ten_hours(path: Path, scratch: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom mp3net.config import DataConfig\n"
        "from mp3net.data.writing import write_piece\n"
        # Not getrusage: its peak is inherited from the process that starts this one.
        "def peak(): return int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
        "before = peak()\n"
        "begin = time.monotonic()\n"
        "written = write_piece(Path(sys.argv[1]), Path(sys.argv[2]), 'x', DataConfig())\n"
        "print(time.monotonic() - begin, before, peak(), written.num_samples)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(scratch / "x.arrow")], capture_output=True, text=True, check=True
    )
    took, before, peak, samples = map(float, done.stdout.split())
    print(
        f"one file of {samples / 22016 / 3600:.1f} h ({path.stat().st_size / 1e9:.2f} GB FLAC): {took:.0f} s in one "
        f"process, {samples / 22016 / took:.0f} x real time, memory {peak / 2**20:.2f} GiB ({before / 2**20:.2f} before)"
    )


def profile(folder: Path, scratch: Path) -> None:
    files = sorted(folder.rglob("*.flac"))[:12]
    profiler = cProfile.Profile()
    write_piece(files[0], scratch / "warm.arrow", "x", DataConfig())
    profiler.enable()
    for path in files:
        write_piece(path, scratch / "x.arrow", "x", DataConfig())
    profiler.disable()
    entries = pstats.Stats(profiler).stats.items()  # type: ignore[attr-defined]
    total = sum(value[2] for _, value in entries)

    def share(*names: str) -> float:
        """Own time of functions, and whole time of those that end in ()."""
        return sum(v[3] if f"{k[2]}()" in names else v[2] if k[2] in names else 0 for k, v in entries) / total

    print(
        f"  profile: FLAC {share('_cdata_io'):.0%}, resampling (soxr HQ, and the fingerprint's) "
        f"{share('resample_chunk'):.0%}, writing rows {share('_write_rows()'):.0%}, fingerprint {share('_frames()'):.0%}, "
        f"levels {share('_note()'):.0%}"
    )


def loudness(folder: Path, scratch: Path) -> None:
    path = sorted(folder.rglob("*.flac"))[0]
    seconds = probe(path).duration_s
    took = []
    for config in (DataConfig(), DataConfig(level="loudness")):
        write_piece(path, scratch / "x.arrow", "x", config)
        begin = time.monotonic()
        for _ in range(5):
            write_piece(path, scratch / "x.arrow", "x", config)
        took.append((time.monotonic() - begin) / 5)
    print(f"  one process: {seconds / took[0]:.0f} x real time, {seconds / took[1]:.0f} x with loudness measured")


def crops_per_second(data: CropDataset, different: int, seconds: float = 6.0) -> float:
    """Batches in a row, as the loader's thread reads them; after `different` crops the same again."""
    data.batch(0, 0, BATCH)
    begin, count = time.monotonic(), 0
    while time.monotonic() - begin < seconds:
        count += 1
        data.batch(0, count * BATCH % different, BATCH)
    return count * BATCH / (time.monotonic() - begin)


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """The standard library's server knows no ranges."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        begin, size = 0, path.stat().st_size
        end = size - 1
        if wanted := self.headers.get("Range"):
            begin, end = map(int, wanted.removeprefix("bytes=").split("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{end}/{size}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(end + 1 - begin))
        self.end_headers()
        with path.open("rb") as file:
            self.connection.sendfile(file, begin, end + 1 - begin)


def loading(folder: Path, scratch: Path) -> None:
    for name, (machine, need) in NEEDS.items():
        preset = PRESETS[name]
        data = scratch / name
        config = DataConfig(sample_rate_hz=preset.audio.sample_rate_hz, channels=preset.audio.channels)
        if not data.exists():
            prepare(below(folder), data, config, usable_cpus())
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(RangeHandler, directory=str(data)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        plain, resampled = AugmentConfig(), AugmentConfig(resample_semitones=0.5)
        url = f"http://127.0.0.1:{server.server_address[1]}"

        def remote(limit: int, url: str = url, name: str = name) -> RemoteStore:
            return RemoteStore(url, RowCache(scratch / "rows" / f"{name}-{limit}", limit), Patience())

        length = preset.track_samples
        cached = CropDataset(remote(20 << 30), length, augment=plain)
        for first in range(0, 512, BATCH):
            cached.batch(0, first, BATCH)
        found = {
            "disk": crops_per_second(CropDataset(open_store(data), length, augment=plain), 1 << 40),
            "disk, resampled": crops_per_second(CropDataset(open_store(data), length, augment=resampled), 1 << 40),
            "HTTP, nothing cached": crops_per_second(CropDataset(remote(1), length, augment=plain), 1 << 40),
            "HTTP, cached": crops_per_second(cached, 512),
        }
        server.shutdown()
        rates = ", ".join(f"{label} {value:.0f}" for label, value in found.items())
        print(f"crops/s of {name} ({preset.track_duration_s:.1f} s each; {machine} needs {need:.1f}): {rates}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--only", choices=("preparing", "loading"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        if arguments.only != "loading":
            rate(arguments.folder, scratch, usable_cpus())
            profile(arguments.folder, scratch)
            loudness(arguments.folder, scratch)
            ten_hours(long_file(arguments.folder, scratch, arguments.hours), scratch)
        if arguments.only != "preparing":
            loading(arguments.folder, scratch)
    print(f"peak of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
