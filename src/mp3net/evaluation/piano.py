"""The slow but accurate measure: transkun (MIT), a piano transcriber whose weights come inside its wheel.

It takes five to nine seconds per second of audio, so it transcribes only a few clips. Install it without its declared
dependencies: `pip install --no-deps transkun==2.0.1`; of those it uses mir_eval and pretty_midi (extra `[piano]`).
"""

from __future__ import annotations

import json
import sys
import types
import warnings
from typing import Any
from unittest.mock import patch

import numpy as np
import soxr
import torch

from mp3net.errors import Mp3netError
from mp3net.evaluation.embeddings import wheel_file
from mp3net.evaluation.notes import Note
from mp3net.evaluation.spectrum import Features
from mp3net.words import install

PIANO_CLIPS = 4
WEIGHTS_SHA256 = "50a80010effc2a59ffcd068a95cd2b29bd7f23a27a3515bc3ccd209c89a3d44c"
INSTALL = f"{install('mp3net[piano]')} && {install('--no-deps', 'transkun==2.0.1')}"


class PianoTranscriber:
    """Clips -> notes, by transkun's published model."""

    name = "piano"

    def __init__(self) -> None:
        weights = wheel_file("transkun", "pretrained/2.0.pt", WEIGHTS_SHA256, INSTALL)
        settings = json.loads(weights.with_name("2.0.conf").read_text())["Model"]["config"]
        self.model = _build(settings)
        checkpoint = torch.load(weights, map_location="cpu", weights_only=True)
        state = checkpoint.get("best_state_dict", checkpoint.get("state_dict"))
        missing, _ = self.model.load_state_dict(state, strict=False)
        if missing:
            raise Mp3netError(f"{weights}: lacks {missing[0]}; install it with: {INSTALL}")
        self.model.eval()

    @torch.inference_mode()
    def notes(self, clip: np.ndarray, sample_rate_hz: int) -> list[Note]:
        """Clip (C, S) -> notes sorted by start; pedals are left out."""
        sound = clip.T if sample_rate_hz == self.model.fs else soxr.resample(clip.T, sample_rate_hz, self.model.fs, "HQ")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # its layers request gradient checkpointing even without gradients
            events = self.model.transcribe(torch.from_numpy(np.ascontiguousarray(sound, np.float32)))
        heard = [
            Note(int(event.pitch), float(event.start), float(event.end - event.start)) for event in events if event.pitch > 0
        ]  # fmt: skip
        return sorted(heard, key=lambda note: (note.start_s, note.pitch))

    def __call__(self, audio: np.ndarray, sample_rate_hz: int) -> Features:
        """Clips (n, C, S) -> notes per second and their mean length, one row per clip."""
        heard = [self.notes(clip, sample_rate_hz) for clip in audio]
        duration_s = audio.shape[-1] / sample_rate_hz
        lengths = [float(np.mean([note.length_s for note in notes])) if notes else 0.0 for notes in heard]
        return {
            "notes_per_s": np.array([len(notes) / duration_s for notes in heard], np.float32),
            "note_length_s": np.array(lengths, np.float32),
        }


def _build(settings: dict[str, Any]) -> Any:
    """The network. It needs a filter bank from torchaudio, whose values its checkpoint overwrites, so zeros will do."""

    def filters(n_freqs: int, n_mels: int, **_: float) -> torch.Tensor:
        return torch.zeros(n_freqs, n_mels)

    stand_in = types.ModuleType("torchaudio")
    stand_in.functional = types.SimpleNamespace(melscale_fbanks=filters)  # type: ignore[attr-defined]
    try:
        from transkun.ModelTransformer import ModelConfig, TransKun
    except ModuleNotFoundError as error:
        raise Mp3netError(f"{error.name} is not installed; install it with: {INSTALL}") from None
    config = ModelConfig()
    for key, value in settings.items():
        setattr(config, key, value)
    with patch.dict(sys.modules, {"torchaudio": stand_in}):
        return TransKun(config)
