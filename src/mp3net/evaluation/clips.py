"""Sets of clips to be compared: real ones drawn from a dataset, generated ones, or the files of a folder."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mp3net.audio.decoding import UnusableAudioError, probe
from mp3net.audio.reading import Stream, read
from mp3net.config import DataConfig
from mp3net.data.index import Entry, Index
from mp3net.data.recordings import find_files
from mp3net.data.storage import LocalStore
from mp3net.errors import Mp3netError
from mp3net.generation import MAX_SEED, MP3net
from mp3net.words import counted, mono_or_stereo

# Nearest neighbours, covariances and half-samples of fewer clips are meaningless.
MIN_CLIPS = 32
MIN_PIECES = 4
MIN_SEEDS = 32
SILENT_PEAK = 1e-4


class Slot(NamedTuple):
    """Where a clip is cut out: the number of its unit (piece, file or song), and the first sample there."""

    unit: int
    start: int


@dataclass(frozen=True)
class ClipFormat:
    """What all clips of one evaluation have in common."""

    sample_rate_hz: int
    channels: int
    clip_samples: int


class ClipSet(ABC):
    """Clips of one length, read on demand.

    Clips of one unit are not independent; `names` are those of the units by number. `identity` encodes what the clips depend
    on, for caching. The first `distinct` clips differ; the rest repeat them in turn. `notes` are remarks for the report.
    """

    def __init__(self, name: str, form: ClipFormat, slots: Sequence[Slot], names: Sequence[str], identity: str = "") -> None:
        self.name = name
        self.form = form
        self.slots = slots
        self.names = names
        self.identity = identity
        self.distinct = len(slots)
        self.notes: list[str] = []
        self.units = np.array([slot.unit for slot in slots])
        self.sources = [names[slot.unit] for slot in slots]
        self.positions_s = [slot.start / form.sample_rate_hz for slot in slots]

    def __len__(self) -> int:
        return len(self.slots)

    @abstractmethod
    def read(self, index: int) -> np.ndarray:
        """Clip `index` as float32 (C, S)."""

    def batch(self, first: int, last: int) -> np.ndarray:
        """Clips first .. last - 1 as (n, C, S); Mp3netError for samples that are not finite."""
        clips = np.stack([self.read(index) for index in range(first, last)])
        if not np.isfinite(clips).all():
            bad = first + int(np.argmin(np.isfinite(clips).all((1, 2))))
            raise Mp3netError(f"{self.sources[bad]}: holds samples that are not finite (NaN or infinity)")
        return clips


class FirstClips(ClipSet):
    """The first clips of a set."""

    def __init__(self, clips: ClipSet, count: int) -> None:
        super().__init__(clips.name, clips.form, clips.slots[:count], clips.names, f"{clips.identity}/first {count}")
        self._clips = clips

    def read(self, index: int) -> np.ndarray:
        return self._clips.read(index)


class PieceClips(ClipSet):
    """Clips of prepared recordings."""

    def __init__(
        self, name: str, store: LocalStore, entries: list[Entry], form: ClipFormat, slots: list[Slot], identity: str
    ) -> None:
        super().__init__(name, form, slots, [str(entry["piece"]) for entry in entries], identity)
        self._open = lru_cache(None)(lambda unit: store.open(entries[unit]))

    def read(self, index: int) -> np.ndarray:
        slot = self.slots[index]
        return self._open(slot.unit).read(slot.start, self.form.clip_samples)


class CutClips(ClipSet):
    """Clips cut out of whole sounds; only the latest sound is kept, since clips are read in order."""

    _latest: tuple[int, np.ndarray] | None = None

    @abstractmethod
    def sound(self, unit: int) -> np.ndarray:
        """A whole sound (C, S)."""

    def read(self, index: int) -> np.ndarray:
        slot = self.slots[index]
        if self._latest is None or self._latest[0] != slot.unit:
            self._latest = None  # two long songs at a time may be too many
            self._latest = (slot.unit, self.sound(slot.unit))
        return self._latest[1][:, slot.start : slot.start + self.form.clip_samples]


class SongClips(CutClips):
    """Clips of generated songs, unit 0 being that of the first seed."""

    def __init__(
        self, model: MP3net, first_seed: int, duration_s: float | None, form: ClipFormat, slots: list[Slot]
    ) -> None:
        digest = model.snapshot.digest if model.snapshot is not None else "unsaved"
        identity = f"{digest}/{model.precision}/{first_seed}/{len(slots)}/{form.clip_samples}"
        names = [f"seed {first_seed + unit}" for unit in range(slots[-1].unit + 1)]
        super().__init__("judged", form, slots, names, identity)
        self.model, self.first_seed, self.duration_s = model, first_seed, duration_s

    def sound(self, unit: int) -> np.ndarray:
        return self.model.generate(self.first_seed + unit, self.duration_s).audio


class FileClips(CutClips):
    """Clips of audio files, all multiplied by `gain`."""

    def __init__(
        self, folder: Path, files: list[Path], gain: float, form: ClipFormat, slots: list[Slot], identity: str
    ) -> None:
        super().__init__("judged", form, slots, [str(file.relative_to(folder)) for file in files], identity)
        self.files, self.gain = files, gain

    def sound(self, unit: int) -> np.ndarray:
        sound = read(self.files[unit], self.form.sample_rate_hz, self.form.channels)[0]
        return sound * np.float32(self.gain)


@dataclass(frozen=True)
class RealSets:
    """`reference` and `again`, disjoint and of one size, and at most as many clips that models were trained on."""

    reference: ClipSet
    again: ClipSet
    training: ClipSet
    config: DataConfig
    fingerprint: str
    warnings: list[str]


def draw_slots(lengths: list[int], clip_samples: int, count: int, random: np.random.Generator) -> list[Slot]:
    """Up to `count` places of non-overlapping clips, spread evenly over the recordings.

    A recording of L samples has L // clip_samples slots, starting at a random offset. Each round takes one slot from every
    recording that has any left.
    """
    found = []
    for recording, length in enumerate(lengths):
        number = length // clip_samples
        offset = int(random.integers(0, length - number * clip_samples + 1))
        order = random.permutation(number)
        found += [
            (turn, random.random(), Slot(recording, offset + int(place) * clip_samples)) for turn, place in enumerate(order)
        ]
    return [slot for _, _, slot in sorted(found)[:count]]


def split_evenly(pieces: list[Entry], clip_samples: int, random: np.random.Generator) -> tuple[list[Entry], list[Entry]]:
    """Two halves of the pieces with nearly the same number of clips."""
    halves: tuple[list[Entry], list[Entry]] = ([], [])
    totals = [0, 0]
    for index in random.permutation(len(pieces)):
        smaller = int(totals[1] < totals[0])
        halves[smaller].append(pieces[index])
        totals[smaller] += pieces[index]["num_samples"] // clip_samples
    return halves


def _capacity(pieces: list[Entry], clip_samples: int) -> int:
    return sum(piece["num_samples"] // clip_samples for piece in pieces)


def real_sets(folder: Path, samples: int, clip_samples: int, seed: int) -> RealSets:
    """Draw the real sets of a prepared dataset, disjoint by piece.

    Both come from held-out pieces if there are enough. Otherwise the reference comes from training pieces, or, as a last
    resort, both from all pieces; `warnings` says so, since a model that copies its training data then looks too good.
    If fewer than `samples` clips fit without overlap, there are as many as fit, with a warning.
    Errors: Mp3netError for fewer than 32 clips in a set.
    """
    store = LocalStore(folder)
    config, random = store.index.config, np.random.default_rng([seed, clip_samples])
    reference, again, warnings = _choose_pieces(folder, store.index, clip_samples, random)
    count = min(samples, _capacity(reference, clip_samples), _capacity(again, clip_samples))
    if count < samples:
        warnings.append(
            f"{count} clips per set instead of {samples}: without overlap the real sets hold no more clips of "
            f"{clip_samples / config.sample_rate_hz:.2f} s (a larger held-out share, or shorter clips, give more)"
        )
    form = ClipFormat(config.sample_rate_hz, config.channels, clip_samples)

    def draw(name: str, pieces: list[Entry]) -> PieceClips:
        slots = draw_slots([entry["num_samples"] for entry in pieces], clip_samples, count, random)
        identity = f"{store.fingerprint}/{seed}/{name}/{count}/{clip_samples}"
        return PieceClips(name, store, pieces, form, slots, identity)

    train = [entry for entry in _long_enough(store.index, clip_samples) if entry["split"] == "train"]
    sets = draw("reference", reference), draw("real again", again), draw("training copies", train)
    return RealSets(*sets, config=config, fingerprint=store.fingerprint, warnings=warnings)


def _long_enough(index: Index, clip_samples: int) -> list[Entry]:
    return [entry for entry in index.entries if entry["num_samples"] >= clip_samples]


def _choose_pieces(
    folder: Path, index: Index, clip_samples: int, random: np.random.Generator
) -> tuple[list[Entry], list[Entry], list[str]]:
    """The pieces of the reference and of the floor, and the warnings about them."""
    usable = _long_enough(index, clip_samples)
    heldout = [entry for entry in usable if entry["split"] == "heldout"]
    train = [entry for entry in usable if entry["split"] == "train"]
    reference, again = split_evenly(heldout, clip_samples, random)
    if enough(reference, again, clip_samples):
        return reference, again, []
    little = f"too little held-out music ({_amount(heldout, clip_samples)}"
    if enough(train, heldout, clip_samples):
        return train, heldout, [
            f"{little}; two sets of at least {MIN_PIECES} pieces and {MIN_CLIPS} clips are needed): the reference comes "
            "from training pieces, so distances flatter a model that copies them. Prepare the recordings with a larger "
            "--heldout, or judge shorter clips"
        ]  # fmt: skip
    reference, again = split_evenly(usable, clip_samples, random)
    if not enough(reference, again, clip_samples):
        raise Mp3netError(_too_few(folder, index, usable, clip_samples))
    return reference, again, [
        f"{little}): both real sets come from all pieces, so distances flatter a model that copies its training data. "
        "Prepare the recordings with a larger --heldout"
    ]  # fmt: skip


def _amount(pieces: list[Entry], clip_samples: int) -> str:
    return f"{counted(len(pieces), 'piece')} long enough, {counted(_capacity(pieces, clip_samples), 'clip')}"


def enough(reference: list[Entry], again: list[Entry], clip_samples: int) -> bool:
    """Whether both are large enough to be compared with each other."""
    return all(len(pieces) >= MIN_PIECES and _capacity(pieces, clip_samples) >= MIN_CLIPS for pieces in (reference, again))


def _too_few(folder: Path, index: Index, usable: list[Entry], clip_samples: int) -> str:
    rate = index.config.sample_rate_hz
    return (
        f"{folder}: too few recordings to evaluate with: {len(usable)} of {counted(len(index.entries), 'piece')} are as "
        f"long as a clip of {clip_samples / rate:.2f} s and hold {counted(_capacity(usable, clip_samples), 'clip')}; two "
        f"sets of at least {MIN_PIECES} pieces and {MIN_CLIPS} clips each are needed. Prepare more recordings, or judge "
        "shorter clips with --seconds"
    )


def generated_set(model: MP3net, samples: int, clip_samples: int, seed: int) -> ClipSet:
    """Clips of generated songs: one per seed for whole tracks, otherwise several slots of at least 32 seeds.

    Songs are as long as in training, or as the clips if these are longer and the model can make any length.
    Errors: Mp3netError for clips longer than the model's songs.
    """
    audio_config = model.config.audio
    song_samples, duration_s = model.song_samples(None), None
    if clip_samples > song_samples:
        duration_s = clip_samples / audio_config.sample_rate_hz
        try:
            song_samples = model.song_samples(duration_s)
        except Mp3netError as error:
            raise Mp3netError(f"--seconds: {error}") from None
    per_song = song_samples // clip_samples
    num_seeds = min(samples, max(MIN_SEEDS, -(-samples // per_song)))
    if seed + num_seeds - 1 > MAX_SEED:
        raise Mp3netError(f"--seed {seed}: {num_seeds} seeds from there go beyond {MAX_SEED}")
    random = np.random.default_rng([seed, clip_samples])
    slots = sorted(draw_slots([song_samples] * num_seeds, clip_samples, samples, random))
    form = ClipFormat(audio_config.sample_rate_hz, audio_config.channels, clip_samples)
    return SongClips(model, seed, duration_s, form, slots)


@dataclass(frozen=True)
class AudioFolder:
    """The usable files of a folder, their lengths at the dataset's sample rate, and what had to be corrected or left out."""

    folder: Path
    files: list[Path]
    num_samples: list[int]
    mean_power: float
    notes: list[str]

    def usual_samples(self) -> int:
        """A length that most files have: that of the shortest file, ignoring those under half the median."""
        least = float(np.median(self.num_samples)) / 2
        return min(length for length in self.num_samples if length >= least)

    def capacity(self, clip_samples: int) -> int:
        """How many non-overlapping clips the files hold."""
        return sum(length // clip_samples for length in self.num_samples)


def open_folder(folder: Path, config: DataConfig) -> AudioFolder:
    """Decode every file of `folder` once, to learn its length and power and check that it is intact.

    Errors: Mp3netError if no file is usable.
    """
    files, lengths, notes, differing = [], [], [], {}  # type: ignore[var-annotated]
    energy = 0.0
    for path in find_files(folder, lambda path, reason: notes.append(f"skipped {path.relative_to(folder)}: {reason}")):
        name = path.relative_to(folder)
        try:
            info = probe(path)
            length, peak = 0, 0.0
            stream = Stream(path, config.sample_rate_hz, config.channels)
            for block in stream:
                length, peak = length + len(block), max(peak, float(np.abs(block).max()))
                energy += float(np.square(block, dtype=np.float64).sum())
        except UnusableAudioError as error:
            notes.append(f"skipped {name}: {error}")
            continue
        if said := str(stream.damage):
            notes.append(f"{name}: {said}")
        if peak < SILENT_PEAK:
            notes.append(f"{name} is silent; it is judged like the others")
        files.append(path)
        lengths.append(length)
        if (info.sample_rate_hz, info.channels) != (config.sample_rate_hz, config.channels):
            differing.setdefault((info.sample_rate_hz, info.channels), []).append(path)
    if not files:
        reasons = f": {'; '.join(note.removeprefix('skipped ') for note in notes[:3])}" if notes else ""
        raise Mp3netError(f"{folder}: holds no usable audio file{reasons}")
    notes += [
        f"converted to the dataset's {config.sample_rate_hz} Hz, {mono_or_stereo(config.channels)}: "
        f"{counted(len(paths), 'file')} of {rate} Hz, {mono_or_stereo(channels)}"
        + (f"; they hold nothing above {rate / 2:g} Hz" if rate < config.sample_rate_hz else "")
        for (rate, channels), paths in sorted(differing.items())
    ]
    return AudioFolder(folder, files, lengths, energy / (sum(lengths) * config.channels), notes)


def folder_set(
    source: AudioFolder, config: DataConfig, samples: int, clip_samples: int, seed: int, gain: float = 1.0
) -> ClipSet:
    """Non-overlapping clips from the files of a folder, spread evenly over the files, all multiplied by `gain`.

    Errors: Mp3netError for fewer than 32 clips.
    """
    random = np.random.default_rng([seed, clip_samples])
    slots = sorted(draw_slots(source.num_samples, clip_samples, samples, random))
    rate = config.sample_rate_hz
    if len(slots) < MIN_CLIPS:
        raise Mp3netError(
            f"{source.folder}: {counted(len(slots), 'clip')} of {clip_samples / rate:.2f} s in "
            f"{counted(len(source.files), 'file')}; at least {MIN_CLIPS} are needed: give more audio, or judge "
            "shorter clips with --seconds"
        )
    stamps = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in source.files]
    identity = hashlib.sha256(json.dumps([stamps, seed, samples, clip_samples, gain]).encode()).hexdigest()
    form = ClipFormat(rate, config.channels, clip_samples)
    clips = FileClips(source.folder, source.files, gain, form, slots, identity)
    clips.notes += _folder_notes(source, clips)
    return clips


def _folder_notes(source: AudioFolder, clips: ClipSet) -> list[str]:
    notes, least = list(source.notes), clips.form.clip_samples
    short = [path.name for path, length in zip(source.files, source.num_samples, strict=True) if length < least]
    if short:
        more = f" and {len(short) - 3} more" if len(short) > 3 else ""
        duration_s = least / clips.form.sample_rate_hz
        notes.append(f"skipped as shorter than a clip of {duration_s:.2f} s: {', '.join(short[:3])}{more}")
    if len(np.unique(clips.units)) < MIN_PIECES:
        notes.append("clips of fewer than 4 files: they are treated as independent, so intervals are too narrow")
    return notes
