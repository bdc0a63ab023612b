"""Did it train? Rules on the loss and the training accuracy of each epoch, which topics and claims read.

A stage *had settled* where, in half of its runs or more, the last tenth of its epochs (one at least) moved

    the loss            by 5 % or less of all that it ever fell:  |l[-1-k] - l[-1]| <= .05 sum_e max(0, l[e] - l[e+1])
    training accuracy   by 2 points or less (where it is counted)

with l the mean loss of an epoch and k epochs in the last tenth. Falls are summed epoch by epoch, so that a loss that is
another from some epoch on (deferred re-weighting), and jumps there, is judged by its falls before and after, not by the
jump; and a constant in the loss does not matter. At an even pace the last tenth is 10 % of the fall. A stage of fewer
than five epochs is too short to tell. A learning rate that ends low settles what would go on at a higher one: settled
means that these epochs at this schedule were enough, not that no other schedule does better.

A run *collapsed* in a stage where, at its end, its loss is not finite; or, where the stage is not too short to tell,

    it is right no more often than one answer to all training images would be (the share of the largest class, and three
    standard errors of such a share), nor than it was in its first epoch; or
    its loss lies above that of the other runs by more than Grubbs' limit at 1 % (`stats.far_below`; five runs or more)
    and by more than a tenth of all that the loss of the median run fell.

The second needs the training accuracy, which studies of before did not keep.
"""

import numpy as np

from ltbv import stats
from ltbv.report.evidence import Evidence, MethodRuns, TrainedStage

SETTLED, MOVING, SHORT = "settled", "still moving", "too short to tell"
MOST_MOVED, MOST_RISEN, FEWEST_EPOCHS = 0.05, 0.02, 5
FAR = 0.1  # of all that the loss fell
ERRORS = 3  # standard errors


def fell(stage: TrainedStage) -> np.ndarray:
    """All that the loss fell, (R,): from epoch to epoch, whatever it rose between."""
    return np.maximum(-np.diff(stage.loss, axis=1), 0).sum(1)


def moved(stage: TrainedStage) -> tuple[np.ndarray, np.ndarray]:
    """What the last tenth brought, (R,) each: the fall of the loss as a share of all that it fell (0 where it never
    did), and the rise of the training accuracy. NaN of a single epoch."""
    epochs = stage.loss.shape[1]
    if epochs == 1:
        return np.full(len(stage.runs), np.nan), np.full(len(stage.runs), np.nan)
    before = -1 - max(1, round(epochs / 10))
    fall, whole = stage.loss[:, before] - stage.loss[:, -1], fell(stage)
    share = np.divide(fall, whole, out=np.where(np.isfinite(fall), 0.0, np.nan), where=whole > 0)
    return share, stage.accuracy[:, -1] - stage.accuracy[:, before]


def state(stage: TrainedStage) -> str:
    """SETTLED, MOVING or SHORT."""
    if stage.loss.shape[1] < FEWEST_EPOCHS:
        return SHORT
    loss, accuracy = moved(stage)
    moving = ~(np.abs(loss) <= MOST_MOVED) | (np.abs(accuracy) > MOST_RISEN)
    return MOVING if moving.mean() > 0.5 else SETTLED


def collapsed(stage: TrainedStage, train_counts: np.ndarray | None) -> dict[int, str]:
    """Runs that collapsed in this stage, and how it shows. `train_counts` (C,): training images of each class; None:
    not known, and nothing is told."""
    found: dict[int, str] = {}
    if train_counts is None:
        return found
    end, right = stage.loss[:, -1], stage.accuracy
    images = train_counts.sum()
    share = train_counts.max() / images if images else 1.0
    error = ERRORS * np.sqrt(share * (1 - share) / max(images, 1))
    fine = np.flatnonzero(np.isfinite(end))
    whole = np.median(fell(stage)[fine]) if fine.size else np.nan
    told = stage.loss.shape[1] >= FEWEST_EPOCHS
    far = {int(fine[at]) for at in stats.far_below(-end[fine])}
    for row, run in enumerate(stage.runs):
        if not np.isfinite(end[row]):
            found[run] = "its loss is not finite"
        elif not told:
            continue
        elif right[row, -1] <= share + error and right[row, -1] <= right[row, 0] + error:
            found[run] = f"{right[row, -1]:.1%} of training images right, no more than if one answer were given to all"
        elif row in far and end[row] - np.median(end[fine]) > FAR * whole:
            found[run] = f"a loss of {end[row]:.3g}, where half of the runs are below {np.median(end[fine]):.3g}"
    return found


def collapsed_runs(evidence: Evidence, method: MethodRuns) -> frozenset[int]:
    """Runs of a method that collapsed in a stage on which it stands."""
    stages = (evidence.trained[key] for key in method.stages if key in evidence.trained)
    return frozenset(run for stage in stages for run in collapsed(stage, evidence.train_counts) if run in method.runs)
