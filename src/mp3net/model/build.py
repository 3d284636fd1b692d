"""The networks of a configuration: the one place that chooses by `model.kind`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mp3net.config import Config, Mp3net2Model, PaperModel
from mp3net.model.batch import WholeBatch
from mp3net.model.mp3net2 import discriminator as mp3net2_discriminator
from mp3net.model.mp3net2 import generator as mp3net2_generator
from mp3net.model.paper import discriminator as paper_discriminator
from mp3net.model.paper import generator as paper_generator

# Both families' networks have: `forward`; `initialise(source)` for fresh weights; `blocks_near_audio(count)` for
# fine-tuning; `checkpointing`, whether activations are recomputed instead of kept. Their random input is one vector per
# track, `config.model.latent_size(num_frames)` long.
Generator = paper_generator.Generator | mp3net2_generator.Generator
Discriminator = paper_discriminator.Discriminator | mp3net2_discriminator.Discriminator


def build_generator(config: Config) -> Generator:
    """The generator, with uninitialised weights."""
    if isinstance(config.model, Mp3net2Model):
        return mp3net2_generator.Generator(config.model, config.audio)
    return paper_generator.Generator(config.model, config.audio.channels)


def build_discriminator(config: Config, whole_batch: WholeBatch | None = None) -> Discriminator:
    """The discriminator, likewise; `whole_batch` tells one that couples the samples of a batch which processes share it."""
    if isinstance(config.model, Mp3net2Model):
        return mp3net2_discriminator.Discriminator(config.model, config.audio)
    return paper_discriminator.Discriminator(config.model, config.audio.channels, whole_batch or WholeBatch())


@dataclass(frozen=True)
class Networks:
    """The two networks that are trained against each other."""

    generator: Generator
    discriminator: Discriminator

    @torch.no_grad()
    def calibrate(self, bin_levels: Tensor) -> None:
        """Give networks that use them the levels (F,) of the bins in the training data."""
        if isinstance(self.generator, mp3net2_generator.Generator):
            self.generator.bin_levels.copy_(bin_levels)
        if isinstance(self.discriminator, mp3net2_discriminator.Discriminator):
            self.discriminator.front_end.bin_levels.copy_(bin_levels)

    def agree_on_levels(self) -> None:
        """Give the generator the levels that the discriminator has: those of an averaged generator are changed."""
        if isinstance(self.discriminator, mp3net2_discriminator.Discriminator):
            self.calibrate(self.discriminator.front_end.bin_levels)

    def hear_as_before(self, model: Mp3net2Model | PaperModel) -> None:
        """Let weights of networks of `model` score as there, although the front-end's gain may be another one."""
        if isinstance(self.discriminator, mp3net2_discriminator.Discriminator) and isinstance(model, Mp3net2Model):
            self.discriminator.expect_loudness_gain(model.loudness_gain)


def build_networks(config: Config, whole_batch: WholeBatch | None = None) -> Networks:
    """Both networks of a configuration."""
    return Networks(build_generator(config), build_discriminator(config, whole_batch))
