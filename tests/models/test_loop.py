"""Networks from elsewhere in a stack: copies that draw, learn and randomise apart from each other."""

import pytest
import torch
from torch import nn

from ltbv.errors import Refusal
from ltbv.methods import METHODS
from ltbv.models.experts import Net
from ltbv.models.loop import Loop
from ltbv.models.stack import draw_run, load_run_state, run_state
from ltbv.models.vision import TorchvisionBackbone
from ltbv.seeds import generator


def foreign() -> nn.Module:
    """Somebody's network, with batch norm."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 6))


def forgetful() -> nn.Module:
    """Somebody's network, with dropout."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 40), nn.Dropout(0.5))


def build(make, copies: int = 3, runs: tuple[int, ...] = (0, 1, 2)) -> Loop:
    loop = Loop(copies, make)
    for place, run in enumerate(runs):
        draw_run(loop, place, copies, generator(0, run, "init"))
    return loop


def images(copies: int, channels: int) -> torch.Tensor:
    return torch.randn(5, copies * channels, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("channels", [1, 3])
def test_each_copy_sees_its_own_images_grey_ones_three_times_over(channels):
    loop = build(foreign).eval()
    x = images(3, channels)
    expected = []
    for copy, member in enumerate(loop.members):
        own = x[:, copy * channels : (copy + 1) * channels]
        expected.append(member(own.repeat(1, 3 // channels, 1, 1)))
    found = loop(x)
    assert found.shape == (3, 5, 6)
    assert torch.equal(found, torch.stack(expected))


def test_copies_draw_alike_in_a_stack_of_any_size():
    three = build(foreign)
    drawn = [run_state(build(foreign, 1, (run,)), 0, 1) for run in range(3)]
    for run in range(3):
        among = run_state(three, run, 3)
        assert among.keys() == drawn[run].keys()
        assert all(among[name].tobytes() == drawn[run][name].tobytes() for name in among)
    assert any((drawn[0][name] != drawn[1][name]).any() for name in drawn[0])


def test_drawing_a_copy_leaves_the_global_generator_alone():
    loop = Loop(1, foreign)
    before = torch.get_rng_state()
    loop.draw(0, generator(0, 0, "init"))
    assert torch.equal(before, torch.get_rng_state())


def test_the_state_of_a_run_goes_out_and_comes_in():
    loop, other = build(foreign), build(foreign, 2, (7, 8))
    loop.train()(images(3, 3))
    load_run_state(other, 1, 2, run_state(loop, 2, 3))
    x = images(3, 3)
    crossed = torch.cat([x[:, :3], x[:, 6:9]], 1)
    assert torch.equal(other.eval()(crossed)[1], loop.eval()(x)[2])


# FAULT: dropout and stochastic depth draw from torch's global generator, so mobilenet_v3_small and efficientnet_b0
# give other bytes each time, by worker and by neighbour.
def test_what_a_copy_forgets_depends_on_its_run_alone():
    """Dropout draws too: the same seed gives the same bytes, whatever was drawn elsewhere and whoever stands beside."""
    outputs = []
    for copies, runs, disturbance in ((2, (0, 1), 0), (2, (0, 1), 9), (1, (1,), 4)):
        loop = build(forgetful, copies, runs).train()
        torch.rand(disturbance)
        x = images(2, 3)
        outputs.append(torch.stack([loop(x[:, -3 * copies :])[-1] for _ in range(2)]))
    assert torch.equal(outputs[0], outputs[1]) and torch.equal(outputs[0], outputs[2])
    assert not torch.equal(outputs[0][0], outputs[0][1]), "every step forgets something else"


def test_taken_copies_say_what_they_say_in_the_stack():
    loop = build(foreign)
    x = images(3, 3)
    loop.train()(x)
    expected = loop.eval()(x)
    for copies in ([0], [2], [1, 0]):
        found = loop.take(copies)(x.unflatten(1, (3, -1))[:, copies].flatten(1, 2))
        torch.testing.assert_close(found, expected[copies])
    assert loop.copies == 3 and len(loop.members) == 3


# torchvision


def test_a_torchvision_network_is_a_backbone_without_its_last_layer():
    backbone = TorchvisionBackbone("resnet18")
    with torch.device("meta"):
        network = Net().build(backbone, runs=2, channels=1, classes=5)
        output = network(torch.zeros(3, 2, 32, 32))
    assert output.logits.shape == (2, 1, 3, 5) and output.features.shape == (2, 1, 3, 512)


def test_a_torchvision_network_that_does_not_exist_names_the_nearest():
    with pytest.raises(Refusal, match=r"'resnet81' \(did you mean 'resnet18'\?\)"):
        TorchvisionBackbone("resnet81")


def test_a_torchvision_network_has_one_width():
    with pytest.raises(Refusal, match=r"0.75.*Net\(width=1.0\)"):
        METHODS["ride"].stages[0].net.build(TorchvisionBackbone("resnet18"), runs=1, channels=3, classes=5)


# FAULT: IndexError instead of a refusal.
def test_a_torchvision_network_without_a_last_linear_layer_is_refused():
    with pytest.raises(Refusal, match="squeezenet1_0") as refusal:
        Net().build(TorchvisionBackbone("squeezenet1_0"), runs=1, channels=3, classes=5)
    assert "\n" not in str(refusal.value)
