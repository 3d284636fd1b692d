"""Reading and writing small files safely."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mp3net.errors import Mp3netError


def local(path: Path, what: str) -> Path:
    """`path`. Errors: Mp3netError where it was meant as a URL, which would silently become folders of that name."""
    if found := re.match(r"([a-z][a-z0-9+.-]+):/+(.*)", str(path)):
        raise Mp3netError(f"{what} {found[1]}://{found[2]}: a URL; only folders of this machine will do here")
    return path


def existing_part(path: Path) -> Path:
    """`path`, or the nearest folder above it that is there."""
    return next(part for part in (path.resolve(), *path.resolve().parents) if part.exists())


def read_json(path: Path) -> Any:
    """Parse a JSON file; Mp3netError names the file when it is missing, unreadable or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Mp3netError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Mp3netError(f"{path}: cannot be read as JSON: {error}") from None


def write_json(path: Path, data: Any) -> None:
    """Write JSON to a temporary name, then rename."""
    write_text(path, json.dumps(data, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 to a temporary name, then rename."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
