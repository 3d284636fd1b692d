"""The training loop: when to compute, report, save and stop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mp3net.config import Config
from mp3net.data.dataset import CropDataset
from mp3net.errors import Mp3netError
from mp3net.model.batch import WholeBatch
from mp3net.model.snapshot import Snapshot
from mp3net.training.checkpoint import RunDirectory
from mp3net.training.levels import measure_bin_levels
from mp3net.training.listening import Listening
from mp3net.training.loader import BatchLoader
from mp3net.training.music import measure_music
from mp3net.training.parallel import Ranks, check_division
from mp3net.training.progress import Clock, Means
from mp3net.training.state import TrainingState, build_state
from mp3net.training.steps import Steps
from mp3net.training.tracker import Tracker
from mp3net.training.verdict import FIRST_TRACKS
from mp3net.training.watcher import Watcher


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `checkpoint` is None if there is no run directory."""

    tracks_seen: int
    finished: bool
    checkpoint: Path | None


class DivergedError(Mp3netError):
    """A loss or a weight is no longer finite."""


class _LeftError(Exception):
    """The training was asked to stop while it evaluated."""


class Trainer:
    """Trains a configuration on a dataset in a run directory, resuming from its newest checkpoint.

    Each of several processes (`ranks`) computes its share of every batch; the first one reads and writes the run directory.
    `heldout` holds the crops that evaluations during training compare with; a fresh run starts from `init_from`, if given.
    `problems` says what was wrong with checkpoints newer than the one that was restored.
    """

    def __init__(
        self,
        config: Config,
        dataset: CropDataset,
        run_directory: RunDirectory | None,
        device: torch.device,
        heldout: CropDataset | None = None,
        ranks: Ranks | None = None,
        init_from: Snapshot | None = None,
    ) -> None:
        self.config = config
        self.dataset = dataset
        self.run_directory = run_directory
        self.device = device
        self.ranks = ranks or Ranks()
        check_division(config, self.ranks)
        self.problems: list[str] = []
        self.state = self._begun(init_from)
        self.loader = BatchLoader(dataset, config, device, self.ranks)
        self.steps = Steps(self.state, self.loader, device, self.ranks)
        self.listening = Listening(self.state, self.steps.objective, dataset, heldout, self._unless_asked_to_stop)
        self.stop_requested = False

    def _begun(self, init_from: Snapshot | None) -> TrainingState:
        """The state from the newest checkpoint or the snapshot, or a fresh one; the same in all processes."""
        state = build_state(self.config, self.device, WholeBatch(self.ranks.count, self.ranks.sum))
        restored = None
        if self.run_directory is not None:
            restored, self.problems = self.run_directory.restore(state)
        if restored is None and init_from is not None:
            state.begin_with(init_from)
        elif restored is None and self.config.model.calibrated and self.ranks.first:
            state.networks.calibrate(measure_bin_levels(self.dataset, self.config))
        if restored is None and self.ranks.first:
            measure_music(self.dataset, self.config, state.networks)
        state.share(self.ranks, self.device)
        return state

    def run(self, *watchers: Watcher) -> Outcome:
        """Train to the configured number of tracks, or until `stop_requested`; either way a checkpoint is saved.

        Errors: Mp3netError if a loss or a weight is not finite, or a checkpoint cannot be written.
        """
        told: list[Watcher] = list(watchers)
        if self.run_directory is not None:  # first, so that what is printed has been written
            tracker = Tracker(self.run_directory.path, self.state.tracks_seen, self.config.audio.sample_rate_hz)
            told.insert(0, tracker)
        try:
            self._loop(told)
        except DivergedError:
            for watcher in told:
                watcher.diverged(self.state.tracks_seen)
            raise
        finally:
            for watcher in told:
                watcher.close()
        kept = self.run_directory.saved()[-1] if self.run_directory is not None else None
        return Outcome(self.state.tracks_seen, self.state.tracks_seen >= self.config.run.total_tracks, kept)

    def _loop(self, watchers: Sequence[Watcher]) -> None:
        run, state = self.config.run, self.state
        clock, means = Clock(state.tracks_seen, run.total_tracks), Means()
        saved = sampled = evaluated = state.tracks_seen if state.tracks_seen else -1
        while state.tracks_seen < run.total_tracks and not self._stopping():
            before = state.tracks_seen
            means.add(self._finite(self.steps.iteration()))
            for watcher in watchers:
                watcher.advanced(state.tracks_seen)
            if self._passed(before, run.log_every_tracks):
                self._log(watchers, clock, means.taken())
            if self._passed(before, run.sample_every_tracks):
                self._sample(watchers)
                sampled = state.tracks_seen
            if self._passed(before, run.checkpoint_every_tracks):
                self._save()  # before the evaluation, which may take minutes: whatever ends it costs no training
                saved = state.tracks_seen
            if self._passed(before, run.evaluate_every_tracks):
                self._evaluate(watchers)
                evaluated = state.tracks_seen
        if not self.stop_requested:  # the end between two intervals is reported too
            if means:
                self._log(watchers, clock, means.taken())
            self._last(watchers, sampled, evaluated)
        if saved != state.tracks_seen:
            self._save()

    def _last(self, watchers: Sequence[Watcher], sampled: int, evaluated: int) -> None:
        seen = self.state.tracks_seen
        if sampled != seen:
            self._sample(watchers)
        if evaluated != seen and seen >= FIRST_TRACKS:  # of a mere try, it would take most of the time
            self._evaluate(watchers)

    def _stopping(self) -> bool:
        """Whether any process was asked to stop; if so, all stop after the same iteration."""
        self.stop_requested = bool(self.ranks.agree(int(self.stop_requested), self.device))
        return self.stop_requested

    def _passed(self, before: int, every: int) -> bool:
        return before // every != self.state.tracks_seen // every

    def _log(self, watchers: Sequence[Watcher], clock: Clock, readings: dict[str, float]) -> None:
        seen = self.state.tracks_seen
        clock.reported(seen)
        rates = {
            "rate/tracks_per_s": clock.rate(),
            "rate/waiting_for_data": self.loader.waited_share(),
            "rate/learning": self.state.generator.optimiser.param_groups[0]["lr"],
        }
        for watcher in watchers:
            watcher.logged(seen, readings | rates)

    def _sample(self, watchers: Sequence[Watcher]) -> None:
        if watchers:
            songs = self.listening.songs()
            real = self.dataset.batch(self.config.optimiser.seed, 0, len(songs)).numpy()
            for watcher in watchers:
                watcher.sampled(self.state.tracks_seen, songs, list(real))

    def _evaluate(self, watchers: Sequence[Watcher]) -> None:
        if watchers and self.config.run.evaluate_samples:
            try:
                readings = self.listening.readings()
            except _LeftError:
                return
            for watcher in watchers:
                watcher.evaluated(self.state.tracks_seen, readings)

    def _unless_asked_to_stop(self) -> None:
        """Leaves an evaluation, since whoever asks a process to stop soon kills it: torchrun, for one, after 30 s."""
        if self.stop_requested:
            raise _LeftError

    def _save(self) -> None:
        broken = [name for name, value in self.state.tensors().items() if not bool(torch.isfinite(value).all())]
        if broken:
            more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
            raise self._diverged(f"non-finite weights in {broken[0]}{more}")
        if self.run_directory is not None:
            self.listening.levels.bring()
            metadata = {"tracks_seen": self.state.tracks_seen, "torch": torch.__version__}
            self.run_directory.save(self.state, metadata)

    def _finite(self, readings: dict[str, float]) -> dict[str, float]:
        broken = [name for name, value in readings.items() if not math.isfinite(value)]
        if broken:
            raise self._diverged(f"{', '.join(broken)} not finite")
        return readings

    def _diverged(self, what: str) -> DivergedError:
        kept = self.run_directory.saved() if self.run_directory is not None else []
        good = f"the last good checkpoint is {kept[-1]}" if kept else "no checkpoint had been saved"
        return DivergedError(
            f"training stopped after {self.state.tracks_seen} tracks: {what}; {good}. Lower "
            "optimiser.learning_rate or raise objective.gradient_penalty_weight in a new run"
        )
