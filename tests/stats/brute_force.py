"""The definitions, point by point and run by run, as slowly as they read."""

from itertools import combinations
from math import comb

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp


def main_weights(votes, ties="fractional"):
    """Weight of each label in the main prediction of a list of votes."""
    counts = {label: votes.count(label) for label in votes}
    top = sorted(label for label, count in counts.items() if count == max(counts.values()))
    return {top[0]: 1.0} if ties == "lowest" else {label: 1 / len(top) for label in top}


def zero_one(votes, true, ties="fractional"):
    """error, bias, V, V_loo of one point."""
    votes, runs = list(votes), len(votes)
    error = sum(vote != true for vote in votes) / runs
    bias = 1 - main_weights(votes, ties).get(true, 0)
    variance = 1 - max(votes.count(label) for label in votes) / runs
    if runs == 1:
        return error, bias, variance, np.nan
    rest = [main_weights(votes[:r] + votes[r + 1 :]).get(votes[r], 0) for r in range(runs)]
    return error, bias, variance, 1 - sum(rest) / runs


def bias_half(votes, true, ties="fractional"):
    """B_half of one point, from all half-subsets."""
    runs = len(votes)
    half = max(runs // 2, 2)
    mean = sum(zero_one(subset, true, ties)[1] for subset in combinations(votes, half)) / comb(runs, half)
    return (runs * zero_one(votes, true, ties)[1] - half * mean) / (runs - half)


def group_means(values, labels, groups):
    """Mean over a group's classes of their means, for each group; classes without points are left out."""
    means = {}
    for name, ids in groups.items():
        present = [values[labels == c].mean() for c in ids if (labels == c).any()]
        means[name] = np.mean(present) if present else np.nan
    return means


def points(function, predictions, labels, **options):
    """`function` of each test point, as rows (quantities, N)."""
    rows = [function(list(votes), true, **options) for votes, true in zip(predictions.T, labels, strict=True)]
    return np.array(rows).T


@st.composite
def votes(draw, runs=(1, 12), num_points=(1, 12)):
    """predictions (R, N) and labels (N,) of up to 8 classes; small numbers, so that ties are frequent."""
    runs, num_points = draw(st.integers(*runs)), draw(st.integers(*num_points))
    classes = st.integers(0, draw(st.integers(1, 7)))
    predictions = draw(hnp.arrays(np.int64, (runs, num_points), elements=classes))
    return predictions, draw(hnp.arrays(np.int64, num_points, elements=classes))


def study(runs, per_class, seed=0, classes=6, noise=0.8, drift=0.3):
    """predictions (R, N) and labels (N,) with easy and hard points, and runs that differ by more than chance."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    mean = generator.normal(0, 1, (labels.size, classes))
    mean[np.arange(labels.size), labels] += 1.0
    scores = mean + noise * generator.gumbel(size=(runs, labels.size, classes))
    scores += drift * generator.normal(size=(runs, 1, classes))
    return scores.argmax(2), labels


SPLITS = {"all": range(6), "many": [0, 1], "medium": [2, 3], "few": [4, 5]}
