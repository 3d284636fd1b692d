"""HTML pages that hold their pictures and sounds themselves: one file to keep, send or open without a network."""

from __future__ import annotations

import base64
import html
import io

import numpy as np
import soundfile

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1180px;margin:2em auto;padding:0 1em;color:#222}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}table{border-collapse:collapse;width:100%}
td,th{padding:.3em .6em;text-align:left;border-bottom:1px solid #ddd;vertical-align:top}
td.number{white-space:nowrap;font-variant-numeric:tabular-nums}small{color:#666}img{max-width:100%}
.warning{background:#fff4d6;padding:.5em 1em;margin:.5em 0}.real{color:#0a7d2c}audio{width:240px;height:32px}
.wide{overflow-x:auto}td.place{min-width:11em}
.row{display:flex;flex-wrap:wrap;gap:.5em 1em;align-items:center;margin:.5em 0}.row b{width:4em}
"""


def beginning(title: str) -> str:
    """The head of a page, up to its heading."""
    title = html.escape(title)
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title>"
        f"<meta name='viewport' content='width=device-width'><style>{STYLE}</style><h1>{title}</h1>"
    )


def player(clip: np.ndarray, sample_rate_hz: int) -> str:
    """A player of audio (C, S), as 16-bit FLAC; lowered if it exceeds full scale."""
    buffer = io.BytesIO()
    peak = max(1.0, float(np.abs(clip).max(initial=0)) / 0.999)
    soundfile.write(buffer, clip.T / peak, sample_rate_hz, format="FLAC", subtype="PCM_16")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f"<audio controls preload='none' src='data:audio/flac;base64,{data}'></audio>"


def picture(title: str, png: bytes) -> str:
    """A picture, which readers who cannot see it know by its title."""
    return f"<img alt='{html.escape(title, quote=True)}' src='data:image/png;base64,{base64.b64encode(png).decode()}'>"
