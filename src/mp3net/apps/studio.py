"""`mp3net studio`: the page to play with snapshots and to watch trainings, until Ctrl-C."""

from __future__ import annotations

import webbrowser
from dataclasses import dataclass
from pathlib import Path

from mp3net.apps.device import choose_device, surely_no_gpu
from mp3net.apps.ending import ended_tidily
from mp3net.errors import Mp3netError
from mp3net.studio.serving import serve

EXPOSED = (
    "shared: whoever knows the public address can make songs on this machine, hear all samples of the trainings and see "
    "their folders' names and the reports that were named; it goes through Gradio's servers and ends with this command, at "
    "the latest after a week"
)


@dataclass(frozen=True)
class Request:
    """The command line of `mp3net studio`."""

    paths: tuple[Path, ...]
    port: int | None
    share: bool
    browser: bool
    device: str
    precision: str


def run(request: Request) -> None:
    """Serve until Ctrl-C."""
    device = "cpu" if request.device == "auto" and surely_no_gpu() else str(choose_device(request.device))
    served = serve(request.paths, request.port, request.share, device, request.precision)
    print(f"studio: {served.address}   (Ctrl-C ends it)", flush=True)
    if request.share:
        if served.shared is None:
            raise Mp3netError("--share: Gradio's servers cannot be reached")
        print(f"{EXPOSED}: {served.shared}", flush=True)
    if request.browser:
        webbrowser.open(served.shared or served.address)
    try:
        with ended_tidily():
            served.wait()
    except KeyboardInterrupt:
        print("the studio is closed")
    finally:
        served.close()
