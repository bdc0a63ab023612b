"""Where does a random draw come from? From a named stream of one study seed, never from a global generator.

A stream is `SeedSequence(seed, spawn_key=(run, stream, *more))`: run 7 sees the same sample, whichever method, stack,
device or worker trains it, so that differences between methods are paired.
"""

import numpy as np

STREAMS = {
    "sample": 0,  # which images a run sees
    "init": 1,  # weights
    "order": 2,  # shuffling, crops, flips
    "held": 5,  # development images
    "kept": 4,  # what a stage draws once for all its epochs
    "views": 6,  # what is seen of the test images, by methods that adapt to them
    "base": 3,  # the one long-tailed set that bootstrap schemes resample (run 0 of it is shared by all runs)
}


def generator(seed: int, run: int, stream: str, *more: int) -> np.random.Generator:
    """The generator of one stream of one run; `more` numbers (stage, epoch) give streams within it."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(run, STREAMS[stream], *more))))
