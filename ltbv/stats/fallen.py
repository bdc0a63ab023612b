"""Did training fail in some runs, and could more of such runs turn a difference?

A run that fell out of the others is one draw of what new runs may be, and k of R of them say little of how many new
ones will. No estimator mends that, but it can be asked how far it leads. Where a share q of new runs falls, error and
variance of a method are

    (1 - q) v_rest + q v_fallen     v_rest    without the runs that fell
                                    v_fallen  of one that fell: its error, or how often it departs from the rest's vote

exactly for the error. For the variance it is the most there can be: were so many to fall that they led votes, they
would depart less. So a claim of error or variance is made only where it is one with the runs that fell, whose spread
the interval then holds, and one without them for every q from 0 to the upper end of the exact 95 % interval of k in R
(Clopper and Pearson, "The use of confidence or fiducial limits", 1934), of both sides at once (`without_fallen`).

Were it enough to hold with and without them, a method that is better but for the fifth of its runs that fail, and worse
for these, would be called better in 10 % of the studies of 20 runs where some failed; so it is in less than 1 %. Where
no run happened to fall nothing can be said, and no rule of this kind helps: such a method (`collapse_one` of
benchmarks/worlds_apart, one run of seven) is falsely called better in up to 30 % of studies of 10 runs and 5 % of 20,
nearly all of them without a run that fell; in studies with one, in 2 and 0 %.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ltbv.stats.compare import CONFIRMED_GROUPS, Difference, compare
from ltbv.stats.intervals import summarize
from ltbv.stats.nested import means_of_backbones
from ltbv.stats.record import Record, pair
from ltbv.stats.splits import ClassIds, GroupWeights, by_class
from ltbv.stats.student import quantile
from ltbv.stats.zero_one import zero_one

FALLEN = 0.01  # chance that a run is named among runs of one (normal) kind
FEWEST_TESTED = 5  # runs: of four, none can be told to have fallen
SAME = 1e-9  # accuracies closer than this are one
MOVED = ("error", "variance")  # by runs that fell; votes hardly heed a few of them, so the bias is not
SHARE_LEVEL = 0.95  # of the interval of the share of runs that fall


def fallen_runs(record: Record, groups: Mapping[str, ClassIds]) -> dict[int, list[str]]:
    """Runs whose accuracy lies too far below that of the others to be one of them: run number -> groups.

    Of each group the lowest of n accuracies, then the lowest of the n - 1 others, and so on for a quarter of the runs,
    is held against the one-sided limit of Grubbs' test, at 1 % for all groups together:

        (mean - lowest) / sd  >  (n - 1)/sqrt(n) sqrt(t^2 / (n - 2 + t^2)),   t: 1 - .01/(groups n) quantile of t(n - 2)

    The last that is beyond it, and all below, have fallen: so two do not hide each other (Grubbs, "Sample criteria for
    testing outlying observations", 1950; Rosner, "Percentage points for a generalized ESD many-outlier procedure",
    1983). Fewer than 5 runs: none.
    """
    weights = GroupWeights.of(groups, record.labels)
    accuracy = weights.means(by_class(record.predictions == record.labels, record.labels, weights.num_classes))
    found: dict[int, list[str]] = {}
    if record.backbones is not None:  # a run is held against those on its backbone
        accuracy += accuracy.mean(0) - means_of_backbones(accuracy, record.backbones)[record.backbones]
    for name, values in zip(weights.names, accuracy.T, strict=True):
        for run in far_below(values, FALLEN / len(weights.names)):
            found.setdefault(record.numbers[run], []).append(name)
    return dict(sorted(found.items()))


def far_below(values: np.ndarray, chance: float = FALLEN) -> list[int]:
    """Places of the values (n,) that lie too far below the others to be of one normal kind with them, lowest first:
    the test of `fallen_runs`, for one group, at the level `chance`."""
    order = np.argsort(values, kind="stable")
    fallen = 0
    for below in range(max(1, order.size // 4) if order.size >= FEWEST_TESTED else 0):
        left = values[order[below:]]
        t2 = quantile(1 - chance / left.size, np.float64(left.size - 2)) ** 2
        limit = (left.size - 1) / np.sqrt(left.size) * np.sqrt(t2 / (left.size - 2 + t2))
        if left.std() > SAME and (left.mean() - left[0]) / left.std(ddof=1) > limit:
            fallen = below + 1
    return order[:fallen].tolist()


def without_fallen(
    method: Record,
    reference: Record,
    groups: Mapping[str, ClassIds],
    known: tuple[Collection[int], Collection[int]] = ((), ()),
) -> dict[tuple[str, str], Difference | None]:
    """Differences without the runs that fell, by (group, quantity): error and variance of the splits where some did.

    method, reference  as in `compare`; runs that fell are told among all runs of each, and their pairs left out
    groups             in which they are looked for, as in `fallen_runs`; Holm's correction is over the splits of these
    known              numbers of runs of each side that failed in all groups, however accurate they are

    `low` and `high` reach as far as any share of runs that fall may lead, from none to the most that is likely: see
    above. None where no pair is left.
    """
    sides = method, reference
    fallen = [
        fallen_runs(side, groups) | {run: list(groups) for run in side.numbers if run in failed}
        for side, failed in zip(sides, known, strict=True)
    ]
    named = {name for of in fallen for names in of.values() for name in names}
    where = {name: groups[name] for name in CONFIRMED_GROUPS if name in named}
    rest = [run for run in pair(*sides)[0].numbers if not any(run in of for of in fallen)]
    if not where or not rest:
        return dict.fromkeys((name, quantity) for name in where for quantity in MOVED)
    left = method.select(rest), reference.select(rest)
    ours, theirs = (_moves(*of, where) for of in zip(sides, left, fallen, strict=True))
    return {
        at: replace(one, low=one.low + min(ours[at]) - max(theirs[at]), high=one.high + max(ours[at]) - min(theirs[at]))
        for one in compare(*left, groups)
        if (at := (one.group, one.quantity)) in ours
    }


def _moves(
    side: Record, rest: Record, fallen: Mapping[int, Sequence[str]], groups: Mapping[str, ClassIds]
) -> dict[tuple[str, str], list[float]]:
    """By how much `rest` moves at the most if runs fall as each of these did, by (group, quantity); 0 if none do."""
    weights = GroupWeights.of(groups, side.labels)
    of_rest = {(e.group, e.quantity): e.estimate for e in summarize(rest, groups) if e.quantity in MOVED}
    moves = {at: [0.0] for at in of_rest}
    number = {name: sum(name in names for names in fallen.values()) for name in groups}
    for run, names in fallen.items():
        row = side.predictions[side.numbers.index(run)]
        departs = zero_one(rest.predictions, row).bias  # of the vote, from this run's labels
        means = weights.means(by_class(np.stack([row != side.labels, departs]), side.labels, weights.num_classes))
        for quantity, of_run in zip(MOVED, means, strict=True):
            for name, value in zip(groups, of_run, strict=True):
                if name in names:
                    most = largest_share(number[name], len(side.numbers))
                    moves[name, quantity].append(most * (value - of_rest[name, quantity]))
    return moves


def largest_share(number: int, of: int) -> float:
    """The largest share of which as few as `number` in `of` are seen in 2.5 % of cases: Clopper and Pearson's limit."""
    from scipy.special import betaincinv  # slow to import: see `student`

    return float(betaincinv(number + 1, of - number, (1 + SHARE_LEVEL) / 2)) if number < of else 1.0


def stands(difference: Difference, without: Difference | None, alpha: float = 0.05) -> bool:
    """Does a claim of this difference hold without the runs that fell too, whatever share of runs falls?"""
    if without is None or not without.p_holm <= alpha:
        return False
    return without.low > 0 if difference.estimate > 0 else without.high < 0
