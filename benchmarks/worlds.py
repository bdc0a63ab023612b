"""Populations with known truth: those that constants of `ltbv.stats` were once fitted to.

Another set, which nothing was fitted to, is in `worlds_apart`. A world of this set is a population of test points in
100 classes (35 many, 35 medium, 30 few) on which two methods vote with known probabilities.

    gumbel     softmax votes among 12 candidate labels a point; scores drift by class from run to run, sd .3. Three
               parameters a split put accuracy, bias and variance at the published cells of CE (reference) and RIDE +
               LDAM (method), to within .006
    drift      the same with drift of sd .6
    factors    nearest-mean classifiers on 16 features: a run estimates each class's mean from its 500 to 5 training
               images, so tail classes move as a whole; points are blurred anew in each run; a prior favours the head
    dirichlet  each point has its own vote probabilities, Dirichlet with a concentration and a skill of its class; runs
               are independent
    ties       stress test: as gumbel, with scores so close that very many points are near a tie

Both methods share half of their run noise and the same points, as paired studies do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

CLASSES = 100
PER_CLASS = 100  # test points of a class in a study
PROFILE = (500 * 100 ** (-np.arange(CLASSES) / (CLASSES - 1))).astype(int)  # training images
SPLITS = {"many": np.arange(35), "medium": np.arange(35, 70), "few": np.arange(70, CLASSES)}
GROUPS = {"all": np.arange(CLASSES), **SPLITS}
METHODS = ("reference", "method", "difference")


def thirds(classes: int) -> dict[str, np.ndarray]:
    """'all', 'many', 'medium', 'few' of classes that are sorted by their number of training images."""
    parts = np.array_split(np.arange(classes), 3)
    return {"all": np.arange(classes), **dict(zip(("many", "medium", "few"), parts, strict=True))}


@dataclass(frozen=True)
class World:
    """A population of P test points, as many of each class, sorted by class.

    labels       (P,)
    truth        method -> (Q, P): error, bias, variance, Kohavi and Wolpert's bias and variance of each point under the
                 exact distribution of votes
    truth_error  standard error of the truth of a split or of all classes, the largest there is
    votes        (generator, points (N,), R) -> {method: predictions (R, N)} for the two methods
    groups       name -> class ids; None: `thirds`
    per_class    test points of a study in each class, (C,) or a number
    clusters     (P,) clusters of as many neighbours each, which a study draws as a whole; None: points alone
    shared       (C,) share of a class's images that two runs have in common; None: runs are independent
    scheme       how they were drawn
    """

    labels: np.ndarray
    truth: dict[str, np.ndarray]
    truth_error: float
    votes: Callable[[np.random.Generator, np.ndarray, int], dict[str, np.ndarray]]
    groups: Mapping[str, np.ndarray] | None = None
    per_class: int | np.ndarray = PER_CLASS
    clusters: np.ndarray | None = None
    shared: np.ndarray | None = None
    scheme: str | None = None


def of_shares(shares: np.ndarray) -> np.ndarray:
    """What `World.truth` holds of each point (Q, P), from vote probabilities (P, K), the true label's in column 0."""
    error, bias = 1 - shares[:, 0], (shares.argmax(1) != 0).astype(np.float64)
    disagreement = (1 - (shares**2).sum(1)) / 2
    return np.stack([error, bias, 1 - shares.max(1), error - disagreement, disagreement])


def split_means(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Means over classes of class means (..., 4), for all classes and the splits, of values of points (..., P)."""
    return np.stack([values[..., np.isin(labels, classes)].mean(-1) for classes in GROUPS.values()], -1)


def correlated(generator: np.random.Generator, shape: tuple[int, ...], correlation: float) -> list[np.ndarray]:
    """Standard normal numbers for reference and method."""
    common, *own = generator.standard_normal((3, *shape), np.float32)
    return [np.sqrt(correlation) * common + np.sqrt(1 - correlation) * one for one in own]


def draw_candidates(generator: np.random.Generator, labels: np.ndarray, number: int) -> np.ndarray:
    """Labels (P, number) that a point may be given: its own, then others, all different."""
    others = generator.random((labels.size, CLASSES - 1), np.float32).argpartition(number, 1)[:, : number - 1]
    return np.concatenate([labels[:, None], others + (others >= labels[:, None])], 1)


def balanced(generator: np.random.Generator, draws: int, dimensions: int) -> np.ndarray:
    """Normal draws (draws, dimensions) whose first three moments are exact: what is quadratic integrates exactly."""
    half = generator.standard_normal((draws // 2, dimensions))
    half = half @ np.linalg.inv(np.linalg.cholesky(half.T @ half / len(half))).T
    return np.concatenate([half, -half])


@dataclass(frozen=True)
class Scores:
    """Of `gumbel`: sd of the drift; for each split (many, medium, few) mean and spread over points of the true label's
    mean score, and spread of the other labels'."""

    drift: float
    reference: tuple
    method: tuple


TUNED = Scores(
    drift=0.3,
    reference=((3.843, 2.666, 1.422), (2.988, 0.072, 2.153), (-0.503, 1.718, 1.626)),
    method=((4.583, 2.865, 1.798), (2.870, 2.123, 1.820), (0.570, 2.908, 1.613)),
)
DRIFTING = Scores(
    drift=0.6,
    reference=((4.098, 2.883, 1.510), (3.167, 0.187, 2.295), (-0.547, 1.825, 1.728)),
    method=((4.913, 3.080, 1.930), (3.076, 2.259, 1.958), (0.684, 2.995, 1.735)),
)
TIED = Scores(
    drift=0.45,
    reference=((3.0, 2.0, 1.5), (1.5, 1.0, 1.0), (0.0, 2.0, 1.0)),
    method=((3.0, 1.5, 1.0), (2.0, 1.5, 1.5), (1.0, 1.0, 1.5)),
)


def gumbel(generator: np.random.Generator, scores: Scores, per_class: int = 1000, draws: int = 400) -> World:
    """Votes argmax_k (mean_ik + drift_rk + Gumbel_rik) among 12 candidates: given the drift, softmax probabilities."""
    labels = np.repeat(np.arange(CLASSES), per_class)
    candidates = draw_candidates(generator, labels, 12)
    split = np.repeat([0, 1, 2], [SPLITS[name].size * per_class for name in SPLITS])
    means = {}
    for name, z in zip(METHODS, correlated(generator, candidates.shape, 0.8), strict=False):
        centre, spread, others = np.array(getattr(scores, name), np.float32)[split].T
        z *= others[:, None]
        z[:, 0] *= spread / others
        z[:, 0] += centre
        means[name] = z

    truth, halves = {}, []
    offsets = scores.drift * np.concatenate([balanced(generator, draws // 2, 12) for _ in range(2)])
    for name, mean in means.items():
        power, half = np.exp(mean - mean.max(1, keepdims=True)), np.zeros((2, *mean.shape))
        for number, offset in enumerate(np.exp(offsets).astype(np.float32)):
            weight = power * offset
            half[number * 2 // draws] += weight / weight.sum(1, keepdims=True)
        half /= draws // 2
        truth[name] = of_shares(half.mean(0))
        halves.append([split_means(of_shares(one), labels) for one in half])
    first, second = np.moveaxis(halves, 1, 0)
    votes = partial(_gumbel_votes, candidates, {name: np.exp(-mean) for name, mean in means.items()}, scores.drift)
    return World(labels, truth, float(np.abs(first - second).max() / 2), votes, GROUPS)


def _gumbel_votes(candidates, rates, drift, generator, points, runs):
    chosen = candidates[points]
    rows = np.arange(points.size)
    # The smallest of exponential times at rates e^score is the largest of Gumbel scores.
    times = generator.standard_exponential((runs, *chosen.shape), np.float32)
    shared = generator.random((runs, points.size)) < 0.5
    predictions = {}
    for name, moved in zip(rates, correlated(generator, (runs, CLASSES), 0.5), strict=True):
        if predictions:
            times[~shared] = generator.standard_exponential((int((~shared).sum()), chosen.shape[1]), np.float32)
        first = (times * rates[name][points] * np.exp(-drift * moved)[:, chosen]).argmin(2)
        predictions[name] = chosen[rows, first]
    return predictions


FEATURES = 16
WITHIN = 1.2  # spread of a class's points about its mean; class means have spread 1
# train: error of an estimated class mean, x WITHIN/sqrt(n). view: blur of a point. prior: weight of log n in the score.
FACTORS = {"reference": (1.0, 1.0, 1.0), "method": (0.8, 0.8, 0.5)}


def factors(generator: np.random.Generator, per_class: int = 250, runs: int = 3000) -> World:
    """Nearest-mean votes; the truth is that of 3,000 runs, extrapolated from its two halves."""
    labels = np.repeat(np.arange(CLASSES), per_class)
    centres = generator.standard_normal((CLASSES, FEATURES), np.float32)
    points = centres[labels] + WITHIN * generator.standard_normal((labels.size, FEATURES), np.float32)
    votes = partial(_factor_votes, centres, points)
    counts = {name: np.zeros((2, labels.size, CLASSES), np.uint16) for name in FACTORS}
    everyone = np.arange(labels.size)
    for run in range(runs):
        for name, (vote,) in votes(generator, everyone, 1).items():
            counts[name][run * 2 // runs, everyone, vote] += 1
    truth, halves = {}, []
    for name, (one, other) in counts.items():
        for half in (one, other):  # the true label first
            half[everyone, labels], half[:, 0] = half[:, 0].copy(), half[everyone, labels]
        both = [of_shares(half / (runs / 2)) for half in (one, other)]
        # What is off by a/R at R runs is off by 2a/R at R/2.
        truth[name] = 2 * of_shares((one + other) / runs) - sum(both) / 2
        halves.append([split_means(values, labels) for values in both])
    first, second = np.moveaxis(halves, 1, 0)
    return World(labels, truth, float(np.abs(first - second).max() / 2), votes, GROUPS)


def _factor_votes(centres, points, generator, chosen, runs):
    root = np.sqrt(PROFILE, dtype=np.float32)[:, None]
    x = points[chosen]
    predictions = {name: np.empty((runs, chosen.size), np.int16) for name in FACTORS}
    for run in range(runs):
        missed = generator.standard_normal(centres.shape, np.float32) / root  # the same training images
        blurs = correlated(generator, x.shape, 0.5)
        for (name, (train, view, prior)), blur in zip(FACTORS.items(), blurs, strict=True):
            means = centres + np.float32(train * WITHIN) * missed
            scale = np.float32(WITHIN**2 + view**2)
            offset = prior * np.log(PROFILE) - (means**2).sum(1) / (2 * scale)
            scores = (x + np.float32(view) * blur) @ (means.T / scale) + offset.astype(np.float32)
            predictions[name][run] = scores.argmax(1)
    return predictions


def dirichlet(generator: np.random.Generator, per_class: int = 1000, labels_each: int = 10) -> World:
    """Votes drawn from probabilities of the point's own; two methods share .8 of the gamma numbers behind them."""
    labels = np.repeat(np.arange(CLASSES), per_class)
    candidates = draw_candidates(generator, labels, labels_each)
    middle = np.repeat([0.57, 0.30, 0.10], [SPLITS[name].size for name in SPLITS])
    skill = np.clip(middle + generator.uniform(-0.1, 0.1, CLASSES), 0.03, None)
    concentration = np.exp(generator.uniform(np.log(1.0), np.log(5.0), CLASSES))
    share = np.concatenate([skill[:, None], np.repeat((1 - skill)[:, None] / (labels_each - 1), labels_each - 1, 1)], 1)
    better = np.concatenate([share[:, :1] + 0.07, share[:, 1:] * (1 - 0.07 / (1 - skill))[:, None]], 1)
    alpha = {"reference": concentration[:, None] * share, "method": 0.8 * concentration[:, None] * better}
    common = generator.standard_gamma(0.8 * np.minimum(*alpha.values())[labels])
    cumulated, truth = {}, {}
    for name, parameter in alpha.items():
        rest = parameter - 0.8 * np.minimum(*alpha.values())
        gamma = common + generator.standard_gamma(rest[labels])
        shares = gamma / gamma.sum(1, keepdims=True)
        truth[name] = of_shares(shares)
        cumulated[name] = shares.cumsum(1)
    return World(labels, truth, 0.0, partial(_dirichlet_votes, candidates, cumulated), GROUPS)


def _dirichlet_votes(candidates, cumulated, generator, points, runs):
    rows = np.arange(points.size)
    height = generator.random((runs, points.size))
    shared = generator.random(height.shape) < 0.5
    predictions = {}
    for name, edges in cumulated.items():
        if predictions:
            height = np.where(shared, height, generator.random(height.shape))
        first = (height[..., None] > edges[points][:, :-1]).sum(2)
        predictions[name] = candidates[points][rows, first]
    return predictions


WORLDS = {
    "gumbel": partial(gumbel, scores=TUNED),
    "drift": partial(gumbel, scores=DRIFTING),
    "factors": factors,
    "dirichlet": dirichlet,
    "ties": partial(gumbel, scores=TIED),
}
