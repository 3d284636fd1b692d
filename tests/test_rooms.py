"""A room imports only rooms to its left, and no name stands for two things (docs/architecture.md)."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "mp3net"
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROOMS = re.findall(r"^\| `(\w+)", ARCHITECTURE.split("## The rooms")[1].split("\n## ")[0], re.M)


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


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rooms_files() -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if room_of(path) not in ("__init__", "__main__")]


def test_rooms_import_leftwards_only():
    assert {room_of(path) for path in rooms_files()} == set(ROOMS)
    for path in rooms_files():
        wrong = imported_rooms(path.read_text()) - set(ROOMS[: ROOMS.index(room_of(path)) + 1])
        assert not wrong, f"{path} imports {wrong}, which lie to the right of {room_of(path)}"


def test_the_check_sees_a_wrong_import():
    assert imported_rooms("from mp3net.apps.cli import main\nfrom mp3net.dsp import mdct") == {"apps", "dsp"}


def test_no_two_rooms_have_a_file_of_one_name():
    """Within `model`, the families mirror each other."""
    names = Counter((path.name, room_of(path)) for path in rooms_files() if path.name != "__init__.py")
    twice = [name for name, count in Counter(name for name, _ in names).items() if count > 1]
    assert twice == []


def test_reading_a_dataset_imports_nothing_of_preparing_one():
    preparing = {"preparation", "writing", "fingerprint", "level", "isolation", "recordings", "cluster", "audio"}
    for reader in ("index", "pieces", "storage", "dataset", "cache", "inventory", "augment"):
        source = (PACKAGE / "data" / f"{reader}.py").read_text()
        assert not preparing & set(re.findall(r"mp3net\.(?:data\.)?(\w+)", source)), reader


def test_the_page_names_files_that_exist():
    named = set(re.findall(r"`([a-z0-9_/]+\.py)`", ARCHITECTURE))
    assert len(named) > 20
    missing = [name for name in named if not (PACKAGE / name).exists() and not (ROOT / name).exists()]
    assert missing == []
