"""The training step and the loop around it (paper section 4.2)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mp3net.config import Config
from mp3net.data.dataset import CropDataset
from mp3net.dsp.mdct import mdct
from mp3net.dsp.psychoacoustics import Psychoacoustics, tonality
from mp3net.errors import Mp3netError
from mp3net.evaluation.light import LightEvaluation
from mp3net.figures import spectrogram_grid, to_rgb
from mp3net.generation import MP3net
from mp3net.model.discriminator import Discriminator
from mp3net.model.generator import Generator
from mp3net.model.layers import initialise
from mp3net.training import losses
from mp3net.training.checkpoint import RunDirectory, TrainingState
from mp3net.training.ema import EMA
from mp3net.training.optimiser import KerasAdam
from mp3net.training.tracker import Tracker

SAMPLE_SEEDS = (1, 2, 3, 4)
# Purposes of random numbers: each has its own stream at every count of tracks seen.
INIT_STREAM, DISCRIMINATOR_STREAM, GENERATOR_STREAM = range(3)


def addressed_generator(seed: int, tracks_seen: int, stream: int, device: torch.device) -> torch.Generator:
    """Random numbers addressed by (seed, tracks seen, stream): nothing to save, the same after a resume."""
    words = np.random.SeedSequence([seed, tracks_seen, stream]).generate_state(2, np.uint32)
    return torch.Generator(device).manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)


def build_state(config: Config, device: torch.device) -> TrainingState:
    """Fresh networks, initialised from the configuration's seed, with their optimisers and averaged weights."""
    train = config.train
    source = addressed_generator(train.seed, 0, INIT_STREAM, torch.device("cpu"))
    generator = Generator(config.model, config.audio.channels)
    discriminator = Discriminator(config.model, config.audio.channels)
    for network in (generator, discriminator):
        initialise(network, source)
        network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    betas = (train.beta1, train.beta2)
    return TrainingState(
        generator,
        discriminator,
        KerasAdam(generator.parameters(), train.learning_rate, betas),
        KerasAdam(discriminator.parameters(), train.learning_rate, betas),
        EMA(generator, train.ema_half_life_tracks),
    )


class Objective:
    """The two losses of one configuration, as functions of the networks and of addressed random numbers."""

    def __init__(self, config: Config, state: TrainingState, device: torch.device) -> None:
        self.config = config
        self.state = state
        self.device = device
        audio = config.audio
        self.ear = Psychoacoustics(audio.sample_rate_hz, audio.num_bins, grid=config.train.masking_grid).to(device)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.train.precision == "bfloat16")

    def synthesise(self, source: torch.Generator) -> Tensor:
        """Coefficients (B, C, T, F) of a batch of fresh latents."""
        shape = (self.config.train.batch_size, self.config.model.latent_dim)
        with self._autocast():
            fake: Tensor = self.state.generator(torch.randn(shape, generator=source, device=self.device))
        return fake

    def score(self, coefficients: Tensor) -> Tensor:
        with self._autocast():
            scores: Tensor = self.state.discriminator(coefficients)
        return scores

    def disguise(self, coefficients: Tensor, source: torch.Generator) -> Tensor:
        """What the discriminator gets to see: the coefficients with inaudible noise."""
        return self.ear.add_masking_noise(coefficients, source) if self.config.train.masking_noise else coefficients

    def discriminator_terms(self, real: Tensor, source: torch.Generator) -> dict[str, Tensor]:
        """Loss and terms of one discriminator step on real coefficients (B, C, T, F)."""
        with torch.no_grad():
            fake = self.synthesise(source)
            tones = {"tonality/real": tonality(real).mean(), "tonality/generated": tonality(fake).mean()}
            levels = {"level_db/real": _level_db(real), "level_db/generated": _level_db(fake)}
            noised_real, noised_fake = self.disguise(real, source), self.disguise(fake, source)
            share_of_real = torch.rand((len(real), 1, 1, 1), generator=source, device=self.device)
        train = self.config.train
        terms = losses.discriminator_loss(
            self.score, noised_real, noised_fake, share_of_real, train.gradient_penalty_weight, train.drift_weight
        )
        return {**terms, **tones, **levels}

    def generator_terms(self, source: torch.Generator) -> dict[str, Tensor]:
        """Loss of one generator step; gradients pass through the masking threshold."""
        return {"loss/generator": losses.generator_loss(self.score(self.disguise(self.synthesise(source), source)))}


def _level_db(coefficients: Tensor) -> Tensor:
    return 10 * torch.log10(coefficients.square().mean() + 1e-14)


@dataclass(frozen=True)
class Outcome:
    """How a training ended."""

    tracks_seen: int
    finished: bool
    checkpoint: str


class Trainer:
    """Runs a configuration on a dataset in a run directory, from wherever its newest checkpoint stands."""

    def __init__(
        self,
        config: Config,
        dataset: CropDataset,
        run: RunDirectory,
        device: torch.device,
        say: Callable[[str], None],
        heldout: CropDataset | None = None,
    ) -> None:
        self.config = config
        self.dataset = dataset
        self.run_directory = run
        self.device = device
        self.say = say
        self.state = build_state(config, device)
        restored, problems = run.restore(self.state)
        for problem in problems:
            say(f"warning: {problem}")
        self.resumed_from = restored
        self.objective = Objective(config, self.state, device)
        self.judge_crops = heldout if heldout is not None else dataset
        self._judge: LightEvaluation | None = None
        self.stop_requested = False

    def real_batch(self, first_index: int) -> Tensor:
        """Coefficients (B, C, T, F) of the crops first_index ..., transformed on the device."""
        train, audio = self.config.train, self.config.audio
        crops = self.dataset.batch(train.seed, first_index, train.batch_size).to(self.device, non_blocking=True)
        return mdct(crops, audio.num_bins, audio.window, edges="crop")

    def discriminator_step(self) -> dict[str, Tensor]:
        train, state = self.config.train, self.state
        source = addressed_generator(train.seed, state.tracks_seen, DISCRIMINATOR_STREAM, self.device)
        terms = self.objective.discriminator_terms(self.real_batch(state.tracks_seen), source)
        _backward(terms["loss/discriminator"], state.discriminator_optimiser)
        state.discriminator_optimiser.step()
        state.tracks_seen += train.batch_size
        return terms

    def generator_step(self) -> dict[str, Tensor]:
        train, state = self.config.train, self.state
        source = addressed_generator(train.seed, state.tracks_seen, GENERATOR_STREAM, self.device)
        state.discriminator.requires_grad_(False)
        try:
            terms = self.objective.generator_terms(source)
            _backward(terms["loss/generator"], state.generator_optimiser)
        finally:
            state.discriminator.requires_grad_(True)
        state.generator_optimiser.step()
        state.ema.update(train.batch_size * train.discriminator_steps, state.tracks_seen)
        return terms

    def iteration(self) -> dict[str, float]:
        """n discriminator steps and one generator step. Returns the last values of all named terms.

        Errors: Mp3netError when a loss is not finite.
        """
        terms: dict[str, Tensor] = {}
        for _ in range(self.config.train.discriminator_steps):
            terms |= self.discriminator_step()
        terms |= self.generator_step()
        values = {name: float(value.detach()) for name, value in terms.items()}
        broken = [name for name, value in values.items() if not math.isfinite(value)]
        if broken:
            raise Mp3netError(self._diverged(f"{', '.join(broken)} not finite"))
        return values

    def _diverged(self, what: str) -> str:
        kept = self.run_directory.saved()
        good = f"the last good checkpoint is {kept[-1]}" if kept else "no checkpoint had been saved"
        return (
            f"training stopped after {self.state.tracks_seen} tracks: {what}; {good}. Lower train.learning_rate or raise "
            "train.gradient_penalty_weight in a new run"
        )

    def probe_iteration_s(self) -> float:
        """Seconds that one iteration takes, measured by computing gradients that are thrown away (second of two tries)."""
        for _ in range(2):
            started = time.perf_counter()
            source = addressed_generator(0, 0, DISCRIMINATOR_STREAM, self.device)
            for _ in range(self.config.train.discriminator_steps):
                loss = self.objective.discriminator_terms(self.real_batch(0), source)["loss/discriminator"]
                _backward(loss, self.state.discriminator_optimiser)
            _backward(self.objective.generator_terms(source)["loss/generator"], self.state.generator_optimiser)
            duration_s = time.perf_counter() - started
        for optimiser in (self.state.discriminator_optimiser, self.state.generator_optimiser):
            optimiser.zero_grad(set_to_none=True)
        return duration_s

    def run(self) -> Outcome:
        """Train to the configured number of tracks, or until `stop_requested`; both end with a checkpoint."""
        train, state = self.config.train, self.state
        tracker = Tracker(self.run_directory.path, state.tracks_seen)
        clock = _Clock(state.tracks_seen, train.total_tracks)
        saved = sampled = state.tracks_seen if self.resumed_from else -1
        sums: dict[str, list[float]] = {}
        try:
            while state.tracks_seen < train.total_tracks and not self.stop_requested:
                before = state.tracks_seen
                for name, value in self.iteration().items():
                    sums.setdefault(name, []).append(value)
                if self._crossed(before, train.log_every_tracks):
                    self._log(tracker, clock, _means(sums))
                    sums = {}
                if self._crossed(before, train.sample_every_tracks):
                    self._sample(tracker)
                    sampled = state.tracks_seen
                if train.evaluate_samples and self._crossed(before, train.evaluate_every_tracks):
                    self._evaluate(tracker)
                if self._crossed(before, train.checkpoint_every_tracks):
                    self._save()
                    saved = state.tracks_seen
            if sums and not self.stop_requested:  # the end of a run shorter than its intervals is reported too
                self._log(tracker, clock, _means(sums))
            if sampled != state.tracks_seen and not self.stop_requested:
                self._sample(tracker)
            if saved != state.tracks_seen:
                self._save()
        finally:
            tracker.close()
        return Outcome(state.tracks_seen, state.tracks_seen >= train.total_tracks, str(self.run_directory.saved()[-1]))

    def _crossed(self, before: int, every: int) -> bool:
        return before // every != self.state.tracks_seen // every

    def _save(self) -> None:
        broken = [name for name, value in self.state.tensors().items() if not bool(torch.isfinite(value).all())]
        if broken:
            raise Mp3netError(self._diverged(f"non-finite weights in {broken[0]} and {len(broken) - 1} more"))
        metadata = {"tracks_seen": self.state.tracks_seen, "torch": torch.__version__}
        self.run_directory.save(self.state, metadata)

    def _log(self, tracker: Tracker, clock: _Clock, values: dict[str, float]) -> None:
        seen = self.state.tracks_seen
        values |= clock.rates(seen)
        tracker.scalars(seen, values)
        self.say(
            f"{seen:>9,}/{self.config.train.total_tracks:,} tracks  {values['rate/tracks_per_s']:.3g}/s  "
            f"left {format_duration(clock.left_s(seen))}  gap {values['distance/wasserstein']:.3f}  "
            f"penalty {values['penalty/gradient']:.3f}  level {values['level_db/generated']:.1f} dB "
            f"(real {values['level_db/real']:.1f})  tonality {values['tonality/generated']:.3f} "
            f"(real {values['tonality/real']:.3f})"
        )

    def _evaluate(self, tracker: Tracker) -> None:
        """Light metrics of the averaged weights, beside those of held-out recordings."""
        train = self.config.train
        with self.state.ema.swap():
            model = MP3net(self.state.generator, self.config, train.precision)
            song_samples = (self.config.model.num_frames - 1) * self.config.audio.hop_length
            if self._judge is None:
                self._judge = LightEvaluation(self.judge_crops, song_samples, train.evaluate_samples, train.seed)
            values = self._judge(model)
        tracker.scalars(self.state.tracks_seen, values)
        self.say(
            f"          evaluation of {train.evaluate_samples} songs: octave flatness "
            f"{values['evaluation/octave_flatness']:.3f} (real {values['evaluation/octave_flatness_real']:.3f})  "
            f"level error {values['evaluation/level_error_db']:.1f} dB  "
            f"kernel distance {values['evaluation/kernel_logmel']:.2f}  "
            f"coverage {values['evaluation/coverage_logmel']:.2f}  hum {values['evaluation/checkerboard_db']:.1f} dB"
        )

    def _sample(self, tracker: Tracker) -> None:
        """Songs of fixed seeds with the averaged weights, through the code that users call."""
        seen = self.state.tracks_seen
        with self.state.ema.swap():
            model = MP3net(self.state.generator, self.config, self.config.train.precision)
            songs = [model.generate(seed) for seed in SAMPLE_SEEDS]
        folder = self.run_directory.path / "samples" / f"tracks-{seen:012d}"
        for song in songs:
            song.save(folder / f"seed-{song.seed}.wav")
            tracker.audio(seen, f"generated/seed-{song.seed}", song.audio, song.sample_rate_hz)
        reals = list(self.dataset.batch(self.config.train.seed, 0, len(songs)).numpy())
        clips = [("real", reals), ("generated", [song.audio for song in songs])]
        tracker.image(seen, "spectrograms", to_rgb(spectrogram_grid(clips, self.config.audio.sample_rate_hz)))


def _means(sums: dict[str, list[float]]) -> dict[str, float]:
    return {name: sum(values) / len(values) for name, values in sums.items()}


def _backward(loss: Tensor, optimiser: KerasAdam) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]


class _Clock:
    """Rate since the last report, and time left at the rate of the whole run so far."""

    def __init__(self, tracks_seen: int, total_tracks: int) -> None:
        self.total_tracks = total_tracks
        self.first = self.last = (time.monotonic(), tracks_seen)

    def rates(self, tracks_seen: int) -> dict[str, float]:
        now = time.monotonic()
        rate = (tracks_seen - self.last[1]) / max(now - self.last[0], 1e-9)
        self.last = (now, tracks_seen)
        return {"rate/tracks_per_s": rate}

    def left_s(self, tracks_seen: int) -> float:
        elapsed_s = time.monotonic() - self.first[0]
        return elapsed_s / max(tracks_seen - self.first[1], 1) * (self.total_tracks - tracks_seen)


def format_duration(seconds: float) -> str:
    """Seconds as "45 s", "12 min", "3.4 h" or "2.1 days"."""
    for size, unit in ((86400, "days"), (3600, "h")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
