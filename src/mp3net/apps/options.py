"""What several commands share in their options and arguments."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

# Those of `config/presets.py`, whose import takes as long as all else that --help needs.
PRESET_NAMES = (
    "mp3net2-nano, mp3net2-6s, mp3net2-95s, mp3net2-44k, piano-95s, piano-5s, music44k-95s, music32k-64s, nano-1.5s, "
    "micro-6s"
)
PRESET_HELP = f"One of: {PRESET_NAMES}. `mp3net info` describes them."
# Options of `prepare`, by their panel in its --help.
Sound = partial(typer.Option, rich_help_panel="Sound")
Selection = partial(typer.Option, rich_help_panel="Which recordings")
Card = partial(typer.Option, rich_help_panel="Card of the dataset")
Work = partial(typer.Option, rich_help_panel="How the work is done")
Play = partial(typer.Option, rich_help_panel="Playing with latents", show_default=False)
# An option whose help text states the default, because it varies.
Open = partial(typer.Option, show_default=False)

# Options that several commands share.
Snapshot = Annotated[
    Path | None,
    typer.Argument(
        help="Snapshot or run directory, or a model of the Hugging Face hub: hf://OWNER/NAME, also OWNER/NAME if there is "
        "no folder OWNER here; default: the bundled snapshot.",
        show_default=False,
    ),
]
Device = Annotated[
    str, typer.Option(help="auto (a GPU if there is one), cpu, cuda, cuda:N (GPU N of several, from 0) or mps.")
]
Precision = Annotated[str, typer.Option(help="float32, or bfloat16: faster if the hardware supports it.")]
