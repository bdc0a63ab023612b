"""How is a pickle read of which nothing may be run?

A pickle is a program, which can name any function to be called. Here it names nothing but what a pickled array needs,
which inert stand-ins answer; it has the opcodes that make numbers, strings, lists, tuples and dictionaries, not too
many of them; and no opcode gets more bytes than the file has.

The library's Unpickler does it, in its Python form: in that in C seven bytes that name the 100-millionth place of the
memo take 1.6 GB, and nine that promise a string of 8 GB are believed, before `find_class` is asked anything. Keys must
be strings: the hash of nested tuples that share their parts would never end.
"""

import math
import pickle
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

MOST_OPCODES = 1_000_000  # each may take some 150 bytes; CIFAR-100's train has 0.2 million
MOST_AXES = 8  # of an array that is looked at
UINT8 = ((b"u1",), (b"|u1",), ("u1",), ("|u1",))
OPCODES = (
    "PROTO FRAME STOP MARK PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET NONE NEWTRUE NEWFALSE"
    " INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING"
    " BINBYTES SHORT_BINBYTES BINBYTES8 UNICODE BINUNICODE SHORT_BINUNICODE"
    " EMPTY_LIST EMPTY_DICT EMPTY_TUPLE LIST DICT TUPLE TUPLE1 TUPLE2 TUPLE3 APPEND APPENDS SETITEM SETITEMS"
    " GLOBAL STACK_GLOBAL REDUCE BUILD"
)


class ForeignName(ValueError):
    """A pickle asks for a name that is not of an array; the message is that name."""


def read_pickle(file: BinaryIO, size: int) -> object:
    """The value in a file of `size` bytes; byte strings of Python 2 are bytes, arrays `PickledArray`.

    `ForeignName` where it asks for another name; where it makes no sense, any error at all.
    """
    return _Unpickler(_Bounded(file, size), encoding="bytes").load()


class _StandIn:
    """Is called in place of what a pickle names, and only keeps what it is told."""

    def __init__(self, *arguments: object) -> None:
        self.arguments, self.state = arguments, None


class _Dtype(_StandIn):
    """Stands in for a numpy dtype."""


class PickledArray(_StandIn):
    """Stands in for a numpy array; `uint8` makes the real one."""

    def uint8(self) -> np.ndarray | None:
        """The array, or None if this is no uint8 array of the size it claims."""
        if not (isinstance(self.state, tuple) and len(self.state) == 5):
            return None
        _, shape, dtype, by_column, data = self.state
        if not (isinstance(dtype, _Dtype) and dtype.arguments[:1] in UINT8 and isinstance(data, bytes)):
            return None
        if not (isinstance(shape, tuple) and all(type(length) is int and length >= 0 for length in shape)):
            return None
        if len(shape) > MOST_AXES or math.prod(shape) != len(data):
            return None
        return np.frombuffer(data, np.uint8).reshape(shape, order="F" if by_column is True else "C")


STAND_INS = {
    ("numpy.core.multiarray", "_reconstruct"): PickledArray,
    ("numpy._core.multiarray", "_reconstruct"): PickledArray,
    ("numpy", "ndarray"): None,  # only ever an argument of _reconstruct
    ("numpy", "dtype"): _Dtype,
}


class _Keyed(dict[Any, Any]):
    """A dictionary of a pickle: its keys are strings."""

    def __setitem__(self, key: object, value: object) -> None:
        if not isinstance(key, (bytes, str)):
            raise ValueError("a key is no string")
        super().__setitem__(key, value)


class _Unpickler(pickle._Unpickler):
    """`dispatch` has a method for each opcode, which is the library's where it only makes plain values."""

    stack: list[Any]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]
    left = MOST_OPCODES

    def find_class(self, module: str, name: str) -> type[_StandIn] | None:
        if (module, name) not in STAND_INS:
            raise ForeignName(f"{module}.{name}")
        return STAND_INS[module, name]

    def load_empty_dictionary(self) -> None:
        self.append(_Keyed())

    def load_dict(self) -> None:
        items, found = self.pop_mark(), _Keyed()
        for key, value in zip(items[::2], items[1::2], strict=True):
            found[key] = value
        self.append(found)

    def load_reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if function not in (PickledArray, _Dtype) or not isinstance(arguments, tuple):
            raise ValueError("it calls what is no array")
        self.append(function(*arguments))

    def load_build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], _StandIn):
            raise ValueError("it sets the state of what is no array")
        self.stack[-1].state = state


Step = Callable[[_Unpickler], None]


def _counted(step: Step) -> Step:
    def counted(program: _Unpickler) -> None:
        program.left -= 1
        if program.left < 0:
            raise ValueError(f"it has more than {MOST_OPCODES:,} opcodes")
        step(program)

    return counted


def _foreign(program: _Unpickler) -> None:
    del program
    raise ValueError("it has an opcode that no array, number, string, list, tuple or dictionary needs")


# Any: typeshed takes these for methods of the Unpickler in C
_METHODS: dict[int, Any] = pickle._Unpickler.dispatch | {
    pickle.EMPTY_DICT[0]: _Unpickler.load_empty_dictionary,
    pickle.DICT[0]: _Unpickler.load_dict,
    pickle.REDUCE[0]: _Unpickler.load_reduce,
    pickle.BUILD[0]: _Unpickler.load_build,
}
_CODES = [getattr(pickle, name)[0] for name in OPCODES.split()]
_STEPS: dict[int, Any] = dict.fromkeys(range(256), _foreign)
_Unpickler.dispatch = _STEPS | {code: _counted(_METHODS[code]) for code in _CODES}


class _Bounded:
    """A file of `size` bytes for an Unpickler, which reads as many as an opcode promises."""

    def __init__(self, file: BinaryIO, size: int):
        self._file, self._left = file, size

    def read(self, size: int) -> bytes:
        taken = self._file.read(min(size, self._left))
        self._left -= len(taken)
        return taken

    def readline(self) -> bytes:
        taken = self._file.readline(self._left)
        self._left -= len(taken)
        return taken
