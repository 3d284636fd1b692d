"""What the studio may open: what the command line named, and the bundled snapshot. The browser knows only names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from mp3net.data.index import INDEX_FILE
from mp3net.errors import Mp3netError
from mp3net.evaluation.report import HTML_FILE
from mp3net.generation import BUNDLED, MP3net
from mp3net.generation.places import place
from mp3net.model.snapshot import open_snapshot
from mp3net.training.origin import RUN_FILE

BUNDLED_NAME = "the bundled model"
# Models that are kept loaded.
KEPT_MODELS = 2


@dataclass(frozen=True)
class Item:
    """Something on the shelf. `run`: a training; `report`: an evaluation, otherwise it plays."""

    name: str
    path: Path
    run: bool = False
    report: bool = False


class Shelf:
    """Errors: Mp3netError for a path that is no run, snapshot or report."""

    def __init__(self, paths: Sequence[Path], device: str = "cpu", precision: str = "float32") -> None:
        found = [_item(path) for path in paths] + [Item(BUNDLED_NAME, BUNDLED)]
        self._items: dict[str, Item] = {}
        for item in found:
            name, count = item.name, 2
            while name in self._items:
                name, count = f"{item.name} ({count})", count + 1
            self._items[name] = item
        self._device, self._precision = device, precision
        self._models: dict[tuple[str, Path], MP3net] = {}
        self._lock = Lock()

    @property
    def playable(self) -> list[str]:
        return [name for name, item in self._items.items() if not item.report]

    @property
    def runs(self) -> list[str]:
        return [name for name, item in self._items.items() if item.run]

    @property
    def reports(self) -> list[str]:
        return [name for name, item in self._items.items() if item.report]

    def path(self, name: str) -> Path:
        """Errors: Mp3netError for a name that is not on the shelf, whatever a browser sends."""
        if name not in self._items:
            raise Mp3netError(f"{name!r}: is not among what the studio was started with")
        return self._items[name].path

    def model(self, name: str) -> MP3net:
        """The model, loaded anew when a training has saved a newer one. Errors: Mp3netError if it cannot be loaded."""
        folder = open_snapshot(place(self.path(name))).folder
        with self._lock:
            if (name, folder) not in self._models:
                made = MP3net.from_pretrained(
                    folder, self._device, "bfloat16" if self._precision == "bfloat16" else "float32"
                )
                self._models = {**dict(list(self._models.items())[1 - KEPT_MODELS :]), (name, folder): made}
            return self._models[name, folder]


def _item(path: Path) -> Item:
    name = path.name or path.resolve().name
    if (path / HTML_FILE).is_file():
        return Item(name, path, report=True)
    if (path / RUN_FILE).is_file():
        return Item(name, path, run=True)
    if (path / INDEX_FILE).is_file():
        raise Mp3netError(f"{path}: is a dataset; name runs, snapshots or reports")
    open_snapshot(place(path))  # says what is wrong
    return Item(name, path)
