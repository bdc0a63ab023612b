"""Which weights does a lent network begin with? Those of a file: safetensors, or what torch.save wrote of tensors.

    torchvision:resnet50@layer3+weights=resnet50.safetensors

They are known by what the file holds, wherever it lies. Its head, the last linear layer, is not taken: every classifier
here has one of its own, which is drawn. Nothing in a file is run.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from ltbv.errors import Refusal, absent
from ltbv.files.reading import reading
from ltbv.models.named import FILE, KNOWN

SAFE = ".safetensors"
WITHIN = ("state_dict", "model_state_dict", "model")  # where training scripts put weights among other things
State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Weights:
    """A file of weights by its content.

    digest   the first 16 hex digits of its sha256
    path     where it lies, of no meaning for what it is
    """

    digest: str
    path: Path = field(compare=False)

    def __str__(self) -> str:
        return f"{FILE}{KNOWN}{self.digest}"

    def state(self) -> State:
        """What the file holds."""
        return _read(self.path, self.digest)

    def put_into(
        self, network: nn.Module, head: str | None, renamed: Callable[[State], State | None] | None = None
    ) -> int:
        """Give a network these weights, but for its `head`, if it has one; how many tensors it took.

        A name that only one of both has, or another shape, is refused; counts of batches may be missing. `renamed`
        is asked first for what the network's package makes of them: its own files may be older than its names.
        """
        wanted, read = network.state_dict(), self.state()
        found, wrong = read, _amiss(read, wanted, head)
        if wrong and renamed and (other := renamed(read)) and not _amiss(other, wanted, head):
            found, wrong = other, ""
        if wrong:
            raise Refusal(f"{self.path} {wrong}")
        taken = {name: of for name, of in found.items() if not _within(name, head)}
        if not any(of.is_meta for of in wanted.values()):
            network.load_state_dict(taken, strict=False)
        return len(taken)


def _amiss(found: State, network: State, head: str | None) -> str:
    """Why these are not the weights of that network, but for its head; '' where they are."""
    found, wanted = ({name: v for name, v in of.items() if not _within(name, head)} for of in (found, network))
    needed = {name: of for name, of in wanted.items() if not name.endswith("num_batches_tracked")}
    for what, names in (
        ("lacks", needed.keys() - found.keys()),
        ("has, and the network has not,", found.keys() - wanted.keys()),
    ):
        if names:
            return f"{what} {_some(names)}: they are weights of another network"
    other = [
        f"{name} {tuple(found[name].shape)}, not {tuple(of.shape)}"
        for name, of in needed.items()
        if found[name].shape != of.shape
    ]
    if other:
        return f"has other shapes than the network: {_some(other)}"
    other = [
        f"{name} {found[name].dtype}, not {of.dtype}".replace("torch.", "")
        for name, of in needed.items()
        if found[name].is_floating_point() != of.is_floating_point()
    ]
    return f"has other types than the network: {_some(other)}" if other else ""


def weights(path: Path | str) -> Weights:
    """The weights of a file."""
    path = Path(path)
    if str(path).startswith(KNOWN):
        raise Refusal(f"{FILE}{path}: give the file whose sha256 begins so")
    if not path.is_file():
        raise Refusal(f"{FILE}{path}: there is no such file; give a {SAFE}, .pt or .pth")
    said = path.stat()
    return Weights(_digest(path, said.st_size, said.st_mtime_ns), path)


@lru_cache(maxsize=16)
def _digest(path: Path, size: int, changed: int) -> str:
    del size, changed  # another file is another entry
    with reading(path, lambda why: f"cannot be read ({why})"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


@lru_cache(maxsize=1)
def _read(path: Path, digest: str) -> Mapping[str, Tensor]:
    """The tensors of a file by name; where all names begin with `module.`, as one that was trained in parallel."""
    del digest  # other weights are another entry
    damage = "holds more than weights, or is damaged"
    cure = f"save network.state_dict(), best with safetensors.torch.save_file to a {SAFE}"
    with reading(path, lambda why: f"{damage} ({why[:200]}); {cure}"):
        found = _of_safetensors(path) if path.suffix == SAFE else _of_torch(path)
    for name in WITHIN:
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
            break
    if not isinstance(found, dict) or not all(isinstance(of, Tensor) for of in found.values()) or not found:
        raise Refusal(f"{path} holds no tensors by name; {cure}")
    for name, of in found.items():
        if of.is_meta or of.layout != torch.strided or of.is_quantized or of.is_complex():
            kind = "without values" if of.is_meta else str(of.dtype if of.layout == torch.strided else of.layout)
            raise Refusal(f"{path} holds {name}, a tensor {kind.removeprefix('torch.')}, which is no weight; {cure}")
        if of.is_floating_point() and not of.isfinite().all():
            cured = "they are of a training that failed; take an earlier checkpoint"
            raise Refusal(f"{path} holds NaN or infinity in {name}: {cured}")
    parallel = all(str(name).startswith("module.") for name in found)
    return {str(name).removeprefix("module.") if parallel else str(name): of for name, of in found.items()}


def _of_safetensors(path: Path) -> object:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise absent(f"safetensors, for {path},", error, "vision") from error
    return load_file(path)


def _of_torch(path: Path) -> object:
    return torch.load(path, map_location="cpu", weights_only=True)


def _within(name: str, head: str | None) -> bool:
    return head is not None and (name == head or name.startswith(f"{head}."))


def _some(names: Iterable[str]) -> str:
    """Three of them, and how many more."""
    every = sorted(names)
    return ", ".join(every[:3]) + (f" and {len(every) - 3} more" if len(every) > 3 else "")
