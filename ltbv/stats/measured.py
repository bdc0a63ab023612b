"""What must be known of a quantity to give it an interval? A corrected value at each test point, and its class means
with each run left out.

Every quantity comes down to that (`Measured`), whether it is computed from labels, logits or a score of each run, so
that intervals, paired differences and their tests are written once. Everything is read in blocks of test points: memory
grows with runs x points (labels) and runs x classes (class means), never with points x classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ltbv.errors import Refusal
from ltbv.stats.fewer import FEWER_TERMS, FewerRuns
from ltbv.stats.probability import refuse_where
from ltbv.stats.splits import by_class, divide_by_class
from ltbv.stats.votes import Ballots, blocks, subset_words
from ltbv.stats.zero_one import extrapolate

FEWEST_RUNS = 4  # for intervals: three leave-one-out values say too little about their own spread

LEAST_LEFT = 0.6  # of the bias's correction, over sqrt R: fitted to `worlds` of benchmarks/coverage.py

VOTE_TERMS = ("true_share", "weight", "variance", "loo", "unbiased", "disagreement")
Logits = np.ndarray | Callable[[slice], np.ndarray]  # (R, N, C), or slice of n points -> (R, n, C)


@dataclass(frozen=True)
class Measured:
    """One quantity of one method, or of the difference of two.

    points    (N,) corrected value at each test point
    plug_in   (C,) class means of the uncorrected values
    left_out  (R, C) class means with run r left out; None for R < 4
    left      what the correction may have left of the plug-in's error, (C,) class means; of the one method; of a
              difference also minus that of the other; none if nothing is corrected, or exactly: see `FewerRuns.left`
    least     the least that it may have left, (C,) class means; of the difference, the difference
    corrected (C,) class means of what was corrected and has no group mean below 0, of the one method or the two
    values    (R, N) the value of each run at each point, up to its sign, of a quantity that is their mean; else None
    is_share  it lies between 0 and 1; a difference of two such between -1 and 1
    widening  by what its spread over runs is multiplied, because runs share training images
    nested    a row of `left_out` is without a backbone, and all its runs: see `nested`
    """

    points: np.ndarray
    plug_in: np.ndarray
    left_out: np.ndarray | None
    left: tuple[np.ndarray, ...] = ()
    least: np.ndarray | float = 0.0
    corrected: tuple[np.ndarray, ...] = ()
    values: np.ndarray | None = None
    is_share: bool = False
    widening: float = 1.0
    nested: bool = False

    def __sub__(self, other: "Measured") -> "Measured":
        ours, theirs, values = self.values, other.values, None
        if ours is not None and theirs is not None:
            kind = np.int8 if ours.dtype == theirs.dtype == bool else np.float64
            values = np.subtract(ours, theirs, dtype=kind)
        return Measured(
            self.points - other.points,
            self.plug_in - other.plug_in,
            None if self.left_out is None or other.left_out is None else self.left_out - other.left_out,
            self.left + tuple(-left for left in other.left),
            self.least - other.least,
            self.corrected + other.corrected,
            values,
            self.is_share and other.is_share,
            max(self.widening, other.widening),
            self.nested and other.nested,
        )

    def noise(self) -> np.ndarray:
        """Variance of the mean over runs at each point (N,), of `values`: what each run says there by itself."""
        assert self.values is not None, "only a mean of runs has a value of each run"
        runs = len(self.values)
        squares = sum(np.square(row, dtype=np.float64) for row in self.values) / runs
        mean = sum(row.astype(np.float64) for row in self.values) / runs
        return np.asarray((squares - mean**2) / (runs - 1))


def measure_votes(
    predictions: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    *,
    ties: str = "fractional",
    seed: int = 0,
    bias_by_half: bool = False,
) -> dict[str, Measured]:
    """Every zero-one quantity of R runs; formulas in `zero_one` and `kohavi_wolpert`.

    'bias' is B_half and 'variance' V_mid, beside their plug-ins; 'unbiased_variance', 'biased_variance', 'hits' are the
    plug-in terms of the identity; 'variance_low' and 'variance_high' are the bracket V and V_loo; 'kw_bias' and
    'kw_variance' are unbiased.

    predictions   (R, N) int, labels (N,) int below `num_classes`; both already checked
    bias_by_half  which bias is computed with each run left out: B_half itself, or (False) the plug-in. B_half without
                  run r uses the halves of all R runs that do not contain r.
    """
    runs, points = predictions.shape
    all_runs = np.arange(runs)
    everyone = subset_words(all_runs, runs)
    others = [subset_words(np.delete(all_runs, r), runs) for r in all_runs] if runs >= FEWEST_RUNS else []
    fewer = FewerRuns.of(runs, seed) if runs >= 3 else None

    terms, terms_of_fewer = np.empty((len(VOTE_TERMS), points)), np.empty((len(FEWER_TERMS), points))
    sums = np.zeros((len(others), len(VOTE_TERMS), num_classes))
    sums_halves = np.zeros((len(fewer.subsets), num_classes)) if fewer and others and bias_by_half else None
    for block in blocks(points):
        ballots = Ballots.of(predictions[:, block], labels[block])
        place = ballots.order + block.start
        terms[:, place] = _vote_terms(ballots, everyone, runs, ties)
        for sums_of_run, rest in zip(sums, others, strict=True):
            for total, values in zip(sums_of_run, _vote_terms(ballots, rest, runs - 1, ties), strict=True):
                total += np.bincount(labels[place], values, minlength=num_classes)
        if fewer:
            terms_of_fewer[:, place] = fewer.terms(ballots, ties, labels[place], sums_halves)

    of_points = _vote_quantities(terms)
    corrected = of_points | {"bias": np.full(points, np.nan)}
    if fewer:
        corrected["bias"] = extrapolate(of_points["bias"], 1 - terms_of_fewer[0], runs, fewer.half_size)
    kw_variance = of_points["kw_variance"] * (runs - 1) / runs if runs > 1 else np.full(points, np.nan)
    plug_in = of_points | {
        "variance": of_points["variance_low"],
        "kw_variance": kw_variance,
        "kw_bias": of_points["error"] - kw_variance,
    }

    left_out: dict[str, np.ndarray] = {}
    left: dict[str, np.ndarray] = {}
    if fewer and others:
        counts = np.bincount(labels, minlength=num_classes)
        left_out = _vote_quantities(divide_by_class(sums, counts).swapaxes(0, 1))
        if sums_halves is not None:
            without = np.array([[r not in half for half in fewer.subsets.tolist()] for r in all_runs], np.float64)
            bias_half = 1 - without @ divide_by_class(sums_halves, counts) / without.sum(1, keepdims=True)
            left_out["bias"] = extrapolate(left_out["bias"], bias_half, runs - 1, fewer.half_size)
        left = fewer.left(of_points["bias"], of_points["variance"], terms_of_fewer)
    wrong = predictions != labels
    measured = {
        name: Measured(
            values,
            by_class(plug_in[name], labels, num_classes),
            left_out.get(name),
            (by_class(left[name], labels, num_classes),) if name in left else (),
            values=wrong if name in ("accuracy", "error") else None,
            is_share=True,
        )
        for name, values in corrected.items()
    }
    bias, means = measured["bias"], by_class(corrected["bias"], labels, num_classes)
    least = LEAST_LEFT / np.sqrt(runs) * (bias.plug_in - means)
    return measured | {"bias": replace(bias, least=least, corrected=(means,))}


def _vote_terms(ballots: Ballots, subset: np.ndarray, size: int, ties: str) -> np.ndarray:
    """The VOTE_TERMS of n points within a subset of `size` runs, (terms, n)."""
    tally, weight = ballots.tally(subset), ballots.main_weight_true(subset, ties)
    variance = tally.variance(size)
    if size == 1:  # a single run agrees with itself, which says nothing of its variance
        variance = np.full_like(variance, np.nan)
    return np.stack(
        [
            ballots.true_votes(subset) / size,
            weight,
            variance,
            tally.variance_loo(size),
            weight * variance,
            tally.half_disagreement(size),
        ]
    )


def _vote_quantities(terms: np.ndarray) -> dict[str, np.ndarray]:
    """Quantities by name from their VOTE_TERMS (terms, ...): linear, so they hold for points and for means alike."""
    true_share, weight, variance, loo, unbiased, disagreement = terms
    error, bias = 1 - true_share, 1 - weight
    return {
        "accuracy": true_share,
        "error": error,
        "bias": bias,
        "variance": (variance + loo) / 2,
        "unbiased_variance": unbiased,
        "biased_variance": variance - unbiased,
        "hits": bias + unbiased - error,
        "variance_low": variance,
        "variance_high": loo,
        "kw_bias": error - disagreement,
        "kw_variance": disagreement,
    }


def measure_per_run(
    per_run: Mapping[str, np.ndarray], runs: int, labels: np.ndarray, num_classes: int
) -> dict[str, Measured]:
    """Means over runs of any value that each run gives each test point, (R, N) by name: nothing to correct."""
    measured = {}
    for name, values in per_run.items():
        values = np.asarray(values)
        if values.shape != (runs, labels.size):
            raise Refusal(f"per_run[{name!r}] must be (R, N) = ({runs}, {labels.size}); got {values.shape}")
        refuse_where(~np.isfinite(values), f"per_run[{name!r}] is NaN or infinite")
        means = by_class(values, labels, num_classes)
        left_out = (means.sum(0) - means) / (runs - 1) if runs >= FEWEST_RUNS else None
        is_share = bool(values.min() >= 0 and values.max() <= 1)
        mean = values.mean(0, dtype=np.float64)
        measured[name] = Measured(mean, means.mean(0), left_out, values=values, is_share=is_share)
    return measured
