"""A room imports only rooms to its left (docs/decisions.md)."""

from __future__ import annotations

import ast
from pathlib import Path

ROOMS = [
    "errors", "files", "config", "audio", "dsp", "model", "generation", "data", "figures", "evaluation", "training", "apps",
]  # fmt: skip
PACKAGE = Path(__file__).parents[1] / "src" / "mp3net"


def imported_rooms(source: str) -> set[str]:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "imports are absolute"
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    parts = [module.split(".") for module in modules]
    return {part[1] for part in parts if part[0] == "mp3net" and len(part) > 1} & set(ROOMS)


def test_rooms_import_leftwards_only():
    files = [path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem in ROOMS]
    assert len(files) > 20
    for path in files:
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        allowed = set(ROOMS[: ROOMS.index(room) + 1])
        wrong = imported_rooms(path.read_text()) - allowed
        assert not wrong, f"{path} imports {wrong}, which lie to the right of {room}"


def test_the_check_sees_a_wrong_import():
    assert imported_rooms("from mp3net.apps.cli import main\nfrom mp3net.dsp import mdct") == {"apps", "dsp"}
