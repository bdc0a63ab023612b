"""How does a recipe grow without its keys moving? By fields that keys leave out while they say nothing.

A stage is known by what it contains (`harness.keys`). A field that comes `later` than studies that are kept stands in
no key unless it is used, so that what was trained before goes on.
"""

from dataclasses import Field, field
from typing import Any


def later(default: Any) -> Any:
    """A field with this default, at which keys leave it out."""
    return field(default=default, metadata={"later": True})


def says_nothing(one: Field[Any], value: object) -> bool:
    """Is it such a field, at its default?"""
    return bool(one.metadata.get("later")) and value == one.default
