"""What does the name of a network say? Where it is from, with which arguments it is made, where it is cut, its weights.

    timm:resnet18,drop_path_rate=0.1,channels=(64,128,192,384)@layer3+weights=FILE
    torchvision:resnet50@layer3+pretrained

Values are numbers, True, False, None, words, and tuples of these in brackets. However they are written and in whatever
order, `str` of a name is the same: a study is known by that.
"""

import ast
import math
import re
from typing import NamedTuple

from ltbv.errors import Refusal

FILE, PRETRAINED = "+weights=", "+pretrained"
KNOWN = "sha256:"
WORDS = {"true": True, "false": False, "none": None}
NO_NUMBERS = ("nan", "inf", "infinity")  # which are no words either
WORD = re.compile(r"[A-Za-z_][\w./-]*")

Value = bool | int | float | str | tuple["Value", ...] | None
Arguments = tuple[tuple[str, Value], ...]


class Named(NamedTuple):
    """
    source, model  on both sides of the colon
    arguments      by name, sorted
    cut            the child that it is cut before, or ''
    weights        +weights=FILE, +pretrained, +pretrained=TAG, or ''
    """

    source: str
    model: str
    arguments: Arguments = ()
    cut: str = ""
    weights: str = ""

    def __str__(self) -> str:
        cut = f"@{self.cut}" if self.cut else ""
        return f"{self.source}:{self.model}{spelt(self.arguments)}{cut}{self.weights}"


def named(name: str) -> Named:
    """The parts of a name."""
    place = min((at for mark in (FILE, PRETRAINED) if (at := name.find(mark)) >= 0), default=len(name))
    whole, weights = name[:place], name[place:]
    whole, parted, cut = whole.partition("@")
    model, *told = _apart(whole)
    source, _, model = model.partition(":")
    if not source or not model or (parted and not cut):
        raise Refusal(
            f"network {name!r}: give torchvision:NAME, timm:NAME, cifar:resnet20 or package.module:function, for"
            " example torchvision:resnet18, or torchvision:resnet18@layer3, which is cut before layer3; or leave it out"
        )
    if "," in cut or "=" in cut:
        raise Refusal(f"network {name!r}: arguments stand before the place to cut, {source}:{model},key=value@layer3")
    if weights == FILE:
        raise Refusal(f"network {name!r} names no file; give {FILE}FILE, or leave out {FILE}")
    if weights.startswith(PRETRAINED) and weights != PRETRAINED and not re.fullmatch(r"=[\w.-]+", weights[11:]):
        raise Refusal(f"network {name!r} ends in {weights!r}; give {PRETRAINED}, {PRETRAINED}=TAG or {FILE}FILE")
    return Named(source, model, _arguments(name, told), cut, weights)


def spelt(arguments: Arguments) -> str:
    """As they stand in a name."""
    return "".join(f",{key}={_spelt(value)}" for key, value in arguments)


def value_of(text: str) -> Value:
    """What is written: a number, True, False, None, a word, or a tuple of these; ValueError where it is none."""
    if (lowered := text.strip().lower()) in WORDS:
        return WORDS[lowered]
    if lowered in NO_NUMBERS:
        raise ValueError(f"{text!r} is no number")
    if WORD.fullmatch(text.strip()):
        return text.strip()
    opened = text.strip()[:1] in ("(", "[")
    if opened and text.strip()[-1:] == {"(": ")", "[": "]"}[text.strip()[0]]:
        inner = _apart(text.strip()[1:-1])
        return tuple(value_of(one) for one in inner if one.strip())
    return _plain(ast.literal_eval(text.strip()))


def _plain(found: object) -> Value:
    if isinstance(found, tuple | list):
        return tuple(_plain(one) for one in found)
    if not isinstance(found, bool | int | float | str | None) or (
        isinstance(found, float) and not math.isfinite(found)
    ):
        raise ValueError(f"{found!r} is no number, word or tuple of these")
    return found


def _arguments(name: str, told: list[str]) -> Arguments:
    found: dict[str, Value] = {}
    for one in told:
        key, equals, text = (part.strip() for part in one.partition("="))
        if not key.isidentifier() or not equals:
            raise Refusal(f"network {name!r}: {one!r} is no argument; give key=value, as drop_path_rate=0.1")
        if key in found:
            raise Refusal(f"network {name!r} gives {key} twice; give it once")
        try:
            found[key] = value_of(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
            raise Refusal(
                f"network {name!r}: {key}={text} is no value; give a number, a word, True, False, None, or several of"
                " these as (64,128)"
            ) from error
    return tuple(sorted(found.items()))


def _apart(text: str) -> list[str]:
    """Between the commas that stand in no brackets and no quotes."""
    found, depth, quote, escaped = [""], 0, "", False
    for letter in text:
        if not escaped:
            quote = ("" if letter == quote else quote) if quote else (letter if letter in "'\"" else "")
        escaped = bool(quote) and letter == "\\" and not escaped
        depth += 0 if quote else (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth and not quote:
            found.append("")
        else:
            found[-1] += letter
    return found


def _spelt(value: Value) -> str:
    if isinstance(value, tuple):
        return f"({','.join(map(_spelt, value))})"
    word = isinstance(value, str) and WORD.fullmatch(value) and value.lower() not in (*WORDS, *NO_NUMBERS)
    return str(value) if word else repr(value)
