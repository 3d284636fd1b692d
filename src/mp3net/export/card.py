"""The model card: what a snapshot is, on what and how it was trained, how good it is, and what it cannot do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mp3net.config import Config
from mp3net.errors import Mp3netError
from mp3net.files import read_json
from mp3net.model.snapshot import Snapshot
from mp3net.words import mono_or_stereo

# Licences as the hub writes them, by how metadata may begin; anything else is "other" and stands in the text.
LICENCES = ("apache-2.0", "mit", "cc0-1.0", "cc-by-nc-sa-4.0", "cc-by-nc-4.0", "cc-by-sa-4.0", "cc-by-4.0")

LIMITS = (
    "It takes no text, style or melody, and makes what its recordings are like: what is not in them it cannot play. Songs "
    "may be like those recordings; `mp3net evaluate` looks for copies."
)
LADDER = (
    "The last column says how much a difference weighs: the same number was measured of recordings that were spoiled in "
    "known ways, the ladder of faults, and this model's lies between those of these two. It does not say that songs have "
    "their fault. What each metric hears, and the ladder: docs/evaluation.md in the source of mp3net."
)
NO_REPORT = "No report was given: `mp3net evaluate` writes one, and `mp3net export --format hub --report` puts it here."

# Columns of the curve: what the light evaluation of a training finds, and the same for recordings where it has that.
CURVE = {
    "octave flatness": "octave_flatness",
    "kernel distance, log-mel": "kernel_logmel",
    "coverage, log-mel": "coverage_logmel",
    "a classifier's error on pairs": "pair_error",
}
CURVE_ROWS = 12


@dataclass(frozen=True)
class Judged:
    """What was found after so many tracks of so many seconds, and hours of training in all; readings by name."""

    tracks_seen: int
    track_s: float
    hours: float
    readings: Mapping[str, float]


def curve(judged: Sequence[Judged]) -> list[str]:
    """Lines of a table: evaluations along the way, evenly chosen if there are more than CURVE_ROWS, the last one always."""
    every = -(-len(judged) // CURVE_ROWS) or 1
    rows = [
        f"| {each.tracks_seen:,} of {each.track_s:.1f} s | {each.hours:.1f} | "
        f"{' | '.join(_reading(each.readings, name) for name in CURVE.values())} |"
        for each in judged[::-1][::every][::-1]
    ]
    head = [f"| tracks seen | hours | {' | '.join(CURVE)} |", "|" + "---|" * (2 + len(CURVE))]
    return head + rows if rows else []


def _reading(line: Mapping[str, float], name: str) -> str:
    if name not in line:
        return ""
    real = line.get(f"{name}_real")
    return f"{line[name]:.3g}" + (f" (recordings {real:.3g})" if real is not None else "")


@dataclass(frozen=True)
class Card:
    """What a card says beside what the snapshot's own metadata say."""

    snapshot: Snapshot
    name: str
    opened_by: str
    """What `MP3net.from_pretrained` is given, as Python."""
    sounds: Sequence[str] = ()
    """Files beside the card, to be linked."""
    readings: Sequence[str] = ()
    curve: Sequence[str] = ()
    limits: str = LIMITS

    def text(self) -> str:
        """Markdown, with the hub's head."""
        config, metadata = self.snapshot.config, self.snapshot.metadata
        licence = str(metadata.get("licence", ""))
        known = next((one for one in LICENCES if licence.lower().startswith(one)), "other")
        head = [
            "---",
            f"license: {known}",
            "library_name: mp3net",
            "tags:",
            "- music",
            "- audio",
            "- gan",
            "- mp3net",
            "---",
        ]
        length = "duration_s=20, " if config.model.kind == "mp3net2" else ""
        use = [
            "```python", "from mp3net import MP3net", "",
            f"song = MP3net.from_pretrained({self.opened_by}).generate({length}seed=7)",
            'song.save("song.flac")', "```",
        ]  # fmt: skip
        sounds = "\n".join(f"- [{Path(name).stem.replace('-', ' ')}]({name})" for name in self.sounds)
        data = metadata.get("data", "not stated: say here which recordings, and whose they are")
        sections = [
            "\n".join(head),
            f"# {metadata.get('name', self.name)}",
            _what(config),
            "\n".join(use),
            f"## Sounds\n\n{sounds}" if sounds else "",
            f"## Data and licence\n\nTrained on: {data}\n\n"
            f"Licence: {licence or 'not stated: say here what others may do with the weights'}",
            "## Training\n\n" + _training(config, metadata),
            "\n".join(self.curve),
            "## How good it is\n\n" + ("\n".join([*self.readings, "", LADDER]) if self.readings else NO_REPORT),
            f"## What it cannot do\n\n{self.limits}",
            "## How it was made\n\nWith mp3net (arXiv 2101.04785). "
            f"Weights: `{self.snapshot.digest}`; settings: `config.json`.",
        ]
        return "\n\n".join(section for section in sections if section) + "\n"


def _what(config: Config) -> str:
    audio = config.audio
    length = "of any length" if config.model.kind == "mp3net2" else f"of {config.song_samples / audio.sample_rate_hz:.1f} s"
    return (
        f"Makes music {length}, {audio.sample_rate_hz} Hz {mono_or_stereo(audio.channels)}, from one number, its seed: a "
        f"GAN over MDCT coefficients ({audio.num_bins} bins, family `{config.model.kind}`, {config.model.sizes})."
    )


def _training(config: Config, metadata: Mapping[str, Any]) -> str:
    facts: dict[str, Any] = {
        "tracks of the last run": f"{metadata['tracks_seen']:,}" if isinstance(metadata.get("tracks_seen"), int) else None,
        "recipe": metadata.get("recipe"),
        "hours": metadata.get("training_hours"),
        "cores": metadata.get("training_cores"),
        "floating-point operations": metadata.get("training_flop"),
        "batch": config.optimiser.batch_size,
        "learning rate": config.optimiser.learning_rate,
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items() if value is not None)


def readings(report: Path, digest: str) -> list[str]:
    """Lines of a table: every metric beside other real recordings. Errors: Mp3netError if the file is no report, or one of
    other weights."""
    content = read_json(report)
    try:
        judged = content["candidate"].get("weights")
        rows = [
            (f"{found['meaning']} (`{name}`)", _interval(found), _interval(found["floor"]), found["unit"], found["place"])
            for name, found in content["metrics"].items()
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


def _interval(score: Mapping[str, Any]) -> str:
    value = score["value"]
    return f"{value['value']:.3g} ({value['low']:.3g} to {value['high']:.3g})"
