"""What every method owes, whoever wrote it: a new method is tested here by being registered, without a test file."""

import copy
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from ltbv.harness.chunk import Workshop
from ltbv.harness.files import read_arrays
from ltbv.harness.store import Store
from ltbv.harness.study import resolve
from ltbv.methods import METHODS
from ltbv.methods.base import Method, Objective
from ltbv.models.stack import run_state

CPU = torch.device("cpu")
RUNS = (0, 1, 2)


@pytest.fixture(params=METHODS.values(), ids=METHODS)
def method(request) -> Method:
    return request.param


def workshop(dataset, path, runs=RUNS, dtype=torch.float32, **asked) -> Workshop:
    return Workshop(resolve("tiny-lt", **asked), Store(path), dataset, runs, device=CPU, dtype=dtype)


def logits(shop: Workshop, method: Method) -> torch.Tensor:
    """Of every run on the whole test set, [R, N, C], in the precision of training."""
    network = shop.finished(method)
    with torch.no_grad():
        return method.predict(network, shop.test.block(slice(None), len(shop.runs))).logits


def test_predictions_are_finite_and_of_the_right_shape(method, tiny_lt, tmp_path):
    found = logits(workshop(tiny_lt, tmp_path), method)
    assert found.shape == (3, len(tiny_lt.test.labels), 5) and found.isfinite().all()
    assert not torch.equal(found[0], found[1]), "runs differ"


def test_the_same_seed_gives_the_same_bits_and_another_does_not(method, tiny_lt, tmp_path):
    one, two = (logits(workshop(tiny_lt, tmp_path / name), method) for name in "ab")
    other = logits(workshop(tiny_lt, tmp_path / "c", seed=1), method)
    assert one.numpy().tobytes() == two.numpy().tobytes() and not torch.equal(one, other)


def test_a_stack_of_three_is_three_stacks_of_one(method, tiny_lt, tmp_path):
    """In float64: in float32 rounding grows through training, so equality would mean nothing there."""
    together = logits(workshop(tiny_lt, tmp_path / "three", dtype=torch.float64), method)
    for run in RUNS:
        alone = logits(workshop(tiny_lt, tmp_path / "one", runs=(run,), dtype=torch.float64), method)
        torch.testing.assert_close(alone[0], together[run], rtol=1e-8, atol=1e-8)


def test_a_stage_read_from_its_files_is_the_stage_that_was_trained(method, tiny_lt, tmp_path):
    trained, read = (logits(workshop(tiny_lt, tmp_path), method) for _ in range(2))
    assert trained.numpy().tobytes() == read.numpy().tobytes()


@dataclass(frozen=True, eq=False)
class Watched(Objective):
    """An objective, and what the network looked like each time it was asked."""

    objective: Objective
    seen: list

    def __call__(self, network, batches, given, now):
        before = copy.deepcopy(network.state_dict())
        loss = self.objective(network, batches, given, now)
        self.seen.append((now.epoch, now.epochs, before, copy.deepcopy(dict(network.named_buffers()))))
        return loss


def test_the_weights_after_the_last_step_of_the_last_epoch_are_used(method, tiny_lt, tmp_path, monkeypatch):
    seen: list = []
    last = method.stages[-1]
    watched = replace(method, stages=(*method.stages[:-1], replace(last, objective=Watched(last.objective, seen))))
    monkeypatch.setattr("ltbv.harness.study.Study.stage_key", lambda study, method, stage: stage.name)
    shop = workshop(tiny_lt, tmp_path, epochs=4)
    network = shop.obtain(watched, watched.stages[-1])
    epoch, epochs, before, buffers = seen[-1]
    assert epoch == epochs - 1 and {moment[1] for moment in seen} == {epochs}
    assert [moment[0] for moment in seen] == sorted(moment[0] for moment in seen)
    for name, tensor in network.named_buffers():
        assert torch.equal(tensor, buffers[name]), "statistics of the last step"
    learned = [name for name, p in network.named_parameters() if name.split(".")[0] in last.train]
    assert learned and not any(torch.equal(network.state_dict()[name], before[name]) for name in learned)
    for place, run in enumerate(RUNS):
        kept = read_arrays(shop.store.stage_file(last.name, run))
        assert len(kept["loss_by_epoch"]) == epochs
        assert all((kept[name] == values).all() for name, values in run_state(network, place, 3).items())


def test_what_is_not_trained_is_what_the_stage_started_from(method, tiny_lt, tmp_path):
    shop = workshop(tiny_lt, tmp_path)
    for stage in method.stages:
        if not stage.start:
            continue
        before = shop.obtain(method, method.stage(stage.start)).state_dict()
        after = shop.obtain(method, stage).state_dict()
        for name in after:
            part = name.split(".")[0]
            if part not in stage.train and part not in stage.reset:
                assert torch.equal(before[name], after[name]), name


def test_a_class_that_the_resample_lost_harms_nothing(method, tiny_lt, tmp_path, monkeypatch):
    from ltbv.data.dataset import make_ids

    lost = make_ids(np.repeat([0, 1, 3], [20, 8, 3]), np.arange(31))
    monkeypatch.setattr("ltbv.harness.study.Study.sample", lambda study, run: lost)
    assert logits(workshop(tiny_lt, tmp_path), method).isfinite().all()
