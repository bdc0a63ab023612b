"""The exact test against a brute force over all 2^R ways to swap."""

import sys
from itertools import product

import numpy as np
import pytest
from brute_force import SPLITS, group_means, study

from ltbv import stats
from ltbv.errors import Refusal


def arms(runs, shift, seed=0):
    reference, labels = study(runs, 3, seed=seed)
    better = np.random.default_rng(seed + 1).random(reference.shape) < shift
    return np.where(better, labels, reference), reference, labels


def by_definition(one, other, labels):
    values = [stats.zero_one(votes, labels) for votes in (one, other)]
    return np.array(
        [
            [
                group_means(getattr(values[0], field) - getattr(values[1], field), labels, SPLITS)[group]
                for field in ("error", "bias", "variance_mid")
            ]
            for group in SPLITS
        ]
    ).ravel()


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_all_ways(shift):
    method, reference, labels = arms(9, shift)
    reference = np.roll(reference, 1, axis=0) if shift == 0 else reference
    ours = stats.sign_flip(stats.Record(method, labels), stats.Record(reference, labels), SPLITS)
    observed = by_definition(method, reference, labels)
    ways = np.array(
        [
            by_definition(np.where(flip, reference, method), np.where(flip, method, reference), labels)
            for flip in (np.array(bits, bool)[:, None] for bits in product([0, 1], repeat=9))
        ]
    )
    expected = (np.abs(ways) >= np.abs(observed) - 1e-12).mean(0)
    np.testing.assert_allclose([row.difference for row in ours], observed, atol=1e-12)
    np.testing.assert_allclose([row.p for row in ours], expected, atol=1e-12)
    assert all(row.exact and row.arrangements == 512 for row in ours)


def test_smallest_p_and_holm():
    labels = np.repeat(np.arange(6), 3)
    method = np.repeat(labels[None], 10, 0)
    reference = (method + (np.random.default_rng(0).random(method.shape) < 0.7)) % 6
    rows = stats.sign_flip(stats.Record(method, labels), stats.Record(reference, labels), SPLITS | {"none": [8]})
    rows = {(row.group, row.quantity): row for row in rows}
    assert rows["few", "error"].p == 2 / 2**10
    nine = [(group, quantity) for group in ("many", "medium", "few") for quantity in ("error", "bias", "variance")]
    np.testing.assert_allclose([rows[key].p_holm for key in nine], stats.holm([rows[key].p for key in nine]))
    assert np.isnan(rows["all", "error"].p_holm)
    assert np.isnan(rows["none", "error"].p) and np.isnan(rows["none", "error"].difference)


def test_more_runs_are_drawn_with_a_seed(monkeypatch):
    monkeypatch.setattr(sys.modules["ltbv.stats.sign_flip"], "DRAWN", 199)  # the package shows the function only
    method, reference, labels = arms(17, 0.6)
    first, same, other = (
        stats.sign_flip(stats.Record(method, labels), stats.Record(reference, labels), SPLITS, seed=seed)
        for seed in (0, 0, 1)
    )
    assert repr(first) == repr(same) and repr(first) != repr(other)
    assert all(row.arrangements == 200 and not row.exact for row in first)
    assert min(row.p for row in first) == 1 / 200


def test_swapping_the_methods_changes_the_sign_alone():
    method, reference, labels = arms(9, 0.2)
    one, other = (
        stats.sign_flip(stats.Record(method, labels), stats.Record(reference, labels), SPLITS),
        stats.sign_flip(stats.Record(reference, labels), stats.Record(method, labels), SPLITS),
    )
    np.testing.assert_allclose([row.difference for row in one], [-row.difference for row in other])
    np.testing.assert_allclose([row.p for row in one], [row.p for row in other])


def test_blocks_change_nothing(monkeypatch):
    method, reference, labels = arms(9, 0.2)
    whole = stats.sign_flip(stats.Record(method, labels), stats.Record(reference, labels), SPLITS)
    monkeypatch.setattr("ltbv.stats.votes.blocks.__defaults__", (5,))
    small = stats.sign_flip(stats.Record(method, labels), stats.Record(reference, labels), SPLITS)
    np.testing.assert_array_equal([row.p for row in small], [row.p for row in whole])


def test_too_few_runs_are_refused():
    method, reference, labels = arms(5, 0.2)
    with pytest.raises(Refusal, match="5 runs: an exact sign-flip test cannot go below p = 0.0625"):
        stats.sign_flip(stats.Record(method, labels), stats.Record(reference, labels), SPLITS)
