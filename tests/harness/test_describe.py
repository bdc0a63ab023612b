"""Does `ltbv methods KEY` tell all that is settled about a method?"""

from dataclasses import fields, replace

from ltbv.data.samplers import INSTANCE, Held
from ltbv.engine.protocol import GLYPHS
from ltbv.harness.describe import _stage, explanation
from ltbv.losses import cross_entropy
from ltbv.methods.base import Loss, Stage
from ltbv.methods.published import Terms
from ltbv.optimisers import SGD

PLAIN = Stage("plain", Loss(cross_entropy))
CHANGED = {
    "start": "earlier",
    "reset": ("heads",),
    "train": ("stem",),
    "sampler": (INSTANCE, Held()),
    "given": ("teacher",),
    "epochs": 0.1,
    "learning_rate": 0.03,
    "weight_decay": 0.005,
    "own": (("heads", SGD(learning_rate=0.2)),),
    "first": ("heads",),
    "held": 7,
    "with_held": True,
    "salt": 3,
    "experts": (1,),
    "terms": Terms(epochs=3),
}


def test_whatever_a_stage_settles_is_told():
    untold = {"name", "objective", "net"}  # which every stage has, and tells
    assert CHANGED.keys() | untold == {one.name for one in fields(Stage)}
    for name, value in CHANGED.items():
        plain = replace(PLAIN, held=7 * (name == "with_held"))  # which says something of what is held only
        assert _stage(replace(plain, **{name: value}), GLYPHS) != _stage(plain, GLYPHS), name


def test_two_methods_that_differ_in_their_weight_decay_are_told_apart():
    assert "weight decay   0.005" in explanation("crt_decay", "glyphs-lt")
    assert "weight decay" not in explanation("crt", "glyphs-lt").partition("under --protocol paper")[0]
