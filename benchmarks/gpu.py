"""How fast does a stack train on a GPU? Images a second of all runs together, measured interleaved in one process.

    python benchmarks/gpu.py [--quick] [--rounds 5] [--steps 20]

plain    one model as the papers' repositories train it: PIL transforms, a DataLoader with a worker a core, cuDNN's
         kernels chosen by timing; bfloat16 autocast and channels last, which theirs lack
eager    a stack, operations launched one by one, layer after layer
graph    the same, recorded once and replayed
fused    recorded, and norm, residual and relu fused with the convolution: what `ltbv bootstrap` does

Each figure is the median over rounds; in a round every variant trains once. "of copy" is the share of the rate of a
large copy on this card at which a fused step moves the bytes of its feature maps: six times through each convolution's
(two for each product), and 8 (11 with a residual) for norm and relu. Memory is the peak of a variant made alone.
"""

import argparse
import itertools
import os
import statistics
import time
from dataclasses import dataclass

import numpy as np
import torch
from engine import plain_network

from ltbv.data.batches import Feed
from ltbv.engine.cost import build, noise
from ltbv.engine.opening import Opened
from ltbv.engine.protocol import CIFAR, GLYPHS, Protocol
from ltbv.engine.replay import Replayed, cuda_graph
from ltbv.engine.step import Eager
from ltbv.methods import METHODS
from ltbv.models import fused
from ltbv.models.resnet import Block
from ltbv.models.stack import Norm, draw_run
from ltbv.seeds import generator

NETWORKS = {
    "ResNet-32 CE": ("ce", CIFAR, (32, 32, 3), 100),
    "ResNet-32 RIDE-3": ("ride", CIFAR, (32, 32, 3), 100),
    "glyphs CE": ("ce", GLYPHS, (16, 16, 1), 36),
}
WHOLE = [("ResNet-32 CE", way, runs) for way in ("eager", "graph", "fused") for runs in (1, 5, 10, 20)]
WHOLE += [(network, way, runs) for network in list(NETWORKS)[1:] for way in ("eager", "fused") for runs in (10, 20)]
QUICK = [("ResNet-32 CE", "eager", 10), ("ResNet-32 CE", "graph", 20), ("glyphs CE", "fused", 10)]
QUICK += [("ResNet-32 CE", "fused", runs) for runs in (1, 5, 10, 20)]
QUICK += [("ResNet-32 RIDE-3", way, 10) for way in ("eager", "fused")] + [("ResNet-32 RIDE-3", "fused", 20)]


@dataclass
class Variant:
    """A stack that is ready to train; calling it trains an epoch of `images` and gives back its seconds."""

    network: str
    way: str
    runs: int
    images: int
    traffic: float  # bytes of feature maps an image
    drive: object
    begin: tuple
    memory: float = 0.0

    def __call__(self) -> float:
        torch.cuda.synchronize()
        start = time.perf_counter()
        self.drive.start(*self.begin)
        self.drive.told()
        return time.perf_counter() - start


def variant(network: str, way: str, runs: int, steps: int, device: torch.device) -> Variant:
    """Made, recorded and warm."""
    key, protocol, shape, classes = NETWORKS[network]
    stage = METHODS[key].stages[0]
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    stack = build(stage, protocol, runs, shape, classes).to(device)
    for run in range(runs):
        draw_run(stack, run, runs, generator(0, run, "init"))
    feed = Feed(
        *noise(shape, classes, runs, protocol.batch * steps),
        augmentation=protocol.augmentation,
        device=device,
        dtype=torch.float32,
    )
    opened = Opened(stage, stack, feed, protocol)
    arguments = opened.step, feed, protocol.batch, lambda images: None
    drive = Eager(*arguments) if way == "eager" else Replayed(*arguments, cuda_graph)
    begin = opened.tables(0, tuple(range(runs)), (0,), 0), opened.moment(0)
    made = Variant(network, way, runs, feed.rows.size, traffic(protocol, stage, shape, classes), drive, begin)
    with unfused(way != "fused"):
        for _ in range(2):
            made()
    if getattr(drive, "gave_up", False):
        raise SystemExit(f"{network}, {way}: steps could not be recorded")
    if device.type == "cuda":
        made.memory = torch.cuda.max_memory_allocated() - before
    return made


class unfused:
    """Layers one after the other, meanwhile."""

    def __init__(self, wanted: bool):
        self.serves = (lambda weight, x: False) if wanted else fused.serves

    def __enter__(self):
        self.before, fused.serves = fused.serves, self.serves

    def __exit__(self, *error):
        fused.serves = self.before


def traffic(protocol: Protocol, stage, shape, classes) -> float:
    """Bytes of bfloat16 maps that a fused step moves for an image of one run."""
    with torch.device("meta"):
        stack = build(stage, protocol, 1, shape, classes)
        image = torch.zeros(1, shape[2], *shape[:2])
    with_residual = {module.norm2 for module in stack.modules() if isinstance(module, Block)}
    found = []
    for module in stack.modules():
        if isinstance(module, Norm):
            times = 6 + (11 if module in with_residual else 8)
            module.register_forward_hook(lambda m, x, y, times=times: found.append(2 * times * y.numel()))
    stack.eval()(image)
    return sum(found)


def copy_rate() -> float:
    """Bytes a second of a copy of 1 GB, read and written."""
    a = torch.empty(2**29, dtype=torch.bfloat16, device="cuda").normal_()
    b = torch.empty_like(a)
    times = []
    for _ in range(10):
        torch.cuda.synchronize()
        start = time.perf_counter()
        b.copy_(a)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return 2 * a.numel() * 2 / min(times)


class Plain:
    """The plain loop over CIFAR-shaped noise; calling it trains for `steps` batches."""

    def __init__(self, steps: int, device: torch.device, workers: int):
        from PIL import Image

        from ltbv.models.vision import torchvision

        torchvision()
        from torchvision import transforms as T

        draws = np.random.default_rng(0)
        pixels = draws.integers(256, size=(50 * CIFAR.batch, 32, 32, 3), dtype=np.uint8)
        transform = T.Compose(
            [
                T.RandomCrop(32, padding=4),
                T.RandomHorizontalFlip(),
                T.ToTensor(),
                T.Normalize((0.5,) * 3, (0.25,) * 3),
            ]
        )

        class Set(torch.utils.data.Dataset):
            def __len__(self):
                return len(pixels)

            def __getitem__(self, i):
                return transform(Image.fromarray(pixels[i])), i % 100

        loader = torch.utils.data.DataLoader(
            Set(), CIFAR.batch, shuffle=True, num_workers=workers, pin_memory=True, persistent_workers=workers > 0
        )
        self.batches = itertools.chain.from_iterable(itertools.repeat(loader))
        self.network = plain_network(CIFAR.backbone, 3, 100).to(device, memory_format=torch.channels_last)
        self.optimiser = torch.optim.SGD(self.network.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
        self.device, self.steps, self.images = device, steps, steps * CIFAR.batch
        self()

    def __call__(self) -> float:
        torch.cuda.synchronize()
        start = time.perf_counter()
        for x, y in itertools.islice(self.batches, self.steps):
            x = x.to(self.device, non_blocking=True, memory_format=torch.channels_last)
            with torch.autocast(self.device.type, dtype=torch.bfloat16):
                loss = torch.nn.functional.cross_entropy(self.network(x), y.to(self.device, non_blocking=True))
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
        loss.item()
        return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer variants, 3 rounds of 20 steps")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    rounds = 3 if arguments.quick else arguments.rounds
    if not torch.cuda.is_available():
        raise SystemExit("no GPU here; benchmarks/engine.py measures the CPU")
    device, workers = torch.device("cuda"), len(os.sched_getaffinity(0))
    card = f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    rate = copy_rate()
    print(f"{card}; {workers} cores; {rounds} rounds of {arguments.steps} steps, medians; copy {rate / 1e12:.2f} TB/s")
    torch.backends.cudnn.benchmark = True  # for the plain loop; the stacks below are recorded with cuDNN's first choice
    plain = Plain(arguments.steps, device, workers)
    torch.backends.cudnn.benchmark = False
    made = [variant(*what, arguments.steps, device) for what in (QUICK if arguments.quick else WHOLE)]
    taken = {id(one): [] for one in (plain, *made)}
    for _ in range(rounds):
        for one in (plain, *made):
            with unfused(getattr(one, "way", "") != "fused"):
                taken[id(one)].append(one())
    speed = {key: [one.images / s for s in taken[key]] for one in (plain, *made) for key in [id(one)]}
    base = statistics.median(speed[id(plain)])
    print(f"{'':18} {'way':6} {'R':>3} {'images/s':>10} {'min-max':>21} {'/ plain':>8} {'of copy':>8} {'GB':>5}")
    print(f"{'ResNet-32 CE':18} {'plain':6} {1:3} {base:10,.0f} {_spread(speed[id(plain)]):>21} {1:8.2f}")
    for one in made:
        images = statistics.median(speed[id(one)])
        ratio = f"{images / base:8.2f}" if one.network == "ResNet-32 CE" else f"{'':8}"
        share = f"{images * one.traffic / rate:8.0%}" if one.way == "fused" else f"{'':8}"
        name = f"{one.network:18} {one.way:6} {one.runs:3}"
        print(f"{name} {images:10,.0f} {_spread(speed[id(one)]):>21} {ratio} {share} {one.memory / 1e9:5.1f}")


def _spread(values: list[float]) -> str:
    return f"{min(values):,.0f}-{max(values):,.0f}"


if __name__ == "__main__":
    main()
