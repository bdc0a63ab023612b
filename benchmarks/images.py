"""What does it save to decode images once? Images a second from a pool, and by decoding every epoch, in one run.

    python benchmarks/images.py [--images 200] [--rounds 5] [--runs 1 2 4 8] [--strong] [--cold]

JPEG files of 500 x 375 pixels are made here. Beside each other, one thread each: `Feed` from a pool of 256 pixels a
side (RandomResizedCrop to 224, flip, colour jitter, normalised), held in memory and read from the mapped file; and
torchvision's transforms of the same meaning in a DataLoader without workers (a worker a core multiplies this by the
cores, and the pool by the processes). Then the pool for stacks of more runs. Processor seconds, of which others on the
machine take none; rounds of all are interleaved, and their median and range are printed. The process begins itself
again in the environment of workers, which keep the pages of what they free.

`--strong` has each strong augmentation in place of the colour jitter, from the pool in memory, and torchvision's
RandAugment of the decoded picture.

`--cold` is seconds by the clock that a training process waits for the images of a batch, where a network has the
processor for 50 ms between two batches and nothing of a pool of 1.2 GB is in memory: with a thread that reads ahead, by
windows of eight batches and of one, and without. The cache is emptied before each epoch, of this file alone
(`posix_fadvise`, `POSIX_FADV_DONTNEED`, after its map is dropped).
"""

import argparse
import mmap
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader

from ltbv.data import residence, streamed
from ltbv.data.batches import Feed
from ltbv.data.dataset import Dataset, Images, Mapped, indices_of, labels_of, make_ids
from ltbv.data.images.sources import images
from ltbv.data.policies import POLICIES
from ltbv.data.readers import Reader
from ltbv.data.samplers import INSTANCE
from ltbv.engine.protocol import COLOURED
from ltbv.harness.executors.local import ENVIRONMENT
from ltbv.harness.study import resolve
from ltbv.models.vision import torchvision

CPU, BATCH, SIZE = torch.device("cpu"), 32, (375, 500)


def files(top: Path, n: int) -> None:
    """Two classes of smooth noise, which compresses as photographs do: some 60 kB a file."""
    draw = np.random.default_rng(0)
    for k in range(n + 2):
        rough = Image.fromarray(draw.integers(256, size=(25, 33, 3), dtype=np.uint8))
        smooth = np.asarray(rough.resize(SIZE[::-1], Image.Resampling.BICUBIC), np.float64)
        pixels = (smooth + draw.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)
        path = top / ("train" if k < n else "test") / "ab"[k % 2] / f"{k}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=88)


def of_pool(study, dataset, runs: int, room: int, strong: str = "") -> Callable[[], int]:
    """An epoch of a stack; how many images it had."""
    residence.IN_MEMORY = room
    ids = np.stack([study.sample(run) for run in range(runs)])
    feed = Feed(dataset, ids, augmentation=replace(COLOURED, strong=strong), device=CPU, dtype=torch.float32)

    def epoch() -> int:
        tables = feed.tables(0, tuple(range(runs)), (0,), 0, 1, (INSTANCE,), batch=BATCH)
        return sum(batch.images.shape[0] * runs for (batch,) in feed.epoch(tables, BATCH))

    return epoch


def decoding(top: Path, dataset, strong: bool = False) -> Callable[[], int]:
    """The same with torchvision, every file opened every epoch."""
    torchvision()
    from torchvision import transforms as T
    from torchvision.datasets import ImageFolder

    colours = T.RandAugment() if strong else T.ColorJitter(0.4, 0.4, 0.4)
    steps = [T.RandomResizedCrop(224), T.RandomHorizontalFlip(), colours, T.ToTensor()]
    folder = ImageFolder(top / "train", T.Compose([*steps, T.Normalize(dataset.mean, dataset.std)]))
    draws = torch.Generator().manual_seed(0)
    loader = DataLoader(folder, batch_size=BATCH, shuffle=True, generator=draws)
    return lambda: sum(len(batch) for batch, _ in loader)


def cold(top: Path, rounds: int, n: int = 6000, batch: int = 64, computing: float = 0.05) -> None:
    """Print how long a batch of one run is waited for, cold."""
    path, draw = top / "pixels", np.random.default_rng(0)
    with open(path, "wb") as file:
        for _ in range(0, n, 500):
            file.write(draw.bytes(500 * 256 * 256 * 3))
        file.flush()
        os.fsync(file.fileno())
    pixels = np.memmap(path, np.uint8, "r", shape=(n, 256, 256, 3))

    def rows(ids: np.ndarray) -> np.ndarray:
        return labels_of(ids) * (n // 2) + indices_of(ids)

    dataset = Dataset(
        name="cold",
        class_names=("a", "b"),
        pool_sizes=np.array([n // 2, n // 2]),
        read=lambda ids: np.asarray(pixels[rows(ids)]),
        test=Images(pixels[:2, 16:240, 16:240], np.arange(2)),
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        mirrors=True,
        mapped=Mapped(pixels, rows),
    )
    residence.IN_MEMORY = 0
    ids = make_ids(np.repeat([0, 1], n // 4), np.tile(np.arange(n // 4), 2))[None]
    feed = Feed(dataset, ids, augmentation=COLOURED, device=CPU, dtype=torch.float32)
    matrix = torch.rand(300, 300)

    def epoch(how: Callable, window: int, cached: bool) -> float:
        if not cached:
            pixels._mmap.madvise(mmap.MADV_DONTNEED)
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        streamed.Streamed.ahead, streamed.WINDOW, waited = how, window, 0.0
        tables = feed.tables(0, (0,), (0,), 0, 1, (INSTANCE,), batch=batch)
        last = time.perf_counter()
        for _ in feed.epoch(tables, batch):
            waited += time.perf_counter() - last
            until = time.perf_counter() + computing
            while time.perf_counter() < until:
                matrix @ matrix
            last = time.perf_counter()
        return waited / len(feed.spans(batch))

    ahead = streamed.Streamed.ahead
    arms = {
        "in memory already": (Reader.ahead, 1, True),
        "cold, read when it is asked for": (Reader.ahead, 1, False),
        "cold, read ahead, each batch sorted": (ahead, 1, False),
        "cold, read ahead, eight batches sorted": (ahead, 8, False),
    }
    took: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, (how, window, cached) in arms.items():
            if cached:
                pixels.sum(dtype=np.int64)
            took[name].append(epoch(how, window, cached))
    print(f"\n| a batch of {batch} images, {n * 256 * 256 * 3 / 1e9:.1f} GB | ms it is waited for |\n| --- | --- |")
    for name, of in took.items():
        print(f"| {name} | {1e3 * np.median(of):.0f} ({1e3 * min(of):.0f} to {1e3 * max(of):.0f}) |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--strong", action="store_true")
    parser.add_argument("--cold", action="store_true")
    asked = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ENVIRONMENT)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if asked.cold:
            return cold(Path(folder), asked.rounds)
        os.environ["LTBV_CACHE"], top = f"{folder}/cache", Path(folder) / "photographs"
        files(top, asked.images)
        began = time.process_time()
        pool = images(top, side=256)
        making = (time.process_time() - began) / (asked.images + 2)
        study, dataset = resolve(str(pool.path)).load()
        arms = {"pool, in memory": of_pool(study, dataset, 1, 2**40)}
        arms["decoding every epoch"] = decoding(top, dataset, asked.strong)
        if asked.strong:
            arms |= {f"pool, {strong}": of_pool(study, dataset, 1, 2**40, strong) for strong in POLICIES}
        else:
            arms |= {f"pool, mapped, R = {runs}": of_pool(study, dataset, runs, 0) for runs in asked.runs}
        took: dict[str, list[float]] = {name: [] for name in arms}
        for turn in range(asked.rounds + 1):
            for name, epoch in arms.items():
                start = time.process_time()
                n = epoch()
                if turn:  # the first warms up
                    took[name].append((time.process_time() - start) / n)
        slowest = np.median(took["decoding every epoch"])
        print(
            f"{asked.images} JPEG files of {SIZE[1]} x {SIZE[0]}; making the pool: {1e3 * making:.1f} ms an image, once"
        )
        print("\n| | ms an image and run | images / s | against decoding |\n| --- | --- | --- | --- |")
        for name, of in took.items():
            middle, low, high = np.median(of), min(of), max(of)
            speed = f"{1 / middle:,.0f} | {slowest / middle:.2f}x"
            print(f"| {name} | {1e3 * middle:.2f} ({1e3 * low:.2f} to {1e3 * high:.2f}) | {speed} |")


if __name__ == "__main__":
    main()
