"""What an evaluation found: every metric with its floor, its ladder and its place on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mp3net.evaluation import memorisation
from mp3net.evaluation.clips import ClipSet, RealSets
from mp3net.evaluation.ladder import REAL_AGAIN
from mp3net.evaluation.metrics import Metric
from mp3net.evaluation.spectrum import Features
from mp3net.evaluation.statistics import REPLICATES, Score


@dataclass(frozen=True)
class Result:
    """One metric of the judged clips, with the floor and the ladder."""

    metric: Metric
    score: Score
    ladder: dict[str, Score]  # by rung, "real again" being the floor

    @property
    def floor(self) -> Score:
        return self.ladder[REAL_AGAIN.name]

    @property
    def as_real(self) -> bool:
        """Whether neither the deviation nor the value can be told from the floor's: their intervals overlap."""
        value, floor = self.score.value, self.floor.value
        values_meet = self.metric.one_sided or (value.low <= floor.high and floor.low <= value.high)
        return values_meet and self.score.deviation.low <= self.floor.deviation.high

    @property
    def place(self) -> str:
        """Between which rungs the deviation lies: the first is better, the second worse."""
        if self.as_real:
            what = "no more than real" if self.metric.one_sided else "not told from real"
            return f"{what} (weak here)" if self.unseen else what
        ranked = sorted(self.ladder.items(), key=lambda item: item[1].deviation.value)
        mine = self.score.deviation.value
        better = [name for name, score in ranked if score.deviation.value > mine]
        worse = [name for name, score in ranked if score.deviation.value <= mine]
        if worse and self.ladder[worse[-1]].deviation.value == mine:
            return f"like {worse[-1]}"
        if not better:
            return f"beyond {worse[-1]}"
        return f"between {worse[-1]} and {better[0]}" if worse else f"better than {better[0]}"

    @property
    def unseen(self) -> list[str]:
        """Rungs that the metric claims to tell from real, but does not on this data."""
        return [
            rung
            for rung in self.metric.sees
            if rung in self.ladder and self.ladder[rung].deviation.low <= self.floor.deviation.high
        ]


@dataclass(frozen=True)
class PianoNotes:
    """What the piano transcriber hears in a few clips of a set: notes per second of each, and their mean length."""

    notes_per_s: list[float]
    note_length_s: list[float]


@dataclass(frozen=True)
class Evaluation:
    """Everything that a report shows."""

    candidate: dict[str, Any]
    results: list[Result]
    matches: list[memorisation.Match]
    piano: dict[str, PianoNotes]  # by set; empty unless the measure "piano" was asked for
    copy_threshold: float | None
    left_out: dict[str, str]
    warnings: list[str]
    judged: ClipSet
    real: RealSets
    judged_features: Features
    real_features: Features

    def result(self, name: str) -> Result:
        """The result of a metric by name; KeyError if it was not computed."""
        return {result.metric.name: result for result in self.results}[name]

    def to_json(self) -> dict[str, Any]:
        """Everything but the features as plain data."""
        reference = self.real.reference
        return {
            "format_version": 1,
            "candidate": self.candidate,
            "clips": {
                "per_set": len(self.real.reference),
                "judged": len(self.judged),
                "reference": [list(clip) for clip in zip(reference.sources, reference.positions_s, strict=True)],
                "length_s": self.judged.form.clip_samples / self.judged.form.sample_rate_hz,
                "sample_rate_hz": self.judged.form.sample_rate_hz,
                "channels": self.judged.form.channels,
            },
            "dataset_fingerprint": self.real.fingerprint,
            "interval": f"95 %, {REPLICATES} half-samples by piece, file or seed",
            "warnings": self.warnings,
            "not_computed": self.left_out,
            "metrics": {result.metric.name: _result_json(result) for result in self.results},
            "copy_threshold": self.copy_threshold,
            "nearest_training_passages": [asdict(match) for match in self.matches],
            "piano": {name: asdict(heard) for name, heard in self.piano.items()},
        }


def _result_json(result: Result) -> dict[str, Any]:
    return {
        "group": result.metric.group,
        "meaning": result.metric.meaning,
        "unit": result.metric.unit,
        **asdict(result.score),
        "floor": asdict(result.floor),
        "not_told_from_real": result.as_real,
        "place": result.place,
        "claims_to_see": result.metric.sees,
        "unseen_on_this_data": result.unseen,
        "ladder": {rung: asdict(score) for rung, score in result.ladder.items()},
    }
