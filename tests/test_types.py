"""Is what has the wrong type refused at the door of Python, by name, before anything is done?"""

import re

import numpy as np
import pytest

import ltbv
from ltbv.errors import Refusal

RUNS, LABELS, COUNTS = {"a": np.zeros((2, 2), int)}, np.array([0, 1]), np.array([5, 5])


def analysis(**more):
    return ltbv.analyse(RUNS, LABELS, COUNTS, **more)


def fitted(estimator, **more):
    return ltbv.sklearn.bootstrap(estimator, [[1.0], [2.0]], [0, 1], [[1.0]], [0], **more)


WRONG = {
    "methods is 5: give a list": lambda: ltbv.bootstrap(5),
    "methods is None: give": lambda: ltbv.bootstrap(None),
    "a method is 5; give": lambda: ltbv.bootstrap([5]),
    "study is 5, a int: give a path or None": lambda: ltbv.bootstrap(["ce"], study=5),
    "runs is '3'": lambda: ltbv.bootstrap(["ce"], runs="3"),
    "quiet is 'yes', a str": lambda: ltbv.bootstrap(["ce"], quiet="yes"),
    "reference is 5": lambda: ltbv.bootstrap(["ce"], reference=5),
    "events is 5, a int: give a path or None": lambda: ltbv.bootstrap(["ce"], events=5),
    "data_dir is 5": lambda: ltbv.bootstrap(["ce"], data_dir=5),
    "epochs is 'x'": lambda: ltbv.bootstrap(["ce"], epochs="x"),
    "predictions is 5: give": lambda: ltbv.analyse(5, LABELS),
    "labels must be integer class ids": lambda: ltbv.analyse(RUNS, None),
    "many is 'x', a str: give a number or None": lambda: analysis(many="x"),
    "few is True": lambda: analysis(few=True),
    "margin is '1'": lambda: analysis(margin="1"),
    "exact is 'x'": lambda: analysis(exact="x"),
    "allow_scale is None": lambda: analysis(allow_scale=None),
    "unknown reference '7'": lambda: analysis(reference=7),
    "class_names is 5: give": lambda: analysis(class_names=5),
    "kind of predictions '5'": lambda: analysis(kind=5),
    "dataset is 5": lambda: analysis(dataset=5),
    "directory is 5, a int: give a path": lambda: analysis().write(5),
    "reference is 3, a int: give a text or None": lambda: analysis().against(3),
    "methods is 5: give a list of keys": lambda: analysis().against(None, 5),
    "images of a int": lambda: ltbv.images(5),
    "register was given a int": lambda: ltbv.register(5),
    "estimator int is a int: give what has fit": lambda: fitted(5),
    "runs is 2.5": lambda: fitted({}, runs=2.5),
    "fraction is 'x'": lambda: fitted({}, fraction="x"),
    "unknown scheme '5'": lambda: fitted({}, scheme=5),
}


@pytest.mark.parametrize("words", WRONG)
def test_what_has_the_wrong_type_is_refused_by_name(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refusal, match=re.escape(words)):
        WRONG[words]()
    assert not [*tmp_path.iterdir()]


def test_numbers_of_numpy_and_texts_for_paths_are_taken(tmp_path):
    found = analysis(many=np.float32(4), few=np.int64(3), margin=np.float64(0.02), exact=False)
    assert found.against("a", "a").evidence.reference.key == "a"
    found.write(str(tmp_path / "report"))
    assert (tmp_path / "report" / "report.md").exists()
