"""Where a prepared dataset is stored: a folder, an object store (s3://, gs://, az://) or a web server (https://).

Remote rows are requested by byte range, kept in a size-limited folder on the local disk, and requested again with growing
pauses when the server stalls or fails.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from mp3net.data.cache import RowCache
from mp3net.data.index import INDEX_FILE, Entry, Index, parse_index, read_index
from mp3net.data.pieces import ROW_SAMPLES, SCHEMA, Piece, row_samples
from mp3net.errors import Mp3netError
from mp3net.files import parse_json
from mp3net.words import install

DEFAULT_CACHE_BYTES = 20 << 30
RETRIES = 8
REQUEST_TIMEOUT_S = 30
GIVE_UP_S = 300
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 20.0
PASSING_REFUSALS = (408, 425, 429)
"""Statuses from 400 to 499 that ask for patience: too slow, too early, too many requests."""
CREDENTIALS = {
    "S3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or for a public bucket AWS_SKIP_SIGNATURE=true",
    "GCS": "set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account, or for a public bucket "
    "GOOGLE_SKIP_SIGNATURE=true",
    "MicrosoftAzure": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or for a public container the name and "
    "AZURE_SKIP_SIGNATURE=true",
}
"""By kind of store, as the library calls it in its errors: an address with https:// may be any of them."""


@dataclass(frozen=True)
class Patience:
    """How long a remote store may fail: a request may take `request_s`, all its attempts together `give_up_s`."""

    retries: int = RETRIES
    request_s: float = REQUEST_TIMEOUT_S
    give_up_s: float = GIVE_UP_S
    first_pause_s: float = FIRST_PAUSE_S
    longest_pause_s: float = LONGEST_PAUSE_S


class Readable(Protocol):
    """One recording: `read(start, count)` gives samples [start, start + count) as float32 (C, count)."""

    def read(self, start: int, count: int) -> np.ndarray: ...


class Store(Protocol):
    """A dataset, wherever it is stored: its index and its recordings. As text it is the folder or URL that it stands for."""

    index: Index
    fingerprint: str

    def __str__(self) -> str: ...

    def open(self, entry: Entry) -> Readable: ...

    def check(self, entries: list[Entry]) -> None:
        """Errors: Mp3netError if a cheap check shows that one of them is damaged."""


def is_remote(location: str | Path) -> bool:
    return isinstance(location, str) and re.match(r"[a-z][a-z0-9+.-]*://", location) is not None


def open_store(location: str | Path, cache: RowCache | None = None, patience: Patience | None = None) -> Store:
    """The dataset at `location`: a folder or a URL. A remote one needs the extra `mp3net[remote]`.

    Errors: Mp3netError if there is no dataset of this format, or the server does not answer.
    """
    if is_remote(location):
        return RemoteStore(str(location), cache or default_cache(), patience or Patience())
    return LocalStore(Path(location))


def default_cache() -> RowCache:
    """The cache in MP3NET_CACHE (default ~/.cache/mp3net), limited to MP3NET_CACHE_GB (default 20)."""
    folder = Path(os.environ.get("MP3NET_CACHE") or Path.home() / ".cache" / "mp3net") / "rows"
    text = os.environ.get("MP3NET_CACHE_GB") or str(DEFAULT_CACHE_BYTES / 2**30)
    try:
        size = float(text)
        if not 0 < size < float("inf"):
            raise ValueError
    except ValueError:
        raise Mp3netError(f"MP3NET_CACHE_GB={text!r}: give the size of the cache in GB, such as 20") from None
    return RowCache(folder, round(size * 2**30))


class LocalStore:
    """A dataset in a folder, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        self.index = read_index(folder)
        self.fingerprint = hashlib.sha256((folder / INDEX_FILE).read_bytes()).hexdigest()
        self._folder = folder

    def __str__(self) -> str:
        return str(self._folder)

    __repr__ = __str__  # messages that list stores show them by their repr

    def open(self, entry: Entry) -> Piece:
        return Piece(self._path(entry))

    def check(self, entries: list[Entry]) -> None:
        """Compares sizes: an incomplete copy should not be discovered in the middle of a run."""
        for entry in entries:
            path = self._path(entry)
            size = path.stat().st_size if path.exists() else 0
            if size != entry["size_bytes"]:
                raise Mp3netError(
                    f"{path}: has {size:,} of {entry['size_bytes']:,} bytes; copy the dataset again, or prepare it again"
                )

    def _path(self, entry: Entry) -> Path:
        return self._folder / str(entry["split"]) / f"{entry['piece']}.arrow"


class RemoteStore:
    """A dataset at a URL."""

    def __init__(self, url: str, cache: RowCache, patience: Patience) -> None:
        self.url = url.rstrip("/")
        self._store = _connect(self.url, patience)
        self._patience = patience
        self._cache = cache
        self._has_answered = False
        text = self.get(INDEX_FILE)
        self.index = parse_index(parse_json(text, f"{self.url}/{INDEX_FILE}"), f"{self.url}/{INDEX_FILE}")
        self.fingerprint = hashlib.sha256(text).hexdigest()

    def __str__(self) -> str:
        return self.url

    __repr__ = __str__

    def open(self, entry: Entry) -> RemotePiece:
        return RemotePiece(self, entry)

    def check(self, entries: list[Entry]) -> None:
        """Reads one row, which shows at once whether the server sends parts of files. A request for each piece would take
        longer than finding out by reading."""
        self.rows(entries[0], 0, 1)

    def get(self, name: str) -> bytes:
        """A whole file."""
        import obstore

        return self._patiently(name, lambda: bytes(obstore.get(self._store, name).bytes()))

    def rows(self, entry: Entry, first: int, last: int) -> list[np.ndarray]:
        """Rows first .. last - 1 of a piece as float32 (S, C), from the cache where possible, the rest in one request."""
        name = f"{entry['split']}/{entry['piece']}.arrow"
        keys = [f"{self.fingerprint[:16]}-{entry['piece']}-{row}" for row in range(first, last)]
        found = [_decoded(self._cache.get(key)) for key in keys]
        absent = [index for index, row in enumerate(found) if row is None]
        if absent:
            begin, end = first + absent[0], first + absent[-1] + 1
            for index, data in zip(range(absent[0], absent[-1] + 1), self._fetch(name, entry, begin, end), strict=True):
                row = _decoded(data)
                if row is None:
                    raise Mp3netError(f"{self.url}/{name}: row {first + index} is damaged; upload the dataset again")
                self._cache.put(keys[index], data)
                found[index] = row
        return [row for row in found if row is not None]

    def _fetch(self, name: str, entry: Entry, first: int, last: int) -> list[bytes]:
        import obstore

        stride, offset = entry["row_bytes"], entry["first_row_offset"]
        begin, end = offset + first * stride, min(offset + last * stride, entry["size_bytes"])
        data = self._patiently(name, lambda: bytes(obstore.get_range(self._store, name, start=begin, end=end)))
        return [data[place : place + stride] for place in range(0, end - begin, stride)]

    def _patiently(self, name: str, request: Callable[[], bytes]) -> bytes:
        """The store's library retries refused requests but not interrupted answers, so all retries are done here instead."""
        import tenacity
        from obstore.exceptions import NotSupportedError, PermissionDeniedError, UnauthenticatedError

        place, patience = f"{self.url}/{name}", self._patience
        retrying = tenacity.Retrying(
            # Where a machine of a cloud has credentials, a later request for them may fail; the first one only elsewhere.
            retry=tenacity.retry_if_exception(
                lambda error: _may_pass(error) and (self._has_answered or not _asked_the_machine(error))
            ),
            stop=tenacity.stop_after_attempt(patience.retries + 1) | tenacity.stop_before_delay(patience.give_up_s),
            wait=tenacity.wait_exponential(patience.first_pause_s, patience.longest_pause_s),
            reraise=True,
        )
        try:
            answer = retrying(request)
            self._has_answered = True
            return answer
        except FileNotFoundError:
            raise Mp3netError(f"{place}: no such file on the server; is this where the dataset lies?") from None
        except NotSupportedError:
            raise Mp3netError(
                f"{place}: the server does not send parts of files (byte ranges), as `python -m http.server` does not; "
                "use nginx, Caddy or an object store, or copy the dataset to a folder"
            ) from None
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise Mp3netError(
                f"{place}: the server refuses access: {_reason(error)}; check the address and the credentials in the "
                "environment, such as AWS_ACCESS_KEY_ID"
            ) from None
        except Exception as error:  # the library's errors have no common type
            if _asked_the_machine(error) and not self._has_answered:
                raise Mp3netError(f"{place}: no credentials found: {_credentials(error)}") from None
            tries = retrying.statistics["attempt_number"]
            times = f" after {tries} tries" if tries > 1 else ""
            advice = "the same command goes on when it can" if _may_pass(error) else "check the address and the server"
            raise Mp3netError(f"{place}: cannot be read{times}: {_reason(error)}; {advice}") from None


class RemotePiece:
    """One recording of a remote dataset."""

    def __init__(self, store: RemoteStore, entry: Entry) -> None:
        self._store, self._entry = store, entry

    def read(self, start: int, count: int) -> np.ndarray:
        first, last = start // ROW_SAMPLES, (start + count - 1) // ROW_SAMPLES + 1
        audio = np.concatenate(self._store.rows(self._entry, first, last))
        begin = start - first * ROW_SAMPLES
        return np.ascontiguousarray(audio[begin : begin + count].T)


def _decoded(data: bytes | None) -> np.ndarray | None:
    """The audio of a row's message; None if it is missing, damaged or cut short."""
    if data is None:
        return None
    try:
        batch = pa.ipc.read_record_batch(pa.py_buffer(data), SCHEMA)
        batch.validate(full=True)
        return row_samples(batch)
    except (pa.ArrowInvalid, OSError, IndexError):
        return None


def _connect(url: str, patience: Patience) -> Any:
    try:
        import tenacity  # noqa: F401
        from obstore.store import from_url
    except ImportError:
        raise Mp3netError(f"{url}: reading from a network needs: {install('mp3net[remote]')}") from None
    options: Any = {"timeout": timedelta(seconds=patience.request_s), "allow_http": True}
    try:
        return from_url(url, client_options=options, retry_config={"max_retries": 0})
    except Exception as error:  # the library's errors have no common type
        advice = _credentials(error)
        raise Mp3netError(f"{url}: not a place to read from: {_reason(error)}{advice and '; '}{advice}") from None


def _credentials(error: BaseException) -> str:
    """Which variables give the store credentials; empty for a web server."""
    store = re.search(r"Generic (\w+) error", str(error))
    return CREDENTIALS.get(store[1], "") if store is not None else ""


def _asked_the_machine(error: BaseException) -> bool:
    """Whether the library had no credentials and asked for some at the address where machines of a cloud find theirs."""
    return re.search(r"//(169\.254\.|metadata\b)", str(error)) is not None


def _may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed later: not if the server has understood and refused it."""
    from obstore import exceptions

    if isinstance(error, (FileNotFoundError, exceptions.BaseError)) and not isinstance(error, exceptions.GenericError):
        return isinstance(error, exceptions.JoinError)
    status = re.search(r"status code: (\d{3})", str(error))
    refused = status is not None and 400 <= int(status[1]) < 500 and int(status[1]) not in PASSING_REFUSALS
    return not refused and "error following redirect" not in str(error)


def _reason(error: Exception) -> str:
    """The store's own message and that of the system, without the dump of internals that follows."""
    words, _, inside = str(error).partition("Debug source:")
    causes = [cause for cause in re.findall(r'message: "([^"]*)"', inside) if cause not in words]
    return ": ".join([" ".join(words.split()), *causes[:1]])
