"""How far a training has come: the checkpoints of runs, or snapshots, judged by the same clips.

    python benchmarks/judge.py DATA RUN_OR_SNAPSHOT... [--seconds S] [--clips 128] [--notes] [--piano N] [--csv FILE]
    python benchmarks/judge.py DATA RUN --only 50000,140000 --picture docs/images/second-family.png

Every row compares `--clips` generated clips of fixed seeds with as many held-out ones, without fades and as loud as made:
kernel and Frechet distance and coverage of log-mel embeddings, error of the mean level per bin, octave flatness with its
spread over clips (beside the real clips': the mean alone is fooled by one comb of lines for every song). The first row puts
training clips in the place of generated ones: no model can be asked for more. --notes lets basic-pitch hear 48 of the clips,
--piano N lets transkun hear N. Of a run, every kept checkpoint is judged, or the nearest ones to --only.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import torch

from mp3net.data.dataset import CropDataset
from mp3net.dsp.mdct import imdct, mdct
from mp3net.evaluation.clips import ClipFormat, ClipSet, Slot
from mp3net.evaluation.distribution import Distances, density_and_coverage, frechet_distance, kernel_distance
from mp3net.evaluation.features import build_extractors, compute
from mp3net.evaluation.piano import PianoTranscriber
from mp3net.figures import save_png, spectrogram_grid
from mp3net.generation import MP3net
from mp3net.training.checkpoint import saved_checkpoints

NOTE_CLIPS = 48
PICTURED = 8
FIRST_SEED = 1_000_000
REFERENCE_SEED, FLOOR_SEED = 5, 6


def crops(data: Path, split: str, config, frames: int, count: int, seed: int) -> np.ndarray:
    """Real clips (n, C, S), through the transform like the generated ones."""
    num_bins = config.audio.num_bins
    dataset = CropDataset(data, (frames + 1) * num_bins, split)
    batches = [dataset.batch(seed, first, 1) for first in range(count)]
    return np.concatenate(
        [imdct(mdct(batch, num_bins, config.audio.window, edges="crop"), config.audio.window).numpy() for batch in batches]
    )


def songs(model: MP3net, duration_s: float | None, count: int) -> np.ndarray:
    """Generated clips (n, C, S) without fades."""
    window = model.config.audio.window
    made = []
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        with torch.inference_mode():
            made.append(imdct(model.coefficients(model.latent(seed, duration_s)), window).numpy())
    return np.concatenate(made)


class HeldClips(ClipSet):
    """Clips (n, C, S) in memory."""

    def __init__(self, audio: np.ndarray, rate: int) -> None:
        slots = [Slot(unit, 0) for unit in range(len(audio))]
        super().__init__("clips", ClipFormat(rate, *audio.shape[1:]), slots, [str(unit) for unit in range(len(audio))])
        self.audio = audio

    def read(self, index: int) -> np.ndarray:
        return self.audio[index]


class Judge:
    """Held-out clips, heard once, and what generated clips are beside them."""

    def __init__(self, heldout: np.ndarray, rate: int, notes: bool, piano_clips: int) -> None:
        self.rate = rate
        self.extractors = build_extractors(("spectrum", "logmel"), 0.0, required=True)[0]
        self.notes = build_extractors(("notes",), 0.0, required=True)[0] if notes else {}
        self.piano = {"piano": PianoTranscriber()} if piano_clips else {}
        self.piano_clips = piano_clips
        self.real = self._features(heldout, self.extractors)
        self.heldout = heldout

    def _features(self, audio: np.ndarray, extractors):
        return compute(HeldClips(audio, self.rate), extractors, lambda done: None)

    def __call__(self, audio: np.ndarray) -> dict[str, float]:
        found = self._features(audio, self.extractors)
        reference, judged = self.real["logmel"]["embedding"], found["logmel"]["embedding"]
        rows, columns = np.arange(len(reference)), np.arange(len(judged))
        distances = Distances(reference, judged)
        levels = [10 * np.log10(of["spectrum"]["bin_power"].mean(0) + 1e-14) for of in (found, self.real)]
        flatness = found["spectrum"]["octave_flatness"]
        out = {
            "kernel_logmel": kernel_distance(distances, rows, columns),
            "frechet_logmel": frechet_distance(reference, judged),
            "coverage_logmel": density_and_coverage(distances, rows, columns)[1],
            "level_error_db": np.abs(levels[0] - levels[1]).mean(),
            "octave_flatness": flatness.mean(),
            "octave_flatness_spread": flatness.std(),
        }
        return {name: float(value) for name, value in out.items()} | self.heard(audio)

    def heard(self, audio: np.ndarray) -> dict[str, float]:
        """What the transcribers hear, means over their clips."""
        out: dict[str, float] = {}
        if self.notes:
            found = self._features(audio[:NOTE_CLIPS], self.notes)["notes"]
            for name in ("notes_per_s", "confident_share", "polyphony"):
                out[name] = float(found[name].mean())
        if self.piano:
            found = self._features(audio[: self.piano_clips], self.piano)["piano"]
            out["piano_notes_per_s"] = float(found["notes_per_s"].mean())
        return out


def places(path: Path, only: list[int]) -> list[Path]:
    """The checkpoints of a run that are to be judged, or the snapshot itself."""
    found = saved_checkpoints(path)
    if not found or not only:
        return found or [path]
    seen = {int(place.name.rpartition("-")[2]): place for place in found}
    return [seen[min(seen, key=lambda tracks, wanted=wanted: abs(tracks - wanted))] for wanted in only]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, help="length of clips; default: the first model's tracks")
    parser.add_argument("--clips", type=int, default=128)
    parser.add_argument("--only", type=lambda text: [int(part) for part in text.split(",")], default=[])
    parser.add_argument("--notes", action="store_true")
    parser.add_argument("--piano", type=int, default=0, metavar="N")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--picture", type=Path, help="eight real and eight clips of the last model, as spectrograms")
    options = parser.parse_args()
    chosen = [place for model in options.models for place in places(model, options.only)]
    first = MP3net.from_pretrained(chosen[0])
    rate = first.config.audio.sample_rate_hz
    frames = first.latent_frames(options.seconds)
    heldout = crops(options.data, "heldout", first.config, frames, options.clips, REFERENCE_SEED)
    judge = Judge(heldout, rate, options.notes, options.piano)
    training = crops(options.data, "train", first.config, frames, options.clips, FLOOR_SEED)
    rows = [{"model": "training clips", "tracks_seen": 0, **judge(training)}]
    print(rows[0], flush=True)
    audio = heldout
    for place in chosen:
        model = MP3net.from_pretrained(place)
        duration_s = options.seconds if model.config.model.kind != "paper" else None
        audio = songs(model, duration_s, options.clips)[..., : heldout.shape[-1]]
        seen = model.snapshot.metadata.get("tracks_seen", 0) if model.snapshot is not None else 0
        rows.append({"model": place.name, "tracks_seen": seen, **judge(audio)})
        print({key: round(value, 4) if isinstance(value, float) else value for key, value in rows[-1].items()}, flush=True)
    if options.csv is not None:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(
                {key: f"{value:.5g}" if isinstance(value, float) else value for key, value in row.items()} for row in rows
            )
    if options.picture is not None:
        grid = [("real", list(heldout[:PICTURED])), ("generated", list(audio[:PICTURED]))]
        save_png(spectrogram_grid(grid, rate), options.picture)


if __name__ == "__main__":
    main()
