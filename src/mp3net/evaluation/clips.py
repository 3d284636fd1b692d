"""Sets of clips to be compared: real ones drawn from a dataset, generated ones, or the files of a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mp3net import audio
from mp3net.config import DataConfig
from mp3net.data.index import Entry
from mp3net.data.pieces import Piece
from mp3net.data.recordings import find_files
from mp3net.data.storage import LocalStore
from mp3net.errors import Mp3netError
from mp3net.generation import MAX_SEED, MP3net

# Nearest neighbours, covariances and half-samples of fewer clips say nothing.
MIN_CLIPS = 32
MIN_PIECES = 4
MIN_SEEDS = 32
SILENT_PEAK = 1e-4


@dataclass(frozen=True)
class ClipSet:
    """`len(sources)` clips of one length, read when asked for.

    read(i) gives clip i as float32 (C, S). `units` (n,) numbers what each clip belongs to (piece, file or seed): clips of
    one unit are not independent. `distinct` clips are different; the rest repeat them in turn.
    """

    name: str
    read: Callable[[int], np.ndarray]
    units: np.ndarray
    sources: list[str]
    positions_s: list[float]
    sample_rate_hz: int
    channels: int
    clip_samples: int
    identity: str  # what the clips depend on, for caching
    distinct: int | None = None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.sources)

    def batch(self, first: int, last: int) -> np.ndarray:
        """Clips first .. last - 1 as (n, C, S); Mp3netError for samples that are not finite."""
        clips = np.stack([self.read(index) for index in range(first, last)])
        if not np.isfinite(clips).all():
            bad = first + int(np.argmin(np.isfinite(clips).all((1, 2))))
            raise Mp3netError(f"{self.sources[bad]}: holds samples that are not finite (NaN or infinity)")
        return clips


def first_clips(clips: ClipSet, count: int) -> ClipSet:
    """The first `count` clips of a set."""
    return replace(
        clips, units=clips.units[:count], sources=clips.sources[:count], positions_s=clips.positions_s[:count],
        identity=f"{clips.identity}/first {count}",
    )  # fmt: skip


@dataclass(frozen=True)
class RealSets:
    """Disjoint real sets of one size: `reference`, `again` (other pieces), and `training` (what models were trained on)."""

    reference: ClipSet
    again: ClipSet
    training: ClipSet
    config: DataConfig
    fingerprint: str
    warnings: list[str]


def draw_slots(lengths: list[int], clip_samples: int, count: int, random: np.random.Generator) -> list[tuple[int, int]]:
    """Up to `count` (recording, start sample) of clips that do not overlap, spread evenly over the recordings.

    A recording of L samples has L // clip_samples slots, begun at a random offset. Each round takes one slot of every
    recording that has any left.
    """
    slots = []
    for recording, length in enumerate(lengths):
        number = length // clip_samples
        offset = int(random.integers(0, length - number * clip_samples + 1))
        order = random.permutation(number)
        slots += [
            (turn, random.random(), recording, offset + int(slot) * clip_samples) for turn, slot in enumerate(order)
        ]
    return [(recording, start) for _, _, recording, start in sorted(slots)[:count]]


def _split_evenly(
    pieces: list[Entry], clip_samples: int, random: np.random.Generator
) -> tuple[list[Entry], list[Entry]]:
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

    Both come from held-out pieces where there are enough. Otherwise the reference comes from training pieces, at last both
    come from all pieces; `warnings` says so, since a model that copies its training data then looks better than it is.
    Fewer than `samples` clips without overlap: as many as there are, with a warning.
    Errors: Mp3netError for fewer than 32 clips in a set.
    """
    store = LocalStore(folder)
    config, entries = store.index.config, store.index.entries
    long_enough = [entry for entry in entries if entry["num_samples"] >= clip_samples]
    heldout = [entry for entry in long_enough if entry["split"] == "heldout"]
    train = [entry for entry in long_enough if entry["split"] == "train"]
    random = np.random.default_rng([seed, clip_samples])
    warnings = []
    reference, again = _split_evenly(heldout, clip_samples, random)
    if not _enough(reference, again, clip_samples):
        reference, again = train, heldout
        warnings.append(
            f"too little held-out music ({_amount(heldout, clip_samples)}; two sets of at least {MIN_PIECES} pieces and "
            f"{MIN_CLIPS} clips are needed): the reference comes from training pieces, so distances flatter a model that "
            "copies them. Prepare the recordings with a larger --heldout, or judge shorter clips"
        )
    if not _enough(reference, again, clip_samples):
        reference, again = _split_evenly(long_enough, clip_samples, random)
        warnings[:] = [
            f"too little held-out music ({_amount(heldout, clip_samples)}): both real sets come from all pieces, so "
            "distances flatter a model that copies its training data. Prepare the recordings with a larger --heldout"
        ]
    if not _enough(reference, again, clip_samples):
        raise Mp3netError(_too_few(folder, entries, long_enough, clip_samples, config))
    count = min(samples, _capacity(reference, clip_samples), _capacity(again, clip_samples))
    if count < samples:
        warnings.append(
            f"{count} clips per set instead of {samples}: without overlap the real sets hold no more clips of "
            f"{clip_samples / config.sample_rate_hz:.2f} s (a larger held-out share, or shorter clips, give more)"
        )

    def draw(name: str, pieces: list[Entry]) -> ClipSet:
        return _piece_set(store, name, pieces, count, clip_samples, f"{store.fingerprint}/{seed}", random)

    sets = draw("reference", reference), draw("real again", again), draw("training copies", train)
    return RealSets(*sets, config=config, fingerprint=store.fingerprint, warnings=warnings)


def _amount(pieces: list[Entry], clip_samples: int) -> str:
    return f"{len(pieces)} pieces long enough, {_capacity(pieces, clip_samples)} clips"


def _enough(reference: list[Entry], again: list[Entry], clip_samples: int) -> bool:
    return all(
        len(pieces) >= MIN_PIECES and _capacity(pieces, clip_samples) >= MIN_CLIPS for pieces in (reference, again)
    )


def _too_few(folder: Path, entries: list[Entry], usable: list[Entry], clip_samples: int, config: DataConfig) -> str:
    rate = config.sample_rate_hz
    return (
        f"{folder}: too few recordings to evaluate with: {len(usable)} of {len(entries)} pieces are as long as a clip of "
        f"{clip_samples / rate:.2f} s and hold {_capacity(usable, clip_samples)} clips; two sets of at least {MIN_PIECES} "
        f"pieces and {MIN_CLIPS} clips each are needed. Prepare more recordings, or judge shorter clips with --seconds"
    )


def _piece_set(
    store: LocalStore, name: str, entries: list[Entry], count: int, clip_samples: int, identity: str,
    random: np.random.Generator,
) -> ClipSet:  # fmt: skip
    slots = draw_slots([entry["num_samples"] for entry in entries], clip_samples, count, random)
    opened: dict[int, Piece] = {}

    def read(index: int) -> np.ndarray:
        number, start = slots[index]
        if number not in opened:
            opened[number] = store.open(entries[number])
        return opened[number].read(start, clip_samples)

    rate, channels = store.index.config.sample_rate_hz, store.index.config.channels
    sources = [str(entries[number]["piece"]) for number, _ in slots]
    return ClipSet(
        name, read, np.array([number for number, _ in slots]), sources, [start / rate for _, start in slots],
        rate, channels, clip_samples, f"{identity}/{name}/{count}/{clip_samples}",
    )  # fmt: skip


def generated_set(model: MP3net, samples: int, clip_samples: int, seed: int) -> ClipSet:
    """Clips of generated songs: one per seed for whole tracks, otherwise several slots of at least 32 seeds.

    Songs are as long as in training, or as the clips where these are longer and the model can make any length.
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
    latest: dict[int, np.ndarray] = {}

    def read(index: int) -> np.ndarray:
        song, start = slots[index]
        if song not in latest:
            latest.clear()  # songs are read in order, so one is enough
            latest[song] = model.generate(seed + song, duration_s).audio
        return latest[song][:, start : start + clip_samples]

    digest = model.snapshot.digest if model.snapshot is not None else "unsaved"
    return ClipSet(
        "judged", read, np.array([song for song, _ in slots]), [f"seed {seed + song}" for song, _ in slots],
        [start / audio_config.sample_rate_hz for _, start in slots], audio_config.sample_rate_hz, audio_config.channels,
        clip_samples, f"{digest}/{model.precision}/{seed}/{samples}/{clip_samples}",
    )  # fmt: skip


@dataclass(frozen=True)
class AudioFolder:
    """The usable files of a folder, their lengths at the dataset's sample rate, and what had to be corrected or left out."""

    folder: Path
    files: list[Path]
    num_samples: list[int]
    mean_power: float
    notes: list[str]

    def usual_samples(self) -> int:
        """A length that most files have: that of the shortest, those under half the median being left out."""
        least = float(np.median(self.num_samples)) / 2
        return min(length for length in self.num_samples if length >= least)

    def capacity(self, clip_samples: int) -> int:
        """How many clips without overlap the files hold."""
        return sum(length // clip_samples for length in self.num_samples)


def open_folder(folder: Path, config: DataConfig) -> AudioFolder:
    """Decode every file of `folder` once, to know its length, its power and that it is sound.

    Errors: Mp3netError where no file is usable.
    """
    files, lengths, notes, differing = [], [], [], {}  # type: ignore[var-annotated]
    energy = 0.0
    for path in find_files(folder):
        name = path.relative_to(folder)
        try:
            info = audio.probe(path)
            length, peak = 0, 0.0
            for block in audio.stream(path, config.sample_rate_hz, config.channels):
                length, peak = length + len(block), max(peak, float(np.abs(block).max()))
                energy += float(np.square(block, dtype=np.float64).sum())
        except audio.UnusableAudioError as error:
            notes.append(f"skipped {name}: {error}")
            continue
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
        f"{len(paths)} files of {rate} Hz with {channels} channel(s) were converted to the dataset's "
        f"{config.sample_rate_hz} Hz and {config.channels} channel(s)"
        + (f"; they hold nothing above {rate / 2:g} Hz" if rate < config.sample_rate_hz else "")
        for (rate, channels), paths in sorted(differing.items())
    ]
    return AudioFolder(folder, files, lengths, energy / (sum(lengths) * config.channels), notes)


def folder_set(
    source: AudioFolder, config: DataConfig, samples: int, clip_samples: int, seed: int, gain: float = 1.0
) -> ClipSet:
    """Clips of the files of a folder, without overlap, spread evenly over the files, all multiplied by `gain`.

    Errors: Mp3netError for fewer than 32 clips.
    """
    random = np.random.default_rng([seed, clip_samples])
    slots = sorted(draw_slots(source.num_samples, clip_samples, samples, random))
    rate = config.sample_rate_hz
    if len(slots) < MIN_CLIPS:
        raise Mp3netError(
            f"{source.folder}: its {len(source.files)} files hold {len(slots)} clips of {clip_samples / rate:.2f} s; at "
            f"least {MIN_CLIPS} are needed: give more audio, or judge shorter clips with --seconds"
        )
    latest: dict[int, np.ndarray] = {}

    def read(index: int) -> np.ndarray:
        file, start = slots[index]
        if file not in latest:
            latest.clear()
            latest[file] = audio.read(source.files[file], rate, config.channels)[0] * np.float32(gain)
        return latest[file][:, start : start + clip_samples]

    stamps = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in source.files]
    identity = hashlib.sha256(json.dumps([stamps, seed, samples, clip_samples, gain]).encode()).hexdigest()
    return ClipSet(
        "judged", read, np.array([file for file, _ in slots]),
        [str(source.files[file].relative_to(source.folder)) for file, _ in slots], [start / rate for _, start in slots],
        rate, config.channels, clip_samples, identity, notes=_folder_notes(source, clip_samples, slots, rate),
    )  # fmt: skip


def _folder_notes(source: AudioFolder, clip_samples: int, slots: list[tuple[int, int]], rate: int) -> list[str]:
    notes = list(source.notes)
    short = [path.name for path, length in zip(source.files, source.num_samples, strict=True) if length < clip_samples]
    if short:
        more = f" and {len(short) - 3} more" if len(short) > 3 else ""
        notes.append(f"skipped as shorter than a clip of {clip_samples / rate:.2f} s: {', '.join(short[:3])}{more}")
    if len({file for file, _ in slots}) < MIN_PIECES:
        notes.append("clips of fewer than 4 files: they are treated as independent, so intervals are too narrow")
    return notes
