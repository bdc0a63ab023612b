"""Do 95 % intervals cover, and how far off are the estimates? Simulated studies whose truth is known.

    nice -n 19 python benchmarks/coverage.py [--studies 400] [--runs 5 10 20] [--world gumbel] [--processes 1]

A *world* is a population of test points in 100 classes (35 many, 35 medium, 30 few) on which two methods vote with
known probabilities. A study draws 100 points of each class and R runs of both methods, and asks `ltbv.stats` for
estimates and intervals. They are set against the truth: `population` intervals against the mean over the whole
population, `test_set` intervals against the mean over the points of the study.

    gumbel     softmax votes among 12 candidate labels a point; scores drift by class from run to run, sd .3. Three
               parameters a split put accuracy, bias and variance at the published cells of CE (reference) and RIDE +
               LDAM (method), to within .006
    drift      the same with drift of sd .6
    factors    nearest-mean classifiers on 16 features: a run estimates each class's mean from its 500 to 5 training
               images, so tail classes move as a whole; points are blurred anew in each run; a prior favours the head
    dirichlet  each point has its own vote probabilities, Dirichlet with a concentration and a skill of its class; runs
               are independent
    ties       stress test: as gumbel, with scores so close that very many points are near a tie

Both methods of a study share half of their run noise and the same points, as paired studies do. Every draw comes from a
generator keyed by the seed, the world, R and the number of the study: results do not depend on --processes.
"""

import argparse
import csv
import io
import os
import platform
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass, fields
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: a process is one thread

import numpy as np

import ltbv
from ltbv import stats
from ltbv.stats.intervals import Options
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
STRESS = ("ties",)  # worlds counted apart: no promise is made for them
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


WORLDS = {
    "gumbel": partial(gumbel, scores=TUNED),
    "drift": partial(gumbel, scores=DRIFTING),
    "factors": factors,
    "dirichlet": dirichlet,
    "ties": partial(gumbel, scores=TIED),
}


def build(name: str, seed: int) -> World:
    """A world by name; its population depends on the seed alone."""
    return WORLDS[name](np.random.default_rng(np.random.SeedSequence((seed, [*WORLDS].index(name)))))


# ---------------------------------------------------------------- studies


def study(world: World, runs: int, key: tuple[int, ...]) -> np.ndarray:
    """One study of 100 points a class, keyed by numbers: (methods, options, quantities, 6, groups), the 6 being
    estimate, plug_in, low, high, truth of the population, truth of the study's points."""
    generator = np.random.default_rng(np.random.SeedSequence(key))
    size = world.labels.size // CLASSES
    points = (np.arange(CLASSES)[:, None] * size + generator.integers(size, size=(CLASSES, PER_CLASS))).ravel()
    labels = world.labels[points]
    weights = GroupWeights.of(GROUPS, labels)

    def means(values):
        return weights.means(values.reshape(len(QUANTITIES), CLASSES, -1).mean(2))

    truth = {name: np.stack([means(values), means(values[:, points])]) for name, values in world.truth.items()}
    truth["difference"] = truth["method"] - truth["reference"]
    records = {name: stats.Record(votes, labels) for name, votes in world.votes(generator, points, runs).items()}
    found = np.empty((len(METHODS), len(OPTIONS), len(QUANTITIES), 6, len(GROUPS)))
    for o, options in enumerate(OPTIONS.values()):
        measured = {name: options.measure(record, weights) for name, record in records.items()}
        for m, method in enumerate(METHODS):
            for q, quantity in enumerate(QUANTITIES):
                if method == "difference":
                    one = measured["method"][quantity] - measured["reference"][quantity]
                else:
                    one = measured[method][quantity]
                of = options.intervals(one, labels, weights)
                found[m, o, q] = of.estimate, of.plug_in, of.low, of.high, *truth[method][:, q]
    return found


_world: World | None = None  # of a worker process


def _adopt(world: World) -> None:
    global _world
    _world = world


def _study(job: tuple[int, tuple[int, ...]]) -> np.ndarray:
    return study(_world, *job)


def studies(world: World, jobs: list[tuple[int, tuple[int, ...]]], processes: int) -> np.ndarray:
    """`study` of each job, (S, ...)."""
    if processes == 1:
        return np.stack([study(world, *job) for job in jobs])
    with ProcessPoolExecutor(processes, initializer=_adopt, initargs=(world,)) as pool:
        return np.stack([*pool.map(_study, jobs, chunksize=8)])


# ---------------------------------------------------------------- tables


@dataclass(frozen=True)
class Row:
    """What the studies of one world and R say of one quantity; see `COLUMNS` in the report."""

    world: str
    runs: int
    studies: int
    method: str
    quantity: str
    interval: str
    group: str
    truth: float
    plug_in_bias: float
    corrected_bias: float
    corrected_sd: float
    coverage_percent: float
    half_width: float


COLUMNS = """
- `truth` mean over the population
- `plug_in_bias`, `corrected_bias` mean of estimate - truth at the points of the study
- `corrected_sd` of estimate - truth of the population, over studies
- `coverage_percent` of nominal 95 % intervals, `half_width` their mean half width
- `group` *class* is the mean over the 100 single classes
"""


def rows_of(world: str, runs: int, found: np.ndarray) -> Iterable[Row]:
    """Rows of the studies (S, methods, options, quantities, 6, groups) of one world and R."""
    places = {**{name: slice(g, g + 1) for g, name in enumerate([*GROUPS][:SHOWN])}, "class": slice(SHOWN, None)}
    for m, method in enumerate(METHODS):
        for o, (interval, options) in enumerate(OPTIONS.items()):
            for q, quantity in enumerate(QUANTITIES):
                if "conservative" in interval and quantity != "bias":
                    continue  # the same as without
                for group, place in places.items():
                    estimate, plug_in, low, high, population, of_points = np.moveaxis(found[:, m, o, q, :, place], 1, 0)
                    truth = population if options.target == "population" else of_points
                    yield Row(
                        world,
                        runs,
                        len(found),
                        method,
                        quantity,
                        interval,
                        group,
                        float(population.mean()),
                        float((plug_in - of_points).mean()),
                        float((estimate - of_points).mean()),
                        float((estimate - population).std(0).mean()),
                        float(100 * ((low <= truth) & (truth <= high)).mean()),
                        float((high - low).mean() / 2),
                    )


def markdown(rows: list[Row], about: list[str]) -> str:
    """The report: what was run, a summary, then estimators and intervals of each world."""
    cell = {(r.world, r.runs, r.method, r.quantity, r.interval, r.group): r for r in rows}
    worlds, runs = list(dict.fromkeys(r.world for r in rows)), sorted({r.runs for r in rows})
    shown = [*GROUPS][:SHOWN]
    lines = ["# Coverage of the intervals, bias of the estimators", "", *about, ""]
    lines += ["## In short", "", "Cells are worlds x methods x (all, many, medium, few, mean over classes).", ""]
    for title, stress in (("All worlds but the stress test", False), ("The stress test", True)):
        if chosen := [r for r in rows if (r.world in STRESS) is stress]:
            lines += [f"### {title}", "", *_summary(chosen, runs), ""]
    headings = {
        "error": "error",
        "bias": "bias",
        "variance": "variance",
        "kw_bias": "K-W bias",
        "kw_variance": "K-W var",
    }
    for world in worlds:
        lines += [f"## {world}", "", "Truth, all / many / medium / few:", ""]
        lines += _table(
            ["method", *headings.values()],
            [
                [method]
                + [
                    " / ".join(f"{cell[world, runs[0], method, q, 'population', g].truth:.3f}" for g in shown)
                    for q in QUANTITIES
                ]
                for method in METHODS
            ],
        )
        lines += ["", "Bias x 1000 of plug-in and corrected estimates, all / many / medium / few:", ""]
        body = []
        for count in runs:
            for method in METHODS:
                for kind in ("plug_in", "corrected"):
                    values = [[cell[world, count, method, q, "population", g] for g in shown] for q in QUANTITIES]
                    texts = [" / ".join(f"{1000 * getattr(r, kind + '_bias'):.1f}" for r in of) for of in values]
                    body.append([str(count), method, kind.replace("_", "-"), *texts])
        lines += _table(["R", "method", "", *headings.values()], body)
        lines += ["", "Coverage in percent of nominal 95 % intervals, all / many / medium / few, mean over classes"]
        lines += ["[mean half width, all]:", ""]
        body = []
        for count in runs:
            for method in METHODS:
                for interval in OPTIONS:
                    texts = [
                        _coverage([cell.get((world, count, method, q, interval, g)) for g in (*shown, "class")])
                        for q in QUANTITIES
                    ]
                    body.append([str(count), method, interval, *texts])
        lines += [*_table(["R", "method", "interval", *headings.values()], body), ""]
    return "\n".join(lines)


def _summary(rows: list[Row], runs: list[int]) -> list[str]:
    """How many cells cover as promised, and which do not."""
    body, short = [], []
    for count in runs:
        for interval in OPTIONS:
            for quantity in ("error", "bias", "variance"):
                cells = [r for r in rows if (r.runs, r.interval, r.quantity) == (count, interval, quantity)]
                if not cells:
                    continue
                covers = np.array([r.coverage_percent for r in cells])
                body.append(
                    [str(count), interval, quantity, str(len(cells)), f"{covers.min():.1f}", f"{covers.mean():.1f}"]
                    + [str(int((covers < PROMISED[0]).sum())), str(int((covers > PROMISED[1]).sum()))]
                )
                short += [r for r in cells if r.coverage_percent < PROMISED[0]]
    header = ["R", "interval", "quantity", "cells", "lowest", "mean", f"< {PROMISED[0]}", f"> {PROMISED[1]}"]
    lines = ["Coverage in percent:", "", *_table(header, body), "", f"Below {PROMISED[0]} %:", ""]
    by_quantity: dict[tuple, list[str]] = {}
    for r in short:
        by_quantity.setdefault((r.runs, r.interval, r.quantity), []).append(
            f"{r.world} {r.method} {r.group} {r.coverage_percent:.0f}"
        )
    lines += [f"- R = {key[0]}, {key[1]}, {key[2]}: {', '.join(texts)}" for key, texts in by_quantity.items()]
    return lines if by_quantity else [*lines, "- none"]


def _coverage(cells: list[Row | None]) -> str:
    if None in cells:
        return ""
    *splits, of_class = (f"{r.coverage_percent:.0f}" for r in cells)
    return f"{' / '.join(splits)}, {of_class} [{cells[0].half_width:.3f}]"


def _table(header: list[str], body: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *body)]


def write(path: Path, text: str) -> None:
    """A file that exists is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(text)
    temporary.replace(path)


def _cpu_seconds() -> float:
    """Of this process and of the ended ones that it started."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=400, help="of each world and R")
    parser.add_argument("--runs", type=int, nargs="+", default=[5, 10, 20])
    parser.add_argument("--world", choices=WORLDS, action="append", help="all unless given; may be repeated")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=REPORT)
    arguments = parser.parse_args()
    start, rows, errors = _cpu_seconds(), [], []
    for name in arguments.world or WORLDS:
        world = build(name, arguments.seed)
        errors.append(f"{name} {world.truth_error:.5f}")
        for runs in arguments.runs:
            number = [*WORLDS].index(name)
            jobs = [(runs, (arguments.seed, number, runs, study_)) for study_ in range(arguments.studies)]
            rows += rows_of(name, runs, studies(world, jobs, arguments.processes))
            print(f"{name} R = {runs}: {_cpu_seconds() - start:.0f} s of CPU", file=sys.stderr, flush=True)
    seconds = _cpu_seconds() - start
    largest_se = 100 * np.sqrt(0.95 * 0.05 / arguments.studies)
    about = [
        "`python " + " ".join(["benchmarks/coverage.py", *sys.argv[1:]]) + "`",
        "",
        f"n = {arguments.studies} studies of each world and R; {CLASSES} classes, {PER_CLASS} points a class"
        f" (standard error of a coverage of 95 %: {largest_se:.1f} points).",
        f"{seconds / 60:.0f} min of CPU, {arguments.processes} process of one thread on a shared {platform.machine()}"
        f" machine; ltbv {ltbv.__version__}, Python {platform.python_version()}, numpy {np.__version__}.",
        f"Standard error of the truth itself, largest over splits: {', '.join(errors)}.",
        "The worlds are described at the head of `benchmarks/coverage.py`; all numbers are in `coverage.csv`:",
        COLUMNS,
    ]
    text = markdown(rows, about)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow([field.name for field in fields(Row)])
    writer.writerows([f"{value:.6g}" if isinstance(value, float) else value for value in astuple(r)] for r in rows)
    write(arguments.out / "coverage.csv", table.getvalue())
    write(arguments.out / "README.md", text)
    print(text)


if __name__ == "__main__":
    main()
