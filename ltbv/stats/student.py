"""How far do t intervals reach? Student's t distribution, as quantiles and tails.

`scipy.special` takes about as long to import (.1 s) as a study of ten runs takes to summarize, and every command
imports `ltbv.stats`: it is imported here, on the first call.
"""

import numpy as np


def quantile(share: float, df: np.ndarray | float) -> np.ndarray:
    """The t below which `share` of t(df) lies; NaN where df is."""
    from scipy.special import stdtrit

    return stdtrit(df, share)


def upper_tail(t: np.ndarray | float, df: np.ndarray | float) -> np.ndarray:
    """P(T > t) for T of t(df); NaN where either is."""
    from scipy.special import stdtr

    return stdtr(df, -np.asarray(t))
