"""What is called wrongly in Python is refused in one line that names it; no TypeError or IndexError comes through."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ltbv
from ltbv.errors import Refusal
from ltbv.sklearn import bootstrap as of_estimators

LABELS, COUNTS = np.arange(24) % 4, [400, 60, 30, 5]
P = np.random.default_rng(0).integers(0, 4, (5, 24))
X, Y = np.random.default_rng(0).normal(size=(24, 3)), np.arange(24) % 3


class Fits:
    def fit(self, X, y):
        self.first = y[0]

    def predict(self, X):
        return np.full(len(X), self.first)


def of(predictions, labels=LABELS, counts=COUNTS, **more):
    return lambda: ltbv.analyse(predictions, labels, counts, **more)


def fitted(estimator=None, X=X, y=Y, X_test=X, **more):
    return lambda: of_estimators(Fits() if estimator is None else estimator, X, y, X_test, Y, **{"runs": 2} | more)


def asked(*given, **more):
    return lambda: ltbv.bootstrap(*given, **more)


WRONG = {
    "no predictions": (of(None), "predictions is None"),
    "a number": (of(3), "predictions is 3"),
    "a path": (of(Path("ce.csv")), "predictions is PosixPath"),
    "a function": (of({"ce": lambda: P}), "predictions of ce are a function"),
    "None in a dict": (of({"ce": None}), "predictions of ce are a NoneType: give labels (R, N)"),
    "a number in a dict": (of({"ce": 3}), "predictions of ce are a int"),
    "0-d": (of({"ce": np.array(3)}), "predictions of ce are a ndarray"),
    "one run": (of({"ce": P[0]}), "a single run is array[None]"),
    "transposed": (of({"ce": P.T}), "has 5 test points, but there are 24 labels"),
    "pairs": (of([("ce", P), ("mine", P)]), "cannot be read as an array"),
    "ragged": (of({"ce": [[1, [2]], [1]]}), "cannot be read as an array"),
    "bool": (of({"ce": P > 1}), "is bool of shape"),
    "float ids": (of({"ce": P.astype(float)}), "is float64 of shape (24,)"),
    "text": (of({"ce": P.astype(str)}), "is <U"),
    "complex": (of({"ce": P.astype(complex)}), "is complex128"),
    "objects": (of({"ce": P.astype(object)}), "is object"),
    "too high": (of({"ce": P + 9}), "prediction is 12 in row 0"),
    "negative": (of({"ce": P - 9}), "prediction is -6 in row 0"),
    "an empty one": (of({"ce": P, "mine": np.empty((0, 24), int)}), "mine has no runs"),
    "masked": (of({"ce": np.ma.masked_array(P, P == 1)}), "missing values"),
    "the same name twice": (of({1: P, "1": P}), "two methods are called '1'"),
    "a name of nothing": (of({"": P, "a": P}), "a method is called ''"),
    "used up": (of({"ce": iter([])}), "ce has no runs"),
    "labels None": (of({"ce": P}, None), "labels"),
    "labels float": (of({"ce": P}, LABELS * 1.0), "labels must be integer class ids; got float64"),
    "labels bool": (of({"ce": P}, LABELS > 1), "labels must be integer class ids; got bool"),
    "labels NaN": (of({"ce": P}, np.full(24, np.nan)), "labels must be integer"),
    "labels text": (of({"ce": P}, LABELS.astype(str)), "labels must be integer"),
    "labels one-hot": (of({"ce": P}, np.eye(4, dtype=int)[LABELS]), "labels must be"),
    "labels generator": (of({"ce": P}, (k for k in LABELS)), "labels must be"),
    "labels categories": (of({"ce": P}, pd.Categorical(LABELS.astype(str))), "labels must be integer"),
    "labels NA": (of({"ce": P}, pd.Series(LABELS).astype("Int64").where(LABELS != 1)), "missing values"),
    "counts scalar": (of({"ce": P}, counts=5), "train_counts"),
    "counts of fractions": (of({"ce": P}, counts=[1.5, 2, 3, 4]), "train_counts must be (C,) integers"),
    "counts bool": (of({"ce": P}, counts=[True] * 4), "train_counts must be (C,) integers"),
    "counts too large": (of({"ce": P}, counts=[10**30, 1, 2, 3]), "train_counts"),
    "counts mixed": (of({"ce": P}, counts={0: 1, "a": 2, 2: 3, 3: 4}), "train_counts"),
    "many negative": (of({"ce": P}, many=-5), "many=-5"),
    "many text": (of({"ce": P}, many="100"), "many is '100', a str: give a number or None"),
    "many bool": (of({"ce": P}, many=True), "many is True"),
    "many below few": (of({"ce": P}, many=5, few=50), "many=5 must not be below few=50"),
    "kind": (of({"ce": P}, kind=["probs"]), "unknown kind of predictions"),
    "names a number": (of({"ce": P}, class_names=4), "class_names is 4"),
    "names a set": (of({"ce": P}, class_names=set("abcd")), "in the order of class ids"),
    "names a dict": (of({"ce": P}, class_names=dict(enumerate("abcd"))), "in the order of class ids"),
    "names twice": (of({"ce": P}, class_names=list("aacd")), "class_names has the class name 'a' 2 times"),
    "names None": (of({"ce": P}, class_names=[None, *"abc"]), "class_names has no name for class 0"),
    "names too long": (of({"ce": P}, class_names=["x" * 10**6, *"abc"]), "too long"),
    "clusters short": (of({"ce": P}, clusters=[1, 2]), "clusters"),
    "clusters None": (of({"ce": P}, clusters=[None] * 24), "clusters"),
    "clusters one number": (of({"ce": P}, clusters=3), "clusters"),
    "margin": (of({"ce": P}, margin="1"), "margin is '1'"),
    "exact": (of({"ce": P}, exact="yes"), "exact is 'yes'"),
    "reference": (of({"ce": P}, reference=["ce"]), "unknown reference"),
    "evidence": (lambda: ltbv.Analysis({"ce": P}), "an Analysis is of Evidence, not of a dict"),
    "against": (lambda: of({"ce": P})().against(3), "reference is 3"),
    "against methods": (lambda: of({"ce": P})().against(methods=[3]), "unknown method '3'"),
    "written nowhere": (lambda: of({"ce": P})().write(None), "directory is None"),
    "written to a zero byte": (lambda: of({"ce": P})().write("a\0b"), "no path has a zero byte"),
    "a class to fit": (fitted(Fits), "is the class Fits: give what has fit and predict"),
    "several to fit": (fitted([Fits(), Fits()]), "give what has fit and predict, or a dict of such"),
    "no rows": (fitted(X=None), "X is a NoneType: give rows"),
    "rows one by one": (fitted(X=(row for row in X)), "X is a generator: give rows"),
    "rows without order": (fitted(X=set(range(24))), "X is a set: give rows"),
    "rows 0-d": (fitted(X_test=np.array(3)), "X_test is a ndarray: give rows"),
    "ragged labels": (fitted(y=[[1], [1, 2]] * 12), "cannot be read as an array"),
    "seed": (fitted(seed=-1), "seed=-1 must be at least 0"),
    "dataset": (fitted(dataset=3), "dataset is 3"),
    "runs": (asked(["ce"], runs="3"), "runs"),
    "runs of a fraction": (asked(["ce"], runs=2.5), "runs"),
    "runs negative": (asked(["ce"], -3), "runs"),
    "methods None": (asked(None), "methods is None"),
    "methods numbers": (asked([3]), "a method is 3"),
    "study": (asked(["ce"], 1, 3), "study is 3"),
    "study of a zero byte": (asked(["ce"], 1, "a\0b"), "no path has a zero byte"),
    "quiet": (asked(["ce"], quiet="no"), "quiet is 'no'"),
    "epochs": (asked(["ce"], epochs="3"), "epochs is '3'"),
    "rate": (asked(["ce"], learning_rate=float("nan")), "learning_rate is nan"),
    "features": (asked(["ce"], features=np.zeros((3, 2))), "features"),
    "images None": (lambda: ltbv.images(None), "None"),
    "images root": (lambda: ltbv.images("nowhere", root=3), "root is 3"),
    "images of a long name": (lambda: ltbv.images("x" * 5000), "does not exist; give a directory"),
    "images tell": (lambda: ltbv.images("nowhere", tell=3), "tell is 3"),
}


@pytest.mark.parametrize("call", WRONG)
def test_a_wrong_call_is_refused_in_a_line(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked_for, words = WRONG[call]
    with pytest.raises(Refusal) as refused:
        asked_for()
    assert words in str(refused.value) and "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["meta", "sparse", "complex"])
def test_tensors_that_are_no_arrays_are_refused(form):
    torch = pytest.importorskip("torch")
    logits = torch.zeros(3, 24, 4)
    made = {
        "meta": lambda: torch.empty(3, 24, 4, device="meta"),
        "sparse": logits.to_sparse,
        "complex": lambda: logits.to(torch.complex64),
    }
    with pytest.raises(Refusal, match="predictions of ce|ce, run 0"):
        of({"ce": made[form]()})()


def test_what_means_the_same_is_taken():
    expected = ltbv.analyse({"ce": P}, LABELS, COUNTS).all
    for same in (list(P), (row for row in P), memoryview(P), pd.DataFrame(P), [pd.Categorical(row) for row in P]):
        pd.testing.assert_frame_equal(ltbv.analyse({"ce": same}, LABELS, np.array(COUNTS)).all, expected)
    named = ltbv.analyse({"ce": P}, LABELS, COUNTS, class_names=(name for name in "abcd"), many=np.int64(100))
    pd.testing.assert_frame_equal(named.all, expected)
