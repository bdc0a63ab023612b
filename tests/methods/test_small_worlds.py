"""Methods of several networks and groups where there is little: two classes, an empty group, a run that lost one."""

import numpy as np
import pytest
import torch

from ltbv.data.dataset import make_ids
from ltbv.harness.study import Study, resolve
from ltbv.harness.trainer import Trainer
from ltbv.methods import METHODS
from ltbv.store import Store

KEYS = (
    "bbn",
    "lfme",
    "m2m",
    "oltr",
    "lade",
    "ib_focal",
    "cdt",
    "gcl_classifier",
    "los",
    "disalign",
    "sade_tta_backward",
)
ASKED = {
    "two classes": (2, {"head": 12, "imbalance": 4.0}),
    "two classes, one image": (2, {"head": 16, "imbalance": 16.0}),
    "none in the middle": (4, {"head": 30, "imbalance": 30.0, "profile": "step"}),
    "all alike": (3, {"head": 6, "imbalance": 1.0}),
}


def predictions(dataset, key: str, path, **asked) -> torch.Tensor:
    """Logits of three runs, after five epochs."""
    study = resolve(dataset.name, epochs=5, **asked)
    shop = Trainer(study, Store(path), dataset, (0, 1, 2), device=torch.device("cpu"))
    network = shop.finished(METHODS[key])
    with torch.no_grad():
        return shop.rule(METHODS[key], network)(network, shop.test.block(slice(None), 3)).logits


@pytest.fixture(params=ASKED)
def world(request, another_lt):
    classes, asked = ASKED[request.param]
    return request.param, another_lt(classes=classes), asked


@pytest.mark.parametrize("key", KEYS)
def test_it_is_trained_and_answers(key, world, tmp_path):
    name, dataset, asked = world
    sizes = [len(ids) for ids in resolve(dataset.name, **asked).groups.values()]
    assert sum(size > 0 for size in sizes) > 1 and (name != "none in the middle" or sizes[1] == 0)
    logits = predictions(dataset, key, tmp_path, **asked)
    assert logits.shape == (3, len(dataset.test.labels), dataset.num_classes) and logits.isfinite().all()
    assert not torch.equal(logits[0], logits[1])


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("there", [[0, 1], [0, 3, 4], [3, 4]])
def test_runs_that_lost_a_whole_group_are_trained_and_answer(key, there, tiny_lt, tmp_path, monkeypatch):
    groups = {name: ids.tolist() for name, ids in resolve("tiny-lt").groups.items()}
    assert groups == {"many": [0, 1], "medium": [2, 3], "few": [4]}
    sizes = np.array([9, 6, 4, 3, 1])[there]
    lost = make_ids(np.repeat(there, sizes), np.concatenate([np.arange(n) for n in sizes]))
    monkeypatch.setattr(Study, "sample", lambda study, run: lost)
    assert predictions(tiny_lt, key, tmp_path).isfinite().all()
