"""What the bytes of a file say about the music in it, before anything is decoded.

Containers state lengths that are wrong in three ways: a recorder that crashed never filled them in, an interrupted download
has less than they promise, and files that were joined end to end have more. Decoders believe them. So this module walks over
the file itself, and cuts it into parts that a decoder can read, each with what it promises.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import IO, Literal

FLAC_HEAD = b"fLaC\x00\x00\x00\x22"
OGG_PAGE_BYTES = 65_307
"""The longest page that the format allows."""
SEARCH_BYTES = 1 << 19
TAIL_BYTES = 1 << 16
"""What may follow the chunks of a file without being music: tags and padding."""


@dataclass(frozen=True)
class Part:
    """Bytes [begin, end) of a file: one stream of music, or one link of a chain.

    `patches` (offset in the file, bytes) replace lengths that the header states wrongly. What the header promises is
    `promised_s` seconds, or `promised_share` times what is there. `ended` is false if the mark of the end is missing.
    `tag_bytes` of it are tags around frames that follow each other without a container.
    """

    begin: int
    end: int
    patches: tuple[tuple[int, bytes], ...] = ()
    promised_s: float | None = None
    promised_share: float = 1.0
    ended: bool = True
    tag_bytes: int = 0


class View:
    """One part of a file as a file of its own, for the decoder's reads."""

    def __init__(self, file: IO[bytes], part: Part) -> None:
        self._file, self._part = file, part
        self._place = 0

    def read(self, count: int = -1) -> bytes:
        size = self._part.end - self._part.begin
        left = max(0, size - self._place)
        count = left if count < 0 else min(count, left)
        start = self._part.begin + self._place
        self._file.seek(start)
        data = self._file.read(count)
        for offset, patch in self._part.patches:
            if offset < start + len(data) and start < offset + len(patch):
                changed = bytearray(data)
                for index, value in enumerate(patch, offset - start):
                    if 0 <= index < len(changed):
                        changed[index] = value
                data = bytes(changed)
        self._place += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        size = self._part.end - self._part.begin
        self._place = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: size}[whence])
        return self._place

    def tell(self) -> int:
        return self._place


@dataclass(frozen=True)
class Chunks:
    """A container made of chunks: how long their identifiers and sizes are, and which one holds the samples.

    `inclusive`: sizes count the chunk's own header; `align`: chunks begin at multiples of it.
    """

    magic: bytes
    head_bytes: int
    id_bytes: int
    size_bytes: int
    order: Literal["little", "big"]
    data_id: bytes
    inclusive: bool
    align: int


_W64 = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # follows the four letters of every identifier
_KINDS = (
    Chunks(b"RIFF", 12, 4, 4, "little", b"data", False, 2),
    Chunks(b"RF64", 12, 4, 4, "little", b"data", False, 2),
    Chunks(b"BW64", 12, 4, 4, "little", b"data", False, 2),
    Chunks(b"FORM", 12, 4, 4, "big", b"SSND", False, 2),
    Chunks(b"caff", 8, 4, 8, "big", b"data", False, 1),
    Chunks(bytes.fromhex("726966662e91cf11a5d628db04c10000"), 40, 16, 8, "little", b"data" + _W64, True, 8),
)


def parts(file: IO[bytes], only_heads: bool = False) -> list[Part]:
    """The parts of a file, in order; at least one. `only_heads`: do not read all of a FLAC file to find more of them."""
    size = file.seek(0, os.SEEK_END)
    head = _at(file, 0, 16)
    for kind in _KINDS:
        if head.startswith(kind.magic):
            return list(_chunked(file, kind, size))
    if head.startswith(b"OggS"):
        return _ogg_links(file, size)
    if head.startswith(b"wvpk"):
        return _wavpack_stretches(file, size)
    if head[4:8] == b"ftyp":
        begins = [place for place, name in _atoms(file, size) if name == b"ftyp"]
        return [Part(begin, end) for begin, end in zip(begins, [*begins[1:], size], strict=True)]
    start = _id3_bytes(head)
    if _at(file, start, len(FLAC_HEAD)) == FLAC_HEAD and not only_heads:
        return _at_marks(file, FLAC_HEAD, start, size)
    return [Part(0, size, promised_s=_mpeg_promise(_at(file, start, 200)), tag_bytes=start + _end_tag_bytes(file, size))]


def _id3_bytes(head: bytes) -> int:
    """The length of the tag at the beginning of a file: four groups of seven bits."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    return 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))


def _end_tag_bytes(file: IO[bytes], size: int) -> int:
    """The length of the tags at the end: ID3v1, and APE before it."""
    old = 128 if _at(file, max(0, size - 128), 3) == b"TAG" else 0
    footer = _at(file, max(0, size - old - 32), 32)
    return old + (32 + int.from_bytes(footer[12:16], "little") if footer.startswith(b"APETAGEX") else 0)


def lacks_its_table(file: IO[bytes]) -> bool:
    """Whether an MP4 or M4A file lacks the table (moov) that says where its sounds lie; it is often written last."""
    names = [name for _, name in _atoms(file, file.seek(0, os.SEEK_END))]
    return b"ftyp" in names and b"moov" not in names


def _atoms(file: IO[bytes], size: int) -> Iterator[tuple[int, bytes]]:
    """Position and name of the outermost atoms of an MP4 file."""
    place = 0
    while place + 8 <= size:
        head = _at(file, place, 16)
        length, name = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        yield place, name
        if length < 8:
            return
        place += length


def _at(file: IO[bytes], place: int, count: int) -> bytes:
    file.seek(place)
    return file.read(count)


def _chunked(file: IO[bytes], kind: Chunks, size: int) -> Iterator[Part]:
    """One part for every container of this kind that lies in the file, end to end."""
    begin = 0
    while begin < size:
        part, end = _one_container(file, kind, begin, size)
        # Not enough for a header and sound: padding.
        if end <= begin or _at(file, end, len(kind.magic)) != kind.magic:
            yield Part(begin, size, part.patches, promised_share=part.promised_share)
            return
        yield Part(begin, end, part.patches, promised_share=part.promised_share)
        begin = end


def _one_container(file: IO[bytes], kind: Chunks, begin: int, size: int) -> tuple[Part, int]:
    """The container that begins there, and where its last chunk ends."""
    place, head, long_place = begin + kind.head_bytes, kind.id_bytes + kind.size_bytes, None
    part = Part(begin, size)
    while place + head <= size:
        name, length = _chunk(file, kind, place)
        # A chunk that states less than its own head would lead back to itself; recorders that crashed do so for the samples.
        if not _plausible(name) or name == kind.magic or (length < 0 and name != kind.data_id):
            break
        if name == b"ds64":  # RF64 states there what does not fit into its chunk headers
            long_place = place + head + 8
        if name == kind.data_id:
            if long_place is not None and length == 0xFFFFFFFF:
                length = int.from_bytes(_at(file, long_place, 8), "little")
            part, length = _data(file, kind, begin, place, length, size)
            if part.patches and long_place is not None:
                part = replace(part, patches=((long_place, length.to_bytes(8, "little")),))
        place = _aligned(kind, begin, place + head + length)
    return part, min(place, size)


def _aligned(kind: Chunks, begin: int, place: int) -> int:
    return begin + -(-(place - begin) // kind.align) * kind.align


def _chunk(file: IO[bytes], kind: Chunks, place: int) -> tuple[bytes, int]:
    head = _at(file, place, kind.id_bytes + kind.size_bytes)
    length = int.from_bytes(head[kind.id_bytes :], kind.order)
    return head[: kind.id_bytes], length - len(head) if kind.inclusive else length


def _plausible(name: bytes) -> bool:
    return len(name) >= 4 and all(32 <= letter < 127 for letter in name[:4])


def _data(file: IO[bytes], kind: Chunks, begin: int, place: int, stated: int, size: int) -> tuple[Part, int]:
    """The part whose samples lie in the chunk at `place`, and the length that the chunk really has.

    If what follows the stated length is neither the end nor another chunk, nor short enough to be a tag, the recorder died
    before it could state the length: the samples go on to the end of the file.
    """
    head = kind.id_bytes + kind.size_bytes
    there = size - place - head
    if stated > there and not _written_to_a_pipe(kind, stated):
        return Part(begin, size, promised_share=stated / max(1, there)), there
    if stated <= there:
        after = _aligned(kind, begin, place + head + stated)
        name, length = _chunk(file, kind, after)
        if size - after <= min(stated, max(TAIL_BYTES, stated // 100)):
            return Part(begin, size), stated
        if _plausible(name) and (name == kind.magic or 0 <= length <= size - after):
            return Part(begin, size), stated
    length = there + head if kind.inclusive else there
    value = min(length, (1 << 8 * kind.size_bytes) - 1).to_bytes(kind.size_bytes, kind.order)
    return Part(begin, size, ((place + kind.id_bytes, value),)), there


def _written_to_a_pipe(kind: Chunks, stated: int) -> bool:
    """Whether a program put this there because it could not know the length."""
    if kind.size_bytes == 8:
        return stated >= 1 << 62
    return stated >= 0xFFFF0000 or 0x7FFF0000 <= stated <= 0x80001000


def _ogg_links(file: IO[bytes], size: int) -> list[Part]:
    """The links of a chain: each begins with pages that are marked as the beginning of a stream."""
    begins, ended, heading = [], [], False
    for place, flags in _ogg_pages(file, size):
        if flags & 2 and not heading:
            begins.append(place)
            ended.append(False)
        heading = bool(flags & 2)
        if flags & 4 and ended:
            ended[-1] = True
    if not begins:
        return [Part(0, size)]
    ends = [*begins[1:], size]
    # In the middle of a chain a missing mark means that the station went on to the next piece.
    whole = [True] * (len(begins) - 1) + [ended[-1]]
    return [Part(begin, end, ended=mark) for begin, end, mark in zip(begins, ends, whole, strict=True)]


def _ogg_pages(file: IO[bytes], size: int) -> Iterator[tuple[int, int]]:
    """(position, flags) of every whole page; damaged stretches are passed over."""
    place = 0
    while place < size:
        head = _at(file, place, 27 + 255)
        if head[:4] != b"OggS" or len(head) < 27:
            found = _at(file, place + 1, 2 * OGG_PAGE_BYTES).find(b"OggS")
            place += 1 + found if found >= 0 else 2 * OGG_PAGE_BYTES - 3
            continue
        after = place + 27 + head[26] + sum(head[27 : 27 + head[26]])
        if after <= size:
            yield place, head[5]
        place = after


@dataclass
class _Stretch:
    """WavPack blocks that follow each other: their bytes, and the samples at which they begin and end."""

    begin: int
    end: int
    first: int
    last: int
    total: int


def _wavpack_stretches(file: IO[bytes], size: int) -> list[Part]:
    """Whole stretches, because FFmpeg gives up at the first damaged block.

    Blocks are numbered by their samples, and state how many there are in all; in files that were joined the numbers begin
    again.
    """
    stretches: list[_Stretch] = []
    total, place = 0, 0
    while place < size:
        head = _at(file, place, 32)
        after = place + 8 + int.from_bytes(head[4:8], "little")
        if head[:4] != b"wvpk" or len(head) < 32 or after > size:
            found = _at(file, place + 1, SEARCH_BYTES).find(b"wvpk")
            place += 1 + found if found >= 0 else SEARCH_BYTES - 3
            continue
        stated, index, samples = (int.from_bytes(head[at : at + 4], "little") for at in (12, 16, 20))
        if index == 0:  # only the first block has to state it
            total = stated if stated < 0xFFFFFFFF else 0
        if stretches and (stretches[-1].end, stretches[-1].last) == (place, index):
            stretches[-1].end, stretches[-1].last = after, index + samples
        elif samples:
            stretches.append(_Stretch(place, after, index, index + samples, total))
        place = after
    parts = []
    for one, after_it in zip_longest(stretches, stretches[1:]):
        follows = after_it.first if after_it is not None and after_it.first >= one.last else one.total
        share = (follows - one.first) / (one.last - one.first) if follows > one.last else 1.0
        parts.append(Part(one.begin, one.end, promised_share=share))
    return parts or [Part(0, size)]


def _at_marks(file: IO[bytes], mark: bytes, start: int, size: int) -> list[Part]:
    """Parts that each begin with `mark`, which is too long to occur by chance."""
    begins, place = [], start
    while place < size:
        data = _at(file, place, SEARCH_BYTES)
        found = data.find(mark)
        while found >= 0:
            begins.append(place + found)
            found = data.find(mark, found + 1)
        place += max(1, len(data) - len(mark) + 1)
    return [Part(begin, end) for begin, end in zip(begins, [*begins[1:], size], strict=True)]


_MPEG_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_MPEG_1_KBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG_2_KBITS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


def _mpeg_frame(head: bytes) -> tuple[int, int, int] | None:
    """(sample rate in Hz, samples, bytes) of a frame of MPEG layer III, by its header of four bytes."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, kbits, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version not in _MPEG_RATES_HZ or rate == 3 or not 0 < kbits < 15:
        return None
    rate_hz, samples = _MPEG_RATES_HZ[version][rate], 1152 if version == 3 else 576
    bits_per_s = 1000 * (_MPEG_1_KBITS if version == 3 else _MPEG_2_KBITS)[kbits]
    return rate_hz, samples, samples * bits_per_s // (8 * rate_hz) + (head[2] >> 1 & 1)


def cut_in_a_frame(frame: bytes) -> bool:
    """Whether the last frame of an MP3 file is shorter than its header says."""
    form = _mpeg_frame(frame[:4])
    return form is not None and len(frame) < form[2]


def _mpeg_promise(frame: bytes) -> float | None:
    """Seconds that an MP3 file promises in its first frame, if it does (Xing, Info), less what its encoder put around the
    music: at most two frames."""
    form, mark = _mpeg_frame(frame[:4]), max(frame.find(b"Xing"), frame.find(b"Info"))
    if form is None or mark < 4 or len(frame) < mark + 8 or not frame[mark + 7] & 1:
        return None
    frames = int.from_bytes(frame[mark + 8 : mark + 12], "big")
    return max(0, frames - 2) * form[1] / form[0]
