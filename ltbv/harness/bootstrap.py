"""From a request to a finished study: check everything, open the directory, find what is missing, hand it out."""

import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ltbv.data.resample import lost_classes, overlap
from ltbv.engine.cost import check
from ltbv.engine.device import choose
from ltbv.errors import Refusal, unknown
from ltbv.harness.executors import EXECUTORS
from ltbv.harness.plan import Chunk, Training, chunks, stack_size, trainings
from ltbv.harness.store import Store
from ltbv.harness.study import Study, fingerprint, made_with, resolve
from ltbv.harness.work import Order, Tell
from ltbv.methods import METHODS, find
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
        names = ("dataset", "scheme", "head", "imbalance", "kind", "seed", "epochs", "network")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Job:
    """A checked request and what is missing for it; nothing is written yet.

    recipes       `Study.recipe` by method key, and
    description   `Study.data`, for the directory
    chunks        what is missing from the directory (all of it under `force`), and
    trainings     the stages that have to be trained for it
    """

    request: Request
    study: Study
    store: Store
    methods: dict[str, Method]
    device: str
    jobs: int
    recipes: dict[str, dict] = field(repr=False)
    description: dict = field(repr=False)
    test_labels: np.ndarray = field(repr=False)
    chunks: list[Chunk]
    trainings: list[Training]

    @property
    def images(self) -> int:
        """Training images still to go through, runs and epochs counted."""
        n = int(self.study.counts.sum())
        return sum(training.images(self.study.protocol, n) for training in self.trainings)

    @cached_property
    def samples(self) -> np.ndarray:
        """Ids [R, n] of the images of every run."""
        return np.stack([self.study.sample(run) for run in range(self.request.runs)])

    def carry_out(self, tell: Tell) -> list[str]:
        """Open the directory and do what is missing; gives back one line for everything that failed."""
        request = self.request
        self.store.open(self.study.asked(), self.description, made_with(), force=request.force)
        for key, recipe in self.recipes.items():
            self.store.open_method(key, recipe, force=request.force)
        if not self.chunks:
            return []
        self.store.write_samples(self.samples)
        self.store.write_test_labels(self.test_labels)
        failures: list[str] = []

        def listen(event: dict) -> None:
            if event["event"] == "failed":
                runs = ", ".join(str(run) for run in event["runs"])
                failures.append(f"{event.get('method', 'all methods')}, run {runs}: {event['why']}")
            tell(event)

        order = Order(
            store=str(self.store.path),
            asked=request.asked(),
            methods=tuple(self.methods),
            data_dir=str(request.data_dir) if request.data_dir else None,
            device=self.device,
            jobs=self.jobs,
        )
        EXECUTORS[request.executor](self.chunks, order, listen)
        return failures

    def notes(self) -> list[str]:
        """What a reader of the results must know of the samples."""
        found, classes = [], len(self.study.counts)
        lost = [len(lost_classes(ids, classes)) for ids in self.samples]
        if any(lost):
            found.append(
                f"{sum(map(bool, lost))} of {len(lost)} runs have classes without images (up to {max(lost)}): "
                f"scheme {self.study.scheme!r} draws the counts too"
            )
        if len(self.samples) > 1 and (share := overlap(self.samples, classes)).max() > 0.5:
            found.append(
                f"two runs share up to {share.max():.0%} of a class's images (class {int(share.argmax())}; "
                f"{share.mean():.0%} on average): the variance of such classes is understated"
            )
        return found

    def summary(self) -> str:
        """One line on what the directory holds now."""
        done = {method.label: len(self.store.runs(method.key)) for method in self.methods.values()}
        return f"{self.store.path}: " + ", ".join(f"{label} {runs} runs" for label, runs in done.items()) + "."


def prepare(request: Request) -> Job:
    """Check a request down to the data, so that what is wrong is said before anything is written."""
    if request.runs < 1:
        raise Refusal(f"--runs {request.runs}: at least 1; 10 for intervals worth having")
    for name in ("jobs", "stack"):
        if (number := getattr(request, name)) is not None and number < 1:
            raise Refusal(f"--{name} {number}: at least 1")
    if request.executor not in EXECUTORS:
        raise unknown("executor", request.executor, EXECUTORS)
    methods = _methods(request.methods)
    study = resolve(**request.asked())
    device = choose(request.device)
    for method in methods.values():
        for stage in method.stages:
            check(stage, study.protocol, study.entry.image_shape, study.entry.num_classes)
    dataset = study.entry.load(request.data_dir)
    study = replace(study, fingerprint=fingerprint(dataset))

    store = Store(request.store)
    recipes = {method.key: study.recipe(method, _place(method)) for method in methods.values()}
    store.check(study.asked(), force=request.force)
    for key, recipe in recipes.items():
        store.check_method(key, recipe, force=request.force)
    there = Store(request.store / "nothing") if request.force else store
    stack = request.stack or stack_size(request.runs, study.protocol.stack)
    missing = chunks(there, methods, request.runs, stack)
    return Job(
        request=request,
        study=study,
        store=store,
        methods=methods,
        device=str(device),
        jobs=_jobs(request.jobs, device.type, -(-request.runs // stack)),
        recipes=recipes,
        description=study.data(dataset),
        test_labels=dataset.test.labels,
        chunks=missing,
        trainings=trainings(study, there, methods, missing),
    )


def _methods(names: tuple[str, ...]) -> dict[str, Method]:
    """name -> method, each once; two methods that would write to the same place are refused."""
    if not names:
        raise Refusal(f"no method asked for; give --method with one of: {', '.join(sorted(METHODS))}")
    methods = {name: find(name) for name in dict.fromkeys(names)}
    by_key: dict[str, Method] = {}
    for name, method in methods.items():
        if by_key.setdefault(method.key, method) != method:
            raise Refusal(f"method {name!r} has the key {method.key!r} of another one asked for; give it its own")
    return {name: method for name, method in methods.items() if by_key.pop(method.key, None)}


def _place(method: Method) -> int:
    """The place of a method in tables: the registered ones in their order, one's own after them."""
    known = list(METHODS)
    return known.index(method.key) if method.key in known else len(known)


def _jobs(asked: int | None, device: str, chunks: int) -> int:
    """As many processes as asked, or as there are cores (one on a GPU), but no more than chunks."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(asked or (1 if device == "cuda" else cores), chunks)
