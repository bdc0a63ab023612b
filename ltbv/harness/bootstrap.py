"""From a request to a finished study: check everything, open the directory, find what is missing, hand it out."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

import ltbv
from ltbv.data.profile import OWN
from ltbv.data.resample import lost_classes, overlap
from ltbv.data.residence import described
from ltbv.engine.cost import check, most_runs
from ltbv.engine.device import choose, count
from ltbv.engine.parts import check_on_parts
from ltbv.engine.probe import check_on_features
from ltbv.errors import Refusal, unknown
from ltbv.harness.chunks import Chunk, cut, whole
from ltbv.harness.events import CommandBegun, CommandEnded, Event, Failed, Predicted, Tell
from ltbv.harness.executors import EXECUTORS
from ltbv.harness.fitting import too_large
from ltbv.harness.journal import Journal, Listener
from ltbv.harness.plan import Task, Training, even_stack_size, missing_tasks, recorded_stack_size, stack_size, stacks
from ltbv.harness.progress import Progress
from ltbv.harness.pulse import Pulse
from ltbv.harness.request import Means, Request
from ltbv.harness.study import Study, filled_in, made_with
from ltbv.harness.work import Order
from ltbv.methods import METHODS, find
from ltbv.methods.base import Method, Stage
from ltbv.methods.registry import hidden, is_importable
from ltbv.models.foreign import Foreign
from ltbv.store import Store
from ltbv.store.locks import Busy


@dataclass(frozen=True)
class Job:
    """A checked request and what is missing for it; nothing is written yet.

    recipes       `Study.recipe` by method key, and
    description   `Study.data`, for the directory
    tasks         what is missing from the directory (all of it under `force`)
    jobs          processes that are to do it
    """

    request: Request
    study: Study
    store: Store
    methods: dict[str, Method]
    device: str
    devices: int
    jobs: int
    recipes: dict[str, dict[str, Any]] = field(repr=False)
    description: dict[str, Any] = field(repr=False)
    test_labels: np.ndarray = field(repr=False)
    test_clusters: np.ndarray | None = field(repr=False)
    tasks: list[Task]
    pixels: str = ""

    @property
    def chunks(self) -> list[Chunk]:
        """The tasks as they are handed out: a stack each, or less where there are more processes than stacks."""
        stacks = whole(self.tasks)
        return cut(self.tasks) if self.jobs > len(stacks) else stacks

    @property
    def trainings(self) -> list[Training]:
        """Those of the tasks that are stages to be trained."""
        return [task for task in self.tasks if isinstance(task, Training)]

    @property
    def images(self) -> int:
        """Training images still to go through, runs and epochs counted."""
        return sum(training.images(self.study) for training in self.trainings)

    @cached_property
    def samples(self) -> np.ndarray:
        """Ids [R, n] of the images of every run."""
        return np.stack([self.study.sample(run) for run in range(self.request.runs)])

    def run(self, tell: Tell, listener: Listener | None = None) -> list[str]:
        """Open the directory and do what is missing; gives back one line for everything that failed.

        listener  is called with each record of `journal`, in the place of the file that was asked
        """
        if said := self.too_large():
            raise Refusal(said)
        failures: list[str] = []
        progress = self.progress()
        pulse = Pulse(self.store, progress.told, self.jobs)

        def listen(event: Event) -> None:
            if isinstance(event, Failed):
                failures.append(self.note(event))
            elif isinstance(event, Predicted):
                self.store.forget_failure(event.method, event.run)
            progress.hear(event)
            pulse.renew()
            journal.hear(event)
            tell(event)

        with Journal(self.store.path, listener or self.request.means.events, tell) as journal, self.opened():
            how = "stopped"
            try:
                journal.hear(self.begun())
                if self.tasks:
                    with pulse:
                        EXECUTORS[self.request.means.executor](self.chunks, self.order(), listen)
                how = "failed" if failures else "done"
            finally:
                journal.hear(CommandEnded(how, len(failures)))
        return failures

    def too_large(self) -> str:
        """One line where a step does not fit into the memory of this machine; GPUs say so themselves."""
        if self.device != "cpu" or self.request.means.executor == "ray":
            return ""
        return too_large(self.study, self.trainings, self.jobs, one_chunk=self.request.only is not None)

    def begun(self) -> CommandBegun:
        """What is told of this job when it begins."""
        methods = {}
        for method in self.methods.values():
            keys = {stage.name: self.study.stage_key(method, stage) for stage in method.needed()}
            methods[method.key] = {"label": method.title, "stages": keys}
        settings, means = self.study.settings.said(), self.request.means
        return CommandBegun(settings, methods, self.request.runs, self.jobs, means.executor, ltbv.__version__)

    def progress(self, clock: Callable[[], float] = time.time) -> Progress:
        """Nothing done yet."""
        return Progress(self.study, self.tasks, self.methods.values(), clock)

    def open(self) -> None:
        """Write what the directory holds beside runs."""
        with self.opened():
            pass

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """The same, one command at a time; in here nobody else discards anything of the study."""
        with contextlib.ExitStack() as stay:
            self._open(stay)
            yield

    def _open(self, stay: contextlib.ExitStack) -> None:
        force = self.request.means.force
        self.store.check(self.study.asked(), force=force)
        if not self.tasks and self.store.holds(self.recipes):
            return
        try:
            with self.store.opening():
                if force:
                    self.store.refuse_if_worked_on()
                stay.enter_context(self.store.driving(f"{', '.join(self.methods)}: {self.request.runs} runs"))
                self.store.sweep_opening()
                self.store.open(self.study.asked(), self.description, made_with(), force=force)
                for key, recipe in self.recipes.items():
                    self.store.open_method(key, recipe, force=force)
                if self.tasks or not self.store.runs_asked():
                    self.store.write_samples(self.samples)
                    self.store.write_test_labels(self.test_labels, self.test_clusters)
        except Refusal:
            self.store.leave_nothing()
            raise
        except Busy as busy:
            raise Refusal(f"{self.store.path} is being opened by {busy}; try again when it is done") from None

    def note(self, failed: Failed) -> str:
        """One line on a failure, which is kept for `status` too."""
        with contextlib.suppress(Refusal):  # a full disk may be the failure itself
            for method in failed.methods:
                for run in failed.runs:
                    self.store.note_failure(method, run, failed.why)
        everyone = len(failed.methods) > 1 and set(failed.methods) == {method.key for method in self.methods.values()}
        who = "all methods" if everyone else ", ".join(failed.methods)
        return f"{who}, run {', '.join(str(run) for run in failed.runs)}: {failed.why}"

    def order(self) -> Order:
        """What workers need to know."""
        means = self.request.means
        return Order(
            study=str(self.store.path),
            identity=self.store.identity,
            asked=self.request.settings.said(),
            methods={name: method.key for name, method in self.methods.items()},
            data_dir=str(means.data_dir) if means.data_dir else None,
            device=self.device,
            jobs=self.jobs,
            address=means.address,
            devices=self.devices,
            retries=means.retries,
            checkpoint_minutes=means.checkpoint_minutes,
            keep_logits=means.keep_logits,
            keep_expert_logits=means.keep_expert_logits,
        )

    def notes(self) -> list[str]:
        """What a reader of the results must know of the samples."""
        found, classes = [*self.study.notes], len(self.study.counts)
        asked, has, lowest = self.request.settings, self.study.entry.imbalance, self.study.settings.imbalance
        if asked.imbalance is None and lowest is not None and lowest < has and self.study.settings.profile != OWN:
            found.append(f"the imbalance is {lowest:g}, not {has:g}: more a head of {asked.head} does not allow")
        stages = sum(len(method.needed()) for method in self.methods.values())
        distinct = {self.study.stage_key(m, stage) for m in self.methods.values() for stage in m.needed()}
        if len(distinct) < stages:
            found.append(
                f"{len(self.methods)} methods stand on {stages} stages, {len(distinct)} of them different: what methods"
                " share is trained once"
            )
        looking = [method for method in self.methods.values() if method.development]
        if (number := self.study.settings.development) is not None and not looking:
            found.append(f"--development {number} changes nothing: none of these methods looks at development images")
        for name, values in hidden().items():
            if name in self.methods:
                found.append(f"method {name!r} is ltbv's own; that of another package is asked for as {values}")
        usual = stack_size(self.request.runs, self.study.protocol.stack)
        free = not self.request.means.stack and not self.request.only
        if self.tasks and free and (kept := recorded_stack_size(self.store) or usual) < usual:
            found.append(
                f"runs are trained in stacks of {kept}, as this study began, so that all round alike; --stack {usual}"
                " is faster, and mixes the two"
            )
        lost = [len(lost_classes(ids, classes)) for ids in self.samples]
        if any(lost):
            found.append(
                f"{sum(map(bool, lost))} of {len(lost)} runs have classes without images (up to {max(lost)}): "
                f"scheme {self.study.settings.scheme!r} draws the counts too"
            )
        if len(self.samples) > 1 and (share := overlap(self.samples, classes)).max() > 0.5:
            found.append(
                f"two runs share, in the mean of all pairs, up to {share.max():.0%} of a class's images (one of "
                f"{int(self.study.counts[share.argmax()]):,}; "
                f"{share.mean():.0%} on average): the variance reads too low in every split, and intervals of error and"
                " bias are widened for it; a smaller head shares less"
            )
        return found

    def summary(self) -> str:
        """One line on what the directory holds now."""
        done = {method.title: len(self.store.runs(method.key)) for method in self.methods.values()}
        each = (f"{label} {runs} run{'s' * (runs != 1)}" for label, runs in done.items())
        return f"{self.store.path}: {', '.join(each)}."


def _check_held_out(study: Study, stage: Stage, request: Request) -> None:
    """Refused now where the images do not suffice, or whole groups that are given up leave runs of other sizes."""
    runs = range(1 if study.entry.groups is None else request.runs)
    sizes = {len(study.held_out(run, stage.held)[0]) for run in runs}
    if len(sizes) > 1 and request.means.stack != 1:
        raise Refusal(
            f"stage {stage.name!r} holds out {stage.held} images a class, in whole groups, which leaves runs of"
            f" {min(sizes)} to {max(sizes)} images, and they cannot be trained side by side; give --stack 1"
        )


def prepare(request: Request) -> Job:
    """Check a request down to the data, so that what is wrong is said before anything is written."""
    means = request.means
    if means.executor not in EXECUTORS:
        raise unknown("executor", means.executor, EXECUTORS)
    if means.address and means.executor != "ray":
        raise Refusal(f"--address {means.address} is for --executor ray, and not for {means.executor}")
    methods = _methods(request.methods)
    if means.executor != "inline" and (here := [name for name in methods if not is_importable(name)]):
        cure = "put it into a file and give package.module:name, or take --executor inline"
        raise Refusal(f"method {here[0]!r} is known in this process only, and workers are other ones; {cure}")
    study = filled_in(request.settings)
    methods = {name: study.form(method) for name, method in methods.items()}
    device = choose(means.device)
    devices = count(device)
    for method in methods.values():
        check_on_features(method, study.protocol)
        check_on_parts(method, study.protocol, study.entry.name)
        for stage in method.stages:
            check(stage, study.protocol, study.entry.image_shape, study.entry.num_classes)
            if stage.held:
                _check_held_out(study, stage, request)
    study, dataset = study.load(means.data_dir)
    store = Store(request.store)
    recipes = {method.key: study.recipe(method, _place(method)) for method in methods.values()}
    store.check(study.asked(), force=means.force)
    for key, recipe in recipes.items():
        store.check_method(key, recipe, force=means.force)
    there = Store(request.store / "nothing") if means.force else store
    on_devices = devices * means.per_device if device.type == "cuda" else 0
    size = _stack(request, study, methods, on_devices, there)
    tasks = missing_tasks(study, there, methods, [request.only] if request.only else stacks(request.runs, size))
    if tasks and store.exists and not means.force and store.known_as() is None:
        raise store.too_old(study.asked(), *methods, runs=request.runs)
    return Job(
        request=request,
        study=study,
        store=store,
        methods=methods,
        device=str(device),
        devices=devices,
        jobs=_jobs(means, on_devices, tasks),
        recipes=recipes,
        description=study.data(dataset),
        test_labels=dataset.test.labels,
        test_clusters=dataset.clusters,
        tasks=tasks,
        pixels=described(dataset, int(study.counts.sum()), device),
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


def _stack(request: Request, study: Study, methods: dict[str, Method], on_devices: int, there: Store) -> int:
    """How many runs to train side by side: as asked, as the study began, as suits cores, or as suits the GPUs."""
    means, kept = request.means, recorded_stack_size(there)
    if means.stack or not on_devices or isinstance(study.protocol.backbone, Foreign):
        return means.stack or kept or stack_size(request.runs, study.protocol.stack)
    stages = {stage for method in methods.values() for stage in method.stages}
    largest = most_runs(stages, study.protocol, study.entry.image_shape, study.entry.num_classes)
    largest = max(1, largest // means.per_device)
    return min(kept, largest) if kept else even_stack_size(request.runs, largest, on_devices)


def _jobs(means: Means, on_devices: int, tasks: list[Task]) -> int:
    """As many processes as asked, or as the GPUs are to have, or as there are cores, but no more than have work."""
    if means.executor == "inline":
        return 1
    return min(means.jobs or on_devices or _cores(), len(cut(tasks)) or 1)


def _cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
