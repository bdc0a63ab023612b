"""How sure are we? Estimates for groups of classes with intervals that cover, from a handful of runs.

Two things vary: the training set with the seed (a run is one draw of both), and the test images of each class. Classes
are fixed. The default target, `population`, is new runs *and* new test images; `test_set` holds the test images fixed.

Let theta be a group's mean, f_i the corrected values of its points, c its classes with N_c test points each, a_c =
1/(number of classes), s_c^2(f) the variance of f within class c, and theta_(-r) the group's mean without run r:

    v_run   = w (R-1)/R sum_r (theta_(-r) - mean theta_(-r))^2     jackknife: all points of a run are left out at once
    v_point = sum_c a_c^2 s_c^2(f) / N_c                           test points, within each class (`points`)
    v_left                                                         what the correction of theta may have left
    population   v = v_run + v_point + v_left
    test_set     v = v_run + v_left
    interval     theta +- t(df) sqrt(v), df = v^2 / (v_run^2/(R-1) + v_point^2/df_point) (Welch and Satterthwaite; at
                 most 10,000)

The noise of a run at a point, v_rp = sum_c a_c^2 mean_i(s_i^2)/(R N_c) with s_i^2 the variance over runs at point i, is
in both v_run and v_point. Where theta is a plain mean over runs (error, accuracy, scores of a run) and points are no
clusters, it is taken out once: v_run + v_point becomes max(v_run, v_point, v_run + v_point - v_rp).

w = 1 + R f/(1 - f) widens the spread of runs that share the share f of their training images, mean over classes
(`Record.shared`; Nadeau and Bengio, "Inference for the generalization error", 2003), for all that says how wrong runs
are. The variance itself reads too low then, and no factor mends it: `cautions` says so.

Only bias and variance have a v_left: no spread of runs or points shows what their corrections leave of the plug-in's
error. How the extrapolation moves with the number of runs does (`fewer`): v_left = left^2, and for the bias

    v_left = max(left^2, ((.6/sqrt R) (plug-in - theta))^2) + min(theta, 0)^2

since a bias below 0 was corrected too far by that much at least. In a paired difference, left^2 is the smaller of
(left of one - left of the other)^2 and the sum of their squares: what both have left the same way cancels, and what
they have left in opposite ways is hardly both that large. min(theta, 0)^2 is the sum of the two methods', and (plug-in
- theta) that of the difference. .6 was fitted to `worlds` of benchmarks/coverage.py.

Where all test points but one say the same, the interval reaches at least as far as Wilson's for as many points; it is
never of length 0 for new test images. It is not clipped: what lies beyond 0 or 1 is to be read as ending there.

Why not a bootstrap over runs: R runs drawn with replacement hold about .63 R distinct ones, a run drawn twice agrees
with itself, and the percentile interval of the variance then covers the truth in 0 % of simulated studies.

Coverage of nominal 95 % at R = 10 and 20 (reports/coverage; 150 studies, so a cell is known to 1.8), one method or a
paired difference, splits and classes. In eleven simulated worlds that no constant was fitted to, though five were
looked at once: error 90-100 (mean 96; 5 of 306 cells below 92), bias 91-100 (98; one below 92), variance 95-100 (99).
In the four that constants were once fitted to: error 89-100 (95), bias 87-100 (98; few in `factors` at R = 10 is 87,
its difference 90), variance 93-100 (99). Much of this is wider than need be: reports/coverage lists the cells above
99. Not so in three others: where one run of twenty collapses, error 52-97 and variance 43-100, or one of seven of one
method, 73-97 and 70-100, which no estimator mends (`fallen_runs` names such runs); and where runs share a pool and the
data matter much, variance 33-100 and, at R = 10, bias 81-100. At R = 5 the bias covers 33-100: no claim is made of a
bias below ten runs. Where classes of the tail drift together, `se_bias="conservative"` helps (87 without it in one
world). False claims: in at most 2.7 % of the studies of any world but `collapse_one` (see `fallen`).

In smooth worlds at R = 10 differences of the bias are .92-1.13 times as wide as with a constant share in left's place
(up to 1.32 with the sum of squares for left^2).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ltbv.errors import Refusal, unknown
from ltbv.stats.measured import Measured
from ltbv.stats.points import independent_points, point_variance
from ltbv.stats.record import Record
from ltbv.stats.splits import ClassIds, GroupWeights, by_class
from ltbv.stats.student import quantile
from ltbv.stats.votes import check_ties

TARGETS = ("population", "test_set")
SE_BIAS = ("plug_in", "conservative")
MAX_DF = 1e4


@dataclass(frozen=True)
class Estimate:
    """One quantity of one group of classes.

    estimate   the corrected value (mean over classes of class means)
    low, high  the interval; not clipped to the range of the quantity: beyond 0 or 1, read it as ending there
    plug_in    the uncorrected value, which published tables show: depends on R
    se, df     standard error and degrees of freedom of the interval

    NaN where it cannot be known: interval, se and df for R < 4; corrected bias for R < 3; for R = 1 whatever says how
    runs differ, plug-in or corrected, because a run agrees with itself: variances, their parts, hits;
    everything for a group without test points; the interval of a single class with a single test point, which says
    nothing of how its images differ.
    """

    group: str
    quantity: str
    estimate: float
    low: float
    high: float
    plug_in: float
    se: float
    df: float


@dataclass(frozen=True)
class Intervals:
    """The fields of `Estimate` for all groups, arrays (G,)."""

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    plug_in: np.ndarray
    se: np.ndarray
    df: np.ndarray

    def row(self, group: int) -> dict[str, float]:
        """The fields of one group, by name."""
        return {name: float(column[group]) for name, column in vars(self).items()}


def intervals(
    measured: Measured,
    labels: np.ndarray,
    weights: GroupWeights,
    *,
    target: str,
    level: float,
    clusters: np.ndarray | None = None,
) -> Intervals:
    """The interval of each group: the formulas at the head of this file."""
    means = by_class(measured.points, labels, weights.num_classes)
    estimate = weights.means(means)
    if measured.left_out is None:
        nothing = np.full(estimate.size, np.nan)
        return Intervals(estimate, nothing, nothing, weights.means(measured.plug_in), nothing, nothing)
    plug_in, left_out = weights.means(measured.plug_in), weights.means(measured.left_out)
    runs = len(left_out)
    v_run = measured.widening * (runs - 1) / runs * ((left_out - left_out.mean(0)) ** 2).sum(0)
    v, uncertain = v_run, v_run**2 / (runs - 1)
    if target == "population":
        v_point, df_point = point_variance(measured.points, labels, means, weights, clusters)
        v = v_run + v_point
        uncertain = uncertain + v_point**2 / df_point
        if measured.values is not None and clusters is None:
            noise = by_class(measured.noise(), labels, weights.num_classes) / np.maximum(weights.counts, 1)
            v = np.maximum(v - weights.squared(noise), np.maximum(v_run, v_point))
    of_points = v - v_run  # what test points add to the spread of runs
    if measured.left:
        least = weights.means(np.broadcast_to(measured.least, weights.num_classes))
        left = np.stack([weights.means(one) for one in measured.left])
        v = v + np.maximum(np.minimum((left**2).sum(0), left.sum(0) ** 2), least**2)
    v = v + sum(np.minimum(weights.means(corrected), 0) ** 2 for corrected in measured.corrected)
    if measured.nested:
        rest = v - v_run - of_points
        t = quantile((1 + level) / 2, np.float64(runs - 1))
        t_rest = quantile((1 + level) / 2, np.full(v.shape, MAX_DF))
        if target == "population":
            v_run = v_run + (quantile((1 + level) / 2, df_point) / t) ** 2 * of_points
        v, uncertain = v_run + (t_rest / t) ** 2 * rest, np.zeros_like(v)
    df = np.minimum(np.divide(v**2, uncertain, out=np.full_like(v, runs - 1.0), where=uncertain > 0), MAX_DF)
    df[np.isnan(v)] = np.nan
    t = quantile((1 + level) / 2, df)
    se = np.sqrt(v)
    if target == "population" and measured.is_share:
        se = np.maximum(se, _unseen(measured.points, labels, weights, level, clusters) / t)
    return Intervals(estimate, estimate - t * se, estimate + t * se, plug_in, se, df)


def _unseen(
    points: np.ndarray, labels: np.ndarray, weights: GroupWeights, level: float, clusters: np.ndarray | None
) -> np.ndarray:
    """How far the interval of each group (G,) must reach at least, where all test points but one say the same.

    Twenty test points of which none is ever wrong do not show that none of a thousand is, and one that is wrong now and
    then hardly shows what others are. Where fewer than two points (or clusters) are apart from 0 (or all from 1, or
    -1), Wilson's interval for as many points is the least; elsewhere nothing is asked, 0.
    """
    size = independent_points(labels, weights, clusters)
    z2 = quantile((1 + level) / 2, np.array(MAX_DF)) ** 2
    departs = np.abs(points - np.array([[-1], [0], [1]]))  # (3, N), from each end
    some = departs > 1e-9
    if clusters is not None:
        some = np.stack([np.bincount(clusters, of) > 0 for of in some])[:, clusters]
    apart, share = weights.means(by_class(np.stack([departs, some]), labels, weights.num_classes))  # (3, G)
    root = np.sqrt(z2 * np.clip(apart * (1 - apart), 0, None) / size + (z2 / (2 * size)) ** 2)
    upper = (apart + z2 / (2 * size) + root) / (1 + z2 / size)
    reach = np.where(share * size < 2 - 1e-9, upper - apart, 0.0)
    of_nearest = np.take_along_axis(reach, apart.argmin(0, keepdims=True), 0)[0]
    of_mean = np.isclose(weights.means(np.ones(weights.num_classes)), 1)  # a gap between two groups is none
    return np.where(of_mean, of_nearest, 0.0)


@dataclass(frozen=True)
class Options:
    """What `summarize` and `compare` have in common; see `summarize` for the meaning of each."""

    target: str = "population"
    se_bias: str = "plug_in"
    ties: str = "fractional"
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise unknown("target", self.target, TARGETS)
        if self.se_bias not in SE_BIAS:
            raise unknown("se_bias", self.se_bias, SE_BIAS)
        check_ties(self.ties)
        if not 0 < self.level < 1:
            raise Refusal(f"level={self.level} must lie between 0 and 1, for example 0.95")

    def measure(self, record: Record, weights: GroupWeights) -> dict[str, Measured]:
        """All quantities of one method, by name."""
        by_half = self.se_bias == "conservative" or self.target == "test_set"
        return record.measure(weights.num_classes, self.ties, self.seed, by_half)

    def intervals(
        self, measured: Measured, labels: np.ndarray, weights: GroupWeights, clusters: np.ndarray | None = None
    ) -> Intervals:
        """The intervals of one quantity."""
        return intervals(measured, labels, weights, target=self.target, level=self.level, clusters=clusters)


def summarize(
    record: Record,
    groups: Mapping[str, ClassIds],
    *,
    target: str = "population",
    se_bias: str = "plug_in",
    ties: str = "fractional",
    level: float = 0.95,
    seed: int = 0,
) -> list[Estimate]:
    """Error, bias and variance of one method for each group of classes, with intervals.

    record       R runs of a method on N test points: at least Record(predictions, labels)
    groups       name -> class ids, for example {'all': range(100), **splits(counts)}, or one class each
    target       'population': new runs and new test images; 'test_set': new runs on these test images
    se_bias      run-to-run spread of the bias from the plug-in bias ('plug_in'), or from B_half itself ('conservative',
                 about 1.4 times as wide: for tails whose classes drift as a whole). 'test_set' always takes the latter
    ties         'fractional' or 'lowest', see `zero_one`
    level        of the intervals
    seed         of the halves behind the corrected bias, where R > 12

    Returns one `Estimate` for each group and quantity, groups in the order given. Quantities:
        accuracy, error
        bias, variance                           corrected: B_half, V_mid; plug-in values beside them
        unbiased_variance, biased_variance, hits   plug-in: error = plug-in bias + unbiased_variance - hits
        variance_low, variance_high              plug-in V and V_loo: the variance lies between them, in expectation
        kw_bias, kw_variance                     `kohavi_wolpert`, unbiased
        brier, brier_bias, brier_variance, cross_entropy, cross_entropy_bias, cross_entropy_variance     with logits
        the names of `record.per_run`
    `ltbv.stats.cautions` says what to be careful about.
    """
    options = Options(target, se_bias, ties, level, seed)
    labels, weights = record.labels, GroupWeights.of(groups, record.labels)
    measured = options.measure(record, weights)
    table = {quantity: options.intervals(one, labels, weights, record.clusters) for quantity, one in measured.items()}
    return [
        Estimate(group, quantity, **of.row(g))
        for g, group in enumerate(weights.names)
        for quantity, of in table.items()
    ]
