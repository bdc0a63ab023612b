"""What does early exit save? Time to answer the test set beside the multiply-adds, routed against all experts.

    ltbv bootstrap --method ce --method ride_2_routed --method ride_routed --method ride_4_routed --runs 3 --study STUDY
    python benchmarks/early_exit.py STUDY

Networks are those of the study, one run at a time, blocks of 250 images, one thread; both ways interleaved, the best of
`--rounds`. "in parts" is all experts asked one after the other by the same code with the routers saying yes: what is
left beside it is the price of going on one by one.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from ltbv.engine.predict import predict
from ltbv.harness.chunk import Workshop
from ltbv.harness.store import Store
from ltbv.harness.study import resolve
from ltbv.methods import METHODS
from ltbv.methods.base import mean

ASKED = ("dataset", "scheme", "head", "imbalance", "kind", "seed", "epochs", "network")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    store = Store(arguments.study)
    asked = store.study()["asked"]
    study = resolve(**{name: asked[name] for name in ASKED})
    study = type(study)(**{**vars(study), "fingerprint": asked["fingerprint"]})
    dataset = study.entry.load(arguments.data_dir)
    shop = Workshop(study, store, dataset, (0,), device=torch.device("cpu"))

    print("| method | experts used | multiply-adds | seconds | in parts | all at once |")
    print("| --- | --- | --- | --- | --- | --- |")
    for key in store.methods():
        method = METHODS[key]
        if not method.stages[-1].net.router:
            continue
        network = shop.finished(method)
        willing = shop.finished(method)
        torch.nn.init.constant_(willing.router.final.bias, 1e6)
        ways = {
            "routed": lambda network=network, rule=method.predict: predict(network, shop.test, rule),
            "in parts": lambda network=willing, rule=method.predict: predict(network, shop.test, rule),
            "at once": lambda network=network: predict(network, shop.test, mean),
        }
        seconds, used = dict.fromkeys(ways, float("inf")), None
        for _ in range(arguments.rounds):
            for name, way in ways.items():
                start = time.perf_counter()
                answer = way()
                seconds[name] = min(seconds[name], time.perf_counter() - start)
                used = answer[1] if name == "routed" else used
        by_experts = [macs for macs, _ in study.cost(method)["macs_by_experts"]]
        share = sum((used == k).mean() * macs for k, macs in enumerate(by_experts, 1)) / by_experts[-1]
        routed, parts, once = (seconds[way] for way in ways)
        print(
            f"| {method.label} | {used.mean():.2f} of {network.experts} | {share:.2f}x"
            f" | {routed:.2f} s, {routed / parts:.2f}x | {parts:.2f} s | {once:.2f} s |"
        )


if __name__ == "__main__":
    main()
