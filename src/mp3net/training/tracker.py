"""Where numbers, sounds and pictures of a run go: metrics.jsonl always, and TensorBoard beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from torch.utils.tensorboard import SummaryWriter


class Tracker:
    """Writes to a run directory. On resuming at `tracks_seen`, later lines of an interrupted run are dropped."""

    def __init__(self, run: Path, tracks_seen: int) -> None:
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
                break  # the line that a kill cut short, and nothing after it
        partial = self.metrics_path.with_suffix(".partial")
        partial.write_text("".join(kept), encoding="utf-8")
        partial.replace(self.metrics_path)

    def scalars(self, tracks_seen: int, values: dict[str, float]) -> None:
        """One line of metrics.jsonl, and one point per TensorBoard curve."""
        self._file.write(json.dumps({"tracks_seen": tracks_seen, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, tracks_seen)

    def audio(self, tracks_seen: int, name: str, audio: np.ndarray, sample_rate_hz: int) -> None:
        """Audio (C, S); TensorBoard plays mono only, so the channels are averaged."""
        mono = audio.mean(0)
        self._board.add_audio(name, mono / max(1.0, float(np.abs(mono).max())), tracks_seen, sample_rate_hz)

    def image(self, tracks_seen: int, name: str, pixels: np.ndarray) -> None:
        """Pixels (height, width, 3), uint8."""
        self._board.add_image(name, pixels, tracks_seen, dataformats="HWC")

    def close(self) -> None:
        self._file.close()
        self._board.close()
