"""Which methods are there? One paper, one file; a new method is one file and one import line here."""

from ltbv.methods import baseline, decoupling, ldam, ride  # noqa: F401  (importing registers them)
from ltbv.methods.base import METHODS, find, register

__all__ = ["METHODS", "find", "register"]
