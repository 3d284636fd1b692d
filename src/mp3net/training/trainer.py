"""The training step and the loop around it (paper section 4.2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mp3net.config import Config
from mp3net.data.dataset import CropDataset
from mp3net.dsp.mdct import mdct
from mp3net.errors import Mp3netError
from mp3net.evaluation.light import LightEvaluation
from mp3net.figures import spectrogram_grid, to_rgb
from mp3net.generation import MP3net
from mp3net.model.batch import WholeBatch
from mp3net.model.build import Discriminator, Generator, build_networks
from mp3net.model.snapshot import Snapshot
from mp3net.training.checkpoint import RunDirectory, TrainingState
from mp3net.training.ema import EMA
from mp3net.training.levels import measure_bin_levels
from mp3net.training.loader import CropLoader
from mp3net.training.objectives.base import Backward, Terms
from mp3net.training.objectives.build import build_objective
from mp3net.training.objectives.draws import (
    DISCRIMINATOR_STREAM,
    GENERATOR_STREAM,
    INIT_STREAM,
    TrackDraws,
    addressed_generator,
)
from mp3net.training.optimiser import KerasAdam
from mp3net.training.parallel import Ranks, check_division
from mp3net.training.progress import Clock, format_duration
from mp3net.training.schedule import factor_at
from mp3net.training.tracker import Tracker

SAMPLE_SEEDS = (1, 2, 3, 4)


def build_state(config: Config, device: torch.device, whole_batch: WholeBatch | None = None) -> TrainingState:
    """Fresh networks, initialised from the configuration's seed, with their optimisers and averaged weights."""
    settings = config.optimiser
    source = addressed_generator(settings.seed, 0, INIT_STREAM, torch.device("cpu"))
    networks = build_networks(config, whole_batch)
    for network in (networks.generator, networks.discriminator):
        network.initialise(source)
        network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        network.checkpointing = config.run.activation_checkpointing
    betas = (settings.beta1, settings.beta2)
    return TrainingState(
        networks,
        KerasAdam(networks.generator.parameters(), settings.learning_rate, betas),
        KerasAdam(networks.discriminator.parameters(), settings.learning_rate, betas),
        EMA(networks.generator, settings.ema_half_life_tracks),
    )


def check_start(snapshot: Snapshot, config: Config) -> None:
    """Refuse to begin with networks of another family or another kind of audio. Errors: Mp3netError."""
    theirs, ours = snapshot.config, config
    if theirs.model.kind != ours.model.kind:
        raise Mp3netError(
            f"{snapshot.folder}: its networks are of the family {theirs.model.kind}, this preset's of {ours.model.kind}; "
            "choose a --preset of the same family"
        )
    if theirs.audio != ours.audio:
        described = [
            f"{audio.sample_rate_hz} Hz, {audio.channels} channel(s), {audio.num_bins} bins, window {audio.window}"
            for audio in (theirs.audio, ours.audio)
        ]
        raise Mp3netError(
            f"{snapshot.folder}: its audio ({described[0]}) is not that of this configuration ({described[1]}); choose a "
            "--preset with the same"
        )


@dataclass(frozen=True)
class Outcome:
    """How a training ended."""

    tracks_seen: int
    finished: bool
    checkpoint: str


class Trainer:
    """Runs a configuration on a dataset in a run directory, from wherever its newest checkpoint stands.

    One of several processes (`ranks`) computes its share of every batch; the first one reads and writes the run directory.
    """

    def __init__(
        self,
        config: Config,
        dataset: CropDataset,
        run: RunDirectory | None,
        device: torch.device,
        say: Callable[[str], None],
        heldout: CropDataset | None = None,
        ranks: Ranks | None = None,
        init_from: Snapshot | None = None,
    ) -> None:
        self.config = config
        self.dataset = dataset
        self.run_directory = run
        self.device = device
        self.say = say
        self.ranks = ranks or Ranks()
        check_division(config, self.ranks)
        self.state = build_state(config, device, WholeBatch(self.ranks.count, self.ranks.sum))
        self.resumed_from: Path | None = None
        if run is not None:
            self.resumed_from, problems = run.restore(self.state)
            for problem in problems:
                say(f"warning: {problem}")
        if init_from is not None and self.resumed_from is None:
            self._init_from(init_from)
        elif self.resumed_from is None and config.model.calibrated and self.ranks.first:  # the others take its state
            self.state.networks.calibrate(measure_bin_levels(dataset, config))
        self._share_state()
        self.objective = build_objective(config, self.state.networks, device)
        self.loader = CropLoader(dataset, config.optimiser.seed, device, keep=len(self.micro_batches()))
        self.judge_crops = heldout if heldout is not None else dataset
        self._judge: LightEvaluation | None = None
        self.stop_requested = False

    def _init_from(self, snapshot: Snapshot) -> None:
        """Begin with the networks of a snapshot; its generator is the averaged one."""
        check_start(snapshot, self.config)
        snapshot.load_generator(self.state.networks.generator)
        snapshot.load_discriminator(self.state.networks.discriminator)
        self.state.ema = EMA(self.state.networks.generator, self.config.optimiser.ema_half_life_tracks)

    def _share_state(self) -> None:
        """Every process takes the first one's state."""
        if self.ranks.count == 1:
            return
        state = self.state
        state.tracks_seen = self.ranks.agree(state.tracks_seen if self.ranks.first else 0, self.device)
        if state.tracks_seen and not self.ranks.first:
            for network, optimiser in (
                (state.networks.generator, state.generator_optimiser),
                (state.networks.discriminator, state.discriminator_optimiser),
            ):
                optimiser.prepare_moments(self.trainable(network))
        self.ranks.broadcast(state.tensors().values(), self.device)

    def trainable(self, network: Generator | Discriminator) -> list[nn.Parameter]:
        """The parameters that training changes: all, or those of the blocks nearest to the audio."""
        last = self.config.optimiser.train_last_blocks
        parts = [network] if last is None else network.blocks_near_audio(last)
        return [parameter for part in parts for parameter in part.parameters()]

    def real_batch(self, tracks: range) -> Tensor:
        """Coefficients (B, C, T, F) of the crops of some tracks, transformed on the device."""
        audio = self.config.audio
        crops = self.loader.batch(tracks, self._following(tracks))
        return mdct(crops, audio.num_bins, audio.window, edges="crop")

    def _following(self, tracks: range) -> range | None:
        """The tracks that this process will need after these."""
        portions = self.micro_batches()
        if tracks not in portions:
            return None
        first, batch = portions[0], self.config.optimiser.batch_size
        return [*portions, range(first.start + batch, first.stop + batch)][portions.index(tracks) + 1]

    def micro_batches(self) -> list[range]:
        """The tracks of this process's share of the next batch, in the portions that are computed at a time."""
        mine = self.ranks.share(self.config.optimiser.batch_size)
        size = self.config.run.micro_batch_size or len(mine)
        first = self.state.tracks_seen
        return [
            range(first + start, first + min(start + size, mine.stop)) for start in range(mine.start, mine.stop, size)
        ]

    def discriminator_gradients(
        self, portions: list[range] | None = None, step: int | None = None
    ) -> dict[str, Tensor]:
        """Leave the gradients of the discriminator's loss on the next batch in its parameters; returns the terms.

        To measure: on `portions` instead, or as if so many steps had been made."""
        return self._gradients(
            self.objective.discriminator, DISCRIMINATOR_STREAM, self.state.networks.discriminator, portions, step
        )

    def generator_gradients(self) -> dict[str, Tensor]:
        """Leave the gradients of the generator's loss in its parameters; returns the terms."""
        return self._gradients(self.objective.generator, GENERATOR_STREAM, self.state.networks.generator)

    def _gradients(
        self,
        losses: Callable[[Tensor, TrackDraws, Backward], Terms],
        stream: int,
        network: Generator | Discriminator,
        portions: list[range] | None = None,
        step: int | None = None,
    ) -> dict[str, Tensor]:
        """Gradients of the mean over the whole batch, added up over micro-batches and processes; terms likewise."""
        for each in (self.state.networks.generator, self.state.networks.discriminator):
            each.requires_grad_(False)
            each.zero_grad(set_to_none=True)
        parameters = self.trainable(network)
        for parameter in parameters:
            parameter.requires_grad_(True)
        settings = self.config.optimiser
        seen = self.state.tracks_seen if step is None else step * settings.batch_size
        totals: dict[str, Tensor] = {}
        for tracks in portions or self.micro_batches():
            weight = len(tracks) / settings.batch_size

            def backward(loss: Tensor, weight: float = weight) -> None:
                (loss * weight).backward()  # type: ignore[no-untyped-call]

            draws = TrackDraws(settings.seed, tracks, stream, self.device, seen)
            for name, value in losses(self.real_batch(tracks), draws, backward).items():
                totals[name] = totals.get(name, 0) + value * weight
        self.ranks.sum_gradients(parameters)
        summed = self.ranks.sum(torch.stack(list(totals.values())))
        return dict(zip(totals, summed.unbind(), strict=True))

    def discriminator_step(self) -> dict[str, Tensor]:
        terms = self.discriminator_gradients()
        self._set_learning_rate(self.state.discriminator_optimiser)
        self.state.discriminator_optimiser.step()
        self.state.tracks_seen += self.config.optimiser.batch_size
        return terms

    def generator_step(self) -> dict[str, Tensor]:
        state = self.state
        terms = self.generator_gradients()
        self._set_learning_rate(state.generator_optimiser)
        state.generator_optimiser.step()
        tracks = self.config.optimiser.batch_size * self.config.objective.discriminator_steps
        state.ema.update(tracks, state.tracks_seen)
        return terms

    def _set_learning_rate(self, optimiser: KerasAdam) -> None:
        settings = self.config.optimiser
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * factor_at(settings.learning_rate_schedule, self.state.tracks_seen)

    def iteration(self) -> dict[str, float]:
        """n discriminator steps and one generator step. Returns the last values of all named terms.

        Errors: Mp3netError when a loss is not finite.
        """
        terms: dict[str, Tensor] = {}
        for _ in range(self.config.objective.discriminator_steps):
            terms |= self.discriminator_step()
        terms |= self.generator_step()
        values = self.objective.readings({name: float(value) for name, value in terms.items()})
        broken = [name for name, value in values.items() if not math.isfinite(value)]
        if broken:
            raise Mp3netError(self._diverged(f"{', '.join(broken)} not finite"))
        return values

    def _diverged(self, what: str) -> str:
        kept = self.run_directory.saved() if self.run_directory is not None else []
        good = f"the last good checkpoint is {kept[-1]}" if kept else "no checkpoint had been saved"
        return (
            f"training stopped after {self.state.tracks_seen} tracks: {what}; {good}. Lower "
            "optimiser.learning_rate or raise objective.gradient_penalty_weight in a new run"
        )

    def forget_gradients(self) -> None:
        for network in (self.state.networks.generator, self.state.networks.discriminator):
            network.zero_grad(set_to_none=True)

    @contextmanager
    def checkpointing(self) -> Iterator[None]:
        """Inside, activations are computed again instead of kept."""
        networks: tuple[Generator | Discriminator, ...] = (
            self.state.networks.generator,
            self.state.networks.discriminator,
        )
        before = [network.checkpointing for network in networks]
        for network in networks:
            network.checkpointing = True
        try:
            yield
        finally:
            for network, value in zip(networks, before, strict=True):
                network.checkpointing = value

    def run(self, advance: Callable[[int], None] = lambda tracks_seen: None) -> Outcome:
        """Train to the configured number of tracks, or until `stop_requested`; both end with a checkpoint.

        `advance` is told the tracks seen after every iteration.
        """
        tracker = Tracker(self.run_directory.path, self.state.tracks_seen) if self.run_directory is not None else None
        try:
            self._loop(tracker, advance)
        finally:
            if tracker is not None:
                tracker.close()
        kept = str(self.run_directory.saved()[-1]) if self.run_directory is not None else ""
        return Outcome(self.state.tracks_seen, self.state.tracks_seen >= self.config.run.total_tracks, kept)

    def _loop(self, tracker: Tracker | None, advance: Callable[[int], None]) -> None:
        run, state = self.config.run, self.state
        clock = Clock(state.tracks_seen, run.total_tracks)
        saved = sampled = state.tracks_seen if state.tracks_seen else -1
        sums: dict[str, list[float]] = {}
        while state.tracks_seen < run.total_tracks and not self._stopping():
            before = state.tracks_seen
            for name, value in self.iteration().items():
                sums.setdefault(name, []).append(value)
            advance(state.tracks_seen)
            if self._crossed(before, run.log_every_tracks):
                self._log(tracker, clock, _means(sums))
                sums = {}
            if self._crossed(before, run.sample_every_tracks):
                self._sample(tracker)
                sampled = state.tracks_seen
            if self._crossed(before, run.evaluate_every_tracks):
                self._evaluate(tracker)
            if self._crossed(before, run.checkpoint_every_tracks):
                self._save()
                saved = state.tracks_seen
        if sums and not self.stop_requested:  # the end of a run shorter than its intervals is reported too
            self._log(tracker, clock, _means(sums))
        if sampled != state.tracks_seen and not self.stop_requested:
            self._sample(tracker)
        if saved != state.tracks_seen:
            self._save()

    def _stopping(self) -> bool:
        """Whether any process was asked to stop: then all stop after the same iteration."""
        self.stop_requested = bool(self.ranks.agree(int(self.stop_requested), self.device))
        return self.stop_requested

    def _crossed(self, before: int, every: int) -> bool:
        return before // every != self.state.tracks_seen // every

    def _save(self) -> None:
        broken = [name for name, value in self.state.tensors().items() if not bool(torch.isfinite(value).all())]
        if broken:
            raise Mp3netError(self._diverged(f"non-finite weights in {broken[0]} and {len(broken) - 1} more"))
        metadata = {"tracks_seen": self.state.tracks_seen, "torch": torch.__version__}
        if self.run_directory is not None:
            self.run_directory.save(self.state, metadata)

    def _log(self, tracker: Tracker | None, clock: Clock, values: dict[str, float]) -> None:
        if tracker is None:
            return
        seen = self.state.tracks_seen
        values |= clock.rates(seen)
        values["rate/waiting_for_data"] = self.loader.waited_share()
        values["rate/learning"] = self.state.generator_optimiser.param_groups[0]["lr"]
        tracker.scalars(seen, values)
        self.say(
            f"{seen:>9,}/{self.config.run.total_tracks:,} tracks  {values['rate/tracks_per_s']:.3g}/s  "
            f"left {format_duration(clock.left_s(seen))}  {self.objective.summary(values)}"
        )

    def _evaluate(self, tracker: Tracker | None) -> None:
        """Light metrics of the averaged weights, beside those of held-out recordings."""
        samples = self.config.run.evaluate_samples
        if tracker is None or not samples:
            return
        with self.state.ema.swap():
            model = MP3net(self.state.networks.generator, self.config, self.config.optimiser.precision)
            if self._judge is None:
                self._judge = LightEvaluation(
                    self.judge_crops, model.song_samples(None), samples, self.config.optimiser.seed
                )
            values = self._judge(model)
        tracker.scalars(self.state.tracks_seen, values)
        self.say(
            f"          evaluation of {samples} songs: octave flatness "
            f"{values['evaluation/octave_flatness']:.3f}, spread {values['evaluation/octave_flatness_spread']:.3f} "
            f"(real {values['evaluation/octave_flatness_real']:.3f}, "
            f"{values['evaluation/octave_flatness_spread_real']:.3f})  "
            f"level error {values['evaluation/level_error_db']:.1f} dB  "
            f"kernel distance {values['evaluation/kernel_logmel']:.2f}  "
            f"coverage {values['evaluation/coverage_logmel']:.2f}  hum {values['evaluation/checkerboard_db']:.1f} dB"
        )

    def _sample(self, tracker: Tracker | None) -> None:
        """Songs of fixed seeds with the averaged weights, through the code that users call."""
        if tracker is None or self.run_directory is None:
            return
        seen = self.state.tracks_seen
        with self.state.ema.swap():
            model = MP3net(self.state.networks.generator, self.config, self.config.optimiser.precision)
            songs = [model.generate(seed) for seed in SAMPLE_SEEDS]
        folder = self.run_directory.path / "samples" / f"tracks-{seen:012d}"
        for song in songs:
            song.save(folder / f"seed-{song.seed}.wav")
            tracker.audio(seen, f"generated/seed-{song.seed}", song.audio, song.sample_rate_hz)
        reals = list(self.dataset.batch(self.config.optimiser.seed, 0, len(songs)).numpy())
        clips = [("real", reals), ("generated", [song.audio for song in songs])]
        tracker.image(seen, "spectrograms", to_rgb(spectrogram_grid(clips, self.config.audio.sample_rate_hz)))


def _means(sums: dict[str, list[float]]) -> dict[str, float]:
    return {name: sum(values) / len(values) for name, values in sums.items()}
