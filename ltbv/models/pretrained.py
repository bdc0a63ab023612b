"""Where are the weights that a package offers of a network? In its cache; else they are downloaded into it, as it does.

A machine without a net is told which file is wanted, where it was looked for, and how to give it.
"""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import torch

from ltbv.errors import Refusal, reason
from ltbv.models.named import FILE

HASHED = re.compile(r"-([a-f0-9]{8,})\.")  # in a file's name, the first digits of its sha256
NAMES = ("model.safetensors", "pytorch_model.bin")  # of a repository of weights, the better first
SILENCE = 20.0  # seconds without an answer after which a net is none


def of_url(network: str, url: str) -> Path:
    """The file of torch's cache, `TORCH_HOME`, or downloaded there; whole, for it is renamed last."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if path.is_file():
        return path
    said = HASHED.search(path.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _patience():
            torch.hub.download_url_to_file(url, str(path), said and said[1], progress=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise _wanted(network, path.name, str(path.parent), url, error) from error
    return path


def of_hub(network: str, repository: str, name: str | None, *, last: bool) -> Path | None:
    """The file of Hugging Face's cache, or downloaded there; None where neither works and it is not the `last` way."""
    names = (name,) if name else NAMES
    try:
        hub = import_module("huggingface_hub")
        for one in names:
            if isinstance(there := hub.try_to_load_from_cache(repository, one), str):
                return Path(there)
        with _patience():
            return Path(hub.hf_hub_download(repository, names[0]))
    except Exception as error:  # whatever it says of a net that is none
        if not last:
            return None
        url = f"https://huggingface.co/{repository}/resolve/main/{names[0]}"
        raise _wanted(network, names[0], f"the cache of {repository}", url, error) from error


def _wanted(network: str, file: str, where: str, url: str, error: Exception) -> Refusal:
    return Refusal(
        f"{network}+pretrained wants {file}, which is not in {where} and cannot be downloaded ({reason(error)[:200]});"
        f" get {url} where there is a net, and give {network}{FILE}{file}"
    )


@contextmanager
def _patience() -> Iterator[None]:
    """In here no answer for a while is none."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
