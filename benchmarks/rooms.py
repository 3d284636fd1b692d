"""The picture of docs/architecture.md: which room of `src/mp3net` imports which, read from the code.

    python benchmarks/rooms.py

Rooms stand in the order in which they may import each other; an arc below the line is an import, as wide as the number of
files that have it.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import Arc

from mp3net.figures import save_png

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from tests.test_rooms import PACKAGE, ROOMS, imported_rooms, room_of, rooms_files  # noqa: E402

PICTURE = ROOT / "docs" / "images" / "rooms.png"


def imports() -> Counter[tuple[str, str]]:
    """Files by (room, imported room)."""
    return Counter(
        (room_of(path), other)
        for path in rooms_files()
        for other in imported_rooms(path.read_text(encoding="utf-8")) - {room_of(path)}
    )


def draw() -> Figure:
    figure = Figure(figsize=(14, 4.2), dpi=100, layout="constrained")
    axis = figure.subplots()
    for (room, other), files in imports().items():
        right, left = ROOMS.index(room), ROOMS.index(other)
        width = right - left
        arc = Arc(
            ((left + right) / 2, 0), width, 0.62 * width, theta1=180, theta2=360, color="#7a4fa3", alpha=0.55, lw=files**0.5
        )
        axis.add_patch(arc)
    for place, room in enumerate(ROOMS):
        lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in rooms_files() if room_of(path) == room)
        axis.plot(place, 0, "o", color="#222", markersize=5 + lines**0.5 / 4)
        axis.text(place, 0.28, f"{room}", ha="center", fontsize=11, weight="bold")
    axis.set_xlim(-0.7, len(ROOMS) - 0.3)
    axis.set_ylim(-0.31 * len(ROOMS), 0.7)
    axis.set_axis_off()
    return figure


if __name__ == "__main__":
    save_png(draw(), PICTURE)
    print(f"{PICTURE.relative_to(ROOT)}: {sum(imports().values())} imports between {len(ROOMS)} rooms of {PACKAGE.name}")
