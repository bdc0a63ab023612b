"""How often does a run of one method beat a run of another? The probability that a user who trains both once, on one
training set, finds the method better.

    wins = (number of pairs with a_r > b_r  +  half the number of ties) / R

over runs r that are pairs: one training sample, the same seeds, so it is not the share of all R x R pairings
(Bouthillier et al., "Accounting for variance in machine learning benchmarks", MLSys 2021, who call a method better
where it is above .75 and its interval above .5). A method may win every time by nothing that matters: the size of the
gain is another question.

The interval is Clopper and Pearson's (1934), exact for new pairs of runs that are drawn as these were, from the same
pool or training set, on these test images: its lower end counts ties as lost and its upper end as won, so that it
covers however a tie would have been decided. What another pool would say is not in it. None for R < 4.
"""

from dataclasses import dataclass

import numpy as np

from ltbv.errors import Refusal
from ltbv.stats.measured import FEWEST_RUNS

SAME = 1e-12  # scores nearer than this are a tie: means over classes in two orders of summation


@dataclass(frozen=True)
class Wins:
    """Arrays (G,): share of pairs won, ties counted half, with its interval; `ties` is a share of pairs too."""

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    ties: np.ndarray


def wins(method: np.ndarray, reference: np.ndarray, *, level: float = 0.95) -> Wins:
    """How often `method` beats `reference`, scores (R, G) of R paired runs, higher is better; NaN where one is NaN."""
    from scipy.special import betaincinv

    method, reference = np.asarray(method, np.float64), np.asarray(reference, np.float64)
    if method.shape != reference.shape or method.ndim != 2 or not len(method):
        raise Refusal(f"scores must be (R, G) of paired runs; got {method.shape} and {reference.shape}")
    difference, runs = method - reference, len(method)
    unknown = np.isnan(difference).any(0)
    tied = np.abs(difference) <= SAME
    won, ties = ((difference > 0) & ~tied).sum(0), tied.sum(0)
    low, high = np.full((2, *won.shape), np.nan)
    if runs >= FEWEST_RUNS:
        lost, tail = runs - won - ties, (1 - level) / 2
        low = np.where(won > 0, betaincinv(np.maximum(won, 1), runs - won + 1, tail), 0.0)
        high = np.where(lost > 0, betaincinv(won + ties + 1, np.maximum(lost, 1), 1 - tail), 1.0)
    estimate = (won + ties / 2) / runs
    return Wins(*(np.where(unknown, np.nan, one) for one in (estimate, low, high, ties / runs)))
