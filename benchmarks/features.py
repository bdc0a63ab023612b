"""What does a probe cost? Heads on frozen features, in stacks, beside a plain loop of torch, one run after the other;
at their optimum, beside scikit-learn's; and what minibatches leave of the optimum's estimates.

    python benchmarks/features.py [--epochs 5] [--rounds 3] [--stacks 1,5,25,50] [--runs 10]

10,847 training rows of 384 features, 100 classes (500 to 5), batch 256, SGD with momentum: cross-entropy in a stack of
each size and in the plain loop, in turn, `rounds` times; then five head methods in the protocol's stack. Printed are
processor seconds of one thread for a run of 50 epochs (the best round), and the ratio to the plain loop in the same
round (the middle one, with the range): above 1 the stack is faster. Then what the operations of a stack take. Then CE
and balanced softmax of `runs` runs, 50 epochs of SGD, at the optimum (`--optimiser lbfgs`), and, where it is installed,
scikit-learn's LogisticRegression of the same CE (its own L-BFGS, to the same share of the gradient at the start): whole
commands in one process, predictions included, and error, bias and variance of each.
"""

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from torch.profiler import profile

from ltbv import bootstrap, stats
from ltbv.data.batches import Feed
from ltbv.data.dataset import Augmentation, Dataset, Images, indices_of, labels_of, make_ids
from ltbv.data.profile import long_tail_counts
from ltbv.engine.cost import build
from ltbv.engine.protocol import HEAD, protocol_for
from ltbv.engine.train import train
from ltbv.harness.study import resolve
from ltbv.methods import METHODS
from ltbv.models.stack import draw_run
from ltbv.seeds import generator
from ltbv.store import Store

CLASSES, WIDTH, EPOCHS = 100, 384, 50
HEADS = ("ce", "balanced_softmax", "class_balanced", "logit_adjustment", "ldam_drw")
COUNTS = long_tail_counts(CLASSES, 500, 100)


CENTRES = 1.5 / WIDTH**0.25 * np.random.default_rng(1).standard_normal((CLASSES, WIDTH), dtype=np.float32)


def drawn(labels: np.ndarray, seed: int) -> np.ndarray:
    """Features [n, D] about the centre of each class."""
    return CENTRES[labels] / 4 + np.random.default_rng(seed).standard_normal((len(labels), WIDTH), dtype=np.float32)


def world() -> Dataset:
    """The same as a data set."""
    first = np.cumsum([0, *COUNTS])
    rows = drawn(np.repeat(np.arange(CLASSES), COUNTS), 0)[:, None, None]
    return Dataset(
        name="noise",
        class_names=tuple(map(str, range(CLASSES))),
        pool_sizes=COUNTS,
        read=lambda ids: rows[first[labels_of(ids)] + indices_of(ids)],
        test=Images(rows[:1], np.zeros(1, np.int64)),
        mean=(0.0,) * WIDTH,
        std=(WIDTH**0.5 / 8,) * WIDTH,
        mirrors=False,
    )


DATA = world()
IDS = make_ids(np.repeat(np.arange(CLASSES), COUNTS), np.concatenate([np.arange(n) for n in COUNTS]))


def plain(epochs: int) -> None:
    """One run as one writes it."""
    features = torch.as_tensor(DATA.read(IDS)[:, 0, 0]) / DATA.std[0]
    labels = torch.as_tensor(labels_of(IDS))
    head = torch.nn.Linear(WIDTH, CLASSES)
    optimiser = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    for _ in range(epochs):
        order = torch.randperm(len(labels))
        for start in range(0, len(labels), HEAD.batch):
            rows = order[start : start + HEAD.batch]
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(head(features[rows]), labels[rows]).backward()
            optimiser.step()


def stacked(epochs: int, runs: int, key: str = "ce") -> None:
    """`runs` runs of a method of one stage, as ltbv trains them."""
    protocol, (stage,), cpu = protocol_for(DATA.image_shape), METHODS[key].stages, torch.device("cpu")
    feed = Feed(DATA, np.tile(IDS, (runs, 1)), augmentation=Augmentation(), device=cpu, dtype=torch.float32)
    network = build(stage, protocol, runs, DATA.image_shape, CLASSES)
    for run in range(runs):
        draw_run(network, run, runs, generator(0, run, "init"))
    train(stage, network, feed, replace(protocol, epochs=epochs), seed=0, runs=tuple(range(runs)))


def estimates(runs: int) -> None:
    """Seconds of a run and estimates, by loop, at the optimum, and by scikit-learn."""
    labels, test = np.repeat(np.arange(CLASSES), COUNTS), np.repeat(np.arange(CLASSES), 20)
    print(f"\nOf {runs} runs, 20 test rows a class:\n")
    print("| | processor seconds a run | error | bias | variance |\n|---|---:|---:|---:|---:|")

    def tell(name: str, took: float, predictions: np.ndarray) -> None:
        of = said(predictions, test)
        each = (of[quantity] for quantity in ("error", "bias", "variance"))
        cells = " | ".join(f"{one.estimate:.4f} ± {(one.high - one.low) / 2:.4f}" for one in each)
        print(f"| {name} | {took / runs:.2f} | {cells} |", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/probe.npz"
        arrays = {"train": drawn(labels, 0), "train_labels": labels, "test": drawn(test, 2), "test_labels": test}
        np.savez(file, **arrays)
        for key in ("ce", "balanced_softmax"):
            for optimiser, how in ((None, "SGD, 50 epochs"), ("lbfgs", "at the optimum")):
                study = f"{folder}/{key}-{optimiser}"
                asked = {"features": file, "optimiser": optimiser, "executor": "inline", "quiet": True}
                took = seconds(lambda k=key, s=study, a=asked: bootstrap(k, runs, s, reference=k, **a))
                tell(f"{METHODS[key].label}, {how}", took, Store(study).predictions(key, "label"))
        with contextlib.suppress(ImportError):
            from sklearn.linear_model import LogisticRegression

            found = resolve(file)
            data = found.entry.load()
            mean, scale = np.array(data.mean), np.array(data.std)
            x = ((arrays["test"] - mean) / scale).astype(np.float32)
            tol = 1e-4 * 8 / CLASSES  # of the largest element of the gradient, about as short

            def fit(run: int) -> np.ndarray:
                ids = found.sample(run)
                own = ((data.read(ids)[:, 0, 0] - mean) / scale).astype(np.float32)
                model = LogisticRegression(C=1 / (HEAD.weight_decay * len(own)), tol=tol, max_iter=2000)
                return model.fit(own, labels_of(ids)).predict(x)

            predictions: list[np.ndarray] = []
            took = seconds(lambda: predictions.extend(map(fit, range(runs))))
            tell("CE, scikit-learn", took, np.stack(predictions))


def said(predictions: np.ndarray, labels: np.ndarray) -> dict[str, stats.Estimate]:
    """Estimates over all classes, by quantity."""
    rows = stats.summarize(stats.Record(predictions, labels), {"all": np.arange(CLASSES)})
    return {row.quantity: row for row in rows}


def seconds(work: Callable[[], None]) -> float:
    """Of the processor."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main(epochs: int, rounds: int, stacks: list[int], runs: int) -> None:
    torch.set_num_threads(1)
    of = {f"CE, stack of {runs}": (runs, "ce") for runs in stacks}
    of |= {f"{METHODS[key].label}, stack of {HEAD.stack}": (HEAD.stack, key) for key in HEADS if key != "ce"}
    plain(1), stacked(1, 1)  # what is imported and allocated once
    took: dict[str, list[float]] = {"plain loop": []} | {name: [] for name in of}
    for _ in range(rounds):
        took["plain loop"].append(seconds(partial(plain, epochs)) * EPOCHS / epochs)
        for name, (stack, key) in of.items():
            took[name].append(seconds(partial(stacked, epochs, stack, key)) * EPOCHS / epochs / stack)
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, one thread, {rounds} rounds\n")
    print("| | processor seconds a run | times as fast as the plain loop |\n|---|---:|---:|")
    for name, mine in took.items():
        ratios = sorted(loop / own for loop, own in zip(took["plain loop"], mine, strict=True))
        print(f"| {name} | {min(mine):.2f} | {np.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |")
    with profile() as seen:
        stacked(1, HEAD.stack)
    of_torch = [event for event in seen.key_averages() if event.self_cpu_time_total]
    whole = sum(event.self_cpu_time_total for event in of_torch)
    print(f"\nOf an epoch of CE in a stack of {HEAD.stack}:\n")
    for event in sorted(of_torch, key=lambda event: -event.self_cpu_time_total)[:8]:
        print(f"- {event.key} {event.self_cpu_time_total / whole:.0%}")
    if runs:
        estimates(runs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stacks", type=lambda text: [int(word) for word in text.split(",")], default=[1, 5, 25, 50])
    parser.add_argument("--runs", type=int, default=10)
    asked = parser.parse_args()
    main(asked.epochs, asked.rounds, asked.stacks, asked.runs)
