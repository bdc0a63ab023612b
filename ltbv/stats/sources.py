"""How much of the variance is the data, how much the algorithm? K training samples, each trained with M seeds; or how
much the backbone, how much the head? K backbones, on each of which M heads were trained.

Runs on the same sample differ by their seed alone (initial weights, order, augmentation); runs on different samples by
both. With an average over pairs of runs that is unbiased for any K and M >= 2:

    labels         total = 1/2 P(h != h', different samples)        algorithm = 1/2 P(h != h', same sample)
    probabilities  total = 1/2 E|p - p'|^2, different samples       algorithm = 1/2 E|p - p'|^2, same sample
                   data  = total - algorithm: may be negative in small studies and is not clipped
                   bias  = error - total, of labels: Kohavi and Wolpert's, unbiased too
    logits         algorithm = mean_k [mean_m l_km - lse(zbar_k)]   data = mean_k lse(zbar_k) - lse(zbar)
                   corrected to first order: algorithm M/(M-1); data K/(K-1) - (corrected algorithm)/M; total = the sum
                   (l = lse(z) of a run; zbar_k, zbar mean logits of a sample's runs and of all runs; lse = log sum exp)

The zero-one loss itself has no such additive law; its shares are read from the labels above, which are Kohavi and
Wolpert's variance. Treating the K M runs as independent ones would understate the total: with 2 samples of 10 seeds by
.04 in a case where it is .12. M = 1 is best for the total alone; for the shares take M = 2 and K >= 8.

A sample is left out with all its seeds, and intervals reach as `nested` says. K = 2 has one for the algorithm alone: of
a single pair of samples nothing says how others differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ltbv.errors import Refusal, unknown
from ltbv.stats.intervals import Estimate, Intervals, Options
from ltbv.stats.keyed import plain
from ltbv.stats.measured import Measured
from ltbv.stats.probability import block_points, check_logits, check_probabilities, log_sum_exp
from ltbv.stats.splits import ClassIds, GroupWeights, by_class
from ltbv.stats.votes import Ballots, blocks, check_predictions, subset_words

KINDS = ("labels", "probabilities", "logits")
VARIANCES = ("total_variance", "data_variance", "algorithm_variance")


@dataclass(frozen=True, eq=False)
class Sources:
    """Parts of the variance at each test point, arrays (N,) float64: total = data + algorithm.

    M = 1: algorithm and data are NaN (for logits, total too). K = 1: total and data are NaN.
    """

    total: np.ndarray
    data: np.ndarray
    algorithm: np.ndarray


def sources(predictions: np.ndarray, labels: np.ndarray, *, kind: str = "labels") -> Sources:
    """Variance from the data and from the algorithm at each test point: the formulas at the head of this file.

    predictions  (K, M, N) int labels; or (K, M, N, C) float with kind='probabilities' or kind='logits' (finite)
    labels       (N,) int; variances do not depend on them, only their number is checked here
    """
    predictions, labels = _check(predictions, labels, kind)
    return Sources(*_BY_KIND[kind](predictions, labels))


def summarize_sources(
    predictions: np.ndarray,
    labels: np.ndarray,
    groups: Mapping[str, ClassIds],
    *,
    kind: str = "labels",
    target: str = "population",
    level: float = 0.95,
) -> list[Estimate]:
    """`source_parts`, but for error and bias, as `summarize` gives its own. The interval needs K >= 3 samples, that of
    algorithm_variance two."""
    table = source_parts(predictions, labels, groups, kind=kind, target=target, level=level)
    return [
        Estimate(group, quantity, **of.row(g))
        for g, group in enumerate(groups)
        for quantity, of in table.items()
        if quantity in VARIANCES
    ]


def source_parts(
    predictions: np.ndarray,
    labels: np.ndarray,
    groups: Mapping[str, ClassIds],
    reference: np.ndarray | None = None,
    *,
    kind: str = "labels",
    target: str = "population",
    level: float = 0.95,
    clusters: np.ndarray | None = None,
) -> dict[str, Intervals]:
    """`sources` for groups of classes with intervals, arrays (G,) by name: VARIANCES and, of labels, error and bias.

    reference  predictions of another method, of the same samples and seeds: then the differences from it
    clusters   (N,) numbers from 0, as `Record.clusters`
    """
    options = Options(target=target, level=level)
    predictions, labels = _check(predictions, labels, kind)
    weights = GroupWeights.of(groups, labels)
    measured = _measured(predictions, labels, weights.num_classes, kind)
    if reference is not None:
        reference, _ = _check(reference, labels, kind)
        if reference.shape[:3] != predictions.shape[:3]:
            raise Refusal(
                f"reference is {reference.shape} and {kind} {predictions.shape}: give paired samples and seeds"
            )
        other = _measured(reference, labels, weights.num_classes, kind)
        measured = {name: of - other[name] for name, of in measured.items()}
    return {name: options.intervals(of, labels, weights, clusters) for name, of in measured.items()}


def _measured(predictions: np.ndarray, labels: np.ndarray, num_classes: int, kind: str) -> dict[str, Measured]:
    whole = _named(predictions, labels, kind)
    samples = range(len(predictions)) if len(predictions) > 1 else ()
    means = [
        {
            name: by_class(of, labels, num_classes)
            for name, of in _named(np.delete(predictions, k, 0), labels, kind).items()
        }
        for k in samples
    ]
    return {
        name: Measured(
            points,
            by_class(points, labels, num_classes),
            np.stack([of[name] for of in means]) if means else None,
            is_share=name == "error",
            nested=True,
        )
        for name, points in whole.items()
    }


def _named(predictions: np.ndarray, labels: np.ndarray, kind: str) -> dict[str, np.ndarray]:
    """Each quantity at each point, (N,)."""
    found = dict(zip(VARIANCES, _BY_KIND[kind](predictions, labels), strict=True))
    if kind != "labels":
        return found
    error = (predictions != labels).mean((0, 1))
    return {"error": error, "bias": error - found[VARIANCES[0]], **found}


def _check(predictions: np.ndarray, labels: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """The arrays, or a Refusal."""
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    predictions = plain(predictions, kind)
    wanted = "(K, M, N)" if kind == "labels" else "(K, M, N, C)"
    if predictions.ndim != wanted.count(",") + 1 or 0 in predictions.shape[:2]:
        raise Refusal(f"{kind} must be {wanted}, K samples of M seeds; got shape {predictions.shape}")
    flat = predictions.reshape(-1, *predictions.shape[2:])
    check = {"labels": check_predictions, "probabilities": check_probabilities, "logits": check_logits}[kind]
    _, labels = check(flat, labels)
    if kind == "logits" and not np.isfinite(flat).all():
        raise Refusal("logits are -inf at some points: sources needs finite logits, or probabilities instead")
    return predictions, labels


def _of_labels(predictions: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
    samples, seeds, points = predictions.shape
    runs = samples * seeds
    flat = predictions.reshape(runs, points)
    agree, agree_same = np.empty(points), np.empty(points)  # ordered pairs of runs that agree, with itself included
    of_sample = [subset_words(np.arange(k * seeds, (k + 1) * seeds), runs) for k in range(samples)]
    for block in blocks(points):
        ballots = Ballots.of(flat[:, block], labels[block])
        place = ballots.order + block.start
        agree[place] = ballots.tally(subset_words(np.arange(runs), runs)).squares
        agree_same[place] = sum(ballots.tally(words).squares.astype(np.float64) for words in of_sample)
    return _from_pairs(runs**2 - agree, samples * seeds**2 - agree_same, samples, seeds)


def _of_probabilities(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
    samples, seeds, points, classes = probabilities.shape
    apart, apart_same = np.empty(points), np.empty(points)
    for block in blocks(points, block_points(samples * seeds, classes)):
        p = probabilities[:, :, block].astype(np.float64)
        # The squared distances of all ordered pairs of n vectors sum to 2 n times the sum of squares about their mean.
        apart[block] = samples * seeds * ((p - p.mean((0, 1))) ** 2).sum((0, 1, 3))
        apart_same[block] = seeds * ((p - p.mean(1, keepdims=True)) ** 2).sum((0, 1, 3))
    return _from_pairs(2 * apart, 2 * apart_same, samples, seeds)


def _from_pairs(apart: np.ndarray, apart_same: np.ndarray, samples: int, seeds: int) -> tuple[np.ndarray, ...]:
    """total, data, algorithm from distances summed over all ordered pairs of runs and over those of a sample."""
    nothing = np.full(apart.shape, np.nan)
    total = (apart - apart_same) / (2 * samples * (samples - 1) * seeds**2) if samples > 1 else nothing
    algorithm = apart_same / (2 * samples * seeds * (seeds - 1)) if seeds > 1 else nothing
    return total, total - algorithm, algorithm


def _of_logits(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
    samples, seeds = logits.shape[:2]
    data, algorithm = _plug_in_of_logits(logits)
    algorithm = algorithm * (seeds / (seeds - 1) if seeds > 1 else np.nan)
    data = data * (samples / (samples - 1) if samples > 1 else np.nan) - algorithm / seeds
    return data + algorithm, data, algorithm


def _plug_in_of_logits(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """data, algorithm without correction."""
    samples, seeds, points, classes = logits.shape
    data, algorithm = np.empty(points), np.empty(points)
    for block in blocks(points, block_points(samples * seeds, classes)):
        z = logits[:, :, block].astype(np.float64)
        of_samples = log_sum_exp(z.mean(1)).mean(0)
        algorithm[block] = log_sum_exp(z).mean((0, 1)) - of_samples
        data[block] = of_samples - log_sum_exp(z.mean((0, 1)))
    return data, algorithm


_BY_KIND = {"labels": _of_labels, "probabilities": _of_probabilities, "logits": _of_logits}
