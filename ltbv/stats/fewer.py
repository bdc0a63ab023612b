"""What would fewer runs have said? How a correction moves with the number of runs tells what it may have left.

Every correction extrapolates from R runs to infinitely many. So ask it twice: of all runs, and of subsets of about half
of them, m = max(R // 2, 3), whose extrapolation rests on q = max(R // 4, 2). With B_m the plug-in bias of m runs, mean
over subsets, and E(a, b) = (a B_a - b B_b)/(a - b):

    left of the bias       (E(R, m) - E(m, q)) / sqrt 2
    left of the variance   (V_mid(R) - V_mid(m)) / 2

Were the extrapolation exact, both would be 0 but for noise. Where the plug-in's error is a/R + b/R^2, a third of what
E moved is left; where most points are near a tie it is still moving at R runs, by about as much again: no share of the
correction fixed beforehand knows that. The sqrt 2 lies between, chosen in simulation (benchmarks/worlds_apart.py says
with which worlds): with 2 in its place levels at R = 10 cover down to 88 % where many points are hard, with 1 the
intervals of differences are up to 1.4 times as wide as with a constant share.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ltbv.stats.votes import Ballots, subset_words
from ltbv.stats.zero_one import extrapolate, half_subsets

FEWER_TERMS = ("weight_half", "weight_middle", "weight_quarter", "variance_middle")
DRAWN_QUARTERS = 60  # subsets of q runs, about as many, where they are drawn
DRAWN_FOR_VARIANCE = 16  # subsets of m runs where they are drawn: their means over test points differ little
ENUMERATED = 12  # runs: up to here all subsets are taken


@dataclass(frozen=True)
class FewerRuns:
    """Which subsets of the R runs are asked, as words of bits.

    half_size, middle_size, quarter_size   runs in each: half of them (as in `bias_half_sample`), m, q
    halves, middle, quarters               of half_size, m, q runs; middle is None where it is halves
    of_variance                            of m runs, for the variance
    subsets                                (S, half_size) run numbers of the halves
    """

    runs: int
    half_size: int
    middle_size: int
    quarter_size: int
    halves: list[np.ndarray]
    middle: list[np.ndarray] | None
    quarters: list[np.ndarray]
    of_variance: list[np.ndarray]
    subsets: np.ndarray

    @classmethod
    def of(cls, runs: int, seed: int) -> "FewerRuns":
        """Those of R >= 3 runs; where not all subsets are taken, `seed` draws them."""
        subsets = half_subsets(runs, seed)
        middle_size, quarter_size = max(runs // 2, 3), max(runs // 4, 2)
        middle = None if middle_size == subsets.shape[1] else np.array([*combinations(range(runs), middle_size)])
        of_middle = subsets if middle is None else middle

        def words(of: np.ndarray) -> list[np.ndarray]:
            return [subset_words(subset, runs) for subset in of]

        return cls(
            runs,
            subsets.shape[1],
            middle_size,
            quarter_size,
            words(subsets),
            None if middle is None else words(middle),
            words(_quarters(runs, quarter_size, seed)),
            words(of_middle if runs <= ENUMERATED else of_middle[:DRAWN_FOR_VARIANCE]),
            subsets,
        )

    def terms(
        self,
        ballots: Ballots,
        ties: str,
        labels: np.ndarray | None = None,
        class_sums: NDArray[np.float64] | None = None,
    ) -> np.ndarray:
        """FEWER_TERMS of the points of `ballots`, (terms, n).

        With `labels` (n,) and `class_sums` (S, C), the class sums of the weight in each half are added to these.
        """
        alike, kind = ballots.kinds() if self.runs <= ENUMERATED else (ballots, slice(None))
        variance = self._mean_variance(alike)[kind]  # whatever the rule for ties
        if ties != "fractional":
            alike, kind = ballots, slice(None)
        if class_sums is None:
            half = _mean_weight(alike, self.halves, ties)[kind]
        else:
            half = _mean_weight(ballots, self.halves, ties, labels, class_sums)
        middle = half if self.middle is None else _mean_weight(alike, self.middle, ties)[kind]
        quarter = _mean_weight(alike, self.quarters, ties)[kind]
        return np.stack([half, middle, quarter, variance])

    def _mean_variance(self, ballots: Ballots) -> np.ndarray:
        """Mean of V_mid over subsets of m runs (n,)."""
        split = np.arange(ballots.reach[1] if ballots.reach.size > 1 else 0)  # the others are of one mind
        total = np.zeros(ballots.order.size)
        ballots = ballots.at(split)
        for subset in self.of_variance if split.size else ():
            tally = ballots.tally(subset)
            total[split] += tally.variance(self.middle_size) + tally.variance_loo(self.middle_size)
        return total / (2 * len(self.of_variance))

    def left(self, bias: np.ndarray, variance: np.ndarray, terms: np.ndarray) -> dict[str, np.ndarray]:
        """What is left of bias and variance at each point (N,), from the plug-in bias, V_mid and FEWER_TERMS."""
        bias_middle, bias_quarter, variance_middle = 1 - terms[1], 1 - terms[2], terms[3]
        middle, quarter = self.middle_size, self.quarter_size
        late = extrapolate(bias, bias_middle, self.runs, middle)
        return {
            "bias": (late - extrapolate(bias_middle, bias_quarter, middle, quarter)) / np.sqrt(2),
            "variance": (variance - variance_middle) / 2,
        }


def _quarters(runs: int, size: int, seed: int) -> np.ndarray:
    """Subsets of `size` runs (S, size): all there are of few runs, else from permutations cut into disjoint ones."""
    if runs <= ENUMERATED:
        return np.array([*combinations(range(runs), size)])
    generator = np.random.default_rng(np.random.SeedSequence((seed, size)))
    each = runs // size
    drawn = [generator.permutation(runs)[: each * size].reshape(each, size) for _ in range(DRAWN_QUARTERS // each)]
    return np.concatenate(drawn)


def _mean_weight(
    ballots: Ballots,
    subsets: list[np.ndarray],
    ties: str,
    labels: np.ndarray | None = None,
    class_sums: NDArray[np.float64] | None = None,
) -> np.ndarray:
    """Mean over subsets of runs of the weight of the true label (n,).

    With `labels` (n,) and `class_sums` (S, C), its class sums in each subset are added to them.
    """
    true = ballots.true_votes(subset_words(np.arange(ballots.size), ballots.size))
    # Where no run or every run is right, every subset of the runs says so too: only the others are counted.
    certain, contested = true == ballots.size, np.flatnonzero((true > 0) & (true < ballots.size))
    if class_sums is not None and labels is not None:
        class_sums += np.bincount(labels[certain], minlength=class_sums.shape[1])
        labels = labels[contested]
    mean = certain.astype(np.float64)
    ballots, total = ballots.at(contested), np.zeros(contested.size)
    for number, subset in enumerate(subsets):
        weight = ballots.main_weight_true(subset, ties)
        total += weight
        if class_sums is not None and labels is not None:
            class_sums[number] += np.bincount(labels, weight, minlength=class_sums.shape[1])
    mean[contested] = total / max(len(subsets), 1)
    return mean
