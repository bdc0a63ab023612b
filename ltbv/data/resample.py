"""Which images does run r see? Index sets drawn from a pool, one scheme of resampling a study.

A scheme decides what the variance of a study means: over fresh data (`fresh`, nearly `subsample`), conditional on one
long-tailed set (`stratified_bootstrap`, `bootstrap`), or over training seeds alone (`seed_only`). Where images come in
groups that are not independent, groups are drawn in the place of images, and counts stay (`ltbv.data.groups`).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ltbv import seeds
from ltbv.data.dataset import indices_of, labels_of, make_ids
from ltbv.data.groups import with_replacement, without_replacement
from ltbv.errors import Refusal, unknown

FRESH_END = 2_000_000_000  # in an endless pool, indices from here on belong to the test set and are never drawn

LARGEST_FRESH = 100_000  # head of the scheme `fresh`: leaves room for 9,000 runs and more, and fits into memory


class Request(NamedTuple):
    """What a scheme may look at: counts [C] asked for, pool_sizes [C], the study's seed and the run; and of each image
    of the pool, by class and index, the group that it is of; None: images are independent."""

    counts: np.ndarray
    pool_sizes: np.ndarray
    seed: int
    run: int
    groups: np.ndarray | None = None

    def groups_of(self, ids: np.ndarray) -> np.ndarray:
        """Groups [n] of images of the pool."""
        assert self.groups is not None
        return groups_of(ids, self.pool_sizes, self.groups)


class Scheme(NamedTuple):
    """`draw` makes ids [n] of one run."""

    description: str
    draw: Callable[[Request], np.ndarray]
    beyond_pool: bool = False


def groups_of(ids: np.ndarray, pool_sizes: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Groups [n] of images of a pool whose images, by class and index, are of `groups`."""
    return groups[(np.cumsum(pool_sizes) - pool_sizes)[labels_of(ids)] + indices_of(ids)]


def _without_replacement(rng: np.random.Generator, request: Request) -> np.ndarray:
    counts, pool_sizes = request.counts, request.pool_sizes
    if request.groups is None:
        indices = [np.sort(rng.choice(pool, n, replace=False)) for n, pool in zip(counts, pool_sizes, strict=True)]
    else:
        parts = np.split(request.groups, np.cumsum(pool_sizes)[:-1])
        indices = [without_replacement(rng, own, n) for n, own in zip(counts, parts, strict=True)]
    return make_ids(np.repeat(np.arange(len(counts)), counts), np.concatenate(indices))


def _base(request: Request) -> np.ndarray:
    """The one long-tailed set that all runs of a study resample, [n]."""
    return _without_replacement(seeds.generator(request.seed, 0, "base"), request)


def _subsample(request: Request) -> np.ndarray:
    return _without_replacement(seeds.generator(request.seed, request.run, "sample"), request)


def _fresh(request: Request) -> np.ndarray:
    """Run r takes the r-th stretch of `head` images of every class, counted from a start that the seed chooses."""
    head, pool = int(request.counts.max()), int(request.pool_sizes.max())
    stretches = (FRESH_END - pool) // head
    first = int(seeds.generator(request.seed, 0, "base").integers(stretches // 2))
    start = pool + (first + request.run) * head
    if start + head > FRESH_END:
        raise Refusal(f"run {request.run} is one too many: with head {head} the pool has {stretches // 2} fresh runs")
    indices = np.concatenate([np.arange(start, start + n) for n in request.counts])
    return make_ids(np.repeat(np.arange(len(request.counts)), request.counts), indices)


def _stratified_bootstrap(request: Request) -> np.ndarray:
    base, rng = _base(request), seeds.generator(request.seed, request.run, "sample")
    if request.groups is None:
        within = np.concatenate([rng.integers(n, size=n) for n in request.counts])
    else:
        parts = np.split(request.groups_of(base), np.cumsum(request.counts)[:-1])
        within = np.concatenate([with_replacement(rng, own, len(own)) for own in parts])
    first_of_class = np.repeat(np.cumsum(request.counts) - request.counts, request.counts)
    return np.sort(base[first_of_class + within])


def _bootstrap(request: Request) -> np.ndarray:
    base, rng = _base(request), seeds.generator(request.seed, request.run, "sample")
    if request.groups is not None:
        return np.sort(base[with_replacement(rng, request.groups_of(base), len(base))])
    return np.sort(base[rng.integers(len(base), size=len(base))])


SCHEMES = {
    "subsample": Scheme(
        "a long-tailed set drawn without replacement from the pool, anew for every run",
        _subsample,
    ),
    "fresh": Scheme(
        "new images for every run, none shared; needs an endless pool",
        _fresh,
        beyond_pool=True,
    ),
    "stratified_bootstrap": Scheme(
        "one long-tailed set, redrawn with replacement within each class; counts stay",
        _stratified_bootstrap,
    ),
    "bootstrap": Scheme(
        "one long-tailed set, redrawn with replacement as a whole; counts vary, small classes can vanish",
        _bootstrap,
    ),
    "seed_only": Scheme(
        "one long-tailed set for all runs; only initialisation and order differ",
        _base,
    ),
}


def check(scheme: str, counts: np.ndarray, pool_sizes: np.ndarray, *, endless: bool) -> Scheme:
    """The scheme of that name, or a Refusal if it cannot draw `counts` [C] from a pool of `pool_sizes` [C]."""
    if scheme not in SCHEMES:
        raise unknown("scheme", scheme, SCHEMES)
    found = SCHEMES[scheme]
    counts, pool_sizes = np.asarray(counts), np.asarray(pool_sizes)
    if found.beyond_pool:
        if not endless:
            others = ", ".join(name for name, other in SCHEMES.items() if not other.beyond_pool)
            raise Refusal(f"scheme {scheme!r} needs an endless pool such as glyphs-lt's; a fixed pool has {others}")
        if counts.max() > LARGEST_FRESH:
            raise Refusal(
                f"head {counts.max()}: scheme {scheme!r} has fresh images for a head of at most {LARGEST_FRESH}"
            )
        return found
    if (counts > pool_sizes).any():
        k = int(np.argmax(counts - pool_sizes))
        cure = " or scheme 'fresh'" if endless else ""
        raise Refusal(
            f"class {k} needs {counts[k]} images but its pool has {pool_sizes[k]}; ask for a smaller head{cure}"
        )
    return found


def draw(
    scheme: str,
    counts: np.ndarray,
    dataset_pool_sizes: np.ndarray,
    *,
    seed: int,
    run: int,
    endless: bool = False,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Sorted ids [n] int64 of the images that run `run` trains on: a function of (seed, run), whatever R is.

    counts [C] images wanted of each class (at least 1), dataset_pool_sizes [C] images there are, groups as in Request.
    """
    found = check(scheme, counts, dataset_pool_sizes, endless=endless)
    return found.draw(Request(np.asarray(counts), np.asarray(dataset_pool_sizes), seed, run, groups))


def realised_counts(ids: np.ndarray, num_classes: int) -> np.ndarray:
    """Images of each class in ids [n], repeats included, [C] int64."""
    return np.bincount(labels_of(ids), minlength=num_classes)


def lost_classes(ids: np.ndarray, num_classes: int) -> np.ndarray:
    """Classes that have no image in ids [n]."""
    return np.flatnonzero(realised_counts(ids, num_classes) == 0)


def overlap(ids_of_runs: Sequence[np.ndarray] | np.ndarray, num_classes: int) -> np.ndarray:
    """Share f_c [C] of class c's distinct images that two runs have in common, over all pairs of runs.

    f_c = mean over pairs |A_c and B_c| / mean over runs |A_c|, in 0-1. NaN for one run and for a class no run has.
    """
    distinct = [np.unique(ids) for ids in ids_of_runs]
    images, runs_with = np.unique(np.concatenate(distinct), return_counts=True)
    labels = labels_of(images)
    shared = np.bincount(labels, runs_with * (runs_with - 1.0), minlength=num_classes)
    held = np.bincount(labels, runs_with, minlength=num_classes) * (len(distinct) - 1.0)
    return np.divide(shared, held, out=np.full(num_classes, np.nan), where=held > 0)


def lost_by_run(ids_of_runs: Sequence[np.ndarray], counts: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of each run, the classes that there are (`counts` [C] above 0) and that it has no image of."""
    there = np.flatnonzero(counts)
    return tuple(np.intersect1d(lost_classes(ids, len(counts)), there) for ids in ids_of_runs)
