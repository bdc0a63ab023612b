"""A study from Python: the same as on the command line, with methods of a notebook too."""

from pathlib import Path

import pytest

import ltbv
from ltbv.errors import Refusal
from ltbv.losses import cross_entropy
from ltbv.methods import METHODS
from ltbv.methods.base import Loss, Method, Stage
from ltbv.methods.registry import HOMES
from ltbv.store import Store
from ltbv.studies import bootstrap

INLINE = {"dataset": "tiny-lt", "executor": "inline", "quiet": True}


@pytest.fixture(autouse=True)
def here(tiny_lt, tmp_path, monkeypatch) -> Path:
    """An empty directory to stand in; what was registered is forgotten afterwards."""
    del tiny_lt
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for table in (METHODS, HOMES):
        table.pop("doubled", None)


def doubled(logits, labels, counts):
    del counts
    return 2 * cross_entropy(logits, labels)


def test_a_study_is_made_and_analysed_and_gone_on_with(here):
    found = bootstrap(["ce", "tau_norm"], runs=2, **INLINE)
    assert found.evidence.names == {"ce": "CE", "tau_norm": "tau-norm"}
    assert set(found.splits["method"]) == {"ce", "tau_norm"} and found.evidence.setting.dataset == "tiny-lt"
    made = Store("runs/tiny-lt").prediction_file("ce", 0).stat().st_mtime_ns
    more = ltbv.bootstrap(["tau_norm"], runs=3, **INLINE)
    assert [len(method.runs) for method in more.evidence.methods] == [2, 3]
    assert Store("runs/tiny-lt").prediction_file("ce", 0).stat().st_mtime_ns == made


def test_a_method_of_a_notebook_is_trained_in_its_process(here):
    mine = ltbv.register(Method("doubled", "Doubled", stages=(Stage("all", Loss(doubled)),)))
    found = bootstrap(["ce", mine], 1, here / "own", **INLINE | {"executor": "inline"})
    assert found.evidence.names["doubled"] == "Doubled"
    asked = {name: value for name, value in INLINE.items() if name != "executor"}
    assert len(bootstrap(["ce", "doubled"], 2, here / "own", **asked).evidence.methods[1].runs) == 2


@pytest.mark.parametrize(
    ("methods", "settings", "words"),
    [
        (["tau_norm"], {}, "no CE to compare tau_norm with; add 'ce'"),
        ([], {}, "no method asked for"),
        (["ce", 3], {}, "a method is 3; give keys"),
        ("ce,rdie", {}, "unknown method 'rdie' .did you mean 'ride'"),
        (["ce"], {"seeds": 1}, "unknown setting 'seeds' .did you mean 'seed'"),
        (["ce"], {"epochs": 0}, "epochs 0: at least 1"),
        ([Method("new", "New", stages=(Stage("all", Loss(doubled)),)), "ce"], {}, "method 'new' is not registered"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(here, methods, settings, words):
    with pytest.raises(Refusal, match=words):
        bootstrap(methods, 2, **INLINE, **settings)
    assert list(here.iterdir()) == []


def test_what_fails_is_raised_when_the_rest_is_done(here):
    ltbv.register(Method("doubled", "Doubled", stages=(Stage("all", Loss(lambda *given: 1 / 0)),)))
    with pytest.raises(Refusal, match="doubled, run 0, 1: .*: ZeroDivisionError.*; the same call tries again"):
        bootstrap(["doubled", "ce"], 2, stack=2, **INLINE)
    assert Store("runs/tiny-lt").runs("ce") == [0, 1]
