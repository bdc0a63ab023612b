"""What every method owes, whoever wrote it, on two data sets that differ in classes, channels, size and flipping.

A new method is tested here by being registered, without a test file of its own. What methods share is trained once, in
the studies that the tests share.
"""

import ast
import copy
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from tape import Recorder

import ltbv
from ltbv.data.dataset import Dataset, make_ids
from ltbv.engine.predict import predict
from ltbv.engine.replay import Replayed
from ltbv.files import read_arrays
from ltbv.harness.study import resolve
from ltbv.harness.trainer import Trainer
from ltbv.methods import METHODS
from ltbv.methods.base import Answer, Method, Objective
from ltbv.methods.routing import ROUTED
from ltbv.models.stack import run_state
from ltbv.store import Store

CPU = torch.device("cpu")
RUNS = (0, 1, 2)
VOCABULARY = (
    "ltbv.methods",
    "ltbv.methods.base",
    "ltbv.methods.objective",
    "ltbv.methods.published",
    "ltbv.methods.registry",
)


@pytest.fixture(params=METHODS.values(), ids=METHODS)
def method(request) -> Method:
    return request.param


@dataclass(frozen=True, eq=False)
class Bench:
    """One data set, and studies of it by name."""

    dataset: Dataset
    path: Path

    def shop(self, study: str, runs=RUNS, dtype=torch.float32, **asked) -> Trainer:
        """As a new process finds the study."""
        store = Store(self.path / study)
        return Trainer(resolve(self.dataset.name, **asked), store, self.dataset, runs, device=CPU, dtype=dtype)

    @cache  # noqa: B019  (a bench lives as long as this file's tests)
    def answer(self, method: Method, study: str = "study", runs=RUNS, dtype=torch.float32, seed: int = 0) -> Answer:
        """Of every run on the whole test set, in the precision of training."""
        return answer(self.shop(study, runs, dtype, seed=seed), method)


def answer(shop: Trainer, method: Method) -> Answer:
    network = shop.finished(method)
    with torch.no_grad():
        return shop.rule(method, network)(network, shop.test.block(slice(None), len(shop.runs)))


def as_bytes(found: Answer) -> tuple[bytes, ...]:
    return tuple(b"" if part is None else part.numpy().tobytes() for part in found)


@pytest.fixture(scope="module")
def benches(introduce, tiny, larger, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        introduce(patch)
        yield {dataset.name: Bench(dataset, tmp_path_factory.mktemp(dataset.name)) for dataset in (tiny, larger)}


@pytest.fixture(params=["tiny-lt", "larger-lt"])
def bench(request, benches) -> Bench:
    return benches[request.param]


@pytest.fixture
def small(benches) -> Bench:
    return benches["tiny-lt"]


# What it says


def test_answers_are_finite_and_of_the_right_shape(method, bench):
    logits, _, each = bench.answer(method)
    points, classes = len(bench.dataset.test.labels), bench.dataset.num_classes
    assert logits.shape == (3, points, classes) and logits.isfinite().all()
    assert not torch.equal(logits[0], logits[1]), "runs differ"
    assert len(torch.unique(logits[0], dim=0)) > points / 2, "images differ"
    if each is not None:
        torch.testing.assert_close(logits, each.mean(1), rtol=0, atol=0)
        assert each.shape[1] == method.stages[-1].net.experts > 1


def test_experts_asked_are_said_by_methods_that_choose_and_by_no_others(method, bench):
    used = bench.answer(method).experts_used
    assert (used is not None) == (method.predict is ROUTED) == method.stages[-1].net.chooses
    if used is not None:
        assert used.shape == (3, len(bench.dataset.test.labels)) and not used.is_floating_point()
        assert used.min() >= 1 and used.max() <= method.stages[-1].net.experts


def test_answers_in_blocks_are_those_at_once(method, bench):
    shop = bench.shop("study")
    network = shop.finished(method)
    logits, used, _ = predict(network, shop.test, shop.rule(method, network), block=11)
    at_once = bench.answer(method)
    assert logits.dtype == np.float32
    torch.testing.assert_close(torch.as_tensor(logits), at_once.logits, rtol=1e-4, atol=1e-4)
    assert (used is None) == (at_once.experts_used is None)
    assert used is None or (used == at_once.experts_used.numpy()).mean() > 0.97, "a score near nothing may turn"


# Again, elsewhere, interrupted


def test_stopped_after_every_stage_it_ends_with_the_same_bits(method, bench):
    """The same seed in another directory, each stage by another process: what was trained is what is read."""
    for stage in method.stages[:-1]:
        bench.shop("again").obtain(method, stage)
    trained, read = (answer(bench.shop("again"), method) for _ in range(2))
    assert as_bytes(trained) == as_bytes(read) == as_bytes(bench.answer(method))


def test_recorded_steps_answer_as_eager_ones(method, bench, monkeypatch):
    """As on a GPU, where a step is recorded once and repeated without Python."""
    made: list[Replayed] = []

    def drive(*arguments):
        made.append(Replayed(*arguments, record=Recorder()))
        return made[-1]

    monkeypatch.setattr("ltbv.engine.train.drive", drive)
    assert as_bytes(answer(bench.shop("recorded"), method)) == as_bytes(bench.answer(method))
    assert not any(drive.gave_up for drive in made)


def test_another_seed_gives_another_answer(method, small):
    ours, other = (small.answer(method, f"seed {seed}" if seed else "study", seed=seed).logits for seed in (0, 1))
    assert not any(torch.equal(one, two) for one, two in zip(ours, other, strict=True))


def test_a_stack_of_three_is_three_stacks_of_one(method, benches):
    """In float64: in float32 rounding grows through training, so equality would mean nothing there. The first run, and
    the other data set, under more that a study may ask: tests/methods/test_every_method.py."""
    bench = benches["larger-lt"]
    together = bench.answer(method, "three in float64", dtype=torch.float64)
    for place, run in list(enumerate(RUNS))[1:]:
        alone = bench.answer(method, "one in float64", (run,), torch.float64)
        torch.testing.assert_close(alone.logits[0], together.logits[place], rtol=1e-8, atol=1e-8)
        assert alone.experts_used is None or torch.equal(alone.experts_used[0], together.experts_used[place])


# The last epoch


@dataclass(frozen=True, eq=False)
class Watched(Objective):
    """An objective, and what the network looked like each time it was asked."""

    objective: Objective
    seen: list

    def __getattribute__(self, name):
        """What the objective has besides, hooks and draws, is its own."""
        watched = object.__getattribute__(self, "objective")
        return object.__getattribute__(self if name in ("objective", "seen", "__class__") else watched, name)

    def __call__(self, network, batches, given, now):
        before = copy.deepcopy(network.state_dict())
        loss = self.objective(network, batches, given, now)
        self.seen.append((now.epoch, now.epochs, before, copy.deepcopy(dict(network.named_buffers()))))
        return loss


def test_the_weights_after_the_last_step_of_the_last_epoch_are_used(method, small, tmp_path, monkeypatch):
    seen: list = []
    last = method.stages[-1]
    watched = replace(method, stages=(*method.stages[:-1], replace(last, objective=Watched(last.objective, seen))))
    monkeypatch.setattr("ltbv.harness.study.Study.stage_key", lambda study, method, stage: stage.name)
    shop = replace(small, path=tmp_path).shop("study", epochs=4)
    network = shop.obtain(watched, watched.stages[-1])
    epoch, epochs, before, buffers = seen[-1]
    assert epoch == epochs - 1 and {moment[1] for moment in seen} == {epochs}
    assert [moment[0] for moment in seen] == sorted(moment[0] for moment in seen)
    for name, tensor in network.named_buffers():
        assert torch.equal(tensor, buffers[name]), "statistics of the last step"
    late = set(last.learning) - set(last.first)  # what steps first has moved when the objective is asked
    learned = [name for name, p in network.named_parameters() if name.split(".")[0] in late]
    assert learned and not any(torch.equal(network.state_dict()[name], before[name]) for name in learned)
    for place, run in enumerate(RUNS):
        kept = read_arrays(shop.store.stage_file(last.name, run))
        assert len(kept["loss_by_epoch"]) == len(kept["accuracy_by_epoch"]) == epochs
        assert all((kept[name] == values).all() for name, values in run_state(network, place, 3).items())


def test_what_is_not_trained_is_what_the_stage_started_from(method, bench):
    shop = bench.shop("study")
    for stage in method.stages:
        if not stage.start:
            continue
        before = shop.obtain(method, method.stage(stage.start)).state_dict()
        after = shop.obtain(method, stage).state_dict()
        for name in after:
            part = name.split(".")[0]
            if part not in stage.learning and part not in stage.reset:
                assert torch.equal(before[name], after[name]), name


def test_every_part_that_learns_is_another_than_as_it_began(method, bench):
    """Weights of the last stage, read from its files, against those before its first step."""
    shop, last = bench.shop("study"), method.stages[-1]
    trained, fresh = (shop.obtain(method, last) for _ in range(2))
    shop.start(fresh, method, last)
    begun = fresh.state_dict()
    for name, parameter in trained.named_parameters():
        part = name.split(".")[0]
        moved = (parameter.detach() != begun[name]).reshape(len(parameter), -1).any(1)
        assert moved.all() if part in last.learning else not moved.any() or part in last.reset, name


# Hard luck


def test_a_class_that_the_resample_lost_harms_nothing(method, small, monkeypatch):
    lost = make_ids(np.repeat([0, 1, 3], [20, 8, 3]), np.arange(31))
    monkeypatch.setattr("ltbv.harness.study.Study.sample", lambda study, run: lost)
    assert answer(small.shop("lost"), method).logits.isfinite().all()


def test_a_last_batch_of_one_image_and_classes_of_one_image_harm_nothing(method, small, monkeypatch):
    few = make_ids([*[0] * 13, 1, 2, 3, 4], [*range(13), 0, 0, 0, 0])  # 17 images in batches of 16
    monkeypatch.setattr("ltbv.harness.study.Study.sample", lambda study, run: few)
    assert answer(small.shop("few"), method).logits.isfinite().all()


# Keys

KEYS = """
import json
from ltbv.harness.study import resolve
from ltbv.methods import METHODS
study = resolve()
keys = {k: [*(study.stage_key(m, s) for s in m.stages), study.recipe(m, 0)["key"]] for k, m in METHODS.items()}
print(json.dumps(keys))
"""


@pytest.fixture(scope="module")
def keys_elsewhere() -> dict[str, list[str]]:
    """Of stages and recipes, from a process with another hash seed."""
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", KEYS], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_keys_are_the_same_in_another_process_with_another_hash_seed(method, keys_elsewhere):
    study = resolve()
    here = [*(study.stage_key(method, stage) for stage in method.stages), study.recipe(method, 0)["key"]]
    assert keys_elsewhere[method.key] == here


def test_keys_of_recipes_differ():
    study = resolve()
    assert len({study.recipe(method, 0)["key"] for method in METHODS.values()}) == len(METHODS)


# Who knows methods


def test_neither_engine_nor_harness_knows_a_method_by_name():
    """No text that is a method's key, no import of a method's file."""
    files = [
        path for room in ("engine", "harness") for path in sorted((Path(ltbv.__file__).parent / room).rglob("*.py"))
    ]
    assert len(files) > 10
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant):
                assert node.value not in METHODS, f"{path.name}:{node.lineno} {node.value!r}"
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ltbv.methods"):
                assert node.module in VOCABULARY, f"{path.name}:{node.lineno}"
