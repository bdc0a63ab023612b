"""How fast are the statistics, and how much memory do they take? Beside plain numpy that keeps a table of votes.

    python benchmarks/stats.py [--rounds 3] [--long] [--out reports/statistics-benchmark]

labels         `summarize` of 50,000 points x 20 runs x 1,000 classes, with intervals for all classes, three splits and
               each class; plain numpy counts votes in a points x classes table, anew for each run left out and each
               half of the runs. Then 1,000,000 points, ours alone
probabilities  `summarize` with logits, a float16 file read block by block: Brier and cross-entropy with their parts and
               intervals, 2,000 points x 20 runs x 1,000 classes; plain numpy holds everything. Then 10,000 points, and
               with --long 50,000, ours alone

Each figure is the median over rounds, in which ours and plain numpy take turns; every run is a process of its own with
one thread, which gives its seconds (wall and CPU, without import and loading) and its peak memory (all of the process).
Both must give the same numbers. Then blocks of one point and of all points must give the same statistics.
"""

import argparse
import csv
import io
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy

import numpy as np
from scipy.special import stdtrit

import ltbv
from ltbv import stats
from ltbv.stats import probability
from ltbv.stats.fewer import FewerRuns

RUNS, CLASSES = 20, 1000
REPORT = Path(__file__).parents[1] / "reports" / "statistics-benchmark"
SPLITS = {"many": np.arange(350), "medium": np.arange(350, 700), "few": np.arange(700, CLASSES)}
GROUPS = {"all": np.arange(CLASSES), **SPLITS, **{str(c): np.array([c]) for c in range(CLASSES)}}
SHARED = {  # what both compute
    "labels": ("error", "bias", "variance", "kw_bias", "kw_variance"),
    "probabilities": (
        "brier",
        "brier_bias",
        "brier_variance",
        "cross_entropy",
        "cross_entropy_bias",
        "cross_entropy_variance",
    ),
}


# ---------------------------------------------------------------- data


def make_labels(folder: Path, points: int, seed: int = 0) -> None:
    """labels.npy (N,) and predictions.npy (R, N): 12 candidate labels a point, softmax votes."""
    draw = np.random.default_rng(np.random.SeedSequence((seed, points)))
    labels = (np.arange(points) % CLASSES).astype(np.int16)
    predictions = np.empty((RUNS, points), np.int16)
    for start in range(0, points, 20_000):
        here = slice(start, min(start + 20_000, points))
        own = labels[here]
        candidates = draw.integers(CLASSES, size=(own.size, 12), dtype=np.int16)
        candidates[:, 0] = own
        scores = 1.6 * draw.standard_normal(candidates.shape, np.float32)
        scores[:, 0] += 3 - own / 400
        times = draw.standard_exponential((RUNS, *candidates.shape), np.float32) * np.exp(-scores)
        predictions[:, here] = candidates[np.arange(own.size), times.argmin(2)]
    np.save(folder / "labels.npy", labels)
    np.save(folder / "predictions.npy", predictions)


def make_logits(folder: Path, points: int, seed: int = 0) -> None:
    """labels.npy (N,) and logits.npy (R, N, C) float16."""
    draw = np.random.default_rng(np.random.SeedSequence((seed, points, 1)))
    labels = (np.arange(points) % CLASSES).astype(np.int16)
    logits = np.lib.format.open_memmap(folder / "logits.npy", "w+", np.float16, (RUNS, points, CLASSES))
    for start in range(0, points, 500):
        here = slice(start, min(start + 500, points))
        mean = draw.standard_normal((labels[here].size, CLASSES), np.float32)
        mean[np.arange(len(mean)), labels[here]] += 4
        for run in range(RUNS):
            logits[run, here] = mean + draw.standard_normal(mean.shape, np.float32)
    logits.flush()
    np.save(folder / "labels.npy", labels)


# ---------------------------------------------------------------- plain numpy


def plain_labels(predictions: np.ndarray, labels: np.ndarray) -> dict[str, list]:
    """Estimate and standard error of each group, from tables of votes (N, C)."""
    runs, points = predictions.shape
    everyone = np.arange(points)

    def of_runs(chosen):
        votes = np.zeros((points, CLASSES), np.int32)
        for run in chosen:
            votes[everyone, predictions[run]] += 1
        first, true = votes.max(1), votes[everyone, labels]
        leaders = (votes == first[:, None]).sum(1)
        second = ((votes == first[:, None] - 1) & (votes > 0)).sum(1)
        size = len(chosen)
        variance = 1 - first / size
        kappa = np.where(leaders > 1, 1.0, second / (second + 1))
        error, disagreement = 1 - true / size, (size**2 - (votes**2).sum(1)) / (2 * size * (size - 1))
        return {
            "error": error,
            "bias": 1 - (true == first) / leaders,
            "variance": variance + first / size * kappa / 2,
            "variance_low": variance,
            "kw_bias": error - disagreement,
            "kw_variance": disagreement,
        }

    whole = of_runs(np.arange(runs))
    fewer = FewerRuns.of(runs, 0)
    halves, quarters, of_variance = (
        [of_runs(chosen) for chosen in subsets]
        for subsets in (fewer.subsets, chosen_runs(fewer.quarters), chosen_runs(fewer.of_variance))
    )
    half, quarter = (sum(one["bias"] for one in of) / len(of) for of in (halves, quarters))
    m, q = fewer.middle_size, fewer.quarter_size
    points_of = whole | {"bias": (runs * whole["bias"] - m * half) / (runs - m)}
    without = [of_runs(np.delete(np.arange(runs), r)) for r in range(runs)]
    left = {
        "bias": (points_of["bias"] - (m * half - q * quarter) / (m - q)) / np.sqrt(2),
        "variance": (whole["variance"] - sum(one["variance"] for one in of_variance) / len(of_variance)) / 2,
    }
    least = {"bias": 0.6 / np.sqrt(runs) * (whole["bias"] - points_of["bias"])}
    noise = {"error": (predictions != labels).var(0, ddof=1) / runs}
    return {
        name: plain_interval(
            points_of[name],
            [one[name] for one in without],
            labels,
            left.get(name),
            least.get(name),
            noise.get(name),
            is_share=True,
        )
        for name in SHARED["labels"]
    }


def chosen_runs(words) -> list[np.ndarray]:
    """The runs in each subset, from its bits; up to 32 runs."""
    return [np.flatnonzero(int(word[0]) >> np.arange(32) & 1) for word in words]


def plain_probabilities(logits: np.ndarray, labels: np.ndarray) -> dict[str, list]:
    """Estimate and standard error of each group, everything in memory."""
    z = logits.astype(np.float64)
    everyone = np.arange(labels.size)
    top = z.max(2, keepdims=True)
    log_sum = top[..., 0] + np.log(np.exp(z - top).sum(2))
    p = np.exp(z - log_sum[..., None])
    onehot = np.zeros(z.shape[1:])
    onehot[everyone, labels] = 1

    def of_runs(chosen):
        mean = z[chosen].mean(0)
        peak = mean.max(1)
        main = peak + np.log(np.exp(mean - peak[:, None]).sum(1))
        loss = (log_sum[chosen] - z[chosen][:, everyone, labels]).mean(0)
        variance = log_sum[chosen].mean(0) - main
        brier = ((p[chosen] - onehot) ** 2).sum(2).mean(0)
        spread = ((p[chosen] - p[chosen].mean(0)) ** 2).sum(2).sum(0) / (len(chosen) - 1)
        return loss, variance, brier, spread

    runs = len(z)
    loss, variance, brier, spread = of_runs(np.arange(runs))
    without = [of_runs(np.delete(np.arange(runs), r)) for r in range(runs)]
    variance = runs * variance - (runs - 1) * np.mean([one[1] for one in without], 0)
    scaled = [(one[0], one[1] * (runs - 1) / (runs - 2), one[2], one[3]) for one in without]
    return {
        "brier": plain_interval(brier, [one[2] for one in scaled], labels),
        "brier_bias": plain_interval(brier - spread, [one[2] - one[3] for one in scaled], labels),
        "brier_variance": plain_interval(spread, [one[3] for one in scaled], labels),
        "cross_entropy": plain_interval(loss, [one[0] for one in scaled], labels),
        "cross_entropy_bias": plain_interval(loss - variance, [one[0] - one[1] for one in scaled], labels),
        "cross_entropy_variance": plain_interval(variance, [one[1] for one in scaled], labels),
    }


def plain_interval(points, without, labels, left=None, least=None, noise=None, is_share=False) -> list:
    """[estimate, standard error] of each group, for new runs and new test points; all classes have as many points."""

    def class_means(values):
        return np.array([values[at].mean() for at in members])

    members = [np.flatnonzero(labels == c) for c in range(CLASSES)]
    means, rows = class_means(points), np.array([class_means(one) for one in without])
    size = members[0].size
    within = np.array([points[at].var(ddof=1) for at in members])
    within = ((size - 1) * within + 3 * within.mean()) / (size + 2)
    left, least, noise = (None if of is None else class_means(of) for of in (left, least, noise))
    apart = [class_means(np.abs(points - end)) for end in (0, 1)]
    departing = [class_means(np.abs(points - end) > 1e-9) for end in (0, 1)]
    runs, found, z2 = len(rows), [], stdtrit(1e4, 0.975) ** 2
    for ids in GROUPS.values():
        out = rows[:, ids].mean(1)
        v_run = (runs - 1) / runs * ((out - out.mean()) ** 2).sum()
        v_point = within[ids].sum() / size / len(ids) ** 2
        v, uncertain = v_run + v_point, v_run**2 / (runs - 1)
        df_point = within[ids].sum() ** 2 / (within[ids] ** 2).sum() * (size - 1) + 3
        uncertain += v_point**2 / df_point
        if noise is not None:
            v = max(v_run, v_point, v - noise[ids].sum() / size / len(ids) ** 2)
        if left is not None:
            v += max(left[ids].mean() ** 2, 0 if least is None else least[ids].mean() ** 2)
        if least is not None:
            v += min(means[ids].mean(), 0) ** 2
        se, number = np.sqrt(v), size * len(ids)
        near, end = min((one[ids].mean(), end) for end, one in enumerate(apart))
        if is_share and departing[end][ids].mean() * number < 2 - 1e-9:
            upper = near + z2 / (2 * number) + np.sqrt(z2 * near * (1 - near) / number + (z2 / (2 * number)) ** 2)
            se = max(se, (upper / (1 + z2 / number) - near) / stdtrit(min(v**2 / uncertain, 1e4), 0.975))
        found.append([float(means[ids].mean()), float(se)])
    return found


# ---------------------------------------------------------------- one run


def child(case: str, who: str, folder: Path) -> dict:
    """Seconds, megabytes and results of one run."""
    labels = np.load(folder / "labels.npy")
    # With logits, the zero-one part is to take next to no time.
    predictions = np.load(folder / "predictions.npy") if case == "labels" else np.zeros((RUNS, labels.size), np.int16)

    def read(block):
        # Opened anew for each block: pages of a file count as memory of the process while they are mapped.
        return np.array(np.load(folder / "logits.npy", mmap_mode="r")[:, block])

    wall, cpu = time.perf_counter(), time.process_time()
    if who == "ours":
        rows = stats.summarize(
            stats.Record(predictions, labels, logits=read if case == "probabilities" else None), GROUPS
        )
        found = {name: [[r.estimate, r.se] for r in rows if r.quantity == name] for name in SHARED[case]}
    elif case == "labels":
        found = plain_labels(predictions, labels)
    else:
        found = plain_probabilities(read(slice(None)), labels)
    return {
        "seconds": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "found": found,
    }


def measure(case: str, who: str, folder: Path) -> dict:
    """`child` in a process of its own."""
    command = [sys.executable, __file__, "--child", case, who, str(folder)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def apart(one: dict, other: dict) -> float:
    """Largest difference of two results, estimates and standard errors alike."""
    return max(float(np.abs(np.array(one[name]) - np.array(other[name])).max()) for name in one)


def blocks_apart(points: int = 300) -> float:
    """Largest difference between the statistics of blocks of one point and of one block of all points."""
    draw = np.random.default_rng(np.random.SeedSequence((0, points, 2)))
    labels = np.arange(points) % CLASSES
    logits = (2 * draw.standard_normal((RUNS, points, CLASSES), np.float32)).astype(np.float16)
    groups = {"all": np.arange(CLASSES), "few": np.arange(100)}
    values = []
    for elements in (1, RUNS * points * CLASSES):
        probability.BLOCK_ELEMENTS = elements
        rows = stats.summarize(stats.Record(logits.argmax(2), labels, logits=logits), groups, target="test_set")
        values.append([[r.estimate, r.se, r.plug_in] for r in rows])
    return float(np.abs(np.subtract(*values)).max())


# ---------------------------------------------------------------- all runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long", action="store_true", help="also 50,000 points x 20 x 1,000 logits (2 GB on disk)")
    parser.add_argument("--out", type=Path, default=REPORT)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        case, who, folder = arguments.child
        print(json.dumps(child(case, who, Path(folder))))
        return

    cases = [
        ("labels", 50_000, ("ours", "plain"), arguments.rounds),
        ("labels", 1_000_000, ("ours",), arguments.rounds),
        ("probabilities", 2_000, ("ours", "plain"), arguments.rounds),
        ("probabilities", 10_000, ("ours",), arguments.rounds),
    ]
    if arguments.long:
        cases.append(("probabilities", 50_000, ("ours",), 1))
    rows = []
    for case, points, sides, rounds in cases:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (make_labels if case == "labels" else make_logits)(folder, points)
            turns = [{who: measure(case, who, folder) for who in sides} for _ in range(rounds)]
        rows += [_row(case, points, who, turns) for who in sides]
        print(
            "; ".join(f"{row['case']} {row['points']} {row['who']} {row['seconds']}" for row in rows), file=sys.stderr
        )
    text = report(rows, blocks_apart())
    table = io.StringIO()
    writer = csv.DictWriter(table, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write(arguments.out / "stats.csv", table.getvalue())
    write(arguments.out / "README.md", text)
    print(text)


def _row(case: str, points: int, who: str, turns: list[dict]) -> dict:
    """Medians over rounds of one side of a case."""
    middle = {key: statistics.median(turn[who][key] for turn in turns) for key in ("seconds", "cpu", "megabytes")}
    seconds = [turn[who]["seconds"] for turn in turns]
    plain = [turn["plain"] for turn in turns if "plain" in turn]
    return {
        "case": case,
        "points": points,
        "who": who,
        "rounds": len(turns),
        "seconds": round(middle["seconds"], 3),
        "seconds_min": round(min(seconds), 3),
        "seconds_max": round(max(seconds), 3),
        "cpu_seconds": round(middle["cpu"], 3),
        "peak_megabytes": round(middle["megabytes"]),
        "times_faster": round(statistics.median(one["seconds"] for one in plain) / middle["seconds"], 1)
        if plain
        else "",
        "largest_difference": f"{apart(turns[0][who]['found'], plain[0]['found']):.1e}" if plain else "",
    }


def report(rows: list[dict], block_difference: float) -> str:
    """The table, and what it was measured on."""
    header = ["case", "points", "", "seconds (min-max)", "CPU seconds", "peak MB", "x faster", "largest difference"]
    body = [
        [
            row["case"],
            f"{row['points']:,}",
            row["who"],
            f"{row['seconds']:.2f} ({row['seconds_min']:.2f}-{row['seconds_max']:.2f})",
            f"{row['cpu_seconds']:.2f}",
            str(row["peak_megabytes"]),
            str(row["times_faster"]),
            row["largest_difference"],
        ]
        for row in rows
    ]
    lines = [
        "# Speed and memory of the statistics",
        "",
        "`python " + " ".join(["benchmarks/stats.py", *sys.argv[1:]]) + "`",
        "",
        f"{RUNS} runs, {CLASSES:,} classes, {len(GROUPS):,} groups; median of n = {rows[0]['rounds']} rounds"
        " (50,000 points of probabilities: 1), one thread on a shared"
        f" {platform.machine()} machine; ltbv {ltbv.__version__}, Python {platform.python_version()}, numpy"
        f" {np.__version__}. What the rows mean: head of `benchmarks/stats.py`.",
        "",
        *(f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *body)),
        "",
        f"Blocks of one point and one block of all points differ by at most {block_difference:.1e}.",
        "",
    ]
    return "\n".join(lines)


def write(path: Path, text: str) -> None:
    """A file that exists is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(text)
    temporary.replace(path)


if __name__ == "__main__":
    main()
