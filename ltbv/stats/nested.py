"""What if runs stand on backbones, several runs on each? Then backbones are what was drawn, and they are few.

Runs on one backbone are alike: they get wrong together what it does not show. So R runs on B backbones are no R draws,
and a vote of them all is one of B. Every quantity is therefore taken of the runs of each backbone, bias and variance
with the corrections for as many runs as it has, and

    theta = mean_b theta_b          what a head's error, bias and variance are, *given its backbone*, in the mean
    v_run = (B-1)/B sum_b (theta_(-b) - mean theta_(-b))^2        theta_(-b): without backbone b and all its runs

is for new backbones. How much a new backbone moves the predictions is another question, and one of pairs of runs:
`sources`. With B = 2 or 3 the spread has one or two degrees of freedom and may be small by chance, so Welch's and
Satterthwaite's df, which then trusts the test points' spread alone, is not to be used. Each part reaches by itself
instead (Zou and Donner, "Construction of confidence limits about effect measures", Statistics in Medicine, 2008):

    theta +- sqrt(t(B-1)^2 v_run + t(df_point)^2 v_point + z^2 v_left)

v_point is without the noise of a backbone at a point, mean over backbones, which v_run holds too: theta is a plain mean
of what each backbone says at each point, so it is known (`intervals`).

The standard error that is told is that reach divided by t(B-1), with df = B - 1: a p of it is that of the interval at
5 %, and too large below. In simulated studies of 2, 3 and 6 backbones it covers 93 to 100 %, mean 98: wider than need
be (benchmarks/results/backbones.md).
"""

from collections.abc import Sequence

import numpy as np

from ltbv.errors import Refusal
from ltbv.stats.measured import Measured
from ltbv.stats.splits import by_class


def check_backbones(backbones: object, runs: int) -> np.ndarray | None:
    """(R,) numbers from 0 of the backbone of each run, or a Refusal; None where none are given, or all are one."""
    if backbones is None:
        return None
    found = np.asarray(backbones)
    if found.shape != (runs,) or found.dtype.kind not in "iuUS":
        raise Refusal(
            f"backbones must be one whole number or name for each of {runs} runs; got {found.dtype} of shape"
            f" {found.shape}"
        )
    distinct, numbers = np.unique(found, return_inverse=True)
    return numbers if distinct.size > 1 else None


def over_backbones(each: Sequence[Measured], labels: np.ndarray, num_classes: int) -> Measured:
    """The mean over backbones of a quantity that was measured of the runs of each; no interval unless each has one."""
    number = len(each)
    means = np.stack([by_class(one.points, labels, num_classes) for one in each])
    whole = all(one.left_out is not None for one in each)
    left, corrected = (
        tuple(np.mean(terms, 0) for terms in zip(*(getattr(one, name) for one in each), strict=True)) if whole else ()
        for name in ("left", "corrected")
    )
    return Measured(
        points=np.mean([one.points for one in each], 0),
        plug_in=np.mean([one.plug_in for one in each], 0),
        left_out=(means.sum(0) - means) / (number - 1) if whole else None,
        left=left,
        least=np.mean([np.broadcast_to(one.least, num_classes) for one in each], 0),
        corrected=corrected,
        values=np.stack([one.points for one in each]) if whole else None,
        is_share=all(one.is_share for one in each),
        nested=True,
    )


def means_of_backbones(values: np.ndarray, backbones: np.ndarray | None) -> np.ndarray:
    """Means (B, ...) over the runs of each backbone, of `values` (R, ...); these as they are where there is one."""
    if backbones is None:
        return values
    return np.stack([values[backbones == b].mean(0, dtype=np.float64) for b in range(backbones.max() + 1)])
