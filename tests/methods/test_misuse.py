"""Parts that do not fit together are refused in one line, before any number is wrong."""

import pytest
import torch

from ltbv.data.batches import Batch
from ltbv.data.samplers import Smote
from ltbv.engine.optimise import Optimisers
from ltbv.engine.protocol import GLYPHS
from ltbv.errors import Refusal
from ltbv.losses import cross_entropy
from ltbv.methods import METHODS
from ltbv.methods.base import Loss, Moment, Stage, Sum
from ltbv.methods.decoupling import TauNorm
from ltbv.methods.logit_adjustment import Adjust
from ltbv.methods.router import Routing
from ltbv.methods.routing import ROUTED, RouterObjective
from ltbv.methods.vs_loss import VectorScaling
from ltbv.models.experts import Net
from ltbv.models.parts import COSINE, Part
from ltbv.models.resnet import Resnet
from ltbv.models.stack import Conv
from ltbv.optimisers import Optimiser


def network(**net):
    return Net(**net).build(Resnet(widths=(2, 2, 2), blocks=1), runs=1, channels=1, classes=3)


class OnlyMaps(Conv):
    """A branch that has maps, and no way from them to features."""

    def maps(self, x):
        return self(x)


class AtMaps(Part):
    name, at = "at_maps", "maps"

    def build(self, shape):
        return torch.nn.Identity()


class Lent(Resnet):
    def build_branch(self, copies, width_factor):
        return self.branch


def mapped(branch):
    backbone = Lent()
    object.__setattr__(backbone, "branch", branch)
    return Net(parts=(AtMaps(),)).build(backbone, runs=1, channels=1, classes=3)


BATCH = Batch(torch.zeros(2, 1, 8, 8), torch.zeros(1, 2, dtype=torch.int64))
NOW = Moment(0, 1, torch.ones(1, 3))
MOVED_BY_NOTHING = Stage("s", Loss(cross_entropy), own=(("heads", Optimiser(clip=1.0)),))


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda: TauNorm()(network(head=COSINE), None), "tau-norm .* these are cosine heads"),
        (lambda: ROUTED(network(experts=2), torch.zeros(1, 1, 8, 8)), "the network has none; give Net"),
        (lambda: Net(width=0.0), "a network 0.0 times as wide"),
        (lambda: Net(experts=2, parts=(Routing(-1),)), "a router that looks at -1 logits"),
        (lambda: RouterObjective()(network(experts=2), (BATCH,), (), NOW), "the network has none; give Net"),
        (lambda: Adjust()(network(head=COSINE), None), "logit adjustment .* give Net"),
        (lambda: Sum(()), "a sum of no objectives; give"),
        (lambda: Optimisers(MOVED_BY_NOTHING, network(), GLYPHS), "optimiser Optimiser.* says no rule; give SGD"),
        (lambda: mapped(OnlyMaps(1, 2, 2)), "gives features and no maps"),
        (lambda: Smote(neighbours=0), "SMOTE with 0 neighbours"),
    ],
)
def test_it_is_refused(use, words):
    with pytest.raises(Refusal, match=words) as refusal:
        use()
    assert "\n" not in str(refusal.value)


def test_vector_scaling_without_a_shift_is_finite_where_a_class_was_lost():
    logits = torch.zeros(2, 3, requires_grad=True)
    losses = VectorScaling(tau=0.0)(logits, torch.tensor([0, 1]), torch.tensor([4, 2, 0]))
    losses.sum().backward()
    assert losses.isfinite().all() and logits.grad.isfinite().all()


def test_every_method_says_where_it_comes_from_and_how_it_works():
    for method in METHODS.values():
        assert len(method.about) > 60 and method.summary, method.key
