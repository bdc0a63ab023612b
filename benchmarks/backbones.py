"""Do intervals cover where runs stand on a few backbones? Simulated clusters of heads, whose truth is known.

    python benchmarks/backbones.py [--studies 300] [--backbones 2,3,6] [--heads 6]

A head r on backbone b says of test point i the class with the largest of z_ric = m_ic + u_bic + w_bc + v_ric + x_rc:
m of the point (3 for its own class, less in the tail, plus noise), u and w of the backbone (of the point, and of all
points of a class), v and x of the head. Points, backbones and heads are new in each study; classes are fixed. A second
method has the same u and w, heads that vary more and a tail that is better. The truth is that of 2,000 points, 120
backbones, 60 heads each. Printed is how often the 95 % interval of a method, and of the difference, holds it, and the
median width. 300 studies know a cell to 1.3 points.
"""

import argparse
import os
from dataclasses import dataclass

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

from ltbv import stats

CLASSES, POINTS = 6, 40
GROUPS = {"all": np.arange(CLASSES), "few": np.arange(4, 6)}
OF_RECORD = ("error", "bias", "variance")
OF_PAIRS = ("bias", "total_variance", "data_variance", "algorithm_variance")


@dataclass(frozen=True)
class World:
    """Standard deviations of the backbone (point, class) and of the head (point, class); advantage of the tail."""

    backbone: tuple[float, float]
    head: tuple[float, float]
    other_head: tuple[float, float]
    tail: float = 0.8


WORLDS = {
    "half of it the backbone": World((0.8, 0.4), (0.8, 0.4), (1.1, 0.5)),
    "mostly the backbone": World((1.0, 0.7), (0.4, 0.1), (0.5, 0.2)),
    "mostly the head": World((0.2, 0.1), (1.0, 0.5), (1.3, 0.5)),
}


def study(world: World, backbones: int, heads: int, points: int, draw: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Predictions [B, M, N] of two methods, and labels [N]."""
    labels = np.repeat(np.arange(CLASSES), points)
    middle = 1.5 * draw.normal(size=(labels.size, CLASSES))
    middle[np.arange(labels.size), labels] += 3 - 0.35 * labels

    def moved(shape: tuple[int, ...], of_point: float, of_class: float) -> np.ndarray:
        return of_point * draw.normal(size=(*shape, labels.size, CLASSES)) + of_class * draw.normal(
            size=(*shape, 1, CLASSES)
        )

    seen = middle + moved((backbones, 1), *world.backbone)
    one = (seen + moved((backbones, heads), *world.head)).argmax(-1)
    seen[..., 4:] += world.tail
    return one, (seen + moved((backbones, heads), *world.other_head)).argmax(-1), labels


def flat(predictions: np.ndarray, labels: np.ndarray) -> stats.Record:
    backbones, heads, _ = predictions.shape
    return stats.Record(
        predictions.reshape(backbones * heads, -1), labels, backbones=np.repeat(np.arange(backbones), heads)
    )


def said(one: np.ndarray, other: np.ndarray, labels: np.ndarray) -> dict[tuple, tuple[float, float, float]]:
    """(of one method or the difference, table, group, quantity) -> estimate, low, high."""
    found: dict[tuple, tuple[float, float, float]] = {}
    records = flat(one, labels), flat(other, labels)
    for what, rows in (
        ("method", stats.summarize(records[0], GROUPS)),
        ("difference", stats.compare(*records, GROUPS)),
    ):
        for row in rows:
            if row.quantity in OF_RECORD:
                found[what, "given", row.group, row.quantity] = row.estimate, row.low, row.high
    for what, parts in (
        ("method", stats.source_parts(one, labels, GROUPS)),
        ("difference", stats.source_parts(one, labels, GROUPS, other)),
    ):
        for quantity in OF_PAIRS:
            of = parts[quantity]
            for g, group in enumerate(GROUPS):
                found[what, "over", group, quantity] = of.estimate[g], of.low[g], of.high[g]
    return found


def truth(world: World, draw: np.random.Generator) -> dict[tuple, float]:
    """Of many; the jackknife of so many would take hours, and only estimates are wanted."""
    found: dict[tuple, list[float]] = {}
    for _ in range(3):
        one, other, labels = study(world, 40, 60, 110, draw)
        sides = []
        for side in (one, other):
            each = [stats.zero_one(runs, labels) for runs in side]
            given = {"error": [of.error for of in each], "bias": [of.bias for of in each]}
            given |= {"variance": [of.variance_mid for of in each]}
            parts = stats.sources(side, labels)
            over = {"total_variance": parts.total, "data_variance": parts.data, "algorithm_variance": parts.algorithm}
            over["bias"] = np.mean(given["error"], 0) - parts.total
            own = {("given", name): np.mean(of, 0) for name, of in given.items()}
            sides.append(own | {("over", name): of for name, of in over.items()})
        for (table, quantity), of in sides[0].items():
            for group, classes in GROUPS.items():
                own = np.isin(labels, classes)
                found.setdefault(("method", table, group, quantity), []).append(of[own].mean())
                apart = of[own].mean() - sides[1][table, quantity][own].mean()
                found.setdefault(("difference", table, group, quantity), []).append(apart)
    return {at: float(np.mean(of)) for at, of in found.items()}


def coverage(world: World, backbones: int, heads: int, studies: int, seed: int) -> dict[tuple, tuple[float, float]]:
    """Share of studies whose interval holds the truth, and the median width; by what `said` tells."""
    draw = np.random.default_rng(seed)
    true, held, widths = truth(world, draw), {}, {}
    for _ in range(studies):
        for at, (_, low, high) in said(*study(world, backbones, heads, POINTS, draw)).items():
            if np.isfinite(low):
                held.setdefault(at, []).append(low <= true[at] <= high)
                widths.setdefault(at, []).append(high - low)
    return {at: (float(np.mean(of)), float(np.median(widths[at]))) for at, of in held.items()}


def main(studies: int, numbers: list[int], heads: int) -> None:
    print(f"{studies} studies a cell, {heads} heads on each backbone, {CLASSES} classes of {POINTS} test points\n")
    print(
        "| world | B | of | group | error | bias | variance | total | backbone | head |\n|---|--:|---|---|" + "--:|" * 6
    )
    for name, world in WORLDS.items():
        for number in numbers:
            found = coverage(world, number, heads, studies, seed=number)
            for what in ("method", "difference"):
                for group in GROUPS:
                    cells = [found.get((what, "given", group, quantity)) for quantity in OF_RECORD]
                    cells += [found.get((what, "over", group, quantity)) for quantity in OF_PAIRS[1:]]
                    shown = " | ".join("" if one is None else f"{one[0]:.1%} ({one[1]:.2f})" for one in cells)
                    print(f"| {name} | {number} | {what} | {group} | {shown} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--backbones", type=lambda text: [int(word) for word in text.split(",")], default=[2, 3, 6])
    parser.add_argument("--heads", type=int, default=6)
    asked = parser.parse_args()
    main(asked.studies, asked.backbones, asked.heads)
