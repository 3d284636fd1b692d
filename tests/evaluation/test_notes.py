"""The note model on known notes, and the statistics of transcriptions on made-up ones."""

from __future__ import annotations

import numpy as np
import pytest

from mp3net.errors import Mp3netError
from mp3net.evaluation import notes
from mp3net.evaluation.embeddings import resample, wheel_file
from mp3net.evaluation.ladder import random_signs
from mp3net.evaluation.notes import Note, NoteModel, Notes, find_notes, intervals, pitch_classes

RATE = 22016


def tone(pitch: int, seconds: float) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    return sum(np.sin(2 * np.pi * k * frequency * time) / k**2 for k in range(1, 7)) * np.exp(-2 * time)


def score(events: list[tuple[int, float, float]], seconds: float) -> np.ndarray:
    """(pitch, start, length) -> (1, 1, S)."""
    out = np.zeros(round(seconds * RATE))
    for pitch, start, length in events:
        begin = round(start * RATE)
        sound = tone(pitch, length)
        out[begin : begin + len(sound)] += sound
    return (0.2 * out).astype(np.float32)[None, None]


EVENTS = [(60, 0.5, 0.9), (64, 1.5, 0.9), (67, 2.5, 0.9), (55, 3.5, 1.2), (72, 3.5, 1.2), (62, 5.2, 0.7)]


@pytest.fixture(scope="module")
def heard() -> list[Note]:
    sounding, beginning = NoteModel()(score(EVENTS, 6.5), RATE)
    assert sounding.shape == beginning.shape == (1, int(6.5 * 22050 / 256), 88)
    assert 0 <= sounding.min() <= sounding.max() <= 1
    return find_notes(sounding[0], beginning[0])


def test_model_hears_known_notes_where_they_are(heard):
    # Across the borders of its 2 s windows too.
    for pitch, start, _ in EVENTS:
        assert any(note.pitch == pitch and abs(note.start_s - start) < 0.06 for note in heard), (pitch, start)
    wrong = [note for note in heard if note.pitch not in {pitch for pitch, _, _ in EVENTS}]
    assert len(wrong) <= 1


def test_model_hears_nothing_without_pitch():
    clip = score(EVENTS, 6.5)
    fake = random_signs(clip[0], RATE, np.random.default_rng(0))[None]
    features = [Notes()(audio, RATE) for audio in (clip, fake, np.zeros_like(clip))]
    shares = [float(f["confident_share"][0]) for f in features]
    assert shares[0] > 0.005
    assert shares[1] < 0.1 * shares[0]
    assert shares[2] == 0
    assert features[2]["notes_per_s"][0] == 0
    assert features[2]["note_length_s"][0] == 0


def test_statistics_of_a_known_score():
    extractor = Notes()
    features = extractor(score(EVENTS, 6.5), RATE)
    sounding, beginning = extractor.model(score(EVENTS, 6.5), RATE)
    heard = find_notes(sounding[0], beginning[0])
    assert features["polyphony"][0] == pytest.approx(sum(note.length_s for note in heard) / 6.5, rel=1e-5)
    assert features["note_length_s"][0] == pytest.approx(np.mean([note.length_s for note in heard]), rel=1e-5)
    assert features["confident_share"][0] == pytest.approx((sounding > 0.5).mean(), rel=1e-5)
    assert features["notes_per_s"][0] == pytest.approx(6 / 6.5, rel=0.2)
    assert features["pitch_classes"].shape == (1, 12)
    assert set(np.argsort(-features["pitch_classes"][0])[:4]) <= {0, 2, 4, 7}
    assert features["intervals"][0].argmax() == 5  # G below C: 17 semitones, a fourth over the octave
    assert features["embedding"].shape == (1, 132)


def test_find_notes_by_hand():
    sounding, beginning = np.zeros((2, 100, 88))
    beginning[10, 40] = 0.9
    sounding[10:40, 40] = 0.8
    beginning[25, 40] = 0.7  # struck again
    beginning[50, 3] = 0.6
    sounding[50:54, 3] = 0.9  # too short
    beginning[70, 60] = 0.4  # too unsure
    sounding[70:99, 60] = 0.9
    found = find_notes(sounding, beginning)
    frame_s = 256 / 22050
    assert [(note.pitch, round(note.start_s / frame_s), round(note.length_s / frame_s)) for note in found] == [
        (61, 10, 15),
        (61, 25, 15),
    ]


def test_pitch_classes_and_intervals_by_hand():
    played = [Note(60, 0.0, 2.0), Note(67, 1.0, 2.0), Note(76, 2.5, 1.0)]
    classes, together = np.zeros(12), np.zeros(12)
    classes[[0, 7, 4]] = 2, 2, 1
    together[7] = 1.0  # C and G from 1 to 2 s
    together[9] = 0.5  # G and E from 2.5 to 3 s
    assert np.allclose(pitch_classes(played), classes)
    assert np.allclose(intervals(played), together)


def test_batches_do_not_change_results():
    clips = np.concatenate([score(EVENTS[:3], 5.0), score(EVENTS[1:4], 5.0)])
    model = NoteModel()
    together, alone = model(clips, RATE)[0], np.concatenate([model(clip[None], RATE)[0] for clip in clips])
    assert np.allclose(together, alone, atol=1e-5)


def test_resample_mixes_channels_and_keeps_time():
    clip = np.stack([np.sin(np.arange(22016) * 0.1), np.zeros(22016)])[None].astype(np.float32)
    out = resample(clip, 22016, 11008)
    assert out.shape == (1, 11008)
    expected = 0.5 * np.sin(np.arange(11008) * 0.2)
    assert np.abs(out[0] - expected)[200:-200].max() < 1e-3


def test_missing_or_foreign_weights_name_the_remedy():
    with pytest.raises(Mp3netError, match="not installed; install it with: pip install x"):
        wheel_file("no_such_package_here", "a", "0", "pip install x")
    with pytest.raises(Mp3netError, match="not the file that this version knows"):
        wheel_file("basic_pitch", "saved_models/icassp_2022/nmp.onnx", "0" * 64, notes.INSTALL)
