"""Everything that training changes, and its initial values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mp3net.config import Config, differing_keys
from mp3net.errors import Mp3netError
from mp3net.model.batch import WholeBatch
from mp3net.model.build import Discriminator, Generator, Networks, build_networks
from mp3net.model.mp3net2.discriminator import FREE
from mp3net.model.snapshot import Snapshot
from mp3net.training.ema import EMA
from mp3net.training.objectives.draws import INIT_STREAM, addressed_generator
from mp3net.training.optimiser import KerasAdam
from mp3net.training.parallel import Ranks
from mp3net.training.schedule import factor_at
from mp3net.words import mono_or_stereo


@dataclass
class Learner:
    """One of the two networks, its optimiser, and the parameters that are trained (`trained`)."""

    network: Generator | Discriminator
    optimiser: KerasAdam
    trained: list[nn.Parameter]


@dataclass
class TrainingState:
    """Everything that training changes. Random numbers are addressed by `tracks_seen`, so that is their whole state."""

    config: Config
    networks: Networks
    generator: Learner
    discriminator: Learner
    ema: EMA[Generator]
    tracks_seen: int = 0

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name."""
        found = {f"ema/{name}": value for name, value in self.ema.weights.items()}
        for kind, learner in self._learners():
            found |= {f"{kind}/constant/{name}": value for name, value in constants(learner.network).items()}
            for name, parameter in learner.network.named_parameters():
                found[f"{kind}/weight/{name}"] = parameter
                for key, value in learner.optimiser.state[parameter].items():
                    found[f"{kind}/adam/{key}/{name}"] = value
        return found

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor], tracks_seen: int) -> None:
        """Copy a saved state into the networks, keeping their memory format and device.

        Errors: KeyError or RuntimeError if the tensors do not belong to these networks.
        """
        for name, value in self.ema.weights.items():
            value.copy_(tensors[f"ema/{name}"])
        for kind, learner in self._learners():
            for name, value in constants(learner.network).items():
                value.copy_(tensors[f"{kind}/constant/{name}"])
            for name, parameter in learner.network.named_parameters():
                parameter.copy_(tensors[f"{kind}/weight/{name}"])
                if f"{kind}/adam/step/{name}" not in tensors:
                    continue
                moments = {key: torch.zeros_like(parameter) for key in ("exp_avg", "exp_avg_sq")}
                for key, moment in moments.items():
                    moment.copy_(tensors[f"{kind}/adam/{key}/{name}"])
                step = tensors[f"{kind}/adam/step/{name}"].clone()
                learner.optimiser.state[parameter] = {"step": step, **moments}
        self.tracks_seen = tracks_seen

    def _learners(self) -> Iterator[tuple[str, Learner]]:
        yield "generator", self.generator
        yield "discriminator", self.discriminator

    def begin_with(self, snapshot: Snapshot) -> None:
        """Start from a snapshot's networks; its generator is the averaged one. Errors: Mp3netError if it does not fit."""
        check_start(snapshot, self.config)
        snapshot.load_generator(self.networks.generator)
        # Its estimates of what songs are drawn to, whatever they go by, are found anew within some dozens of steps, and may
        # be over other lags.
        snapshot.load_discriminator(self.networks.discriminator, fresh=FREE)
        self.networks.hear_as_before(snapshot.config.model)
        self.networks.agree_on_levels()
        self.ema = averaged(self.networks.generator, self.config)

    def share(self, ranks: Ranks, device: torch.device) -> None:
        """Copy the state of the first process to all processes."""
        if ranks.count == 1:
            return
        self.tracks_seen = ranks.agree(self.tracks_seen if ranks.first else 0, device)
        if self.tracks_seen and not ranks.first:
            for _, learner in self._learners():
                learner.optimiser.prepare_moments(learner.trained)
        ranks.broadcast(self.tensors().values(), device)

    def only(self, learner: Learner) -> None:
        """Clear all gradients, and let only the trained parameters of `learner` get new ones."""
        self.forget_gradients()
        for network in (self.networks.generator, self.networks.discriminator):
            network.requires_grad_(False)
        for parameter in learner.trained:
            parameter.requires_grad_(True)

    def forget_gradients(self) -> None:
        for network in (self.networks.generator, self.networks.discriminator):
            network.zero_grad(set_to_none=True)

    def move(self, learner: Learner) -> None:
        """One optimiser step along the current gradients, at the current learning rate."""
        settings = self.config.optimiser
        for group in learner.optimiser.param_groups:
            group["lr"] = settings.learning_rate * factor_at(settings.learning_rate_schedule, self.tracks_seen)
        learner.optimiser.step()


def constants(network: nn.Module) -> dict[str, Tensor]:
    """What a network stores besides its parameters, such as levels measured in the data."""
    parameters = dict(network.named_parameters())
    return {name: value for name, value in network.state_dict().items() if name not in parameters}


def averaged(generator: Generator, config: Config) -> EMA[Generator]:
    """The average of the generator's weights; the levels of the bins are its own (`levels.SongLevels`)."""
    return EMA(generator, config.optimiser.ema_half_life_tracks, own=("bin_levels",))


def build_state(config: Config, device: torch.device, whole_batch: WholeBatch | None = None) -> TrainingState:
    """Fresh networks, initialised from the configuration's seed, with their optimisers and averaged weights."""
    settings = config.optimiser
    source = addressed_generator(settings.seed, 0, INIT_STREAM, torch.device("cpu"))
    networks = build_networks(config, whole_batch)

    def learner(network: Generator | Discriminator) -> Learner:
        network.initialise(source)
        network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        network.checkpointing = config.run.activation_checkpointing
        optimiser = KerasAdam(network.parameters(), settings.learning_rate, (settings.beta1, settings.beta2))
        last = settings.train_last_blocks
        parts = [network] if last is None else network.blocks_near_audio(last)
        return Learner(network, optimiser, [parameter for part in parts for parameter in part.parameters()])

    generator, discriminator = learner(networks.generator), learner(networks.discriminator)
    ema = averaged(networks.generator, config)
    return TrainingState(config, networks, generator, discriminator, ema)


def check_start(snapshot: Snapshot, config: Config) -> None:
    """Refuse to start from networks of another family or shape, or for another audio format. Errors: Mp3netError."""
    theirs, ours = snapshot.config, config
    if theirs.model.kind != ours.model.kind:
        raise Mp3netError(
            f"{snapshot.folder}: its networks are of the family {theirs.model.kind}, this preset's of {ours.model.kind}; "
            "choose a --preset of the same family"
        )
    if theirs.audio != ours.audio:
        described = [
            f"{audio.sample_rate_hz} Hz, {mono_or_stereo(audio.channels)}, {audio.num_bins} bins, window {audio.window}"
            for audio in (theirs.audio, ours.audio)
        ]
        raise Mp3netError(
            f"{snapshot.folder}: its audio ({described[0]}) is not that of this configuration ({described[1]}); choose a "
            "--preset with the same"
        )
    shaped = [
        line for line in differing_keys(theirs.model, ours.model) if line.partition(":")[0] not in ours.model.shapeless
    ]
    if shaped:
        names = [line.partition(":")[0] for line in shaped]
        settings = [f"--set model.{name}={json.dumps(getattr(theirs.model, name))}" for name in names]
        raise Mp3netError(
            f"{snapshot.folder}: its networks have another shape than those of this configuration: "
            f"model.{'; model.'.join(shaped)}. To begin with them: {' '.join(settings)}"
        )
