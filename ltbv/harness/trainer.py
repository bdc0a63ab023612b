"""How is a chunk done? Its missing stages are trained as one stack, then every method's predictions are written.

Whatever is already in the store is taken, not made again; what is made twice after an interruption is made alike.
What the files of a stage hold is what predicts: where some runs of a stack were kept before, the kept weights go on,
not those that were trained again beside the missing ones.
"""

import contextlib
import platform
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ltbv.data.batches import Feed
from ltbv.data.dataset import Augmentation, Dataset
from ltbv.data.residence import testing_reader
from ltbv.data.undrawn import undrawn
from ltbv.data.views import Views
from ltbv.engine.cost import build
from ltbv.engine.device import precision
from ltbv.engine.predict import recorded, wants_logits
from ltbv.engine.ranks import check, team
from ltbv.engine.snapshot import Keeper
from ltbv.engine.terms import of_stage
from ltbv.engine.train import History, train
from ltbv.errors import Refusal, reason
from ltbv.files import Damaged, read_arrays, set_aside
from ltbv.guest import place
from ltbv.harness.blame import blamed
from ltbv.harness.chunks import Chunk
from ltbv.harness.events import (
    EpochEnded,
    Event,
    Failed,
    FoundDamaged,
    ImagesSeen,
    Predicted,
    StageBegun,
    StageEnded,
    Tell,
)
from ltbv.harness.leaving import is_leaving, leave_if_told
from ltbv.harness.study import Study
from ltbv.methods.base import Adapting, Method, Rule, Stage
from ltbv.methods.objective import called
from ltbv.models.experts import Experts
from ltbv.models.stack import draw_run, load_run_state, run_state
from ltbv.seeds import generator
from ltbv.store import Store, provenance


class Checkpoint(Keeper):
    """Keeps the snapshots of a stage in a file, one every so many seconds; a damaged one is not used.

    One that cannot be written costs no training: the log says so, and the next one may be. Where the process was told
    to end, the end of an epoch is the time, and `Leaving` what comes of it.
    """

    def __init__(self, store: Store, path: Path, seconds: float):
        self.store, self.path, self.seconds, self.last = store, path, seconds, time.monotonic()

    def load(self) -> dict[str, np.ndarray] | None:
        try:
            return read_arrays(self.path) if self.path.exists() else None
        except Damaged:
            return None

    def is_due(self) -> bool:
        return is_leaving() or time.monotonic() - self.last >= self.seconds

    def save(self, arrays: dict[str, np.ndarray]) -> None:
        self.store.must_be_there()
        try:
            self.store.write(self.path, arrays)
        except Refusal as refusal:
            print(f"no snapshot: {refusal}", flush=True)
        self.last = time.monotonic()
        leave_if_told()


def _nobody(event: Event) -> None:
    """Hears nothing."""


class Trainer:
    """Trains the stages of one stack of runs on a device, and predicts. `tell` hears of progress."""

    def __init__(
        self,
        study: Study,
        store: Store,
        dataset: Dataset,
        runs: tuple[int, ...],
        *,
        device: torch.device,
        tell: Tell = _nobody,
        dtype: torch.dtype = torch.float32,
        checkpoint_minutes: float = float("inf"),
        keep_logits: bool | None = None,
        keep_expert_logits: bool | None = None,
    ):
        self.checkpoint_minutes, self.keep_logits = checkpoint_minutes, keep_logits
        self.keep_expert_logits = keep_expert_logits if wants_logits(keep_logits, dataset.num_classes) else False
        self.study, self.store, self.dataset, self.runs, self.tell = study, store, dataset, runs, tell
        self.device, self.dtype = device, dtype
        self.team = team()
        self.setup = setup(runs, device, dtype) | ({"processes": self.team.world} if self.team else {})
        # Of a stage and run whose file was read or written: weights, a digest, and trained, a setup.
        self.kept: dict[tuple[str, int], dict[str, Any]] = {}
        self.feeds: dict[tuple[int, bool, Augmentation], Feed] = {}
        self.test = testing_reader(dataset, runs, device=device, dtype=dtype)

    def feed_of(self, stage: Stage) -> Feed:
        """The training images of a stage, and what is held out of them."""
        augmentation = of_stage(stage, self.study.protocol).augmentation
        known = stage.held, stage.with_held, augmentation
        if known not in self.feeds:
            parts = [[self.dataset.seen(ids, run) for ids in self._sample(run, stage)] for run in self.runs]
            if len(lengths := {len(ids) for ids, _ in parts}) > 1:
                raise Refusal(
                    f"stage {stage.name!r} holds out {stage.held} images a class, and scheme"
                    f" {self.study.settings.scheme!r} leaves runs of {min(lengths)} to {max(lengths)} images, which"
                    " cannot be trained side by side; give a smaller head, or --stack 1"
                )
            ids, held = (np.stack(part) for part in zip(*parts, strict=True))
            self.feeds[known] = Feed(
                self.dataset,
                ids,
                held,
                augmentation=augmentation,
                device=self.device,
                dtype=self.dtype,
                part=self.team.part if self.team else slice(None),
            )
        return self.feeds[known].lent()

    def _sample(self, run: int, stage: Stage) -> tuple[np.ndarray, np.ndarray]:
        if not stage.held:
            ids = self.study.sample(run)
            return ids, ids[:0]
        ids, held = self.study.held_out(run, stage.held)
        return (np.sort(np.concatenate([ids, held])) if stage.with_held else ids), held

    def write_missing(self, methods: Iterable[Method]) -> None:
        """Write the predictions that are missing. What a method's code raises costs that method and no other."""
        for method in methods:
            leave_if_told()
            if missing := self.store.missing(method.key, self.runs):
                try:
                    self.write_predictions(method, missing)
                except torch.OutOfMemoryError:  # of the stack, not of the method
                    raise
                except (Exception, SystemExit) as error:
                    traceback.print_exc()
                    self.fail(method, self.runs, blamed(error))

    def write_predictions(self, method: Method, missing: list[int]) -> None:
        """Obtain a method's networks and write what they say of the test set."""
        network = self.finished(method)
        recipe = self.store.recipe_of(method.key) or self.study.recipe(method, 0)
        last = self.study.stage_key(method, method.stages[-1])
        told = recorded(
            network,
            self.test,
            self.dataset.test.labels,
            self.rule(method, network),
            range(len(self.runs)),
            keep_logits=self.keep_logits,
            experts=self.keep_expert_logits,
            classes=self.dataset.num_classes,
        )
        for slot, run in enumerate(self.runs):
            fields, bad = told[slot]
            if bad:
                lost = self.lost(method, run)
                self.fail(method, [run], f"training diverged: {lost}logits of {bad} test images are not finite")
            elif run in missing:
                kept = self.kept.get((last, run), {})
                said = provenance.of_prediction(recipe, self.study.settings.seed, run) | {
                    "weights": {last: kept.get("weights")},
                    "trained": kept.get("trained"),
                    "predicted": self.setup,
                    **self.study.backbone_of(run),
                }
                self.store.write(self.store.prediction_file(method.key, run), provenance.sealed(fields, said))
                self.tell(Predicted(method.key, run))

    def lost(self, method: Method, run: int) -> str:
        """Where the loss of a run was no number first: stage, function and epoch; empty where it always was one."""
        for stage in method.needed():
            losses = self.kept.get((self.study.stage_key(method, stage), run), {}).get("losses", np.zeros(0))
            if (bad := np.flatnonzero(~np.isfinite(losses))).size:
                who, first = called(stage.objective), losses[bad[0]]
                said = f"in stage {stage.name!r} {who} is {first:g} from epoch {bad[0] + 1} of {len(losses)} on, and"
                return f"{said} "
        return ""

    def rule(self, method: Method, network: Experts) -> Rule:
        """How a method answers; one that adapts to the test images is shown them first, without labels, varied as the
        images that its last stage was trained on."""
        if not isinstance(method.predict, Adapting):
            return method.predict
        views = Views(
            self.dataset,
            self.study.counts,
            augmentation=of_stage(method.stages[-1], self.study.protocol).augmentation,
            seed=self.study.settings.seed,
            runs=self.runs,
            device=self.device,
            dtype=self.dtype,
        )
        with torch.no_grad(), precision(self.device, self.dtype), undrawn(f"the rule {place(method.predict)}"):
            return method.predict.rule(network, views)

    def finished(self, method: Method) -> Experts:
        """The network that predicts: of the last stage, changed as the method says."""
        network = self.obtain(method, method.stages[-1]).eval()
        if method.posthoc:
            with torch.no_grad(), undrawn(f"posthoc {place(method.posthoc)}"):
                method.posthoc(network, self.feed_of(method.stages[-1]))
        return network

    def obtain(self, method: Method, stage: Stage) -> Experts:
        """The network of a stage: from the store if it is there, else trained, and kept there.

        Whichever, the files are what it holds. Runs that diverged are kept too: trained again they would again.
        """
        key = self.study.stage_key(method, stage)
        network = self._built(stage)
        if self.store.has_stage(key, self.runs) and self.load(network, key):
            return network
        self.start(network, method, stage)
        given = tuple(self.obtain(method, method.stage(name)).eval().requires_grad_(False) for name in stage.given)
        keeper = Checkpoint(self.store, self.store.checkpoint_file(key, self.runs), self.checkpoint_minutes * 60)
        told, begun = (method.key, stage.name, self.runs, key), time.monotonic()
        self.tell(StageBegun(*told, self.study.epochs(stage), self.setup["device"]))
        if self.team:
            check(stage, network)
            self.team.said({"method": method.key, "stage": stage.name, "runs": self.runs})
        history = self._trained(method, stage, network, given, keeper)
        below = [self.study.stage_key(method, method.stage(name)) for name in stage.stands_on]
        for slot, run in enumerate(self.runs):
            if self.fill(network, key, run):
                continue
            curves = {"loss_by_epoch": history.losses[slot], "accuracy_by_epoch": history.accuracy[slot]}
            state = {**run_state(network, slot, len(self.runs)), **curves}
            said = {
                "stage": key,
                "run": run,
                "seed": self.study.settings.seed,
                "from": {one: self.kept.get((one, run), {}).get("weights") for one in below},
                "trained": self.setup,
            }
            self.store.write(self.store.stage_file(key, run), provenance.sealed(state, said))
            self.kept[key, run] = _kept(state, self.setup)
        keeper.path.unlink(missing_ok=True)
        self.tell(StageEnded(*told, time.monotonic() - begun))
        leave_if_told()
        return network

    def help_with(self, method: Method, stage: Stage) -> None:
        """Train a stage that another process of the team obtains, from its weights; nothing is kept."""
        given = tuple(self._built(method.stage(name)).eval().requires_grad_(False) for name in stage.given)
        self._trained(method, stage, self._built(stage), given, None)

    def _built(self, stage: Stage) -> Experts:
        """The network of a stage, without weights yet."""
        network = build(stage, self.study.protocol, len(self.runs), self.dataset.image_shape, self.dataset.num_classes)
        return network.to(self.device, self.dtype)

    def _trained(
        self, method: Method, stage: Stage, network: Experts, given: tuple[Experts, ...], keeper: Keeper | None
    ) -> History:
        """Train the network of a stage, with the team if there is one."""
        key = self.study.stage_key(method, stage)

        def after_epoch(epoch: int, epochs: int, losses: np.ndarray, accuracy: np.ndarray) -> None:
            of = method.key, stage.name, self.runs, key, epoch, epochs
            self.tell(EpochEnded(*of, tuple(losses.tolist()), tuple(accuracy.tolist())))

        with self.team.at_it() if self.team else contextlib.nullcontext():
            return train(
                stage,
                network,
                self.feed_of(stage),
                self.study.protocol,
                seed=self.study.settings.seed,
                runs=self.runs,
                draws=_draws(method, stage),
                groups=self.study.groups,
                given=given,
                report=lambda images: self.tell(ImagesSeen(images, key, self.runs)),
                after_epoch=after_epoch,
                keeper=self.team.begin((network, *given), keeper) if self.team else keeper,
                among=self.team,
            )

    def load(self, network: Experts, key: str) -> bool:
        """Fill a network from the files of its stage; False says to train again."""
        return all([self.fill(network, key, run) for run in self.runs])

    def fill(self, network: Experts, key: str, run: int) -> bool:
        """Fill one run of a network from its file. False: there is none, or it was damaged and is set aside now."""
        path, slot = self.store.stage_file(key, run), self.runs.index(run)
        if not path.exists():
            return False
        try:
            state = read_arrays(path)
            said = provenance.said(state) or {}
            if strange := provenance.stranger(said, {"stage": key, "run": run, "seed": self.study.settings.seed}):
                raise Refusal(f"{path} is another file than its name says ({strange}); move it away and try again")
            load_run_state(network, slot, len(self.runs), state)
        except (KeyError, RuntimeError, ValueError) as error:
            if isinstance(error, Refusal) and not isinstance(error, Damaged):
                raise
            self.tell(FoundDamaged(str(path), reason(error)))
            set_aside(path)
            return False
        self.kept[key, run] = _kept(state, said.get("trained"))
        return True

    def start(self, network: Experts, method: Method, stage: Stage) -> None:
        """Weights before the first step: an earlier stage's, with the `reset` parts drawn anew, or all drawn."""
        draws = [generator(self.study.settings.seed, run, "init", *_draws(method, stage)) for run in self.runs]
        for slot, own in enumerate(draws):
            draw_run(network, slot, len(self.runs), own)
        if stage.start:
            # What the earlier network has no part for (a router, scales) stays as drawn.
            network.load_state_dict(self.obtain(method, method.stage(stage.start)).state_dict(), strict=False)
            for slot, own in enumerate(draws):
                for name in stage.reset:
                    draw_run(getattr(network, name), slot, len(self.runs), own)

    def fail(self, method: Method, runs: Sequence[int], why: str) -> None:
        self.tell(Failed((method.key,), tuple(runs), why))


def _kept(state: Mapping[str, np.ndarray], trained: Any) -> dict[str, Any]:
    """What is remembered of the file of a stage and run: digest, setup, and losses by epoch, which old files lack."""
    found = {"weights": provenance.digest_of(state), "trained": trained}
    return found | ({"losses": state["loss_by_epoch"]} if "loss_by_epoch" in state else {})


def _draws(method: Method, stage: Stage) -> tuple[int, ...]:
    """What the random draws of a stage are keyed by."""
    return (method.depth(stage), *([stage.salt] if stage.salt else []))


def do_chunk(
    chunk: Chunk,
    study: Study,
    store: Store,
    dataset: Dataset,
    methods: dict[str, Method],
    device: torch.device,
    tell: Tell,
    *,
    checkpoint_minutes: float = float("inf"),
    keep_logits: bool | None = None,
    keep_expert_logits: bool | None = None,
) -> None:
    """Do one chunk, in whatever process: the only thing an executor has to call.

    What is there already is not made again. Its runs are held by whoever handed it out.
    """
    lacking = [methods[name] for name in chunk.methods if store.missing(methods[name].key, chunk.runs)]
    asked = [(methods[name], methods[name].stage(stage)) for name, stage in chunk.stages]
    stages = [one for one in asked if not store.has_stage(study.stage_key(*one), chunk.runs)]
    if not lacking and not stages:
        return
    store.must_be_there()
    with one_thread(device):
        trainer = Trainer(
            study,
            store,
            dataset,
            chunk.runs,
            device=device,
            tell=tell,
            checkpoint_minutes=checkpoint_minutes,
            keep_logits=keep_logits,
            keep_expert_logits=keep_expert_logits,
        )
        for method, stage in stages:
            trainer.obtain(method, stage)
        trainer.write_missing(lacking)


@contextlib.contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """On a CPU, one thread: sums of several threads round otherwise, and then a run would depend on who trains it."""
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def setup(runs: Sequence[int], device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """What rounding depends on, for `provenance`."""
    on_cpu = device.type == "cpu"
    return {
        "runs": list(runs),
        "threads": torch.get_num_threads() if on_cpu else None,
        "device": f"cpu {torch.backends.cpu.get_cpu_capability()}" if on_cpu else torch.cuda.get_device_name(device),
        "dtype": str(dtype).removeprefix("torch."),
        "versions": _versions(),
    }


@cache
def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in ("ltbv", "torch", "numpy")}}
