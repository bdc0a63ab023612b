"""What does a stage cost? Parameters and multiply-adds, bytes on disk, seconds an image as timed on this machine."""

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from ltbv.data.batches import Feed
from ltbv.data.dataset import Dataset, Images, indices_of, make_ids
from ltbv.engine.device import choose, gpu_memory
from ltbv.engine.opening import Opened
from ltbv.engine.protocol import Protocol
from ltbv.engine.replay import drive
from ltbv.engine.terms import of_stage
from ltbv.errors import Refusal, reason
from ltbv.guest import aside, place
from ltbv.methods.base import Stage
from ltbv.models.experts import Backbone, Experts, Net
from ltbv.models.foreign import Foreign
from ltbv.models.shapes import shapes_only
from ltbv.models.stack import Norm, by_run, draw_run, evaluating
from ltbv.seeds import generator

LARGEST_STACK = 40  # beyond it a GPU gains little
BYTES_AN_ELEMENT = 8  # of a batch norm's output; measured: 4.6 for ResNet-32, 5.7 for three experts, in stacks of 20


def seconds_per_image(
    stage: Stage,
    protocol: Protocol,
    runs: int,
    image_shape: tuple[int, int, int],
    classes: int,
    device: str,
    tries: int = 3,
    given: tuple[Stage, ...] = (),
) -> float:
    """Of a stack of `runs` as it will train, on images of noise: the best of `tries`, over all its images.

    given  the stages whose networks the objective consults
    """
    where, own = choose(device), of_stage(stage, protocol)
    network, *consulted = (build(one, protocol, runs, image_shape, classes).to(where) for one in (stage, *given))
    for one in (network, *consulted):
        for run in range(runs):
            draw_run(one, run, runs, generator(0, run, "init"))
        one.eval().requires_grad_(False)
    steps = 16 if where.type == "cuda" else 1  # enough for a GPU not to wait for the host
    dataset, ids = noise(image_shape, classes, runs, own.batch * steps)
    held = np.resize(ids, (runs, classes * stage.held))
    feed = Feed(dataset, ids, held, augmentation=own.augmentation, device=where, dtype=torch.float32)
    thirds = dict(zip(("many", "medium", "few"), np.array_split(np.arange(classes), 3), strict=True))
    opened = Opened(stage, network, feed, protocol, given=tuple(consulted), groups=thirds)
    taken = drive(opened.step, feed, own.batch, lambda images: None)
    tables = opened.tables(0, tuple(range(runs)), (0,), 0)
    opened.begin()
    now = opened.moment(0)
    best = float("inf")
    for _ in range(tries):
        start = time.perf_counter()
        taken.start(tables, now)
        taken.told()
        best = min(best, time.perf_counter() - start)
    return best / feed.rows.size


def noise(image_shape: tuple[int, int, int], classes: int, runs: int, n: int) -> tuple[Dataset, np.ndarray]:
    """A data set of noise, and the ids [R, n] of runs of it that show every class alike."""
    draws = np.random.default_rng(0)
    labels = np.arange(n) % classes
    pixels = draws.integers(256, size=(n, *image_shape), dtype=np.uint8)
    half = (0.5,) * image_shape[2]
    dataset = Dataset(
        name="noise",
        class_names=tuple(map(str, range(classes))),
        pool_sizes=np.bincount(labels, minlength=classes),
        read=lambda ids: pixels[indices_of(ids)],
        test=Images(pixels[:1], labels[:1]),
        mean=half,
        std=half,
        mirrors=True,
    )
    return dataset, np.tile(make_ids(labels, np.arange(n)), (runs, 1))


def most_runs(stages: Iterable[Stage], protocol: Protocol, image_shape: tuple[int, int, int], classes: int) -> int:
    """How many runs a GPU's memory holds side by side: at most LARGEST_STACK.

    Half of the memory is left alone: for the step of an epoch's last batch, which is recorded too.
    """
    largest = max(run_bytes(stage, protocol, image_shape, classes) for stage in stages)
    return max(1, min(LARGEST_STACK, gpu_memory() // 2 // largest))


def run_bytes(stage: Stage, protocol: Protocol, image_shape: tuple[int, int, int], classes: int) -> int:
    """What a run takes of a GPU's memory, about: BYTES_AN_ELEMENT for each number that a batch norm puts out, times the
    images that are asked of at once, and 16 for each parameter."""
    cost, own = network_cost(stage.net, protocol.backbone, image_shape, classes), of_stage(stage, protocol)
    normed = (cost["macs_with_norm"] - cost["macs"]) // 2
    at_once = min(own.batch, own.micro_batch or own.batch)
    return BYTES_AN_ELEMENT * normed * at_once + 16 * cost["parameters"]


def stored_bytes(stage: Stage, protocol: Protocol, image_shape: tuple[int, int, int], classes: int) -> int:
    """Bytes of one run's weights."""
    network = shown(stage.net, protocol.backbone, image_shape, classes)
    return sum(tensor.nbytes for tensor in network.state_dict().values())


def shown(net: Net, backbone: Backbone, image_shape: tuple[int, int, int], classes: int) -> Experts:
    """One run's network to look at, the same for all who ask: it has no numbers, but where it reads some to answer."""
    return _shown(net, backbone, image_shape, classes)[0]


def network_cost(
    net: Net, backbone: Backbone, image_shape: tuple[int, int, int], classes: int, apart: bool = False
) -> dict[str, int]:
    """What one run's network takes to hold and to ask; `apart`, with an image of its own for each expert.

    parameters      numbers that are learnt
    macs            multiply-adds of convolutions and linear layers for one image, all experts and parts
    macs_with_norm  and two for each element that a batch norm puts out: the convention of the papers' tables
    """
    return dict(_counted(net, backbone, image_shape, classes, apart))


@lru_cache(maxsize=256)
@torch.no_grad()
def _counted(
    net: Net, backbone: Backbone, image_shape: tuple[int, int, int], classes: int, apart: bool
) -> dict[str, int]:
    normed: list[int] = []
    network = shown(net, backbone, image_shape, classes)
    image = blank(network, 1, image_shape)
    with aside(), evaluating(network), FlopCounterMode(display=False) as counter, ExitStack() as hooks:
        for module in network.modules():
            if isinstance(module, (Norm, torch.nn.BatchNorm2d)):
                hook = module.register_forward_hook(lambda _, given, found: normed.append(found.numel()))
                hooks.callback(hook.remove)
        output = network([image] * net.experts if apart else image)
        for part in network.parts:
            part.answer(getattr(network, part.name), output.logits, output.features)
    macs = counter.get_total_flops() // 2
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"parameters": parameters, "macs": macs, "macs_with_norm": macs + 2 * sum(normed)}


@lru_cache(maxsize=64)
def _shown(
    net: Net, backbone: Backbone, image_shape: tuple[int, int, int], classes: int
) -> tuple[Experts, tuple[int, ...]]:
    """One run's network to look at, and the shape of its logits of two images, in training; what it raises of them
    comes through. It has no numbers, but where it reads some to answer."""
    size = image_shape[:2]
    if not isinstance(backbone, Foreign):
        return _asked(shapes_only(), net, backbone, image_shape, classes)
    backbone.check_on(size)
    try:
        return _asked(shapes_only(), net, backbone, image_shape, classes)
    except (RuntimeError, TypeError):  # as numpy raises
        if not backbone.answers(size):
            raise
    return _asked(torch.device("cpu"), net, backbone, image_shape, classes)


@torch.no_grad()
def _asked(
    where: AbstractContextManager[Any], net: Net, backbone: Backbone, image_shape: tuple[int, int, int], classes: int
) -> tuple[Experts, tuple[int, ...]]:
    height, width, channels = image_shape
    with aside(), where:
        network = net.build(backbone, runs=1, channels=channels, classes=classes, size=(height, width))
        return network, tuple(network(blank(network, 2, image_shape)).logits.shape)


def blank(network: Experts, n: int, image_shape: tuple[int, int, int]) -> torch.Tensor:
    """n images to look at a network with, where it lies."""
    height, width, channels = image_shape
    return torch.zeros(n, channels, height, width, device=next(network.parameters()).device)


def costs_by_experts(
    net: Net, backbone: Backbone, image_shape: tuple[int, int, int], classes: int
) -> list[tuple[int, int]]:
    """macs and macs_with_norm of an image for which 1, 2, .. E experts were asked, the routers asked included."""
    others = tuple(part for part in net.parts if not part.chooses)
    nets = replace(net, experts=1, width=net.factor(backbone), parts=others), replace(net, parts=others), net
    one, every, routed = (network_cost(each, backbone, image_shape, classes) for each in nets)
    further, choice = (
        {name: (more[name] - less[name]) // (net.experts - 1) for name in more}
        for less, more in ((one, every), (every, routed))
    )

    def of(name: str, asked: int) -> int:
        return one[name] + (asked - 1) * further[name] + min(asked, net.experts - 1) * choice[name]

    return [(of("macs", asked), of("macs_with_norm", asked)) for asked in range(1, net.experts + 1)]


def check(stage: Stage, protocol: Protocol, image_shape: tuple[int, int, int], classes: int) -> None:
    """Refuse a stage whose network cannot be built, or cannot take such images, before anything is done."""
    height, width, _ = image_shape
    if protocol.micro_batch and stage.objective.looks_ahead:
        raise Refusal(
            f"stage {stage.name!r} looks from other weights than those that learn, at the whole batch at once, and"
            f" micro_batch is {protocol.micro_batch}: leave out --micro-batch, or the method"
        )
    try:
        network, said = _shown(stage.net, protocol.backbone, image_shape, classes)
    except Refusal:
        raise
    except Exception as error:  # a foreign network may dislike small images in any way
        cure = f"; {protocol.backbone.fitting((height, width))}" if isinstance(protocol.backbone, Foreign) else ""
        raise Refusal(f"stage {stage.name!r} on images of {height} x {width}: {reason(error)}{cure}") from error
    if said[2:] != (2, classes) or said[0] != 1:
        makers = [place(one) for one in (stage.net.head, *(p for p in stage.net.parts if p.at == "logits"))]
        raise Refusal(
            f"stage {stage.name!r}: {' and '.join(makers)} gave logits of shape {said} for one run and two images;"
            f" there are {classes} classes, so they have to be [1, E, 2, {classes}]"
        )
    owned = {id(parameter) for parameter, _ in by_run(network, 1)}
    if strange := [name for name, parameter in network.named_parameters() if id(parameter) not in owned]:
        raise Refusal(
            f"stage {stage.name!r}: parameter {strange[0]!r} belongs to no Layer of models.stack, so that it would be"
            " neither drawn nor kept by run; make its module a Layer"
        )


def build(stage: Stage, protocol: Protocol, runs: int, image_shape: tuple[int, int, int], classes: int) -> Experts:
    """A stage's stack of networks, weights yet to come."""
    height, width, channels = image_shape
    return stage.net.build(protocol.backbone, runs=runs, channels=channels, classes=classes, size=(height, width))
