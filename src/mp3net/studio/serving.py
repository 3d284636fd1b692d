"""The studio's server: Gradio's, with the routes of `routes` before its own."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mp3net.errors import Mp3netError
from mp3net.studio.made import Songs
from mp3net.studio.player import SCRIPT, STYLE
from mp3net.studio.shelf import Shelf
from mp3net.studio.stage import Stage
from mp3net.words import install

HOST = "127.0.0.1"
FIRST_PORT, PORTS = 7860, 100
MOST_UPLOAD = "64mb"
MOST_WAITING = 20


@dataclass
class Served:
    """A studio that answers. `shared` is its public address, if it has one."""

    page: Any
    address: str
    shared: str | None
    songs: Songs

    def close(self) -> None:
        self.page.close(verbose=False)
        self.songs.close()

    def wait(self) -> None:
        """Until Ctrl-C. Errors: KeyboardInterrupt."""
        self.page.server.thread.join()


def serve(
    paths: Sequence[Path], port: int | None = None, share: bool = False, device: str = "cpu", precision: str = "float32"
) -> Served:
    """Start a studio with these runs, snapshots and reports, on this machine alone unless `share`.

    Errors: Mp3netError if one of them cannot be opened, the port is taken, or Gradio is missing.
    """
    # What may be wrong is found out before Gradio, which takes seconds, is loaded.
    shelf, chosen = Shelf(paths, device, precision), free_port(port)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # nobody is told that it runs
    try:
        import gradio as gr
    except ImportError:
        raise Mp3netError(f"the studio needs Gradio: {install('mp3net[studio]')}") from None
    from mp3net.studio.routes import Routes
    from mp3net.studio.screen import build

    stage = Stage(shelf, Songs())
    with suppress(Mp3netError):  # the first click need not wait for it; what is wrong with it, a visitor is told
        stage.shelf.model(stage.shelf.playable[0])
    page = build(stage).queue(max_size=MOST_WAITING, api_open=False, default_concurrency_limit=1)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    routes = {"routes": Routes(stage.shelf, stage.songs).all(), "docs_url": None, "redoc_url": None, "openapi_url": None}
    _, local, shared = page.launch(
        server_name=HOST, server_port=chosen, share=share, prevent_thread_lock=True, quiet=True,
        ssr_mode=False, allowed_paths=[], max_file_size=MOST_UPLOAD, show_error=True, footer_links=[],
        theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        css=STYLE, head=SCRIPT, app_kwargs=routes,
    )  # fmt: skip
    return Served(page, local, shared, stage.songs)


def free_port(wanted: int | None = None) -> int:
    """The port that is wanted, or the first of Gradio's usual ones that nobody uses. Errors: Mp3netError if it is taken, or
    all are."""
    for port in range(FIRST_PORT, FIRST_PORT + PORTS) if wanted is None else [wanted]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    if wanted is not None:
        raise Mp3netError(f"--port {wanted}: is taken; name another, or leave it out")
    raise Mp3netError(f"--port: all from {FIRST_PORT} to {FIRST_PORT + PORTS - 1} are taken; name another")
