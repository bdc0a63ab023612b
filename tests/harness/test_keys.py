"""What changes a description, and with it a key? All that can change a result; and nothing else."""

import importlib
import linecache
import sys
from dataclasses import dataclass

import pytest
import torch

from ltbv.errors import Refusal
from ltbv.harness.keys import canonical
from ltbv.losses import cross_entropy


def poly(epsilon: float):
    """Losses that differ only in a number around them."""

    def loss(logits, labels, counts):
        return cross_entropy(logits, labels) * epsilon

    return loss


def default(epsilon: float):
    def loss(logits, labels, counts, scale=epsilon):
        return cross_entropy(logits, labels) * scale

    return loss


@dataclass(frozen=True)
class Held:
    power: float = 1.0

    def loss(self, logits, labels, counts):
        return cross_entropy(logits, labels) * self.power


@pytest.mark.parametrize("make", [poly, default, lambda power: Held(power).loss], ids=["closure", "default", "bound"])
def test_what_is_bound_to_a_function_is_part_of_it(make):
    assert canonical(make(1.0)) == canonical(make(1.0))
    assert canonical(make(1.0)) != canonical(make(50.0))


def test_what_cannot_be_described_around_a_function_is_refused_with_a_cure():
    with pytest.raises(Refusal, match="poly.<locals>.loss holds 'epsilon', .* frozen dataclass"):
        canonical(poly(torch.ones(3)))


OWN = """
import functools
import torch
from ltbv.losses import cross_entropy

SCALE = 2.0
SEEN = []
STEPS = 0

def helper(values):
    return values * SCALE

def loss(logits, labels, counts):
    global STEPS
    STEPS += 1
    SEEN.append(1)
    return helper(cross_entropy(logits, labels))

class Base:
    def scale(self):
        return 3.0

class Objective(Base):
    def __call__(self, values):
        return values * self.scale()

def doubled(function):
    @functools.wraps(function)
    def wrapper(*given):
        return 2 * function(*given)
    return wrapper

@doubled
def decorated(logits, labels, counts):
    return helper(cross_entropy(logits, labels))

@torch.no_grad()
def posthoc(network, feed):
    network.heads.bias.zero_()
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Import a module of one's own from this text, in place of the one before."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def load(text: str):
        (tmp_path / "own_code.py").write_text(text)
        sys.modules.pop("own_code", None)
        importlib.invalidate_caches()
        for cached in (tmp_path / "__pycache__").glob("*"):
            cached.unlink()
        return importlib.import_module("own_code")

    yield load
    sys.modules.pop("own_code", None)


NAMES = ("loss", "Objective", "decorated", "posthoc")


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ("SCALE = 2.0", "SCALE = 3.0", {"loss", "decorated"}),
        ("return values * SCALE", "return values / SCALE", {"loss", "decorated"}),
        ("return 3.0", "return 4.0", {"Objective"}),
        ("return 2 * function", "return 3 * function", {"decorated"}),
        ("bias.zero_()", "bias.fill_(1)", {"posthoc"}),
        ("STEPS = 0", "STEPS = 7", set()),
        ("SEEN = []", "SEEN = [1]", set()),
        ("SCALE = 2.0", "SCALE = 2.0\nUNUSED = 1", set()),
    ],
)
def test_a_change_in_ones_own_code_changes_what_reaches_it_and_nothing_else(own, before, after, changed):
    described = {}
    for text in (OWN, OWN.replace(before, after)):
        module = own(text)
        for name in NAMES:
            described.setdefault(name, []).append(canonical(getattr(module, name)))
    assert {name for name, (first, second) in described.items() if first != second} == changed


def test_what_is_reached_through_a_module_of_ones_own_is_part_of_it(own, tmp_path):
    found = []
    for text in ("def scale(x):\n    return 2 * x\n", "def scale(x):\n    return 3 * x\n"):
        (tmp_path / "own_code").mkdir(exist_ok=True)
        (tmp_path / "own_code" / "helpers.py").write_text(text)
        (tmp_path / "own_code" / "__init__.py").write_text(
            "from own_code import helpers\n\ndef loss(logits, labels, counts):\n    return helpers.scale(logits)\n"
        )
        for name in [name for name in sys.modules if name.startswith("own_code")]:
            del sys.modules[name]
        for cached in tmp_path.rglob("__pycache__/*"):
            cached.unlink()
        importlib.invalidate_caches()
        linecache.clearcache()
        found.append(canonical(importlib.import_module("own_code").loss))
    assert found[0] != found[1]


def test_functions_that_name_each_other_are_described(own):
    text = """
def one(x, again=None):
    return PAIR[1](x)

def two(x):
    return PAIR[0](x)

PAIR = (one, two)
"""
    assert canonical(own(text).one) != canonical(own(text.replace("PAIR[0](x)", "PAIR[0](2 * x)")).one)


def test_counting_under_way_changes_nothing(own):
    module = own(OWN)
    before = canonical(module.loss)
    module.loss(torch.zeros(2, 3), torch.tensor([0, 1]), torch.ones(3))
    assert module.STEPS == 1 and canonical(module.loss) == before
