"""Audio files: the only place that knows their formats. Audio is float32, samples first (S, C) while it streams."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from mp3net.errors import Mp3netError
from mp3net.files import replacing

BLOCK_SAMPLES = 1 << 18
FORMATS = ("wav", "flac", "ogg", "mp3")
_SUBTYPES = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS", "mp3": "MPEG_LAYER_III"}
_MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_LOSSY_SUBTYPES = {"VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III", "ULAW", "ALAW", "IMA_ADPCM",
                   "MS_ADPCM", "GSM610", "G721_32", "G723_24", "G723_40", "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32",
                   "VOX_ADPCM", "DPCM_8"}  # fmt: skip
_LOSSLESS_CODECS = {"alac", "flac", "ape", "wavpack", "tta", "mlp", "truehd"}
# Playlists must not send FFmpeg to other files or to the network.
_AV_OPTIONS = {"protocol_whitelist": "none"}
# If a decoder ends earlier than the header says by more than this, music is missing; it is not just rounding.
MISSING_SHARE = 0.01
# At least this many samples of silence or offset are put before and after what is resampled.
HELD_SAMPLES = 4096
PIPE_BYTES = 0x7FFF0000


class UnusableAudioError(Exception):
    """The file cannot be used as a recording; the message is the reason that the report shows."""


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says. `num_samples` (per channel) is None if the format does not say; `duration_s` is then the
    container's estimate."""

    sample_rate_hz: int
    channels: int
    num_samples: int | None
    duration_s: float
    lossless: bool
    decoder: str
    format: str


def probe(path: Path) -> AudioInfo:
    """Find out by content, not by name, whether a file holds audio.

    Errors: UnusableAudioError with the reason.
    """
    try:
        if path.stat().st_size == 0:
            raise UnusableAudioError("empty file")
    except OSError as error:
        raise UnusableAudioError(f"cannot be read: {error.strerror}") from None
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            duration_s = max(0, file.frames) / max(1, file.samplerate)
            if file.format == "RAW":  # libsndfile then goes by the name alone: anything called .au or .vox would be noise
                raise UnusableAudioError("not audio: samples without a header; convert it to WAV or FLAC first")
            lossless = file.subtype not in _LOSSY_SUBTYPES
            samples = file.frames if file.format != "MP3" or _counts_its_frames(path) else None
            info = AudioInfo(file.samplerate, file.channels, samples, duration_s, lossless, "libsndfile", file.format)
        _check_size(path, info.format)
    except soundfile.LibsndfileError:
        info = _probe_av(path)
    if not 1 <= info.channels <= 2:
        raise UnusableAudioError(f"{info.channels} channels: mix it down to mono or stereo first")
    if not 1000 <= info.sample_rate_hz <= 768000:
        raise UnusableAudioError(f"sample rate {info.sample_rate_hz} Hz is not plausible")
    return info


def _check_size(path: Path, file_format: str) -> None:
    """Refuse truncated WAV and AIFF files: libsndfile reads what is there and ignores what their headers promise."""
    if file_format not in ("WAV", "WAVEX", "AIFF"):
        return
    with path.open("rb") as file:
        promised = int.from_bytes(file.read(8)[4:], "big" if file_format == "AIFF" else "little") + 8
    size = path.stat().st_size
    # Programs that write to a pipe put 0 or a number above 2 GB there.
    if 8 < promised < PIPE_BYTES and size < promised * (1 - MISSING_SHARE):
        raise UnusableAudioError(f"truncated: {size} of {promised} bytes are there")


def _counts_its_frames(path: Path) -> bool:
    """Whether an MP3 file says how many frames it has; if not, libsndfile guesses from its first ones."""
    with path.open("rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3":  # its size, in four groups of seven bits
            file.seek(10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True)))
        else:
            file.seek(0)
        first = file.read(200)
    return b"Xing" in first or b"Info" in first


def _probe_av(path: Path) -> AudioInfo:
    import av

    try:
        with path.open("rb") as file, av.open(file, "r", options=_AV_OPTIONS) as container:
            if not container.streams.audio:
                raise UnusableAudioError("not audio")
            stream = container.streams.audio[0]
            context = stream.codec_context
            if context is None or not context.sample_rate:  # no decoder for this codec, or a damaged header
                raise UnusableAudioError("not audio")
            # No length: containers of compressed audio count padding samples that decoders leave out.
            duration_s = max(0, container.duration or 0) / av.time_base
            lossless = context.name.startswith("pcm_") or context.name in _LOSSLESS_CODECS
            return AudioInfo(
                context.sample_rate, context.channels, None, duration_s, lossless, "ffmpeg", container.format.name
            )
    except PermissionError:
        raise UnusableAudioError("cannot be read: permission denied") from None
    except (av.error.FFmpegError, ValueError, OSError):
        raise UnusableAudioError("not audio") from None


def stream(path: Path, sample_rate_hz: int, channels: int) -> Iterator[np.ndarray]:
    """Decode a file block by block: yields float32 (samples, channels) at the wanted rate, in constant memory.

    Resampled with soxr at its HQ setting. Stereo to mono is the mean of both channels; mono to stereo copies it to both.
    Errors: UnusableAudioError for undecodable, truncated or non-finite audio.
    """
    info = probe(path)
    blocks = _checked(path, info, channels)
    if info.sample_rate_hz != sample_rate_hz:
        blocks = _resampled(blocks, info.sample_rate_hz, sample_rate_hz)
    return blocks


def _checked(path: Path, info: AudioInfo, channels: int) -> Iterator[np.ndarray]:
    """The decoded blocks with the wanted channels. Errors as for `stream`."""
    decoded = _decode_soundfile(path) if info.decoder == "libsndfile" else _decode_av(path, info)
    seen = 0
    for block in decoded:
        if not np.isfinite(block).all():
            raise UnusableAudioError("holds non-finite samples (NaN or infinity)")
        seen += len(block)
        yield _match_channels(block, channels)
    if info.num_samples is not None and seen < info.num_samples * (1 - MISSING_SHARE):
        raise UnusableAudioError(f"truncated: {seen} of {info.num_samples} samples could be decoded")


def _resampled(blocks: Iterator[np.ndarray], from_hz: int, to_hz: int) -> Iterator[np.ndarray]:
    """Resample as if the first and the last sample continued indefinitely: with zeros there, the filter would turn a
    constant offset into clicks, which nobody can remove afterwards."""
    common = math.gcd(from_hz, to_hz)
    periods = -(-HELD_SAMPLES * common // min(from_hz, to_hz))  # whole ones, so that samples stay on their grid
    held, made = periods * from_hz // common, -periods * to_hz // common
    resampler, last, seen = None, np.zeros((0, 1), np.float32), 0
    for block in blocks:
        if resampler is None:
            resampler = soxr.ResampleStream(from_hz, to_hz, block.shape[1], dtype="float32", quality="HQ")
            made += len(resampler.resample_chunk(np.repeat(block[:1], held, axis=0)))
        last, seen = block[-1:], seen + len(block)
        out = resampler.resample_chunk(block)
        if made + len(out) > 0:
            yield out[max(-made, 0) :]
        made += len(out)
    if resampler is not None:
        out = resampler.resample_chunk(np.repeat(last, held, axis=0), last=True)
        yield out[max(-made, 0) : int(seen * to_hz / from_hz + 0.5) - made]


def _decode_soundfile(path: Path) -> Iterator[np.ndarray]:
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            while len(block := file.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
                yield block
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        raise UnusableAudioError(_corrupt(error)) from None


def _decode_av(path: Path, info: AudioInfo) -> Iterator[np.ndarray]:
    import av

    layout = "mono" if info.channels == 1 else "stereo"
    try:
        with path.open("rb") as file, av.open(file, "r", options=_AV_OPTIONS) as container:
            # ffmpeg's resampler only converts the sample format here; rates are soxr's work.
            converter = av.AudioResampler(format="flt", layout=layout, rate=info.sample_rate_hz)
            for frame in container.decode(audio=0):
                for converted in converter.resample(frame):
                    yield converted.to_ndarray().reshape(-1, info.channels)
            for converted in converter.resample(None):
                yield converted.to_ndarray().reshape(-1, info.channels)
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise UnusableAudioError(_corrupt(error)) from None


def _corrupt(error: Exception) -> str:
    return f"corrupt: {str(error).removeprefix('Error : ').rstrip('.')}"


def _match_channels(block: np.ndarray, channels: int) -> np.ndarray:
    if block.shape[1] == channels:
        return block
    if channels == 1:
        mono: np.ndarray = block.mean(axis=1, keepdims=True, dtype=np.float32)
        return mono
    return np.repeat(block, channels, axis=1)


def read(path: Path, sample_rate_hz: int | None = None, channels: int | None = None) -> tuple[np.ndarray, int]:
    """A whole file as float32 (C, S) and its sample rate; converted if a rate or channels are given.

    Errors: Mp3netError naming the file.
    """
    try:
        info = probe(path)
        rate = sample_rate_hz or info.sample_rate_hz
        blocks = list(stream(path, rate, channels or info.channels))
    except UnusableAudioError as error:
        raise Mp3netError(f"{path}: {error}") from None
    if not blocks:
        raise Mp3netError(f"{path}: holds no samples")
    return np.ascontiguousarray(np.concatenate(blocks).T), rate


def write(path: Path, audio: np.ndarray, sample_rate_hz: int, audio_format: str) -> int:
    """Write (C, S) audio in [-1, 1] atomically. Returns the sample rate of the file.

    MP3 supports only nine sample rates; audio at any other rate is resampled to the next higher one, or to 48 kHz.
    Errors: ValueError for samples beyond [-1, 1] (they would be clipped), Mp3netError if the file cannot be written.
    """
    if audio_format not in FORMATS:
        raise Mp3netError(f"unknown audio format {audio_format!r}; the formats are: {', '.join(FORMATS)}")
    if not np.abs(audio).max(initial=0) <= 1:
        raise ValueError("samples beyond [-1, 1] or not finite: lower the level before writing")
    rate = sample_rate_hz
    if audio_format == "mp3" and rate not in _MP3_RATES_HZ:
        rate = next((candidate for candidate in _MP3_RATES_HZ if candidate >= rate), _MP3_RATES_HZ[-1])
        audio = soxr.resample(audio.T, sample_rate_hz, rate, quality="HQ").T
        audio = audio / max(1.0, float(np.abs(audio).max(initial=0)))
    options: dict[str, Any] = {"format": audio_format.upper(), "subtype": _SUBTYPES[audio_format]}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as unfinished:
            soundfile.write(unfinished, audio.T, rate, **options)
    except (OSError, soundfile.LibsndfileError) as error:
        raise Mp3netError(f"{path}: cannot be written: {error}") from None
    return rate
