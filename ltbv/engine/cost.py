"""What does a stage cost? Parameters and multiply-adds, bytes on disk, seconds an image as timed on this machine."""

import time
from dataclasses import replace
from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from ltbv.data.batches import Batch
from ltbv.engine.device import choose, precision
from ltbv.engine.protocol import Protocol
from ltbv.engine.train import set_learning
from ltbv.errors import Refusal, reason
from ltbv.methods.base import Moment, Stage
from ltbv.models.experts import Experts, Net
from ltbv.models.resnet import Resnet
from ltbv.models.router import means_so_far
from ltbv.models.stack import Norm, draw_run
from ltbv.seeds import generator


def seconds_per_image(
    stage: Stage,
    protocol: Protocol,
    runs: int,
    image_shape: tuple[int, int, int],
    classes: int,
    device: str,
    steps: int = 3,
    given: tuple[Stage, ...] = (),
) -> float:
    """Forward, backward of a stack of `runs` on random images, over all its images: the best of `steps` steps.

    given  the stages whose networks the objective consults
    """
    where = choose(device)
    network, *consulted = (build(one, protocol, runs, image_shape, classes).to(where) for one in (stage, *given))
    for one in (network, *consulted):
        for run in range(runs):
            draw_run(one, run, runs, generator(0, run, "init"))
        one.eval().requires_grad_(False)
    learning = set_learning(network, stage.train)
    height, width, channels = image_shape
    draws = torch.Generator().manual_seed(0)
    images = torch.randn(protocol.batch, runs * channels, height, width, generator=draws).to(where)
    labels = torch.randint(classes, (runs, protocol.batch), generator=draws).to(where)
    batches = (Batch(images.contiguous(memory_format=torch.channels_last), labels),) * len(stage.sampler)
    now = Moment(0, 1, torch.ones(runs, classes, dtype=torch.long, device=where))
    best = float("inf")
    for _ in range(steps):
        start = time.perf_counter()
        with precision(where, torch.float32):
            losses = stage.objective(network, batches, tuple(consulted), now)
        torch.autograd.grad(losses.sum(), learning, allow_unused=True)
        if where.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best / (runs * protocol.batch)


def stored_bytes(stage: Stage, protocol: Protocol, image_shape: tuple[int, int, int], classes: int) -> int:
    """Bytes of one run's weights."""
    with torch.device("meta"):
        network = build(stage, protocol, 1, image_shape, classes)
    return sum(tensor.nbytes for tensor in network.state_dict().values())


def network_cost(net: Net, backbone: Resnet, image_shape: tuple[int, int, int], classes: int) -> dict[str, int]:
    """What one run's network takes to hold and to ask.

    parameters      numbers that are learnt
    macs            multiply-adds of convolutions and linear layers for one image, all experts (and routers)
    macs_with_norm  and two for each element that a batch norm puts out: the convention of the papers' tables
    """
    return dict(_counted(net, backbone, image_shape, classes))


@lru_cache(maxsize=256)
@torch.no_grad()
def _counted(net: Net, backbone: Resnet, image_shape: tuple[int, int, int], classes: int) -> dict[str, int]:
    height, width, channels = image_shape
    with torch.device("meta"):
        network = net.build(backbone, runs=1, channels=channels, classes=classes).eval()
        image = torch.zeros(1, channels, height, width)
    normed: list[int] = []
    for module in network.modules():
        if isinstance(module, (Norm, torch.nn.BatchNorm2d)):
            module.register_forward_hook(lambda module, inputs, output: normed.append(output.numel()))
    with FlopCounterMode(display=False) as counter:
        output = network(image)
        if network.router is not None:
            network.router(means_so_far(output.logits)[:, :-1], output.features[:, :-1])
    macs = counter.get_total_flops() // 2
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"parameters": parameters, "macs": macs, "macs_with_norm": macs + 2 * sum(normed)}


def costs_by_experts(
    net: Net, backbone: Resnet, image_shape: tuple[int, int, int], classes: int
) -> list[tuple[int, int]]:
    """macs and macs_with_norm of an image for which 1, 2, .. E experts were asked, the routers asked included."""
    nets = replace(net, experts=1, width=net.factor, router=0), replace(net, router=0), net
    one, every, routed = (network_cost(each, backbone, image_shape, classes) for each in nets)
    further, router = (
        {name: (more[name] - less[name]) // (net.experts - 1) for name in more}
        for less, more in ((one, every), (every, routed))
    )
    return [
        tuple(
            one[name] + (asked - 1) * further[name] + min(asked, net.experts - 1) * router[name]
            for name in ("macs", "macs_with_norm")
        )
        for asked in range(1, net.experts + 1)
    ]


def check(stage: Stage, protocol: Protocol, image_shape: tuple[int, int, int], classes: int) -> None:
    """Refuse a stage whose network cannot be built, or cannot take such images, before anything is done."""
    height, width, channels = image_shape
    try:
        with torch.device("meta"):
            build(stage, protocol, 1, image_shape, classes)(torch.zeros(2, channels, height, width))
    except Refusal:
        raise
    except Exception as error:  # a foreign network may dislike small images in any way
        raise Refusal(f"stage {stage.name!r} on images of {height} x {width}: {reason(error)}") from error


def build(stage: Stage, protocol: Protocol, runs: int, image_shape: tuple[int, int, int], classes: int) -> Experts:
    """A stage's stack of networks, weights yet to come."""
    return stage.net.build(protocol.backbone, runs=runs, channels=image_shape[2], classes=classes)
