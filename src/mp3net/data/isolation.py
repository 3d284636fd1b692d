"""Work on untrusted files in expendable processes: a crash, excessive memory use or an endless loop in a decoder costs one
file, never the run."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context, resource_tracker
from pathlib import Path
from typing import TypeVar

from pebble import ProcessExpired, ProcessPool

from mp3net.errors import Mp3netError
from mp3net.machine import available_memory_bytes, usable_cpus

T = TypeVar("T")
MEMORY_BYTES = 2 << 30
"""Address space that a worker may use beyond that of its libraries, on Linux; decoding needs a tenth of it."""
START_ADVICE = (
    "is there too little memory, or a limit (ulimit -v, -u), or may Python's own file not be run? A script of your own must "
    'be a file, and prepare below `if __name__ == "__main__":`'
)
WORKER_BYTES, MEMORY_SHARE = 200 << 20, 0.8
"""What a worker usually takes (133 MB, and its spool), and how much of the free memory all of them may."""
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

        At most two files per process are queued at a time, so the number of paths does not matter. Files whose process the
        system killed, most likely for lack of memory, are tried once more at the end, with nothing beside them. Exceptions
        from `work` are raised.

        Errors: Mp3netError if the processes cannot even start.
        """
        killed: list[Path] = []
        for path, future in self._done(work, iter(paths), 2 * self.workers):
            if _was_killed(future):
                killed.append(path)
            else:
                yield path, _outcome(future, lost, path)
        for path, future in self._done(work, iter(killed), 1):
            yield path, _outcome(future, lost, path)

    def _done(self, work: Callable[[Path], T], coming: Iterator[Path], at_once: int) -> Iterator[tuple[Path, Future[T]]]:
        pending: dict[Future[T], Path] = {}
        while True:
            for path in islice(coming, at_once - len(pending)):
                try:
                    with _interrupts_blocked():
                        scheduled = self._pool.schedule(_limited, args=(work, path), timeout=_timeout_s(path))
                    pending[scheduled] = path
                except OSError as error:  # not of the disk, for which the caller would take it
                    raise Mp3netError(f"the processes that decode cannot be started ({error}); {START_ADVICE}") from None
            if not pending:
                return
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                yield pending.pop(future), future


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Threads and processes that begin in this block never see Ctrl-C, also not while they import their libraries."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # multiprocessing starts it with the first process, and then unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _was_killed(future: Future[T]) -> bool:
    error = future.exception()
    return isinstance(error, ProcessExpired) and error.exitcode == -signal.SIGKILL


def default_workers() -> int:
    """As many processes as this one may use processors, and as fit into the memory that is left."""
    memory = available_memory_bytes()
    return max(1, min(usable_cpus(), usable_cpus() if memory is None else int(memory * MEMORY_SHARE / WORKER_BYTES)))


def _outcome(future: Future[T], lost: Callable[[Path, str], T], path: Path) -> T:
    try:
        return future.result()
    except TimeoutError:
        return lost(path, f"took longer than {_timeout_s(path):.0f} s to decode")
    except MemoryError:
        # The user's own limit (ulimit -v) may be lower.
        return lost(path, f"needs more memory to decode than {MEMORY_BYTES / 2**30:.0f} GiB, or than it was allowed")
    except BrokenProcessPool:
        raise Mp3netError(f"the processes that decode end as soon as they start; {START_ADVICE}") from None
    except ProcessExpired as error:
        if error.exitcode == -signal.SIGKILL:
            return lost(path, "the system killed its decoder twice (signal 9), also with no other beside it: out of memory?")
        # Decoders that cannot get memory abort.
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
