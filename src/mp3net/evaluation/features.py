"""Features of clip sets: computed once in a single pass, kept beside the dataset, and reused by the next evaluation."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from mp3net.errors import Mp3netError
from mp3net.evaluation.clips import ClipSet
from mp3net.evaluation.embeddings import Embedding, LogMel, Timbre
from mp3net.evaluation.notes import Notes
from mp3net.evaluation.pairs import excerpts
from mp3net.evaluation.spectrum import Features, spectrum_features
from mp3net.evaluation.structure import MIN_CLIP_S, structure_features
from mp3net.files import replacing

# Increase it whenever a feature, a rung or the drawing of clips changes, so that older files are ignored.
ANALYSIS_VERSION = 3
DEFAULT_MEASURES = ("spectrum", "logmel", "timbre", "notes", "structure", "pairs", "memorisation")
MEASURES = (*DEFAULT_MEASURES, "piano")
MAX_BATCH = 16
MAX_BATCH_SAMPLES = 4_000_000

Extractor = Callable[[np.ndarray, int], Features]


def build_extractors(
    measures: Iterable[str], clip_s: float, required: bool, custom: Iterable[Embedding] = ()
) -> tuple[dict[str, Extractor], dict[str, str]]:
    """Extractors by name, and the reason for each measure that is left out.

    A missing package is such a reason, or raises Mp3netError if the measure was requested by name (`required`).
    """
    extractors: dict[str, Extractor] = {}
    left_out: dict[str, str] = {}
    makers: dict[str, Callable[[], Extractor]] = {
        "spectrum": lambda: spectrum_features,
        "logmel": lambda: _points(LogMel()),
        "timbre": lambda: _points(Timbre()),
        "notes": lambda: Notes(),
        "structure": lambda: structure_features,
        "pairs": lambda: excerpts,
    }
    for name in measures:
        if name == "structure" and clip_s < MIN_CLIP_S:
            left_out[name] = f"needs clips of {MIN_CLIP_S:g} s or more, these last {clip_s:.2f} s"
        elif name in makers:
            try:
                extractors[name] = makers[name]()
            except Mp3netError as error:
                if required:
                    raise
                left_out[name] = str(error)
    for embedding in custom:
        extractors[embedding.name] = _points(embedding)
    return extractors, left_out


def _points(embedding: Embedding) -> Extractor:
    return lambda audio, rate: {"embedding": embedding(audio, rate)}


class FeatureStore:
    """Files of features, one per clip set and extractor; arrays only, never pickles."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Mp3netError(f"{folder}: the cache of features cannot be made: {error.strerror}; name a --cache") from None

    def path(self, identity: str, kind: str, ending: str = "npz") -> Path:
        digest = hashlib.sha256(f"{ANALYSIS_VERSION}/{kind}/{identity}".encode()).hexdigest()[:24]
        return self.folder / f"{kind}-{digest}.{ending}"

    def load(self, identity: str, kind: str) -> Features | None:
        path = self.path(identity, kind)
        if not path.exists():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
                return dict(data)
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            return None  # cut short: it is computed again and replaced

    def save(self, identity: str, kind: str, features: Features) -> None:
        path = self.path(identity, kind)
        try:
            with replacing(path, shared=True) as unfinished, unfinished.open("wb") as file:
                np.savez(file, **features)  # type: ignore[arg-type]
        except OSError as error:
            raise Mp3netError(f"{path}: cannot be written: {error.strerror}; name a --cache elsewhere") from None


def batch_size(clips: ClipSet) -> int:
    """Clips at a time: few enough that long ones fit in memory."""
    return max(1, min(MAX_BATCH, MAX_BATCH_SAMPLES // (clips.form.channels * clips.form.clip_samples)))


def extract(
    clips: ClipSet, extractors: dict[str, Extractor], store: FeatureStore, progress: Callable[[int], None]
) -> Features:
    """Features "extractor/name" of all clips: from the store where available, the rest in one pass over the audio.

    `progress` is called with the number of clips done. Errors: Mp3netError for samples that are not finite.
    """
    out: Features = {}
    missing: dict[str, Extractor] = {}
    for name, extractor in extractors.items():
        kept = store.load(clips.identity, name)
        if kept is None:
            missing[name] = extractor
        else:
            out |= named({name: kept})
    if missing:
        computed = compute(clips, missing, progress)
        for name, features in computed.items():
            store.save(clips.identity, name, features)
        out |= named(computed)
    return out


def named(found: dict[str, Features]) -> Features:
    """Features by extractor -> by "extractor/name"."""
    return {f"{extractor}/{name}": value for extractor, features in found.items() for name, value in features.items()}


def compute(clips: ClipSet, extractors: dict[str, Extractor], progress: Callable[[int], None]) -> dict[str, Features]:
    """Features of all clips by extractor, in one pass over the audio."""
    count = clips.distinct
    parts: dict[str, list[Features]] = {name: [] for name in extractors}
    for first in range(0, count, batch_size(clips)):
        last = min(first + batch_size(clips), count)
        audio = clips.batch(first, last)
        for name, extractor in extractors.items():
            parts[name].append(extractor(audio, clips.form.sample_rate_hz))
        progress(last)
    rows = np.arange(len(clips)) % count
    return {
        name: {key: np.concatenate([part[key] for part in several])[rows] for key in several[0]}
        for name, several in parts.items()
    }
