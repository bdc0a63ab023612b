"""Can anything with `fit` and `predict` be retrained on resamples and analysed?"""

import sys

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from ltbv.errors import Refusal
from ltbv.sklearn import bootstrap

NAMES = np.array(["cat", "dog", "eel"])
COUNTS = (40, 12, 3)


class Nearest:
    """The nearest class mean: the smallest classifier with the three methods of scikit-learn."""

    def __init__(self, sharpness=1.0):
        self.sharpness = sharpness

    def fit(self, X, y):
        X = np.asarray(X)
        self.classes_ = np.unique(y)
        self.means = np.stack([X[y == name].mean(0) for name in self.classes_])
        return self

    def predict_proba(self, X):
        away = ((np.asarray(X)[:, None] - self.means) ** 2).sum(2)
        p = np.exp(-self.sharpness * (away - away.min(1, keepdims=True)))
        return p / p.sum(1, keepdims=True)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(1)]


class LabelsAlone(Nearest):
    predict_proba = None

    def __getattribute__(self, name):
        if name == "predict_proba":
            raise AttributeError(name)
        return super().__getattribute__(name)

    def predict(self, X):
        return self.classes_[((np.asarray(X)[:, None] - self.means) ** 2).sum(2).argmin(1)]


class ProbabilitiesAlone:
    """No `predict`, no `classes_`: the columns are the sorted labels of what it was fitted to."""

    def fit(self, X, y):
        self.nearest = Nearest().fit(X, y)

    def predict_proba(self, X):
        return self.nearest.predict_proba(X)


@pytest.fixture
def long_tail():
    """X, y, X_test, y_test: two features, three classes of 40, 12 and 3 rows."""
    draw = np.random.default_rng(0)
    centres = np.array([[0, 0], [2, 0], [0, 2]])

    def rows(counts):
        ids = np.repeat(np.arange(3), counts)
        return centres[ids] + draw.normal(size=(ids.size, 2)), NAMES[ids]

    return (*rows(COUNTS), *rows((8, 8, 8)))


def test_the_same_seed_gives_the_same_tables_and_another_does_not(long_tail):
    found = bootstrap(Nearest(), *long_tail, runs=4, many=30, few=5)
    assert_frame_equal(found.all, bootstrap(Nearest(), *long_tail, runs=4, many=30, few=5).all)
    other = bootstrap(Nearest(), *long_tail, runs=4, seed=1)
    assert not np.array_equal(found.evidence.reference.p_true, other.evidence.reference.p_true)
    assert found.evidence.class_names == tuple(NAMES)
    assert found.evidence.train_counts.tolist() == list(COUNTS)
    assert [found.evidence.splits[name].tolist() for name in ("many", "medium", "few")] == [[0], [1], [2]]
    assert (found.evidence.setting.scheme, found.evidence.setting.seed) == ("stratified_bootstrap", 0)
    assert (found.evidence.setting.shared > 0.5).all()
    assert np.isfinite(found.all["low"]).all()


def test_methods_see_the_same_resamples(long_tail):
    found = bootstrap({"mine": Nearest(), "ce": Nearest()}, *long_tail, runs=4)
    assert list(found.evidence.names) == ["ce", "mine"]
    mine = found.all[found.all["method"] == "mine"]
    assert (mine["reference_difference"].dropna() == 0).all() and mine["reference_difference"].notna().any()
    assert list(bootstrap({"a": Nearest(), "b": Nearest()}, *long_tail, runs=2, reference="b").evidence.names) == [
        "b",
        "a",
    ]


@pytest.mark.parametrize("scheme", ["stratified_bootstrap", "bootstrap", "subsample", "seed_only"])
def test_what_a_run_sees(long_tail, scheme):
    X, y, *test = long_tail
    seen = []

    class Spy(Nearest):
        def fit(self, X, y):
            seen.append((X, y))
            return super().fit(X, y)

    found = bootstrap(Spy(), X, y, *test, runs=3, scheme=scheme, fraction=0.3)
    label_of = {tuple(row): name for row, name in zip(X.tolist(), y, strict=True)}
    for rows, names in seen:
        assert [label_of[tuple(row)] for row in rows.tolist()] == names.tolist()
        counts = [(names == name).sum() for name in NAMES]
        if scheme == "subsample":
            assert counts == [12, 4, 1] == found.evidence.train_counts.tolist()
            assert len(np.unique(rows, axis=0)) == len(rows)
        elif scheme == "bootstrap":
            assert sum(counts) == len(X)
        else:
            assert counts == list(COUNTS)
    assert scheme == "seed_only" or not np.array_equal(seen[0][0], seen[1][0])


def test_a_lost_class_has_probability_0_and_it_is_said(long_tail):
    X, y, *test = long_tail
    keep = np.r_[:40, 40, 52]  # one dog, one eel
    for estimator in (Nearest(), ProbabilitiesAlone(), LabelsAlone()):
        found = bootstrap(estimator, X[keep], y[keep], *test, runs=6, scheme="bootstrap")
        assert any("resamples lost a class" in line for line in found.cautions)
        method = found.evidence.reference
        if method.p_true is not None:
            assert (method.p_true[:, found.evidence.labels > 0] == 0).any()


def test_labels_alone_or_probabilities_alone_are_enough(long_tail):
    both, labels, probabilities = (
        bootstrap(estimator, *long_tail, runs=4).evidence.reference
        for estimator in (Nearest(), LabelsAlone(), ProbabilitiesAlone())
    )
    assert np.array_equal(both.predictions, labels.predictions)
    assert np.array_equal(both.predictions, probabilities.predictions)
    assert labels.p_true is None and np.array_equal(both.p_true, probabilities.p_true)


@pytest.mark.parametrize(
    "labels",
    [np.array([3, 7, 11]), np.array([0.5, 1, 2]), np.array([b"a", b"b", b"c"]), np.array(["a", "b", "c"], object)],
)
def test_labels_of_any_type(long_tail, labels):
    X, y, X_test, y_test = long_tail
    ids, ids_test = (np.searchsorted(NAMES, names) for names in (y, y_test))
    found = bootstrap(Nearest(), X, labels[ids], X_test, labels[ids_test].tolist(), runs=2)
    expected = bootstrap(Nearest(), *long_tail, runs=2)
    assert np.array_equal(found.evidence.reference.predictions, expected.evidence.reference.predictions)


def test_tables_and_lists_are_rows_too(long_tail):
    X, y, X_test, y_test = long_tail
    expected = bootstrap(Nearest(), *long_tail, runs=2).all
    frame = pd.DataFrame(X, index=np.arange(len(X)) * 7)
    assert_frame_equal(bootstrap(Nearest(), frame, pd.Series(y), pd.DataFrame(X_test), y_test, runs=2).all, expected)
    assert_frame_equal(bootstrap(Nearest(), X.tolist(), list(y), X_test.tolist(), list(y_test), runs=2).all, expected)


def test_a_class_that_only_the_test_set_has_is_never_right(long_tail):
    X, y, X_test, y_test = long_tail
    found = bootstrap(Nearest(), X[y != "dog"], y[y != "dog"], X_test, y_test, runs=4)
    accuracy = found.classes.set_index(["quantity", "class_name"])["estimate"]["accuracy"]
    assert accuracy["dog"] == 0 and accuracy["cat"] > 0.5
    assert found.evidence.train_counts.tolist() == [40, 0, 3]


def test_without_scikit_learn(long_tail, monkeypatch):
    expected = bootstrap(Nearest(), *long_tail, runs=2).all
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    estimator = Nearest()
    assert_frame_equal(bootstrap(estimator, *long_tail, runs=2).all, expected)
    assert not hasattr(estimator, "classes_")


def test_scikit_learn(long_tail):
    pytest.importorskip("sklearn")
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier

    methods = {
        "ce": make_pipeline(StandardScaler(), LogisticRegression()),
        "balanced": LogisticRegression(class_weight="balanced"),
        "tree": make_pipeline(StandardScaler(), DecisionTreeClassifier(max_features=1)),
    }
    found = bootstrap(methods, *long_tail, runs=4, scheme="bootstrap")
    assert_frame_equal(found.all, bootstrap(methods, *long_tail, runs=4, scheme="bootstrap").all)
    tree, fixed = (
        bootstrap(DecisionTreeClassifier(max_features=1, random_state=state), *long_tail, runs=6, scheme="seed_only")
        for state in (None, 0)
    )
    assert (tree.evidence.reference.predictions.std(0) > 0).any(), "random states differ between runs"
    assert (fixed.evidence.reference.predictions.std(0) == 0).all(), "a state that the user set stays"
    said = "DecisionTreeClassifier: random_state is fixed, so what is drawn by it is the same in every run."
    assert said in fixed.cautions and said not in tree.cautions
    drawing = make_pipeline(DecisionTreeClassifier(max_features=1, random_state=np.random.RandomState(0)))
    drawn = bootstrap(drawing, *long_tail, runs=6, scheme="seed_only")
    assert (drawn.evidence.reference.predictions.std(0) > 0).any(), "a generator is no fixed state"


def refusal(*args, **options) -> str:
    with pytest.raises(Refusal) as refused:
        bootstrap(*args, **options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_what_cannot_be(long_tail):
    X, y, X_test, y_test = long_tail
    one = Nearest()
    assert "unknown scheme 'fresh'" in refusal(one, *long_tail, scheme="fresh")
    assert "fraction=0 must be above 0" in refusal(one, *long_tail, scheme="subsample", fraction=0)
    assert "runs=0 must be at least 1" in refusal(one, *long_tail, runs=0)
    assert "unknown reference 'CE'" in refusal({"ce": one}, *long_tail, reference="CE")
    assert refusal(one, X[:-1], y, X_test, y_test) == "X has 54 rows and y 55 labels"
    assert refusal(one, X, y, X_test[:-1], y_test) == "X_test has 23 rows and y_test 24 labels"
    assert refusal(one, X, y, X_test, y_test[:, None]) == "y_test must be one label for each row; got shape (24, 1)"
    assert "give labels of one type" in refusal(one, X, y, X_test, np.arange(24))
    assert "y holds NaN" in refusal(one, X, np.full(len(X), np.nan), X_test, np.zeros(24))
    assert "there is one class, 'cat'" in refusal(one, X, np.full(len(X), "cat"), X_test, np.full(24, "cat"))
    assert "no estimator is given" in refusal({}, *long_tail)


def test_estimators_that_answer_otherwise(long_tail):
    class Other(Nearest):
        def __init__(self, predicted, probabilities):
            self.predicted, self.probabilities = predicted, probabilities

        def fit(self, X, y):
            self.classes_ = np.unique(y)

        def predict(self, X):
            return self.predicted

        def predict_proba(self, X):
            return self.probabilities

    third = np.full((24, 3), 1 / 3)
    cases = [
        (Other(np.full(24, "emu"), third), "Other, run 0 predicts 'emu', which is no label in y or y_test"),
        (Other(np.zeros(24), third), "Other, run 0 has labels of type float64, y of type <U3"),
        (Other(np.full(3, "cat"), third), "Other, run 0 predicts shape (3,) for 24 test points"),
        (Other(None, third[:, :2]), "predict_proba gives shape (24, 2) for 24 test points and 3 classes"),
        (Other(None, third * 2), "Other, run 0 has probabilities that sum to 2, not 1"),
    ]
    for estimator, complaint in cases:
        assert complaint in refusal(estimator, *long_tail, runs=1)
    assert "has neither predict nor predict_proba" in refusal(Fitted(), *long_tail)


class Fitted:
    def fit(self, X, y):
        pass


def test_an_error_of_the_estimator_says_which_run(long_tail):
    class Broken(Nearest):
        def fit(self, X, y):
            raise ArithmeticError("no")

    with pytest.raises(ArithmeticError) as raised:
        bootstrap(Broken(), *long_tail)
    assert raised.value.__notes__ == ["in Broken, run 0 of ltbv.sklearn.bootstrap"]


class Column(LabelsAlone):
    """Answers (N, 1), as some boosting libraries do."""

    def predict(self, X):
        return super().predict(X)[:, None]


def test_labels_in_a_column_are_labels(long_tail):
    column = bootstrap({"ce": Column()}, *long_tail, runs=4).all
    assert_frame_equal(column, bootstrap({"ce": LabelsAlone()}, *long_tail, runs=4).all)


@pytest.mark.parametrize("fraction", [0.3, 0.5, 1.0])
def test_splits_are_of_the_data_whatever_part_of_it_a_run_sees(long_tail, fraction):
    of_all = bootstrap(LabelsAlone(), *long_tail, runs=2, many=30, few=10).evidence
    of_part = bootstrap(LabelsAlone(), *long_tail, runs=2, many=30, few=10, scheme="subsample", fraction=fraction)
    for name, ids in {"many": [0], "medium": [1], "few": [2]}.items():
        assert of_all.splits[name].tolist() == of_part.evidence.splits[name].tolist() == ids
    assert of_part.evidence.train_counts.tolist() == [max(1, round(fraction * n)) for n in COUNTS]


def test_labels_of_a_shuffled_table_are_not_taken_by_order(long_tail):
    X, y, X_test, y_test = long_tail
    names = [f"row {k}" for k in range(len(X))]
    frame, labels = pd.DataFrame(X, names), pd.Series(y, names)
    expected = bootstrap(Nearest(), *long_tail, runs=2).all
    assert_frame_equal(bootstrap(Nearest(), frame, labels, X_test, y_test, runs=2).all, expected)
    with pytest.raises(Refusal, match="X and y have different indexes"):
        bootstrap(Nearest(), frame, labels.sample(frac=1, random_state=0), X_test, y_test, runs=2)
    with pytest.raises(Refusal, match="y have 3 missing values"):
        bootstrap(Nearest(), frame, labels.mask(labels == labels.iloc[-1]), X_test, y_test, runs=2)


def test_what_an_estimator_says_in_tables_is_matched(long_tail):
    X, y, X_test, y_test = long_tail
    names = [f"row {k}" for k in range(len(X_test))]

    class Tables(Nearest):
        def predict(self, X):
            return pd.Series(super().predict(X.to_numpy()), X.index).sample(frac=1, random_state=0)

    expected = bootstrap(Nearest(), *long_tail, runs=2).all
    found = bootstrap({"Nearest": Tables()}, X, y, pd.DataFrame(X_test, names), pd.Series(y_test, names), runs=2).all
    assert_frame_equal(found, expected)
