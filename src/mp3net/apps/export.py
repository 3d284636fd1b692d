"""`mp3net export`: models for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mp3net.errors import Mp3netError
from mp3net.files import check_writable
from mp3net.generation import MP3net

FORMATS = ("onnx", "hub", "page")


@dataclass(frozen=True)
class Request:
    """The command line of `mp3net export`."""

    snapshot: Path | None
    out: Path | None
    export_format: str
    report: Path | None
    runtime: Path | None
    force: bool


def run(request: Request) -> None:
    """Write what is asked for."""
    if request.export_format not in FORMATS:
        raise Mp3netError(f"--format {request.export_format!r}: choose one of {', '.join(FORMATS)}")
    if request.report is not None and request.export_format != "hub":
        raise Mp3netError("--report: belongs to the model card of --format hub")
    if request.runtime is not None and request.export_format != "page":
        raise Mp3netError("--runtime: belongs to --format page")
    if request.runtime is not None and not request.runtime.exists():
        raise Mp3netError(f"--runtime {request.runtime}: no such file or folder")
    if request.out is not None:
        check_writable(request.out.parent)
    if request.export_format == "hub":
        _hub(request)
    elif request.export_format == "page":
        _page(request)
    else:
        _onnx(request)


def _onnx(request: Request) -> None:
    """One file, and what was found when it was tried."""
    from mp3net.export.onnx import export_onnx

    out = request.out if request.out is not None else Path("model.onnx")
    if out.is_dir():
        raise Mp3netError(f"--out {out}: is a folder; name a file, such as {out / 'model.onnx'}")
    if out.suffix.lower() != ".onnx":
        raise Mp3netError(f"--out {out}: name a file that ends in .onnx, such as {out.with_suffix('.onnx')}")
    if out.exists() and not request.force:
        raise Mp3netError(f"{out}: exists; add --force to overwrite, or name another --out")
    model = MP3net.from_pretrained(request.snapshot)
    made = export_onnx(model, out)
    song_s, times = model.song_duration_s, made.times_s
    print(
        f"{out}: {out.stat().st_size / 1e6:.1f} MB; tried with ONNX Runtime: audio differs by at most {made.error:.1g} of "
        f"the peak; {song_s:.1f} s in {times['onnxruntime']:.3f} s, mp3net with PyTorch {times['mp3net']:.3f} s"
    )
    print("next: examples/onnx/play.py plays it with numpy and onnxruntime alone")


def _hub(request: Request) -> None:
    """A folder for the hub."""
    from mp3net.apps.curves import judged_in
    from mp3net.export.card import curve
    from mp3net.export.hub import export_hub
    from mp3net.training.stages import stages_of

    out = request.out if request.out is not None else Path("hub")
    model = MP3net.from_pretrained(request.snapshot)
    assert model.snapshot is not None
    lines = curve(judged_in(stages_of(model.snapshot)))
    for name in export_hub(model, out, request.report, lines):
        print(out / name)
    print(f"next: read {out / 'README.md'}, then: hf upload OWNER/{out.resolve().name} {out}")


def _page(request: Request) -> None:
    """A folder with a page that makes songs in the browser."""
    from mp3net.export.page import export_page

    out = request.out if request.out is not None else Path("page")
    made = export_page(MP3net.from_pretrained(request.snapshot), out, request.runtime)
    size = sum(path.stat().st_size for path in out.iterdir())
    print(
        f"{made.path}: {size / 1e6:.0f} MB with the model and ONNX Runtime; audio differs by at most {made.error:.1g} of "
        "the peak"
    )
    print(f"next: open {made.path} in a browser, or put the folder on any web server")
