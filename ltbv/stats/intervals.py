"""How sure are we? Estimates for groups of classes with intervals that cover, from a handful of runs.

Two things vary: the training set with the seed (a run is one draw of both), and the test images of each class. Classes
are fixed. The default target, `population`, is new runs *and* new test images; `test_set` holds the test images fixed.

Let theta be a group's mean, f_i the corrected values of its points, c its classes with N_c test points each, a_c =
1/(number of classes), s_c^2(f) the variance of f within class c, and theta_(-r) the group's mean without run r:

    v_run   = (R-1)/R sum_r (theta_(-r) - mean theta_(-r))^2       jackknife: all points of a run are left out at once
    v_point = sum_c a_c^2 s_c^2(f) / N_c                           test points, within each class
    v_left  = (share (plug-in - theta))^2                          what the correction of theta may have got wrong
    population   v = v_run + v_point + v_left
    test_set     v = v_run + v_left
    interval     theta +- t(df) sqrt(v), df = v^2 / (v_run^2/(R-1)) for either (Satterthwaite; only v_run has few
                 degrees of freedom: R-1 where nothing else is in v; at most 10,000)

Only bias and variance have a v_left: no spread of runs or points shows what their corrections leave of the plug-in's
error. For the bias, share^2 = (.6/sqrt(R))^2 + (6 R^2 (V_loo - V)^3)^2: more where many points are near a tie, which a
wide bracket [V, V_loo] shows. For the variance, share = .4/R. In a paired difference, v_left is the square of the
difference of the two methods' share (plug-in - theta).

Why not a bootstrap over runs: R runs drawn with replacement hold about .63 R distinct ones, a run drawn twice agrees
with itself, and the percentile interval of the variance then covers the truth in 0 % of simulated studies. The noise of
a run at a point is in both terms above, so the population interval errs on the wide side.

Coverage of nominal 95 % at R = 10 in five simulated worlds, one method or a paired difference, splits and classes
(reports/coverage): error 93-99, variance 95-100, bias 93-100 but for one tail whose classes drift together (89,
`se_bias="conservative"` is for that) and for a world made to be hard, where two labels tie at most points (24-89). At
R = 5 the bias covers 73-93 elsewhere too. `cautions` names such groups: few runs, a wide bracket, no majority.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ltbv.errors import Refusal, unknown
from ltbv.stats.measured import FEWEST_RUNS, Measured
from ltbv.stats.record import Record
from ltbv.stats.splits import GroupWeights, by_class
from ltbv.stats.student import quantile
from ltbv.stats.votes import check_ties

TARGETS = ("population", "test_set")
SE_BIAS = ("plug_in", "conservative")
MAX_DF = 1e4
WIDE_BRACKET = 0.10
FEW_AGREE = 0.4
RECOMMENDED = 10  # runs
OF_ONE_SET = {  # schemes whose runs resample one training set, and what their variance is then
    "stratified_bootstrap": "the variance is that of resampling one training set, with about two thirds of its images"
    " in each run, not that of new training sets",
    "bootstrap": "the variance is that of resampling one training set, its class counts too, with about two thirds of"
    " its images in each run, not that of new training sets",
    "seed_only": "every run sees the same images, so the variance is that of initialisation and order alone, not that"
    " of new training sets",
}


@dataclass(frozen=True)
class Estimate:
    """One quantity of one group of classes.

    estimate   the corrected value (mean over classes of class means)
    low, high  the interval; not clipped to the range of the quantity
    plug_in    the uncorrected value, which published tables show: depends on R
    se, df     standard error and degrees of freedom of the interval

    NaN where it cannot be known: interval, se and df for R < 4; corrected bias for R < 3; for R = 1 all but
    accuracy and error; everything for a group without test points.
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


def intervals(measured: Measured, labels: np.ndarray, weights: GroupWeights, *, target: str, level: float) -> Intervals:
    """The interval of each group: the formulas at the head of this file."""
    means = by_class(measured.points, labels, weights.num_classes)
    estimate = weights.means(means)
    if measured.left_out is None:
        nothing = np.full(estimate.size, np.nan)
        return Intervals(estimate, nothing, nothing, weights.means(measured.plug_in), nothing, nothing)
    plug_in, left_out = weights.means(measured.plug_in), weights.means(measured.left_out)
    runs = len(left_out)
    v_run = (runs - 1) / runs * ((left_out - left_out.mean(0)) ** 2).sum(0)
    v = v_run + sum(correction.left(weights) for correction in measured.corrections) ** 2
    if target == "population":
        v += _point_variance(measured.points, labels, means, weights)
    share = np.divide(v_run, v, out=np.ones_like(v), where=v > 0)
    df = np.minimum((runs - 1) / np.maximum(share, 1e-9) ** 2, MAX_DF)
    df[np.isnan(v)] = np.nan
    se = np.sqrt(v)
    reach = quantile((1 + level) / 2, df) * se
    return Intervals(estimate, estimate - reach, estimate + reach, plug_in, se, df)


def _point_variance(points: np.ndarray, labels: np.ndarray, means: np.ndarray, weights: GroupWeights) -> np.ndarray:
    """sum_c a_c^2 s_c^2 / N_c of each group (G,).

    A class with a single test point has no variance of its own and takes the mean s_c^2 of the other classes of its
    group; a group with no other class has none (NaN).
    """
    counts = weights.counts
    squares = np.bincount(labels, (points - means[labels]) ** 2, minlength=counts.size)
    known = counts > 1
    variance = np.divide(squares, counts - 1, out=np.zeros(counts.size), where=known)
    own = weights.squared(np.divide(variance, counts, out=np.zeros(counts.size), where=known))
    lone, others = weights.squared(counts == 1), weights.squared(known)
    typical = np.divide(weights.squared(variance), others, out=np.full(others.shape, np.nan), where=others > 0)
    return own + np.where(lone > 0, lone * typical, 0.0)


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

    def intervals(self, measured: Measured, labels: np.ndarray, weights: GroupWeights) -> Intervals:
        """The intervals of one quantity."""
        return intervals(measured, labels, weights, target=self.target, level=self.level)


def summarize(
    record: Record,
    groups: Mapping[str, np.ndarray],
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
    `cautions` says what to be careful about.
    """
    options = Options(target, se_bias, ties, level, seed)
    labels, weights = record.labels, GroupWeights.of(groups, record.labels)
    measured = options.measure(record, weights)
    table = {quantity: options.intervals(one, labels, weights) for quantity, one in measured.items()}
    return [
        Estimate(group, quantity, **of.row(g))
        for g, group in enumerate(weights.names)
        for quantity, of in table.items()
    ]


def cautions(record: Record, estimates: Sequence[Estimate]) -> list[str]:
    """What a reader of `summarize(record, ...)` must know: lines to print under a table, or none.

    Named are: too few runs; runs that predict alike; groups whose votes are near uniform (mean n1/R below .4), where no
    correction can be trusted; groups whose bracket [V, V_loo] is wider than .10, or whose bias is `impossible`; what
    the scheme leaves out of the variance.
    """
    runs = len(record.predictions)
    lines = []
    if runs < FEWEST_RUNS:
        lines.append(f"{runs} runs: no intervals (they need {FEWEST_RUNS} runs; 10 are recommended).")
    elif runs < 5:
        lines.append(f"{runs} runs: corrections and intervals are rough below 5 runs; 10 are recommended.")
    elif runs < RECOMMENDED:
        lines.append(
            f"{runs} runs: intervals of the bias cover less than they say (in simulation 73 to 93 % for nominal 95 %"
            f" at 5 runs); {RECOMMENDED} are recommended."
        )
    if runs > 1 and (same := runs - len(np.unique(record.predictions, axis=0))):
        lines.append(f"{same} of {runs} runs predict what another one does at every test point: copies of one run?")
    value = {(one.group, one.quantity): one.estimate for one in estimates}
    names = list(dict.fromkeys(one.group for one in estimates))
    low, high = ({name: value.get((name, f"variance_{end}"), np.nan) for name in names} for end in ("low", "high"))
    uniform = [name for name in names if low[name] > 1 - FEW_AGREE]
    wide = [name for name in names if high[name] - low[name] > WIDE_BRACKET and name not in uniform]
    if uniform:
        lines.append(
            f"votes are near uniform in {_enumerate(uniform)}: read the variance as the bracket from"
            " variance_low to variance_high, and do not trust the corrected bias."
        )
    if wide:
        lines.append(
            f"the bracket from variance_low to variance_high is wider than {WIDE_BRACKET:.2f} in"
            f" {_enumerate(wide)}: the interval of the bias may miss there; more runs would narrow it."
        )
    if beyond := impossible(estimates):
        lines.append(
            f"the corrected bias of {_enumerate(beyond)} is below 0 by more than its interval, which no bias can be:"
            " the correction goes too far there; trust neither it nor its differences."
        )
    if record.scheme in OF_ONE_SET:
        lines.append(f"scheme {record.scheme}: {OF_ONE_SET[record.scheme]}.")
    if record.scheme == "stratified_bootstrap" and record.train_counts is not None:
        fixed = np.flatnonzero(np.asarray(record.train_counts) == 1).tolist()
        if fixed:
            lines.append(
                f"one training image in class {_enumerate(fixed)}: drawn with replacement within the class it"
                " never varies, so its own sampling is not in the variance."
            )
    return lines


def impossible(estimates: Sequence[Estimate]) -> list:
    """Groups whose interval of the bias lies below 0, where no bias can be: B_half overshoots, as it does where every
    run guesses anew at every point."""
    return [one.group for one in estimates if one.quantity == "bias" and one.high < 0]


def _enumerate(names: Sequence) -> str:
    shown = ", ".join(str(name) for name in names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
