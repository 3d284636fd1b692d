"""Snapshots that were damaged in one of many ways, and what is made of them; for processes of `IsolatedPool`."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

import torch

from mp3net.apps import cli
from mp3net.config import Config, override, preset
from mp3net.errors import Mp3netError
from mp3net.generation import MP3net
from mp3net.model.build import build_networks
from mp3net.model.snapshot import save_snapshot

SMALL = [
    "model.width=16",
    "model.deep_width=16",
    "audio.num_bins=16",
    "model.num_doublings=2",
    "model.movement_lags=[3]",
    "model.loudness_lags=[2]",
    "model.tuning_harmonics=1",
    "model.interval_lags=[2]",
    "model.global_dim=8",
]
KINDS: dict[str, tuple[str, list[str]]] = {
    "second": ("mp3net2-nano", [*SMALL, "model.local_dim=8"]),
    "coefficients": ("mp3net2-nano", [*SMALL, "model.local_dim=8", "model.partials_per_bin=0", "model.phase_dim=0"]),
    "beat and key": ("mp3net2-nano", [*SMALL, "model.local_dim=8", "model.beat_clocks=3", "model.keys=12"]),
    "paper": ("nano-1.5s", ["model.num_blocks=2", "audio.num_bins=16", "model.latent_dim=8"]),
}
VALUES: list[Any] = [
    0, -1, 1, 2, 3, 5, 1e9, 10**9, 10**30, 2**63, 0.5, -0.5, 1e308, float("nan"), float("inf"), True, None, "", "x", "paper",
    "mp3net2", [], [1], [[0, 1]], {}, {"kind": "paper"}, 99999, 4096, 7, 31, [4, 8, 16],
]  # fmt: skip


def config_of(kind: str) -> Config:
    name, settings = KINDS[kind]
    return override(preset(name), settings)


def write_templates(folder: Path) -> None:
    """One sound snapshot of each kind."""
    for kind in KINDS:
        networks = build_networks(config_of(kind))
        for network in (networks.generator, networks.discriminator):
            network.initialise(torch.Generator().manual_seed(0))
        weights = networks.generator.state_dict(), networks.discriminator.state_dict()
        save_snapshot(folder / kind, config_of(kind), *weights, {"tracks_seen": 5, "licence": "MIT"})


def try_damaged(path: Path) -> str:
    """Damage a snapshot in the way of the number in the name of `path`, and use it: as a program, and on the command line.

    Returns "played", "refused" or what went wrong.
    """
    number = int(path.name)
    chance = random.Random(number)
    kind = chance.choice(list(KINDS))
    folder = path.parent / f"damaged-{number}"
    shutil.copytree(path.parent / kind, folder)
    try:
        damage(folder, chance)
        found = "played"
        for precision in ("float32", "bfloat16"):
            try:
                play(MP3net.from_pretrained(folder, precision=precision))
            except Mp3netError as error:
                found = "refused"
                if "\n" in str(error) or not str(error).isprintable():
                    return f"more than one line: {error}"
        return found if number % 10 else on_the_command_line(folder, found)
    except BaseException:
        return f"{kind}: {traceback.format_exc()}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def play(model: MP3net) -> None:
    """A short song, or where the length is given, that one."""
    for piece in model.stream(1, 1.0, 0.5 if model.any_length else None):
        assert piece.shape[0] == model.config.audio.channels
    assert model.snapshot is not None
    assert len(model.snapshot.digest) == 12


def on_the_command_line(folder: Path, found: str) -> str:
    """The same through `mp3net info`, whose exit status is 0 or 2."""
    sys.argv = ["mp3net", "info", str(folder)]
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
    except SystemExit as stopped:
        if stopped.code not in (0, 2, None) or "Traceback" in err.getvalue():
            return f"mp3net info ended with {stopped.code}: {err.getvalue()}"
    return found


def damage(folder: Path, chance: random.Random) -> None:
    """Damage one file, or two."""
    for _ in range(chance.choice((1, 1, 1, 2))):
        target = folder / chance.choice(("config.json", "config.json", "generator.safetensors", "generator.safetensors"))
        content = bytearray(target.read_bytes())
        how = chance.choice((truncate, flip, flip, overwrite, repeat, change_setting, change_size, change_header))
        target.write_bytes(how(content, chance))


def truncate(content: bytearray, chance: random.Random) -> bytes:
    return bytes(content[: chance.randrange(len(content) + 1)])


def flip(content: bytearray, chance: random.Random) -> bytes:
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        if content:
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(content)


def overwrite(content: bytearray, chance: random.Random) -> bytes:
    place = chance.randrange(len(content) + 1)
    content[place : place + chance.randrange(1, 64)] = chance.randbytes(chance.randrange(64))
    return bytes(content)


def repeat(content: bytearray, chance: random.Random) -> bytes:
    place = chance.randrange(len(content) + 1)
    return bytes(content[:place] + content[max(place - 50, 0) :])


def change_setting(content: bytearray, chance: random.Random) -> bytes:
    """Another value, or none, somewhere in a configuration; other files are flipped."""
    try:
        whole = json.loads(content)
    except ValueError:
        return flip(content, chance)
    place = whole
    while isinstance(place, dict) and place:
        key = chance.choice(list(place))
        if not isinstance(place[key], dict) or not place[key] or chance.random() < 0.15:
            if chance.random() < 0.2:
                del place[key]
            else:
                place[key] = chance.choice(VALUES)
            break
        place = place[key]
    return json.dumps(whole).encode()


def change_size(content: bytearray, chance: random.Random) -> bytes:
    """Another number for a size of the networks or of the audio: what a stranger would do to take all memory or time."""
    try:
        whole = json.loads(content)
        section = whole["config"][chance.choice(("model", "model", "model", "audio"))]
        key = chance.choice([name for name, value in section.items() if isinstance(value, int)])
        section[key] = chance.choice((2, 3, 8, 12, 64, 100, 1000, 4096, 10**5, 10**6, 10**7, 10**9, 2**31, 2**40))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return flip(content, chance)
    return json.dumps(whole).encode()


def change_header(content: bytearray, chance: random.Random) -> bytes:
    """The length or the text at the beginning of a safetensors file."""
    if len(content) > 200 and chance.random() < 0.5:
        place = chance.randrange(8, 200)
        content[place] = chance.choice(b'0123456789"{}[],:FIBU')
    else:
        content[: 8 if chance.random() < 0.5 else 1] = chance.randbytes(8)
    return bytes(content)
