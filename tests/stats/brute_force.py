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


def of_fewer(votes, true, size, ties="fractional"):
    """Bias and V_mid of one point, means over all subsets of `size` runs."""
    of = [zero_one(subset, true, ties) for subset in combinations(votes, size)]
    return np.mean([bias for _, bias, _, _ in of]), np.mean([(low + high) / 2 for _, _, low, high in of])


def left(votes, true, ties="fractional"):
    """What the corrections of bias and variance of one point may have left."""
    votes, runs = list(votes), len(votes)
    sizes = runs, max(runs // 2, 3), max(runs // 4, 2)
    (b1, v1), (b2, v2), (b3, _) = (of_fewer(votes, true, size, ties) for size in sizes)
    late = (sizes[0] * b1 - sizes[1] * b2) / (sizes[0] - sizes[1])
    early = (sizes[1] * b2 - sizes[2] * b3) / (sizes[1] - sizes[2])
    return (late - early) / np.sqrt(2), (v1 - v2) / 2


def point_variance(values, labels, group):
    """v_point of a group of classes, and its degrees of freedom."""
    of = {c: values[labels == c] for c in np.unique(labels)}
    several = {c: x for c, x in of.items() if x.size > 1}
    lone = np.array([x[0] for x in of.values() if x.size == 1])
    shrunk = {}
    for c, x in several.items():
        alike = np.mean([y.var(ddof=1) for y in several.values() if y.size <= 2 * x.size])
        shrunk[c] = ((x.size - 1) * x.var(ddof=1) + 3 * alike) / (x.size + 2)
    if lone.size and several:
        together = (((lone - lone.mean()) ** 2).sum() + 3 * np.mean([*shrunk.values()])) / (lone.size + 2)
        together = max(together, lone.var(ddof=1)) if lone.size > 1 else together
    elif lone.size > 1:
        together = lone.var(ddof=1)
    present = [c for c in np.unique(group) if c in of]
    share = {c: shrunk.get(c, np.nan if c in several else together) / of[c].size / len(present) ** 2 for c in present}
    v = sum(share.values())
    uncertain = sum(share[c] ** 2 / (of[c].size - 1) for c in present if c in several)
    uncertain += sum(share[c] for c in present if c not in several) ** 2 / max(lone.size - 1, 1)
    return v, v**2 / uncertain + 3 if uncertain else 3


def wilson(apart, size, z):
    """Upper end of Wilson's interval of a share."""
    root = z * np.sqrt(apart * (1 - apart) / size + z**2 / (4 * size**2))
    return (apart + z**2 / (2 * size) + root) / (1 + z**2 / size)


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
