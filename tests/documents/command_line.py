"""Checks of a documented command without running it: the real parsers, presets, settings, seeds, durations, targets, extras."""

from __future__ import annotations

import argparse
import re
import runpy
import sys
import tomllib
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import typer

from mp3net.apps.cli import app
from mp3net.apps.targets import parse_duration, parse_seeds, parse_slides
from mp3net.apps.train import last_blocks
from mp3net.config import override, preset
from tests.documents.blocks import ROOT
from tests.documents.shell import Command

MP3NET = typer.main.get_command(app)
# Programs of others: nothing of this project can tell whether their options exist.
OF_OTHERS = {
    "git": "clones the repository", "cd": "changes the folder", "apt-get": "installs packages of the system",
    "aws": "copies to an object store", "hf": "uploads to the Hugging Face hub", "ffplay": "plays what is piped into it",
}  # fmt: skip


def parse_mp3net(words: tuple[str, ...]) -> dict[str, Any] | None:
    """What the command's own parser makes of its words; None if they only ask for help. Errors: those of the parser, and
    Mp3netError for a preset, setting, seed or duration that there is not."""
    name, *arguments = words
    if name.startswith("--"):
        _asks_for_help(MP3NET, list(words))
        return None
    assert name in MP3NET.commands, f"mp3net has no command {name}"
    command = MP3NET.commands[name]
    if "--help" in arguments:
        _asks_for_help(command, arguments)
        return None
    given: dict[str, Any] = command.make_context(name, list(arguments)).params
    _check_values(name, given)
    return given


def _asks_for_help(command: Any, arguments: list[str]) -> None:
    try:
        command.make_context("mp3net", arguments)
    except typer.Exit:
        return
    raise AssertionError(f"{arguments}: neither a command nor a question for help")


def _check_values(name: str, given: dict[str, Any]) -> None:
    config = preset(given["preset"]) if given.get("preset") is not None else None
    if name == "train":
        override(config or preset("mp3net2-nano"), list(given["settings"] or ()))
        if given["train_blocks"] is not None:
            last_blocks(given["train_blocks"])
    if name == "generate":
        for seeds in (given["seed"], given["variation"], given["path"]):
            assert seeds is None or parse_seeds(seeds)
        parse_slides(given["slide"] or ())
        if given["duration"] is not None:
            parse_duration(given["duration"])


def check_make(command: Command) -> None:
    """Errors: AssertionError for a target that the Makefile does not have."""
    for target in command.words[1:]:
        assert target in make_targets() or re.fullmatch("[A-Z]+=.+", target), f"the Makefile has no target {target}"


@cache
def make_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    variables = dict(re.findall(r"^(\w+) \??:?= (.+)$", text, re.M))
    names = re.findall(r"^([^\s:=#]+):(?!=)", text, re.M)
    return {re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], name) for name in names} - {".PHONY"}


def check_source(command: Command) -> None:
    """The script that a shell reads is that of the environment which `make` makes."""
    folders = {str(Path(target).parent.parent) for target in make_targets() if target.endswith("bin/python")}
    assert command.words[1:] == (f"{folders.pop()}/bin/activate",), command.text


def check_file(command: Command) -> None:
    """A program of the repository that can be started."""
    path = ROOT / command.words[0]
    assert path.is_file(), f"{path}: no such file"
    assert path.stat().st_mode & 0o111, f"{path}: may not be run"


def check_pip(command: Command) -> None:
    """Extras are those of pyproject.toml, files exist, and exact versions are those that the project is tested with."""
    install, *words = command.words[1:]
    assert install == "install", command.text
    pins = dict(
        re.findall(r"^(\S+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8").lower().replace("_", "-"), re.M)
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    while words:
        word = words.pop(0)
        if word in ("-c", "-r"):
            assert (ROOT / words.pop(0)).is_file(), command.text
        elif found := re.fullmatch(r"(?:\.|mp3net)\[([\w,]+)\]", word):
            unknown = set(found[1].split(",")) - project["optional-dependencies"].keys()
            assert not unknown, f"{command.text}: pyproject.toml has no extra {unknown}"
        elif word not in ("-e", "--no-deps", "--quiet", "."):
            name, _, version = word.lower().replace("_", "-").partition("==")
            assert name in pins or f'"{name}' in (ROOT / "pyproject.toml").read_text(), f"{word}: not known to this project"
            assert version in ("", pins.get(name)), f"{word}: constraints.txt has {pins.get(name)}"


class Parsed(Exception):  # noqa: N818
    """A script has read its command line, and would begin its work now."""


def check_script(command: Command) -> None:
    """`python FILE ...` or `python -m MODULE ...`: the script's own argparse reads the words. Errors: SystemExit."""
    words = command.words[1:]
    module = words[0] == "-m"
    name, arguments = (words[1], words[2:]) if module else (words[0], words[1:])
    try:
        run_script(name, arguments, module, _stop_after_parsing)
    except Parsed:
        return
    raise AssertionError(f"{name}: ran without reading its command line")


def run_script(name: str, arguments: tuple[str, ...], module: bool, parse: Callable[..., Any] | None = None) -> None:
    """As Python would run it, in this process; `parse` takes the place of argparse's method."""
    before, path, original = list(sys.argv), list(sys.path), argparse.ArgumentParser.parse_args
    sys.argv = [name, *arguments]
    sys.path.insert(0, str(ROOT if module else (ROOT / name).parent))
    argparse.ArgumentParser.parse_args = parse or original
    try:
        if module:
            with warnings.catch_warnings():
                # Another test may have imported it already: it is run anew all the same.
                warnings.filterwarnings("ignore", ".*found in sys.modules", RuntimeWarning)
                runpy.run_module(name, run_name="__main__")
        else:
            runpy.run_path(str(ROOT / name), run_name="__main__")
    finally:
        sys.argv, sys.path[:] = before, path
        argparse.ArgumentParser.parse_args = original


def _stop_after_parsing(parser: argparse.ArgumentParser, *_: Any) -> None:
    found, unknown = parser.parse_known_args()
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    raise Parsed(found)


def check_torchrun(command: Command) -> None:
    """torchrun's own options, then a module that is this command."""
    from torch.distributed.run import get_args_parser

    given = get_args_parser().parse_args(list(command.words[1:]))
    assert (given.module, given.training_script) == (True, "mp3net"), command.text
    parse_mp3net(tuple(given.training_script_args))
