"""Sliders: found where they are known to be, kept beside the weights, and heard."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import soundfile
import torch

from mp3net import MP3net
from mp3net.apps import waiting
from mp3net.config import override, preset
from mp3net.errors import Mp3netError
from mp3net.evaluation.attributes import UNITS, attributes, density, tempo
from mp3net.evaluation.directions import find_sliders, principal_directions, save_sliders
from mp3net.generation import BUNDLED
from mp3net.model.build import build_generator
from mp3net.model.snapshot import save_snapshot

RATE = 11008


def sines(*parts: tuple[float, float], seconds: float = 8.0) -> np.ndarray:
    """(1, 1, S) of (amplitude, frequency) each."""
    time = np.arange(round(seconds * RATE)) / RATE
    return sum(a * np.sin(2 * np.pi * f * time) for a, f in parts)[None, None].astype(np.float32)


def strokes(per_s: float, seconds: float = 8.0) -> np.ndarray:
    """(1, 1, S): decaying tones, so many a second."""
    time = np.arange(round(seconds * RATE)) / RATE
    since = time % (1 / per_s)
    return (0.3 * np.exp(-8 * since) * np.sin(2 * np.pi * 440 * time))[None, None].astype(np.float32)


def test_attributes_are_what_they_are_called():
    quiet, loud = attributes(sines((0.1, 440)), RATE), attributes(sines((0.2, 440)), RATE)
    assert loud["level"][0] - quiet["level"][0] == pytest.approx(6.02, abs=0.01)
    assert loud["register"][0] == pytest.approx(np.log2(440), abs=0.03)
    octave = attributes(sines((0.1, 880)), RATE)
    assert octave["register"][0] - quiet["register"][0] == pytest.approx(1, abs=0.03)
    bright = attributes(sines((0.1, 440), (0.05, 3520)), RATE)
    assert bright["brightness"][0] > quiet["brightness"][0] + 0.7
    assert bright["register"][0] == pytest.approx(quiet["register"][0], abs=0.02)
    for per_s in (2.0, 2.6):
        found = attributes(strokes(per_s), RATE)
        assert found["density"][0] == pytest.approx(per_s, rel=0.1)
        assert found["tempo"][0] == pytest.approx(np.log2(per_s), abs=0.1)
    for per_s in (1.0, 3.2, 3.6, 4.8):  # a beat is found where it is half as many a second, or twice
        octave = np.log2(per_s) - attributes(strokes(per_s), RATE)["tempo"][0]
        assert octave == pytest.approx(-1 if per_s < 1.4 else 1, abs=0.1)
    flat = np.zeros(200)
    assert (density(flat, 50.0), np.isfinite(tempo(flat, 50.0))) == (0.0, True)


@pytest.mark.parametrize("name", ["mp3net2-nano", "nano-1.5s"])
def test_principal_directions_are_those_of_the_jacobian(name):
    """Against the derivative of the network's own first layers, by differences, at other random points."""
    small = ["model.global_dim=8", "model.local_dim=8"] if name == "mp3net2-nano" else ["model.latent_dim=8"]
    config = override(preset(name), small)
    generator = build_generator(config)
    generator.initialise(torch.Generator().manual_seed(0))
    generator.double()
    source = torch.Generator().manual_seed(5)

    def enters(z: torch.Tensor) -> torch.Tensor:
        layers = generator.mapping if name == "mp3net2-nano" else [generator.dense]
        for number, layer in enumerate(layers):
            z = layer(z) if number == 1 else torch.nn.functional.leaky_relu(layer(z), 0.2)
        return z

    total = torch.zeros(8, 8, dtype=torch.float64)
    for _ in range(400):
        z = torch.randn(8, dtype=torch.float64, generator=source)
        jacobian = torch.autograd.functional.jacobian(enters, z)
        total += jacobian.T @ jacobian / 400
    found = principal_directions({key: value.numpy() for key, value in generator.state_dict().items()}, config.model, 8)
    np.testing.assert_allclose(found @ found.T, np.eye(8), atol=1e-9)
    steepness = np.array([one @ total.numpy() @ one for one in found])
    exact = np.linalg.eigvalsh(total.numpy())[::-1]
    np.testing.assert_allclose(steepness, exact, rtol=0.05)
    assert steepness[0] > 1.2 * steepness[-1]


@pytest.fixture
def instrument(tmp_path, monkeypatch):
    """A snapshot whose player is an instrument: the first latent is its level, the second its pitch, the others nothing."""
    config = override(
        preset("mp3net2-nano"), ["model.global_dim=8", "model.local_dim=8", "model.width=32", "model.deep_width=32"]
    )
    generator = build_generator(config)
    generator.initialise(torch.Generator().manual_seed(0))
    save_snapshot(tmp_path / "instrument", config, generator.state_dict(), None, {})
    model = MP3net.from_pretrained(tmp_path / "instrument")
    monkeypatch.setattr(model.player, "begin", lambda z: z)

    def sound(z: np.ndarray, first: int, last: int) -> np.ndarray:
        seconds = (last - first - 1) * 256 / RATE
        return sines((0.1 * np.exp(0.3 * z[0]), 300 * 2 ** (0.3 * z[1])), seconds=seconds)[0]

    monkeypatch.setattr(model.player, "sound", sound)
    return model


def test_a_slider_is_found_where_it_is(instrument):
    told: list[tuple[int, int]] = []
    found = find_sliders(instrument, 96, lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1]
    level = next(slider for slider in found.sliders if slider.name == "level")
    assert level.direction[0] > 0.97 * np.linalg.norm(level.direction)
    mean, low, high = level.effects["level"]
    assert low <= mean <= high
    assert mean == pytest.approx(20 * np.log10(np.e) * 0.3 * level.direction[0], rel=0.1)
    assert abs(level.effects["register"][0]) < 0.05
    register = next(slider for slider in found.sliders if slider.name == "register")
    assert register.direction[1] > 0.9 * np.linalg.norm(register.direction)
    assert {"density", "tempo"} <= set(found.left_out)


def test_the_number_of_the_beat_becomes_the_slider_of_the_tempo(instrument, monkeypatch):
    """With ears that hear its number as the tempo, and nothing else: two thirds of an octave for 2."""
    place = instrument.config.model.beat_place
    monkeypatch.setattr(instrument.player, "sound", lambda z, first, last: np.full((1, 8), z[place] / 3, np.float32))

    def heard(audio: np.ndarray, rate_hz: int) -> dict[str, np.ndarray]:
        return {name: audio[:, 0, 0] if name == "tempo" else np.zeros(len(audio)) for name in UNITS}

    monkeypatch.setattr("mp3net.evaluation.directions.attributes", heard)
    (slider,) = find_sliders(instrument, 96).sliders
    assert slider.name == "tempo"
    assert slider.direction[place] > 0.97 * np.linalg.norm(slider.direction)
    np.testing.assert_allclose(slider.effects["tempo"], slider.direction[place] / 3, rtol=1e-5)


def test_what_was_found_is_kept_and_moves_songs(instrument, mp3net):
    save_sliders(find_sliders(instrument, 96), instrument)
    content = json.loads((instrument.snapshot.folder / "sliders.json").read_text())
    assert set(content["sliders"]) >= {"level", "register"}
    model = MP3net.from_pretrained(instrument.snapshot.folder)
    direction = np.array(content["sliders"]["level"]["direction"], np.float32)
    plain, moved = (model._z(model.generate(3, sliders=chosen).origin.settings) for chosen in ({}, {"level": -1.5}))
    size = model.config.model.common_size
    np.testing.assert_allclose(moved[:size] - plain[:size], -1.5 * direction, atol=1e-5)
    assert np.array_equal(moved[size:], plain[size:])
    status, out, _ = mp3net("generate", model.snapshot.folder, "--slide", "level=-1.5", "--out", "a.wav")
    assert (status, "level -1.5" in out) == (0, True)
    assert mp3net("generate", model.snapshot.folder, "--like", "a.wav", "--out", "b.wav")[0] == 0
    assert np.array_equal(soundfile.read("a.wav")[0], soundfile.read("b.wav")[0])
    content["sliders"]["level"]["direction"][0] += 1
    (model.snapshot.folder / "sliders.json").write_text(json.dumps(content))
    status, _, err = mp3net("generate", model.snapshot.folder, "--like", "a.wav", "--out", "c.wav")
    assert (status, "they were found anew since then" in err) == (2, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(weights="x"), "belongs to other weights; find the sliders anew"),
        (lambda content: content.pop("sliders"), "damaged; find the sliders anew"),
        (lambda content: content["sliders"]["level"].update(direction=[1, 2]), "damaged"),
        (lambda content: content["sliders"]["level"].update(direction=["a"] * 8), "damaged"),
        (lambda content: content.update(sliders=[1]), "damaged"),
        (lambda content: content["sliders"]["level"].update(effects={"level": []}), "damaged"),
        (lambda content: content["sliders"]["level"].update(direction=[float("nan")] * 8), "damaged"),
    ],
)
def test_damaged_sliders_are_refused(instrument, change, message):
    path = instrument.snapshot.folder / "sliders.json"
    level = {"unit": "dB", "effects": {"level": [1.0, 0.9, 1.1]}, "direction": [0.5] * 8}
    content = {"weights": instrument.snapshot.digest, "sliders": {"level": level}}
    path.write_text(json.dumps(content))
    MP3net.from_pretrained(path.parent).generate(1, sliders={"level": 1.0})
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(Mp3netError, match=message):
        MP3net.from_pretrained(path.parent).generate(1, sliders={"level": 1.0})


def test_the_command_finds_measures_and_says_what_there_is_not(mp3net, tmp_path, untrained, monkeypatch):
    shutil.copytree(untrained, tmp_path / "copy")
    monkeypatch.setattr(waiting, "LINE_EVERY_S", 0.0)
    status, out, err = mp3net("sliders", "copy", "--songs", 48)
    assert status == 0
    assert re.search(r"^\d+ of \d+ songs heard, [\d.]+ songs/s, \d+ s left$", err, re.M)
    assert "one unit of" in out
    content = json.loads((tmp_path / "copy" / "sliders.json").read_text())
    assert set(content["sliders"]) | set(content["left_out"]) == set(UNITS)
    assert all(f"no slider for {name}: no direction changes it" in out for name in content["left_out"])
    for option, message in (
        ("fame=1", "slider 'fame': this snapshot has"),
        ("level", "--slide 'level': give a slider and its units"),
        ("level=x", "give a slider and its units"),
        ("level=9", "--slide level=9: give units from -5 to 5"),
    ):
        status, _, err = mp3net("generate", "copy", "--slide", option)
        assert (status, message in err) == (2, True), err
    (tmp_path / "copy" / "sliders.json").unlink()
    assert "has no sliders; find them with: mp3net sliders copy\n" in mp3net("generate", "copy", "--slide", "level=1")[2]


def test_sliders_of_a_run_belong_to_its_latest_checkpoint(mp3net, tmp_path, untrained):
    older, latest = (tmp_path / "my run" / "checkpoints" / f"tracks-{tracks:012}" / "snapshot" for tracks in (8, 16))
    for folder in (older, latest):
        shutil.copytree(untrained, folder)
    _, _, err = mp3net("generate", "my run", "--slide", "level=1")
    assert "has no sliders; find them with: mp3net sliders 'my run'   (when the run has ended: they belong to its" in err
    _, _, err = mp3net("generate", older, "--slide", "level=1")
    assert err.endswith(f"has no sliders; find them with: mp3net sliders '{older}'\n"), "not those of the latest"
    status, out, _ = mp3net("sliders", "my run", "--songs", 48)
    kept = "my run/checkpoints/tracks-000000000016/snapshot"
    assert (status, (tmp_path / kept / "sliders.json").exists(), (older / "sliders.json").exists()) == (0, True, False)
    assert (
        f"the sliders belong to the latest checkpoint of my run alone: when the run goes on, find them anew, or keep a copy of {kept}"
        in out
    )
    assert "--slide" not in out or re.search(r"; next: mp3net generate 'my run' --slide \w+=1$", out, re.M)


def test_the_bundled_sliders_do_what_they_say():
    """Up and down by one unit: every slider changes what it is called after, as far as its file says."""
    model = MP3net.from_pretrained()
    sliders = json.loads((BUNDLED / "sliders.json").read_text())["sliders"]
    assert len(sliders) >= 2
    for name, slider in sliders.items():
        change = []
        for seed in range(500, 532):
            up, down = (model.generate(seed, 8.0, sliders={name: amount}).audio[None] for amount in (1.0, -1.0))
            change.append(attributes(up, RATE)[name][0] - attributes(down, RATE)[name][0])
        stated = 2 * slider["effects"][name][0]
        chance = 2 * np.std(change) / len(change) ** 0.5
        assert 0.3 * stated < np.mean(change) < 1.8 * stated + chance, name
