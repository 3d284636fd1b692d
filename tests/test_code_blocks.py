"""Every code block of the documents is run, or checked in another way that this file names."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shlex
import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from mp3net.data import preparation
from mp3net.errors import Mp3netError
from mp3net.evaluation import session
from mp3net.training import levels, listening
from tests.documents import command_line as line
from tests.documents import screens
from tests.documents.blocks import DOCUMENTS, ROOT, Block, blocks, blocks_of
from tests.documents.shell import Command, commands
from tests.documents.workshop import Workshop

ALL = [block for document in DOCUMENTS for block in blocks(document)]
# Commands that are only parsed, by pattern, and why.
NOT_HERE = {
    r"^mp3net .*--ray ": "needs a Ray cluster: tests/data/test_cluster.py starts one",
    r"^mp3net .*s3://": "needs an object store: tests/data/test_remote.py starts one",
    r"^mp3net .*hf://": "needs the Hugging Face hub: tests/test_hub.py imitates it",
    r"^mp3net .*--maestro ": "needs the MAESTRO recordings, 100 GB: tests/data/test_cluster.py imitates them",
    r"^mp3net .*--format page": "needs npm or its package: tests/test_page.py imitates that",
    r"^mp3net studio ?": "serves a page until it is stopped: tests/studio and tests/apps/test_studio_command.py",
    r"^mp3net --help": "prints and exits while it is parsed",
    r"^torchrun ": "starts eight processes: tests/training/test_parallel.py starts four",
    r"^make |^\.ci/run": "installs or tests everything, this test included",
    r"^(source|pip) ": "changes the environment in which the tests run",
    r"^python examples/\w+/(render|fetch|train)\.py": "needs FluidSynth, the internet, or hours",
    r"^python benchmarks/": "measures for minutes",
    r"^python -m benchmarks\.lab (run|draw)": "trains for hours, or draws for seconds: tests/test_lab.py",
}
# Commands that take minutes: `make slow` runs them.
SLOW = {
    r"^mp3net evaluate ": ("--samples", "32", "--seconds", "1.4", "--measures", "spectrum,logmel"),
    r"^mp3net sliders ": ("--songs", "48"),
}
SLOW_PYTHON = ("docs/evaluation.md",)


def matches(command: Command, patterns: dict) -> bool:
    return any(re.search(pattern, command.text) for pattern in patterns)


def has_slow(block: Block) -> bool:
    return any(matches(command, {**SLOW, "^mp3net train ": ()}) for command in commands(block.text))


def of_kind(*kinds: str) -> list:
    return [pytest.param(block, id=block.place) for block in ALL if known(block) in kinds]


def known(block: Block) -> str:
    try:
        return block.kind
    except ValueError:
        return "unknown"


def test_every_block_is_of_a_kind_that_is_checked():
    kinds = {block.kind for block in ALL}  # raises for the others
    assert kinds <= {"python", "shell", "json", "toml", "listing", "equations", "message", "output", "settings"}
    assert {block.document for block in ALL} >= {"README.md", "docs/training.md", "benchmarks/lab/README.md"}


def test_what_is_not_run_is_in_the_documents():
    shown = [command for block in ALL if known(block) == "shell" for command in commands(block.text)]
    for pattern in [*NOT_HERE, *SLOW]:
        assert any(re.search(pattern, command.text) for command in shown), f"{pattern}: no such command any more"


@pytest.fixture(scope="module")
def smaller():
    """Fewer songs and crops where a training measures levels and lets itself be heard, and no processes of its own where
    recordings are decoded: they take seconds to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(levels, "MOST_SONGS", 4)
        patch.setattr(levels, "MOST_CROPS", 8)
        patch.setattr(listening, "SAMPLE_SEEDS", (1,))
        patch.setattr(preparation, "IsolatedPool", InThisProcess)
        yield


class InThisProcess:
    """`IsolatedPool` without processes."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def __enter__(self) -> InThisProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, work, lost, paths):
        for path in paths:
            yield path, work(path)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory, smaller) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("shelf"))


@pytest.fixture(scope="module")
def large_workshop(tmp_path_factory, smaller) -> Workshop:
    """With as many recordings as an evaluation needs, and songs as long as they are in earnest."""
    return Workshop(tmp_path_factory.mktemp("large"), pieces=12, piece_s=9.0, short=False)


@pytest.fixture
def here(tmp_path, monkeypatch, workshop) -> Path:
    """An empty folder for a block, which is also the home folder and the root of `/shared`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("COLUMNS", "150")
    return tmp_path


def check(command: Command) -> None:
    """What can be found out about a command without running it."""
    program = command.words[0]
    if program == "mp3net":
        line.parse_mp3net(command.words[1:])
    elif program in CHECKS:
        CHECKS[program](command)
    else:
        assert program in line.OF_OTHERS, f"{program} is not known to this test"


def check_line(text: str) -> None:
    for command in commands(text):
        check(command)


CHECKS = {
    "make": line.check_make, "source": line.check_source, "pip": line.check_pip, ".ci/run": line.check_file,
    "python": line.check_script, "torchrun": line.check_torchrun,
}  # fmt: skip


@pytest.mark.parametrize("block", of_kind("shell"))
def test_shell(block, workshop, here, capsysbinary):
    for command in commands(block.text):
        check(command)
        if matches(command, NOT_HERE) or matches(command, SLOW):
            continue
        if command.words[0] == "mp3net":
            perform(command, workshop, here, capsysbinary)
        elif command.words[0] == "python":
            perform_script(command, workshop, capsysbinary)


@pytest.mark.parametrize(
    "broken",
    [
        "mp3net generate --durations 20", "mp3net generate --duration 20parsecs", "mp3net generate --duration soon",
        "mp3net generate --seed one", "mp3net evaluates", "mp3net train data", "mp3net train data --out x --tracks many",
        "mp3net train data --out x --set optimiser.beta=0", "mp3net train data --out x --preset mp3net2-nan",
        "make sing", "source venv/bin/activate", ".ci/runs", "pip install 'mp3net[hubs]'", "pip install basic-pitch==0.1",
        "pip install -r requirements.txt", "python benchmarks/judges.py", "python examples/onnx/play.py piano.onnx seven 20 x.wav",
        "python -m benchmarks.lab run DATA RUNS --plan basis", "torchrun --nproc 2 -m mp3net train data",
        "torchrun --nproc-per-node 2 -m mp3net train data --outs x", "mp3nets generate", "mp3net generate --seed $SEED",
        "mp3net generate --out 'song", "mp3net info < song.wav",
    ],
)  # fmt: skip
def test_a_broken_command_is_noticed(broken, here):
    with pytest.raises((Exception, SystemExit)):
        check_line(broken)


@pytest.mark.parametrize(
    "text",
    ["```yaml\na: 1\n```", "```\nls -l\n```", "Thus:\n\n    rm -r data\n", "- a list\n\nThen:\n\n    something else\n"],
)
def test_a_block_of_a_new_kind_is_noticed(text):
    (block,) = blocks_of("docs/new.md", text)
    with pytest.raises(ValueError, match=r"docs/new\.md:\d: no test knows what to do with"):
        block.kind  # noqa: B018


def placed(word: str, here: Path) -> str:
    return re.sub(r"^(~|(?=/shared/))", str(here), word)


def perform(command: Command, workshop: Workshop, here: Path, capsysbinary, more: tuple[str, ...] = ()) -> None:
    """Run an `mp3net` command on something small; what it promises to write is there."""
    words = tuple(placed(word, here) for word in command.words[1:])
    given = line.parse_mp3net(words)
    capsysbinary.readouterr()
    if not workshop.perform(words, more):
        return
    printed = capsysbinary.readouterr().out.decode(errors="replace")  # or a song
    workshop.printed.setdefault(command.text, printed)
    if command.output:
        Path(command.output).write_text(printed)
    out = given.get("out")
    if not (out is None or str(out) == "-" or matches(command, {"--shard": ""})):
        assert out.exists(), f"{command.text}: wrote no {out}"


def perform_script(command: Command, workshop: Workshop, capsysbinary) -> None:
    """Run a script, which finds the repository's modules and what it names."""
    words = command.words[1:]
    module = words[0] == "-m"
    for word in words:
        if word.startswith("runs/") and not Path(word).exists():
            workshop.supply("run", Path(word), "mp3net2-nano")
    line.run_script(words[1] if module else words[0], words[2 if module else 1 :], module)
    printed = capsysbinary.readouterr().out
    assert printed or any(Path(word).is_file() for word in words), command.text


@pytest.mark.slow
@pytest.mark.parametrize("block", [block for block in of_kind("shell") if has_slow(block.values[0])])
def test_shell_commands_that_take_minutes(block, large_workshop, here, capsysbinary):
    """And every training, on data that its block prepares."""
    for command in commands(block.text):
        if matches(command, {**SLOW, "^mp3net (train|prepare) ": ()}) and not matches(command, NOT_HERE):
            more = next((more for pattern, more in SLOW.items() if re.search(pattern, command.text)), ())
            perform(command, large_workshop, here, capsysbinary, more)


def names_of(document: str) -> list[Block]:
    return [block for block in ALL if known(block) == "python" and block.document == document]


PYTHON = sorted({block.document for block in ALL if known(block) == "python"})


@pytest.mark.parametrize("document", [name for name in PYTHON if name not in SLOW_PYTHON])
def test_python(document, workshop, here, capsysbinary):
    """The blocks of a document one after the other, as one program."""
    names: dict[str, object] = {}
    for block in names_of(document):
        for word, what in {"data/piano": "dataset", "runs/piano": "run", "song.flac": "song"}.items():
            if f'("{word}")' in block.text and f'save("{word}")' not in block.text:
                workshop.supply(what, here / word, "mp3net2-nano")
        exec(compile(block.text, block.place, "exec"), names)


@pytest.mark.parametrize("document", SLOW_PYTHON)
def test_python_that_takes_minutes_names_what_exists(document):
    """Imports work, and the calls of what was imported fit."""
    names: dict[str, object] = {}
    for block in names_of(document):
        tree = ast.parse(block.text)
        imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        exec(compile(ast.Module(imports, []), block.place, "exec"), names)
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            if callable(called := names.get(call.func.id)):
                inspect.signature(called).bind(*call.args, **{word.arg: word.value for word in call.keywords})


@pytest.mark.slow
@pytest.mark.parametrize("document", SLOW_PYTHON)
def test_python_that_takes_minutes(document, large_workshop, here, monkeypatch):
    """The evaluation with 32 clips, and an embedding whose weights would have to be downloaded."""
    pytest.importorskip("onnxruntime")
    monkeypatch.setitem(sys.modules, "transformers", imitation_of_transformers())
    original = session.evaluate
    monkeypatch.setattr(session, "evaluate", lambda *given, **named: original(*given, **{**named, "samples": 32}))
    large_workshop.supply("run", here / "runs" / "piano", "mp3net2-nano")
    large_workshop.supply("dataset", here / "data" / "piano", "mp3net2-nano")
    names: dict[str, object] = {}
    for block in names_of(document):
        exec(compile(block.text, block.place, "exec"), names)
        # The second block goes on with "a model" and "data" that its reader has.
        names |= {"model": names["MP3net"].from_pretrained("runs/piano"), "data": Path("data/piano")}


def imitation_of_transformers() -> ModuleType:
    """Features of clips that are their levels and peaks, called as version 5 of transformers has it."""

    class Clap:
        @classmethod
        def from_pretrained(cls, name: str) -> Clap:
            return cls()

        def __call__(self, *, audio, sampling_rate, return_tensors):
            return {"input_features": audio}

        def get_audio_features(self, input_features):
            levels_and_peaks = np.array([[np.std(clip), np.abs(clip).max()] for clip in input_features])
            return SimpleNamespace(pooler_output=torch.tensor(levels_and_peaks))

    return SimpleNamespace(ClapModel=Clap, ClapProcessor=Clap)


def test_data():
    for block in ALL:
        if known(block) in ("json", "toml"):
            {"json": json.loads, "toml": tomllib.loads}[block.kind](block.text)


@pytest.mark.parametrize("block", of_kind("listing"))
def test_listed_files_are_there(block, workshop, here):
    workshop.supply("dataset", here / "data" / "piano", "mp3net2-nano")
    workshop.supply("run", here / "runs" / "piano", "mp3net2-nano")
    for listed in block.text.splitlines():
        assert list(here.glob(listed.split()[0])), f"{block.place}: {listed.split()[0]} is not written"
    check_commands_in_outputs(block)


@pytest.mark.parametrize("block", of_kind("message"))
def test_messages_advise_what_exists(block):
    """tests/test_troubleshooting.py compares their words."""
    check_commands_in_outputs(block)


# What the documents show of a folder and of a make target that are not there in the tests: names of recordings, and make.
OF_THE_EXAMPLES = {"surround", "copy", "take", "side", "B", "radio", "ogg", "home", "you"}


@pytest.mark.parametrize("block", of_kind("output"))
def test_screens(block, workshop, here, capsysbinary):
    """Each line consists of the code's words; where the command can be run, it is one that the command prints, with other
    numbers and files."""
    check_commands_in_outputs(block)
    unknown = screens.unknown_words(block.text) - OF_THE_EXAMPLES
    assert not unknown, f"{block.place}: the code never says {unknown}"
    shown = screens.command_of(block.text)
    if shown is None:
        return
    if shown not in workshop.printed:
        perform(commands(shown)[0], workshop, here, capsysbinary)
    printed = workshop.printed[shown] + (ROOT / "Makefile").read_text(encoding="utf-8")  # `make song` adds a line
    missing = screens.lines_that_are_not_printed(block.text, printed)
    assert not missing, f"{block.place}: {missing} are no lines of {printed}"


def check_commands_in_outputs(block: Block) -> None:
    options = {name for command in line.MP3NET.commands.values() for parameter in command.params for name in parameter.opts}
    text = re.sub(r"ray start --head|tensorboard --logdir", "", " ".join(block.text.split()))  # not ours
    for name in re.findall(r"mp3net ([a-z]+)\b", text):
        assert name in line.MP3NET.commands, f"{block.place}: mp3net {name}"
    unknown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - options
    assert not unknown, f"{block.place}: {unknown}"


def test_options_of_mkdocstrings_name_members_that_exist():
    import pydoc

    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    entries = re.findall(r"^::: (\S+)\n((?:    .*\n)*)", page, re.M)
    assert len(entries) == page.count(":::")
    for name, options in entries:
        thing = pydoc.locate(name)
        assert thing is not None, name
        members = re.search(r"members: \[([^\]]*)\]", options)
        for member in re.findall(r"\w+", members[1]) if members else ():
            assert hasattr(thing, member) or member in getattr(thing, "__annotations__", {}), f"{name}.{member}"


INLINE = r"(?<!`)`((?:mp3net|make|pip install|torchrun) [^`]+)`(?!`)"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_within_sentences(document):
    """They leave out what does not matter there, and often say so by dots."""
    text = re.sub(r"^ *```.*?^ *```$", "", document.read_text(encoding="utf-8"), flags=re.M | re.S)
    for shown in re.findall(INLINE, text):
        words = [word for word in shlex.split(" ".join(shown.split())) if word not in ("...", "…")]
        if words[0] != "torchrun":
            check_in_part(Command(tuple(words)))


def check_in_part(command: Command) -> None:
    try:
        check(command)
    except Mp3netError:
        raise
    except Exception as error:
        if type(error).__name__ != "MissingParameter" and "requires an argument" not in str(error):
            raise
