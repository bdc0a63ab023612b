"""Random erasing: holes as timm draws them, noise that depends on nothing but the image, and all else as it was."""

import random

import numpy as np
import pytest
import torch

from ltbv.data.erasing import CHANCE, drawn_holes, erased
from ltbv.data.strong import Strong


def holes(n: int, size=(32, 32), seed: int = 0) -> Strong:
    found = drawn_holes(n, size, np.random.default_rng(seed))
    nothing = torch.zeros(n, 0)
    return Strong(nothing, nothing, **{name: torch.as_tensor(values) for name, values in found.items()})


def test_holes_are_distributed_as_timms(monkeypatch):
    timms = pytest.importorskip("timm.data.random_erasing")
    monkeypatch.setattr(timms, "random", random.Random(1))
    side, n, theirs = 40, 4000, []
    erase = timms.RandomErasing(probability=1.0, mode="const", device="cpu")
    for _ in range(n):
        gone = erase(torch.ones(1, side, side))[0] == 0
        rows, columns = gone.any(1).nonzero().flatten(), gone.any(0).nonzero().flatten()
        theirs.append([int(rows[0]), int(columns[0]), len(rows), len(columns)])
    ours = holes(4 * n, (side, side)).holes.numpy()
    there = ours[:, 2] > 0
    assert abs(there.mean() - CHANCE) < 5 * np.sqrt(CHANCE * (1 - CHANCE) / len(ours))
    assert (ours == ours.round()).all() and (ours[:, :2] + ours[:, 2:] <= side).all() and not ours[~there].any()
    columns, others = ([*of.T, of[:, 2] * of[:, 3], of[:, 3] / of[:, 2]] for of in (ours[there], np.array(theirs)))
    for column, other in zip(columns, others, strict=True):  # mean and spread, five standard errors
        assert abs(column.mean() - other.mean()) < 5 * np.sqrt(column.var() / len(column) + other.var() / len(other))
        assert abs(column.std() / other.std() - 1) < 0.1


def test_a_hole_is_noise_and_all_else_is_as_it_was():
    n, images = 400, torch.rand(400, 24, 20, 3, generator=torch.Generator().manual_seed(0))
    by = holes(n, (24, 20))
    found = erased(images, by)
    inside = torch.zeros(n, 24, 20, dtype=torch.bool)
    for own, (top, left, height, width) in zip(inside, by.holes.long().tolist(), strict=True):
        own[top : top + height, left : left + width] = True
    assert torch.equal(found[~inside], images[~inside])
    noise = found[inside].double()
    assert noise.isfinite().all() and abs(noise.mean()) < 5 / len(noise) ** 0.5 and abs(noise.std() - 1) < 0.02
    assert abs(np.corrcoef(noise.numpy().T) - np.eye(3)).max() < 0.05, "each channel has its own"
    assert not torch.equal(found, erased(images, by._replace(fills=by.fills.flip(0))))


def test_noise_is_the_same_alone_and_among_others():
    images, by = torch.rand(6, 8, 8, 1, dtype=torch.float64), holes(6, (8, 8), seed=2)
    assert (by.holes[:, 2] > 0).any()
    together = erased(images, by)
    for k in range(6):
        some = slice(k, k + 1)
        assert torch.equal(
            erased(images[some], Strong(*(None if of is None else of[some] for of in by))), together[some]
        )


def test_an_image_that_no_hole_fits_into_has_none():
    """Of one row, only a hole as high as the image is left, and of a single pixel that would be the whole image."""
    assert not holes(200, (1, 1)).holes.any()
