"""A model as one ONNX file: random numbers in, audio out."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mp3net.config import Config, Mp3net2Model
from mp3net.errors import Mp3netError
from mp3net.files import replacing
from mp3net.generation import MP3net
from mp3net.words import install

# How far the file's audio may be from the model's, as a share of the peak.
TOLERANCE = 1e-4
# Seeds with which every file is tried.
SEEDS = (1, 2)


@dataclass(frozen=True)
class Exported:
    """A file that was written and tried."""

    path: Path
    error: float
    """The largest difference from the model's own audio, as a share of the peak."""
    times_s: dict[str, float]
    """What a song takes: by ONNX Runtime, and by the model itself."""


def export_onnx(model: MP3net, path: Path) -> Exported:
    """Write the model to `path` and compare what ONNX Runtime makes of it with what the model makes.

    The input is `z` (1, Z): normal numbers, of any number of parts for the second family. The output is `audio` (C, S), as
    `MP3net.render` makes it. The file's metadata say what a program needs to know (`described`).
    Errors: Mp3netError if onnx or onnxruntime is missing, the model cannot be written in this form, or the two differ; then
    nothing is left.
    """
    _check_libraries()
    import onnx

    graph = written(
        model.config, {name: value.numpy() for name, value in model.generator.state_dict().items()}, described(model)
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as unfinished:
            onnx.save(graph, unfinished)
            error, times_s = compared(model, unfinished)
            if not error <= TOLERANCE:
                raise Mp3netError(f"{path}: ONNX Runtime makes other audio of it: it differs by {error:.2g} of the peak")
    except OSError as problem:
        raise Mp3netError(f"{path}: cannot be written: {problem.strerror}") from None
    return Exported(path, error, times_s)


def written(config: Config, weights: Mapping[str, np.ndarray], metadata: dict[str, str]) -> Any:
    """The ONNX model of a generator with its inverse transform."""
    from onnx import TensorProto, helper

    from mp3net.export.graph import Graph
    from mp3net.export.paper import PaperGraph
    from mp3net.export.second import SecondGraph
    from mp3net.export.sound import sounded

    graph, model = Graph(), config.model
    if isinstance(model, Mp3net2Model):
        _check_second(model)
        coefficients = SecondGraph(graph, model, config.audio, weights).coefficients("z")
        numbers: int | str = "numbers"
    else:
        coefficients = PaperGraph(graph, model, weights).coefficients("z")
        numbers = model.latent_dim
    graph.nodes.append(helper.make_node("Identity", [sounded(graph, coefficients, config.audio)], ["audio"]))
    inputs = [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, numbers])]
    outputs = [helper.make_tensor_value_info("audio", TensorProto.FLOAT, [config.audio.channels, "samples"])]
    return graph.model(inputs, outputs, metadata)


def described(model: MP3net) -> dict[str, str]:
    """What a program that plays the file needs to know, as text."""
    config, audio = model.config, model.config.audio
    any_length = isinstance(config.model, Mp3net2Model)
    facts: dict[str, Any] = {
        "sample_rate_hz": audio.sample_rate_hz,
        "channels": audio.channels,
        "samples_per_frame": audio.hop_length,
        "common_numbers": config.model.common_size if isinstance(config.model, Mp3net2Model) else config.model.latent_dim,
        "numbers_per_part": config.model.part_size if isinstance(config.model, Mp3net2Model) else 0,
        "frames_per_part": config.model.frames_per_part if isinstance(config.model, Mp3net2Model) else 0,
        "usual_numbers": config.model.latent_size(config.model.num_frames),
        "any_length": any_length,
        "snapshot": model.snapshot.digest if model.snapshot else "",
    }
    metadata = model.snapshot.metadata if model.snapshot else {}
    facts |= {name: metadata[name] for name in ("name", "data", "licence") if name in metadata}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in facts.items()}


def compared(model: MP3net, path: Path) -> tuple[float, dict[str, float]]:
    """The largest difference between ONNX Runtime's audio and the model's, as a share of the peak, and times of a song."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    error, by_onnx, by_model = 0.0, [], []
    for seed in SEEDS:
        z = model.latent(seed)
        started = time.perf_counter()
        made = session.run(None, {"z": z.numpy()})[0]
        middle = time.perf_counter()
        expected = model.render(z)[0].float().cpu().numpy()
        by_onnx.append(middle - started)
        by_model.append(time.perf_counter() - middle)
        if made.shape != expected.shape:
            raise Mp3netError(f"{path.name}: ONNX Runtime makes {made.shape} samples of it instead of {expected.shape}")
        error = max(error, float(np.abs(made - expected).max() / np.abs(expected).max()))
    return error, {"onnxruntime": min(by_onnx), "mp3net": min(by_model)}


def _check_second(model: Mp3net2Model) -> None:
    if model.hold_frames > 1 or (model.partials_per_bin and model.frames_per_part % (4 * model.partials_per_bin)):
        raise Mp3netError(
            "export: amplitudes that are held, and parts that are no whole periods of the partials' clock, are not written; "
            f"here model.hold_frames = {model.hold_frames}, {model.frames_per_part} frames per part and "
            f"model.partials_per_bin = {model.partials_per_bin}"
        )


def _check_libraries() -> None:
    for name in ("onnx", "onnxruntime"):
        try:
            __import__(name)
        except ImportError:
            raise Mp3netError(f"export: needs {name}; install it with: {install('mp3net[export]')}") from None
