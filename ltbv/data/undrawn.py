"""Does code of others draw from a generator that all share? What it draws would depend on what was drawn before."""

from collections.abc import Iterator
from contextlib import contextmanager

from ltbv.answers import watched
from ltbv.errors import Refusal


@contextmanager
def undrawn(who: str) -> Iterator[None]:
    """Refuse that `who` draws on the host, or seeds, torch's, numpy's or Python's own generator (`watched`)."""
    with watched() as moved:
        yield
    if moved:
        raise Refusal(
            f"{who} draws from a generator of the host, or seeds it: the one that {' and '.join(moved)} has for all; an"
            " objective has `draws = 1` and then batch.draws, a sampler turn.draw, and nothing else draws"
        )
