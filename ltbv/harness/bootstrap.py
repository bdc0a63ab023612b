"""From a request to a finished study: check everything, open the directory, find what is missing, hand it out."""

import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ltbv.data.resample import lost_classes, overlap
from ltbv.engine.cost import seconds_per_image, stored_bytes
from ltbv.engine.device import choose
from ltbv.engine.train import stage_epochs
from ltbv.errors import Refusal, unknown
from ltbv.harness.executors import EXECUTORS
from ltbv.harness.plan import Chunk, Training, chunks, stack_size, trainings
from ltbv.harness.store import Store
from ltbv.harness.study import Study, fingerprint, made_with, resolve
from ltbv.harness.work import Order, Tell
from ltbv.methods import find
from ltbv.methods.base import Method


@dataclass(frozen=True)
class Request:
    """What a user may ask of `ltbv bootstrap`; None is the data set's or the machine's default."""

    methods: tuple[str, ...]
    runs: int
    store: Path
    dataset: str = "glyphs-lt"
    data_dir: Path | None = None
    scheme: str | None = None
    imbalance: float | None = None
    head: int | None = None
    kind: str | None = None
    epochs: int | None = None
    network: str = ""
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"
    stack: int | None = None
    executor: str = "local"
    force: bool = False

    def asked(self) -> dict:
        """The arguments of `study.resolve`."""
        return {name: getattr(self, name) for name in ("dataset", "scheme", "head", "imbalance", "kind", "seed", "epochs", "network")}


@dataclass(frozen=True)
class Job:
    """A checked request: nothing is written yet."""

    request: Request
    study: Study
    store: Store
    methods: dict[str, Method]
    device: str
    jobs: int
    data: dict = field(repr=False)
    test_labels: np.ndarray = field(repr=False)

    @cached_property
    def chunks(self) -> list[Chunk]:
        """What is missing from the directory as it is now (all of it under --force)."""
        store = Store(self.store.path / "nothing") if self.request.force else self.store
        return chunks(store, self.methods, self.request.runs, self.request.stack)

    @cached_property
    def trainings(self) -> list[Training]:
        store = Store(self.store.path / "nothing") if self.request.force else self.store
        return trainings(self.study, store, self.methods, self.chunks)

    @property
    def images(self) -> int:
        """Training images still to go through, runs and epochs counted."""
        n = int(self.study.counts.sum())
        return sum(training.images(self.study.protocol, n) for training in self.trainings)

    def carry_out(self, tell: Tell) -> list[str]:
        """Open the directory and do what is missing; gives back one line for everything that failed."""
        todo = self.chunks
        self.trainings  # noqa: B018  (found before --force empties the directory)
        self.store.open(self.study.asked(), self.data, made_with(), force=self.request.force)
        for order, method in enumerate(self.methods.values()):
            self.store.open_method(method.key, self.study.recipe(method, order), force=self.request.force)
        if not todo:
            return []
        self.store.write_samples(self.samples)
        self.store.write_test_labels(self.test_labels)
        failures: list[str] = []

        def listen(event: dict) -> None:
            if event["event"] == "failed":
                runs = ", ".join(str(run) for run in event.get("runs", [event.get("run")]))
                failures.append(f"{event.get('method', 'run')} {runs} failed: {event['why']}")
            tell(event)

        request = self.request
        order = Order(
            store=str(self.store.path),
            asked=request.asked(),
            methods=tuple(self.methods),
            data_dir=str(request.data_dir) if request.data_dir else None,
            device=self.device,
            jobs=self.jobs,
        )
        EXECUTORS[request.executor](todo, order, listen)
        return failures

    @cached_property
    def samples(self) -> np.ndarray:
        """Ids [R, n] of the images of every run."""
        return np.stack([self.study.sample(run) for run in range(self.request.runs)])

    def warnings(self) -> list[str]:
        """What a reader of the results must know of the samples."""
        found = []
        num_classes = len(self.study.counts)
        lost = [len(lost_classes(ids, num_classes)) for ids in self.samples]
        if any(lost):
            found.append(f"{sum(map(bool, lost))} of {len(lost)} runs lost classes (up to {max(lost)}): scheme {self.study.scheme!r} draws the counts too")
        if len(self.samples) > 1 and (share := overlap(self.samples, num_classes)).max() > 0.5:
            found.append(
                f"two runs share up to {share.max():.0%} of a class's images (class {int(share.argmax())}; {share.mean():.0%} on average): "
                "variance of such classes is understated"
            )
        return found

    def summary(self) -> str:
        """One line on what the directory holds now."""
        done = {m.label: len(self.store.runs(m.key)) for m in self.methods.values()}
        return f"{self.store.path}: " + ", ".join(f"{label} {n} runs" for label, n in done.items()) + "."

    def outlook(self) -> str:
        """What would be done, how long it would take here, how much disk."""
        lines = [f"study {self.store.path}: {self.study.dataset}, {self.study.scheme}, {self.request.runs} runs, methods {', '.join(self.methods)}"]
        n, channels = int(self.study.counts.sum()), self.study.entry.image_shape
        seconds, size = 0.0, 0
        for training in self.trainings:
            epochs = stage_epochs(training.stage, self.study.protocol)
            each = seconds_per_image(training.stage, self.study.protocol, len(training.runs), channels, len(self.study.counts), self.device)
            took = each * training.images(self.study.protocol, n)
            seconds += took
            size += stored_bytes(training.stage, self.study.protocol, channels, len(self.study.counts)) * len(training.runs)
            lines.append(
                f"  train {training.method.key}/{training.stage.name}, runs {training.runs[0]}-{training.runs[-1]}: "
                f"{epochs} epochs x {n} images, {took:.0f} s"
            )
        points = len(self.test_labels)
        predictions = sum(len(self.store.missing(self.methods[name].key, c.runs)) for c in self.chunks for name in c.methods)
        size += predictions * points * (20 + 2 * len(self.study.counts))
        if not self.chunks:
            lines.append("  nothing is missing")
        lines.append(
            f"  {predictions} prediction files, {size / 1e6:.0f} MB, about {_span(seconds / self.jobs)} with {self.jobs} "
            f"job{'s' * (self.jobs > 1)} on {self.device} (timed just now, one process)"
        )
        return "\n".join(lines)


def prepare(request: Request) -> Job:
    """Check a request down to the data, so that what is wrong is said before anything is written."""
    if request.runs < 1:
        raise Refusal(f"--runs {request.runs}: at least 1; 10 for intervals worth having")
    for name in ("jobs", "stack"):
        if (number := getattr(request, name)) is not None and number < 1:
            raise Refusal(f"--{name} {number}: at least 1")
    if request.executor not in EXECUTORS:
        raise unknown("executor", request.executor, EXECUTORS)
    methods = {name: find(name) for name in dict.fromkeys(request.methods)}
    study = resolve(**request.asked())
    device = choose(request.device)
    for method in methods.values():
        for stage in method.stages:
            stored_bytes(stage, study.protocol, study.entry.image_shape, study.entry.num_classes)
    dataset = study.entry.load(request.data_dir)
    study = replace(study, fingerprint=fingerprint(dataset))
    jobs = request.jobs or (1 if device.type == "cuda" else len(os.sched_getaffinity(0)))
    jobs = max(1, min(jobs, -(-request.runs // stack_size(request.runs, request.stack))))
    return Job(
        request, study, Store(request.store), methods, str(device), jobs, study.data(dataset), dataset.test.labels
    )


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
