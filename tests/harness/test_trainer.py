"""How a stage begins: weights of the run's own draws or an earlier stage's; and what is made of networks afterwards."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ltbv.engine.cost import build
from ltbv.harness.study import resolve
from ltbv.harness.trainer import Trainer
from ltbv.methods import METHODS
from ltbv.methods.base import Method
from ltbv.models.stack import draw_run, run_state
from ltbv.seeds import generator
from ltbv.store import Store


def shop(dataset, path, runs=(0, 1, 2), **asked) -> Trainer:
    return Trainer(resolve(dataset.name, **asked), Store(path), dataset, runs, device=torch.device("cpu"))


def begun(here: Trainer, method: Method, place: int = 0) -> list[dict[str, np.ndarray]]:
    """The weights of each run before the first step of a stage."""
    stage = method.stages[place]
    protocol, shape = here.study.protocol, here.dataset.image_shape
    network = build(stage, protocol, len(here.runs), shape, here.dataset.num_classes)
    here.start(network, method, stage)
    return [run_state(network, position, len(here.runs)) for position in range(len(here.runs))]


def equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)


@pytest.mark.parametrize("key", ["ce", "ride", "ce_ensemble"])
def test_a_first_stage_begins_with_the_draws_of_its_run(tiny_lt, tmp_path, key):
    """Whatever the stack; every run, every seed and nothing else begins otherwise."""
    ce = METHODS[key]
    weights = begun(shop(tiny_lt, tmp_path), ce)
    for run in range(3):
        alone = ce.stages[0].net.build(resolve("tiny-lt").protocol.backbone, runs=1, channels=2, classes=5)
        draw_run(alone, 0, 1, generator(0, run, "init", 0))
        assert equal(weights[run], run_state(alone, 0, 1))
    assert not equal(weights[0], weights[1]) and not equal(weights[1], weights[2])
    assert equal(begun(shop(tiny_lt, tmp_path, (2,)), ce)[0], weights[2])
    assert not equal(begun(shop(tiny_lt, tmp_path, seed=1), ce)[0], weights[0])


def test_methods_with_one_network_begin_alike(tiny_lt, tmp_path):
    """Their differences from cross-entropy are paired."""
    here = shop(tiny_lt, tmp_path)
    for key in ("focal", "cb_ce", "balanced_softmax", "class_balanced", "smote", "range_loss", "ce_drw"):
        assert all(map(equal, begun(here, METHODS[key]), begun(here, METHODS["ce"]))), key


def test_a_later_stage_begins_with_the_earlier_ones_weights_and_draws_of_its_own_for_what_is_reset(tiny_lt, tmp_path):
    here, crt = shop(tiny_lt, tmp_path), METHODS["crt"]
    trained = here.obtain(crt, crt.stages[0])
    earlier = [run_state(trained, run, 3) for run in range(3)]
    first, second = begun(here, crt, 0), begun(here, crt, 1)
    for run in range(3):
        for name, values in second[run].items():
            if name.startswith("heads"):
                assert not (values == earlier[run][name]).any() and not (values == first[run][name]).any()
            else:
                assert (values == earlier[run][name]).all()
    assert not (second[0]["heads.weight"] == second[1]["heads.weight"]).any()


def test_what_the_earlier_network_lacks_is_drawn(tiny_lt, tmp_path):
    here, routed = shop(tiny_lt, tmp_path), METHODS["ride_routed"]
    trained = here.obtain(routed, routed.stages[0])
    for run, weights in enumerate(begun(here, routed, 1)):
        earlier = run_state(trained, run, 3)
        assert {name for name in weights if name not in earlier} == {
            f"router.{layer}.{name}" for layer in ("hidden", "final") for name in ("weight", "bias")
        }
        assert all((weights[name] == values).all() for name, values in earlier.items())
        assert all(values.std() > 0 for name, values in weights.items() if name.endswith("hidden.weight"))


@pytest.mark.parametrize("key", ["tau_norm", "ncm", "logit_adjustment"])
def test_what_follows_training_changes_the_network_that_answers_and_no_file(tiny_lt, tmp_path, key):
    here, method = shop(tiny_lt, tmp_path), METHODS[key]
    plain = replace(method, posthoc=None)
    images = here.test.block(slice(None), 3)

    def logits(method: Method) -> torch.Tensor:
        return here.finished(method)(images).logits.detach()

    before = logits(plain)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*.npz")}
    changed = logits(method)
    assert files and files == {path: path.read_bytes() for path in tmp_path.rglob("*.npz")}
    assert not torch.equal(before, changed) and torch.equal(before, logits(plain))
