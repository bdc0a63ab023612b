"""How sure is the mean of any value that a run gives a test point? Such as a score, its confidence, its Brier score."""

from dataclasses import replace

import numpy as np

from ltbv.errors import Refusal
from ltbv.stats.intervals import Intervals, Options
from ltbv.stats.keyed import plain
from ltbv.stats.measured import Measured, measure_per_run
from ltbv.stats.nested import means_of_backbones
from ltbv.stats.splits import GroupWeights


def mean_of_values(
    values: np.ndarray,
    labels: np.ndarray,
    weights: GroupWeights,
    *,
    reference_values: np.ndarray | None = None,
    clusters: np.ndarray | None = None,
    widening: float = 1.0,
    backbones: np.ndarray | None = None,
    options: Options | None = None,
) -> Intervals:
    """Mean over runs, points and classes of each group, with the interval of `summarize`: new runs and new test images.

    values            (R, N) of each run at each point
    labels            (N,) int
    reference_values  (R, N), runs and points paired with `values`: then the means of values - reference_values
    clusters          (N,) numbers from 0, as `Record.clusters`
    widening          of the spread over runs that share training images: `Record.widening`
    backbones         (R,) numbers from 0, as `Record.backbones`; without an interval where there are fewer than four
    """

    def measure(values: np.ndarray) -> Measured:
        values = means_of_backbones(values, backbones)
        return measure_per_run({"values": values}, len(values), labels, weights.num_classes)["values"]

    values = plain(values, "values")
    measured = measure(values)
    if reference_values is not None:
        reference_values = plain(reference_values, "reference_values")
        if reference_values.shape != values.shape:
            raise Refusal(f"values are {values.shape} and reference_values {reference_values.shape}: give paired runs")
        measured = measured - measure(reference_values)
    return (options or Options()).intervals(replace(measured, widening=widening), labels, weights, clusters)
