"""Streams, settings of songs, and what files say about their making."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mp3net import MP3net
from mp3net.config import override, preset
from mp3net.dsp.beats import Beat
from mp3net.errors import Mp3netError
from mp3net.evaluation.structure import structure_features
from mp3net.generation import SongSettings, read_origin
from mp3net.generation.latents import MAX_SEED, PARTS_AROUND, around, between, keep_the_beat, latent, normal
from mp3net.generation.song_settings import checked
from mp3net.model.build import build_generator

MODEL = preset("mp3net2-6s").model
PAPER = preset("micro-6s").model


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, MP3net]:
    """The bundled model as it plays and by PyTorch, a stereo model of the second family, and one of the paper's."""
    stereo = override(preset("mp3net2-nano"), ["audio.channels=2", "model.width=32", "model.deep_width=32"])
    made = {"bundled": MP3net.from_pretrained(), "bfloat16": MP3net.from_pretrained(precision="bfloat16")}
    for name, config in (("stereo", stereo), ("paper", preset("micro-6s"))):
        generator = build_generator(config)
        generator.initialise(torch.Generator().manual_seed(0))
        made[name] = MP3net(generator.eval().requires_grad_(False), config)
    return made


@pytest.mark.parametrize("window_s", [0.3, 1.0, 4.0, 100.0])
@pytest.mark.parametrize("name", ["bundled", "stereo", "paper"])
def test_a_stream_is_the_song(models, name, window_s):
    model = models[name]
    duration_s = None if name == "paper" else 7.3
    whole = model.generate(5, duration_s).audio
    pieces = list(model.stream(5, window_s, duration_s))
    together = np.concatenate(pieces, 1)
    assert together.shape == whole.shape
    assert np.abs(together - whole).max() < 1e-5 * np.abs(whole).max()
    hop_s = model.config.audio.hop_length / model.config.audio.sample_rate_hz
    assert pieces[0].shape[1] / model.config.audio.sample_rate_hz <= min(window_s, 1.0) + hop_s
    assert window_s > whole.shape[1] / model.config.audio.sample_rate_hz or len(pieces) > 1


@pytest.mark.parametrize("name", ["bundled", "stereo", "paper"])
def test_one_by_one_or_in_batches(models, name):
    """A batch of four gives the samples of four songs, up to rounding."""
    model = models[name]
    songs = [model.generate(seed, model.song_duration_s).audio for seed in range(4)]
    batch = model.render(torch.cat([model.latent(seed) for seed in range(4)])).numpy()
    for alone, together in zip(songs, batch, strict=True):
        assert np.abs(alone - together).max() < 3e-5 * np.abs(alone).max()


def test_a_stream_in_bfloat16_is_close(models):
    whole = models["bfloat16"].generate(5, 7.3).audio
    together = np.concatenate(list(models["bfloat16"].stream(5, 1.0, 7.3)), 1)
    assert np.sqrt(np.mean((together - whole) ** 2)) < 0.1 * whole.std()


def test_seams_are_no_worse_than_the_interior(models):
    """At the seams of a stream the second differences of the signal are what they are elsewhere, in one stream and in none."""
    pieces = list(models["bundled"].stream(5, 0.5, 30.0))
    audio = np.concatenate(pieces, 1)[0]
    bends = np.abs(np.diff(audio, 2))
    ends = np.cumsum([piece.shape[1] for piece in pieces])[:-1]
    at_seams = np.array([bends[end - 3 : end + 3].max() for end in ends])
    elsewhere = np.array([bends[place - 3 : place + 3].max() for place in range(3, len(bends) - 3, 6)])
    assert len(ends) > 50
    assert 0.5 * np.median(elsewhere) < np.median(at_seams) < 2 * np.median(elsewhere)
    assert at_seams.max() <= elsewhere.max()


def test_pieces_are_made_as_they_are_asked_for(models, monkeypatch):
    asked = []
    sound = models["bundled"].player.sound
    monkeypatch.setattr(models["bundled"].player, "sound", lambda *args: asked.append(args[1:]) or sound(*args))
    stream = models["bundled"].stream(1, 5.0, 3600.0)
    assert asked == []
    next(stream)
    next(stream)
    assert len(asked) == 2
    assert asked[1][1] < 300, "an hour has 154,800 frames"


def test_what_a_stream_cannot_do(models):
    for settings_, word in (({"normalize": True}, "normalize"), ({"window_s": 0.0}, "window_s"), ({"form": "A"}, "form")):
        with pytest.raises(Mp3netError, match=word):
            models["bundled"].stream(1, **settings_)
    with pytest.raises(Mp3netError, match="one latent for the whole track"):
        models["paper"].stream(1, local_seed=3)
    with pytest.raises(Mp3netError, match="one length"):
        models["paper"].stream(1, duration_s=30.0)


@pytest.mark.parametrize("name", ["bundled", "paper"])
def test_a_morph_begins_and_ends_with_its_seeds(models, name, monkeypatch):
    """But for where in its bar the last one is: the beat goes on."""
    model = models[name]
    rate, duration_s = model.config.audio.sample_rate_hz, None if name == "paper" else 12.0
    begun, begin = [], model.player.begin
    with monkeypatch.context() as recorded:
        recorded.setattr(model.player, "begin", lambda z: begun.append(z) or begin(z))
        morph = model.generate(3, duration_s, path=(8,)).audio
    first = model.generate(3, duration_s)
    z = model._z(first.origin.settings if first.origin else SongSettings(seed=3, duration_s=duration_s), 8)
    if name == "bundled":
        place = model.config.model.beat_place + 1
        moved = np.abs(begun[-1] - z[: len(begun[-1])]) > 1e-5
        assert np.flatnonzero(moved).tolist() == [place]
        z[place] = begun[-1][place]
    with monkeypatch.context() as moved_on:
        moved_on.setattr(model, "_z", lambda *_: z)
        last = model.generate(8, duration_s).audio
    first = first.audio
    second = slice(0, rate), slice(-rate, None)
    assert np.abs(morph[:, second[0]] - first[:, second[0]]).max() < 1e-5 * np.abs(first).max()
    assert np.abs(morph[:, second[1]] - last[:, second[1]]).max() < 1e-5 * np.abs(last).max()
    middle = slice(morph.shape[1] // 3, 2 * morph.shape[1] // 3)
    assert min(np.abs(morph[:, middle] - other[:, middle]).max() for other in (first, last)) > 0.1 * np.abs(morph).max()
    streamed = np.concatenate(list(model.stream(3, 1.0, duration_s, path=(8,))), 1)
    assert np.abs(streamed - morph).max() < 1e-5 * np.abs(morph).max()
    # No clicks where one step fades into the next.
    bends = np.abs(np.diff(morph, 2)).max(0)
    assert bends.max() < 1.5 * max(np.abs(np.diff(other, 2)).max() for other in (first, last))


def test_steps_of_a_long_morph_are_made_from_what_is_around_them(models, monkeypatch):
    """They cost no more than those of a short one, sound nearly as they would from the whole track, and tones go on."""
    model = models["bundled"]
    family = model.config.model
    begun, begin = [], model.player.begin
    monkeypatch.setattr(model.player, "begin", lambda z: begun.append(len(z)) or begin(z))
    morph = model.generate(3, 90.0, path=(8,)).audio
    most = (
        2 * PARTS_AROUND + 3 + 4 * family.partials_per_bin // math.gcd(family.frames_per_part, 4 * family.partials_per_bin)
    )
    assert max(begun) <= family.common_size + most * family.part_size < family.latent_size(model.latent_frames(90.0)) / 2
    monkeypatch.setattr("mp3net.generation.mp3net.around", lambda z, *_: (z, 0))
    whole = model.generate(3, 90.0, path=(8,)).audio
    assert 0 < np.sqrt(np.mean((morph - whole) ** 2) / np.mean(whole**2)) < 0.3


@pytest.mark.parametrize(("frames_per_part", "per_bin"), [(64, 8), (64, 3), (48, 8)])
def test_what_is_around_begins_with_the_clock(frames_per_part, per_bin):
    base = frames_per_part // 16
    model = preset("mp3net2-6s").model.model_copy(update={"base_frames": base, "partials_per_bin": per_bin})
    assert model.frames_per_part == frames_per_part
    z = np.arange(model.common_size + 100 * model.part_size)
    for first, last in (
        (0, 10),
        (1500, 1600),
        (50 * frames_per_part, 50 * frames_per_part + 1),
        (99 * frames_per_part, 100 * frames_per_part),
    ):
        few, begins = around(z, model, first, last)
        assert begins % (4 * per_bin) == 0
        parts = few[model.common_size :].reshape(-1, model.part_size)
        assert parts[0, 0] == model.common_size + begins // frames_per_part * model.part_size
        assert begins <= max(first - 7 * frames_per_part, 0)
        assert begins + len(parts) * frames_per_part >= min(last + 7 * frames_per_part, 100 * frames_per_part)
        assert np.array_equal(few[: model.common_size], z[: model.common_size])


def test_the_beat_goes_on_from_step_to_step():
    """Two steps of a path, made from pieces that begin anywhere: the second goes on where in its bar the first has ended."""
    model = preset("mp3net2-6s").model
    beat_frames = np.linspace(15, 30, 33).astype(np.float32)
    beat = slice(model.beat_place, model.key_place)
    first, second = (normal(seed, model.latent_size(256)) for seed in (4, 5))
    was = first.copy(), second.copy()
    bars = keep_the_beat(first, model, beat_frames, 0, 65, None)
    assert np.array_equal(first, was[0])
    assert bars == pytest.approx(float(Beat.of(first[beat], beat_frames).bars(np.array(65))))
    later = keep_the_beat(second, model, beat_frames, 700, 765, bars)
    tempo = Beat.of(second[beat], beat_frames)
    assert float(tempo.bars(np.array(700))) % 1 == pytest.approx(bars % 1, abs=1e-4)
    assert later % 1 == pytest.approx((bars + 65 / tempo.bar_frames) % 1, abs=1e-4)
    assert tempo.bar_frames == Beat.of(was[1][beat], beat_frames).bar_frames
    assert np.flatnonzero(second != was[1]).tolist() == [model.beat_place + 1]
    assert keep_the_beat(second, model, None, 0, 65, None) is None


def test_the_steps_of_a_morph_fade_into_each_other(models, monkeypatch):
    """With a sound that is one number per step, nothing jumps, and every step is reached."""
    model = models["bundled"]
    monkeypatch.setattr(model.player, "begin", lambda z: z[0])
    monkeypatch.setattr(model.player, "sound", lambda z, first, last: np.full((1, (last - first - 1) * 256), z, np.float32))
    audio = model.generate(3, 12.0, path=(8,)).audio[0, 200:-200]
    size = model.config.model.latent_size(model.latent_frames(12.0))
    values = [between(*(normal(seed, size) for seed in (3, 8)), step / 7)[0] for step in range(8)]
    assert np.abs(np.diff(audio)).max() <= 1.01 * np.abs(np.diff(values)).max() / (4 * 256 - 1)
    found = [audio[round((step + 0.6) / 8 * len(audio))] for step in range(8)]
    np.testing.assert_allclose(found, values, atol=1e-4)


def test_repeated_sections_are_heard_and_found_by_the_structure_metrics(models):
    """ABA: the last third repeats the first, as a spectrum and as the metrics of structure hear it."""
    model, rate, seeds = models["bundled"], 11008, range(4, 10)
    made = {form: np.stack([model.generate(seed, 26.7, form=form).audio for seed in seeds]) for form in ("", "ABA")}
    third = 64 * 256 * 6  # 18 parts of 64 frames
    found = {}
    for form, audio in made.items():
        first, last = (np.abs(np.fft.rfft(audio[:, 0, start + 2 * rate : start + 5 * rate])) for start in (0, 2 * third))
        alike = [float(np.corrcoef(a, b)[0, 1]) for a, b in zip(first, last, strict=True)]
        features = structure_features(audio, rate)
        found[form] = {"alike": alike} | {name: features[name].mean() for name in ("recurrence", "thirds_chroma")}
    # The beat goes on, so that a section returns at another place of its bar.
    assert min(found["ABA"]["alike"]) > 0.82
    # Each beside its own seed's: how alike a song without sections is depends on its chords.
    assert min(np.subtract(found["ABA"]["alike"], found[""]["alike"])) > 0.05
    assert found["ABA"]["thirds_chroma"] > found[""]["thirds_chroma"] + 0.05
    assert found["ABA"]["recurrence"] > found[""]["recurrence"] + 0.05


def test_a_variation_goes_as_far_as_it_is_told():
    base, other = latent(SongSettings(seed=3), MODEL, 256), None
    angles = []
    for strength in (0.0, 0.1, 0.5, 1.0):
        z = latent(SongSettings(seed=3, variation=4, strength=strength), MODEL, 256)
        assert z.std() == pytest.approx(1, abs=0.03), "still normal"
        angles.append(np.degrees(np.arccos(np.clip(z @ base / np.linalg.norm(z) / np.linalg.norm(base), -1, 1))))
        other = z
    np.testing.assert_allclose(angles, [0, 9, 45, 90], atol=2)
    assert not np.array_equal(other, latent(SongSettings(seed=3, variation=5, strength=1.0), MODEL, 256))


def test_the_same_manner_keeps_the_global_latent_and_the_phases():
    a, b = latent(SongSettings(seed=3), MODEL, 256), latent(SongSettings(seed=3, local_seed=9), MODEL, 256)
    common = MODEL.common_size
    assert np.array_equal(a[:common], b[:common])
    assert np.array_equal(b[common:], normal(9, len(b))[common:])


def test_truncation_scales_what_steers_and_nothing_else():
    a, b = latent(SongSettings(seed=3), MODEL, 128), latent(SongSettings(seed=3, truncation=0.5), MODEL, 128)
    expected = a.copy()
    expected[:128] *= 0.5
    for part in (MODEL.common_size, MODEL.common_size + MODEL.part_size):
        expected[part : part + 128] *= 0.5
    np.testing.assert_array_equal(b, expected)
    np.testing.assert_array_equal(latent(SongSettings(seed=3, truncation=0.5), PAPER, 1024), 0.5 * normal(3, 128))


@given(st.integers(0, MAX_SEED), st.integers(0, MAX_SEED), st.integers(1, 300))
@settings(deadline=None, max_examples=50)
def test_interpolation_stays_on_the_sphere(first, second, size):
    a, b = normal(first, size), normal(second, size)
    assert np.array_equal(between(a, b, 0), a) or np.allclose(between(a, b, 0), a, atol=1e-5)
    assert np.allclose(between(a, b, 1), b, atol=1e-4)
    if abs(a @ b) < 0.999 * np.linalg.norm(a) * np.linalg.norm(b):
        unit_a, unit_b = a / np.linalg.norm(a), b / np.linalg.norm(b)
        path = [between(unit_a, unit_b, share) for share in (0, 0.25, 0.5, 0.75, 1)]
        assert all(np.linalg.norm(point) == pytest.approx(1, abs=1e-4) for point in path)
        steps = [float(x @ y) for x, y in pairwise(path)]
        assert max(steps) - min(steps) < 1e-4, "equal steps"


@given(
    st.fixed_dictionaries(
        {"seed": st.one_of(st.integers(-5, 2**33), st.floats(), st.text(max_size=3), st.booleans(), st.none())},
        optional={
            "duration_s": st.one_of(st.floats(), st.integers(-10, 10**9), st.none(), st.text(max_size=2)),
            "truncation": st.one_of(st.floats(), st.none()),
            "strength": st.floats(),
            "variation": st.integers(-1, 2**33),
            "form": st.text(max_size=30),
            "path": st.one_of(st.lists(st.integers(-1, 2**33), max_size=4), st.none()),
            "local_seed": st.one_of(st.integers(-1, 2**33), st.floats()),
            "unknown": st.integers(),
        },
    )
)
@settings(deadline=None, max_examples=300)
def test_settings_are_valid_or_refused_in_one_line(wanted):
    try:
        found = checked(wanted)
    except Mp3netError as refused:
        found, words = None, str(refused)
    if found is None:
        assert "\n" not in words
        return
    assert 0 <= found.seed <= MAX_SEED
    assert checked(json.loads(found.model_dump_json())) == found


def test_settings_that_would_not_say_what_they_do_are_refused():
    model = MP3net.from_pretrained()
    for wrong, message in (
        ({"variation": 1}, "variation: give a strength too"),
        ({"streamed": True}, "streamed: tells how a file was written"),
    ):
        with pytest.raises(Mp3netError, match=message):
            model.generate(7, 1.0, **wrong)
    with pytest.raises(Mp3netError, match="precision 'x': choose one of float32, bfloat16"):
        MP3net.from_pretrained(precision="x")
    assert checked({"seed": 1, "form": "aba"}).form == "ABA"


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_files_say_how_they_were_made(models, tmp_path, ending):
    given_ = {"truncation": 0.8, "variation": 2, "strength": 0.25, "form": "ABA", "normalize": True}
    song = models["bundled"].generate(7, 5.9, **given_)
    song.save(tmp_path / f"a.{ending}")
    origin = read_origin(tmp_path / f"a.{ending}")
    assert origin == song.origin
    assert origin.settings == SongSettings(seed=7, duration_s=5.9, **given_)
    assert origin.snapshot == models["bundled"].snapshot.digest
    again = models["bundled"].song(origin.settings)
    assert np.array_equal(again.audio, song.audio)


def test_songs_of_no_snapshot_say_nothing(models, tmp_path):
    models["paper"].generate(1).save(tmp_path / "a.wav")
    with pytest.raises(Mp3netError, match="carries no word of how it was made"):
        read_origin(tmp_path / "a.wav")
    soundfile.write(tmp_path / "b.wav", np.zeros(100), 8000)
    for name, message in (("b.wav", "carries no word"), ("none.wav", "no such file")):
        with pytest.raises(Mp3netError, match=message):
            read_origin(tmp_path / name)


@pytest.mark.parametrize("comment", ['{"mp3net": "0.1"}', "mp3net", '{"mp3net": 1, "settings": {"seed": -1}}', '["mp3net"]'])
def test_damaged_words_are_named(tmp_path, comment):
    with soundfile.SoundFile(tmp_path / "a.wav", "w", 8000, 1) as file:
        file.comment = comment
        file.write(np.zeros(10))
    with pytest.raises(Mp3netError, match="damaged words"):
        read_origin(tmp_path / "a.wav")
