"""How are images drawn that are not independent: frames of one burst, pictures of one patient? Group by group.

Counts stay as they were asked, to the image, so that runs can be trained side by side: whole groups are drawn until
there are enough images, and of the last group only as many as are lacking, at random.
"""

import numpy as np


def without_replacement(rng: np.random.Generator, groups: np.ndarray, n: int) -> np.ndarray:
    """Places [n], sorted, of images of `groups` [N], n at most N: the groups in a random order, as far as they go."""
    of = np.unique(groups, return_inverse=True)[1]
    turn = rng.permutation(of.max() + 1)
    shuffled = rng.permutation(len(of))  # within a group, any image is as good as another
    return np.sort(shuffled[np.argsort(turn[of[shuffled]], kind="stable")[:n]])


def with_replacement(rng: np.random.Generator, groups: np.ndarray, n: int) -> np.ndarray:
    """Places [n] of images of `groups` [N]: groups drawn with replacement, each as often as the others."""
    of = np.unique(groups, return_inverse=True)[1]
    shuffled = rng.permutation(len(of))
    members = np.split(shuffled[np.argsort(of[shuffled], kind="stable")], np.cumsum(np.bincount(of))[:-1])
    drawn = rng.integers(len(members), size=n)  # a group has an image at least, so these are enough
    enough = 1 + int(np.searchsorted(np.cumsum(np.bincount(of)[drawn]), n))
    return np.concatenate([members[group] for group in drawn[:enough]])[:n]
