"""What is played: transcription with the note model of basic-pitch (Apache-2.0), run by ONNX Runtime alone.

The wheel depends on TensorFlow, which is not needed here: `pip install --no-deps basic-pitch==0.4.0`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mp3net.errors import Mp3netError
from mp3net.evaluation.embeddings import resample, wheel_file
from mp3net.evaluation.spectrum import Features
from mp3net.machine import usable_cpus
from mp3net.words import install

RATE_HZ = 22050
HOP = 256
WINDOW = 43844
OVERLAP_FRAMES = 30
FRAMES_PER_S = RATE_HZ / HOP
LOWEST_PITCH = 21  # MIDI number of the first of 88 keys
NUM_PITCHES = 88
ON = 0.5  # a note begins where its onset, and is confident where its activity, exceeds this
HOLD = 0.3  # a note lasts while its activity stays above this
MIN_NOTE_S = 0.1
PITCH_GROUP = 2
WINDOWS_PER_RUN = 16
SHA256 = "2c3c1d144bfa61ad236e92e169c13535c880469a12a047d4e73451f2c059a0ec"
INSTALL = f"{install('mp3net[notes]')} && {install('--no-deps', 'basic-pitch==0.4.0')}"


@dataclass(frozen=True)
class Note:
    """One note: MIDI pitch, start and length."""

    pitch: int
    start_s: float
    length_s: float


class NoteModel:
    """Audio -> the probabilities that each of 88 keys is sounding and beginning, 86 times a second."""

    def __init__(self, threads: int | None = None) -> None:
        path = wheel_file("basic_pitch", "saved_models/icassp_2022/nmp.onnx", SHA256, INSTALL)
        try:
            import onnxruntime
        except ModuleNotFoundError:
            raise Mp3netError(f"onnxruntime is not installed; install it with: {INSTALL}") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or usable_cpus()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def __call__(self, audio: np.ndarray, sample_rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
        """Clips (n, C, S) -> (sounding, beginning), each (n, frames, 88) in [0, 1].

        The model sees windows of 1.99 s that overlap by 30 frames, half of which are cut off at each end of a window.
        """
        mono = resample(audio, sample_rate_hz, RATE_HZ)
        frames = int(mono.shape[1] / HOP)
        step = WINDOW - OVERLAP_FRAMES * HOP
        lead = OVERLAP_FRAMES // 2 * HOP
        count = max(1, -(-mono.shape[1] // step))
        padded = np.pad(mono, ((0, 0), (lead, count * step + WINDOW)))
        windows = np.stack([padded[:, index * step : index * step + WINDOW] for index in range(count)], 1)
        flat = windows.reshape(-1, WINDOW, 1).astype(np.float32)
        runs = [self._run(flat[first : first + WINDOWS_PER_RUN]) for first in range(0, len(flat), WINDOWS_PER_RUN)]
        half = OVERLAP_FRAMES // 2
        sounding, beginning = (
            np.concatenate([run[kind] for run in runs])[:, half:-half].reshape(len(mono), -1, NUM_PITCHES)[:, :frames]
            for kind in (0, 1)
        )
        return sounding, beginning

    def _run(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        names = ["StatefulPartitionedCall:1", "StatefulPartitionedCall:2"]
        sounding, beginning = self.session.run(names, {"serving_default_input_2:0": windows})
        return sounding, beginning


def find_notes(sounding: np.ndarray, beginning: np.ndarray) -> list[Note]:
    """(frames, 88) twice -> notes of at least 0.1 s, sorted by start and pitch.

    A note begins at a local maximum of the onset above 0.5 and lasts until its activity falls below 0.3 or the key is
    struck again.
    """
    padded = np.pad(beginning, ((1, 1), (0, 0)))
    peaks = (beginning > ON) & (beginning >= padded[:-2]) & (beginning > padded[2:])
    notes = []
    for pitch in np.flatnonzero(peaks.any(0)):
        begins = np.flatnonzero(peaks[:, pitch])
        ends = np.append(begins[1:], len(sounding))
        for begin, limit in zip(begins, ends, strict=True):
            # Activity rises a little after the onset: the first two frames always count.
            quiet = np.flatnonzero(sounding[begin + 2 : limit, pitch] < HOLD)
            length_s = (int(quiet[0]) + 2 if len(quiet) else limit - begin) / FRAMES_PER_S
            if length_s >= MIN_NOTE_S:
                notes.append(Note(int(pitch) + LOWEST_PITCH, float(begin / FRAMES_PER_S), float(length_s)))
    return sorted(notes, key=lambda note: (note.start_s, note.pitch))


def pitch_classes(notes: list[Note]) -> np.ndarray:
    """Sounding time in s of each pitch class (12,), C first."""
    out = np.zeros(12, np.float32)
    for note in notes:
        out[note.pitch % 12] += note.length_s
    return out


def intervals(notes: list[Note]) -> np.ndarray:
    """Time in s that pairs of notes sound together, by their interval modulo the octave (12,): harmony, whatever the key."""
    out = np.zeros(12, np.float32)
    for index, low in enumerate(notes):
        for high in notes[index + 1 :]:
            if high.start_s >= low.start_s + low.length_s:
                break
            together = min(low.start_s + low.length_s, high.start_s + high.length_s) - high.start_s
            out[abs(high.pitch - low.pitch) % 12] += max(together, 0.0)
    return out


class Notes:
    """Statistics of the transcription of clips, and the embedding "notes".

    The embedding holds, for each pair of neighbouring keys, mean and deviation over time of the louder key's activity, and
    the mean of its onset; d = 132.
    """

    name = "notes"

    def __init__(self, threads: int | None = None) -> None:
        self.model = NoteModel(threads)

    def __call__(self, audio: np.ndarray, sample_rate_hz: int) -> Features:
        """Clips (n, C, S) -> statistics, one row per clip."""
        sounding, beginning = self.model(audio, sample_rate_hz)
        duration_s = audio.shape[-1] / sample_rate_hz
        rows: list[dict[str, object]] = []
        for clip_sounding, clip_beginning in zip(sounding, beginning, strict=True):
            notes = find_notes(clip_sounding, clip_beginning)
            lengths = [note.length_s for note in notes]
            rows.append(
                {
                    "notes_per_s": len(notes) / duration_s,
                    "polyphony": sum(lengths) / duration_s,
                    "note_length_s": float(np.mean(lengths)) if lengths else 0.0,
                    "confident_share": float((clip_sounding > ON).mean()),
                    "pitch_classes": pitch_classes(notes),
                    "intervals": intervals(notes),
                }
            )
        out = {name: np.array([row[name] for row in rows], np.float32) for name in rows[0]}
        out["embedding"] = note_embedding(sounding, beginning)
        return out


def note_embedding(sounding: np.ndarray, beginning: np.ndarray) -> np.ndarray:
    """(n, frames, 88) twice -> (n, 132)."""
    loud, struck = (
        values.reshape(*values.shape[:2], NUM_PITCHES // PITCH_GROUP, PITCH_GROUP).max(-1)
        for values in (sounding, beginning)
    )
    return np.concatenate([loud.mean(1), loud.std(1), struck.mean(1)], axis=1).astype(np.float32)
