"""Which images may a method look at beside its training set? Development images: a few of each class, held out.

They come from the pool outside the run's sample; what the pool lacks, the sample gives up, so a method that is given
them trains on a little less. Its report has to say so: they are supervision that other methods do not have.
"""

import numpy as np

from ltbv.data.dataset import indices_of, labels_of, make_ids
from ltbv.errors import Refusal
from ltbv.seeds import generator

PER_CLASS = 10  # development images a class, as usual for CIFAR and Places-LT


def hold_out(
    ids: np.ndarray, pool_sizes: np.ndarray, per_class: int, *, seed: int, run: int
) -> tuple[np.ndarray, np.ndarray]:
    """A run's sample without what it gives up, [n'], and its development images [C * per_class], sorted ids.

    ids         [n] the sample; repeats of an image that is given up go with it
    pool_sizes  [C] images of each class that there are
    A class keeps one training image at least: where that cannot be, it is refused.
    """
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
