"""A size-limited cache of pieces of remote files on the local disk; the least recently used go first."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from mp3net.files import replacing

SLACK = 1 / 16
"""The folder may exceed its limit by this share between clean-ups, each of which scans every file."""


class RowCache:
    """Small files below `folder`, at most `limit_bytes` and a sixteenth more. Threads and processes may share a folder."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._written = int(SLACK * limit_bytes) + 1  # so that the first `put` counts what others left there

    def get(self, key: str) -> bytes | None:
        path = self.folder / key
        try:
            data = path.read_bytes()
            os.utime(path)  # the modification time records the last use, as access times are often switched off
        except OSError:
            return None
        return data

    def put(self, key: str, data: bytes) -> None:
        """Keep `data`; if the disk fails, this costs speed, not the run."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._lock:
                self._written += len(data)
                if self._written > SLACK * self.limit_bytes:
                    self._clean(len(data))
                    self._written = 0
            with replacing(self.folder / key, shared=True) as unfinished:
                unfinished.write_bytes(data)

    def _clean(self, coming_bytes: int) -> None:
        files = []
        for item in os.scandir(self.folder):
            try:
                status = item.stat()
                files.append((status.st_mtime_ns, status.st_size, item.path))
            except FileNotFoundError:  # another process is cleaning up, too
                continue
        total = sum(size for _, size, _ in files) + coming_bytes
        for _, size, path in sorted(files):
            if total <= self.limit_bytes:
                break
            Path(path).unlink(missing_ok=True)
            total -= size
