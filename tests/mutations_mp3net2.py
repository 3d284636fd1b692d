"""Broken forms of the second family and of the configuration, as in `tests/test_mutations.py`."""

BASEBAND, NETWORKS, OBJECTIVE = (
    "tests/dsp/test_baseband.py",
    "tests/model/test_mp3net2.py",
    "tests/training/test_relativistic.py",
)
CONFIG = "tests/test_config.py"

MUTATIONS = [
    ("dsp/baseband.py", "return -((-1.0) ** torch", "return ((-1.0) ** torch", BASEBAND),
    ("dsp/baseband.py", "2 * torch.arange(CARRIER_FRAMES) - 3", "2 * torch.arange(CARRIER_FRAMES) - 1", BASEBAND),
    ("dsp/baseband.py", "-coefficients * sine - quadrature", "coefficients * sine - quadrature", BASEBAND),
    ("dsp/baseband.py", "i * cosine - q * sine", "i * cosine + q * sine", BASEBAND),
    ("dsp/baseband.py", "power / threshold.square()", "power / threshold", BASEBAND),
    ("dsp/constants.py", "key = (make, num_bins, like.dtype, like.device)", "key = (make, like.dtype, like.device)", BASEBAND),
    ("model/mp3net2/layers.py", "torch.cat([before, x, after], -1)", "torch.cat([after, x, before], -1)", NETWORKS),
    ("model/mp3net2/layers.py", "0.25 * before + 0.75 * x, 0.75", "0.25 * x + 0.75 * x, 0.75", NETWORKS),
    ("model/mp3net2/layers.py", "PAIR_GAIN = math.sqrt(2)", "PAIR_GAIN = 1.0", NETWORKS),
    ("model/mp3net2/layers.py", "a * sine + b * cosine", "a * sine - b * cosine", NETWORKS),
    ("model/mp3net2/layers.py", "/ math.sqrt(self.head_dim), -1)", ", -1)", NETWORKS),
    ("model/mp3net2/layers.py", "h = h * (1 + scale) + shift", "h = h * (1 + scale)", NETWORKS),
    ("model/mp3net2/generator.py", "return made * self.bin_levels", "return made / self.bin_levels", NETWORKS),
    ("model/mp3net2/front_end.py", "F.pad(x, (0, 0, 1, -1))", "F.pad(x, (0, 0, -1, 1))", NETWORKS),
    (
        "model/mp3net2/front_end.py",
        "across * along_before - along * across_before",
        "across * along_before + along * across_before",
        NETWORKS,
    ),
    ("model/mp3net2/front_end.py", "FADE = 1e-3", "FADE = 1e-1", NETWORKS),
    (
        "model/mp3net2/discriminator.py",
        "self.attention(x)).mean(1)",
        "self.attention(x))[:, 0]",
        f"{NETWORKS} -k scored_by",
    ),
    ("training/objectives/relativistic.py", "F.softplus(worse - better)", "F.softplus(better - worse)", OBJECTIVE),
    ("training/objectives/relativistic.py", "/ num_parts**0.5", "/ num_parts", OBJECTIVE),
    ("training/objectives/relativistic.py", "num_parts**0.5 * signed[:, 0]", "signed[:, 0]", OBJECTIVE),
    ("training/objectives/relativistic.py", "signed = scores * signs", "signed = scores", OBJECTIVE),
    ("training/objectives/draws.py", "(self.uniform(*shape) < 0.5)", "(self.uniform(1) < 0.5)", OBJECTIVE),
    ("training/objectives/relativistic.py", "% self.penalty_every == 0", "% self.penalty_every == 1", OBJECTIVE),
    ("training/objectives/relativistic.py", "loss + self.penalty_every * self.", "loss + self.", OBJECTIVE),
    ("training/levels.py", "power / crops).sqrt()", "power / crops)", OBJECTIVE),
    ("training/checkpoint.py", 'value.copy_(tensors[f"{kind}/constant/{name}"])', "pass", OBJECTIVE),
    ("training/loader.py", "if tracks in self._kept:", "if False:", OBJECTIVE),
    ("config/upgrade.py", '{"grid": grid} if noise else None', '{"grid": grid}', CONFIG),
    ("config/settings.py", "if isinstance(value, BaseModel):", "if False:", CONFIG),
    ("training/parallel.py", "import torch._dynamo", "pass", "tests/training/test_parallel.py -k several"),
    ("data/isolation.py", "(min(limits), hard)", "(min(limits), resource.RLIM_INFINITY)", "tests/data/test_hostile.py -k batch_system"),
    ("data/isolation.py", "except BrokenProcessPool:", "except BrokenPipeError:", "tests/data/test_hostile.py -k cannot_start"),
]  # fmt: skip
