"""Reading and writing small files safely."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from mp3net.errors import Mp3netError

PARTIAL = ".partial"
"""The suffix of files and folders that are being written."""
Given = TypeVar("Given", Path, Path | None)


def local(path: Given, what: str) -> Given:
    """Return `path`; None, too. Errors: Mp3netError if it was meant as a URL, which would silently become folders of that
    name."""
    if found := re.match(r"([a-z][a-z0-9+.-]+):/+(.*)", str(path)):
        raise Mp3netError(f"{what} {found[1]}://{found[2]}: a URL; only files and folders of this machine will do here")
    return path


def existing_part(path: Path) -> Path:
    """`path`, or the nearest folder above it that exists."""
    return next(part for part in (path.resolve(), *path.resolve().parents) if part.exists())


def check_writable(folder: Path) -> None:
    """Errors: Mp3netError if nothing can be written to the folder, or it cannot be made."""
    there = existing_part(folder)
    if not there.is_dir():
        raise Mp3netError(f"{there}: is a file, not a folder; name another")
    if not os.access(there, os.W_OK | os.X_OK):
        raise Mp3netError(f"{there}: no permission to write there; name another folder, or change its permissions")


def read_json(path: Path) -> Any:
    """Parse a JSON file; Mp3netError names the file when it is missing, unreadable or not JSON."""
    try:
        return parse_json(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise Mp3netError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise Mp3netError(f"{path}: is a folder, not a file") from None
    except PermissionError:
        raise Mp3netError(f"{path}: may not be read; change its permissions") from None
    except OSError as error:
        raise Mp3netError(f"{path}: cannot be read: {error.strerror}") from None


def parse_json(content: bytes, source: str) -> Any:
    """The data in a JSON text from `source`. Errors: Mp3netError says where the text ceases to be JSON."""
    try:
        text = content.decode("utf-8")
        return json.loads(text)
    except UnicodeDecodeError:
        why = "it is not text in UTF-8"
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}: {error.msg[:1].lower()}{error.msg[1:]}"
        why = place if text.strip() else "it is empty"
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        why = str(error)
    raise Mp3netError(f"{source}: cannot be read as JSON: {why}")


@contextmanager
def replacing(path: Path, shared: bool = False) -> Iterator[Path]:
    """An unused hidden name beside `path`: write a file or folder there, and it replaces `path` at the end.

    This makes writing atomic: until then others see what was there before, and if the block raises, nothing is left.
    `shared`: other processes or threads may be writing the same at the same time. A folder at `path` must be empty. Errors:
    OSError if the write fails.
    """
    writer = f".{os.getpid()}-{threading.get_ident()}" if shared else ""
    unfinished = path.with_name(f".{path.name}{writer}{PARTIAL}")
    _remove(unfinished)  # a process that was killed may have left it
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        _remove(unfinished)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, data: Any) -> None:
    """Write JSON atomically."""
    write_text(path, json.dumps(data, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 atomically."""
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
