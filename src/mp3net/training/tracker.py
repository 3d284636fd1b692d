"""Where a run's numbers, sounds and pictures go: metrics.jsonl, samples/ and TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from mp3net.figures import spectrogram_grid, to_rgb
from mp3net.files import write_text
from mp3net.generation import Song
from mp3net.training.course import DIVERGED
from mp3net.training.watcher import Watcher


class Tracker(Watcher):
    """Writes to a run directory. When resuming at `tracks_seen`, later lines of the interrupted run are dropped."""

    def __init__(self, run: Path, tracks_seen: int, sample_rate_hz: int) -> None:
        self.run = run
        self.sample_rate_hz = sample_rate_hz
        self.metrics_path = run / "metrics.jsonl"
        self._drop_after(tracks_seen)
        self._file = self.metrics_path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=tracks_seen + 1)

    def _drop_after(self, tracks_seen: int) -> None:
        if not self.metrics_path.exists():
            return
        kept = []
        for line in self.metrics_path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["tracks_seen"] <= tracks_seen:
                    kept.append(line + "\n")
            except (ValueError, KeyError):
                break  # a line cut short when the run was killed, and everything after it
        write_text(self.metrics_path, "".join(kept))

    def logged(self, tracks_seen: int, readings: Mapping[str, float]) -> None:
        """One line of metrics.jsonl, and one point per TensorBoard curve."""
        self._file.write(json.dumps({"tracks_seen": tracks_seen, **readings}) + "\n")
        self._file.flush()
        for name, value in readings.items():
            self._board.add_scalar(name, value, tracks_seen)

    evaluated = logged

    def diverged(self, tracks_seen: int) -> None:
        """A line that says so; a run that resumes from an earlier checkpoint drops it."""
        self.logged(tracks_seen, {DIVERGED: 1.0})

    def sampled(self, tracks_seen: int, songs: Sequence[Song], real: Sequence[np.ndarray]) -> None:
        """WAV files; the same songs and a picture of all spectrograms in TensorBoard."""
        folder = self.run / "samples" / f"tracks-{tracks_seen:012d}"
        for song in songs:
            song.save(folder / f"seed-{song.seed}.wav")
            mono = song.audio.mean(0)  # TensorBoard plays mono only
            mono = mono / max(1.0, float(np.abs(mono).max()))
            self._board.add_audio(f"generated/seed-{song.seed}", mono, tracks_seen, self.sample_rate_hz)
        clips = [("real", list(real)), ("generated", [song.audio for song in songs])]
        pixels = to_rgb(spectrogram_grid(clips, self.sample_rate_hz))
        self._board.add_image("spectrograms", pixels, tracks_seen, dataformats="HWC")

    def close(self) -> None:
        self._file.close()
        self._board.close()
