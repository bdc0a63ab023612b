"""How sure are we of a number that is no mean over test points? Of a score that a run has as a whole, such as its worst
class or its macro-F1, and of what is made of such scores.

With theta of all R runs and theta_(-r) without run r (Tukey's jackknife; both methods lose the run in a difference):

    v = w (R-1)/R sum_r (theta_(-r) - mean theta_(-r))^2         theta +- t(R-1) sqrt(v)

w as in `intervals`, for runs that share training images. For a mean over runs it is the common w s^2/R. The interval is
for *new training runs on these test images*: how much other images of the same classes would move the number is not in
it, so it is too narrow for a new test set. There is none for R < 4, nor where every theta_(-r) is the same: runs that
agree once do not show that others would.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ltbv.stats.intervals import Intervals
from ltbv.stats.measured import FEWEST_RUNS
from ltbv.stats.nested import means_of_backbones
from ltbv.stats.student import quantile


@dataclass(frozen=True)
class OverRuns:
    """A number of each of G groups: `whole` (G,) of all R runs, `left_out` (R, G) without each; NaN for R = 1."""

    whole: np.ndarray
    left_out: np.ndarray

    @classmethod
    def of(
        cls,
        values: np.ndarray,
        function: Callable[[np.ndarray], np.ndarray] | None = None,
        backbones: np.ndarray | None = None,
    ) -> "OverRuns":
        """Means over runs of `values` (R, G), or a `function` of these means. With `Record.backbones` (R,), R is their
        number, and one is left out with all its runs."""
        values, function = np.asarray(values, np.float64), function or (lambda means: means)
        values = means_of_backbones(values, backbones)
        runs = len(values)
        means = (values.sum(0) - values) / (runs - 1) if runs > 1 else np.full_like(values, np.nan)
        return cls(function(values.mean(0)), function(means))

    def __sub__(self, other: "OverRuns") -> "OverRuns":
        return OverRuns(self.whole - other.whole, self.left_out - other.left_out)

    def intervals(self, *, widening: float = 1.0, level: float = 0.95) -> Intervals:
        """The formulas at the head of this file; nothing is corrected, so `plug_in` is the estimate."""
        runs = len(self.left_out)
        spread = self.left_out - self.left_out.mean(0)
        se = np.sqrt(widening * (runs - 1) / runs * (spread**2).sum(0))
        known = (np.abs(spread).max(0) > 1e-12) if runs >= FEWEST_RUNS else np.zeros(self.whole.shape, bool)
        se, df = np.where(known, se, np.nan), np.where(known, runs - 1.0, np.nan)
        reach = quantile((1 + level) / 2, df) * se
        return Intervals(self.whole, self.whole - reach, self.whole + reach, self.whole, se, df)
