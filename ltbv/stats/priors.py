"""How accurate is a method where test images are not as many of each class? On other test sets, without testing again.

The accuracy under a prior pi over classes is sum_c pi_c recall_c: it needs the recall of each class only. So the same
predictions say how a method does where the test set has the training set's frequencies, or their opposite. Frequent
here are

    uniform      pi_c = 1/C                     the group "all" of the report: balanced accuracy
    micro        pi_c = N_c/N                   images count, not classes
    training     pi_c ~ n_c                     the counts of the training set
    forward m    pi_c ~ m^(-k_c/(C-1))          k_c the place of class c, the largest first: m times as many of the
                                                first as of the last
    backward m   the same with the places turned round

(Zhang et al., "Self-supervised aggregation of diverse experts for test-agnostic long-tailed recognition", NeurIPS 2022,
who draw such test sets with m = 2, 5, 10, 25 and 50; here nothing is drawn, and every test image is used.) Nothing is
told to the methods either: a method that adapts to test images has adapted to those that it was shown, whatever the
prior that it is measured under.

It is a mean over test points, class by class, so intervals are those of `summarize` and `compare`: for new runs and new
test images of each class.
"""

from collections.abc import Mapping

import numpy as np

from ltbv.stats.class_counts import class_counts
from ltbv.stats.intervals import Intervals, Options
from ltbv.stats.record import Record, pair
from ltbv.stats.splits import ClassIds, GroupWeights, as_ids

RATIOS = (2, 5, 10, 25, 50)  # of the most frequent class to the rarest


def long_tailed_priors(train_counts: np.ndarray, ratios: tuple[float, ...] = RATIOS) -> dict[str, np.ndarray]:
    """'training', and 'forward_m' and 'backward_m' for each ratio m: (C,) shares of the classes, which sum to 1.

    train_counts  (C,) training images of each class. Classes of one count share the mean of their places' weights.
    Example: long_tailed_priors([100, 10, 1], (4,)) has forward_4 = (4, 2, 1)/7 and backward_4 = (1, 2, 4)/7.
    """
    counts = class_counts(train_counts)
    priors = {"training": counts / counts.sum()} if counts.sum() else {}
    place = np.empty(counts.size)
    place[np.argsort(-counts, kind="stable")] = np.arange(counts.size) / max(counts.size - 1, 1)
    alike = np.unique(counts, return_inverse=True)[1]
    for ratio in ratios:
        for name, weights in (("forward", ratio**-place), ("backward", ratio ** (place - 1))):
            mean = (np.bincount(alike, weights) / np.bincount(alike))[alike]
            priors[f"{name}_{ratio:g}"] = mean / mean.sum()
    return priors


def micro_weights(groups: Mapping[str, ClassIds], labels: np.ndarray) -> dict[str, np.ndarray]:
    """Weights (C,) of each group under which every test image of it counts the same: N_c of its classes, else 0."""
    classes = 1 + max(int(labels.max()), *(int(as_ids(ids).max(initial=0)) for ids in groups.values()))
    counts = np.bincount(labels, minlength=classes)
    return {name: np.where(np.isin(np.arange(classes), as_ids(ids)), counts, 0) for name, ids in groups.items()}


def accuracy_under(
    method: Record, priors: Mapping[str, np.ndarray], reference: Record | None = None, *, level: float = 0.95
) -> Intervals:
    """sum_c pi_c recall_c under each prior, mean over runs, with its interval; minus that of `reference`, if given.

    priors  name -> (C,) weights of the classes, none negative; they are scaled to sum to 1 over the classes that have
            test points. NaN where none has

    A difference is over the runs that both have. Arrays of the result are (priors,), in the order given.
    """
    options, weights = Options(level=level), GroupWeights.weighted(priors, method.labels)
    if reference is None:
        measured = options.measure(method, weights)["accuracy"]
    else:
        method, reference = pair(method, reference)
        measured = options.measure(method, weights)["accuracy"] - options.measure(reference, weights)["accuracy"]
    return options.intervals(measured, method.labels, weights, method.clusters)
