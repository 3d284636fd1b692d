"""Decoding: FFmpeg's decoders, told where to begin and kept going over what is damaged.

One decoder for every format, so that every format behaves alike: what can be decoded is kept, and `damage` tells the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from mp3net.audio.containers import Part, View, cut_in_a_frame, lacks_its_table, parts
from mp3net.audio.damage import Damage

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

BLOCK_SAMPLES = 1 << 17
BUFFER_BYTES = 1 << 17
# Playlists must not send FFmpeg to other files or to the network; damaged frames of FLAC would be noise.
_OPTIONS = {"protocol_whitelist": "none"}
_DECODER_OPTIONS = {"err_detect": "crccheck+explode"}
# FFmpeg looks for other formats inside of WAV for up to five megabytes, which takes longer than decoding them.
_PCM_OPTIONS = _OPTIONS | {"probesize": "65536", "max_size": "262144"}
_PCM_MAGICS = (b"RIFF", b"RF64", b"BW64")
_LOSSLESS_CODECS = {"alac", "flac", "ape", "wavpack", "tta", "mlp", "truehd", "als", "shorten", "tak"}
_LOSSY_PCM = {"pcm_alaw", "pcm_mulaw", "pcm_vidc"}
_NAMES = {"mov": "M4A", "matroska": "Matroska", "asf": "WMA"}
# Their headers state a length; what FFmpeg says about other formats' length is an estimate from the first packets.
_STATE_THEIR_LENGTH = {"flac", "ogg", "mov", "matroska", "tta", "ape", "au", "caf", "aiff", "wav", "w64"}
_WITHOUT_CONTAINER = {"mp3", "aac", "ac3", "eac3", "dts"}
_SCALES = {"u8": 2.0**-7, "s16": 2.0**-15, "s32": 2.0**-31, "s64": 2.0**-63, "flt": 1.0, "dbl": 1.0}
_TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
MOST_RETRIES = 32
LONGEST_JUMP_S = 600.0
"""A longer jump of the time stamps is a clock that was set, not missing music."""
ESTIMATE_PACKETS = 200
LEAST_LOSSLESS_BYTES_PER_S, LEAST_LOSSY_BYTES_PER_S = 8000, 500
"""What formats need at least for music; a silent beginning needs less and would mislead."""


class UnusableAudioError(Exception):
    """The file cannot be used as a recording; the message is the reason that the report shows."""


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says, and what follows for its length from its size."""

    sample_rate_hz: int
    channels: int
    duration_s: float
    lossless: bool
    format: str


def probe(path: Path, downmix: bool = False) -> AudioInfo:
    """Find out by content, not by name, whether a file holds audio. `downmix`: more than two channels will do.

    Errors: UnusableAudioError with the reason.
    """
    with _opened(path) as file:
        found = parts(file, only_heads=True)
        refused = []
        for part in found:
            try:
                with _container(file, part) as container:
                    return _described(container, part, found[-1].end - found[0].begin, downmix)
            except UnusableAudioError as error:
                refused.append(error)
        raise refused[0]


def _described(container: Any, part: Part, whole_bytes: int, downmix: bool) -> AudioInfo:
    stream = _audio_stream(container)
    context = stream.codec_context
    _check_form(context.sample_rate, context.channels, downmix)
    # The parts of a file are alike: the same bytes per second.
    duration_s = _duration_s(container, stream, part) * whole_bytes / max(1, part.end - part.begin)
    return AudioInfo(context.sample_rate, context.channels, duration_s, _is_lossless(context.name), _format(container))


@dataclass
class Decoder:
    """The samples of one file, in constant memory; each file needs a new one.

    `damage` is complete when the last block was taken.
    """

    path: Path
    downmix: bool = False
    damage: Damage = field(default_factory=Damage)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """(sample rate in Hz, float32 (S, C)) with one or two channels, about BLOCK_SAMPLES at a time.

        Both may change from block to block: radio stations and joined files do that. Errors: UnusableAudioError.
        """
        refused: list[tuple[Part, UnusableAudioError]] = []
        decoded_bytes = 0
        with _opened(self.path) as file:
            for number, part in enumerate(found := parts(file)):
                one = _PartDecoder(self.downmix, ends_the_file=part.end == found[-1].end)
                try:
                    yield from one.blocks(file, part)
                    decoded_bytes += part.end - part.begin
                except UnusableAudioError as error:
                    refused.append((part, error))
                self.damage = one.damage if number == 0 else self.damage.joined(one.damage)
        if len(refused) == len(found):
            raise refused[0][1]
        # The parts of a file are alike: as long as their bytes.
        lost_bytes = sum(part.end - part.begin for part, _ in refused)
        self.damage.elsewhere_s += self.damage.decoded_s * lost_bytes / max(1, decoded_bytes)
        if not self.damage.decoded_s and (self.damage.missing_s or not self.damage.ended):
            raise UnusableAudioError("corrupt: nothing in it can be decoded")


@dataclass
class _PartDecoder:
    downmix: bool
    ends_the_file: bool
    damage: Damage = field(default_factory=Damage)
    _read_bytes: int = 0
    _read_to: int = 0
    _unread_bytes: int = 0
    _began_s: float = 0.0
    _expected_s: float | None = None
    _stamped_s: float = 0.0
    _last: Any = None
    _last_failed: bool = False
    _failed: list[tuple[float, int, float]] = field(default_factory=list)
    _jumps: list[tuple[float, float]] = field(default_factory=list)

    def blocks(self, file: IO[bytes], part: Part) -> Iterator[tuple[int, np.ndarray]]:
        with _container(file, part) as container:
            stream = _audio_stream(container)
            _check_form(stream.codec_context.sample_rate, stream.codec_context.channels, self.downmix)
            stream.codec_context.thread_count = 1
            stream.codec_context.options = _DECODER_OPTIONS
            size = part.end - part.begin
            yield from _in_blocks(self._frames(container, stream, size), self.downmix)
            self._finish(container, stream, part)

    def _frames(self, container: Any, stream: Any, size: int) -> Iterator[AudioFrame]:
        import av

        tick_s = float(stream.time_base or 0)
        for packet in self._packets(container, stream, size):
            self._note_place(packet, tick_s)
            try:
                frames = packet.decode()
                self._last_failed = self._last_failed and not packet.size
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, ValueError):
                self._failed.append((self.damage.decoded_s, packet.size, (packet.duration or 0) * tick_s))
                self._last_failed = True
                continue
            for frame in frames:
                self.damage.decoded_s += frame.samples / frame.sample_rate
                yield frame

    def _packets(self, container: Any, stream: Any, size: int) -> Iterator[Any]:
        """All packets. Where the container is damaged, reading is tried again from where it stopped."""
        import av

        for _ in range(MOST_RETRIES):
            before = self._read_to
            try:
                yield from container.demux(stream)
                return
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, ValueError, OSError):
                if self._read_to == before:
                    break
        self._unread_bytes = max(0, size - self._read_to)

    def _note_place(self, packet: Any, tick_s: float) -> None:
        """Where the packet lies in the file and in time. Time stamps that jump forwards tell what is missing."""
        if packet.size:
            self._read_bytes += packet.size
            self._read_to = max(self._read_to, (packet.pos or 0) + packet.size)
            self._last = packet
        if packet.pts is None:
            return
        at_s, lasts_s = packet.pts * tick_s, (packet.duration or 0) * tick_s
        if self._expected_s is None:
            self._began_s = self._expected_s = at_s
        jump_s = at_s - self._expected_s
        if max(0.05, 2 * lasts_s) < jump_s < LONGEST_JUMP_S:
            self._jumps.append((self.damage.decoded_s, jump_s))
        elif not -0.05 < jump_s < LONGEST_JUMP_S:
            self._began_s += jump_s
        self._expected_s = at_s + lasts_s
        self._stamped_s = self._expected_s - self._began_s

    def _finish(self, container: Any, stream: Any, part: Part) -> None:
        damage = self.damage
        cut = _short_name(container) == "mp3" and self._last is not None and cut_in_a_frame(bytes(self._last))
        damage.ended = part.ended and not cut and not self._last_failed
        bytes_per_s = max(1.0, self._read_bytes - sum(size for _, size, _ in self._failed)) / max(damage.decoded_s, 1e-9)
        if self._last_failed and self.ends_the_file:  # it is not damaged but incomplete
            self._failed.pop()
        lost = [(at_s, max(lasts_s, size / bytes_per_s)) for at_s, size, lasts_s in self._failed]
        if _short_name(container) in _WITHOUT_CONTAINER:  # readers pass over what they cannot read, without a word
            passed_s = (part.end - part.begin - part.tag_bytes - self._read_bytes) / bytes_per_s
            if lost:
                lost[0] = (lost[0][0], lost[0][1] + max(0.0, passed_s))
            else:
                damage.elsewhere_s = max(0.0, passed_s)
        elif self._unread_bytes:
            lost.append((damage.decoded_s, self._unread_bytes / bytes_per_s))
        # Time stamps jump further than what is missing where a damaged stretch was decoded all the same.
        jumped_s = sum(jump_s for _, jump_s in self._jumps)
        missing_s = min(jumped_s, max(0.0, self._stamped_s - damage.decoded_s - sum(lost_s for _, lost_s in lost)))
        lost += [(at_s, jump_s * missing_s / jumped_s) for at_s, jump_s in self._jumps]
        for at_s, lost_s in sorted(lost):
            damage.skip(at_s, lost_s)
        damage.promised_s = part.promised_s
        if part.promised_share > 1:
            damage.promised_s = (damage.decoded_s + damage.skipped_s) * part.promised_share
        elif part.promised_s is None and _short_name(container) in _STATE_THEIR_LENGTH:
            damage.promised_s = _stated_s(container, stream)


def _opened(path: Path) -> IO[bytes]:
    try:
        if path.stat().st_size == 0:
            raise UnusableAudioError("empty file")
        return path.open("rb")
    except FileNotFoundError:
        what = "a link that leads nowhere" if path.is_symlink() else "cannot be read: it is no longer there"
        raise UnusableAudioError(what) from None
    except OSError as error:
        raise UnusableAudioError(f"cannot be read: {error.strerror}") from None


def _container(file: IO[bytes], part: Part) -> Any:
    import av

    view = View(file, part)
    options = _PCM_OPTIONS if view.read(4) in _PCM_MAGICS else _OPTIONS
    view.seek(0)
    try:
        return av.open(view, "r", options=options, buffer_size=BUFFER_BYTES)
    except (av.error.FFmpegError, ValueError, OSError):
        if lacks_its_table(file):
            raise UnusableAudioError(
                "an M4A or MP4 file without its table of contents (moov): the recording or download was never finished"
            ) from None
        raise UnusableAudioError("not audio") from None


def _audio_stream(container: Any) -> Any:
    stream = container.streams.audio[0] if container.streams.audio else None
    # No decoder for this codec, or a damaged header.
    if stream is None or stream.codec_context is None or not stream.codec_context.sample_rate:
        raise UnusableAudioError("not audio")
    return stream


def _check_form(sample_rate_hz: int, channels: int, downmix: bool) -> None:
    if channels < 1:
        raise UnusableAudioError("not audio: no channels")
    if channels > 2 and not downmix:
        raise UnusableAudioError(f"{channels} channels: mix it down to mono or stereo first, or give --downmix")
    if not 1000 <= sample_rate_hz <= 768000:
        raise UnusableAudioError(f"sample rate {sample_rate_hz} Hz is not plausible")


def _is_lossless(codec: str) -> bool:
    return codec in _LOSSLESS_CODECS or (codec.startswith("pcm_") and codec not in _LOSSY_PCM)


def _short_name(container: Any) -> str:
    name: str = container.format.name.split(",")[0]
    return name


def _format(container: Any) -> str:
    short = _short_name(container)
    return _NAMES.get(short, short.upper())


def _stated_s(container: Any, stream: Any) -> float | None:
    """The length that the container states for its music, if it does."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    if container.duration and len(container.streams) == 1:
        return float(container.duration) / 1e6
    return None


def _duration_s(container: Any, stream: Any, part: Part) -> float:
    """What the header says, or else the first packets; never more than the size of the part allows."""
    stated_s = max(part.promised_s or 0.0, _stated_s(container, stream) or 0.0)
    size = part.end - part.begin
    least = LEAST_LOSSLESS_BYTES_PER_S if _is_lossless(stream.codec_context.name) else LEAST_LOSSY_BYTES_PER_S
    if stated_s and size / stated_s >= least:
        return stated_s
    bound_s = size / max(_bytes_per_s(container, stream), least)
    return min(stated_s, 4 * bound_s) if stated_s else bound_s


def _bytes_per_s(container: Any, stream: Any) -> float:
    import av

    size, seconds = 0, 0.0
    try:
        for packet, _ in zip(container.demux(stream), range(ESTIMATE_PACKETS), strict=False):
            size += packet.size
            seconds += float((packet.duration or 0) * (packet.time_base or 0))
    except (av.error.FFmpegError, ValueError, OSError):
        pass
    return size / seconds if seconds else 0.0


def _in_blocks(frames: Iterator[AudioFrame], downmix: bool) -> Iterator[tuple[int, np.ndarray]]:
    """Frames of one form joined to blocks: later stages cost less per sample on long blocks."""
    block, filled, form = np.empty((0, 0), np.float32), 0, (0, 0)
    for frame in frames:
        if frame.layout.nb_channels > 2:
            frame = _mixed_down(frame, downmix)
        now = (frame.sample_rate, frame.layout.nb_channels)
        if now != form or filled + frame.samples > len(block):
            if filled:
                yield form[0], block[:filled]
            block, filled, form = np.empty((max(BLOCK_SAMPLES, frame.samples), now[1]), np.float32), 0, now
        _convert(frame, block[filled : filled + frame.samples])
        filled += frame.samples
    if filled:
        yield form[0], block[:filled]


def _convert(frame: AudioFrame, out: np.ndarray) -> None:
    """A frame's samples as float32 (S, C), full scale 1."""
    kind, channels = frame.format.name, frame.layout.nb_channels
    number = kind.removesuffix("p")
    scale = np.float32(_SCALES[number])
    if number == kind:
        data = np.frombuffer(memoryview(frame.planes[0]), _TYPES[number], frame.samples * channels)
        np.multiply(data.reshape(-1, channels), scale, out=out, casting="unsafe")
    else:
        for channel, plane in enumerate(frame.planes[:channels]):
            data = np.frombuffer(memoryview(plane), _TYPES[number], frame.samples)
            np.multiply(data, scale, out=out[:, channel], casting="unsafe")
    if number == "u8":
        out -= 1


def _mixed_down(frame: AudioFrame, downmix: bool) -> AudioFrame:
    """Stereo by the coefficients of ITU-R BS.775: centre and surrounds 3 dB lower, without the low-frequency effects."""
    import av

    _check_form(frame.sample_rate, frame.layout.nb_channels, downmix)
    try:
        mixed = av.AudioResampler(format="fltp", layout="stereo", rate=frame.sample_rate).resample(frame)
    except (av.error.FFmpegError, ValueError):
        mixed = []
    if not mixed:
        raise UnusableAudioError(f"{frame.layout.nb_channels} channels that do not say where they belong: mix it down first")
    return mixed[0]
