"""Snapshots by name: the bundled one, and those on the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from mp3net.errors import Mp3netError
from mp3net.words import install

# hf://owner/name@revision; paths have lost one of the slashes.
HUB = r"(hf:/{1,2})?([\w.-]+)/([\w.-]+)(?:@([\w./-]+))?"
BUNDLED = Path(__file__).parents[1] / "bundled"
# What is fetched: all that makes songs.
FILES = ("config.json", "generator.safetensors", "sliders.json")


def place(name: str | Path | None) -> Path:
    """The folder that is meant by a path, by nothing or "bundled" (the snapshot that comes with mp3net), or by the name of a
    model on the hub: hf://owner/name, or owner/name where there is no folder called owner; @revision may follow.

    Errors: Mp3netError if the hub has no such model or cannot be reached.
    """
    if name is None or (str(name) == "bundled" and not Path(name).exists()):
        return BUNDLED
    if re.match("hf:", str(name)) and not Path(name).exists() and not re.fullmatch(HUB, str(name)):
        raise Mp3netError(f"{re.sub(':/+', '://', str(name))}: models of the hub are called hf://OWNER/NAME")
    if (url := re.match("([a-z][a-z0-9+.-]+):/+(.*)", str(name))) and url[1] != "hf" and not Path(name).exists():
        raise Mp3netError(
            f"{url[1]}://{url[2]}: a URL; name a folder of this machine, or a model of the hub: hf://OWNER/NAME"
        )
    found = re.fullmatch(HUB, str(name))
    if found is None or not (found[1] or not (Path(name).exists() or Path(found[2]).is_dir())):
        return Path(name)
    return fetched(f"{found[2]}/{found[3]}", found[4])


def fetched(repository: str, revision: str | None) -> Path:
    """The folder, in the cache of huggingface_hub, with a model of the hub; what is there already is not fetched again."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
        )
    except ImportError:
        raise Mp3netError(
            f"{repository}: no such folder; if it is a model on the Hugging Face hub, first: {install('mp3net[hub]')}"
        ) from None
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(FILES)))
    except RepositoryNotFoundError:
        why = "the Hugging Face hub has no such model either, or it is private (log in with: hf auth login)"
    except (LocalEntryNotFoundError, OSError) as error:
        why = f"and the Hugging Face hub cannot be reached: {str(error).splitlines()[0]}"
    except (HfHubHTTPError, HFValidationError) as error:
        why = f"and the Hugging Face hub refuses it: {str(error).splitlines()[0]}"
    raise Mp3netError(f"{repository}: no such folder; {why}")
