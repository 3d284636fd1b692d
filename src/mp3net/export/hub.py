"""A snapshot as a folder for the Hugging Face hub: weights, configuration, sounds, and a card that says what it is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from mp3net.config import Config
from mp3net.errors import Mp3netError
from mp3net.files import read_json, replacing, write_text
from mp3net.generation import MP3net
from mp3net.generation.steering import FILE as SLIDERS_FILE
from mp3net.model.snapshot import CONFIG_FILE, DISCRIMINATOR_FILE, GENERATOR_FILE, Snapshot
from mp3net.words import mono_or_stereo

SOUND_SEEDS = (1, 2, 3)
SOUND_S = 20.0
# Licences as the hub writes them, by how metadata may begin; anything else is "other" and stands in the text.
LICENCES = ("apache-2.0", "mit", "cc0-1.0", "cc-by-nc-sa-4.0", "cc-by-nc-4.0", "cc-by-sa-4.0", "cc-by-4.0")

LIMITS = (
    "It takes no text, style or melody, and makes what its recordings are like: what is not in them it cannot play. Songs "
    "may be like those recordings; `mp3net evaluate` looks for copies."
)


def export_hub(model: MP3net, folder: Path, report: Path | None = None) -> list[str]:
    """Write `folder`; returns the names of its files. `report`: the report.json of an evaluation, for the card.

    `MP3net.from_pretrained(folder)` opens it, and so does its name once it is uploaded.
    Errors: Mp3netError if the folder exists and is not empty, or the report is none.
    """
    assert model.snapshot is not None
    readings = _readings(report, model.snapshot.digest) if report is not None else []
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
            for seed in SOUND_SEEDS:
                model.generate(seed, duration_s).save(unfinished / "sounds" / f"seed-{seed}.ogg")
            write_text(unfinished / "README.md", card(model.snapshot, folder.name, readings))
            return sorted(str(path.relative_to(unfinished)) for path in unfinished.rglob("*") if path.is_file())
    except OSError as error:
        raise Mp3netError(f"{folder}: cannot be written: {error.strerror}") from None


def card(snapshot: Snapshot, name: str, readings: list[str]) -> str:
    """The model card, Markdown with the hub's head."""
    config, metadata = snapshot.config, snapshot.metadata
    licence = str(metadata.get("licence", ""))
    known = next((one for one in LICENCES if licence.lower().startswith(one)), "other")
    head = ["---", f"license: {known}", "library_name: mp3net", "tags:", "- music", "- audio", "- gan", "- mp3net", "---"]
    title = str(metadata.get("name", name))
    length = ", duration_s=20" if config.model.kind == "mp3net2" else ""
    use = [
        "```python", "from mp3net import MP3net", "",
        f'song = MP3net.from_pretrained("OWNER/{name}").generate(seed=7{length})  # or the path of this folder',
        'song.save("song.flac")', "```",
    ]  # fmt: skip
    sounds = [f"- [seed {seed}](sounds/seed-{seed}.ogg)" for seed in SOUND_SEEDS]
    evaluated = (
        "\n".join(readings)
        if readings
        else "No report was given: `mp3net evaluate` writes one, and `mp3net export --format hub --report` puts it here."
    )
    data = metadata.get("data", "not stated: say here which recordings, and whose they are")
    sections = [
        "\n".join(head),
        f"# {title}",
        _what(config),
        "\n".join(use),
        "## Sounds\n\n" + "\n".join(sounds),
        f"## Data and licence\n\nTrained on: {data}\n\n"
        f"Licence: {licence or 'not stated: say here what others may do with the weights'}",
        "## Training\n\n" + _training(config, metadata),
        "## How good it is\n\n" + evaluated,
        f"## What it cannot do\n\n{LIMITS}",
        f"## How it was made\n\nWith mp3net (arXiv 2101.04785). Weights: `{snapshot.digest}`; settings: `config.json`.",
    ]
    return "\n\n".join(sections) + "\n"


def _what(config: Config) -> str:
    audio = config.audio
    length = "of any length" if config.model.kind == "mp3net2" else f"of {config.song_samples / audio.sample_rate_hz:.1f} s"
    return (
        f"Makes music {length}, {audio.sample_rate_hz} Hz {mono_or_stereo(audio.channels)}, from one number, its seed: a "
        f"GAN over MDCT coefficients ({audio.num_bins} bins, family `{config.model.kind}`, {config.model.sizes})."
    )


def _training(config: Config, metadata: dict[str, Any]) -> str:
    facts: dict[str, Any] = {
        "tracks seen": f"{metadata['tracks_seen']:,}" if isinstance(metadata.get("tracks_seen"), int) else None
    }
    facts |= {
        "recipe": metadata.get("recipe"),
        "hours": metadata.get("training_hours"),
        "cores": metadata.get("training_cores"),
    }
    facts |= {"batch": config.optimiser.batch_size, "learning rate": config.optimiser.learning_rate}
    return "\n".join(f"- {name}: {value}" for name, value in facts.items() if value is not None)


def _readings(report: Path, digest: str) -> list[str]:
    """Lines of a table: every metric beside other real recordings. Errors: Mp3netError if the file is no report, or one of
    other weights."""
    content = read_json(report)
    try:
        judged = content["candidate"].get("weights")
        rows = [
            (found["meaning"], _interval(found), _interval(found["floor"]), found["unit"], found["place"])
            for found in content["metrics"].values()
        ]
    except (KeyError, TypeError, AttributeError):
        raise Mp3netError(f"{report}: is no report of `mp3net evaluate`, which writes report.json") from None
    if judged not in (None, digest):
        raise Mp3netError(f"{report}: judges the weights {judged}, and these are {digest}; evaluate this snapshot")
    head = [
        "| metric | this model | other real recordings | unit | place on the ladder of faults |",
        "|---|---|---|---|---|",
    ]
    return head + [f"| {' | '.join(row)} |" for row in rows]


def _interval(score: dict[str, Any]) -> str:
    value = score["value"]
    return f"{value['value']:.3g} ({value['low']:.3g} to {value['high']:.3g})"
