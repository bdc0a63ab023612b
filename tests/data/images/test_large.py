"""Images of more than 64 pixels: seen in parts, under protocols of their own, from wherever they lie."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ltbv.data.boxes import Boxes
from ltbv.data.dataset import Augmentation
from ltbv.data.images.recipe import seen_side
from ltbv.data.images.sources import images
from ltbv.engine.cost import build, network_cost
from ltbv.engine.optimise import Optimisers
from ltbv.engine.protocol import FAMILIES, LARGE, changed, needed, protocol_for
from ltbv.harness.keys import canonical
from ltbv.harness.study import resolve
from ltbv.harness.trainer import Trainer
from ltbv.methods import METHODS
from ltbv.models.experts import Net
from ltbv.models.resnet import Resnet
from ltbv.models.vision import backbone
from ltbv.optimisers import AdamW
from ltbv.schedules import value
from ltbv.settings import Settings
from ltbv.store import Store

CPU = torch.device("cpu")
MIXED = ("ce", "mixup", "cutmix")


def test_of_large_images_a_network_sees_seven_eighths():
    sides = (8, 32, 64, 65, 73, 74, 80, 256)
    assert [*map(seen_side, sides)] == [8, 32, 64, 64, 64, 64, 70, 224]


@pytest.fixture
def module(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(tmp_path))
    text = "import torch\ndef small():\n    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 5, 4), torch.nn.ReLU(),"
    (tmp_path / "large_networks.py").write_text(
        text + " torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 9))\n"
    )
    return "large_networks:small"


@pytest.mark.parametrize("augmentation", [None, "rand", "rand_m9+erasing", "auto+cutout"])
def test_a_study_of_large_images_is_the_same_from_memory_and_from_the_map(
    photographs, monkeypatch, tmp_path, module, augmentation
):
    pool = images(photographs, side=80)
    study, dataset = resolve(str(pool.path), network=module, epochs=2, batch=8, augmentation=augmentation).load()
    assert dataset.image_shape == study.entry.image_shape == (70, 70, 3)
    assert dataset.read(study.sample(0)).shape == (17, 80, 80, 3)
    assert pool.own_sizes and {*map(tuple, dataset.mapped.pixels.sizes.tolist())} == {(96, 80)}
    answers = []
    for name, room in (("held", 2**28), ("mapped", 0)):
        monkeypatch.setattr("ltbv.data.residence.IN_MEMORY", room)
        store = Store(tmp_path / name)
        trainer = Trainer(study, store, dataset, (0, 1), device=CPU)
        trainer.write_missing([METHODS[key] for key in MIXED])
        answers.append(np.stack([store.predictions(key, "logits") for key in MIXED]))
    np.testing.assert_array_equal(*answers)
    assert all(np.ptp(of) > 0 for of in answers[0])
    assert not (answers[0][0] == answers[0][1]).all()


def test_protocols_go_by_size_then_by_the_name_of_the_data_then_by_the_network():
    shape = (224, 224, 3)
    own, imagenet, places, naturalist = (
        protocol_for(shape, n) for n in ("mine", "imagenet-lt", "places-lt", "inaturalist2018")
    )
    assert isinstance(protocol_for((64, 64, 3), "imagenet-lt").backbone, Resnet)
    assert [str(one.backbone) for one in (own, imagenet, places)] == [
        "torchvision:resnet18@layer3",
        "torchvision:resnet50@layer3",
        "torchvision:resnet152@layer4",
    ]
    assert [(one.epochs, one.batch, one.weight_decay) for one in (imagenet, naturalist, places)] == [
        (100, 256, 2e-4),
        (100, 512, 2e-4),
        (30, 128, 4e-4),
    ]
    rates = [
        [value(one.learning_rate, epoch, one.epochs) for epoch in (0, 9, 60, 80)] for one in (imagenet, naturalist)
    ]
    np.testing.assert_allclose(rates, [[0.02, 0.1, 0.01, 0.001], [0.04, 0.2, 0.02, 0.002]])
    np.testing.assert_allclose(
        [value(places.learning_rate, e, 30) for e in (0, 9, 10, 19, 20)], [0.01] * 2 + [1e-3] * 2 + [1e-4]
    )
    assert imagenet.augmentation.boxes == Boxes(jitter=(0.4, 0.4, 0.4)) and naturalist.augmentation.boxes == Boxes()
    swin = protocol_for(shape, "imagenet-lt", "timm:swin_tiny_patch4_window7_224@layers.2")
    assert swin.optimiser == AdamW(clip=5.0) and swin.weight_decay == 0.2 and swin.batch == 1024
    assert max(value(swin.learning_rate, e, 300) for e in range(300)) <= 1e-3
    assert swin.augmentation == Augmentation(flip=True, boxes=Boxes(jitter=(0.4, 0.4, 0.4)), strong="rand_m9+erasing")
    assert swin.augmentation.parts == Boxes() and imagenet.augmentation.parts == imagenet.augmentation.boxes
    for name, said in (("rand_m9+erasing", swin.augmentation), ("crop_flip", imagenet.augmentation)):
        assert changed(swin, Settings(augmentation=name)).augmentation == said
    asked = Settings(augmentation="rand_m9+erasing")
    assert needed(swin, asked).augmentation is None and needed(own, asked).augmentation == "rand_m9+erasing"
    assert all(of().augmentation.boxes for of in (*LARGE.values(), *FAMILIES.values()))


def test_the_body_of_a_network_that_is_tuned_learns_at_its_own_rate(photographs, module):
    study = resolve(str(images(photographs, side=80).path), network=module)
    protocol, stage = replace(study.protocol, body_rate=0.1, learning_rate=0.01), METHODS["ce"].stages[0]
    network = build(stage, protocol, 1, (70, 70, 3), 3)
    made = Optimisers(stage, network, protocol)
    made.set_rates(lambda rate: value(rate, 0, 1))
    rates = {id(p): group["lr"] for one in made for group in one.param_groups for p in group["params"]}
    assert {rates[id(p)] for p in network.branches.parameters()} == {0.01 * 0.1}
    assert {rates[id(p)] for p in network.heads.parameters()} == {0.01}


def test_experts_on_places_are_as_wide_as_the_network_and_part_at_the_last_block():
    """SADE's 13.18 G: multiply-adds with norms of three experts, layer3 shared, all of full width; and RIDE on what is
    asked for in its place, which else would be narrowed and could not take weights."""
    shape = (224, 224, 3)
    places, own = (protocol_for(shape, name) for name in ("places-lt", "mine"))
    for key in ("ride", "sade"):
        net = METHODS[key].stages[0].net
        assert network_cost(net, places.backbone, shape, 365)["macs_with_norm"] == pytest.approx(13.1799e9, rel=1e-5)
    chosen = [changed(of, Settings(network="torchvision:resnet18@layer4")).backbone for of in (places, own)]
    ride, plain = METHODS["ride"].stages[0].net, backbone("torchvision:resnet18@layer4")
    for of, width in zip(chosen, (1.0, 0.75), strict=True):
        assert network_cost(ride, of, shape, 365) == network_cost(replace(ride, width=width), plain, shape, 365)
        assert network_cost(Net(), of, shape, 365) == network_cost(Net(), plain, shape, 365)
    assert canonical(chosen[0]) != canonical(chosen[1]) == canonical(plain), "what others are keeps its key"
