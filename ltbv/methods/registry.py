"""Which methods are there? Those of this package, those that other packages bring, and one's own."""

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

from ltbv.errors import Refusal, unknown
from ltbv.guest import imported
from ltbv.methods.base import Method

ENTRY_POINTS = "ltbv.methods"  # group of entry points by which other packages bring methods

METHODS: dict[str, Method] = {}
HOMES: dict[str, str] = {}  # the module that registered a method, by key


def register(method: Method | Callable[[], Method]) -> Method:
    """Make a method known by its key; gives it back, so that it can be assigned in the same line.

    As a decorator it takes a function without arguments that makes the method, and puts the method in its place. A
    module may register its own key again: a cell of a notebook that is run twice.
    """
    home = sys._getframe(1).f_globals.get("__name__", "")
    method = method() if callable(method) and not isinstance(method, Method) else method
    if not isinstance(method, Method):
        raise Refusal(f"register was given a {type(method).__name__}; give a Method, or a function that makes one")
    if METHODS.get(method.key, method) != method and home != HOMES[method.key]:
        raise Refusal(f"method key {method.key!r} is taken by {METHODS[method.key].label!r}; choose another key")
    METHODS[method.key] = method
    HOMES.setdefault(method.key, home)
    return method


def brought() -> dict[str, EntryPoint]:
    """Methods of other packages, by name: entry points of the group `ltbv.methods`, not yet imported."""
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def claims(name: str) -> list[str]:
    """What other packages, which need not agree, bring under a name."""
    return sorted({point.value for point in entry_points(group=ENTRY_POINTS, name=name)})


def hidden() -> dict[str, str]:
    """Where other packages bring a method under the name of one of ours, which stands: how theirs is asked for."""
    return {name: ", ".join(claims(name)) for name in brought() if HOMES.get(name, "").startswith("ltbv.")}


def is_importable(name: str) -> bool:
    """Does another process find a method of this name?"""
    return ":" in name or name in brought() or HOMES.get(name, "").startswith("ltbv.")


def find(name: str) -> Method:
    """The method of that key, one that an installed package brings, or `package.module:name` from one's own code."""
    if name in METHODS:
        return METHODS[name]
    where = name if ":" in name else getattr(brought().get(name), "value", "")
    if not where:
        raise unknown("method", name, (*METHODS, *brought()))
    if where != name and len(values := claims(name)) > 1:
        raise Refusal(f"method {name!r} is brought by several packages; give the one you mean: {', '.join(values)}")
    method = imported("method", where, "give package.module:name of a Method", name=name)
    if not isinstance(method, Method):
        raise Refusal(f"{name!r} is a {type(method).__name__}, not a Method; give package.module:name of a Method")
    if METHODS.get(method.key, method) != method:
        raise Refusal(
            f"method {name!r} has the key {method.key!r} of a known method that it is not; choose another key"
        )
    return method
