"""Sizes: parameters of the published networks, shapes of what goes out."""

import pytest
import torch

from ltbv.engine.protocol import CIFAR
from ltbv.models.experts import Net
from ltbv.models.resnet import Resnet

PUBLISHED = {
    "resnet32_C100": (Net(), 100),
    "resnet32_C10": (Net(), 10),
    "resnet32_norm_C100": (Net(head="cosine"), 100),
    "ride_resnet32_E2_C100": (Net(experts=2, head="cosine"), 100),
    "ride_resnet32_E3_C100": (Net(experts=3, head="cosine"), 100),
}


def parameters(net: Net, classes: int, runs: int = 1) -> int:
    with torch.device("meta"):
        network = net.build(CIFAR.backbone, runs=runs, channels=3, classes=classes)
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(golden, name):
    expected = golden("methods/flops_params")["models"][name]["params"]
    assert parameters(*PUBLISHED[name]) == expected
    assert parameters(*PUBLISHED[name], runs=3) == 3 * expected


def test_every_published_network_is_counted(golden):
    assert PUBLISHED.keys() == golden("methods/flops_params")["models"].keys()
    assert parameters(Net(), 100) == 470_004
    assert parameters(Net(experts=3, head="cosine"), 100) == 783_856


@pytest.mark.parametrize("blocks", [1, 3, 5, 9])
def test_depth_is_6n_plus_2(blocks):
    assert Resnet(blocks=blocks).depth == 6 * blocks + 2


@pytest.mark.parametrize(("experts", "features"), [(1, 12), (2, 9), (3, 9)])
@pytest.mark.parametrize("side", [8, 16, 9])
def test_shapes(experts, features, side):
    network = Net(experts=experts).build(Resnet(widths=(4, 8, 12), blocks=1), runs=2, channels=3, classes=5)
    output = network(torch.zeros(7, 2 * 3, side, side))
    assert output.logits.shape == (2, experts, 7, 5) and output.features.shape == (2, experts, 7, features)


def test_a_net_is_a_value():
    assert Net(experts=3) == Net(experts=3) != Net(experts=3, width=1.0)
    assert hash(Resnet()) == hash(Resnet())
