"""How much faster is a stack than a plain loop? Images a second, measured interleaved in one run.

    python benchmarks/engine.py [--rounds 3] [--seconds 8]

a0, a2  plain loop: one model at a time, torchvision's PIL transforms, DataLoader with 0 and with 2 workers, all threads
b       ltbv, stack of 1, one process with one thread
c       ltbv, stack of 5 (ResNet-32: 2), one process with one thread
d       what `ltbv bootstrap` does: one process a core, the protocol's stack (5; ResNet-32: 1)

Each figure is the median over rounds; in a round every variant runs once, in its own process. "of peak" is the share of
the cores' measured rate of float32 matrix products that the convolutions of forward and backward make up.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time

CORES = len(os.sched_getaffinity(0))
CASES = {"glyphs": ("glyphs-lt", 5), "resnet32": ("cifar", 2)}
VARIANTS = ("a0", "a2", "b", "c", "d")


def plain_network(backbone, channels, classes):
    """The same network in torch.nn's own layers, as the papers' repositories write it."""
    import torch.nn.functional as F
    from torch import nn

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.stride, self.extra = stride, outputs - inputs

        def forward(self, x):
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            if self.extra or self.stride > 1:
                half = self.extra // 2
                x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.extra - half))
            return F.relu(y + x)

    widths, inputs = backbone.widths, backbone.widths[0]
    parts = [nn.Conv2d(channels, inputs, 3, 1, 1, bias=False), nn.BatchNorm2d(inputs), nn.ReLU()]
    for stage, width in enumerate(widths):
        for position in range(backbone.blocks):
            parts.append(Block(inputs, width, 2 if stage and not position else 1))
            inputs = width
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


def data(case):
    """Random pixels of the right shape: (Dataset, ids [R, n], protocol)."""
    import numpy as np

    from ltbv.data.dataset import Dataset, Images, make_ids
    from ltbv.engine.protocol import CIFAR, GLYPHS

    shape, protocol = ((16, 16, 1), GLYPHS) if case == "glyphs" else ((32, 32, 3), CIFAR)
    draws, stack = np.random.default_rng(0), CASES[case][1]
    pool = draws.integers(256, size=(2500, *shape), dtype=np.uint8)
    dataset = Dataset(
        name=case,
        class_names=tuple(map(str, range(100))),
        pool_sizes=np.full(100, 25),
        read=lambda ids: pool[(ids >> 32) * 25 + (ids & 31)],
        test=Images(pool[:100], np.arange(100)),
        mean=(0.5,) * shape[2],
        std=(0.25,) * shape[2],
        mirrors=case != "glyphs",
    )
    ids = np.tile(make_ids(np.repeat(np.arange(100), 25), np.tile(np.arange(25), 100)), (stack, 1))
    return dataset, ids, protocol


def run_plain(case, workers, seconds):
    """Images a second of the plain loop."""
    import torch
    from PIL import Image
    from torch.nn.functional import cross_entropy

    from ltbv.models.vision import torchvision

    package = torchvision()
    from torchvision import transforms as T

    del package
    dataset, ids, protocol = data(case)
    pixels, labels = dataset.read(ids[0]), ids[0] >> 32
    steps = [T.RandomCrop(dataset.image_shape[0], padding=protocol.augmentation.pad)]
    steps += [T.RandomHorizontalFlip()] if dataset.mirrors else []
    transform = T.Compose([*steps, T.ToTensor(), T.Normalize(dataset.mean, dataset.std)])

    class Set(torch.utils.data.Dataset):
        def __len__(self):
            return len(labels)

        def __getitem__(self, i):
            one = pixels[i][..., 0] if pixels.shape[-1] == 1 else pixels[i]
            return transform(Image.fromarray(one)), int(labels[i])

    loader = torch.utils.data.DataLoader(Set(), batch_size=protocol.batch, shuffle=True, num_workers=workers)
    network = plain_network(protocol.backbone, dataset.image_shape[2], 100)
    optimiser = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)

    def forever():
        while True:
            yield from loader

    return timed(
        ((x, y) for x, y in forever()),
        lambda xy: (
            optimiser.zero_grad(),
            cross_entropy(network(xy[0]), xy[1]).backward(),
            optimiser.step(),
            len(xy[1]),
        )[-1],
        seconds,
    )


def run_stack(case, stack, seconds):
    """Images a second of ltbv's own loop, through `engine.train`."""
    import torch

    torch.set_num_threads(1)
    from ltbv.data.batches import Feed
    from ltbv.engine.cost import build
    from ltbv.engine.train import train
    from ltbv.methods import find
    from ltbv.models.stack import draw_run
    from ltbv.seeds import generator

    dataset, ids, protocol = data(case)
    stage = find("ce").stages[0]
    network = build(stage, protocol, stack, dataset.image_shape, 100)
    for run in range(stack):
        draw_run(network, run, stack, generator(0, run, "init"))
    of_protocol = {"augmentation": protocol.augmentation, "device": torch.device("cpu"), "dtype": torch.float32}
    feed = Feed(dataset, ids[:stack], **of_protocol)
    marks = []

    def report(images):
        marks.append((time.perf_counter(), images))
        if len(marks) > 3 and marks[-1][0] - marks[2][0] > seconds:
            raise StopIteration

    with contextlib.suppress(StopIteration):
        train(stage, network, feed, protocol, seed=0, runs=tuple(range(stack)), report=report)
    return sum(images for _, images in marks[3:]) / (marks[-1][0] - marks[2][0])


def timed(batches, step, seconds):
    """Images a second of `step` over `batches`, three batches of warm-up left out."""
    total, start = 0, None
    for number, batch in enumerate(batches):
        images = step(batch)
        now = time.perf_counter()
        if number == 2:
            start = now
        elif number > 2:
            total += images
            if now - start > seconds:
                return total / (now - start)


def peak():
    """Multiply-adds a second of one core: float32 matrix products."""
    import torch

    torch.set_num_threads(1)
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    best = 0.0
    for _ in range(20):
        start = time.perf_counter()
        a @ b
        best = max(best, 1024**3 / (time.perf_counter() - start))
    return best


def macs(case):
    """Multiply-adds of the convolutions of one image, forward; backward is twice as many."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    _, _, protocol = data(case)
    side, channels = (16, 1) if case == "glyphs" else (32, 3)
    with FlopCounterMode(display=False) as counter:
        plain_network(protocol.backbone, channels, 100)(torch.zeros(2, channels, side, side))
    return counter.get_total_flops() / 2 / 2


def child(case, variant, seconds):
    """What a process of its own does for one figure."""
    if variant == "peak":
        return peak()
    if variant in ("a0", "a2"):
        return run_plain(case, int(variant[1]), seconds)
    stack = {"b": 1, "c": CASES[case][1], "d": data(case)[2].stack}[variant]
    return run_stack(case, stack, seconds)


def measure(case, variant, seconds):
    """Run a variant in its own process, or in one process a core."""
    command = [sys.executable, __file__, "--child", case, variant, "--seconds", str(seconds)]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    copies = CORES if variant in ("d", "peak") else 1
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(copies)]
    return sum(float(process.communicate()[0]) for process in running)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(child(*arguments.child, arguments.seconds))
        return
    import torch

    print(f"torch {torch.__version__}, {CORES} cores, {arguments.rounds} rounds of {arguments.seconds:g} s, medians")
    for case in arguments.case or CASES:
        figures = {variant: [] for variant in (*VARIANTS, "peak")}
        for _ in range(arguments.rounds):
            for variant in figures:
                figures[variant].append(measure(case, variant, arguments.seconds))
        median = {variant: statistics.median(values) for variant, values in figures.items()}
        print(f"\n{case:10} {'images/s':>9} {'min-max':>15} {'/ a0':>6} {'/ a2':>6} {'of peak':>8}")
        for variant in VARIANTS:
            spread = f"{min(figures[variant]):.0f}-{max(figures[variant]):.0f}"
            share = 3 * macs(case) * median[variant] / median["peak"]
            ratios = [median[variant] / median[base] for base in ("a0", "a2")]
            print(f"{variant:10} {median[variant]:9.0f} {spread:>15} {ratios[0]:6.2f} {ratios[1]:6.2f} {share:8.0%}")


if __name__ == "__main__":
    main()
