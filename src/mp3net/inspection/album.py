"""What an inspection leaves: pictures as PNG, numbers as JSON, and one page with all of it and the listening checks."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mp3net import __version__
from mp3net.errors import Mp3netError
from mp3net.figures import png_bytes
from mp3net.files import replacing, write_json, write_text
from mp3net.inspection import drawings
from mp3net.inspection.checks import Checks, checks
from mp3net.inspection.measuring import Measured
from mp3net.pages import beginning, picture, player
from mp3net.words import mono_or_stereo

SILENT = "SILENT: the pictures and sounds show nothing"
PAGE_FILE, NUMBERS_FILE = "inspection.html", "inspection.json"


@dataclass(frozen=True)
class Shown:
    """A picture of the album: its file, heading and what it shows."""

    file: str
    title: str
    meaning: str
    draw: Callable[[Measured], Figure]


ALBUM = (
    Shown(
        "mdct.png",
        "MDCT coefficients and spectrogram",
        "Above what a network makes: one real number per bin and frame, and from them every sample follows exactly. It is "
        "speckled, because a coefficient depends on the phase of what sounds as well as on its level. Below the usual "
        "spectrogram of the same passage, which has no phase, so that no sound follows from it.",
        drawings.amplitudes_and_spectrogram,
    ),
    Shown(
        "thresholds.png",
        "What can be heard in one frame",
        "Strong partials mask what is near them. A coefficient below the masking threshold (red; one value for each of 24 "
        "bands of hearing, never below the threshold in quiet, green) can be changed without anybody hearing it, and "
        "training does so: it adds noise with the standard deviation of the dashed line, a sixth of the threshold, to all "
        "that the discriminator is shown. So the generator need not get right what nobody hears.",
        drawings.thresholds,
    ),
    Shown(
        "tonality.png",
        "Tonality over time",
        "How far a frame's spectrum is from flat: about 0.09 for white noise, 1 for a pure tone. Onsets make it fall, held "
        "notes let it rise. Tones mask less than noise does, therefore the masking threshold depends on it.",
        drawings.tonality_over_time,
    ),
    Shown(
        "reduced.png",
        "The reduced spectrogram",
        "The highest octave is blurred and added to the one below, again and again. Partials an octave apart fall onto each "
        "other, until the picture resembles the score.",
        drawings.reduced,
    ),
    Shown(
        "levels.png",
        "Level per bin",
        "Of the whole recording. Above, the mean power of each bin, and of its masking threshold: loud moments count most. "
        "Below, how many of its coefficients nobody hears: every moment counts alike, so that a bin may lie above its "
        "threshold in the mean and yet be below it most of the time.",
        drawings.levels,
    ),
    Shown(
        "baseband.png",
        "Why the second family learns pitch",
        "The same second, four times. In the coefficients a held note swings from frame to frame, with a pattern that "
        "differs from bin to bin and from pitch to pitch. In the baseband, into which they are converted without loss, its "
        "magnitude stands still, and it turns evenly, by how far the pitch is from the middle of the bin: one colour for as "
        "long as the note is held. (Less of that is to be seen in dense music and in wide bins, where several partials "
        "share a bin and beat.) The discriminator of the second family is shown the baseband, and its generator plays slow "
        "amplitudes of partials, so both see notes as what they are: things that stay.",
        drawings.baseband_beside_coefficients,
    ),
)


def save_album(measured: Measured, out: Path) -> None:
    """Write pictures, numbers and the page into the folder `out`, each atomically and the page last.

    Errors: Mp3netError if the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        pictures = {shown.file: png_bytes(shown.draw(measured)) for shown in ALBUM}
        for name, png in pictures.items():
            with replacing(out / name) as unfinished:
                unfinished.write_bytes(png)
        write_json(out / NUMBERS_FILE, numbers(measured))
        write_text(out / PAGE_FILE, "\n".join(_page(measured, pictures, checks(measured))))
    except OSError as error:
        raise Mp3netError(f"{out}: cannot be written: {error.strerror}") from None


def numbers(measured: Measured) -> dict[str, Any]:
    """What was measured, as JSON; arrays have one value per bin."""
    audio, sums = measured.audio, measured.sums
    return {
        "mp3net": __version__,
        "file": str(measured.path),
        "audio": audio.model_dump(),
        "duration_s": measured.duration_s,
        "missing": measured.damage,
        "peak": measured.levels.outcome.peak,
        "loudness_lufs": measured.levels.loudness_lufs,
        "masked_share": measured.masked_share,
        "masked_share_by_octave": [
            {"from_hz": low, "to_hz": high, "share": share} for low, high, share in measured.masked_share_by_octave()
        ],
        "masking_noise_db": measured.noise_db if sums.power.sum() > 0 else None,
        "tonality": float(sums.tonality.mean()),
        "passage_begin_s": measured.passage_begin_s,
        "bins": {
            "power": sums.power.tolist(),
            "threshold_power": sums.threshold_power.tolist(),
            "masked_share": sums.masked_share.tolist(),
        },
    }


def facts(measured: Measured) -> list[tuple[str, str]]:
    """What is told in words and numbers, for the page and the console."""
    audio, info, levels = measured.audio, measured.info, measured.levels
    octaves = ", ".join(f"{low:.0f} to {high:.0f} Hz {share:.0%}" for low, high, share in measured.masked_share_by_octave())
    loudness = f", {levels.loudness_lufs:.1f} LUFS" if levels.loudness_lufs is not None else ""
    silent = measured.sums.power.sum() == 0
    noise = "none: the recording is silent" if silent else f"{-measured.noise_db:.1f} dB below the recording"
    form = f"{info.format}, {info.sample_rate_hz:,} Hz {mono_or_stereo(info.channels)}"
    view = f"{audio.sample_rate_hz:,} Hz {mono_or_stereo(audio.channels)}, {audio.num_bins} bins, {audio.window} window"
    rows = [
        ("recording", f"{duration(measured.duration_s)}, {form}"),
        ("looked at as", view),
        ("level", f"peak {levels.outcome.peak:.3f}{loudness}; scaled to a peak of 0.999, as for training"),
        ("below the masking threshold", f"{measured.masked_share:.1%} of the coefficients ({octaves})"),
        ("masking noise", noise),
        ("tonality", f"{measured.sums.tonality.mean():.3f} on average (white noise 0.09, a pure tone 1)"),
    ]
    if measured.passage_is_silent:
        rows.insert(0, ("passage", f"{SILENT}; choose another with --at, or leave it out"))
    return rows + ([("missing", measured.damage)] if measured.damage else [])


def duration(seconds: float) -> str:
    """ "4.2 s", "3 min 05 s", "1 h 02 min" """
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60:02} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02} min"


def _page(measured: Measured, pictures: dict[str, bytes], heard: Checks) -> Iterator[str]:
    yield beginning(f"Inspection of {measured.path.name}")
    yield "<table>"
    for name, text in facts(measured):
        yield f"<tr><td><b>{name}</b></td><td>{html.escape(text)}</td></tr>"
    yield "</table>"
    yield from _listening(measured, heard)
    for shown in ALBUM:
        yield f"<h2>{shown.title}</h2><p>{shown.meaning}</p>{picture(shown.title, pictures[shown.file])}"
    yield f"<p><small>mp3net {__version__}</small></p></html>"


def _listening(measured: Measured, heard: Checks) -> Iterator[str]:
    rate = measured.audio.sample_rate_hz
    seconds = heard.music.shape[1] / rate
    if measured.passage_is_silent:
        yield f"<h2>{SILENT}</h2>"
    yield f"<h2>Can you hear the noise?</h2><p>{seconds:.1f} s from {duration(measured.passage_begin_s)} on, at one volume."
    yield (
        "The first two should sound the same. The third is all that differs between them: alone it is heard, because "
        "nothing masks it. The fourth has as much noise, spread evenly over all frequencies and times instead: that is "
        "heard.</p><table>"
    )
    for name, sound in (
        ("the recording", heard.music),
        ("with the masking noise", heard.with_noise),
        ("the noise alone", heard.noise),
        ("with white noise of the same power", heard.with_white_noise),
    ):
        yield f"<tr><td>{name}</td><td>{player(sound, rate)}</td></tr>"
    yield "</table>"
