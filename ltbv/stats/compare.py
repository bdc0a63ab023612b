"""Does a method beat its reference? Paired differences, with the tests that belong to them.

Run r of both methods has the same training sample and seeds, and both see the same test points. So a run is left out of
both at once and points are compared one by one: what the two share cancels. The gain of pairing is measured, because it
depends on how much they share.

A difference in bias is as sure as its interval only from 10 runs on, and where neither method's votes are near uniform
or near a tie: `no_bias_claim` names the groups where no claim is to be made of it, whatever its p.

Nine confirmatory tests, {error, bias, variance} x {many, medium, few}, are corrected together (Holm, 1979). The group
"all" is a combination of the three and gets an interval only. Tests of single classes are exploratory (Benjamini and
Hochberg, 1995): a hundred classes are beyond what ten runs can settle.

A study that grows, 10, 15, 20 runs, and is read each time makes more false claims than one that is read once, and still
fewer than it may: of two methods that do not differ, at most 2.7 % of simulated studies have a claim at any of the
three readings (reports/coverage), because neighbouring readings see the same runs and intervals are a little wide. So
nothing is corrected for the looks; a study that is read after every run is another matter.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ltbv.stats.intervals import Intervals, Options
from ltbv.stats.measured import Measured
from ltbv.stats.record import Record, pair
from ltbv.stats.splits import ClassIds, GroupWeights
from ltbv.stats.student import quantile, upper_tail

CONFIRMED_QUANTITIES = ("error", "bias", "variance")
CONFIRMED_GROUPS = ("many", "medium", "few")
POWER = 0.8


@dataclass(frozen=True)
class Difference:
    """Method minus reference, for one quantity of one group of classes.

    estimate, low, high, plug_in, se, df   as in `Estimate`, of the paired difference
    p             two-sided, of no difference: t = estimate / se with df
    p_holm        p corrected for the nine confirmatory tests; NaN for every other quantity and group
    pairing_gain  standard error without pairing / with it
    detectable    the smallest true difference found in 80 % of such studies, at this level: (t(df) + t_.8(df)) se
    q_class       exploratory: p corrected over all groups of one class, within the quantity; NaN for other groups

    p is NaN where no run varies on fixed test points and yet the methods differ: no test can be formed.
    """

    group: str
    quantity: str
    estimate: float
    low: float
    high: float
    plug_in: float
    se: float
    df: float
    p: float
    p_holm: float
    pairing_gain: float
    detectable: float
    q_class: float


def compare(
    method: Record,
    reference: Record,
    groups: Mapping[str, ClassIds],
    *,
    target: str = "population",
    se_bias: str = "plug_in",
    ties: str = "fractional",
    level: float = 0.95,
    seed: int = 0,
) -> list[Difference]:
    """Differences of a method from its reference, for each group and each quantity of `summarize` that both have.

    method, reference  records of one study: the same test labels, class counts and scheme, otherwise refused. Runs are
                       matched by number, and those of one side only are left out: so plug-in values, which depend on
                       R, are always compared at equal R
    groups, options    as in `summarize`
    """
    options = Options(target, se_bias, ties, level, seed)
    method, reference = pair(method, reference)
    labels, weights = method.labels, GroupWeights.of(groups, method.labels)
    ours, theirs = options.measure(method, weights), options.measure(reference, weights)
    ours = {quantity: of for quantity, of in ours.items() if quantity in theirs}

    clusters = method.clusters
    table = {
        quantity: _paired(ours[quantity], theirs[quantity], labels, weights, options, clusters) for quantity in ours
    }
    p_holm = confirm(weights.names, {quantity: of.p for quantity, of in table.items()})
    is_split = [name in ("all", *CONFIRMED_GROUPS) for name in weights.names]
    one_class = (weights.sizes == 1) & ~np.array(is_split)
    q_class = {quantity: benjamini_hochberg(np.where(one_class, of.p, np.nan)) for quantity, of in table.items()}
    return [
        Difference(
            group,
            quantity,
            **of.paired.row(g),
            p=float(of.p[g]),
            p_holm=p_holm.get((group, quantity), np.nan),
            pairing_gain=float(of.gain[g]),
            detectable=float(of.detectable[g]),
            q_class=float(q_class[quantity][g]),
        )
        for g, group in enumerate(weights.names)
        for quantity, of in table.items()
    ]


@dataclass(frozen=True)
class _Paired:
    """One quantity compared, for all groups: arrays (G,)."""

    paired: Intervals
    p: np.ndarray
    gain: np.ndarray
    detectable: np.ndarray


def _paired(
    ours: Measured,
    theirs: Measured,
    labels: np.ndarray,
    weights: GroupWeights,
    options: Options,
    clusters: np.ndarray | None,
) -> _Paired:
    paired, one, other = (options.intervals(of, labels, weights, clusters) for of in (ours - theirs, ours, theirs))
    return _Paired(
        paired,
        p=two_sided_p(paired.estimate, paired.se, paired.df),
        gain=_ratio(np.hypot(one.se, other.se), paired.se),
        detectable=detectable(paired.se, paired.df, options.level),
    )


def confirm(names: Sequence[str], p: Mapping[str, np.ndarray]) -> dict[tuple[str, str], float]:
    """Holm-corrected p by (group, quantity) of the confirmatory tests; `names` are the groups, p[quantity] is (G,)."""
    family = [
        (g, quantity) for g, group in enumerate(names) if group in CONFIRMED_GROUPS for quantity in CONFIRMED_QUANTITIES
    ]
    corrected = holm(np.array([p[quantity][g] for g, quantity in family]))
    return {(names[g], quantity): float(value) for (g, quantity), value in zip(family, corrected, strict=True)}


def two_sided_p(estimate: np.ndarray, se: np.ndarray, df: np.ndarray) -> np.ndarray:
    """p (G,) of estimate / se against t(df); 1 where nothing differs or varies, NaN where it differs, never varying."""
    t = np.abs(_ratio(estimate, se))
    p = 2 * upper_tail(t, df)
    return np.where((estimate == 0) & (se == 0), 1.0, p)


def detectable(se: np.ndarray, df: np.ndarray, level: float = 0.95) -> np.ndarray:
    """Smallest difference found with power .8 by a two-sided test at 1 - level: (t_{(1+level)/2} + t_.8) se, (G,)."""
    return (quantile((1 + level) / 2, df) + quantile(POWER, df)) * se


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's adjusted p (T,): the k-th smallest times T - k + 1, made monotone, at most 1.

    NaN stays NaN and does not count as a test. Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    return _step(p, lambda ordered: np.maximum.accumulate(ordered * np.arange(ordered.size, 0, -1)))


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg's adjusted p (T,), "q": the k-th smallest times T/k, made monotone, at most 1.

    Calling all tests with q <= .1 different keeps the expected share of false calls below 10 %. NaN stays NaN and does
    not count. Benjamini and Hochberg, "Controlling the false discovery rate", 1995.
    """
    return _step(
        p, lambda ordered: np.minimum.accumulate((ordered * ordered.size / np.arange(1, ordered.size + 1))[::-1])[::-1]
    )


def _step(p: np.ndarray, adjust: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    p = np.asarray(p, np.float64)
    adjusted = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    adjusted[order] = np.minimum(adjust(p[order]), 1.0)
    return adjusted


def _ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    return np.divide(over, under, out=np.full(over.shape, np.nan), where=under != 0)
