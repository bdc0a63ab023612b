"""What does early exit save? Time to answer the test set beside the multiply-adds, routed against all experts.

    python benchmarks/early_exit.py                       ResNet-32, random weights, at the published rates of exit
    python benchmarks/early_exit.py STUDY [--data-dir …]  and the routed methods of a study, with their own routers

One run at a time, blocks of 250 images, one thread; the ways interleaved, the best of `--rounds`. "in parts" is all
experts asked one after the other by the same code: what it takes beside "at once" is the price of going one by one.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from ltbv.data.dataset import Dataset, Images
from ltbv.data.readers import OnDevice
from ltbv.engine.cost import build, costs_by_experts
from ltbv.engine.predict import predict
from ltbv.engine.protocol import CIFAR
from ltbv.harness.study import filled_in
from ltbv.harness.trainer import Trainer
from ltbv.methods import METHODS
from ltbv.methods.base import mean
from ltbv.methods.routing import ROUTED
from ltbv.models.stack import draw_run
from ltbv.settings import Settings
from ltbv.store import Store

PUBLISHED = (0.4099, 0.0947, 0.4954)  # of images that stop after 1, 2, 3 experts
CPU = torch.device("cpu")


class Preset(torch.nn.Module):
    """A router that lets a given share of the images go on after each expert, whatever they are."""

    def __init__(self, stops: tuple[float, ...]):
        super().__init__()
        left = 1 - np.cumsum((0.0, *stops[:-1]))
        self.on = left[1:] / left[:-1]

    def at(self, run: int, boundary: int):
        return lambda means, features: (
            (torch.arange(means.shape[2]) < round(self.on[boundary] * means.shape[2])).float()[None, None] - 0.5
        )


def measured(network, test: OnDevice, by_experts: list[int], rounds: int, label: str) -> str:
    """A line of the table."""
    own, willing = network.router, Preset((0.0,) * (network.experts - 1) + (1.0,))
    ways = {"routed": (own, ROUTED), "in parts": (willing, ROUTED), "at once": (own, mean)}
    seconds, used = dict.fromkeys(ways, float("inf")), None
    for _ in range(rounds):
        for name, (router, rule) in ways.items():
            network.router = router
            start = time.perf_counter()
            answer = predict(network, test, rule)
            seconds[name] = min(seconds[name], time.perf_counter() - start)
            used = answer[1] if name == "routed" else used
    share = sum((used == k).mean() * macs for k, macs in enumerate(by_experts, 1)) / by_experts[-1]
    routed, parts, once = (seconds[way] for way in ways)
    return (
        f"| {label} | {used.mean():.2f} of {network.experts} | {share:.2f}x | {routed / parts:.2f}x"
        f" | {routed / once:.2f}x | {routed:.2f} s | {parts:.2f} s | {once:.2f} s |"
    )


def resnet32(rounds: int, images: int = 1000) -> str:
    stage = METHODS["ride_routed"].stages[-1]
    network = build(stage, CIFAR, 1, (32, 32, 3), 100)
    draw_run(network, 0, 1, np.random.default_rng(0))
    network.router = Preset(PUBLISHED)
    pixels = np.random.default_rng(1).integers(0, 256, (images, 32, 32, 3), np.uint8)
    labels = np.zeros(images, int)
    dataset = Dataset(
        "random", ("a",), np.array([0]), lambda ids: pixels, Images(pixels, labels), (0.5,) * 3, (0.25,) * 3, False
    )
    test = OnDevice(dataset, pixels, pad=0, device=CPU, dtype=torch.float32)
    macs = [macs for macs, _ in costs_by_experts(stage.net, CIFAR.backbone, (32, 32, 3), 100)]
    return measured(network, test, macs, rounds, "ResNet-32, published rates")


def of_study(path: Path, data_dir: Path | None, rounds: int) -> list[str]:
    store = Store(path)
    asked = store.study()["asked"]
    study, dataset = filled_in(Settings.read(asked)).load(data_dir)
    shop = Trainer(study, store, dataset, (0,), device=CPU)
    routed = [METHODS[key] for key in store.methods() if METHODS[key].stages[-1].net.chooses]
    return [
        measured(
            shop.finished(method),
            shop.test,
            [macs for macs, _ in study.cost(method)["macs_by_experts"]],
            rounds,
            method.label,
        )
        for method in routed
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, nargs="?")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| | experts used | multiply-adds | time, / in parts | / at once | routed | in parts | at once |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    print(resnet32(arguments.rounds), flush=True)
    if arguments.study:
        print("\n".join(of_study(arguments.study, arguments.data_dir, arguments.rounds)))


if __name__ == "__main__":
    main()
