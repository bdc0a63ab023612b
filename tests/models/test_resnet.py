"""Are the residual networks for small images those of He et al. (2016), by their depth?"""

import pytest

from ltbv.engine.cost import network_cost
from ltbv.engine.protocol import CIFAR, changed, needed
from ltbv.errors import Refusal
from ltbv.harness.study import resolve
from ltbv.methods import METHODS
from ltbv.methods.base import Net
from ltbv.models.frozen import frozen
from ltbv.models.resnet import Resnet
from ltbv.models.vision import backbone
from ltbv.settings import Settings

# Of ten classes and images of 32 x 32, shortcuts without weights.
PARAMETERS = {
    "cifar:resnet20": 269_722,
    "cifar:resnet32": 464_154,
    "cifar:resnet44": 658_586,
    "cifar:resnet56": 853_018,
    "cifar:resnet110": 1_727_962,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_depth_has_the_parameters_of_the_paper(name):
    assert network_cost(Net(), backbone(name), (32, 32, 3), 10)["parameters"] == PARAMETERS[name]


def test_the_protocols_own_network_by_its_name_is_the_same_study():
    assert backbone("cifar:resnet32") == CIFAR.backbone
    named = Settings(network="cifar:resnet32", epochs=3)
    assert needed(CIFAR, named) == Settings(epochs=3) and changed(CIFAR, named) == changed(CIFAR, Settings(epochs=3))
    assert needed(CIFAR, Settings(network="cifar:resnet20")).network == "cifar:resnet20"


def test_a_study_of_another_depth_is_another_and_ride_has_it_too():
    usual, deeper = resolve(), resolve(network="cifar:resnet14")
    for key in ("ce", "ride"):
        stage = METHODS[key].stages[0]
        assert usual.stage_key(METHODS[key], stage) != deeper.stage_key(METHODS[key], stage)
        assert deeper.cost(METHODS[key])["macs"] > usual.cost(METHODS[key])["macs"]
    assert deeper.protocol.stack == usual.protocol.stack, "it is trained beside others, as the built-in one"


@pytest.mark.parametrize(
    ("depth", "others"), [("18", "14 20"), ("50", ""), ("7", "8 14"), ("0", "8 14"), ("x", "20 26")]
)
def test_a_depth_that_no_such_network_has_is_refused_with_its_neighbours(depth, others):
    if not others:
        assert backbone(f"cifar:resnet{depth}") == Resnet(widths=(16, 32, 64), blocks=8)
        return
    cure = " or ".join(f"cifar:resnet{other}" for other in others.split())
    with pytest.raises(Refusal, match=f"network 'cifar:resnet{depth}': .*; give {cure}$"):
        backbone(f"cifar:resnet{depth}")


def test_a_shape_is_no_frozen_backbone():
    with pytest.raises(Refusal, match="backbone 'cifar:resnet32' has no weights but drawn"):
        frozen("cifar:resnet32")
