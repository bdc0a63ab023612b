"""How is a recipe known again? By a description of all that can change its results, as JSON, and the digest of that.

What ltbv brings is known by its name (`engine.REVISION` counts its changes); code from elsewhere by its source, and by
all of its own package that it reaches: functions, classes, and constants that cannot change under way.
"""

import contextlib
import dis
import hashlib
import inspect
import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ltbv.errors import Refusal
from ltbv.later import says_nothing

CODE = (FunctionType, type)


def digest(value: Any) -> str:
    """16 hex digits of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def canonical(value: Any) -> Any:
    """A recipe as JSON: dataclasses by name and fields, functions by name, foreign code with a digest of its source."""
    if is_dataclass(value) and not isinstance(value, type):
        told = [(f, getattr(value, f.name)) for f in fields(value) if f.compare]
        own = {f.name: canonical(of) for f, of in told if not says_nothing(f, of)}
        return {"is": _name(type(value)), **own}
    if isinstance(value, (list, tuple)):
        return [canonical(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted((canonical(v) for v in value), key=json.dumps)
    if isinstance(value, dict):
        return {str(k): canonical(v) for k, v in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, MethodType):
        return {"is": _name(value.__func__), "of": canonical(value.__self__)}
    if callable(value) and hasattr(value, "__qualname__"):
        return _name(value)
    cure = "use dataclasses, named functions, numbers and strings"
    raise Refusal(f"a recipe holds {value!r}, which has no stable description; {cure}")


def _name(thing: Any) -> str:
    name = f"{thing.__module__}:{thing.__qualname__}"
    package = thing.__module__.partition(".")[0]
    if package == "ltbv":
        return name
    parts = list(_code(thing, package, set()))
    return f"{name}@{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]}"


def _code(thing: Any, package: str, seen: set[int]) -> Iterator[Any]:
    """Names, sources and constants of a function or class and of all in `package` that it reaches, each once."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    yield f"{thing.__module__}:{thing.__qualname__}"
    if hasattr(thing, "__wrapped__"):
        yield from _code(thing.__wrapped__, package, seen)
    home = thing.__globals__.get("__name__", "") if isinstance(thing, FunctionType) else thing.__module__
    if home.partition(".")[0] != package:
        return
    with contextlib.suppress(OSError, TypeError):  # built in, or typed into a prompt
        yield inspect.getsource(getattr(thing, "__code__", thing))
    if isinstance(thing, type):
        for base in thing.__bases__:
            yield from _code(base, package, seen)
        inside = (getattr(value, "fget", None) or getattr(value, "__func__", value) for value in vars(thing).values())
        written = [f for f in inside if isinstance(f, FunctionType) and f.__code__.co_filename != "<string>"]
    else:
        written = [thing] if isinstance(thing, FunctionType) else []
    for function in written:
        yield from _held(function, package, seen)
        yield from _reached(function, package, seen)


def _held(function: FunctionType, package: str, seen: set[int]) -> Iterator[Any]:
    """What was bound to a function when it was made: variables around it, default values."""
    around = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    held: dict[str | int, Any] = {name: cell.cell_contents for name, cell in around if name != "__class__"}
    held |= (function.__kwdefaults__ or {}) | dict(enumerate(function.__defaults__ or ()))
    for name, value in held.items():
        yield str(name)
        if isinstance(value, CODE):
            yield from _code(value, package, seen)
            continue
        try:
            yield canonical(value)
        except Refusal as refusal:
            if function.__globals__.get("__name__", "").partition(".")[0] != package:
                continue  # of a decorator of others, as torch.no_grad, which holds what is theirs
            what = f"{function.__qualname__} holds {name!r}, which has no stable description"
            cure = "make it a frozen dataclass with __call__, whose fields are numbers and strings"
            raise Refusal(f"{what}; {cure}") from refusal


def _reached(function: FunctionType, package: str, seen: set[int]) -> Iterator[Any]:
    """Globals that a function names, also of modules of its package: code, and constants that it does not set."""
    codes = list(_nested(function.__code__))
    set_here = {step.argval for code in codes for step in dis.get_instructions(code) if step.opname == "STORE_GLOBAL"}
    names = sorted({name for code in codes for name in code.co_names} - set_here)
    modules = (function.__globals__.get(name) for name in names)
    own = [vars(m) for m in modules if isinstance(m, ModuleType) and m.__name__.partition(".")[0] == package]
    for space in (function.__globals__, *own):
        for name in names:
            yield from _constant(space.get(name), package, seen)


def _constant(value: Any, package: str, seen: set[int]) -> Iterator[Any]:
    """Code, numbers, text and tuples of those; nothing of what may change under way."""
    if isinstance(value, CODE):
        yield from _code(value, package, seen)
    elif isinstance(value, (tuple, frozenset)):
        for one in value if isinstance(value, tuple) else sorted(value, key=repr):
            yield from _constant(one, package, seen)
    elif isinstance(value, (bool, int, float, str)):
        yield value


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)
