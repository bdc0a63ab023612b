"""Which files travel between the study and a node that does not see it? A chunk's own, and no others.

A token that the driver puts into the study tells a node whether it does.
"""

import contextlib
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ltbv.errors import Refusal
from ltbv.files import write_bytes
from ltbv.harness.chunks import Chunk
from ltbv.store import Store
from ltbv.store.locks import is_alive


@dataclass(frozen=True)
class Token:
    """A file that only this driver could have put into the study: who sees it, sees the study."""

    path: str
    content: str

    def is_seen(self) -> bool:
        try:
            return Path(self.path).read_text() == self.content
        except (OSError, ValueError):
            return False


@contextlib.contextmanager
def token(study: Path) -> Iterator[Token]:
    """A token in the study, for a while; those of drivers of this machine that are gone are removed."""
    host = socket.gethostname()
    for path in (study / "locks").glob(f"ray-{host}-*.token"):
        if not is_alive(path.stem.rpartition("-")[2]):
            path.unlink(missing_ok=True)
    own = Token(str(study / "locks" / f"ray-{host}-{os.getpid()}.token"), secrets.token_hex(16))
    write_bytes(Path(own.path), own.content.encode())
    try:
        yield own
    finally:
        with contextlib.suppress(OSError):
            Path(own.path).unlink(missing_ok=True)


def names(store: Store, chunk: Chunk) -> set[str]:
    """The files that a chunk can make, relative to the study."""
    from ltbv.methods import find

    keys = [find(name).key for name in chunk.methods]
    everyone = [find(name).key for name in chunk.names]
    stages = {stage["key"] for key in everyone for stage in store.recipe(key)["stages"]}
    paths = [store.prediction_file(key, run) for key in keys for run in chunk.runs]
    paths += [store.stage_file(key, run) for key in stages for run in chunk.runs]
    return {path.relative_to(store.path).as_posix() for path in paths}


def brought(store: Store, chunk: Chunk) -> dict[str, bytes]:
    """What a node that does not see the study needs of it for a chunk: what it is, and what is there of its stages."""
    there = ["study.json", *(name for name in names(store, chunk) if name.startswith("stages/"))]
    return {name: (store.path / name).read_bytes() for name in there if (store.path / name).exists()}


def write_back(store: Store, chunk: Chunk, files: dict[str, bytes]) -> None:
    """Write what a node gave back, predictions last; any other file than the chunk's own is refused, and all with it.

    What is there already was made alike, and is left.
    """
    if not files:
        return
    if strange := sorted(map(str, files.keys() - names(store, chunk))):
        raise Refusal(f"a node gave back {strange[0]!r}, which is no file of runs {list(chunk.runs)}; nothing written")
    for name in sorted(files, reverse=True):
        if not (store.path / name).exists():
            store.write_bytes(store.path / name, files[name])
