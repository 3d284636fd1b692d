"""A snapshot as a folder for the Hugging Face hub: weights, configuration, sounds, and a card that says what it is."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from mp3net.errors import Mp3netError
from mp3net.export.card import Card, readings
from mp3net.files import replacing, write_text
from mp3net.generation import MP3net
from mp3net.generation.steering import FILE as SLIDERS_FILE
from mp3net.model.snapshot import CONFIG_FILE, DISCRIMINATOR_FILE, GENERATOR_FILE

CARD_FILE = "README.md"
SOUND_SEEDS = (1, 2, 3)
SOUND_S = 20.0


def export_hub(model: MP3net, folder: Path, report: Path | None = None, curve: Sequence[str] = ()) -> list[str]:
    """Write `folder`; returns the names of its files. `report`: the report.json of an evaluation, `curve`: lines
    of a table (`card.curve`), both for the card.

    `MP3net.from_pretrained(folder)` opens it, and so does its name once it is uploaded.
    Errors: Mp3netError if the folder exists and is not empty, or the report is none.
    """
    assert model.snapshot is not None
    found = readings(report, model.snapshot.digest) if report is not None else []
    if folder.exists() and any(folder.iterdir()):
        raise Mp3netError(f"{folder}: is not empty; name a new folder with --out")
    duration_s = max(SOUND_S, model.song_duration_s) if model.any_length else None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with replacing(folder) as unfinished:
            unfinished.mkdir()
            for name in (CONFIG_FILE, GENERATOR_FILE, DISCRIMINATOR_FILE, SLIDERS_FILE):
                if (model.snapshot.folder / name).exists():
                    shutil.copyfile(model.snapshot.folder / name, unfinished / name)
            sounds = [f"sounds/seed-{seed}.ogg" for seed in SOUND_SEEDS]
            for seed, sound in zip(SOUND_SEEDS, sounds, strict=True):
                model.generate(seed, duration_s).save(unfinished / sound)
            opened_by = f'"OWNER/{folder.name}"'
            card = Card(model.snapshot, folder.name, opened_by, sounds, found, curve)
            write_text(unfinished / CARD_FILE, card.text())
            return sorted(str(path.relative_to(unfinished)) for path in unfinished.rglob("*") if path.is_file())
    except OSError as error:
        raise Mp3netError(f"{folder}: cannot be written: {error.strerror}") from None
