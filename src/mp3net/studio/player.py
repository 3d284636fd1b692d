"""The player of the studio's page: sound, picture with a place that moves, files to keep. And the keys that work it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from urllib.parse import quote

from mp3net.audio.encoding import FORMATS

STYLE = """
.mp-player audio{width:100%}
.mp-picture{position:relative;cursor:pointer;line-height:0;border-radius:6px;overflow:hidden;aspect-ratio:3;background:#111}
.mp-picture img{width:100%;height:auto;display:block}
.mp-here{position:absolute;top:0;bottom:0;width:2px;background:#fff;left:0;pointer-events:none}
.mp-said{margin:.4em 0;font-size:.9em}.mp-files a{margin-right:.8em}
.mp-row{flex-wrap:nowrap;align-items:end;gap:8px}.mp-row>*{min-width:44px!important}
#mp-endless{min-width:96px!important}
#mp-curves{overflow-x:auto}#mp-curves img{min-width:600px}
#mp-verdict table{font-size:.9em}#mp-verdict td,#mp-verdict th{word-break:normal;overflow-wrap:normal;padding:.3em .5em}
.mp-moment{display:inline-block;vertical-align:top;width:300px;max-width:100%;margin:0 .8em .8em 0}
.mp-moment audio{width:100%;height:36px}.mp-moment img{width:100%}
"""

# Space plays and pauses, arrows step through seeds; a click into a picture goes there. Not while somebody types, and not
# where a key already has its own meaning: in fields, sliders, tabs and the native controls of a player.
SCRIPT = """<script>
(() => {
  const sound = () => document.querySelector('#mp-audio');
  const press = (id) => { const button = document.getElementById(id); if (button) button.click(); };
  const busy = (e) => e.target.closest('input, textarea, select, audio, [role=tab], [role=listbox], [contenteditable=true]');
  const busyButton = (e) => e.target.closest('button') && !e.target.closest('.mp-makes');
  document.addEventListener('keydown', (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || busy(e)) return;
    if (e.code === 'Space' && sound() && !busyButton(e)) {
      e.preventDefault();
      sound().paused ? sound().play() : sound().pause();
    }
    if (e.code === 'ArrowLeft') { e.preventDefault(); press('mp-previous'); }
    if (e.code === 'ArrowRight') { e.preventDefault(); press('mp-next'); }
  });
  document.addEventListener('keyup', (e) => {
    if (e.code === 'Space' && sound() && !busy(e) && !busyButton(e)) e.preventDefault();
  });
  document.addEventListener('click', (e) => {
    const picture = e.target.closest('.mp-picture');
    if (!picture || !sound() || !isFinite(sound().duration)) return;
    const box = picture.getBoundingClientRect();
    sound().currentTime = (e.clientX - box.left) / box.width * sound().duration;
    sound().play();
  });
  document.addEventListener('play', (e) => {
    for (const other of document.querySelectorAll('audio')) if (other !== e.target) other.pause();
  }, true);
  document.addEventListener('error', async (e) => {
    if (e.target !== sound()) return;
    const answer = await fetch(sound().src, {headers: {Range: 'bytes=0-99'}});
    const words = answer.ok ? 'This browser cannot play it.' : await answer.text();
    document.querySelector('.mp-player .mp-said').innerText = words;
  }, true);
  window.mp3netNth = () => sound() && sound().dataset.each ? Math.floor(sound().currentTime / sound().dataset.each) : 0;
  const follow = () => {
    const now = document.querySelector('#mp-now');
    if (now && sound()) {
      const words = 'seed ' + (Number(sound().dataset.seed) + window.mp3netNth()) % 2 ** 32;
      if (now.innerText !== words) now.innerText = words;
    }
    const here = document.querySelector('.mp-here');
    if (here && sound() && isFinite(sound().duration))
      here.style.left = 100 * sound().currentTime / sound().duration + '%';
    requestAnimationFrame(follow);
  };
  follow();
})();
</script>"""
# Which song of an endless stream plays is known to the browser alone; it goes with a click as its third argument.
NTH_SONG = "(kept, playing, nth) => [kept, playing, window.mp3netNth()]"


def player(key: str, said: str) -> str:
    """The player of a song that is kept under `key`, which begins to play."""
    files = " ".join(f"<a href='studio/songs/{key}.{ending}' download>{ending.upper()}</a>" for ending in FORMATS)
    return (
        f"<div class='mp-player'><audio id='mp-audio' controls autoplay src='studio/songs/{key}.wav'></audio>"
        f"<div class='mp-picture' title='Click to go there'><img alt='Waveform above spectrogram' "
        f"src='studio/songs/{key}.png'><div class='mp-here'></div></div>"
        f"<p class='mp-said'>{html.escape(said)}</p><p class='mp-files'>Keep it: {files}</p></div>"
    )


def endless_player(key: str, said: str, seed: int, each_s: float) -> str:
    """The player of a stream, which begins to play with `seed` and says which one it has come to."""
    return (
        f"<div class='mp-player'><audio id='mp-audio' controls autoplay data-seed='{seed}' data-each='{each_s}' "
        f"src='studio/endless/{key}.wav'></audio>"
        f"<p class='mp-said'>{html.escape(said)}. Now: <b id='mp-now'></b></p></div>"
    )


def moment(run: str, tracks_seen: int, seed: int, words: str) -> str:
    """One song of a training, with its picture."""
    place = f"studio/samples/{quote(run, safe='')}/{tracks_seen}/{seed}"
    return (
        f"<div class='mp-moment'><b>{html.escape(words)}</b><img loading='lazy' alt='spectrogram' src='{place}.png'>"
        f"<audio controls preload='metadata' src='{place}.wav'></audio></div>"
    )


def note(words: str) -> str:
    """A sentence below."""
    return f"<p class='mp-said'>{html.escape(words)}</p>"


def report_links(names: Sequence[str]) -> str:
    """A list of evaluations, which open in pages of their own."""
    places = ((f"studio/reports/{quote(name, safe='')}", html.escape(name)) for name in names)
    return f"<ul>{''.join(f'<li><a href={place!r} target=_blank>{name}</a></li>' for place, name in places)}</ul>"
