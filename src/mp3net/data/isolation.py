"""Work on untrusted files in expendable processes: a crash, excessive memory use or an endless loop in a decoder costs one
file, never the run."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from pebble import ProcessExpired, ProcessPool

from mp3net.errors import Mp3netError

T = TypeVar("T")
MEMORY_BYTES = 2 << 30
"""Address space that a worker may use beyond that of its libraries, on Linux; decoding needs a tenth of it."""
BASE_TIMEOUT_S = 120.0
SLOWEST_BYTES_PER_S = 100_000
"""Network folders and old machines are slow; 10 hours at 64 kbit/s must pass. Endless loops make no progress at all."""


class IsolatedPool:
    """`workers` expendable processes; use it in a `with` statement, which ends them."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        context = get_context("spawn")  # a forked process would inherit the locks of libraries that run threads
        self._pool = ProcessPool(max_workers=workers, initializer=_set_up_worker, context=context)

    def __enter__(self) -> IsolatedPool:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    def __call__(
        self, work: Callable[[Path], T], lost: Callable[[Path, str], T], paths: Iterable[Path]
    ) -> Iterator[tuple[Path, T]]:
        """work(path) for every path, in any order; lost(path, reason) if its process was lost.

        At most two files per process are queued at a time, so the number of paths does not matter. Exceptions from `work`
        are raised.

        Errors: Mp3netError if the processes cannot even start.
        """
        pending: dict[Future[T], Path] = {}
        coming = iter(paths)
        while True:
            for path in coming:
                pending[self._pool.schedule(_limited, args=(work, path), timeout=_timeout_s(path))] = path
                if len(pending) >= 2 * self.workers:
                    break
            if not pending:
                break
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                path = pending.pop(future)
                yield path, _outcome(future, lost, path)


def _outcome(future: Future[T], lost: Callable[[Path, str], T], path: Path) -> T:
    try:
        return future.result()
    except TimeoutError:
        return lost(path, f"took longer than {_timeout_s(path):.0f} s to decode")
    except MemoryError:
        # The user's own limit (ulimit -v) may be lower.
        return lost(path, f"needs more memory to decode than {MEMORY_BYTES / 2**30:.0f} GiB, or than it was allowed")
    except BrokenProcessPool:
        raise Mp3netError(
            "the processes that decode end as soon as they start: is there too little memory, or a limit (ulimit -v, -u)? "
            'A script of your own must be a file, and prepare below `if __name__ == "__main__":`'
        ) from None
    except ProcessExpired as error:
        # Decoders that cannot get memory abort; a SIGKILL most likely came from the system, out of memory.
        return lost(path, f"its decoder crashed (exit code {error.exitcode})")


def _timeout_s(path: Path) -> float:
    try:
        return BASE_TIMEOUT_S + path.stat().st_size / SLOWEST_BYTES_PER_S
    except OSError:
        return BASE_TIMEOUT_S


def _limited(work: Callable[[Path], T], path: Path) -> T:
    return work(path)


def _set_up_worker() -> None:
    # Ctrl-C reaches all processes of a terminal: the parent decides what happens to the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Decoders in C complain about bad files there; what matters is returned as the reason in the report.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    import av  # noqa: F401  before the limit, which counts from what is loaded

    if sys.platform == "linux":  # elsewhere address space cannot be limited, or is unrelated to memory use
        import resource

        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        # Batch systems and shells may have set limits already: ours is never above them, and theirs may not be raised.
        limits = [taken + MEMORY_BYTES, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)]
        resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
