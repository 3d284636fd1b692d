"""Exported models against the models themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
import torch

from mp3net import MP3net
from mp3net.config import override, preset
from mp3net.errors import Mp3netError
from mp3net.export import onnx as module
from mp3net.export.onnx import export_onnx
from mp3net.model.build import build_generator

PLAY = Path(__file__).parents[1] / "examples" / "onnx" / "play.py"
SMALL = ["model.width=32", "model.deep_width=32", "audio.num_bins=64"]
KINDS = {
    "stereo": ("mp3net2-6s", [*SMALL, "audio.channels=2"]),
    "coefficients": ("mp3net2-6s", [*SMALL, "model.partials_per_bin=0", "model.phase_dim=0"]),
    "one style, two blocks": ("mp3net2-6s", [*SMALL, "model.global_share=1.0", "model.blocks_per_level=2"]),
    "phases that begin alike": ("mp3net2-nano", [*SMALL, "model.phase_dim=0", "model.partials_per_bin=4"]),
    "an odd block": ("mp3net2-nano", [*SMALL[:2], "audio.num_bins=100", "audio.window=sine"]),
    "beat": ("mp3net2-6s", [*SMALL, "model.beat_clocks=6"]),
    "beat and key": ("mp3net2-6s", [*SMALL, "model.beat_clocks=6", "model.keys=12"]),
    "paper": ("micro-6s", ["model.channel_cap=16"]),
    "paper, stereo": ("nano-1.5s", ["audio.channels=2"]),
}


def fresh(kind: str) -> MP3net:
    name, settings = KINDS[kind]
    config = override(preset(name), settings)
    generator = build_generator(config)
    generator.initialise(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in generator.parameters():
            if parameter.dim() == 1:
                parameter.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
        if (beat_frames := dict(generator.named_buffers()).get("beat_frames")) is not None:
            beat_frames.copy_(torch.linspace(15.0, 30.0, len(beat_frames)))
    return MP3net(generator.eval().requires_grad_(False), config)


@pytest.mark.parametrize("kind", KINDS)
def test_onnx_runtime_makes_the_same_audio(kind, tmp_path):
    model = fresh(kind)
    made = export_onnx(model, tmp_path / "new" / "model.onnx")
    assert made.error < 2e-5
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.onnx"]
    session = onnxruntime.InferenceSession(str(made.path), providers=["CPUExecutionProvider"])
    durations = (2.0, 9.7) if model.any_length else (None,)
    for seed, duration_s in enumerate(durations, 5):
        z = model.latent(seed, duration_s)
        expected = model.render(z)[0].numpy()
        found = session.run(None, {"z": z.numpy()})[0]
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 3e-5 * np.abs(expected).max()


def test_the_bundled_model_plays_without_pytorch_and_without_mp3net(mp3net, tmp_path):
    status, out, _ = mp3net("export", "--out", "model.onnx")
    assert (status, "audio differs by at most" in out) == (0, True)
    status, out, _ = mp3net("info", "model.onnx")
    digest = MP3net.from_pretrained().snapshot.digest
    assert (status, out.splitlines()[0]) == (0, f"ONNX model model.onnx, weights {digest}")
    assert json.loads(out.partition("\n")[2].rpartition("}")[0] + "}")["sample_rate_hz"] == "11008"
    for wrong in ([], ["model.onnx", "seven", "12.5", "song.wav"]):
        done = subprocess.run([sys.executable, str(PLAY), *wrong], cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stderr.startswith("usage: "), "error: " in done.stderr) == (2, True, True)
    command = [sys.executable, str(PLAY), "model.onnx", "7", "12.5", "song.wav"]
    program = f"import sys; sys.argv = {command[1:]!r}; exec(open({str(PLAY)!r}).read()); print({{'torch', 'mp3net'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert last == "set()"
    assert digest in first
    song, rate = soundfile.read(tmp_path / "song.wav")
    assert (len(song), rate) == (int(12.5 * 11008), 11008)
    assert np.abs(song).max() > 0.1
    assert len(PLAY.read_text().splitlines()) <= 27


def test_files_that_are_no_exported_models(mp3net, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"\x0a\xff")
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], [])), tmp_path / "other.onnx")
    for name, message in (
        ("bad.onnx", "bad.onnx: no ONNX file, or a damaged one"),
        ("other.onnx", "other.onnx: was not written by `mp3net export`"),
        ("none.onnx", "none.onnx: no such file"),
    ):
        status, _, err = mp3net("info", name)
        assert (status, message in err, err.count("\n")) == (2, True, 1)


def test_what_cannot_be_exported_is_said_and_leaves_nothing(mp3net, tmp_path, monkeypatch):
    name, settings = KINDS["stereo"]
    config = override(preset(name), [*settings, "model.hold_frames=2"])
    held = MP3net(build_generator(config).eval(), config)
    with pytest.raises(Mp3netError, match=r"amplitudes that are held.*model.hold_frames = 2"):
        export_onnx(held, tmp_path / "held.onnx")
    for arguments, message in (
        (["--format", "tflite"], "--format 'tflite': choose one of onnx"),
        (["--out", "."], "is a folder; name a file"),
        (["nowhere"], "nowhere: no such folder"),
        (["--out", "a.txt"], "--out a.txt: name a file that ends in .onnx, such as a.onnx"),
        (["--format", "page", "--runtime", "none"], "--runtime none: no such file or folder"),
        (["--out", f"{__file__}/a.onnx"], "is a file, not a folder"),
        (["--format", "hub", "--out", f"{__file__}/a"], "is a file, not a folder"),
    ):
        status, _, err = mp3net("export", *arguments)
        assert (status, message in err, err.count("\n")) == (2, True, 1)
    (tmp_path / "there.onnx").write_bytes(b"x")
    assert "there.onnx: exists; add --force" in mp3net("export", "--out", "there.onnx")[2]
    assert [path.name for path in tmp_path.iterdir()] == ["there.onnx"]


def test_a_file_that_sounds_otherwise_is_not_kept(tmp_path, monkeypatch):
    written = module.written

    def broken(config, weights, metadata):
        return written(config, {name: 1.001 * value for name, value in weights.items()}, metadata)

    monkeypatch.setattr(module, "written", broken)
    with pytest.raises(Mp3netError, match="makes other audio of it: it differs by"):
        export_onnx(fresh("coefficients"), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_missing_libraries_are_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(Mp3netError, match=r"needs onnx; install it with: .* -m pip install 'mp3net\[export\]'"):
        export_onnx(fresh("paper"), tmp_path / "model.onnx")


def test_files_are_the_same_every_time(tmp_path):
    """Byte for byte, in processes with other hash seeds: what is shared can be checked."""
    program = "from pathlib import Path; from mp3net import MP3net; from mp3net.export.onnx import export_onnx; export_onnx(MP3net.from_pretrained(), Path({!r}))"
    for name, seed in (("a.onnx", "1"), ("b.onnx", "2")):
        subprocess.run(
            [sys.executable, "-c", program.format(str(tmp_path / name))],
            env=dict(os.environ, PYTHONHASHSEED=seed),
            check=True,
        )
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
