"""GCL against the authors' values with the noise given; where the noise comes from; classes that are alike or lost."""

import pytest
import torch
from torch import nn

from ltbv.data.batches import Batch
from ltbv.data.draws import normal, spread, symmetric_beta
from ltbv.errors import Refusal
from ltbv.losses import cross_entropy
from ltbv.methods import METHODS
from ltbv.methods.base import Loss, Moment, Net
from ltbv.methods.gcl import Clouded, class_clouds, clouded
from ltbv.methods.mixup import Mixup
from ltbv.methods.partnered import Partnered
from ltbv.models.experts import Experts
from ltbv.models.parts import COSINE, LINEAR, Shape

EXACT = {"rtol": 1e-9, "atol": 1e-9}


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("case", [0, 1])
def test_is_the_authors(golden, case):
    of = golden("methods/gcl")["cases"][case]
    cosines = tensor(of["cosines"]).requires_grad_()
    labels, counts = torch.tensor(of["labels"]), torch.tensor(of["counts"])
    torch.testing.assert_close(class_clouds(counts), tensor(of["class_scales"]), **EXACT)
    chosen = {"scale": of["s"], "share": of["noise_mul"], "margin": of["m"], "gamma": of["gamma"]}
    loss = clouded(cosines, labels, counts, tensor(of["noise"]), **chosen).mean()
    torch.testing.assert_close(loss, tensor(of["loss"]), **EXACT)
    loss.backward()
    torch.testing.assert_close(cosines.grad, tensor(of["gradient"]), **EXACT)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([7, 7, 7], [0, 0, 0]), ([100, 0, 10], [0, 1, 1]), ([100, 10, 1, 0], [0, 0.5, 1, 1]), ([0, 5], [0, 0])],
)
def test_clouds_of_classes_that_are_alike_or_lost(counts, expected):
    assert class_clouds(torch.tensor(counts)).tolist() == pytest.approx(expected)
    assert torch.vmap(class_clouds)(torch.tensor([counts, counts]))[1].tolist() == pytest.approx(expected)


def network(head=COSINE, runs=2, classes=3):
    """Features are the images themselves, [B, R*4, 1, 1]."""

    class Vectors(nn.Module):
        def forward(self, maps):
            return maps.flatten(1).unflatten(1, (runs, -1)).movedim(1, 0)

    built = Experts(runs, 1, nn.Identity(), Vectors(), head.build(Shape(runs, 1, 4, classes))).double()
    with torch.no_grad():
        built.heads.weight.copy_(torch.randn(1, classes, 4, generator=torch.Generator().manual_seed(1)))
    return built


def test_the_noise_is_of_each_image_and_class_and_of_what_the_image_brought():
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(6, 4, 1, 1, generator=draw, dtype=torch.float64).repeat(1, 2, 1, 1)
    labels, counts = torch.tensor([[0, 0, 1, 2, 0, 1]] * 2), torch.tensor([[50, 9, 3]] * 2)
    draws = torch.rand(2, 6, 1, generator=draw, dtype=torch.float64)
    built, now = network(), Moment(0, 1, counts)
    assert Clouded.draws == 1

    def losses(draws):
        return Clouded()(built, (Batch(images, labels, draws=draws),), (), now).losses

    first = losses(draws)
    assert torch.equal(first, losses(draws)) and first[0] != first[1], "runs have the same images and other noise"
    cosines = built(images).logits[0, 0] / 30
    noise = (normal(spread(draws[0, :, 0], 3)) / 3).clamp(-1, 1)
    assert len(noise.unique()) == 18
    expected = clouded(cosines, labels[0], counts[0], noise).mean()
    torch.testing.assert_close(first[0], expected, **EXACT)
    moved = draws.clone()
    moved[1] = 0.5
    assert losses(moved)[0] == first[0] != losses(moved)[1]


def test_of_images_with_a_partner_each_label_counts_by_its_share_and_has_noise_of_its_own():
    (stage,) = METHODS["gcl"].stages
    assert stage.objective == Partnered(Clouded(), Mixup()) and stage.objective.draws == 1 + 2 + 2
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(6, 8, 1, 1, generator=draw, dtype=torch.float64)
    labels, counts = torch.tensor([[0, 0, 1, 2, 0, 1], [1, 2, 0, 0, 2, 1]]), torch.tensor([[50, 9, 3], [3, 9, 50]])
    draws = torch.rand(2, 6, 5, generator=draw, dtype=torch.float64)
    built = network()
    found = stage.objective(built, (Batch(images, labels, draws=draws),), (), Moment(0, 1, counts))
    for run in range(2):
        own, places = images[:, 4 * run : 4 * run + 4], draws[run, :, 0].argsort()
        lam = symmetric_beta(draws[run, 0, 1], draws[run, 0, 2], 1.0)
        cosines = built((lam * own + (1 - lam) * own[places]).repeat(1, 2, 1, 1)).logits[run, 0] / 30
        noise = [(normal(spread(draws[run, :, k], 3)) / 3).clamp(-1, 1) for k in (3, 4)]
        assert (noise[0] != noise[1]).all()
        first, second = (
            clouded(cosines, of, counts[run], e).mean()
            for of, e in zip((labels[run], labels[run][places]), noise, strict=True)
        )
        torch.testing.assert_close(found.losses[run], lam * first + (1 - lam) * second, **EXACT)
        assert abs(first - second) > 1e-3 and 0.1 < lam < 0.9


def test_a_loss_with_draws_that_it_would_not_look_at_is_refused():
    class Drawing(Loss):
        draws = 1

    with pytest.raises(Refusal, match="Drawing has `draws`, which an objective of partners does not ask"):
        Partnered(Drawing(cross_entropy), Mixup())


def test_other_heads_are_refused():
    batch = Batch(torch.zeros(2, 8, 1, 1).double(), torch.tensor([[0, 1]] * 2), draws=torch.rand(2, 2, 1))
    with pytest.raises(Refusal, match=r"clouds are around cosines.*Net\(head=COSINE\)"):
        Clouded()(network(LINEAR), (batch,), (), Moment(0, 1, torch.tensor([[5, 2, 1]] * 2)))
    assert Net(head=COSINE).head.scale == 30
