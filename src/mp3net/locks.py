"""One writer at a time for everything that takes long to write: a dataset, a run, a report."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from mp3net.errors import Mp3netError
from mp3net.files import write_json

LOCK_FILE = ".lock"
WAIT_S = 3.0
"""A process that was just stopped may still be saving."""
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


class Lock:
    """Keeps other processes from writing into `folder`, from `acquire` until `release` or the end of this process.

    `work` says what is being written, for those who come second.
    The system's own locks vanish with their process. Where a file system cannot lock (some network folders), a marker file
    stands in, which outlives a machine that loses its power; that is said on standard error.
    """

    def __init__(self, folder: Path, work: str, name: str = LOCK_FILE, reentrant: bool = False) -> None:
        self.folder, self._work = folder, work
        self._path = folder / name
        self._reentrant = reentrant
        self._lock: BaseFileLock | None = None

    @property
    def _note(self) -> Path:
        return self._path.with_name(f"{self._path.name}-holder")

    def acquire(self, wait_s: float = WAIT_S) -> Lock:
        """Errors: Mp3netError that names the holder, OSError if the folder cannot be written to."""
        lock: BaseFileLock = FileLock(self._path, timeout=wait_s, is_singleton=self._reentrant)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the library's own words about its marker file; ours follow
                lock.acquire()
        except Timeout:
            raise self._refusal() from None
        except (OSError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno not in _UNSUPPORTED:
                raise
            lock = self._marker(wait_s)
        if isinstance(lock, SoftFileLock):
            print(
                f"note: the file system of {self.folder} cannot lock files; the marker file {lock.lock_file} stands in. "
                "If a machine fails while it is there, delete it by hand",
                file=sys.stderr,
            )
        self._lock = lock
        self._tell()
        return self

    def _marker(self, wait_s: float) -> BaseFileLock:
        marker = SoftFileLock(f"{self._path}.marker", timeout=wait_s)
        try:
            marker.acquire()
        except Timeout:
            raise self._refusal(f"; if it is no longer running, delete {marker.lock_file}") from None
        return marker

    def _tell(self) -> None:
        with suppress(OSError):  # only for the message to others
            since = time.strftime("%Y-%m-%d %H:%M", time.localtime())
            facts = {"work": self._work, "process": os.getpid(), "machine": socket.gethostname(), "since": since}
            write_json(self._note, facts)

    def _refusal(self, advice: str = "") -> Mp3netError:
        try:
            holder = json.loads(self._note.read_text(encoding="utf-8"))
            who = f"{holder['work']} (process {holder['process']} on {holder['machine']}, since {holder['since']})"
        except (OSError, ValueError, KeyError, TypeError):
            who = "another process"
        return Mp3netError(f"{self.folder}: {who} is at work there; wait for it, stop it, or name another --out{advice}")

    def release(self) -> None:
        if self._lock is not None:
            if self._lock.lock_counter <= 1:
                self._note.unlink(missing_ok=True)
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
