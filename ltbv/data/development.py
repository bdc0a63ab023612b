"""Which images may a method look at beside its training set? Development images: a few of each class, held out.

They come from the pool outside the run's sample; what the pool lacks, the sample gives up, so a method that is given
them trains on a little less. Its report has to say so: they are supervision that other methods do not have.
"""

import numpy as np

from ltbv.data.dataset import indices_of, labels_of, make_ids
from ltbv.data.resample import groups_of
from ltbv.errors import Refusal
from ltbv.seeds import generator

PER_CLASS = 10  # development images a class, as usual for CIFAR and Places-LT


def hold_out(
    ids: np.ndarray, pool_sizes: np.ndarray, per_class: int, *, seed: int, run: int, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A run's sample without what it gives up, [n'], and its development images [C * per_class], sorted ids.

    ids         [n] the sample; repeats of an image that is given up go with it
    pool_sizes  [C] images of each class that there are
    groups      of images of the pool that are not independent, as `resample.Request.groups`: those of a group that is
                held out leave the sample with it, also where only some of them are development images
    A class keeps one training image at least: where that cannot be, it is refused.
    """
    if groups is not None:
        return _hold_out_groups(ids, pool_sizes, per_class, generator(seed, run, "held"), run, groups)
    draw, held, labels = generator(seed, run, "held"), [], labels_of(ids)
    for k, pool in enumerate(pool_sizes):
        own = np.unique(indices_of(ids[labels == k]))
        outside = np.setdiff1d(np.arange(pool), own, assume_unique=True)
        taken = draw.permutation(outside)[:per_class]
        lacking = per_class - len(taken)
        if lacking and lacking >= len(own):
            raise Refusal(
                f"class {k} has {pool} images, {len(own)} of them in run {run}: too few to hold out {per_class} and to"
                " train on one; give a smaller head, or hold out fewer"
            )
        given_up = draw.permutation(own)[:lacking]
        held.append(make_ids(np.full(per_class, k), np.sort(np.concatenate([taken, given_up]))))
    found = np.concatenate(held)
    return ids[~np.isin(ids, found)], found


def _hold_out_groups(
    ids: np.ndarray, pool_sizes: np.ndarray, per_class: int, draw: np.random.Generator, run: int, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Groups outside the sample first, then such as it gives up, in random order, until there are enough images."""
    of_sample = groups_of(ids, pool_sizes, groups)
    inside, taken, held = set(of_sample.tolist()), set(), []
    for k, own in enumerate(np.split(groups, np.cumsum(pool_sizes)[:-1])):
        order = draw.permutation(np.unique(own)).tolist()
        order.sort(key=lambda group: (group not in taken, group in inside))
        images: list[int] = []
        for group in order:
            if len(images) >= per_class:
                break
            taken.add(group)
            images += draw.permutation(np.flatnonzero(own == group)).tolist()
        held.append((k, len(images), np.sort(images[:per_class])))
    kept = ids[~np.isin(of_sample, sorted(taken))]
    before, trained = (np.bincount(labels_of(of), minlength=len(pool_sizes)) for of in (ids, kept))
    for k, number, _ in held:
        if number < per_class or (before[k] and not trained[k]):
            raise Refusal(
                f"class {k} has {pool_sizes[k]} images: in run {run} too few groups of them to hold out {per_class} and"
                " to train on one; give a smaller head, or hold out fewer"
            )
    return kept, np.concatenate([make_ids(np.full(per_class, k), images) for k, _, images in held])
