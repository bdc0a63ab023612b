"""Does code of others draw from a generator that all share? What it draws would depend on what was drawn before."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from ltbv.errors import Refusal


@contextmanager
def undrawn(who: str) -> Iterator[None]:
    """Refuse that `who` draws on the host, or seeds, torch's, numpy's or Python's own generator; they are put back."""
    before = torch.get_rng_state(), np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        after = torch.get_rng_state(), np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        random.setstate(before[2])
    old, new = before[1]["state"], after[1]["state"]
    same = {
        "torch": torch.equal(before[0], after[0]),
        "numpy": bool((old["key"] == new["key"]).all() and old["pos"] == new["pos"]),
        "Python": before[2] == after[2],
    }
    if moved := [name for name, is_same in same.items() if not is_same]:
        raise Refusal(
            f"{who} draws from a generator of the host, or seeds it: the one that {' and '.join(moved)} has for all; an"
            " objective has `draws = 1` and then batch.draws, a sampler turn.draw, and nothing else draws"
        )
