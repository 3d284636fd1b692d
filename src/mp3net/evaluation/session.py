"""Judging a model or a folder of audio against a dataset: every metric with floor, interval and place on the ladder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mp3net.data.dataset import check_audio
from mp3net.data.index import read_index
from mp3net.data.storage import LocalStore
from mp3net.errors import Mp3netError
from mp3net.evaluation import memorisation
from mp3net.evaluation.clips import (
    MIN_CLIPS,
    ClipSet,
    FirstClips,
    RealSets,
    folder_set,
    generated_set,
    open_folder,
    real_sets,
)
from mp3net.evaluation.embeddings import Embedding
from mp3net.evaluation.features import DEFAULT_MEASURES, MEASURES, Extractor, FeatureStore, build_extractors, extract
from mp3net.evaluation.ladder import COPIES, REAL_AGAIN, RUNGS, rung_set
from mp3net.evaluation.metrics import FAMILIES, Family, embedding_family
from mp3net.evaluation.pairs import UNITS
from mp3net.evaluation.piano import PIANO_CLIPS, PianoTranscriber
from mp3net.evaluation.result import Evaluation, PianoNotes, Result
from mp3net.evaluation.spectrum import Features
from mp3net.evaluation.statistics import REPLICATES, Estimate, Score, resample
from mp3net.files import read_json, write_json
from mp3net.generation import MP3net

DEFAULT_SAMPLES = 256
CACHE_FOLDER = "evaluation"
LISTED_MATCHES = 20

# What is being done, clips done, clips in total.
Progress = Callable[[str, int, int], None]


def evaluate(
    candidate: MP3net | Path,
    data: Path,
    samples: int = DEFAULT_SAMPLES,
    seconds: float | None = None,
    seed: int = 0,
    measures: Sequence[str] | None = None,
    embeddings: Sequence[Embedding] = (),
    cache: Path | None = None,
    match_level: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Judge a model, or the audio files of a folder, against the dataset `data`.

    `seconds` is the clip length; default: the model's songs, or what most files hold. `match_level` multiplies all files of
    a folder by one gain that gives them the power of the real clips. `measures` names what to compute (default: all but
    "piano" whose packages are installed; the rest is reported); `embeddings` adds your own. Features
    and the ladder are kept in `cache` (default: DATA/evaluation). The same arguments give the same numbers.
    Errors: Mp3netError for too few clips, another sample rate, samples that are not finite, unknown or missing measures.
    """
    wanted = _wanted(measures)
    judged_clips, real = _open_sets(candidate, data, samples, seconds, seed, match_level)
    clip_s = judged_clips.form.clip_samples / judged_clips.form.sample_rate_hz
    extractors, left_out = build_extractors(wanted, clip_s, measures is not None, embeddings)
    transcriber = PianoTranscriber() if "piano" in wanted else None
    _check_not_empty(extractors, wanted, left_out)
    session = _Session(real, extractors, FeatureStore(cache or data / CACHE_FOLDER), seed, progress or _silent)
    families = [*FAMILIES, *(embedding_family(custom.name, custom.name) for custom in embeddings)]
    reference, judged = session.features(real.reference), session.features(judged_clips)
    search = _Search(session, data) if "memorisation" in wanted else None
    if search is not None:
        reference |= search.features(real.reference, exclude_own=True)
        judged |= search.features(judged_clips)
    ladder = session.ladder(families, reference, search)
    scores = session.scores(families, reference, real.reference.units, judged, judged_clips.units)
    metrics = {metric.name: metric for family in families for metric in family.metrics}
    return Evaluation(
        candidate=_describe(candidate),
        results=[Result(metrics[name], score, ladder[name]) for name, score in scores.items() if name in ladder],
        matches=search.matches(judged_clips)[:LISTED_MATCHES] if search is not None else [],
        piano=_hear_piano(session, judged_clips, transcriber) if transcriber is not None else {},
        copy_threshold=search.threshold if search is not None else None,
        left_out=left_out,
        warnings=[*real.warnings, *judged_clips.notes],
        judged=judged_clips,
        real=real,
        judged_features=judged,
        real_features=reference,
    )


def _wanted(measures: Sequence[str] | None) -> tuple[str, ...]:
    wanted = tuple(DEFAULT_MEASURES if measures is None else measures)
    if unknown := sorted(set(wanted) - set(MEASURES)):
        raise Mp3netError(f"unknown measures {', '.join(unknown)}; the measures are: {', '.join(MEASURES)}")
    return wanted


def _check_not_empty(extractors: dict[str, Extractor], wanted: tuple[str, ...], left_out: dict[str, str]) -> None:
    if not extractors and "memorisation" not in wanted:
        reasons = "; ".join(f"{name} {why}" for name, why in left_out.items())
        raise Mp3netError(f"nothing to compute: {reasons or 'no measure but piano was asked for'}")


def _silent(what: str, done: int, total: int) -> None:
    pass


def _describe(candidate: MP3net | Path) -> dict[str, Any]:
    if isinstance(candidate, Path):
        return {"kind": "audio folder", "name": str(candidate)}
    snapshot = candidate.snapshot
    if snapshot is None:
        return {"kind": "model", "name": "unsaved model"}
    return {"kind": "snapshot", "name": str(snapshot.folder), "weights": snapshot.digest, **snapshot.metadata}


def _open_sets(
    candidate: MP3net | Path, data: Path, samples: int, seconds: float | None, seed: int, match_level: bool
) -> tuple[ClipSet, RealSets]:
    """The clips to judge and the real sets, all with the same number, length and rate."""
    config = read_index(data).config
    rate = config.sample_rate_hz
    if isinstance(candidate, Path):
        folder = open_folder(candidate, config)
        clip_samples = folder.usual_samples() if seconds is None else round(seconds * rate)
        available = folder.capacity(clip_samples)
        real = real_sets(data, max(min(samples, available), MIN_CLIPS), clip_samples, seed)
        gain = np.sqrt(mean_power(real.reference) / max(folder.mean_power, 1e-12)) if match_level else 1.0
        judged = folder_set(folder, config, len(real.reference), clip_samples, seed, float(gain))
        if available < samples:
            judged.notes.append(
                f"{len(judged)} clips per set instead of {samples}: the folder holds no more without overlap"
            )
        if match_level:
            judged.notes.append(f"all files were multiplied by {gain:.3g} to match the level of the real clips")
        return judged, real
    check_audio(data, config, candidate.config.audio)
    clip_samples = candidate.song_samples(None) if seconds is None else round(seconds * rate)
    generated_set(candidate, MIN_CLIPS, clip_samples, seed)  # refuses clips that are too long before the data are searched
    real = real_sets(data, samples, clip_samples, seed)
    return generated_set(candidate, len(real.reference), clip_samples, seed), real


def mean_power(clips: ClipSet) -> float:
    """Mean square of all samples of a set."""
    return float(np.mean([np.square(clips.read(index), dtype=np.float64).mean() for index in range(len(clips))]))


class _Session:
    """What every step of one evaluation needs."""

    def __init__(
        self, real: RealSets, extractors: dict[str, Extractor], store: FeatureStore, seed: int, progress: Progress
    ) -> None:
        self.real = real
        self.extractors = extractors
        self.store = store
        self.seed = seed
        self.progress = progress

    def features(self, clips: ClipSet, only: set[str] | None = None) -> Features:
        """Features of all extractors, or of those named in `only`."""
        chosen = {name: extractor for name, extractor in self.extractors.items() if only is None or name in only}
        progress = self.progress
        found = extract(clips, chosen, self.store, lambda done: progress(f"features of {clips.name}", done, len(clips)))
        return found | {UNITS: clips.units[:, None]}

    def scores(
        self, families: Sequence[Family], reference: Features, reference_units: np.ndarray, candidate: Features,
        candidate_units: np.ndarray,
    ) -> dict[str, Score]:  # fmt: skip
        """Scores by metric, of the families whose features are available."""
        scores: dict[str, Score] = {}
        for family in families:
            if family.needs not in reference or family.needs not in candidate:
                continue
            found = resample(family.build(reference, candidate), reference_units, candidate_units, self.seed)
            for metric in family.metrics:
                score = found[metric.name]
                widest = metric.bounds[1] - metric.bounds[0]  # a deviation is a difference of values
                scores[metric.name] = Score(score.value.within(*metric.bounds), score.deviation.within(0.0, widest))
        return scores

    def ladder(self, families: Sequence[Family], reference: Features, search: _Search | None) -> dict[str, dict[str, Score]]:
        """Scores by metric and rung. Kept in the store family by family, so that other measures can be added later."""
        present = [family for family in families if family.needs in reference]
        missing = [family for family in present if not self._ladder_path(family).exists()]
        scores: dict[str, dict[str, Score]] = {}
        for number, rung in enumerate(RUNGS if missing else ()):
            clips = rung_set(rung, self.real, self.seed)
            features = self.features(clips, {family.needs.split("/")[0] for family in missing})
            if search is not None and rung in (REAL_AGAIN, COPIES):
                features |= search.features(clips, exclude_own=rung is REAL_AGAIN)
            self.progress("scores of the ladder", number, len(RUNGS))
            for name, score in self.scores(missing, reference, self.real.reference.units, features, clips.units).items():
                scores.setdefault(name, {})[rung.name] = score
        if missing:
            self.progress("scores of the ladder", len(RUNGS), len(RUNGS))
        for family in missing:
            rows = {metric.name: scores[metric.name] for metric in family.metrics}
            plain = {name: {rung: asdict(score) for rung, score in rungs.items()} for name, rungs in rows.items()}
            write_json(self._ladder_path(family), plain)
        ladder: dict[str, dict[str, Score]] = {}
        for family in present:
            ladder |= _ladder_from_json(read_json(self._ladder_path(family)))
        return ladder

    def _ladder_path(self, family: Family) -> Path:
        names = [metric.name for metric in family.metrics]
        sets = [clips.identity for clips in (self.real.reference, self.real.again, self.real.training)]
        return self.store.path(json.dumps([sets, names, REPLICATES]), "ladder", "json")


class _Search:
    """The search for training passages, and what counts as a copy."""

    def __init__(self, session: _Session, data: Path) -> None:
        self.session = session
        self.index = memorisation.index_training(
            LocalStore(data), lambda done, total: session.progress("training recordings", done, total)
        )
        copies = self.neighbours(rung_set(COPIES, session.real, session.seed), exclude_own=False)
        self.threshold = memorisation.copy_threshold(copies["similarity"])

    def neighbours(self, clips: ClipSet, exclude_own: bool) -> Features:
        """`memorisation.search`, kept in the store."""
        session = self.session
        identity = f"{clips.identity}/{session.real.fingerprint}/{exclude_own}"
        found = session.store.load(identity, "neighbours")
        if found is None:
            found = memorisation.search(
                clips,
                self.index,
                exclude_own,
                lambda done: session.progress(f"neighbours of {clips.name}", done, len(clips)),
            )
            session.store.save(identity, "neighbours", found)
        return found

    def features(self, clips: ClipSet, exclude_own: bool = False) -> Features:
        similarity = self.neighbours(clips, exclude_own)["similarity"]
        return {
            "memorisation/similarity": similarity,
            "memorisation/copied": (similarity >= self.threshold).astype(np.float32),
        }

    def matches(self, clips: ClipSet) -> list[memorisation.Match]:
        return memorisation.matches(clips, self.neighbours(clips, exclude_own=False), self.index)


def _hear_piano(session: _Session, judged: ClipSet, transcriber: Extractor) -> dict[str, PianoNotes]:
    """Transcribe a few judged clips, real clips, and real clips with random signs, which contain no notes."""
    signs = next(rung for rung in RUNGS if rung.name == "random signs")
    heard = {}
    for clips in (session.real.again, judged, rung_set(signs, session.real, session.seed)):
        features = extract(
            FirstClips(clips, PIANO_CLIPS),
            {"piano": transcriber},
            session.store,
            lambda done, name=clips.name: session.progress(f"piano of {name}", done, PIANO_CLIPS),  # type: ignore[misc]
        )
        heard[clips.name] = PianoNotes(features["piano/notes_per_s"].tolist(), features["piano/note_length_s"].tolist())
    return heard


def _ladder_from_json(data: dict[str, dict[str, Any]]) -> dict[str, dict[str, Score]]:
    return {
        name: {rung: Score(Estimate(**score["value"]), Estimate(**score["deviation"])) for rung, score in rungs.items()}
        for name, rungs in data.items()
    }
