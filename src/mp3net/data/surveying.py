"""What preparation will take, before anything is written."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mp3net.audio.decoding import UnusableAudioError, probe
from mp3net.config import DataConfig
from mp3net.data.isolation import IsolatedPool
from mp3net.data.recordings import Recordings
from mp3net.data.writing import SPOOL_BYTES
from mp3net.files import existing_part

FINGERPRINT_BYTES_PER_S = 173
FREE_SHARE = 0.02
HEADER_ERROR = 0.2
"""Lengths of files without one in their header are estimates; only what is clearly too short is called so."""


@dataclass(frozen=True)
class Surveyed:
    """What a file's header promises; `reason` is why the file cannot be used, if that is already known."""

    path: str
    duration_s: float
    reason: str = ""


@dataclass(frozen=True)
class Survey:
    """The files, and the disk space that preparing them takes at most."""

    files: list[Surveyed]
    need_bytes: int
    free_bytes: int

    @property
    def duration_s(self) -> float:
        return sum(file.duration_s for file in self.files)


def survey(recordings: Recordings, out: Path, config: DataConfig, pool: IsolatedPool) -> Survey:
    """Read every file's header, and predict the most disk space that preparing the dataset will take."""
    look, lost = partial(_look, recordings.folder, config), partial(_lost_look, recordings.folder)
    paths = [recordings.folder / path for path in recordings.paths]
    found = {item.path: item for _, item in pool(look, lost, paths)}
    files = [found[path] for path in recordings.paths]
    rate = config.sample_rate_hz * config.channels
    need = sum(file.duration_s for file in files) * (2 * rate + FINGERPRINT_BYTES_PER_S)
    spooled = sorted((4 * rate * file.duration_s for file in files), reverse=True)[: pool.workers]
    need += sum(size for size in spooled if size > SPOOL_BYTES)
    return Survey(files, round(need * (1 + FREE_SHARE)), shutil.disk_usage(existing_part(out)).free)


def _look(folder: Path, config: DataConfig, path: Path) -> Surveyed:
    relative = str(path.relative_to(folder))
    try:
        duration_s = probe(path, config.downmix).duration_s
    except UnusableAudioError as error:
        return Surveyed(relative, 0.0, str(error))
    too_short = duration_s < config.min_duration_s * (1 - HEADER_ERROR)
    return Surveyed(relative, duration_s, f"shorter than {config.min_duration_s:.4g} s" if too_short else "")


def _lost_look(folder: Path, path: Path, reason: str) -> Surveyed:
    return Surveyed(str(path.relative_to(folder)), 0.0, reason)
