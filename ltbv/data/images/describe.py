"""What is said of images, found or in a pool: classes, counts, size, and what to know of them."""

from collections.abc import Iterable, Sequence

import numpy as np

from ltbv.data.images.items import some
from ltbv.data.images.look import tally
from ltbv.data.images.plan import Plan
from ltbv.data.images.pool import Pool
from ltbv.errors import one_line
from ltbv.stats.splits import splits


def of_pool(pool: Pool) -> list[str]:
    """Lines on a pool."""
    train, test = np.array(pool.train_counts), np.array(pool.test_counts)
    size = f"{pool.path}: {_pixels(pool.side, pool.own_sizes)}, {pool.channels} channel{'s' * (pool.channels > 1)}"
    counts = f"{pool.name}: {_counts(train, test, pool.class_names)}"
    return [counts, one_line(f"{size}, key {pool.key}"), *_notes(pool.notes)]


def of_plan(plan: Plan) -> list[str]:
    """Lines on what a pool would hold; of files that will not do, three of each kind."""
    train, test = plan.counts(test=False), plan.counts(test=True)
    bad = [
        f"  {number} files are {kind}: {some(one.shown for one in plan.amiss if one.kind == kind)}"
        for kind, number in tally(plan.amiss).items()
    ]
    notes = _notes(note for note in plan.notes if "will not do" not in note)
    pixels = _pixels(plan.recipe.side, plan.sizes is not None)
    size = f"a pool of {pixels} has {plan.starts[-1] / 1e6:.1f} MB"
    return [f"{plan.name}: {_counts(train, test, plan.class_names)}", f"{size}, key {plan.key}", *bad, *notes]


def _pixels(side: int, own_sizes: bool) -> str:
    return f"{side} pixels on the shorter side" if own_sizes else f"{side} x {side} pixels"


def _counts(train: np.ndarray, test: np.ndarray, names: Sequence[str]) -> str:
    most, least = int(train.argmax()), int(train.argmin())
    kinds = ", ".join(f"{len(ids)} {name}" for name, ids in splits(train).items())
    return (
        f"{len(names)} classes ({kinds}), {train.sum():,} training images ({train[most]:,} of {names[most]} to"
        f" {train[least]:,} of {names[least]}), {test.sum():,} test images"
    )


def _notes(notes: Iterable[str]) -> list[str]:
    return [f"  note: {note}" for note in notes]
