"""How much would other test images of the same classes have said? The variance of a group's mean over test points.

With a_c = 1/(number of classes), N_c test points of class c and s_c^2 the variance of a quantity within it, that is
v_point = sum_c a_c^2 s_c^2 / N_c. A class with three test points knows its s_c^2 badly, and may well find 0; so

    s_c^2  ->  ((N_c - 1) s_c^2 + 3 S_c) / (N_c + 2)        S_c: mean of s^2 over the classes with at most 2 N_c points
    df     =   v_point^2 / sum_c (v_c^2 / (N_c - 1)) + 3    v_c = a_c^2 s_c^2 / N_c

Where test points come in clusters (frames of a clip, images of a patient), N_c is the number of clusters of the class,
and s_c^2 their variance: with S_j the sum over cluster j of what its points differ from the class mean by, and n_c the
points of the class, s_c^2 = N_c^2 / n_c^2 sum_j S_j^2 / (N_c - 1). A cluster of several classes moves these together:
2 a_c a_d sum_j S_cj S_dj / (n_c n_d) is added for each pair, and nothing where that sum is negative.

Classes with one test point have no s_c^2. Their points are taken together: the spread about their common mean, which
holds the spread between these classes too, is too large rather than too small; a single such class takes the mean of
the others. A group that is one class with one test point gets no interval (NaN): nothing says how its images differ.
"""

import numpy as np

from ltbv.stats.splits import GroupWeights, divide_by_class

PSEUDO_DF = 3  # degrees of freedom that the other classes' mean variance counts for


def point_variance(
    points: np.ndarray,
    labels: np.ndarray,
    means: np.ndarray,
    weights: GroupWeights,
    clusters: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """v_point of each group and its degrees of freedom, (G,) each.

    points    (N,) value at each test point, of classes `labels` (N,)
    means     (C,) its class means
    clusters  (N,) numbers from 0; None: every point is one of its own
    """
    apart = points - means[labels]
    if clusters is None:
        counts, squares = weights.counts, np.bincount(labels, apart**2, minlength=weights.num_classes)
    else:
        of_class, sums = _sums(apart, labels, clusters)
        counts = np.bincount(of_class, minlength=weights.num_classes)
        scale = divide_by_class(counts, weights.counts) ** 2
        squares = np.bincount(of_class, sums**2, minlength=weights.num_classes) * np.nan_to_num(scale)
    lone = counts == 1
    variance, df = _shrunk(squares, counts), np.maximum(counts - 1, 0)
    if lone.any():
        together = means[lone]
        variance[lone] = _pooled(np.sum((together - together.mean()) ** 2), together.size, variance[counts > 1])
    of_mean = divide_by_class(variance, counts)
    of_mean[counts == 0] = 0
    v = weights.squared(of_mean)
    uncertain = weights.fourth(np.divide(of_mean**2, df, out=np.zeros(counts.size), where=df > 0))
    uncertain += weights.squared(np.where(lone, of_mean, 0)) ** 2 / max(lone.sum() - 1, 1)
    df_of_group = np.divide(v**2, uncertain, out=np.zeros_like(v), where=uncertain > 0) + PSEUDO_DF
    if clusters is not None:
        v += _between_classes(apart, labels, clusters, weights)
    v[(weights.sizes == 1) & (weights.squared(lone.astype(float)) > 0)] = np.nan
    v[weights.empty] = np.nan
    return v, df_of_group


def independent_points(labels: np.ndarray, weights: GroupWeights, clusters: np.ndarray | None) -> np.ndarray:
    """How many test points alike in weight would say as much as those of each group: 1 / sum_c a_c^2 / N_c, (G,)."""
    counts = weights.counts
    if clusters is not None:
        counts = np.bincount(_sums(np.zeros(labels.size), labels, clusters)[0], minlength=weights.num_classes)
    return 1 / np.maximum(weights.squared(1 / np.maximum(counts, 1)), np.finfo(float).tiny)


def _sums(apart: np.ndarray, labels: np.ndarray, clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The class of each pair of class and cluster that there is, and the sum of its points."""
    number = 1 + int(clusters.max())
    pairs, place = np.unique(labels * number + clusters, return_inverse=True)
    return pairs // number, np.bincount(place, apart)


def _between_classes(apart: np.ndarray, labels: np.ndarray, clusters: np.ndarray, weights: GroupWeights) -> np.ndarray:
    """What clusters of several classes add to each group (G,), not below 0."""
    added = np.zeros(weights.sizes.size)
    own = apart / weights.counts[labels]
    _, sums = _sums(own, labels, clusters)
    several = np.flatnonzero(weights.sizes > 1) if sums.size > 1 + clusters.max() else ()
    starts = np.cumsum(weights.sizes) - weights.sizes
    for group in several:
        members = slice(starts[group], starts[group] + weights.sizes[group])
        a = np.zeros(weights.num_classes)
        a[weights.members[members]] = weights.weights[members]
        together = np.bincount(clusters, own * a[labels])
        of_class, alone = _sums(own, labels, clusters)
        added[group] = (together**2).sum() - ((alone * a[of_class]) ** 2).sum()
    return np.maximum(added, 0)


def _shrunk(squares: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """s_c^2 of each class (C,), drawn to the mean of those with about as few points or fewer; NaN for 0 or 1 point."""
    known = counts > 1
    variance = np.divide(squares, counts - 1, out=np.full(counts.size, np.nan), where=known)
    if known.any():
        order = np.argsort(counts[known], kind="stable")
        so_far = np.cumsum(variance[known][order]) / np.arange(1, order.size + 1)
        alike = so_far[np.searchsorted(counts[known][order], 2 * counts[known], "right") - 1]
        variance[known] = (squares[known] + PSEUDO_DF * alike) / (counts[known] - 1 + PSEUDO_DF)
    return variance


def _pooled(squares: float, points: int, others: np.ndarray) -> float:
    """s^2 of classes with one point each: that of their `points` together, drawn to the mean of the others if that is
    larger. An easy head is no reason to think the tail easy."""
    if points == 1:
        return others.mean() if others.size else np.nan
    own = squares / (points - 1)
    return max(own, (squares + PSEUDO_DF * others.mean()) / (points - 1 + PSEUDO_DF)) if others.size else own
