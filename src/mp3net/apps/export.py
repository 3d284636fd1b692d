"""`mp3net export`: models for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mp3net.errors import Mp3netError
from mp3net.generation import MP3net

FORMATS = ("onnx",)


@dataclass(frozen=True)
class Request:
    """The command line of `mp3net export`."""

    snapshot: Path | None
    out: Path | None
    export_format: str
    force: bool


def run(request: Request) -> None:
    """Write the file, and say what was found when it was tried."""
    from mp3net.export.onnx import export_onnx

    if request.export_format not in FORMATS:
        raise Mp3netError(f"--format {request.export_format!r}: choose one of {', '.join(FORMATS)}")
    out = request.out if request.out is not None else Path("model.onnx")
    if out.is_dir():
        raise Mp3netError(f"--out {out}: is a folder; name a file, such as {out / 'model.onnx'}")
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
