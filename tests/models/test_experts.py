"""Sizes of the published networks, shapes of what goes out; single experts, ensembles, and nets that are refused."""

import pytest
import torch
from torch import nn

from ltbv.engine.protocol import CIFAR
from ltbv.errors import Refusal
from ltbv.methods.decoupling import Scales
from ltbv.methods.router import Routing
from ltbv.models.experts import Experts, Net
from ltbv.models.loop import Loop
from ltbv.models.parts import COSINE
from ltbv.models.resnet import Resnet
from ltbv.models.stack import draw_run, load_run_state, run_state
from ltbv.seeds import generator

PUBLISHED = {
    "resnet32_C100": (Net(), 100),
    "resnet32_C10": (Net(), 10),
    "resnet32_norm_C100": (Net(head=COSINE), 100),
    "ride_resnet32_E2_C100": (Net(experts=2, head=COSINE), 100),
    "ride_resnet32_E3_C100": (Net(experts=3, head=COSINE), 100),
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
    assert parameters(Net(experts=3, head=COSINE), 100) == 783_856


@pytest.mark.parametrize(("experts", "features"), [(1, 12), (2, 9), (3, 9)])
@pytest.mark.parametrize("side", [8, 16, 9])
def test_shapes(experts, features, side):
    network = Net(experts=experts).build(Resnet(widths=(4, 8, 12), blocks=1), runs=2, channels=3, classes=5)
    output = network(torch.zeros(7, 2 * 3, side, side))
    assert output.logits.shape == (2, experts, 7, 5) and output.features.shape == (2, experts, 7, features)


def test_a_net_is_a_value():
    assert Net(experts=3) == Net(experts=3) != Net(experts=3, width=1.0)
    assert hash(Resnet()) == hash(Resnet())


# One expert of a stack

SMALL = Resnet(widths=(4, 8, 12), blocks=1)
FLOAT64 = {"rtol": 1e-10, "atol": 1e-10}
NETS = {
    "one": Net(),
    "cosine": Net(experts=3, head=COSINE),
    "scales": Net(experts=2, parts=(Scales(),)),
    "apart": Net(experts=3, apart=True),
    "routed": Net(experts=3, parts=(Routing(4),)),
}


def build(net: Net, runs: int = 2) -> Experts:
    """In float64, in evaluation mode, with running statistics and scales that matter."""
    network = net.build(SMALL, runs=runs, channels=3, classes=5).double()
    for run in range(runs):
        draw_run(network, run, runs, generator(0, run, "init"))
    if hasattr(network, "scales"):
        with torch.no_grad():
            network.scales.weight += torch.rand(network.scales.weight.shape, generator=torch.Generator().manual_seed(1))
    network.train()(images(runs))
    return network.eval()


def images(runs: int = 2) -> torch.Tensor:
    return torch.randn(6, runs * 3, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_an_expert_taken_out_says_what_it_says_in_the_stack(net):
    network = build(net)
    expected = network(images())
    for run in range(2):
        maps = network.stem_of(run)(images()[:, 3 * run : 3 * run + 3])
        for expert in range(net.experts):
            alone = network.expert_of(run, expert)(maps)
            torch.testing.assert_close(alone.logits[0, 0], expected.logits[run, expert], **FLOAT64)
            torch.testing.assert_close(alone.features[0, 0], expected.features[run, expert], **FLOAT64)


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_what_is_done_with_an_expert_taken_out_leaves_the_stack_as_it_was(net):
    network = build(net)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    modes = {name: module.training for name, module in network.named_modules()}
    stem, alone = network.stem_of(1).train(), network.expert_of(1, 0).train()
    alone(stem(images()[:, 3:]))
    with torch.no_grad():
        for tensor in (*stem.state_dict().values(), *alone.state_dict().values()):
            tensor.zero_()
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert modes == {name: module.training for name, module in network.named_modules()}
    assert all(parameter.requires_grad for parameter in network.parameters())


class Foreign:
    """A backbone of somebody's modules for branches, behind a stem that does nothing."""

    def build_shared(self, copies: int, channels: int) -> nn.Module:
        del copies, channels
        return nn.Identity()

    def build_branch(self, copies: int, width_factor: float) -> nn.Module:
        del width_factor
        return Loop(
            copies, lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 6))
        )

    def features(self, width_factor: float) -> int:
        del width_factor
        return 6


@pytest.mark.parametrize("net", [Net(experts=2), Net(experts=2, apart=True)], ids=["shared", "apart"])
def test_a_foreign_expert_taken_out_says_what_it_says_in_the_stack(net):
    network = net.build(Foreign(), runs=2, channels=3, classes=5).double()
    for run in range(2):
        draw_run(network, run, 2, generator(0, run, "init"))
    network.train()(images())
    expected = network.eval()(images())
    for run in range(2):
        maps = network.stem_of(run)(images()[:, 3 * run : 3 * run + 3])
        for expert in range(2):
            alone = network.expert_of(run, expert)(maps)
            torch.testing.assert_close(alone.logits[0, 0], expected.logits[run, expert], **FLOAT64)


def test_experts_apart_are_as_many_networks_of_their_own():
    """An ensemble of three is three plain networks that hold the same weights, in training and afterwards."""
    network = build(Net(experts=3, width=1.0, apart=True)).train()
    plain = [Net().build(SMALL, runs=1, channels=3, classes=5).double() for _ in range(6)]
    for run in range(2):
        state = run_state(network, run, 2)
        for expert in range(3):
            own = {name: values[expert : expert + 1] for name, values in state.items()}
            load_run_state(plain[3 * run + expert], 0, 1, own)
    for mode in (True, False):
        together = network.train(mode)(images())
        for k, one in enumerate(plain):
            run, expert = divmod(k, 3)
            alone = one.train(mode)(images()[:, 3 * run : 3 * run + 3])
            torch.testing.assert_close(alone.logits[0, 0], together.logits[run, expert], **FLOAT64)
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for one in plain for p in one.parameters())
    weights = network.stem[0][0].weight.detach()
    assert len(torch.unique(weights, dim=0)) == 6, "each begins as another network"


# What a net may be


def test_a_net_has_the_parts_that_it_says():
    assert Net().names == ("stem", "branches", "heads")
    assert Net(experts=2, parts=(Scales(), Routing(3))).names == ("stem", "branches", "heads", "scales", "router")
    for net in NETS.values():
        network = net.build(SMALL, runs=1, channels=3, classes=5)
        assert {name.split(".")[0] for name, _ in network.named_parameters()} == set(net.names)


def test_experts_are_three_quarters_as_wide_unless_said_otherwise():
    nets = Net(), Net(experts=2), Net(experts=3, width=1.0)
    assert [net.factor(SMALL) for net in nets] == [1.0, 0.75, 1.0]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"experts": 0}, "a network of 0 experts; give 1 or more"),
        ({"experts": -1}, "-1 experts"),
        ({"head": "cosine"}, "a network with the head 'cosine'; give a Head of models.parts: LINEAR, COSINE"),
        ({"parts": (Routing(30),)}, r"a part chooses among experts, and there is one; give Net\(experts=2\)"),
        ({"parts": ("scales",)}, "a network with the part 'scales'; give a Part that stands at one of"),
        ({"parts": (Scales(), Scales())}, "two parts of one name: stem, branches, heads, scales, scales"),
    ],
)
def test_a_net_that_makes_no_sense_is_refused(wrong, words):
    with pytest.raises(Refusal, match=words) as refusal:
        Net(**wrong)
    assert "\n" not in str(refusal.value)


# Blocks of an expert's own


@pytest.mark.parametrize(("blocks", "shared"), [(1, 5), (2, 4), (3, 3), (6, 0)])
def test_experts_may_have_the_last_blocks_only_for_themselves(blocks, shared):
    backbone = Resnet(widths=(4, 8, 12), blocks=2)
    network = Net(experts=2, width=1.0, own_blocks=blocks).build(backbone, runs=1, channels=3, classes=5)
    assert len(network.stem) == 1 + shared and len(network.branches) == blocks
    assert network(torch.zeros(7, 3, 8, 8)).features.shape == (1, 2, 7, 12)


def test_where_the_backbone_parts_them_may_be_said_in_blocks():
    backbone = Resnet(widths=(4, 8, 12), blocks=2)
    said, unsaid = (Net(experts=3, own_blocks=own).build(backbone, runs=2, channels=3, classes=5) for own in (4, None))
    shapes = [{name: tensor.shape for name, tensor in one.state_dict().items()} for one in (said, unsaid)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(("blocks", "words"), [(0, "0 blocks of their own, of 6 in"), (7, "7 blocks of their own")])
def test_experts_with_more_blocks_than_there_are_or_none_are_refused(blocks, words):
    with pytest.raises(Refusal, match=words):
        Net(experts=2, own_blocks=blocks).build(Resnet((4, 8, 12), 2), runs=1, channels=3, classes=5)


def test_a_backbone_without_blocks_cannot_be_parted_by_them():
    with pytest.raises(Refusal, match="has no blocks, of which each expert is to have 1; take a Resnet"):
        Net(experts=2, own_blocks=1).build(Whole(), runs=1, channels=3, classes=5)


class Whole:
    """A backbone in one piece."""

    def build_shared(self, copies, channels):
        return nn.Identity()

    def build_branch(self, copies, width_factor):
        return nn.Identity()

    def features(self, width_factor):
        return 3

    def map_size(self, size):
        return None
