"""Sections of a track are the same as the whole, whatever their place: both families."""

from __future__ import annotations

import pytest
import torch

from mp3net.config import PaperModel
from mp3net.model.mp3net2.spans import Span, level_spans
from mp3net.model.paper.generator import Generator as PaperGenerator
from mp3net.model.paper.layers import OctaveUp
from tests.model.small_networks import CONFIG, MODEL, networks, noise, source, with_beat, with_phases

PAPER = PaperModel(base_frames=2, base_bins=4, num_blocks=3, top_channels=2, channel_cap=8, latent_dim=6)
SECTIONS = ((0, 1), (0, 40), (1, 2), (7, 8), (13, 29), (8, 24), (39, 40), (37, 40))


def second_family(**changes):
    config = CONFIG.model_copy(update={"model": MODEL.model_copy(update=changes)})
    return networks(config).generator


FAMILIES = {
    "coefficients": second_family,
    "two blocks per level": lambda: second_family(blocks_per_level=2),
    "styles of parts": lambda: second_family(global_share=0.25, local_dim=6),
    "partials": lambda: networks(with_phases()).generator,
    "beat and key": lambda: networks(with_beat()).generator,
    "partials held": lambda: networks(with_phases(hold_frames=2)).generator,
    "partials held longer": lambda: networks(with_phases(hold_frames=4)).generator,
}


@pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES)
def test_sections_of_the_second_family(make):
    generator = make()
    z = noise(2, generator.config.latent_size(40))
    whole, opening = generator(z), generator.open(z)
    for first, last in SECTIONS:
        torch.testing.assert_close(generator.section(opening, first, last), whole[:, :, first:last], atol=1e-12, rtol=0)


def test_sections_of_the_papers_networks():
    generator = PaperGenerator(PAPER, 2)
    generator.initialise(source())
    generator.double()
    z = noise(2, 6)
    whole, opening = generator(z), generator.open(z)
    assert whole.shape[2] == 128
    for first, last in (*SECTIONS, (60, 128), (127, 128), (31, 33), (64, 65)):
        torch.testing.assert_close(generator.section(opening, first, last), whole[:, :, first:last], atol=1e-12, rtol=0)


def test_a_section_computes_no_more_than_it_needs():
    """What enters each level, from the taps of the layers: doubling and blocks counted frame by frame."""
    model = MODEL.model_copy(update={"num_doublings": 4})
    for first, last in ((100, 101), (64, 128), (0, 5), (155, 160)):
        needed = set(range(first, last))
        spans = level_spans(model, 5, Span(first, last))
        for level in range(4, 0, -1):
            count = 5 * model.generator_level_frames[level]
            assert (spans[level].leaves.first, spans[level].leaves.last) == (min(needed), max(needed) + 1)
            needed = {j for i in needed for j in range(i - 2, i + 3) if 0 <= j < count}
            assert (spans[level].enters.first, spans[level].enters.last) == (min(needed), max(needed) + 1)
            needed = {j for i in needed for j in (i // 2, i // 2 - 1 + 2 * (i % 2)) if 0 <= j < count // 2}
        assert spans[0].leaves.first <= min(needed)
        assert spans[0].leaves.last >= max(needed) + 1
    for first, last in ((50, 51), (3, 70), (0, 128)):
        begins, ends = OctaveUp.reach(first, last, 32)
        assert last - first < 4 * (ends - begins) <= last - first + 4 * 4 or ends - begins == 32


@pytest.mark.parametrize("make", [FAMILIES["partials"], FAMILIES["styles of parts"]])
def test_a_wider_or_narrower_reach_is_noticed(make, monkeypatch):
    """The test above would see a section whose margin is one frame too small."""
    generator = make()
    z = noise(1, generator.config.latent_size(40))
    whole, opening = generator(z), generator.open(z)
    wider = Span.wider
    monkeypatch.setattr(Span, "wider", lambda self, frames, total: wider(self, max(frames - 1, 0), total))
    error = (generator.section(opening, 13, 29) - whole[:, :, 13:29]).abs().max()
    assert error > 1e-6
