"""Every method on every kind of pool: it is trained, or refused in a line before anything is done."""

import numpy as np
import pytest
from photographs import picture, save

from ltbv.data.images.sources import images
from ltbv.data.samplers import INSTANCE, Deferred, Smote
from ltbv.engine.protocol import CIFAR
from ltbv.errors import Refusal
from ltbv.harness.bootstrap import prepare
from ltbv.harness.request import Request
from ltbv.methods import METHODS
from ltbv.methods.base import Method, Stage
from ltbv.methods.baseline import CE

NETWORK = """
import torch

def small():
    layers = torch.nn.Conv2d(3, 4, 5, 4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    return torch.nn.Sequential(*layers, torch.nn.Linear(4, 9))
"""
ROOM = 2**28
BOXED = {"smote", "sade_tta", "sade_tta_forward", "sade_tta_backward"}  # that need whole images


@pytest.fixture
def asked(photographs, tmp_path, monkeypatch):
    """A request of one method on a pool; enough images of each class that ten can be held out."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "pool_networks.py").write_text(NETWORK)
    draw = np.random.default_rng(7)
    for name in ("ant", "bee", "cat 10"):
        for k in range(10):
            save(photographs / "train" / name / f"more {k}.png", picture(draw))

    def request(method, *, side, room, network):
        monkeypatch.setattr("ltbv.data.residence.IN_MEMORY", room)
        of = {"dataset": str(images(photographs, side=side).path), "network": network, "epochs": 1, "batch": 16}
        return Request.of([method], 1, tmp_path / f"{side}-{room}" / method, executor="inline", device="cpu", **of)

    return request


KINDS = {
    "on the device": {"side": 8, "room": ROOM, "network": ""},
    "streamed": {"side": 8, "room": 0, "network": ""},
    "in boxes": {"side": 80, "room": ROOM, "network": "pool_networks:small"},
    "in boxes, streamed": {"side": 80, "room": 0, "network": "pool_networks:small"},
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_method_trains_on_every_kind_of_pool_or_is_refused_at_once(kind, asked, tmp_path):
    refused = set()
    for method in METHODS:
        request = asked(method, **kind)
        try:
            job = prepare(request)
        except Refusal as refusal:
            assert "\n" not in str(refusal) and not request.store.exists()
            refused.add(method)
            continue
        assert job.run(lambda event: None) == [], method
        assert job.store.runs(method) == [0]
    assert refused == (
        BOXED | {key for key in METHODS if needs_another_network(METHODS[key])} if kind["network"] else set()
    )


def needs_another_network(method):
    """Wider or narrower ones, blocks, or maps, which the small foreign network has not."""
    nets = [stage.net for stage in method.stages]
    wide = any(net.factor(CIFAR.backbone) != 1 for net in nets)
    return method.key == "bbn" or wide or any(part.at == "maps" for net in nets for part in net.parts)


def test_whoever_needs_whole_images_is_refused_by_name_with_a_cure(asked):
    kind = KINDS["in boxes"]
    with pytest.raises(Refusal, match="method 'smote' seeks neighbours by their pixels, and images of photographs are"):
        prepare(asked("smote", **kind))
    with pytest.raises(Refusal, match="method 'sade_tta' looks at crops .* in boxes; give smaller images .--side 64.,"):
        prepare(asked("sade_tta", **kind))


@pytest.mark.parametrize("sampler", [Smote(), Deferred(INSTANCE, Smote(), at=0.5), Deferred(Smote(), INSTANCE, at=0.5)])
def test_a_sampler_that_becomes_such_a_one_is_refused_too(sampler, asked, monkeypatch):
    (stage,) = CE.stages
    mine = Method("late_smote", "late SMOTE", stages=(Stage("late", stage.objective, sampler=(sampler,)),))
    monkeypatch.setitem(METHODS, mine.key, mine)
    with pytest.raises(Refusal, match="method 'late_smote' seeks neighbours"):
        prepare(asked(mine.key, **KINDS["in boxes"]))
