"""Which intervals songs have, beside those of recordings.

    python benchmarks/intervals.py DATA RUN...

Clips of 5.9 s of the lab's seeds, 96 each. First as basic-pitch hears them: the shares, in percent, of the time that two
notes sound together, by their interval modulo the octave; notes per second; and of pairs of notes that begin within a
second of each other, the shares of each distance of up to an octave. Then as training compares them
(`model/mp3net2/intervals.py`, with the networks' own front-end and without masking noise): the squared distance of the
mean profile from that of training recordings; for each lag the root mean square over intervals of the difference in
standard errors, 1 if nothing differs but the clips; and how often each interval of chords, from 0 to 12 semitones, sounds
in songs for every time in training recordings.
"""

from __future__ import annotations

import numpy as np
import torch
from lab.ears import Ears, clips_beside, data_and_runs

from mp3net.evaluation.notes import NoteModel, find_notes, intervals
from mp3net.model.mp3net2.intervals import RARE, WIDEST, interval_profile

COUNT = 96
LAGS = (0, 8, 16, 32)


def heard(audio: np.ndarray, rate: int) -> str:
    """What basic-pitch says of clips (n, 1, S)."""
    found = [find_notes(*clip) for clip in zip(*NoteModel()(audio, rate), strict=True)]
    together = np.sum([intervals(notes) for notes in found], 0)
    steps = np.zeros(13)
    for notes in found:
        for number, note in enumerate(notes):
            for later in notes[number + 1 :]:
                if 0.05 < later.start_s - note.start_s < 1 and abs(later.pitch - note.pitch) <= 12:
                    steps[abs(later.pitch - note.pitch)] += 1
    shares, followed = (" ".join(f"{100 * value / many.sum():.1f}" for value in many) for many in (together, steps))
    per_s = sum(map(len, found)) * rate / audio[:, 0].size
    return f"together {shares}; {per_s:.1f} notes/s; within a second {followed}"


def profiles(clips: np.ndarray, ears: Ears) -> torch.Tensor:
    """Profiles (n, lags, 49) of clips."""
    return torch.cat([interval_profile(features, ears.audio, LAGS) for features in ears.features(clips)])


def compared(real: torch.Tensor, made: torch.Tensor) -> str:
    difference = made.mean(0) - real.mean(0)
    errors = ((real.var(0) + made.var(0)) / COUNT).sqrt()
    away = (difference / errors).square().mean(1).sqrt()
    of_real, of_songs = (profile.mean(0)[0, WIDEST : WIDEST + 13].square() - RARE for profile in (real, made))
    by_lag = " ".join(f"{value:.1f}" for value in away.tolist())
    ratios = " ".join(f"{value:.2f}" for value in (of_songs / of_real).tolist())
    return f"gap {float(difference.square().sum()):.4f}; by lag {by_lag}; of each interval {ratios}"


def main() -> None:
    options = data_and_runs(__doc__)
    ears = Ears(options.runs[0])
    real = None
    for name, made in clips_beside(options.data, options.runs, ears.audio, COUNT):
        clips = made.astype(np.float32)
        print(f"{name}: {heard(clips, ears.audio.sample_rate_hz)}", flush=True)
        profile = profiles(clips, ears)
        if real is None:
            real = profile
        else:
            print(f"{name}: {compared(real, profile)}", flush=True)


if __name__ == "__main__":
    main()
