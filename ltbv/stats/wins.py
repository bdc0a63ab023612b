"""How often does a run of one method beat a run of another? The probability that a user who trains both once, on one
training set, finds the method better.

    wins = (number of pairs with a_r > b_r  +  half the number of ties) / R

over runs r that are pairs: one training sample, the same seeds, so it is not the share of all R x R pairings
(Bouthillier et al., "Accounting for variance in machine learning benchmarks", MLSys 2021, who call a method better
where it is above .75 and its interval above .5). A method may win every time by nothing that matters: the size of the
gain is another question.

The interval is Clopper and Pearson's (1934), for new pairs of runs on these test images: its lower end counts ties as
lost and its upper end as won, so that it covers however a tie would have been decided. Pairs that share training images
say less: R/w pairs count, with w as in `intervals`; that is approximate, w = 1 is exact. None for R < 4.
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


def wins(method: np.ndarray, reference: np.ndarray, *, widening: float = 1.0, level: float = 0.95) -> Wins:
    """How often `method` beats `reference`, scores (R, G) of R paired runs, higher is better; NaN where one is NaN.

    widening  `Record.widening`; NaN: no interval
    """
    from scipy.special import betaincinv

    method, reference = np.asarray(method, np.float64), np.asarray(reference, np.float64)
    if method.shape != reference.shape or method.ndim != 2 or not len(method):
        raise Refusal(f"scores must be (R, G) of paired runs; got {method.shape} and {reference.shape}")
    difference, runs = method - reference, len(method)
    unknown = np.isnan(difference).any(0)
    tie = np.abs(difference) <= SAME
    won, tied = ((difference > 0) & ~tie).mean(0), tie.mean(0)
    low, high = np.full((2, *won.shape), np.nan)
    pairs = runs / widening
    if runs >= FEWEST_RUNS and np.isfinite(pairs):
        least, most, tail = won * pairs, (won + tied) * pairs, (1 - level) / 2
        inside = least > 0, pairs - most > 1e-9
        low = np.where(inside[0], betaincinv(np.where(inside[0], least, 1), pairs - least + 1, tail), 0.0)
        high = np.where(inside[1], betaincinv(most + 1, np.where(inside[1], pairs - most, 1), 1 - tail), 1.0)
    return Wins(*(np.where(unknown, np.nan, one) for one in (won + tied / 2, low, high, tied)))
