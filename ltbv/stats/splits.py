"""Which classes are many, medium, few? And what is the mean of a class, or of a group of classes?

The field's splits follow the number of *training* images of a class: more than 100 is many, fewer than 20 is few
(Liu et al., "Large-scale long-tailed recognition in an open world", CVPR 2019). Public code differs at the edges
(>= 100, <= 20), and thresholds meant for a full data set are wrong for a subset of it, so a study stores its splits as
lists of class ids.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ltbv.errors import Refusal
from ltbv.stats.class_counts import class_counts
from ltbv.stats.keyed import plain
from ltbv.stats.votes import check_labels

ClassIds = Collection[int]  # an array, a range, a list
Counts = ArrayLike | Mapping[Any, Any]  # of each class: in the order of class ids, or class id -> number
Groups = Mapping[str, ClassIds] | Sequence[ClassIds]


def splits(train_counts: Counts, *, many: float = 100, few: float = 20) -> dict[str, np.ndarray]:
    """Class ids by number of training images n: 'many' n > `many`, 'few' n < `few`, 'medium' the rest.

    train_counts  (C,) training images of each class: the nominal profile, not the realised counts of one run; or class
                  id -> number, see `class_counts`
    Returns {'many': ids, 'medium': ids, 'few': ids}, ascending; a split may be empty. A class without training images
    is in 'few'.
    Example: splits([500, 60, 5]) is {'many': [0], 'medium': [1], 'few': [2]}.
    """
    counts = class_counts(train_counts)
    if counts.ndim != 1 or counts.size == 0 or counts.dtype.kind not in "iuf" or not (counts >= 0).all():
        raise Refusal(
            f"train_counts must be (C,) numbers of images, none negative; got {counts.dtype} with shape {counts.shape}"
        )
    if not many >= few:
        raise Refusal(f"many={many} must not be below few={few}: the classes between them are 'medium'")
    is_many, is_few = counts > many, counts < few
    return {
        name: np.flatnonzero(chosen)
        for name, chosen in (("many", is_many), ("medium", ~is_many & ~is_few), ("few", is_few))
    }


def as_ids(classes: Any) -> np.ndarray:
    """`ClassIds` as an array."""
    return np.asarray(classes)


def scaled(train_counts: Counts, head: float = 500, *, many: float = 100, few: float = 20) -> dict[str, np.ndarray]:
    """Splits of a subset of a data set, with the thresholds shrunk as the data were.

        many: n > `many` n_max/head      few: n < `few` n_max/head

    head  images of the largest class in the full data set, for which `many` and `few` were meant (CIFAR-100-LT: 500);
          n_max is the largest of `train_counts`
    Example: a CIFAR-100-LT profile with 300 images in the head class has thresholds 60 and 12, hence the same classes
    in each split as the profile with 500.
    """
    if not head > 0:
        raise Refusal(f"head={head}: give the images of the largest class in the full data set, for example 500")
    counts = class_counts(train_counts)
    largest = np.max(counts, initial=0)
    return splits(counts, many=many * largest / head, few=few * largest / head)


def by_class(values: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Mean of each class (C,) of `values` (N,), by `labels` (N,); NaN where a class has no test point.

    `values` may have leading axes, (..., N) -> (..., C).
    """
    labels = check_labels(labels, num_classes)
    values = np.asarray(plain(values, "values"), np.float64)
    if values.shape[-1:] != labels.shape:
        raise Refusal(f"values have shape {values.shape} and labels {labels.shape}: test points must be the last axis")
    counts = np.bincount(labels, minlength=num_classes)
    rows = values.reshape(-1, labels.size)
    sums = np.stack([np.bincount(labels, row, minlength=num_classes) for row in rows])
    return divide_by_class(sums, counts).reshape(*values.shape[:-1], num_classes)


def divide_by_class(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Class sums (..., C) / test points of each class (C,); NaN where there are none."""
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)


@dataclass(frozen=True)
class GroupWeights:
    """How class means become group means: each group is the plain mean over its classes that have test points, but
    where it is `weighted`.

    names    (G,) the groups, in the order given
    members  (M,) the classes with test points of the first group, then those of the second, ...
    weights  (M,) a_c of each: 1 / number of the group's classes with test points (negative below a `gap`), or as given
    sizes    (G,) number of members of each group
    counts   (C,) test points of each class

    Classes weigh the same whatever their number of test points ("macro"). A class without test points is left out; a
    group without any has no mean (NaN).
    """

    names: tuple[str, ...]
    members: np.ndarray
    weights: np.ndarray
    sizes: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, groups: Mapping[str, ClassIds], labels: np.ndarray) -> "GroupWeights":
        """Weights of `groups` (name -> class ids; repeated ids count once) on test points with `labels` (N,)."""
        if not groups:
            raise Refusal("groups is empty: give name -> class ids, for example {'all': range(100)}")
        found = map(as_ids, groups.values())
        ids = [np.unique(group) if group.size else np.empty(0, int) for group in found]
        for name, group in zip(groups, ids, strict=True):
            if group.dtype.kind not in "iu" or (group.size and group[0] < 0):
                raise Refusal(f"group {name!r} must hold class ids, integers from 0; got {group.tolist()[:5]}")
        num_classes = 1 + max(int(labels.max()), *(int(group.max(initial=0)) for group in ids))
        counts = np.bincount(labels, minlength=num_classes)
        present = [group[counts[group] > 0] for group in ids]
        sizes = np.array([group.size for group in present])
        weights = np.repeat(1.0 / np.maximum(sizes, 1), sizes)
        return cls(tuple(groups), np.concatenate(present), weights, sizes, counts)

    @classmethod
    def gap(cls, name: str, above: ClassIds, below: ClassIds, labels: np.ndarray) -> "GroupWeights":
        """A single group that is the mean over the classes `above` minus the mean over the classes `below`."""
        both = cls.of({"above": above, "below": below}, labels)
        if shared := np.intersect1d(as_ids(above), as_ids(below)).tolist():
            raise Refusal(
                f"{name}: classes {shared[:5]} are on both sides of the gap; give two sets without common ids"
            )
        kept = 0 if both.empty.any() else both.members.size  # a gap to nothing is unknown
        weights = both.weights * np.repeat([1.0, -1.0], both.sizes)
        return cls((name,), both.members[:kept], weights[:kept], np.array([kept]), both.counts)

    @classmethod
    def weighted(cls, weights: Mapping[str, np.ndarray], labels: np.ndarray) -> "GroupWeights":
        """Groups whose classes do not count the same: name -> (C,) weights, none negative, of which those of classes
        with test points are scaled to sum to 1. A class of weight 0 is no member."""
        if not weights:
            raise Refusal("weights are empty: give name -> (C,) weights of the classes")
        of = {name: np.asarray(plain(one, f"weights {name!r}"), np.float64) for name, one in weights.items()}
        classes = max(1 + int(labels.max()), *(one.size for one in of.values()))
        for name, one in of.items():
            if one.shape != (classes,) or not (np.isfinite(one) & (one >= 0)).all():
                raise Refusal(
                    f"weights {name!r} must be ({classes},), one finite number from 0 for each class; got shape"
                    f" {one.shape} from {np.min(one, initial=np.inf):g} to {np.max(one, initial=-np.inf):g}"
                )
        counts = np.bincount(labels, minlength=classes)
        members = [np.flatnonzero((one > 0) & (counts > 0)) for one in of.values()]
        scaled = [one[ids] / one[ids].sum() for one, ids in zip(of.values(), members, strict=True)]
        sizes = np.array([ids.size for ids in members])
        return cls(tuple(of), np.concatenate(members), np.concatenate(scaled), sizes, counts)

    @property
    def num_classes(self) -> int:
        """C, the highest class id that occurs plus one."""
        return self.counts.size

    @property
    def empty(self) -> np.ndarray:
        """(G,) True for a group without test points."""
        return self.sizes == 0

    def means(self, class_means: np.ndarray) -> np.ndarray:
        """Class means (..., C) -> group means (..., G): sum_c a_c x_c; NaN for a group without test points."""
        return self._totals(class_means[..., self.members] * self.weights, np.nan)

    def squared(self, values: np.ndarray) -> np.ndarray:
        """Values of classes (..., C) -> sum_c a_c^2 x_c of each group (..., G); 0 for a group without test points."""
        return self._totals(values[..., self.members] * self.weights**2, 0.0)

    def fourth(self, values: np.ndarray) -> np.ndarray:
        """Values of classes (..., C) -> sum_c a_c^4 x_c of each group (..., G); 0 for a group without test points."""
        return self._totals(values[..., self.members] * self.weights**4, 0.0)

    def matrix(self) -> np.ndarray:
        """a_c of each group, dense (G, C): for a few groups."""
        dense = np.zeros((self.sizes.size, self.num_classes))
        dense[np.repeat(np.arange(self.sizes.size), self.sizes), self.members] = self.weights
        return dense

    def _totals(self, terms: np.ndarray, nothing: float) -> np.ndarray:
        """Sums of the terms (..., M) of each group (..., G)."""
        totals = np.full((*terms.shape[:-1], self.sizes.size), nothing)
        if terms.shape[-1]:
            start = np.cumsum(self.sizes) - self.sizes
            totals[..., ~self.empty] = np.add.reduceat(terms, start[~self.empty], axis=-1)
        return totals
