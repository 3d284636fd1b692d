"""The studio's page: what there is to see and press. What happens then is in `stage` and `watching`."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from mp3net import __version__
from mp3net.errors import Mp3netError
from mp3net.figures import to_rgb
from mp3net.generation import MAX_SEED
from mp3net.studio.player import NTH_SONG, endless_player, moment, note, player, report_links
from mp3net.studio.shelf import Shelf
from mp3net.studio.stage import MOST_S, MOST_SLIDERS, MOST_UNITS, USUAL_S, Played, Stage, nth_song, words_of
from mp3net.studio.watching import curves, moments, samples_note, seeds_at, told

REFRESH_S = 30
MOST_FAVOURITES = 100
KEYS = "Space plays and pauses, the arrow keys step through seeds, a click into the picture goes there."
NOTHING = "<p class='mp-said'>Press <b>Make a song</b>. Every seed is another song, and always the same one.</p>"
MEANINGS = """
- **Kernel distance**: how far the songs, all together, are from recordings in tone colour and loudness; 0 is as near as
  other recordings are. Notes can usually be heard once it is 4 or less.
- **Coverage**: the share of recordings that have a song near them; 1 is full. When it falls, songs become alike.
- **Octave flatness**: how clearly pitches stand out; in the curves, relative to real music.
- **Flatness spread**: how much songs differ in that; near 0 all songs have the same hum.

Each evaluation is of 64 songs, and scatters: a kernel distance below 2 may double from one to the next, and what counts is
where several in a row go. Dotted lines: from there on a reading is called good. A grey line, if there is one, is another
training of this preset on other music, so a rough guide; it stayed below good in pitch and variety itself.
"""
NO_RUN = """
Name a run when you start the studio, in training or finished, and this page says how it goes:

    mp3net studio runs/piano
"""
NO_SLIDERS = "This model has no sliders yet. A command finds some, in minutes:"
# Work that makes a sound waits for its turn, and of many clicks the last one counts; what only changes the page does not
# wait. Nothing is offered as an interface for programs: those have `mp3net generate`.
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
QUEUED = PRIVATE | {"trigger_mode": "always_last", "concurrency_id": "sound", "concurrency_limit": 1}
QUIET = PRIVATE | {"queue": False, "show_progress": "hidden"}
# Only what goes through the queue can tell a visitor something: how it went, or what is wrong.
TELLING = PRIVATE | {"show_progress": "hidden"}
# The seed beside another, and any; in the browser's language.
ANY = "() => Math.floor(100000 * Math.random())"
PREVIOUS = "seed => Math.max(Math.ceil(seed || 0) - 1, 0)"
FOLLOWING = f"seed => Math.min(Math.max(Math.floor(seed || 0) + 1, 0), {MAX_SEED})"
# Buttons after which the space bar still plays and pauses.
MAKES = ["mp-makes"]


@dataclass(frozen=True)
class Controls:
    """What a song is made from, on the page, and the player."""

    model: gr.Dropdown
    seed: gr.Number
    length: gr.Slider
    strangeness: gr.Slider
    sliders: list[gr.Slider]
    sound: gr.HTML
    playing: gr.State
    """What is in the player, as a favourite is kept."""

    @property
    def character(self) -> list[Any]:
        return [self.length, self.strangeness, *self.sliders]

    @property
    def played(self) -> list[Any]:
        return [self.sound, self.playing]


def build(stage: Stage) -> gr.Blocks:
    """The page."""
    shelf = stage.shelf
    with gr.Blocks(title="mp3net studio", analytics_enabled=False) as page:
        gr.Markdown("# mp3net studio")
        sound, playing = gr.HTML(NOTHING, elem_id="mp-sound", padding=False), gr.State(None)
        keep = gr.Button("Keep as a favourite", size="sm", elem_id="mp-keep")
        nth = gr.Number(0, visible=False)
        # What lies within tabs is not there before they are opened.
        stored = gr.BrowserState([], storage_key="mp3net-favourites", secret="mp3net")  # noqa: S106
        with gr.Tab("Play"):
            controls = _play(stage, page, sound, playing)
        with gr.Tab("Blend"):
            first, second = _blend(stage, controls)
        with gr.Tab("Favourites"):
            choice = _favourites(stage, page, controls, stored, {"first": first, "second": second})
        keep.click(said(_added), [stored, playing, nth], [stored, choice], js=NTH_SONG, **TELLING)
        with gr.Tab("Is my training on track?"):
            if shelf.runs:
                _training(shelf, page)
            else:
                gr.Markdown(NO_RUN)
        if shelf.reports:
            with gr.Tab("Reports"):
                gr.HTML(report_links(shelf.reports))
        gr.Markdown(f"<small>{KEYS} mp3net {__version__}</small>")
    assert isinstance(page, gr.Blocks)
    return page


def said(work: Callable[..., Any]) -> Callable[..., Any]:
    """Errors become messages on the page."""

    @functools.wraps(work)
    def told_to_visitors(*arguments: Any) -> Any:
        try:
            return work(*arguments)
        except Mp3netError as error:
            raise gr.Error(str(error).replace("`", ""), print_exception=False) from None

    return told_to_visitors


def shown(played: Played) -> tuple[str, dict[str, Any]]:
    """What the player shows, and what is in it."""
    return player(played.key, played.said), played.kept


def _play(stage: Stage, page: gr.Blocks, sound: gr.HTML, playing: gr.State) -> Controls:
    """Choose and make."""
    names = stage.shelf.playable
    model = gr.Dropdown(names, value=names[0], label="Model", visible=len(names) > 1, elem_id="mp-model")
    with gr.Row(elem_classes=["mp-row"]):
        previous = gr.Button("◀", min_width=44, scale=0, elem_id="mp-previous", elem_classes=MAKES)
        seed = _seed_field(1, "Seed", "mp-seed")
        following = gr.Button("▶", min_width=44, scale=0, elem_id="mp-next", elem_classes=MAKES)
        dice = gr.Button("Any", min_width=64, scale=0, elem_id="mp-any", elem_classes=MAKES)
    with gr.Row(elem_classes=["mp-row"]):
        make = gr.Button("Make a song", variant="primary", elem_id="mp-make", elem_classes=MAKES)
        stream = gr.Button("Endless", min_width=100, scale=0, elem_id="mp-endless", elem_classes=MAKES)
    length = gr.Slider(2, MOST_S, USUAL_S, step=1, label="Length in seconds", elem_id="mp-length")
    with gr.Accordion("Change its character", open=False):
        strangeness = gr.Slider(0, 2, 1, step=0.05, label="Strangeness: below 1 more typical, above 1 stranger")
        none = gr.Markdown(visible=False, elem_id="mp-no-sliders")
        sliders = [gr.Slider(-MOST_UNITS, MOST_UNITS, 0, step=0.1, visible=False) for _ in range(MOST_SLIDERS)]
    controls = Controls(model, seed, length, strangeness, sliders, sound, playing)

    def named(name: str) -> list[Any]:
        found = stage.slider_names(name)
        labelled = [gr.Slider(label=one.capitalize(), visible=True, value=0) for one in found]
        hidden = [gr.Slider(visible=False, value=0)] * (MOST_SLIDERS - len(found))
        command = shlex.join(["mp3net", "sliders", str(stage.shelf.path(name))])
        return [gr.Markdown(f"{NO_SLIDERS}\n\n    {command}", visible=not found), *labelled, *hidden]

    gr.on([page.load, model.change], named, model, [none, *sliders], **QUIET)
    _working(stage, controls, make, stream, {previous: PREVIOUS, following: FOLLOWING, dice: ANY})
    return controls


def _working(stage: Stage, controls: Controls, make: gr.Button, stream: gr.Button, steps: dict[gr.Button, str]) -> None:
    """What the buttons of the first page do."""

    @said
    def song(name: str, seed: float, length: float, strangeness: float, *units: float) -> Any:
        settings = stage.settings(name, length, list(units), seed=seed, truncation=strangeness)
        return shown(stage.play(name, settings))

    @said
    def endless(name: str, seed: float, length: float, strangeness: float, *units: float) -> Any:
        settings = stage.settings(name, USUAL_S, list(units), seed=seed, truncation=strangeness)
        stream, first = stage.endless(name, settings)
        return endless_player(first.key, first.said, settings.seed, stream.each_s), first.kept

    asked = [controls.model, controls.seed, *controls.character]
    make.click(song, asked, controls.played, **QUEUED)
    controls.seed.submit(song, asked, controls.played, **QUEUED)
    stream.click(endless, asked, controls.played, **QUEUED)
    for button, step in steps.items():
        # In the browser: of clicks that follow each other quickly, each finds the seed of the one before.
        button.click(None, controls.seed, controls.seed, js=step, **PRIVATE).then(song, asked, controls.played, **QUEUED)


def _seed_field(value: int, label: str, elem_id: str) -> gr.Number:
    # Bounds and roundings of the field itself would end in Gradio's words, or change what somebody typed.
    return gr.Number(value, label=label, elem_id=elem_id, min_width=120)


def _blend(stage: Stage, controls: Controls) -> tuple[gr.Number, gr.Number]:
    """Between two songs of the model, length and character that are chosen on the first page."""
    gr.Markdown("Two seeds become one song. Model, length and character are those under **Play**.")
    with gr.Row(elem_classes=["mp-row"]):
        first, second = _seed_field(1, "First seed", "mp-first"), _seed_field(2, "Second seed", "mp-second")
    share = gr.Slider(0, 1, 0.5, step=0.05, label="Blend: 0 is the first song, 1 the second", elem_id="mp-share")
    with gr.Row():
        blend = gr.Button("Make the blend", variant="primary", elem_id="mp-blend", elem_classes=MAKES)
        morph = gr.Button("Move from the first to the second", elem_id="mp-morph", elem_classes=MAKES)

    @said
    def blended(name: str, one: float, other: float, part: float, length: float, strangeness: float, *units: float) -> Any:
        asked = {"seed": _typed(one, "first seed"), "variation": other, "strength": part, "truncation": strangeness}
        return shown(stage.play(name, stage.settings(name, length, list(units), **asked)))

    @said
    def morphed(name: str, one: float, other: float, length: float, strangeness: float, *units: float) -> Any:
        asked = {"seed": _typed(one, "first seed"), "path": (_typed(other, "second seed"),), "truncation": strangeness}
        return shown(stage.play(name, stage.settings(name, length, list(units), **asked)))

    blend.click(blended, [controls.model, first, second, share, *controls.character], controls.played, **QUEUED)
    morph.click(morphed, [controls.model, first, second, *controls.character], controls.played, **QUEUED)
    return first, second


def _typed(seed: float | None, name: str) -> float:
    if seed is None:
        raise Mp3netError(f"{name}: is empty; give a whole number from 0 to {MAX_SEED}")
    return int(seed) if float(seed).is_integer() else seed


def _favourites(
    stage: Stage, page: gr.Blocks, controls: Controls, stored: gr.BrowserState, seeds: dict[str, gr.Number]
) -> gr.Radio:
    """Kept in the visitor's browser: they are there again tomorrow, and nobody else sees them."""
    gr.Markdown("Kept in this browser, a few words each: what a song is made from.")
    choice = gr.Radio([], label="Favourites", elem_id="mp-favourites")
    with gr.Row():
        again = gr.Button("Play", variant="primary", elem_id="mp-again", elem_classes=MAKES)
        to_blend = {which: gr.Button(f"Blend: {which} seed", elem_id=f"mp-blend-{which}") for which in seeds}
        remove = gr.Button("Remove", elem_id="mp-remove")
    file = gr.File(label="Make a song again from its file", file_types=["audio"], elem_id="mp-upload", height=120)

    @said
    def play_again(kept: Any, number: int | None) -> Any:
        return shown(stage.again(_chosen(kept, number)))

    def seed_of(which: str, kept: Any, number: int | None) -> Any:
        chosen = _chosen(kept, number)
        seed = chosen.get("seed")
        alone = ", the first of this blend," if {"variation", "path"} & chosen.keys() else ""
        gr.Info(f"Seed {seed}{alone} is now the {which} seed under Blend.")
        return seed

    @said
    def from_file(name: str | None) -> Any:
        return shown(stage.like(Path(name))) if name is not None else (NOTHING, None)

    page.load(_listed, stored, choice, **QUIET)
    remove.click(said(_removed), [stored, choice], [stored, choice], **TELLING)
    again.click(play_again, [stored, choice], controls.played, **QUEUED)
    for which, button in to_blend.items():
        button.click(said(functools.partial(seed_of, which)), [stored, choice], seeds[which], **TELLING)
    file.upload(from_file, file, controls.played, **QUEUED)
    return choice


def _listed(kept: Any, selected: int | None = None) -> Any:
    return gr.Radio(choices=[(words_of(one), number) for number, one in enumerate(_rows(kept))], value=selected)


def _added(kept: Any, playing: Any, nth: Any) -> Any:
    """`nth`: which song of an endless stream plays, from 0 on."""
    rows = _rows(kept)
    if playing is None:
        raise Mp3netError("Nothing that could be kept is in the player: make a song first.")
    playing = nth_song(playing, nth)
    if playing not in rows:
        rows = [*rows, playing][-MOST_FAVOURITES:]
        gr.Info(f"Kept under Favourites, in this browser: {words_of(playing)}.")
    else:
        gr.Info(f"Kept already: {words_of(playing)}.")
    return rows, _listed(rows)  # nothing is chosen, so that nothing is removed by mistake


def _removed(kept: Any, number: int | None) -> Any:
    gone = _chosen(kept, number)
    rows = [one for place, one in enumerate(_rows(kept)) if place != number]
    gr.Info(f"Removed: {words_of(gone)}.")
    return rows, _listed(rows)


def _rows(kept: Any) -> list[Any]:
    """What a browser sends back as favourites may be anything."""
    return [one for one in kept if isinstance(one, dict)] if isinstance(kept, list) else []


def _chosen(kept: Any, number: int | None) -> dict[str, Any]:
    rows = _rows(kept)
    if number is None or not 0 <= number < len(rows):
        raise Mp3netError("Choose one of the favourites first.")
    found: dict[str, Any] = rows[number]
    return found


def _training(shelf: Shelf, page: gr.Blocks) -> None:
    """A verdict, curves, and one seed through time."""
    run = gr.Dropdown(shelf.runs, value=shelf.runs[0], label="Training", visible=len(shelf.runs) > 1)
    verdict = gr.Markdown(elem_id="mp-verdict")
    picture = gr.Image(label="Curves", show_label=False, interactive=False, buttons=["fullscreen"], elem_id="mp-curves")
    with gr.Accordion("What do these numbers mean?", open=False):
        gr.Markdown(MEANINGS)
    seed = gr.Radio([1, 2, 3, 4], value=1, label="Listen to one seed through time", elem_id="mp-through-time")
    through = gr.HTML(elem_id="mp-moments", padding=False)

    def judged(name: str) -> Any:
        try:
            drawn, words = curves(shelf.path(name)), told(shelf.path(name))
        except Mp3netError as error:
            drawn, words = None, f"### It cannot be read\n\n{error}"
        pixels = to_rgb(drawn) if drawn is not None else None
        return words, gr.Image(value=pixels, visible=pixels is not None)

    @said
    def heard(name: str, number: int) -> str:
        path = shelf.path(name)
        found = [one for one in moments(path) if number in seeds_at(path, one.tracks_seen)]
        if not found:
            return "<p class='mp-said'>No samples yet: the first ones come with the first checkpoint.</p>"
        return "".join(moment(name, one.tracks_seen, number, one.words) for one in found) + note(samples_note(path))

    # What belongs to the run before vanishes at once.
    run.change(None, None, [verdict, picture, through], js="() => ['...', null, '']", **PRIVATE)
    gr.on([page.load, run.change, gr.Timer(REFRESH_S).tick], judged, run, [verdict, picture], **QUIET)
    gr.on([page.load, run.change, seed.change], heard, [run, seed], through, **QUIET)
