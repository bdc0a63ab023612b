"""Populations with known truth that nothing in `ltbv.stats` was fitted to: they only test.

They are unlike `worlds`, from which constants of the statistics came once, and unlike each other; each is what one
assumption of the intervals fears most. No number here was chosen after a look at what the intervals do with it. One
number of the statistics was: `tilt`, `blocks`, `fine`, `sparse` and `alike` were looked at, with `gumbel`, when the
sqrt 2 of `ltbv.stats.fewer` was chosen between 1 and 2. `families` and `two_kinds` were written after that.

    tilt       heavy-tailed class drift (t with 3 degrees of freedom), and a tilt between head and tail in every run
    blocks     test points of a class flip together, twelve at a time
    collapse   one run of twenty gives most points a few head classes
    binary     two classes
    fine       1,000 classes of 5 test points
    sparse     2,000 classes of 1 to 3 test points
    alike      every point is as hard as the others of its class: its true label has .55 to .72 of the votes
    pool       runs draw their images from a pool of 500 a class, as `subsample` does; truth is that of fresh images,
               data effects are strong, and those of the head move the tail
    clips      test points come in clips of ten that are alike; intervals are told so
    few_points as `tilt`, with 3 test points a class
    families   classes in families of five, which a run moves together and whose members are taken for each other
    two_kinds  points are easy or hard, nothing between; of 30 classes, ever more points are hard towards the tail
    lone_tail  10 easy classes of 50 test points beside 30 hard ones of a single test point
    collapse_one  as `collapse`, of the second method alone and of every seventh run: better else, it is worse for that

In each the second method has the votes of the first, sharpened: the label with most votes stays, so both have one bias
(exactly, but for `tilt`, `few_points`, `families` and `pool`, where drift comes between), and the second has less
variance. A claim about the bias is then false. The two share half of their run noise.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from worlds import METHODS, World, of_shares, thirds

SHARED_NOISE = 0.5
CANDIDATES = 8


def sharpened(shares: np.ndarray, power: float = 1.6) -> np.ndarray:
    """Vote shares (..., K) to a power: the order of the labels stays."""
    powered = shares**power
    return powered / powered.sum(-1, keepdims=True)


def skills(draw: np.random.Generator, classes: int, per_class: int) -> np.ndarray:
    """Scores (P, K) of the candidates, the true label first, whose mean falls from head to tail."""
    centre = np.repeat(np.linspace(2.4, 0.2, classes) + 0.5 * draw.standard_normal(classes), per_class)
    scores = 1.1 * draw.standard_normal((classes * per_class, CANDIDATES))
    scores[:, 0] += centre + 0.6 * draw.standard_normal(centre.size)
    return scores


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def rivals(draw: np.random.Generator, labels: np.ndarray, classes: int, number: int = CANDIDATES) -> np.ndarray:
    """Candidate labels (P, K) of each point: its own, then others near it in the order of classes."""
    steps = np.sort(np.stack([draw.permutation(min(classes - 1, 24))[: number - 1] for _ in range(64)]), 1) + 1
    others = (labels[:, None] + steps[draw.integers(64, size=labels.size)]) % classes
    return np.concatenate([labels[:, None], others], 1)


def vote(shares: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """The candidate (..., n) whose stretch of the shares (..., n, K) holds the height (..., n) in [0, 1]."""
    return (heights[..., None] > shares.cumsum(-1)[..., :-1]).sum(-1)


def pair_of_heights(draw: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    """For two methods: uniform numbers, of which about half are shared."""
    one, other = draw.random((2, *shape))
    return [one, np.where(draw.random(shape) < SHARED_NOISE, one, other)]


def independent(
    draw: np.random.Generator, classes: int, per_class: int, spread: Callable | None = None, power: float = 1.6
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """labels (P,), candidates (P, K), vote shares of the two methods."""
    labels = np.repeat(np.arange(classes), per_class)
    shares = softmax(skills(draw, classes, per_class)) if spread is None else spread(draw, labels)
    return (
        labels,
        rivals(draw, labels, classes, shares.shape[1]),
        {
            "reference": shares,
            "method": sharpened(shares, power),
        },
    )


def simple_votes(candidates, shares, draw, points, runs, heights_of=pair_of_heights):
    rows = np.arange(points.size)
    heights = heights_of(draw, (runs, points.size))
    return {
        name: candidates[points][rows, vote(of[points], height)]
        for (name, of), height in zip(shares.items(), heights, strict=True)
    }


def blocks(draw: np.random.Generator) -> World:
    labels, candidates, shares = independent(draw, 60, 480)

    def together(draw, shape):
        own = pair_of_heights(draw, shape)
        of_block = pair_of_heights(draw, (shape[0], -(-shape[1] // 12)))
        joins = draw.random(shape) < 0.7
        return [np.where(joins, np.repeat(b, 12, 1)[:, : shape[1]], o) for o, b in zip(own, of_block, strict=True)]

    votes = partial(simple_votes, candidates, shares, heights_of=together)
    return World(labels, {k: of_shares(v) for k, v in shares.items()}, 0.0, votes, per_class=60)


def collapse(
    draw: np.random.Generator, rate: float = 0.05, falling: tuple[str, ...] = METHODS[:2], power: float = 1.6
) -> World:
    labels, candidates, shares = independent(draw, 60, 480, power=power)
    lost = 0.9
    gone = labels % 3  # where a point of the class goes then
    mixed = {}
    for name, of in shares.items():
        of_fallen = rate * lost * (name in falling)
        every = np.concatenate([of * (1 - of_fallen), np.full((len(of), 1), of_fallen)], 1)
        same = candidates == gone[:, None]
        every[:, :-1] += np.where(same, every[:, -1:], 0)
        every[:, -1] = np.where(same.any(1), 0, every[:, -1])
        mixed[name] = of_shares(every)

    def votes(draw, points, runs):
        predictions = simple_votes(candidates, shares, draw, points, runs)
        collapsed = draw.random((runs, 1)) < rate
        falls = collapsed & (draw.random((runs, points.size)) < lost)
        return {name: np.where(falls & (name in falling), gone[points], of) for name, of in predictions.items()}

    return World(labels, mixed, 0.0, votes, per_class=60)


def binary(draw: np.random.Generator) -> World:
    def spread(draw, labels):
        right = np.where(labels == 0, draw.beta(2.4, 1.0, labels.size), draw.beta(1.3, 1.2, labels.size))
        return np.stack([right, 1 - right], 1)

    labels, candidates, shares = independent(draw, 2, 20_000, spread)
    votes = partial(simple_votes, candidates, shares)
    groups = {"all": np.arange(2), "many": np.array([0]), "few": np.array([1])}
    return World(labels, {k: of_shares(v) for k, v in shares.items()}, 0.0, votes, per_class=1000, groups=groups)


def of_many_classes(draw: np.random.Generator, classes: int, points_of_class: Callable) -> World:
    labels, candidates, shares = independent(draw, classes, 40)
    votes = partial(simple_votes, candidates, shares)
    truth = {k: of_shares(v) for k, v in shares.items()}
    return World(labels, truth, 0.0, votes, per_class=points_of_class(draw, classes))


def alike(draw: np.random.Generator) -> World:
    def spread(draw, labels):
        right = draw.uniform(0.55, 0.72, labels.max() + 1)[labels]
        return np.concatenate([right[:, None], np.repeat((1 - right)[:, None] / 4, 4, 1)], 1)

    labels, candidates, shares = independent(draw, 60, 240, spread)
    votes = partial(simple_votes, candidates, shares)
    return World(labels, {k: of_shares(v) for k, v in shares.items()}, 0.0, votes, per_class=60)


def clips(draw: np.random.Generator) -> World:
    classes, clips_of_class, frames = 60, 60, 10
    labels = np.repeat(np.arange(classes), clips_of_class * frames)
    of_clip = np.repeat(skills(draw, classes, clips_of_class), frames, axis=0)
    shares = softmax(of_clip + 0.3 * draw.standard_normal(of_clip.shape))
    candidates = rivals(draw, labels, classes)
    shares = {"reference": shares, "method": sharpened(shares)}
    votes = partial(simple_votes, candidates, shares)
    clusters = np.arange(labels.size) // frames
    truth = {k: of_shares(v) for k, v in shares.items()}
    return World(labels, truth, 0.0, votes, per_class=60, clusters=clusters)


def lone_tail(draw: np.random.Generator) -> World:
    def spread(draw, labels):
        right = np.where(labels < 10, draw.beta(24, 1, labels.size), draw.beta(1.0, 1.0, labels.size))
        return np.concatenate([right[:, None], np.repeat((1 - right)[:, None] / 4, 4, 1)], 1)

    labels, candidates, shares = independent(draw, 40, 2000, spread)
    votes = partial(simple_votes, candidates, shares)
    groups = {"all": np.arange(40), "many": np.arange(10), "few": np.arange(10, 40)}
    per_class = np.repeat([50, 1], [10, 30])
    return World(labels, {k: of_shares(v) for k, v in shares.items()}, 0.0, votes, per_class=per_class, groups=groups)


def two_kinds(draw: np.random.Generator) -> World:
    def spread(draw, labels):
        hard = draw.random(labels.size) < 0.1 + 0.8 * labels / labels.max()
        right = np.where(hard, draw.uniform(0.1, 0.6, labels.size), draw.uniform(0.97, 1, labels.size))
        others = draw.dirichlet(np.full(4, 0.5), labels.size)
        return np.concatenate([right[:, None], (1 - right)[:, None] * others], 1)

    labels, candidates, shares = independent(draw, 30, 1000, spread, power=1.3)
    votes = partial(simple_votes, candidates, shares)
    return World(labels, {k: of_shares(v) for k, v in shares.items()}, 0.0, votes, per_class=40)


# ---------------------------------------------------------------- runs that move whole classes


def drifting(
    draw: np.random.Generator,
    classes: int,
    size: int,
    offsets: Callable[[np.random.Generator, int], np.ndarray],
    seen: Callable[[np.random.Generator, int], np.ndarray] | None = None,
    number: int = 800,
    candidates_of: Callable | None = None,
    **rest,
) -> World:
    """Softmax votes whose scores every run moves by class: `offsets` (generator, runs) -> (runs, C) draws from the
    population, over which the truth is a mean, and `seen` what a study sees."""
    labels = np.repeat(np.arange(classes), size)
    scores, candidates = (
        skills(draw, classes, size).astype(np.float32),
        (candidates_of or rivals)(draw, labels, classes),
    )
    sharp = {"reference": np.float32(1.0), "method": np.float32(1.6)}
    halves = {name: np.zeros((2, *scores.shape)) for name in sharp}
    for r, moved in enumerate(offsets(draw, number).astype(np.float32)):
        here = scores + moved[candidates]
        for name, power in sharp.items():
            halves[name][r % 2] += softmax(power * here)
    truth, apart = {}, 0.0
    for name, half in halves.items():
        half /= number / 2
        truth[name] = of_shares(half.mean(0))
        sides = [[of_shares(h)[:, np.isin(labels, ids)].mean(1) for ids in thirds(classes).values()] for h in half]
        apart = max(apart, float(np.abs(np.subtract(*sides)).max() / 2))

    def votes(draw, points, runs):
        moved = (seen or offsets)(draw, runs).astype(np.float32)
        here = scores[points] + moved[:, candidates[points]]
        heights, rows = pair_of_heights(draw, (runs, points.size)), np.arange(points.size)
        return {
            name: candidates[points][rows, vote(softmax(power * here), height)]
            for (name, power), height in zip(sharp.items(), heights, strict=True)
        }

    return World(labels, truth, apart, votes, **rest)


def tilt(draw: np.random.Generator, per_class: int = 60) -> World:
    slope = np.linspace(1, -1, 60)

    def offsets(draw, runs):
        return 0.2 * draw.standard_t(3, (runs, 60)) + 0.35 * draw.standard_normal((runs, 1)) * slope

    return drifting(draw, 60, 300, offsets, per_class=per_class)


def families(draw: np.random.Generator) -> World:
    classes, members = 60, 5

    def offsets(draw, runs):
        of_family = 0.45 * draw.standard_normal((runs, classes // members))
        return np.repeat(of_family, members, 1) + 0.15 * draw.standard_normal((runs, classes))

    def near(draw, labels, classes):
        place = np.arange(members)
        own = labels[:, None] // members * members + (labels[:, None] + place) % members
        away = 1 + draw.random((labels.size, classes // members - 1)).argsort(1)[:, : CANDIDATES - members]  # families
        others = (labels[:, None] // members + away) * members + draw.integers(members, size=away.shape)
        return np.concatenate([own, others % classes], 1)

    return drifting(draw, classes, 300, offsets, candidates_of=near, per_class=50)


POOL = 500


def pool(draw: np.random.Generator) -> World:
    classes = 60
    counts = (300 * 100 ** (-np.arange(classes) / (classes - 1))).astype(int)
    effects = draw.standard_normal((classes, POOL))

    # The mean over n images of a class moves its score by .6, as much in the head as in the tail.
    def seen(draw, runs):
        chosen = [
            [effect[draw.permutation(POOL)[:n]].mean() * np.sqrt(n) for effect, n in zip(effects, counts, strict=True)]
            for _ in range(runs)
        ]
        return 0.6 * np.array(chosen)

    def offsets(draw, runs):
        return 0.6 * draw.standard_normal((runs, classes))

    return drifting(draw, classes, 300, offsets, seen, per_class=60, shared=counts / POOL, scheme="subsample")


WORLDS_APART: dict[str, Callable[[np.random.Generator], World]] = {
    "tilt": tilt,
    "blocks": blocks,
    "collapse": collapse,
    "binary": binary,
    "fine": partial(of_many_classes, classes=1000, points_of_class=lambda draw, c: 5),
    "sparse": partial(of_many_classes, classes=2000, points_of_class=lambda draw, c: draw.integers(1, 4, c)),
    "alike": alike,
    "pool": pool,
    "clips": clips,
    "few_points": partial(tilt, per_class=3),
    "lone_tail": lone_tail,
    "families": families,
    "two_kinds": two_kinds,
    "collapse_one": partial(collapse, rate=1 / 7, falling=METHODS[1:2], power=1.25),
}
