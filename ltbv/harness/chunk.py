"""How is a chunk carried out? Its missing stages are trained as one stack, then every method's predictions are written.

Whatever is already in the store is taken, not made again; what is made twice after an interruption is made alike.
"""

import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ltbv.data.batches import Feed, Pictures
from ltbv.data.dataset import Dataset
from ltbv.engine.cost import build
from ltbv.engine.predict import predict, record
from ltbv.engine.snapshot import Keeper
from ltbv.engine.train import train
from ltbv.errors import Refusal, reason
from ltbv.harness.files import read_arrays
from ltbv.harness.plan import Chunk, Tell
from ltbv.harness.store import Store
from ltbv.harness.study import Study
from ltbv.methods.base import Method, Stage
from ltbv.models.experts import Experts
from ltbv.models.stack import draw_run, load_run_state, run_state
from ltbv.seeds import generator


class Checkpoint(Keeper):
    """Keeps the snapshots of a stage in a file, one every so many seconds; a damaged one is not used."""

    def __init__(self, store: Store, path: Path, seconds: float):
        self.store, self.path, self.seconds, self.last = store, path, seconds, time.monotonic()

    def load(self) -> dict[str, np.ndarray] | None:
        try:
            return read_arrays(self.path) if self.path.exists() else None
        except Refusal:
            return None

    def is_due(self) -> bool:
        return time.monotonic() - self.last >= self.seconds

    def save(self, arrays: dict[str, np.ndarray]) -> None:
        self.store.write(self.path, arrays)
        self.last = time.monotonic()


class Workshop:
    """The data of one chunk on a device, and what is done there. `tell` hears of progress, one event at a time."""

    def __init__(
        self,
        study: Study,
        store: Store,
        dataset: Dataset,
        runs: tuple[int, ...],
        *,
        device: torch.device,
        tell: Tell = lambda event: None,
        dtype: torch.dtype = torch.float32,
        checkpoint_minutes: float = float("inf"),
    ):
        self.checkpoint_minutes = checkpoint_minutes
        self.study, self.store, self.dataset, self.runs, self.tell = study, store, dataset, runs, tell
        self.device, self.dtype = device, dtype
        self.feed = Feed(dataset, np.stack([study.sample(run) for run in runs]), device=device, dtype=dtype)
        self.test = Pictures(dataset, dataset.test.pixels, pad=0, device=device, dtype=dtype)

    def carry_out(self, methods: dict[str, Method]) -> None:
        """Write the predictions that are missing. What a method's code raises costs that method and no other."""
        for method in methods.values():
            if missing := self.store.missing(method.key, self.runs):
                try:
                    self.write_predictions(method, missing)
                except torch.OutOfMemoryError:  # of the stack, not of the method
                    raise
                except Exception as error:
                    traceback.print_exc()
                    self.fail(method, self.runs, reason(error))

    def write_predictions(self, method: Method, missing: list[int]) -> None:
        """Obtain a method's networks and write what they say of the test set."""
        network = self.finished(method)
        logits, asked = predict(network, self.test, method.predict)
        for position, run in enumerate(self.runs):
            if not np.isfinite(logits[position]).all():
                bad = int((~np.isfinite(logits[position])).any(1).sum())
                self.fail(method, [run], f"training diverged: logits of {bad} test images are not finite")
            elif run in missing:
                of_run = logits[position], self.dataset.test.labels, None if asked is None else asked[position]
                self.store.write(self.store.prediction_file(method.key, run), record(*of_run))
                self.tell({"event": "done", "method": method.key, "run": run})

    def finished(self, method: Method) -> Experts:
        """The network that predicts: of the last stage, changed as the method says."""
        network = self.obtain(method, method.stages[-1]).eval()
        if method.posthoc:
            with torch.no_grad():
                method.posthoc(network, self.feed)
        return network

    def obtain(self, method: Method, stage: Stage) -> Experts:
        """The network of a stage: from the store if it is there, else trained, and kept there."""
        key = self.study.stage_key(method, stage)
        network = build(stage, self.study.protocol, len(self.runs), self.dataset.image_shape, self.dataset.num_classes)
        network.to(self.device, self.dtype)
        if self.store.has_stage(key, self.runs) and self.load(network, key):
            return network
        place = method.stages.index(stage)
        self.start(network, method, stage, place)
        given = tuple(self.obtain(method, method.stage(name)).eval().requires_grad_(False) for name in stage.given)
        keeper = Checkpoint(self.store, self.store.checkpoint_file(key, self.runs), self.checkpoint_minutes * 60)
        self.tell({"event": "stage", "method": method.key, "stage": stage.name, "runs": self.runs})
        losses = train(
            stage,
            network,
            self.feed,
            self.study.protocol,
            seed=self.study.seed,
            runs=self.runs,
            position=place,
            given=given,
            report=lambda images: self.tell({"event": "images", "images": images}),
            keeper=keeper,
        )
        for position, run in enumerate(self.runs):
            path = self.store.stage_file(key, run)
            if np.isfinite(losses[position]).all() and not path.exists():
                state = run_state(network, position, len(self.runs))
                self.store.write(path, {**state, "loss_by_epoch": losses[position]})
        keeper.path.unlink(missing_ok=True)
        return network

    def load(self, network: Experts, key: str) -> bool:
        """Fill a network from the files of its stage; a damaged file is removed, and False says to train again."""
        for position, run in enumerate(self.runs):
            path = self.store.stage_file(key, run)
            try:
                load_run_state(network, position, len(self.runs), read_arrays(path))
            except (Refusal, KeyError, RuntimeError, ValueError) as error:
                self.tell({"event": "damaged", "path": str(path), "why": reason(error)})
                path.unlink(missing_ok=True)
                return False
        return True

    def start(self, network: Experts, method: Method, stage: Stage, place: int) -> None:
        """Weights before the first step: an earlier stage's, with the `reset` parts drawn anew, or all drawn."""
        draws = [generator(self.study.seed, run, "init", place) for run in self.runs]
        for position, own in enumerate(draws):
            draw_run(network, position, len(self.runs), own)
        if stage.start:
            # What the earlier network has no part for (a router, scales) stays as drawn.
            network.load_state_dict(self.obtain(method, method.stage(stage.start)).state_dict(), strict=False)
            for position, own in enumerate(draws):
                for name in stage.reset:
                    draw_run(getattr(network, name), position, len(self.runs), own)

    def fail(self, method: Method, runs: Sequence[int], why: str) -> None:
        self.tell({"event": "failed", "method": method.key, "runs": list(runs), "why": why})


def carry_out(
    chunk: Chunk,
    study: Study,
    store: Store,
    dataset: Dataset,
    methods: dict[str, Method],
    device: torch.device,
    tell: Tell,
    *,
    checkpoint_minutes: float = float("inf"),
) -> None:
    """Do one chunk: the only thing an executor has to call, in whatever process.

    `Busy` if another command has one of its runs in hand; what is there already is not made again.
    """
    with store.working(chunk.runs):
        store.sweep(chunk.runs)
        if any(store.missing(method.key, chunk.runs) for method in methods.values()):
            Workshop(
                study, store, dataset, chunk.runs, device=device, tell=tell, checkpoint_minutes=checkpoint_minutes
            ).carry_out(methods)
