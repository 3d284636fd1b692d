"""The plan: measured, without trace, and with advice where it does not fit."""

from __future__ import annotations

import io
import weakref

import pytest
import torch
from rich.console import Console

from mp3net.apps import forecast
from mp3net.apps import train as train_app
from mp3net.config import AudioConfig, Config, PaperModel, WganGp, override, preset
from mp3net.errors import Mp3netError
from mp3net.training import plan
from mp3net.training.memory import available_bytes, peak_memory
from mp3net.training.plan import (
    MemoryModel,
    advice,
    check_memory,
    flop_per_track,
    forward_flop,
    largest_divisor,
    measure_memory,
    precision_rates,
    probe,
)
from mp3net.training.steps import Steps
from tests.training.conftest import CPU, trainer


def steps(config, data) -> Steps:
    return trainer(config, data).steps


def test_probe_measures_and_leaves_no_trace(tiny, tiny_data):
    session, untouched = trainer(tiny, tiny_data), trainer(tiny, tiny_data)
    measured = probe(session.steps)
    assert 0.001 < measured.iteration_s < 30
    assert 10e6 < measured.peak_bytes < 100e9
    for a, b in zip(session.state.tensors().values(), untouched.state.tensors().values(), strict=True):
        assert torch.equal(a, b)
    assert all(parameter.grad is None for parameter in session.state.networks.discriminator.parameters())
    assert session.steps.iteration() == untouched.steps.iteration()


def test_flop_of_a_step_are_those_of_the_reference_configuration():
    """1024 frames x 32 bins, stereo, batch 8: about 650 and 250 GFLOP for the two steps."""
    model = PaperModel(num_blocks=4)
    config = Config(audio=AudioConfig(num_bins=32), model=model, objective=WganGp(discriminator_steps=1))
    both = 8 * flop_per_track(config) / 1e9
    many = 8 * flop_per_track(override(config, ["objective.discriminator_steps=1000000"])) / 1e9
    assert many == pytest.approx(650, rel=0.1)
    assert both - many == pytest.approx(250, rel=0.1)


def test_peak_memory_sees_an_allocation_that_is_gone():
    with peak_memory(CPU) as before:
        pass
    with peak_memory(CPU) as found:
        torch.ones(200_000_000, dtype=torch.uint8)
    assert found.peak_bytes - before.peak_bytes == pytest.approx(200e6, rel=0.1)
    with peak_memory(CPU) as after:
        pass
    assert after.peak_bytes < found.peak_bytes - 150e6
    assert available_bytes(CPU) > 500e6


def test_memory_model_is_a_line():
    model = MemoryModel(100.0, 50.0)
    assert model.peak(4) == 300
    assert model.largest(349) == 4
    assert model.largest(50) == 0


def test_largest_divisor():
    assert largest_divisor(8, 5, 1) == 4
    assert largest_divisor(8, 7, 2) == 4
    assert largest_divisor(12, 7, 3) == 6
    assert largest_divisor(8, 1, 2) == 2


def test_what_does_not_fit_is_refused_with_changes_that_would(tiny, tiny_data, monkeypatch):
    # 1 GB and 0.5 GB per track, 0.2 GB with activation checkpointing; 4 GB are there.
    def measured(steps, checkpointing=None):
        return MemoryModel(1e9, 0.2e9 if checkpointing else 0.5e9)

    monkeypatch.setattr(plan, "measure_memory", measured)
    monkeypatch.setattr(plan, "available_bytes", lambda device: 4e9)
    check_memory(steps(override(tiny, ["optimiser.batch_size=4"]), tiny_data))
    with pytest.raises(Mp3netError) as raised:
        check_memory(steps(override(tiny, ["optimiser.batch_size=8"]), tiny_data))
    text = str(raised.value)
    assert "one step with 8 tracks at a time needs about 4.7 GiB, of 3.7 GiB there are on cpu" in text
    assert "--set run.activation_checkpointing=true (2.4 GiB" in text
    assert "--set model.stddev_group_size=4 --set run.micro_batch_size=4" in text
    assert "--set optimiser.batch_size=5" in text
    assert "bfloat16" in text
    grouped = steps(override(tiny, ["optimiser.batch_size=16", "model.stddev_group_size=2"]), tiny_data)
    offered = advice(grouped, MemoryModel(1e9, 0.5e9), 3.6e9)
    assert any("--set run.micro_batch_size=8 (the same result" in line for line in offered)


def test_measuring_with_checkpointing_leaves_the_setting_as_it_was(tiny, tiny_data, monkeypatch):
    """What it spares is tested where activations are computed again (tests/model/test_recompute.py)."""
    found = steps(tiny, tiny_data)
    discriminator = found.state.networks.discriminator
    single, used = found.discriminator_gradients, []
    monkeypatch.setattr(
        found, "discriminator_gradients", lambda *a, **k: (used.append(discriminator.checkpointing), single(*a, **k))[1]
    )
    for measure in (probe, measure_memory):
        for wanted in (True, False, None):
            used.clear()
            measure(found, checkpointing=wanted)
            assert set(used) == {bool(wanted)}
            assert not discriminator.checkpointing
            assert all(parameter.grad is None for parameter in discriminator.parameters())


class OnlyDevice:
    device = CPU


def test_advice_is_computed_when_the_failed_step_is_gone(monkeypatch):
    """While the error is handled its traceback keeps the graph of the step alive; there would be no memory to measure with."""
    graphs: list[weakref.ref] = []
    seen: dict[str, bool] = {}

    def work() -> None:
        start = torch.ones(1000, requires_grad=True)
        graph = (start * 2).sum()
        graphs.append(weakref.ref(graph))
        raise torch.OutOfMemoryError("no memory left")

    def advice(steps: object) -> str:
        seen["when advised"] = graphs[-1]() is not None
        return "a smaller preset"

    monkeypatch.setattr(train_app, "advice_when_exhausted", advice)
    try:
        work()
    except torch.OutOfMemoryError:
        seen["while handled"] = graphs[-1]() is not None
    with pytest.raises(Mp3netError, match=r"out of memory on cpu.*a smaller preset"):
        train_app._within_memory(OnlyDevice(), work)  # type: ignore[arg-type]
    assert seen == {"while handled": True, "when advised": False}


def test_training_on_a_terminal_shows_a_bar(tiny, tiny_data):
    session = trainer(tiny, tiny_data)
    for terminal, wanted in ((True, ("48/64", "tracks, left")), (False, ())):
        shown = io.StringIO()
        watcher = train_app.ConsoleWatcher(session, print, Console(file=shown, force_terminal=terminal, width=100))
        watcher.advanced(48)
        watcher.close()
        assert all(text in shown.getvalue() for text in wanted)
        assert bool(shown.getvalue()) == terminal


def test_the_faster_precision_is_named_to_those_who_begin(tiny, tiny_data, monkeypatch):
    assert all(1e7 < rate < 1e14 for rate in precision_rates(torch.device("cpu")).values())
    session = trainer(tiny, tiny_data)  # float32

    def note(float32: float, bfloat16: float) -> list[str]:
        monkeypatch.setattr(forecast, "precision_rates", lambda device: {"float32": float32, "bfloat16": bfloat16})
        return [line for line in forecast.describe("title", session).splitlines() if line.startswith("note:")]

    (found,) = note(100e9, 250e9)
    assert "bfloat16 is faster" in found
    assert "250 GFLOP/s" in found
    assert "where float32 reaches 100" in found
    assert found.endswith("--set optimiser.precision=bfloat16")
    assert note(100e9, 119e9) == note(250e9, 100e9) == []
    session.state.tracks_seen = 8  # too late to choose
    assert note(100e9, 250e9) == []


def test_the_sums_of_partials_are_counted():
    """The generator's head: a linear layer, and the product with the responses in blocks of 32 bins that hear 48 each."""
    config = preset("mp3net2-nano")
    numbers = 2 * 256 * 8
    head = 2 * 64 * 192 * numbers + 2 * 64 * 8 * (2 * 48 * 8) * 32
    assert head < forward_flop(config)[0] < 1.6 * head
