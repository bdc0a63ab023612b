"""Range loss against loops over pairs and classes, for batches with classes of none, one, two and many images."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ltbv.losses import cross_entropy
from ltbv.methods.base import Moment
from ltbv.methods.range_loss import RangeObjective, range_loss
from ltbv.models.experts import Output

BATCHES = {
    "mixed": [0, 0, 0, 0, 0, 2, 2, 3, 0, 2],
    "pairs and singles": [0, 0, 1, 2, 3, 3, 4],
    "one pair": [4, 1, 1, 0],
    "all alone": [0, 1, 2, 3, 4],
    "one class": [3, 3, 3, 3],
    "two of one class": [2, 2],
    "one image": [1],
}


def features(labels: list[int], seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(len(labels), 4, generator=draw, dtype=torch.float64) * 3


def plain(x: Tensor, labels: list[int], margin: float) -> float:
    """As the formulas say."""
    x = x.detach().numpy()
    directions = x / np.linalg.norm(x, axis=1, keepdims=True)
    harmonics, centres = [], []
    for k in sorted(set(labels)):
        own = directions[np.array(labels) == k]
        centres.append(own.mean(0))
        distances = sorted((((own[i] - own[j]) ** 2).sum() for i in range(len(own)) for j in range(i)), reverse=True)
        if len(distances) == 1:
            harmonics.append(distances[0])
        elif distances:
            harmonics.append(2 / (1 / distances[0] + 1 / distances[1]))
    nearest = min((((a - b) ** 2).sum() for i, a in enumerate(centres) for b in centres[:i]), default=math.inf)
    return (sum(harmonics) / len(harmonics) if harmonics else 0.0) + max(0.0, margin - nearest)


@pytest.mark.parametrize("margin", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("labels", BATCHES.values(), ids=BATCHES)
def test_is_that_of_the_loops(labels, margin):
    for seed in range(5):
        x = features(labels, seed)
        ours = range_loss(x, torch.tensor(labels), 5, margin)
        assert ours.item() == pytest.approx(plain(x, labels, margin), abs=1e-10)


def test_is_that_of_the_loops_in_random_batches():
    draw = np.random.default_rng(0)
    for seed in range(30):
        labels = draw.choice(8, size=draw.integers(1, 40), p=np.array([40, 20, 10, 5, 3, 2, 1, 0]) / 81).tolist()
        x = features(labels, seed)
        assert range_loss(x, torch.tensor(labels), 8).item() == pytest.approx(plain(x, labels, 1.0), abs=1e-10)


@pytest.mark.parametrize("labels", BATCHES.values(), ids=BATCHES)
def test_gradients(labels):
    x = features(labels).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: range_loss(x, torch.tensor(labels), 5), x)


@pytest.mark.parametrize("labels", BATCHES.values(), ids=BATCHES)
def test_gradients_are_finite_where_features_are_equal_or_nothing(labels):
    for start in (torch.ones(len(labels), 4), torch.zeros(len(labels), 4)):
        x = start.clone().requires_grad_()
        loss = range_loss(x, torch.tensor(labels), 5)
        loss.backward()
        assert loss.isfinite() and x.grad.isfinite().all()


def test_the_length_of_a_feature_vector_and_the_order_of_images_are_nothing():
    labels = torch.tensor(BATCHES["mixed"])
    x = features(BATCHES["mixed"])
    turned = torch.randperm(10, generator=torch.Generator().manual_seed(1))
    expected = range_loss(x, labels, 5)
    torch.testing.assert_close(range_loss(7 * x, labels, 5), expected)
    torch.testing.assert_close(range_loss(x[turned], labels[turned], 5), expected)


def test_mapped_over_runs_equals_one_by_one():
    x = torch.stack([features(BATCHES["mixed"], seed) for seed in range(3)])
    labels = torch.tensor([BATCHES["mixed"], [1] * 10, [0, 1, 2, 3, 4, 4, 3, 2, 1, 0]])
    mapped = torch.vmap(lambda x, y: range_loss(x, y, 5))(x, labels)
    torch.testing.assert_close(mapped, torch.stack([range_loss(a, b, 5) for a, b in zip(x, labels, strict=True)]))


def test_the_objective_adds_it_to_cross_entropy_for_each_expert():
    labels = torch.tensor(BATCHES["mixed"])
    draw = torch.Generator().manual_seed(3)
    logits, x = (torch.randn(2, 10, size, generator=draw, dtype=torch.float64) for size in (5, 4))
    counts = torch.tensor([9, 5, 3, 2, 1])
    ours = RangeObjective(weight=0.3, margin=2.0).of_run(Output(logits, x), labels, counts, Moment(0, 1, counts))
    expected = sum(
        cross_entropy(z, labels).mean().item() + 0.3 * plain(f, BATCHES["mixed"], 2.0)
        for z, f in zip(logits, x, strict=True)
    )
    assert ours.item() == pytest.approx(expected, abs=1e-10)
