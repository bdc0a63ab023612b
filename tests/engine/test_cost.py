"""Parameters and multiply-adds, against those counted by the tool that the papers' tables were made with."""

from dataclasses import replace

import pytest

from ltbv.engine.cost import network_cost
from ltbv.engine.protocol import CIFAR
from ltbv.methods import METHODS
from ltbv.models.experts import Net


@pytest.mark.parametrize(
    ("name", "net", "classes"),
    [
        ("resnet32_C100", Net(), 100),
        ("resnet32_norm_C100", Net(head="cosine"), 100),
        ("ride_resnet32_E2_C100", Net(experts=2, head="cosine"), 100),
        ("ride_resnet32_E3_C100", Net(experts=3, head="cosine"), 100),
        ("resnet32_C10", Net(), 10),
    ],
)
def test_cost_is_that_of_the_authors_networks(golden, name, net, classes):
    published = golden("methods/flops_params")["models"][name]
    found = network_cost(replace(METHODS["ce"].stages[0], net=net), CIFAR, (32, 32, 3), classes)
    assert found["parameters"] == published["params"]
    assert found["macs"] == published["macs_conv_plus_linear"]
    assert found["macs_with_norm"] == published["macs_conv_plus_linear"] + published["bn_flops_2_per_elem"]
