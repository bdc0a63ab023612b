"""In which order does a run see its images in one epoch? Index sequences over the run's sample, one for each sampler.

A sampler is `(labels [n], generator) -> order [n]`, positions in the sample; an epoch is always n images long.
"""

import numpy as np


def instance(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Every image once, shuffled: classes appear as often as they are long."""
    return generator.permutation(len(labels))


def class_balanced(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw a class uniformly among those present, then its next image in shuffled order (Kang et al., 2020)."""
    shuffled = generator.permutation(len(labels))
    shuffled = shuffled[np.argsort(labels[shuffled], kind="stable")]  # by class, shuffled within it
    _, starts, sizes = np.unique(labels[shuffled], return_index=True, return_counts=True)
    drawn = generator.integers(len(sizes), size=len(labels))
    by_class = np.argsort(drawn, kind="stable")
    first = np.searchsorted(drawn[by_class], np.arange(len(sizes)))
    turn = np.empty_like(drawn)
    turn[by_class] = np.arange(len(drawn)) - first[drawn[by_class]]  # how often the class came before
    return shuffled[starts[drawn] + turn % sizes[drawn]]


SAMPLERS = {"instance": instance, "class_balanced": class_balanced}
