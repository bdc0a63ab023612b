"""Do the two methods differ at all? An exact test of any difference, which assumes no distribution.

If method and reference did not differ, then within a run (same training sample, same seeds) the two sets of
predictions could change places. So every one of the 2^R ways to swap them is computed anew, votes and main predictions
included, and p is the share of ways whose difference is at least as large as the one observed (Fisher's randomization
test, "The design of experiments", 1935).

What it refutes is that the two are exchangeable, whichever statistic it looks at. The plug-in bias falls with the
variance, so of two methods with one and the same bias it tells "bias" apart in most studies if their variances differ:
its p of the bias is no test of the bias. It says most for error and variance.

Runs that stand on several backbones are swapped with all others on theirs: then R is the number of backbones.

It holds the test points fixed, and it cannot give a p below 2/2^R: with nine confirmatory tests that takes R >= 9.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ltbv.errors import Refusal
from ltbv.stats.compare import CONFIRMED_QUANTITIES, confirm
from ltbv.stats.record import Record, pair
from ltbv.stats.splits import ClassIds, GroupWeights
from ltbv.stats.votes import Ballots, blocks, check_ties, subset_words

FEWEST = 9
ENUMERATED = 16  # all 2^R ways up to here
DRAWN = 10_000  # ways drawn beyond
SAME = 1e-12  # differences closer than this are equal: the same sum in another order


@dataclass(frozen=True)
class SignFlip:
    """Exact test of one quantity of one group.

    difference    observed, method minus reference: error, plug-in bias, V_mid
    p             two-sided
    p_holm        corrected for the nine confirmatory tests; NaN for other groups
    arrangements  how many ways to swap p rests on
    exact         all of them were computed (R <= 16), not a random draw
    """

    group: str
    quantity: str
    difference: float
    p: float
    p_holm: float
    arrangements: int
    exact: bool


def sign_flip(
    method: Record,
    reference: Record,
    groups: Mapping[str, ClassIds],
    *,
    ties: str = "fractional",
    seed: int = 0,
) -> list[SignFlip]:
    """Exact p of no difference between the methods, seen in error, plug-in bias and variance of each group of classes.

    method, reference  records with at least 9 runs in common, paired and refused as in `compare`
    groups, ties       as in `summarize`; meant for a few groups, memory grows with their number
    seed               of the 10,000 ways that are drawn where R > 16

    A small p of the bias says that the methods differ, not that their biases do: see above.
    Costs 2^R counts of all votes: about 1 s for R = 10 and 10,000 points, 1 to 2 min for R = 16 (one core, 2020s).
    """
    check_ties(ties)
    method, reference = pair(method, reference)
    labels, (runs, points) = method.labels, method.predictions.shape
    draws, of_run = method.draws, np.arange(runs) if method.backbones is None else method.backbones
    if draws < FEWEST:
        what = "runs" if method.backbones is None else "backbones"
        raise Refusal(
            f"{draws} {what}: an exact sign-flip test cannot go below p = {2 / 2**draws:.3g}, too much for nine"
            f" tests; it needs {FEWEST} {what}. The intervals of compare hold with fewer"
        )
    exact = draws <= ENUMERATED
    swaps = (_all_swaps(draws) if exact else _drawn_swaps(draws, seed))[:, of_run]
    both = np.concatenate([method.predictions, reference.predictions])
    # Where run r is swapped, the method's side holds row R + r of `both` instead of row r.
    sides = [[subset_words(np.arange(runs) + runs * side, 2 * runs) for side in (swap, ~swap)] for swap in swaps]
    weights = GroupWeights.of(groups, labels)
    per_point = weights.matrix() / np.maximum(weights.counts, 1)  # mean over classes of class means
    differences = np.zeros((len(swaps), len(CONFIRMED_QUANTITIES), len(weights.names)))
    for block in blocks(points):
        ballots = Ballots.of(both[:, block], labels[block])
        of_points = per_point[:, labels[block][ballots.order]].T
        for of_swap, (ours, theirs) in zip(differences, sides, strict=True):
            of_swap += (_values(ballots, ours, runs, ties) - _values(ballots, theirs, runs, ties)) @ of_points
    differences[:, :, weights.empty] = np.nan
    observed = differences[0]
    as_large = (np.abs(differences) >= np.abs(observed) - SAME).mean(0)
    p = np.where(np.isnan(observed), np.nan, as_large)
    p_of = dict(zip(CONFIRMED_QUANTITIES, p, strict=True))
    p_holm = confirm(weights.names, p_of)
    arrangements = 2**draws if exact else len(swaps)
    return [
        SignFlip(
            group,
            quantity,
            float(observed[q, g]),
            float(p[q, g]),
            p_holm.get((group, quantity), np.nan),
            arrangements,
            exact,
        )
        for g, group in enumerate(weights.names)
        for q, quantity in enumerate(CONFIRMED_QUANTITIES)
    ]


def _values(ballots: Ballots, side: np.ndarray, runs: int, ties: str) -> np.ndarray:
    """Error, plug-in bias, V_mid of the runs of one side, (3, n); in the order of CONFIRMED_QUANTITIES."""
    tally = ballots.tally(side)
    return np.stack(
        [
            1 - ballots.true_votes(side) / runs,
            1 - ballots.main_weight_true(side, ties),
            (tally.variance(runs) + tally.variance_loo(runs)) / 2,
        ]
    )


def _all_swaps(runs: int) -> np.ndarray:
    """Which runs are swapped, (2^(R-1), R) bool, first none. Run 0 never is: that would be the mirror image, -T."""
    bits = np.arange(2 ** (runs - 1))[:, None] >> np.arange(runs - 1) & 1
    return np.pad(bits.astype(bool), ((0, 0), (1, 0)))


def _drawn_swaps(runs: int, seed: int) -> np.ndarray:
    """None swapped, then random ones, (DRAWN + 1, R) bool: counting the observed way keeps the test valid."""
    swaps = np.random.default_rng(np.random.SeedSequence(seed)).random((DRAWN + 1, runs)) < 0.5
    swaps[0] = False
    return swaps
