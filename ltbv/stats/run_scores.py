"""Which single number would another paper give a run? Macro-F1, the geometric mean of recalls, the worst class.

With N_c test points of class c, P_c points that a run predicts to be of it and T_c of these rightly, of the classes of
a group that have test points:

    accuracy         mean_c T_c/N_c              balanced accuracy
    macro_f1         mean_c 2 T_c/(P_c + N_c)    the mean of the classes' F1 (Opitz and Burst, "Macro F1 and macro F1",
                                                 2019), not the F1 of mean precision and recall. P_c counts points of
                                                 all classes, so it depends on how many test points these have
    geometric_mean   (prod_c T_c/N_c)^(1/C)      0 as soon as one class is lost (Kubat and Matwin, "Addressing the curse
                                                 of imbalanced training sets", ICML 1997); no class is lifted above 0
    worst_class      min_c T_c/N_c               of this run: the mean over runs lies below the lowest mean of a class,
                                                 and the lower the fewer test points a class has

None but accuracy is a mean over test points; intervals are of `over_runs`.
"""

from collections.abc import Mapping

import numpy as np

from ltbv.stats.splits import ClassIds, GroupWeights, divide_by_class
from ltbv.stats.votes import check_predictions

RUN_SCORES = ("accuracy", "macro_f1", "geometric_mean", "worst_class")


def run_scores(predictions: np.ndarray, labels: np.ndarray, groups: Mapping[str, ClassIds]) -> dict[str, np.ndarray]:
    """Each of RUN_SCORES for each run and group, (R, G); NaN for a group without test points.

    predictions (R, N) int, labels (N,) int; groups: name -> class ids
    """
    predictions, labels = check_predictions(predictions, labels)
    weights = GroupWeights.of(groups, labels)
    classes = weights.num_classes
    right = np.stack([np.bincount(labels[row == labels], minlength=classes) for row in predictions]).astype(float)
    predicted = np.stack([np.bincount(row, minlength=classes)[:classes] for row in predictions])
    recall = divide_by_class(right, weights.counts)
    f1 = divide_by_class(2 * right, predicted + weights.counts)
    with np.errstate(divide="ignore"):
        logs = np.log(recall)
    worst = np.full((len(predictions), len(weights.names)), np.nan)
    for g, of in enumerate(np.split(weights.members, np.cumsum(weights.sizes)[:-1])):
        worst[:, g] = recall[:, of].min(1) if of.size else np.nan
    scores = (weights.means(recall), weights.means(f1), np.exp(weights.means(logs)), worst)
    return dict(zip(RUN_SCORES, scores, strict=True))
