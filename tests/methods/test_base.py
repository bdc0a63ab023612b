"""The vocabulary: how methods are found, and which recipes are refused."""

import sys
from dataclasses import FrozenInstanceError, replace

import pytest
import torch

import ltbv
from ltbv.errors import Refusal
from ltbv.losses import cross_entropy, effective_number, weighted_mean
from ltbv.methods import METHODS, find, register
from ltbv.methods.base import Loss, Method, Moment, Stage
from ltbv.models.experts import Output
from ltbv.schedules import Step


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of one's own on the path, `own_methods`, with a method and something that is none."""
    (tmp_path / "own_methods.py").write_text(
        "from ltbv.methods.base import Loss, Method, Stage\n"
        "from ltbv.losses import focal\n"
        "FOCAL = Method('my_focal', 'My focal', stages=(Stage('all', Loss(focal)),))\n"
        "def not_a_method(): pass\n"
    )
    (tmp_path / "broken_methods.py").write_text("def (:\n")
    (tmp_path / "raising_methods.py").write_text("raise RuntimeError('no such file: weights.pt')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("own_methods", "broken_methods", "raising_methods"):
        sys.modules.pop(name, None)


def test_a_key_finds_its_method():
    assert all(find(key) is method and method.key == key for key, method in METHODS.items())
    assert {"ce", "ldam", "ldam_drw", "tau_norm", "crt", "ride"} <= set(METHODS)


def test_every_method_says_what_it_is():
    labels = [method.label for method in METHODS.values()]
    assert len(set(labels)) == len(labels)
    assert all(method.summary and "\n" not in method.summary for method in METHODS.values())
    assert all(method.paper for key, method in METHODS.items() if key != "ce")


def test_an_unknown_key_names_the_nearest_and_all():
    with pytest.raises(
        Refusal, match=r"unknown method 'ldam_drv' \(did you mean 'ldam_drw'\?\); there is: .*ce, crt.*"
    ):
        find("ldam_drv")


def test_a_method_of_ones_own_is_found_by_its_path(own):
    assert find("own_methods:FOCAL").label == "My focal"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("own_methods:FOCL", "FOCL"),
        ("own_methods:not_a_method", "is a function, not a Method"),
        ("no_such_module:FOCAL", "no_such_module"),
        ("own_methods:", "package.module:name"),
        (":FOCAL", "package.module:name"),
        (".own_methods:FOCAL", "package.module:name"),
        ("broken_methods:FOCAL", "broken_methods"),
        ("raising_methods:FOCAL", "no such file: weights.pt"),
    ],
)
def test_what_cannot_be_found_is_refused_in_one_line(own, name, words):
    with pytest.raises(Refusal) as refusal:
        find(name)
    assert words in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_method_is_a_value():
    ce = METHODS["ce"]
    assert replace(ce) == ce and hash(replace(ce)) == hash(ce)
    with pytest.raises(FrozenInstanceError):
        ce.key = "other"


def test_a_taken_key_and_a_stage_that_does_not_exist_are_refused(monkeypatch):
    monkeypatch.setattr("ltbv.methods.base.METHODS", dict(METHODS))
    with pytest.raises(Refusal, match="'ce' is taken by 'CE'"):
        register(Method("ce", "Another", stages=(Stage("all", Loss(cross_entropy), epochs=2.0),)))
    register(METHODS["ce"])  # the same again is nothing new
    with pytest.raises(Refusal, match="no stage 'first'; it has: second"):
        register(Method("mine", "Mine", stages=(Stage("second", Loss(cross_entropy), start="first"),)))
    with pytest.raises(Refusal, match="no stage 'teacher'"):
        register(Method("mine", "Mine", stages=(Stage("second", Loss(cross_entropy), given=("teacher",)),)))


def test_a_loss_is_of_the_mean_logits_weighted_when_its_schedule_says_so():
    draw = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 6, 4, generator=draw, dtype=torch.float64)
    labels, counts = torch.tensor([0, 1, 2, 3, 0, 1]), torch.tensor([30, 9, 3, 1])
    deferred = Loss(cross_entropy, beta=Step(0.0, 0.99, at=0.5))
    for epoch, beta in ((0, 0.0), (4, 0.0), (5, 0.99), (9, 0.99)):
        ours = deferred.of_run(Output(logits, logits), labels, counts, Moment(epoch, 10, counts))
        losses = cross_entropy(logits.mean(0), labels)
        torch.testing.assert_close(ours, weighted_mean(losses, labels, effective_number(counts, beta)))


def test_the_package_gives_the_vocabulary():
    assert ltbv.Method is Method and ltbv.Stage is Stage and ltbv.register is register
    with pytest.raises(AttributeError, match="it has: .*Method"):
        ltbv.no_such_name  # noqa: B018
