"""Every numeric test fails on a broken implementation: each mutation here must be caught, without golden data."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# file below src/mp3net, text, its broken form, tests that must notice
MUTATIONS = [
    ("dsp/mdct.py", "-c.flip(-1) - d, a - b.flip(-1)", "-c.flip(-1) - d, a + b.flip(-1)", "tests/dsp/test_mdct.py"),
    ("dsp/mdct.py", "(8 * n + 1) / (8 * num_bins)", "(4 * n + 1) / (4 * num_bins)", "tests/dsp/test_mdct.py"),
    ("dsp/mdct.py", "torch.sin(math.pi / 2 * ramp**2)", "torch.sin(math.pi / 2 * ramp)", "tests/dsp/test_mdct.py"),
    (
        "dsp/psychoacoustics.py",
        "shifted = distance_bark + 0.474",
        "shifted = -distance_bark + 0.474",
        "tests/dsp/test_psychoacoustics.py",
    ),
    (
        "dsp/psychoacoustics.py",
        "tonality * (9.0 + self.band_bark) + 5.5",
        "tonality * (9.0 + self.band_bark) + 5.0",
        "tests/dsp/test_psychoacoustics.py",
    ),
    (
        "dsp/psychoacoustics.py",
        "NOISE_PER_THRESHOLD = 1 / 6",
        "NOISE_PER_THRESHOLD = 1 / 5",
        "tests/dsp/test_psychoacoustics.py",
    ),
    (
        "dsp/psychoacoustics.py",
        "intensity = coefficients**2\n",
        "intensity = coefficients.abs()\n",
        "tests/dsp/test_psychoacoustics.py",
    ),
    ("model/layers.py", "LEAKY_SLOPE = 0.2", "LEAKY_SLOPE = 0.21", "tests/model/test_networks.py"),
    (
        "model/layers.py",
        "PHASE_TAPS = {1: [[2, 1, 0]], 2: [[2, 0], [1]]}",
        "PHASE_TAPS = {1: [[0, 1, 2]], 2: [[2, 0], [1]]}",
        "tests/model/test_networks.py",
    ),
    ("model/layers.py", "x[..., x.shape[-1] // 2 :]", "x[..., : x.shape[-1] // 2]", "tests/model/test_networks.py"),
    (
        "model/layers.py",
        "F.pad(high, (half - high.shape[-1], 0))",
        "F.pad(high, (0, half - high.shape[-1]))",
        "tests/model/test_networks.py",
    ),
    (
        "model/layers.py",
        "(variance + STDDEV_EPSILON).sqrt().mean()",
        "(variance + STDDEV_EPSILON).mean().sqrt()",
        "tests/model/test_networks.py",
    ),
    ("training/losses.py", "(norm - 1).square()", "norm.square()", "tests/training/test_losses.py"),
    ("training/losses.py", "+ (1 - share_of_real) * fake", "+ share_of_real * fake", "tests/training/test_losses.py"),
    ("training/losses.py", "return -fake_scores.mean()", "return fake_scores.mean()", "tests/training/test_losses.py"),
    ("training/losses.py", "discriminator(x).sum(), x", "discriminator(x)[0], x", "tests/training/test_losses.py"),
    ("training/optimiser.py", '(1 - group["betas"][1] ** step) ** 0.5', "1", "tests/training/test_losses.py"),
    (
        "training/ema.py",
        "0.5 ** (tracks / half_life)",
        "0.5 ** (2 * tracks / half_life)",
        "tests/training/test_losses.py",
    ),
    (
        "training/checkpoint.py",
        'for key in ("exp_avg", "exp_avg_sq")}\n',
        'for key in ("exp_avg", "exp_avg_sq")}\n                continue\n',
        "tests/training/test_trainer.py -k in_process",
    ),
    (
        "training/trainer.py",
        "SeedSequence([seed, tracks_seen, stream])",
        "SeedSequence([seed, stream])",
        "tests/training/test_trainer.py -k addressed",
    ),
    (
        "training/trainer.py",
        'if broken:\n            raise Mp3netError(self._diverged(f"{',
        'if False:\n            raise Mp3netError(self._diverged(f"{',
        "tests/training/test_trainer.py -k non_finite",
    ),
    (
        "training/checkpoint.py",
        '!= content["sha256"][TENSORS_FILE]',
        "== 0",
        "tests/training/test_trainer.py -k flipped",
    ),
    ("generation.py", "return sound * fades", "return sound + 0 * fades", "tests/test_generation.py"),
    ("generation.py", "CEILING / self.peak if self.peak > 1 else 1.0", "1.0", "tests/test_generation.py"),
    ("data/dataset.py", "self.gains[row], out", "self.gains[0], out", "tests/data/test_prepare.py -k resolution"),
    (
        "data/dataset.py",
        "integers(self.ends[-1]))",
        "integers(self.ends[-1]) // 16 * 16)",
        "tests/data/test_prepare.py -k addressed",
    ),
    (
        "data/prepare.py",
        "scale = max(float(np.abs(row).max()), 1e-9) / 32767",
        "scale = 1 / 32767",
        "tests/data/test_prepare.py -k resolution",
    ),
    (
        "audio.py",
        "block.mean(axis=1, keepdims=True, dtype=np.float32)",
        "block[:, :1]",
        "tests/test_audio.py -k conversion",
    ),
    ("audio.py", "if not np.isfinite(block).all():", "if False:", "tests/data/test_prepare.py -k explains"),
    ("figures.py", "stft.abs() * 2 / window.sum()", "stft.abs() / window.sum()", "tests/test_figures.py"),
]


def run(copy: Path, tests: str) -> int:
    environment = dict(os.environ, PYTHONPATH=str(copy / "src"), MP3NET_GOLDEN=str(copy / "absent"))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests.split()]
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True).returncode


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("tests", sorted({tests for *_, tests in MUTATIONS}))
def test_unbroken_code_passes(copy, tests):
    assert run(copy, tests) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("file", "text", "broken", "tests"), MUTATIONS)
def test_mutation_is_caught(copy, file, text, broken, tests):
    path = copy / "src" / "mp3net" / file
    source = path.read_text()
    assert text in source, "the code has changed: renew this mutation"
    try:
        path.write_text(source.replace(text, broken))
        assert run(copy, tests) == 1
    finally:
        path.write_text(source)
