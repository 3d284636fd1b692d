"""report.json and report.html: one self-contained page with its pictures and sounds."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from mp3net import __version__, figures
from mp3net.errors import Mp3netError
from mp3net.evaluation.clips import ClipSet
from mp3net.evaluation.ladder import REAL_AGAIN, RUNGS
from mp3net.evaluation.metrics import level_db
from mp3net.evaluation.result import Evaluation, Result
from mp3net.evaluation.statistics import Estimate, Score
from mp3net.evaluation.structure import MIN_CLIP_S, chroma_blocks, similarity_matrix
from mp3net.files import write_json, write_text
from mp3net.pages import beginning, picture, player
from mp3net.words import counted, mono_or_stereo

JSON_FILE = "report.json"
HTML_FILE = "report.html"
SHOWN_CLIPS = 4
SHOWN_S = 30.0
STRIP_WIDTH, STRIP_HEIGHT = 320, 34
# What each of them says of, the most telling first.
TELLING = {
    "octave_flatness": "pitch", "kernel_notes": "notes", "kernel_timbre": "timbre", "kernel_logmel": "tone colour",
    "coverage_logmel": "variety", "pulse": "beat", "pair_error": "to a classifier",
}  # fmt: skip
GROUPS = {
    "spectrum": "Spectrum: levels, pitchedness and faults of single clips",
    "distribution": "Distribution: the whole set of clips against real ones",
    "notes": "Notes: what a transcriber hears",
    "structure": "Structure: how clips hold together over time",
    "pairs": "Pairs: whether a classifier tells judged from real",
    "diversity": "Diversity: how different clips are from each other",
    "memorisation": "Memorisation: similarity to the training recordings",
}


def save_report(evaluation: Evaluation, out: Path) -> None:
    """Write report.json and report.html into the folder `out`, each atomically.

    Errors: Mp3netError if the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / HTML_FILE, "\n".join(_page(evaluation)))
        write_json(out / JSON_FILE, evaluation.to_json())
    except OSError as error:
        raise Mp3netError(f"{out}: cannot be written: {error.strerror}") from None


def number(value: float) -> str:
    """Three significant digits, without an exponent where that stays short."""
    if not math.isfinite(value):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def with_interval(estimate: Estimate) -> str:
    """ "0.27 (0.25 to 0.29)" """
    return f"{number(estimate.value)} ({number(estimate.low)} to {number(estimate.high)})"


def short_interval(estimate: Estimate) -> str:
    """ "0.27 ±0.02": the wider side of the interval."""
    half = max(estimate.high - estimate.value, estimate.value - estimate.low)
    return f"{number(estimate.value)} ±{half:.2g}" if half else number(estimate.value)


def summary(evaluation: Evaluation) -> list[str]:
    """What was judged against what, and the outcome, in a few sentences."""
    judged, real = evaluation.judged, evaluation.real.reference
    length_s = judged.form.clip_samples / judged.form.sample_rate_hz
    return [
        f"{evaluation.candidate['name']}: {len(judged)} clips of {length_s:.2f} s, {judged.form.sample_rate_hz} Hz, "
        f"{mono_or_stereo(judged.form.channels)}, against {len(real)} clips of "
        f"{counted(len(set(real.sources)), 'real recording')}",
        *outcome(evaluation.results),
    ]


def outcome(results: Sequence[Result]) -> Iterator[str]:
    """How good it is. What tells most comes first, by its place on the ladder. Faults are counted apart from the other
    metrics: to have none of them is no success, since noise has none either."""
    places = {result.metric.name: result.place for result in results}
    if told := [f"{what} {places[name]}" for name, what in TELLING.items() if name in places]:
        yield f"on the ladder of faults: {'; '.join(told)}"
    musical = [result for result in results if not result.metric.one_sided]
    groups: dict[str, list[bool]] = {}
    for result in musical:
        groups.setdefault(result.metric.group, []).append(result.as_real)
    if musical:
        counts = ", ".join(f"{group} {sum(alike)} of {len(alike)}" for group, alike in groups.items())
        yield f"not told from real in {sum(one.as_real for one in musical)} of {len(musical)} metrics ({counts})"
    faults = [result for result in results if result.metric.one_sided]
    more = [fault.metric.name for fault in faults if not fault.as_real]
    no_more = [fault.metric.name for fault in faults if fault.as_real]
    if more:
        yield f"more than in real music: {', '.join(more)}"
    if no_more:
        yield f"no more than in real music, as in most noise: {', '.join(no_more)}"


def _page(evaluation: Evaluation) -> Iterator[str]:
    yield beginning(f"Evaluation of {evaluation.candidate['name']}")
    yield from (f"<p>{html.escape(sentence)}.</p>" for sentence in summary(evaluation))
    yield (
        "<p><b>Floor</b>: the same number for other real recordings, which is as good as it gets. <b>Place</b>: the two "
        "faults whose deviation from real music is just smaller and just larger; their order differs from metric to metric. "
        "Ranges are 95 % intervals of half-samples. The strip shows deviations from real music (0 at the left, square-root "
        "scale): grey ticks are the rungs of the ladder, the green bar is the floor, the black one what is judged. Point at "
        "a tick for its name.</p>"
    )
    if details := "; ".join(_facts(evaluation.candidate)):
        yield f"<p><small>{html.escape(details)}</small></p>"
    notes = [*evaluation.warnings, *(f"not computed: {key}: {why}" for key, why in evaluation.left_out.items())]
    for note in notes:
        yield f"<p class='warning'>{html.escape(note)}</p>"
    yield from _listening(evaluation)
    for group, title in GROUPS.items():
        results = [result for result in evaluation.results if result.metric.group == group]
        if results:
            yield f"<h2>{title}</h2>"
            yield from _table(results)
    yield from _copies(evaluation)
    yield from _piano(evaluation)
    yield "<h2>Pictures</h2>"
    for title, figure in _figures(evaluation):
        yield f"<h3>{title}</h3>{picture(title, figures.png_bytes(figure))}"
    yield "<h2>The ladder</h2><table>"
    for rung in RUNGS:
        yield f"<tr><td>{rung.name}</td><td>{rung.meaning}</td></tr>"
    yield f"</table><p><small>mp3net {__version__}</small></p></html>"


def _facts(candidate: Mapping[str, Any]) -> Iterator[str]:
    """What can be said in a few words: report.json has the rest, such as a snapshot's stages with all their readings."""
    for key, value in candidate.items():
        if key not in ("kind", "name") and isinstance(value, str | int | float):
            yield f"{key}: {value}"


def _table(results: list[Result]) -> Iterator[str]:
    yield "<div class='wide'><table><tr><th>Metric<th>Judged<th>Floor<th>Place<th>Ladder</tr>"
    for result in results:
        unit = f" {result.metric.unit}" if result.metric.unit else ""
        unseen = f"<br><small>Here it does not tell {', '.join(result.unseen)} from real.</small>" if result.unseen else ""
        style = " class='place real'" if result.as_real else " class='place'"
        yield (
            f"<tr><td><b>{result.metric.name}</b><br><small>{html.escape(result.metric.meaning)}</small>{unseen}</td>"
            f"<td class='number'>{with_interval(result.score.value)}{unit}</td>"
            f"<td class='number'>{with_interval(result.floor.value)}{unit}</td>"
            f"<td{style}>{result.place}</td><td>{_strip(result)}</td></tr>"
        )
    yield "</table></div>"


def _strip(result: Result) -> str:
    """The ladder as a line: an inline SVG."""
    highest = max([score.deviation.value for score in result.ladder.values()] + [result.score.deviation.value, 1e-12])

    def x(deviation: float) -> float:
        return 4 + (STRIP_WIDTH - 8) * math.sqrt(min(max(deviation, 0.0) / highest, 1.0))

    def bar(score: Score, colour: str, y: int, title: str) -> str:
        low, high = x(score.deviation.low), x(score.deviation.high)
        return (
            f"<rect x='{low:.1f}' y='{y}' width='{max(high - low, 2):.1f}' height='6' fill='{colour}'>"
            f"<title>{title}: {number(score.deviation.value)}</title></rect>"
        )

    middle = STRIP_HEIGHT // 2
    parts = [
        f"<svg width='{STRIP_WIDTH}' height='{STRIP_HEIGHT}' role='img'>",
        f"<line x1='0' x2='{STRIP_WIDTH}' y1='{middle}' y2='{middle}' stroke='#bbb'/>",
    ]
    for rung, score in result.ladder.items():
        title = f"{rung}: {number(score.deviation.value)}"
        parts.append(
            f"<rect x='{x(score.deviation.value) - 1.5:.1f}' y='{middle - 8}' width='3' height='16' fill='#888'>"
            f"<title>{title}</title></rect>"
        )
    parts.append(bar(result.floor, "#0a7d2c", middle - 14, "floor"))
    parts.append(bar(result.score, "#000", middle + 9, "judged"))
    return "".join([*parts, "</svg>"])


def _copies(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.copy_threshold is None:
        return
    if not any(match.similarity >= evaluation.copy_threshold for match in evaluation.matches):
        nearest = number(evaluation.matches[0].similarity) if evaluation.matches else "-"
        yield (
            f"<p>No clip is as similar to a training passage as a copy ({number(evaluation.copy_threshold)}); the most "
            f"similar one reaches {nearest}.</p>"
        )
        return
    yield (
        f"<p>The most similar pairs. From {number(evaluation.copy_threshold)} on a clip counts as copied: 95 % of exact "
        "copies, cut anywhere, reach that. So do recordings that repeat each other: see the floor of copied_share.</p>"
        "<table><tr><th>Clip<th>at<th>similarity<th>training recording<th>at</tr>"
    )
    for match in evaluation.matches[:10]:
        copied = match.similarity >= evaluation.copy_threshold
        yield (
            f"<tr><td>{html.escape(match.clip)}<td>{match.clip_position_s:.2f} s<td>{number(match.similarity)}"
            f"{' <b>copied</b>' if copied else ''}<td>{html.escape(match.source)}<td>{match.source_position_s:.2f} s</tr>"
        )
    yield "</table>"


def _piano(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.piano:
        yield "<h2>Piano: what a much better, much slower transcriber hears</h2>"
        yield "<table><tr><th>Clips<th>notes per second, of each clip<th>mean length</tr>"
        for name, heard in evaluation.piano.items():
            rates = ", ".join(number(rate) for rate in heard.notes_per_s)
            lengths = ", ".join(f"{number(length)} s" for length in heard.note_length_s)
            yield f"<tr><td>{html.escape(name)}<td>{rates}<td>{lengths}</tr>"
        yield "</table>"


def _shown(clips: ClipSet) -> list[int]:
    """The first clips of different units."""
    return [int(index) for index in np.sort(np.unique(clips.units, return_index=True)[1])[:SHOWN_CLIPS]]


def _sound(clips: ClipSet, index: int) -> np.ndarray:
    """At most 30 s of a clip."""
    return clips.read(index)[:, : round(SHOWN_S * clips.form.sample_rate_hz)]


def _listening(evaluation: Evaluation) -> Iterator[str]:
    yield "<h2>Listen</h2>"
    for name, clips in (("real", evaluation.real.reference), ("judged", evaluation.judged)):
        yield f"<div class='row'><b>{name}</b>"
        for index in _shown(clips):
            label = html.escape(f"{clips.sources[index]}, {clips.positions_s[index]:.1f} s")
            yield f"<div>{player(_sound(clips, index), clips.form.sample_rate_hz)}<br><small>{label}</small></div>"
        yield "</div>"


def _figures(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield (
        "What each metric makes of the ladder (filled: told from real; area: size of the deviation)",
        figures.ladder_chart(ladder_table(evaluation)),
    )
    rate = evaluation.judged.form.sample_rate_hz
    real, judged = (
        [_sound(clips, index) for index in _shown(clips)] for clips in (evaluation.real.reference, evaluation.judged)
    )
    sets = {"real": evaluation.real_features, "judged": evaluation.judged_features}
    yield "Spectrograms", figures.spectrogram_grid([("real", real), ("judged", judged)], rate)
    if "spectrum/bin_power" in evaluation.real_features:
        curves = {name: level_db(features["spectrum/bin_power"]) for name, features in sets.items()}
        yield "Level per bin", figures.level_curves(curves, rate)
    quantities = {
        key.split("/")[1]: {name: features[key] for name, features in sets.items()}
        for key, values in evaluation.real_features.items()
        if values.ndim == 1 and key in evaluation.judged_features and key != "memorisation/copied"
    }
    if quantities:
        yield "Distributions over clips", figures.histograms(quantities)
    embeddings = [key for key in evaluation.real_features if key.endswith("/embedding")]
    if embeddings:
        panels = {key.split("/")[0]: plane({name: f[key] for name, f in sets.items()}) for key in embeddings}
        yield "Embeddings, first two principal axes of the real clips", figures.scatter_grid(panels)
    if real[0].shape[1] >= MIN_CLIP_S * rate:
        rows = [
            (name, [similarity_matrix(chroma_blocks(torch.from_numpy(clip)[None], rate)[0]) for clip in clips])
            for name, clips in (("real", real), ("judged", judged))
        ]
        yield "Self-similarity", figures.similarity_grid(rows, real[0].shape[1] / rate)


def ladder_table(evaluation: Evaluation) -> dict[str, dict[str, float]]:
    """By metric and rung (and "judged"): deviation over the largest on the metric's ladder; negative if the metric cannot
    tell it from real."""
    table: dict[str, dict[str, float]] = {}
    for result in evaluation.results:
        scores = {**result.ladder, "judged": result.score}
        highest = max(score.deviation.value for score in scores.values()) or 1.0
        limit = result.floor.deviation.high
        table[result.metric.name] = {
            rung: score.deviation.value / highest * (1 if score.deviation.low > limit else -1)
            for rung, score in scores.items()
            if rung != REAL_AGAIN.name
        }
    return table


def plane(sets: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Sets of points (n, d) projected onto the first two principal axes of the first set."""
    first = next(iter(sets.values())).astype(np.float64)
    axes = np.linalg.svd(first - first.mean(0), full_matrices=False)[2][:2]
    return {name: (points - first.mean(0)) @ axes.T for name, points in sets.items()}
