"""Every method under what a study may ask: runs side by side are the runs by themselves, or one line refuses the method
before anything is done.

Of three runs, the first and the last by themselves; weights and answers after two epochs (what is deferred, or pasted
but at the start, has begun then), in float64. `REFUSED` is the whole of what is refused.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from ltbv.errors import Refusal
from ltbv.harness.bootstrap import prepare
from ltbv.harness.request import Request
from ltbv.harness.study import resolve
from ltbv.harness.trainer import Trainer
from ltbv.methods import METHODS
from ltbv.models.stack import run_state
from ltbv.store import Store

RUNS, CPU = (0, 1, 2), torch.device("cpu")
ALONE = (0, 2)
EXACT = {"rtol": 1e-8, "atol": 1e-8}
SHORT = {"epochs": 2, "head": 9, "imbalance": 4.5, "development": 2}
NETWORK = """
from torch import nn


def small():
    front = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
    return nn.Sequential(front, nn.Conv2d(4, 5, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(125, 7))
"""
ASKED = {
    "rand": {"augmentation": "rand"},
    "auto+cutout": {"augmentation": "auto+cutout"},
    "micro-batches": {"micro_batch": 5},
    "a network of one's own": {"dataset": "larger-lt", "network": "net_of_mine:small"},
    "features": {"dataset": "net.npz"},
}
SEVERAL = {"bbn", "ce_ensemble", "lfme", *(key for key in METHODS if key.startswith(("ride", "sade")))}
NARROWED = {"ce_wide", *(SEVERAL - {"bbn", "ce_ensemble", "lfme"})}
AHEAD = {"sam", "sam_drw", "imb_sam", "l2rw", "meta_weight_net", "meta_weight_net_noise"}
AHEAD |= {"jamal_ce", "jamal_focal", "jamal_ldam"}
REFUSED = {  # in which words, and which methods
    "rand": {},
    "auto+cutout": {},
    "micro-batches": {"looks from other weights .* leave out --micro-batch": AHEAD},
    "a network of one's own": {
        "times as wide": NARROWED,
        "has no blocks": {"bbn"},
        "gives features and no maps": {"oltr"},
    },
    "features": {
        "experts need layers of their own": SEVERAL,
        "its network is 1.33333 times as wide": {"ce_wide"},
        "it moves features": {"range_loss"},
        "it makes images": {"m2m"},
        "'attention' stands on maps": {"oltr"},
        "it pastes boxes of images": {"cutmix", "cmo", "cmo_drw"},
    },
}
EVERY = [(name, key) for name in ASKED for key in METHODS]


class Shop:
    """A study of three runs, side by side and by themselves; what methods share is trained once."""

    def __init__(self, asked: dict, path: Path):
        self.asked, self.path = asked, path
        self.study, self.images = resolve(**asked).load()
        self.stack, *self.alone = (self.trainer(runs) for runs in (RUNS, *((run,) for run in ALONE)))

    def trainer(self, runs: tuple[int, ...]) -> Trainer:
        store = Store(self.path / f"of {runs}")
        return Trainer(self.study, store, self.images, runs, device=CPU, dtype=torch.float64)

    def refusal(self, key: str, path: Path) -> str:
        """What `ltbv bootstrap` says of it, '' where nothing: one line, and nothing is written."""
        try:
            prepare(Request.of(methods=(key,), runs=len(RUNS), store=path, **self.asked))
        except Refusal as refusal:
            assert "\n" not in str(refusal)
            return str(refusal)
        finally:
            assert not path.exists()
        return ""


@pytest.fixture(scope="module")
def shops(tmp_path_factory, introduce):
    """By what is asked, each made when it is first asked for."""
    here, made = tmp_path_factory.mktemp("every"), {}
    (here / "net_of_mine.py").write_text(NETWORK)
    features(here / "net.npz")

    def shop(name: str) -> Shop:
        if name not in made:
            made[name] = Shop(SHORT | {"dataset": "tiny-lt"} | ASKED[name], here / name)
        return made[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(here)
        patch.chdir(here)
        introduce(patch)
        yield shop


def features(path: Path) -> None:
    """Five noisy classes of 6 numbers."""
    draw = np.random.default_rng(0)
    labels, test = np.repeat(np.arange(5), 20), np.repeat(np.arange(5), 4)
    rows, points = (draw.normal(size=(len(of), 6)) + of[:, None] for of in (labels, test))
    np.savez(path, train=rows, train_labels=labels, test=points, test_labels=test)


@torch.no_grad()
def answered(shop: Trainer, key: str) -> tuple[list[dict], tuple]:
    """Of each run the weights; and the answer to the test images."""
    method = METHODS[key]
    with torch.enable_grad():
        network = shop.finished(shop.study.form(method))
    images = shop.test.block(slice(None), len(shop.runs))
    states = [run_state(network, slot, len(shop.runs)) for slot in range(len(shop.runs))]
    return states, (*shop.rule(method, network)(network, images), network(images).logits)


@pytest.mark.parametrize(("name", "key"), EVERY, ids=["-".join(pair) for pair in EVERY])
def test_side_by_side_is_one_by_one_or_is_refused_beforehand(name, key, shops, tmp_path):
    shop = shops(name)
    said = shop.refusal(key, tmp_path / "study")
    if words := [words for words, keys in REFUSED[name].items() if key in keys]:
        assert re.search(words[0], said)
        return
    assert said == ""
    states, answers = answered(shop.stack, key)
    assert not torch.equal(answers[0][0], answers[0][1])
    for slot, alone in zip(ALONE, shop.alone, strict=True):
        (own,), said = answered(alone, key)
        for one, other in zip(answers, said, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                torch.testing.assert_close(one[slot], other[0], **EXACT)
        for part, values in own.items():
            np.testing.assert_allclose(states[slot][part], values, **EXACT, err_msg=part)
