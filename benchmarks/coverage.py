"""Do 95 % intervals cover, and how far off are the estimates? Simulated studies whose truth is known.

    nice -n 19 python benchmarks/coverage.py [--studies 400] [--runs 5 10 20] [--world gumbel] [--processes 1] [--seed 0]

A *world* is a population of test points in 100 classes (35 many, 35 medium, 30 few) for which two methods vote with known
probabilities. A study draws 100 points of each class and R runs of both methods, and asks `ltbv.stats` for estimates and
intervals, which are set against the world's truth: `population` intervals against the mean over the whole population,
`test_set` intervals against the mean over the points of the study.

    gumbel    softmax votes among 12 candidate labels a point; scores drift by class from run to run, sd .3. Three
              parameters a split put accuracy, bias and variance at the published cells of CE (reference) and RIDE (method)
    drift     the same with drift of sd .6 (class accuracy then varies by 7 points from run to run)
    factors   nearest-mean classifiers on 16 features: a run estimates each class's mean from its n = 500 to 5 training
              images, so tail classes move as a whole; points are blurred anew in each run; a prior favours the head
    dirichlet each point has its own vote probabilities, Dirichlet with a concentration and a skill of its class; runs
              are independent. Many votes are near uniform, which is where every correction is weakest

Both methods of a study share half of their run noise and the same points, as paired studies do. Every draw comes from a
generator keyed by the seed, the world, R and the number of the study: results do not depend on --processes.
"""

import argparse
import csv
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before numpy: a process is one thread

import numpy as np

import ltbv
from ltbv.stats.intervals import Options, intervals
from ltbv.stats.splits import GroupWeights

CLASSES = 100
PER_CLASS = 100  # test points of a class in a study
PROFILE = (500 * 100 ** (-np.arange(CLASSES) / (CLASSES - 1))).astype(int)  # training images
SPLITS = {"many": np.arange(35), "medium": np.arange(35, 70), "few": np.arange(70, 100)}
GROUPS = {"all": np.arange(CLASSES), **SPLITS, **{str(c): np.array([c]) for c in range(CLASSES)}}
SHOWN = 4  # of the groups, the rest are single classes
METHODS = ("reference", "method", "difference")
QUANTITIES = ("error", "bias", "variance", "kw_bias", "kw_variance")
OPTIONS = {
    "population": Options(),
    "population, conservative": Options(se_bias="conservative"),
    "test_set": Options(target="test_set"),
}
REPORT = Path(__file__).parents[1] / "reports" / "coverage"
PROMISED = (93, 99)  # percent


# ---------------------------------------------------------------- worlds


@dataclass(frozen=True)
class World:
    """A population of P test points.

    labels       (P,)
    truth        method -> (Q, P): each point's QUANTITIES under the exact distribution of votes
    truth_error  standard error of the truth of a split or of all classes, the largest there is
    votes        (generator, points (N,), R) -> {method: predictions (R, N)} for the two methods
    """

    labels: np.ndarray
    truth: dict[str, np.ndarray]
    truth_error: float
    votes: Callable[[np.random.Generator, np.ndarray, int], dict[str, np.ndarray]]


def of_shares(shares: np.ndarray) -> np.ndarray:
    """QUANTITIES of each point (Q, P) from vote probabilities (P, K), the true label's in column 0."""
    error, bias = 1 - shares[:, 0], (shares.argmax(1) != 0).astype(np.float64)
    disagreement = (1 - (shares**2).sum(1)) / 2
    return np.stack([error, bias, 1 - shares.max(1), error - disagreement, disagreement])


def split_means(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Means over classes of class means (..., 4), for all classes and the splits, of values of points (..., P)."""
    return np.stack([values[..., np.isin(labels, classes)].mean(-1) for classes in [*GROUPS.values()][:SHOWN]], -1)


def correlated(generator: np.random.Generator, shape: tuple[int, ...], correlation: float) -> list[np.ndarray]:
    """Standard normal numbers for reference and method."""
    common, *own = generator.standard_normal((3, *shape), np.float32)
    return [np.sqrt(correlation) * common + np.sqrt(1 - correlation) * one for one in own]


def draw_candidates(generator: np.random.Generator, labels: np.ndarray, number: int) -> np.ndarray:
    """Labels (P, number) that a point may be given: its own, then others, all different."""
    others = generator.random((labels.size, CLASSES - 1), np.float32).argpartition(number, 1)[:, : number - 1]
    return np.concatenate([labels[:, None], others + (others >= labels[:, None])], 1)


def balanced(generator: np.random.Generator, draws: int, dimensions: int) -> np.ndarray:
    """Normal draws (draws, dimensions) whose first three moments are exact: all that is quadratic integrates exactly."""
    half = generator.standard_normal((draws // 2, dimensions))
    half = half @ np.linalg.inv(np.linalg.cholesky(half.T @ half / len(half))).T
    return np.concatenate([half, -half])


# Mean and spread over points of the true label's mean score, spread of the other labels' (many, medium, few).
TUNED = {
    0.3: {
        "reference": ((3.843, 2.666, 1.422), (2.988, 0.072, 2.153), (-0.503, 1.718, 1.626)),
        "method": ((4.583, 2.865, 1.798), (2.870, 2.123, 1.820), (0.570, 2.908, 1.613)),
    },
    0.6: {
        "reference": ((4.098, 2.883, 1.510), (3.167, 0.187, 2.295), (-0.547, 1.825, 1.728)),
        "method": ((4.913, 3.080, 1.930), (3.076, 2.259, 1.958), (0.684, 2.995, 1.735)),
    },
}


def gumbel(generator: np.random.Generator, drift: float = 0.3, per_class: int = 1000, draws: int = 400) -> World:
    """Votes argmax_k (mean_ik + drift_rk + Gumbel_rik) among 12 candidates: given the drift, softmax probabilities."""
    labels = np.repeat(np.arange(CLASSES), per_class)
    candidates = draw_candidates(generator, labels, 12)
    split = np.repeat([0, 1, 2], [SPLITS[name].size * per_class for name in SPLITS])
    means = {}
    for name, z in zip(METHODS, correlated(generator, candidates.shape, 0.8), strict=False):
        centre, spread, others = np.array(TUNED[drift][name], np.float32)[split].T
        z *= others[:, None]
        z[:, 0] *= spread / others
        z[:, 0] += centre
        means[name] = z

    truth, halves = {}, []
    offsets = drift * np.concatenate([balanced(generator, draws // 2, 12) for _ in range(2)])
    for name, mean in means.items():
        power, half = np.exp(mean - mean.max(1, keepdims=True)), np.zeros((2, *mean.shape))
        for number, offset in enumerate(np.exp(offsets).astype(np.float32)):
            weight = power * offset
            half[number * 2 // draws] += weight / weight.sum(1, keepdims=True)
        half /= draws // 2
        truth[name] = of_shares(half.mean(0))
        halves.append([split_means(of_shares(one), labels) for one in half])
    first, second = np.moveaxis(halves, 1, 0)
    votes = partial(_gumbel_votes, candidates, {name: np.exp(-mean) for name, mean in means.items()}, drift)
    return World(labels, truth, float(np.abs(first - second).max() / 2), votes)


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
    return World(labels, truth, float(np.abs(first - second).max() / 2), votes)


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
    return World(labels, truth, 0.0, partial(_dirichlet_votes, candidates, cumulated))


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


WORLDS = {"gumbel": gumbel, "drift": partial(gumbel, drift=0.6), "factors": factors, "dirichlet": dirichlet}


# ---------------------------------------------------------------- studies


def study(world: World, key: tuple[int, ...], runs: int) -> np.ndarray:
    """One study: (methods, options, quantities, 6, groups), the 6 being
    estimate, plug_in, low, high, truth of the population, truth of the study's test points."""
    generator = np.random.default_rng(np.random.SeedSequence(key))
    size = world.labels.size // CLASSES
    points = (np.arange(CLASSES)[:, None] * size + generator.integers(size, size=(CLASSES, PER_CLASS))).ravel()
    labels = world.labels[points]
    weights = GroupWeights.of(GROUPS, labels)

    def means(values):
        return weights.means(values.reshape(len(QUANTITIES), CLASSES, -1).mean(2))

    truth = {name: (means(values), means(values[:, points])) for name, values in world.truth.items()}
    truth["difference"] = tuple(a - b for a, b in zip(truth["method"], truth["reference"], strict=True))
    predictions = world.votes(generator, points, runs)
    found = np.empty((len(METHODS), len(OPTIONS), len(QUANTITIES), 6, len(GROUPS)))
    for o, option in enumerate(OPTIONS.values()):
        # What `summarize` and `compare` do, with one measurement of each method for both.
        measured = {name: option.measure(votes, labels, CLASSES, None, None) for name, votes in predictions.items()}
        for m, name in enumerate(METHODS):
            for q, quantity in enumerate(QUANTITIES):
                if name == "difference":
                    one = measured["method"][quantity] - measured["reference"][quantity]
                else:
                    one = measured[name][quantity]
                of = intervals(one, labels, weights, target=option.target, level=option.level)
                found[m, o, q] = of.estimate, of.plug_in, of.low, of.high, truth[name][0][q], truth[name][1][q]
    return found
