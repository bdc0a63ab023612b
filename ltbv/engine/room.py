"""Is there memory for a step on CPUs? What is free, what limits this process, and what a step takes at the least.

Without it the system ends a process that asks for more than there is, or another one, and nobody can say why.
"""

import contextlib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch

from ltbv.engine.cost import blank, network_cost, shown
from ltbv.engine.protocol import Protocol
from ltbv.engine.terms import of_stage
from ltbv.errors import Refusal
from ltbv.guest import aside
from ltbv.methods.base import Stage
from ltbv.methods.published import Terms
from ltbv.models.experts import Backbone, Net

BYTES_A_PARAMETER = 8  # itself and its gradient
WORK, LEAST = 5e10, 16  # multiply-adds forward that a core does in a second or two, and images, of a step that is timed
UNLIMITED = 2**60  # what stands for no limit in files of cgroups is above it


class Room(NamedTuple):
    """Bytes that are free for all processes together, and for each; infinite where nothing is known."""

    shared: float
    each: float


def room(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> Room:
    """What is free here: of the machine, swap too, and of the limits that hold for this process, containers' too."""
    machine = _lines(proc / "meminfo")
    free = [machine["MemAvailable"] + machine.get("SwapFree", 0)] if "MemAvailable" in machine else []
    return Room(min([*free, *_of_groups(proc, groups)], default=float("inf")), _of_process(proc))


def step_bytes(stage: Stage, protocol: Protocol, runs: int, image_shape: tuple[int, int, int], classes: int) -> int:
    """At least so much does a step of a stack take: weights and their gradients, and what a network keeps of the images
    that it is asked of at once until it has those. Of what a process grew by: .6 to .9, in ResNets and Swin."""
    own = of_stage(stage, protocol)
    parameters, each = _kept(stage.net, protocol.backbone, image_shape, classes)
    return runs * (BYTES_A_PARAMETER * parameters + each * min(own.batch, own.micro_batch or own.batch))


def largest_part(
    stage: Stage, protocol: Protocol, runs: int, image_shape: tuple[int, int, int], classes: int, free: float
) -> int | None:
    """The micro-batch, a power of two, with which a step takes less than half of what is free; None: there is none, or
    batch norm would see fewer than eight images."""
    if stage.objective.looks_ahead:
        return None
    at_once = of_stage(stage, protocol).batch
    for part in (2**power for power in reversed(range(3, at_once.bit_length()))):
        own = replace(protocol, micro_batch=part)
        if part < at_once and step_bytes(stage, own, runs, image_shape, classes) <= free / 2:
            return part
    return None


def timed(stage: Stage, protocol: Protocol, runs: int, image_shape: tuple[int, int, int], classes: int) -> Stage:
    """The stage with a batch, if its own is larger, whose step takes seconds on a CPU, and half of what is free.

    `Refusal` where no two images are as small.
    """
    own = of_stage(stage, protocol).batch
    macs = network_cost(stage.net, protocol.backbone, image_shape, classes)["macs"]
    batch, free = max(2, min(own, max(LEAST, round(WORK / max(1, macs * runs))))), min(room())
    while batch > 2 and step_bytes(in_steps(stage, batch), protocol, runs, image_shape, classes) > free / 2:
        batch //= 2
    if (least := step_bytes(in_steps(stage, batch), protocol, runs, image_shape, classes)) > free:
        raise Refusal(f"stage {stage.name!r}: a step of {batch} images takes {size(least)}, {size(free)} are free")
    return stage if batch == own else in_steps(stage, batch)


def in_steps(stage: Stage, batch: int) -> Stage:
    """The stage with steps of so many images."""
    return replace(stage, terms=(stage.terms or Terms()).but(batch=batch))


def size(number: float) -> str:
    """In words."""
    return f"{number / 1e9:,.1f} GB" if number >= 1e8 else f"{number / 1e6:,.1f} MB"


@lru_cache(maxsize=256)
def _kept(net: Net, backbone: Backbone, image_shape: tuple[int, int, int], classes: int) -> tuple[int, int]:
    """Parameters of one run's network, and bytes that autograd keeps of an image: counted, without numbers if it can
    be looked at without."""
    network = shown(net, backbone, image_shape, classes)
    images = blank(network, 4, image_shape)
    own = {tensor.untyped_storage()._cdata for tensor in (*network.parameters(), *network.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage  # held, so that no other gets its number
        return tensor

    with aside(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network.train()(images)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return parameters, sum(storage.nbytes() for storage in kept.values()) // len(images)


def _of_groups(proc: Path, groups: Path) -> list[float]:
    """What is free of each limit on a group of processes that this one is in: of containers, and of SLURM."""
    found = []
    with contextlib.suppress(OSError):
        for line in (proc / "self" / "cgroup").read_text().splitlines():
            _, kind, path = line.split(":", 2)
            second = not kind  # the second version names no kinds
            if second or "memory" in kind.split(","):
                top = groups if second else groups / "memory"
                inside = top / path.strip("/")
                found += [_free(folder, second) for folder in (inside, *inside.parents) if folder.is_relative_to(top)]
    return found


def _free(folder: Path, second: bool) -> float:
    """Of one group's limit, in the files of the second version of cgroups or the first."""
    names = ("memory.max", "memory.current") if second else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    limit, used = (_number(folder / name) for name in names)
    if limit is None or used is None or limit > UNLIMITED:
        return float("inf")
    return max(0.0, limit - used + _lines(folder / "memory.stat").get("inactive_file", 0))  # files read are let go of


def _of_process(proc: Path) -> float:
    """What is free of `ulimit -v`."""
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    except (ImportError, OSError):
        return float("inf")
    if limit == resource.RLIM_INFINITY:
        return float("inf")
    return max(0.0, limit - _lines(proc / "self" / "status").get("VmSize", 0))


def _lines(path: Path) -> dict[str, int]:
    """Numbers by name, of lines such as `MemFree: 12 kB`, in bytes."""
    found = {}
    with contextlib.suppress(OSError):
        for line in path.read_text().splitlines():
            words = line.replace(":", " ").split()
            if len(words) > 1 and words[1].isdigit():
                found[words[0]] = int(words[1]) * (1024 if words[2:] == ["kB"] else 1)
    return found


def _number(path: Path) -> int | None:
    """What a file says; None where it says `max`, or is not there."""
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text())
    return None
