"""A web page that makes songs in the browser: one folder of static files, which also works without any server."""

from __future__ import annotations

import base64
import html
import json
import shutil
import subprocess
import tarfile
import tempfile
from importlib import resources
from pathlib import Path

from mp3net.errors import Mp3netError
from mp3net.export.onnx import Exported, described, export_onnx
from mp3net.files import replacing, write_text
from mp3net.generation import MP3net
from mp3net.words import mono_or_stereo

# The version that the page was tried with.
RUNTIME = "onnxruntime-web@1.30.0"
SCRIPT, MODULE, BINARY = "ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"


def export_page(model: MP3net, folder: Path, runtime: Path | None = None) -> Exported:
    """Write `folder`: index.html and scripts, in which the model and ONNX Runtime are contained.

    `runtime` is the package onnxruntime-web, unpacked or as npm packs it; without it, `npm pack` fetches it.
    Errors: Mp3netError if the folder is not empty or the package cannot be had; as `export_onnx`.
    """
    if folder.exists() and any(folder.iterdir()):
        raise Mp3netError(f"{folder}: is not empty; name a new folder with --out")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with replacing(folder) as unfinished, tempfile.TemporaryDirectory() as scratch:
            unfinished.mkdir()
            exported = export_onnx(model, Path(scratch) / "model.onnx")
            _write_runtime(unfinished, _dist(runtime, Path(scratch)))
            content = base64.b64encode(exported.path.read_bytes()).decode()
            write_text(unfinished / "model.js", f'const MODEL = "{content}";\n')
            files = resources.files("mp3net.export") / "page_files"
            write_text(unfinished / "player.js", (files / "player.js").read_text(encoding="utf-8"))
            write_text(unfinished / "index.html", _page(model, (files / "index.html").read_text(encoding="utf-8")))
    except OSError as error:
        raise Mp3netError(f"{folder}: cannot be written: {error.strerror}") from None
    return Exported(folder / "index.html", exported.error, exported.times_s)


def _page(model: MP3net, template: str) -> str:
    facts = {name: _plain(value) for name, value in described(model).items()}
    audio = model.config.audio
    title = str(facts.get("name") or "mp3net")
    about = (
        f"Every seed is another piece of music, {audio.sample_rate_hz} Hz {mono_or_stereo(audio.channels)}, made here in "
        "your browser: nothing is sent anywhere. The same seed gives the same song as <code>mp3net generate</code>."
    )
    footer = f"Weights {facts['snapshot'] or 'unsaved'}. {facts.get('data', '')} {facts.get('licence', '')}"
    replaced = template.replace("{facts}", json.dumps(facts).replace("<", "\\u003c"))
    for name, text in (("title", html.escape(title)), ("about", about), ("footer", html.escape(footer))):
        replaced = replaced.replace(f"{{{name}}}", text)
    return replaced


def _plain(value: str) -> object:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _write_runtime(folder: Path, dist: Path) -> None:
    missing = [name for name in (SCRIPT, MODULE, BINARY) if not (dist / name).is_file()]
    if missing:
        raise Mp3netError(f"{dist}: holds no {', '.join(missing)}; the page was tried with {RUNTIME}")
    shutil.copyfile(dist / SCRIPT, folder / SCRIPT)
    content = {
        "mjs": (dist / MODULE).read_text(encoding="utf-8"),
        "wasm": base64.b64encode((dist / BINARY).read_bytes()).decode(),
    }
    write_text(folder / "runtime.js", f"const RUNTIME = {json.dumps(content)};\n")


def _dist(runtime: Path | None, scratch: Path) -> Path:
    """The folder `dist` of onnxruntime-web."""
    if runtime is not None and runtime.is_dir():
        return next((path for path in (runtime / "dist", runtime / "package" / "dist") if path.is_dir()), runtime)
    packed = runtime if runtime is not None else _fetched(scratch)
    try:
        with tarfile.open(packed) as archive:
            archive.extractall(scratch, filter="data")
    except (tarfile.TarError, EOFError, FileNotFoundError) as error:
        raise Mp3netError(f"{packed}: is no package of npm: {str(error).splitlines()[0]}") from None
    return scratch / "package" / "dist"


def _fetched(scratch: Path) -> Path:
    if shutil.which("npm") is None:
        raise Mp3netError(f"export: npm is not installed; fetch {RUNTIME} elsewhere (npm pack) and name it with --runtime")
    done = subprocess.run(
        ["npm", "pack", RUNTIME, "--silent", "--pack-destination", str(scratch)], capture_output=True, text=True
    )
    if done.returncode:
        raise Mp3netError(
            f"export: npm cannot fetch {RUNTIME}: {done.stderr.strip().splitlines()[-1] if done.stderr else ''}"
        )
    return next(scratch.glob("*.tgz"))
