"""Listening checks, pictures and the page."""

from __future__ import annotations

import base64
import io
import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

from mp3net.apps import inspect
from mp3net.config import AudioConfig
from mp3net.dsp.baseband import baseband
from mp3net.dsp.mdct import mdct
from mp3net.errors import Mp3netError
from mp3net.figures import png_bytes
from mp3net.inspection import drawings
from mp3net.inspection.album import ALBUM, PAGE_FILE, duration, facts
from mp3net.inspection.checks import ROOM, checks, write_whole
from mp3net.inspection.measuring import measure
from tests.recordings import music

RATE, BINS = 8000, 64
AUDIO = AudioConfig(sample_rate_hz=RATE, channels=2, num_bins=BINS)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("recordings") / "song <1>.flac"
    soundfile.write(path, 0.5 * music(9.0, RATE), RATE)
    return path


@pytest.fixture(scope="module")
def measured(file):
    return measure(file, AUDIO, passage_s=6.0)


def test_the_noise_is_that_of_training_and_white_noise_is_as_strong(measured):
    heard = checks(measured)
    np.testing.assert_allclose(heard.with_noise - heard.music, heard.noise, atol=2e-6)
    gain = np.abs(heard.music).max() / np.abs(drawings.imdct(measured.passage).numpy()).max()
    assert 0.9 < gain <= 1
    power = {name: float(np.square(getattr(heard, name) / gain).sum()) for name in ("noise", "music")}
    wanted = 4 * BINS * float(_threshold(measured).square().sum()) / 36
    assert power["noise"] == pytest.approx(wanted, rel=0.08)
    white = np.square((heard.with_white_noise - heard.music) / gain).sum()
    assert white == pytest.approx(power["noise"], rel=0.08)
    assert max(np.abs(sound).max() for sound in vars(heard).values()) <= 0.9991
    # White noise has as much in the highest octave as in all below; the masking noise of this music does not.
    share = {name: _highest_octave(sound) for name, sound in vars(heard).items()}
    assert share["noise"] < 0.1
    assert _highest_octave(heard.with_white_noise - heard.music) == pytest.approx(0.5, abs=0.05)


def _threshold(measured) -> torch.Tensor:
    return drawings.Psychoacoustics(RATE, BINS).masking_threshold(measured.passage)


def _highest_octave(sound: np.ndarray) -> float:
    power = mdct(torch.from_numpy(sound), BINS).square().mean((0, 1))
    return float(power[BINS // 2 :].sum() / power.sum())


def test_the_whole_recording_is_written_with_its_noise(measured, tmp_path):
    write_whole(measured, tmp_path / "both.flac", tmp_path / "noise.flac")
    both, noise = (soundfile.read(tmp_path / f"{name}.flac")[0].T for name in ("both", "noise"))
    music = torch.cat(list(measured.blocks()), 1).numpy()
    assert both.shape == noise.shape == music.shape
    np.testing.assert_allclose(both, ROOM * music + noise, atol=3e-7)
    level_db = 10 * math.log10(np.square(noise / ROOM).sum() / np.square(music).sum())
    assert level_db == pytest.approx(measured.noise_db, abs=0.1)


@pytest.mark.parametrize("offset", [-0.4, 0.0, 0.3])
def test_a_steady_sine_turns_by_its_distance_from_the_middle(offset):
    frequency = (20 + 0.5 + offset) / BINS  # times half the sample rate
    sine = torch.sin(math.pi * frequency * torch.arange(40 * BINS, dtype=torch.float64))[None]
    in_phase, quadrature = (part[0] for part in baseband(mdct(sine, BINS, edges="crop")))
    turn = drawings.turns(in_phase, quadrature)
    assert turn.shape == in_phase.shape
    np.testing.assert_allclose(turn[3:-3, 20], offset, atol=1e-4)


def test_the_steady_second_is_where_notes_are_held(tmp_path):
    noise = 0.3 * np.random.default_rng(0).standard_normal(6 * RATE).clip(-3, 3)
    tone = 0.1 * np.sin(2 * math.pi * 440 * np.arange(6 * RATE) / RATE)
    sound = np.where((np.arange(6 * RATE) // RATE) == 3, tone, noise)
    soundfile.write(tmp_path / "tone.wav", sound, RATE)
    measured = measure(tmp_path / "tone.wav", AUDIO, at_s=0, passage_s=6)
    second = drawings.steady_second(measured)
    assert (second.stop - second.start) * BINS == pytest.approx(RATE, abs=BINS)
    assert second.start * BINS / RATE == pytest.approx(3, abs=0.05)


def test_folds_end_above_a_kilohertz():
    counts = {
        (22016, 512): 3, (22016, 128): 3, (11008, 256): 2, (44100, 1024): 4, (8000, 64): 2, (22016, 6): 0, (2000, 64): 0,
    }  # fmt: skip
    for (rate, bins), count in counts.items():
        assert drawings.num_folds(AudioConfig(sample_rate_hz=rate, channels=1, num_bins=bins)) == count


@pytest.mark.parametrize("kind", ["silence", "shortest", "one-channel", "long"])
def test_pictures_of_unusual_recordings(tmp_path, kind):
    seconds = {"shortest": 0.5, "long": 61.0}.get(kind, 2.0)
    sound = music(seconds, RATE)[:, : 1 if kind == "one-channel" else 2] * (kind != "silence")
    soundfile.write(tmp_path / "file.wav", sound, RATE)
    measured = measure(tmp_path / "file.wav", AUDIO)
    for shown in ALBUM:
        assert png_bytes(shown.draw(measured)).startswith(b"\x89PNG")
    checks(measured)


def test_durations_are_said_in_words():
    assert [duration(seconds) for seconds in (4.25, 60.4, 3599.4, 3600, 7800)] == [
        "4.2 s", "1 min 00 s", "59 min 59 s", "1 h 00 min", "2 h 10 min",
    ]  # fmt: skip


def test_the_command_leaves_a_page_that_needs_nothing_else(mp3net, file, tmp_path):
    status, out, err = mp3net("inspect", file, "--preset", "nano-1.5s", "--seconds", 2)
    assert (status, err) == (0, "")
    folder = tmp_path / "song <1>-nano-1.5s-inspection"
    page = (folder / "inspection.html").read_text()
    assert "Inspection of song &lt;1&gt;.flac" in page
    assert all(source.startswith("data:") for source in re.findall(r"(?:src|href)='([^']*)'", page))
    assert not re.search("https?:", page)
    numbers = json.loads((folder / "inspection.json").read_text())
    assert f"below the masking threshold: {numbers['masked_share']:.1%} of the coefficients" in out
    assert len(numbers["bins"]["power"]) == 64
    sounds = [base64.b64decode(data) for data in re.findall(r"audio/flac;base64,([^']+)'", page)]
    lengths = {soundfile.info(io.BytesIO(sound)).duration for sound in sounds}
    assert len(sounds) == 4
    assert len(lengths) == 1
    assert 2 <= lengths.pop() < 2.02
    pictures = [base64.b64decode(data) for data in re.findall(r"image/png;base64,([^']+)'", page)]
    assert pictures == [(folder / shown.file).read_bytes() for shown in ALBUM]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["inspection.html", "inspection.json", *(shown.file for shown in ALBUM)]
    )


def test_the_command_says_what_it_cannot_do(mp3net, file, tmp_path):
    assert mp3net("inspect", "nothing.wav")[2] == "error: nothing.wav: no such file\n"
    assert mp3net("inspect", tmp_path)[2] == f"error: {tmp_path}: is a folder; name one recording\n"
    assert "--seconds 0.1: choose from 0.5 to 60" in mp3net("inspect", file, "--seconds", 0.1)[2]
    assert "unknown preset" in mp3net("inspect", file, "--preset", "no")[2]
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "mine.txt").write_text("mine")
    status, _, err = mp3net("inspect", file, "--out", "kept")
    assert (status, err) == (
        2,
        "error: kept: holds other files, such as mine.txt; name a new folder with --out\n",
    )
    assert mp3net("inspect", file, "--out", "kept", "--force")[0] == 2, "what is not ours is never mixed with ours"
    assert mp3net("inspect", file, "--at", "1:5x")[2] == (
        "error: --at 1:5x: give seconds, or minutes:seconds, such as 65 or 1:05\n"
    )


def test_where_a_passage_begins_is_written_as_people_write_times(mp3net, file, monkeypatch):
    asked = []
    monkeypatch.setattr(inspect, "measure", lambda _, audio, at_s, *others: asked.append(at_s) or 1 / 0)
    with pytest.raises(Mp3netError, match="^--at 1:75: give seconds, or minutes:seconds"):
        inspect.run(inspect.Request(file, None, "nano-1.5s", "1:75", 1.0, False, False))
    for text in ("65", "1:05", "0:01:05.25", "1.5"):
        with pytest.raises(ZeroDivisionError):
            inspect.run(inspect.Request(file, None, "nano-1.5s", text, 1.0, False, False))
    assert asked == [65, 65, 65.25, 1.5]


def test_a_silent_passage_is_said_to_be_one(tmp_path):
    sound = np.concatenate([0.5 * music(4.0, RATE), np.zeros((4 * RATE, 2))])
    soundfile.write(tmp_path / "half.wav", sound, RATE)
    for at_s, silent in ((0.0, False), (5.0, True)):
        found = measure(tmp_path / "half.wav", AUDIO, at_s=at_s, passage_s=2)
        assert found.passage_is_silent == silent
        assert ("passage" in dict(facts(found))) == silent


def test_an_inspection_is_replaced_only_by_force(mp3net, file, tmp_path, monkeypatch):
    monkeypatch.setattr(inspect, "save_album", lambda _, out: (out / PAGE_FILE).write_text("page"))
    arguments = ("inspect", file, "--preset", "nano-1.5s", "--seconds", 1, "--out", "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mdct.png").write_text("left by an interrupted inspection")
    assert mp3net(*arguments, "--sounds")[0] == 0
    assert soundfile.info(tmp_path / "out" / "noise.flac").duration == pytest.approx(9, abs=0.01)
    status, _, err = mp3net(*arguments)
    assert (status, err) == (
        2, "error: out: holds an inspection already; give --force to replace it, or --out to keep both\n",
    )  # fmt: skip
    assert mp3net(*arguments, "--force")[0] == 0


PEAK_MEMORY = """
import resource, sys
from mp3net.apps.cli import main
sys.argv = ["mp3net", "inspect", sys.argv[1], "--force", "--out", "out", "--preset", "nano-1.5s", "--sounds"]
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path):
    peaks_kib = []
    for minutes in (2, 60):
        path = tmp_path / f"{minutes}.wav"
        with soundfile.SoundFile(path, "w", 11025, 2) as file:
            for number in range(minutes):
                file.write(0.5 * music(60.0, 11025, seed=number))
        command = [sys.executable, "-c", PEAK_MEMORY, str(path)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        peaks_kib.append(int(done.stdout.splitlines()[-1]))
    assert peaks_kib[1] < peaks_kib[0] + 80_000
