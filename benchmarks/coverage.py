"""Do 95 % intervals cover, and how far off are the estimates? Simulated studies whose truth is known.

    nice -n 19 python benchmarks/coverage.py [--studies 400] [--runs 5 10 20] [--world gumbel] [--processes 1]

A *world* is a population of test points on which two methods vote with known probabilities: those of `worlds`, from
which constants of the statistics once came, and those of `worlds_apart`, which no constant was fitted to. A study draws
test points of each class and R runs of both methods, and asks `ltbv.stats` for estimates, intervals and claims. They
are set against the truth: `population` intervals against the mean over the whole population, `test_set` intervals
against the mean over the points of the study.

`--looks WORLD` simulates studies that grow, 10, 15, 20 runs, and are read each time.

Every draw comes from a generator keyed by the seed, the world, R and the number of the study: results do not depend on
--processes.
"""

import argparse
import csv
import io
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass, fields
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: a process is one thread

import numpy as np
from worlds import METHODS, WORLDS, World, thirds
from worlds_apart import WORLDS_APART

import ltbv
from ltbv import stats
from ltbv.stats.compare import CONFIRMED_GROUPS, CONFIRMED_QUANTITIES
from ltbv.stats.intervals import Options
from ltbv.stats.splits import GroupWeights, by_class

ALL = {**WORLDS, **WORLDS_APART}
SHOWN = ("all", "many", "medium", "few")
MOST_CLASSES = 200  # whose classes are looked at one by one
QUANTITIES = ("error", "bias", "variance", "kw_bias", "kw_variance")
OPTIONS = {
    "population": Options(),
    "population, conservative": Options(se_bias="conservative"),
    "test_set": Options(target="test_set"),
}
STRESS = ("ties",)  # worlds counted apart: no promise is made for them
REPORT = Path(__file__).parents[1] / "reports" / "coverage"
PROMISED = (92, 99)  # percent


# ---------------------------------------------------------------- studies


def build(name: str, seed: int) -> World:
    """A world by name; its population depends on the seed alone."""
    return ALL[name](np.random.default_rng(np.random.SeedSequence((seed, [*ALL].index(name)))))


def groups_of(world: World) -> dict[str, np.ndarray]:
    """Those shown, then each class by itself where they are few."""
    classes = 1 + int(world.labels.max())
    each = {str(c): np.array([c]) for c in range(classes if classes <= MOST_CLASSES else 0)}
    return {**(world.groups or thirds(classes)), **each}


def draw_points(world: World, generator: np.random.Generator) -> np.ndarray:
    """Test points of a study, by class: whole clusters where there are clusters."""
    classes = 1 + int(world.labels.max())
    size = world.labels.size // classes
    together = 1 if world.clusters is None else int(np.sum(world.clusters == 0))
    number = np.broadcast_to(world.per_class, classes) // together
    first = [c * size + together * generator.integers(size // together, size=n) for c, n in enumerate(number)]
    return (np.concatenate(first)[:, None] + np.arange(together)).ravel()


@dataclass(frozen=True, eq=False)
class Found:
    """What a study found.

    intervals  (methods, options, quantities, 6, groups), the 6 being estimate, plug_in, low, high, truth of the
               population, truth of the study's points
    claims     (quantities, splits): 1 a claim that is true, -1 one that is false, 0 none
    fell       a run of either method was told to have fallen, in any split
    """

    intervals: np.ndarray
    claims: np.ndarray
    fell: bool | np.ndarray


def study(world: World, runs: int, key: tuple[int, ...]) -> Found:
    """One study, keyed by numbers."""
    generator = np.random.default_rng(np.random.SeedSequence(key))
    points, groups = draw_points(world, generator), groups_of(world)
    labels, classes = world.labels[points], 1 + int(world.labels.max())
    weights = GroupWeights.of(groups, labels)

    def means(values, at):
        return weights.means(by_class(values, at, classes))

    truth = {
        name: np.stack([means(values, world.labels), means(values[:, points], labels)])
        for name, values in world.truth.items()
    }
    truth["difference"] = truth["method"] - truth["reference"]
    clusters = None
    if world.clusters is not None:  # drawn twice, a cluster is two
        clusters = np.arange(points.size) // np.sum(world.clusters == 0)
    records = {
        name: stats.Record(votes, labels, scheme=world.scheme, clusters=clusters, shared=world.shared)
        for name, votes in world.votes(generator, points, runs).items()
    }
    found = np.empty((len(METHODS), len(OPTIONS), len(QUANTITIES), 6, len(groups)))
    for o, options in enumerate(OPTIONS.values()):
        measured = {name: options.measure(record, weights) for name, record in records.items()}
        for m, method in enumerate(METHODS):
            for q, quantity in enumerate(QUANTITIES):
                if method == "difference":
                    one = measured["method"][quantity] - measured["reference"][quantity]
                else:
                    one = measured[method][quantity]
                of = options.intervals(one, labels, weights, clusters)
                found[m, o, q] = of.estimate, of.plug_in, of.low, of.high, *truth[method][:, q]
    return Found(found, *claims_of(records, groups, truth["difference"][0]))


def claims_of(
    records: dict[str, stats.Record], groups: dict[str, np.ndarray], truth: np.ndarray
) -> tuple[np.ndarray, bool]:
    """`Found.claims` by the rule of a report but for the exact test, `Found.fell`."""
    shown = {name: groups[name] for name in SHOWN if name in groups}
    estimates = [stats.summarize(records[name], shown) for name in ("method", "reference")]
    doubtful = stats.no_bias_claim(min(len(of.predictions) for of in records.values()), *estimates)
    without = stats.without_fallen(records["method"], records["reference"], shown)
    claims = np.zeros((len(CONFIRMED_QUANTITIES), len(CONFIRMED_GROUPS)), int)
    for one in stats.compare(records["method"], records["reference"], shown):
        at = one.group, one.quantity
        undone = at in without and not stats.stands(one, without[at])
        if one.p_holm <= 0.05 and not undone and not (one.quantity == "bias" and one.group in doubtful):
            q = CONFIRMED_QUANTITIES.index(one.quantity)
            true = truth[q, [*groups].index(one.group)]
            claims[q, CONFIRMED_GROUPS.index(one.group)] = 1 if true * one.estimate > 1e-12 else -1
    return claims, bool(without)


_world: World | None = None  # of a worker process


def _adopt(world: World) -> None:
    global _world
    _world = world


def _study(job: tuple[int, tuple[int, ...]]) -> Found:
    return study(_world, *job)


def studies(world: World, jobs: list[tuple[int, tuple[int, ...]]], processes: int) -> Found:
    """`study` of each job, stacked (S, ...)."""
    if processes == 1:
        found = [study(world, *job) for job in jobs]
    else:
        with ProcessPoolExecutor(processes, initializer=_adopt, initargs=(world,)) as pool:
            found = [*pool.map(_study, jobs, chunksize=8)]
    return Found(*(np.stack([getattr(of, field.name) for of in found]) for field in fields(Found)))


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
- `group` *class* is the mean over single classes, in worlds of up to 200

Intervals that are not given (NaN) are left out.
"""


def rows_of(world: str, runs: int, names: list[str], found: np.ndarray) -> Iterable[Row]:
    """Rows of the studies (S, methods, options, quantities, 6, groups) of one world and R; `names` of the groups."""
    shown = [name for name in SHOWN if name in names]
    places = {name: slice(names.index(name), names.index(name) + 1) for name in shown}
    if len(names) > len(shown):
        places["class"] = slice(len(shown), None)
    for m, method in enumerate(METHODS):
        for o, (interval, options) in enumerate(OPTIONS.items()):
            for q, quantity in enumerate(QUANTITIES):
                if "conservative" in interval and quantity != "bias":
                    continue  # the same as without
                for group, place in places.items():
                    estimate, plug_in, low, high, population, of_points = np.moveaxis(found[:, m, o, q, :, place], 1, 0)
                    truth = population if options.target == "population" else of_points
                    given = np.isfinite(low)
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
                        float(100 * ((low <= truth) & (truth <= high))[given].mean()),
                        float((high - low)[given].mean() / 2),
                    )


def markdown(rows: list[Row], claims: list[list[str]], looks: list[list[str]], about: list[str]) -> str:
    """The report: what was run, a summary, then estimators and intervals of each world."""
    cell = {(r.world, r.runs, r.method, r.quantity, r.interval, r.group): r for r in rows}
    worlds, runs = list(dict.fromkeys(r.world for r in rows)), sorted({r.runs for r in rows})
    lines = ["# Coverage of the intervals, bias of the estimators", "", *about, ""]
    lines += ["## In short", "", "Cells are worlds x methods x (all, many, medium, few, mean over classes).", ""]
    for title, of in (
        (
            "Worlds apart, that no constant was fitted to (the head of worlds_apart.py says which were looked at once)",
            [*WORLDS_APART],
        ),
        ("Worlds that constants were once fitted to", [name for name in WORLDS if name not in STRESS]),
        ("The stress test", STRESS),
    ):
        if chosen := [r for r in rows if r.world in of]:
            lines += [f"### {title}", "", *_summary(chosen, runs), ""]
    lines += ["## Claims", "", CLAIMS, ""]
    lines += _table(CLAIMED, claims)
    if looks:
        lines += ["", "## Studies that grow", "", LOOKS_SAID, ""]
        lines += _table(["world", *(f"R = {count}" for count in LOOKS), "any look"], looks)
    lines += [""]
    headings = {
        "error": "error",
        "bias": "bias",
        "variance": "variance",
        "kw_bias": "K-W bias",
        "kw_variance": "K-W var",
    }
    for world in worlds:
        shown = [name for name in SHOWN if (world, runs[0], METHODS[0], "error", "population", name) in cell]
        lines += [f"## {world}", "", f"Truth, {' / '.join(shown)}:", ""]
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
        lines += ["", f"Bias x 1000 of plug-in and corrected estimates, {' / '.join(shown)}:", ""]
        body = []
        for count in runs:
            for method in METHODS:
                for kind in ("plug_in", "corrected"):
                    values = [[cell[world, count, method, q, "population", g] for g in shown] for q in QUANTITIES]
                    texts = [" / ".join(f"{1000 * getattr(r, kind + '_bias'):.1f}" for r in of) for of in values]
                    body.append([str(count), method, kind.replace("_", "-"), *texts])
        lines += _table(["R", "method", "", *headings.values()], body)
        lines += ["", f"Coverage in percent of nominal 95 % intervals, {' / '.join(shown)}, mean over classes"]
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


CLAIMS = """
Percent of studies with a claim (Holm's p of at most .05 among the nine; of a bias only where `no_bias_claim` allows
it, of error and variance only if no runs that fell can undo it) whose direction is not that of the truth; then
true claims a study; then percent of studies in which a run was told to have fallen, and of these, percent that have a
false claim. In `worlds_apart` both methods have one bias.
""".strip()
CLAIMED = ("world", "R", "a false claim", "false of the bias", "true: error", "bias", "variance", "fell", "false then")
LOOKS = (10, 15, 20)
LOOKS_SAID = """
Two methods that do not differ: percent of studies with any claim, at each number of runs alone and at any of them, as
when a study grows and is read each time.
""".strip()


def claims_row(world: str, runs: int, found: Found) -> list[str]:
    """A line of the table of claims, from those of S studies (S, quantities, splits)."""
    false, true = found.claims < 0, found.claims > 0
    shares = (false.any((1, 2)).mean(), false[:, CONFIRMED_QUANTITIES.index("bias")].any(1).mean())
    then = f"{100 * false[found.fell].any((1, 2)).mean():.1f}" if found.fell.any() else "-"
    row = [world, str(runs), *(f"{100 * share:.1f}" for share in shares), *(f"{n:.2f}" for n in true.mean(0).sum(1))]
    return [*row, f"{100 * found.fell.mean():.1f}", then]


def looks_row(name: str, world: World, studies: int, seed: int) -> list[str]:
    """A line of the table of studies that grow: the reference against itself, with runs of its own."""
    groups, found = groups_of(world), np.zeros((studies, len(LOOKS)), bool)
    for number in range(studies):
        generator = np.random.default_rng(np.random.SeedSequence((seed, [*ALL].index(name), number, 1)))
        points = draw_points(world, generator)
        votes = {side: world.votes(generator, points, max(LOOKS))["reference"] for side in ("method", "reference")}
        for look, runs in enumerate(LOOKS):
            records = {side: stats.Record(of[:runs], world.labels[points]) for side, of in votes.items()}
            found[number, look] = claims_of(records, groups, np.zeros((len(QUANTITIES), len(groups))))[0].any()
    return [name, *(f"{100 * share:.1f}" for share in (*found.mean(0), found.any(1).mean()))]


def _summary(rows: list[Row], runs: list[int]) -> list[str]:
    """How many cells cover as promised, and which do not."""
    body, short, long = [], [], []
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
                long += [r for r in cells if r.coverage_percent > PROMISED[1] and interval == "population"]
    header = ["R", "interval", "quantity", "cells", "lowest", "mean", f"< {PROMISED[0]}", f"> {PROMISED[1]}"]
    lines = ["Coverage in percent:", "", *_table(header, body)]
    return [
        *lines,
        *("", f"Below {PROMISED[0]} %:", "", *_named(short)),
        *("", f"Above {PROMISED[1]} %, wider than need be:", "", *_named(long)),
    ]


def _named(cells: list[Row]) -> list[str]:
    """The cells by R, interval and quantity; the groups of a method together."""
    by_quantity: dict[tuple, dict[str, list[str]]] = {}
    for r in cells:
        of = by_quantity.setdefault((r.runs, r.interval, r.quantity), {})
        of.setdefault(f"{r.world} {r.method}", []).append(f"{r.group} {r.coverage_percent:.0f}")
    lines = [
        f"- R = {runs}, {interval}, {quantity}: " + "; ".join(f"{who} {', '.join(texts)}" for who, texts in of.items())
        for (runs, interval, quantity), of in by_quantity.items()
    ]
    return lines or ["- none"]


def _coverage(cells: list[Row | None]) -> str:
    if cells[0] is None:
        return ""
    *splits, of_class = ("-" if r is None else f"{r.coverage_percent:.0f}" for r in cells)
    return f"{' / '.join(splits)}, {of_class} [{cells[0].half_width:.3f}]"


def _table(header: Sequence[str], body: list[list[str]]) -> list[str]:
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
    parser.add_argument("--world", choices=ALL, action="append", help="all unless given; may be repeated")
    parser.add_argument("--interval", choices=OPTIONS, action="append", help="all unless given; may be repeated")
    parser.add_argument("--looks", choices=ALL, action="append", default=[], help="worlds of studies that grow")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=REPORT)
    arguments = parser.parse_args()
    for interval in set(OPTIONS) - set(arguments.interval or OPTIONS):
        del OPTIONS[interval]
    start, rows, claims, errors = _cpu_seconds(), [], [], []
    for name in arguments.world or ALL:
        world = build(name, arguments.seed)
        errors.append(f"{name} {world.truth_error:.5f}")
        for runs in arguments.runs:
            number = [*ALL].index(name)
            jobs = [(runs, (arguments.seed, number, runs, study_)) for study_ in range(arguments.studies)]
            found = studies(world, jobs, arguments.processes)
            rows += rows_of(name, runs, [*groups_of(world)], found.intervals)
            claims.append(claims_row(name, runs, found))
            print(f"{name} R = {runs}: {_cpu_seconds() - start:.0f} s of CPU", file=sys.stderr, flush=True)
    looks = [
        looks_row(name, build(name, arguments.seed), arguments.studies, arguments.seed) for name in arguments.looks
    ]
    seconds = _cpu_seconds() - start
    largest_se = 100 * np.sqrt(0.95 * 0.05 / arguments.studies)
    about = [
        "`python " + " ".join(["benchmarks/coverage.py", *sys.argv[1:]]) + "`",
        "",
        f"n = {arguments.studies} studies of each world and R (standard error of a coverage of 95 %: {largest_se:.1f}"
        " points).",
        f"{seconds / 60:.0f} min of CPU, {arguments.processes} process of one thread on a shared {platform.machine()}"
        f" machine; ltbv {ltbv.__version__}, Python {platform.python_version()}, numpy {np.__version__}.",
        f"Standard error of the truth itself, largest over splits: {', '.join(errors)}.",
        "The worlds are described at the heads of `benchmarks/worlds.py` and `benchmarks/worlds_apart.py`; all numbers"
        " are in `coverage.csv`:",
        COLUMNS,
    ]
    text = markdown(rows, claims, looks, about)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow([field.name for field in fields(Row)])
    writer.writerows([f"{value:.6g}" if isinstance(value, float) else value for value in astuple(r)] for r in rows)
    write(arguments.out / "coverage.csv", table.getvalue())
    write(arguments.out / "README.md", text)
    print(text)


if __name__ == "__main__":
    main()
