"""A network that is asked of some images at a time: the loss and the gradient of the whole batch."""

import copy
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from ltbv.engine.protocol import GLYPHS, changed
from ltbv.errors import Refusal
from ltbv.harness.keys import canonical
from ltbv.models.experts import Net
from ltbv.models.foreign import Foreign
from ltbv.models.parts import COSINE
from ltbv.models.resnet import Resnet
from ltbv.models.stack import draw_run, layers
from ltbv.seeds import generator
from ltbv.settings import Settings

SMALL = Resnet(widths=(4, 8, 8), blocks=1)
WEIGHTS = torch.tensor([1.0, 3.0, 9.0, 0.5, 2.0], dtype=torch.float64)


class Forgetful(nn.Module):
    """Somebody's network without a batch norm, which forgets at random."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.4))
        self.fc = nn.Linear(6, 2)

    def forward(self, x):
        return self.fc(self.body(x))


@dataclass(frozen=True)
class Somebodys(Foreign):
    source = "somebody"

    def whole(self):
        return Forgetful()


def built(net: Net, backbone, runs: int = 2):
    network = net.build(backbone, runs=runs, channels=3, classes=5, size=(8, 8)).double()
    for run in range(runs):
        draw_run(network, run, runs, generator(0, run, "init"))
    return network.train()


@pytest.fixture
def batch():
    draw = torch.Generator().manual_seed(0)
    return torch.randn(13, 6, 8, 8, generator=draw, dtype=torch.float64), torch.arange(26).reshape(2, 13) % 5


def weighted(logits, labels):
    """Whose denominator is that of all images: the sum of weights of a run's batch."""
    losses = nn.functional.cross_entropy(logits.mean(1).flatten(0, 1), labels.flatten(), reduction="none")
    weights = WEIGHTS[labels]
    return ((losses.reshape(labels.shape) * weights).sum(1) / weights.sum(1)).sum()


def trained(network, images, labels, ask):
    weighted(ask(images), labels).backward()
    return [parameter.grad for parameter in network.parameters()]


def buffers(network):
    return [buffer.clone() for buffer in network.buffers()]


def same(one, other, tolerance=1e-12):
    assert len(one) == len(other) > 0
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("size", [2, 4, 6, 12])
@pytest.mark.parametrize("net", [Net(), Net(experts=2, head=COSINE)], ids=["one", "experts"])
def test_without_batch_norm_it_is_the_gradient_of_the_whole_batch(batch, net, size):
    net = Net(experts=net.experts, head=net.head, width=1.0)
    (images, labels), networks = batch, [built(net, Somebodys("", "")) for _ in range(2)]
    for module in (module for network in networks for module in network.modules()):
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    networks[1].at_once = size
    same(*(trained(one, images, labels, lambda x, one=one: one(x).logits) for one in networks))


@pytest.mark.parametrize("backbone", [SMALL, Somebodys("", "")], ids=["batch norm", "dropout"])
@pytest.mark.parametrize("experts", [1, 2])
def test_gradients_norms_and_draws_are_those_of_asking_part_by_part(batch, backbone, experts):
    """Each part once as far as batch norm and dropout can tell, though it is asked twice."""
    (images, labels), net = batch, Net(experts=experts, width=1.0)
    one, other = (built(net, backbone) for _ in range(2))
    spans = [slice(0, 4), slice(4, 8), slice(8, 13)]  # a single image joins those before it
    expected = trained(one, images, labels, lambda x: torch.cat([one(x[span]).logits for span in spans], 2))
    other.at_once = 4
    same(expected, trained(other, images, labels, lambda x: other(x).logits))
    if buffers(one):
        same(buffers(one), buffers(other))
        assert not torch.equal(buffers(one)[0], buffers(built(net, backbone))[0])
    states = [[d.bit_generator.state for layer in layers(n) for d in getattr(layer, "draws", ())] for n in (one, other)]
    assert states[0] == states[1] and (backbone is SMALL or states[0])


def test_where_no_gradient_is_wanted_all_are_asked_at_once(batch):
    (images, _), network = batch, built(Net(), SMALL)
    twin = copy.deepcopy(network)
    network.at_once = 4
    with torch.no_grad():
        assert torch.equal(network(images).logits, twin(images).logits)


def test_one_batch_for_each_expert_is_split_alike(batch):
    (images, labels), net = batch, Net(experts=2, width=1.0)
    one, other = (built(net, Somebodys("", "")).eval() for _ in range(2))
    other.at_once = 5
    both = [images, images.flip(0)]
    same(*(trained(n, both, labels, lambda x, n=n: n(x).logits) for n in (one, other)))


def test_what_is_held_is_one_part_and_not_the_batch(batch):
    """Of what autograd keeps for the backward pass, in numbers."""
    (images, _), held = batch, []
    for size in (None, 4):
        network, kept = built(Net(), SMALL), []
        network.at_once = size
        with torch.autograd.graph.saved_tensors_hooks(lambda t, kept=kept: kept.append(t.numel()) or t, lambda t: t):
            said = network(images).logits
        held.append(sum(kept))
        assert said.requires_grad
    assert held[1] < held[0] / 10


def test_a_micro_batch_is_a_setting_of_the_study():
    found = changed(GLYPHS, Settings(micro_batch=8))
    assert found.micro_batch == 8 and canonical(found)["micro_batch"] == 8 and "micro_batch" not in canonical(GLYPHS)
    with pytest.raises(Refusal, match="micro_batch 1: at least 2"):
        changed(GLYPHS, Settings(micro_batch=1))
