"""Bias and variance of any estimator that has `fit` and `predict`: retrain it on resamples, then analyse.

    from ltbv.sklearn import bootstrap
    bootstrap({"ce": LogisticRegression(), "balanced": LogisticRegression(class_weight="balanced")},
              X, y, X_test, y_test).splits

Scikit-learn need not be installed: an estimator is whatever behaves like one. Axes: n training rows, N test points,
R runs, C classes.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ltbv import seeds
from ltbv.data.dataset import indices_of, labels_of, make_ids
from ltbv.data.resample import SCHEMES, draw, lost_by_run, overlap
from ltbv.errors import Refusal, unknown
from ltbv.options import expect
from ltbv.report.elsewhere.assemble import Run, evidence_of, in_order, method_runs
from ltbv.report.elsewhere.memory import as_array, as_column, as_keyed
from ltbv.report.elsewhere.rows import PROBS
from ltbv.report.elsewhere.scores import judge
from ltbv.report.result import Analysis
from ltbv.stats.keyed import Keys, matched

OF_DATA = tuple(name for name, scheme in SCHEMES.items() if not scheme.beyond_pool)


def bootstrap(
    estimator: Any,
    X: Any,
    y: Any,
    X_test: Any,
    y_test: Any,
    runs: int = 10,
    scheme: str = "stratified_bootstrap",
    seed: int = 0,
    reference: str | None = None,
    *,
    fraction: float = 0.5,
    many: float = 100,
    few: float = 20,
    dataset: str = "training data of one's own",
) -> Analysis:
    """Fit copies of `estimator` on R resamples of (X, y) and analyse what they say of (X_test, y_test).

    estimator  has `fit(X, y)`, and `predict`, or `predict_proba` with the columns of `classes_`, or both; or a dict of
               such, method -> estimator: all see the same resamples. Copied by `sklearn.base.clone` where there is
               scikit-learn, else by `copy.deepcopy`. Each `random_state` that is None or a generator is set for each
               run; a number is left, and a caution says so
    X, X_test  n and N rows: array, sparse matrix, DataFrame or list
    y, y_test  n and N labels of any one type; they become class ids in their sorted order
    scheme     'stratified_bootstrap': with replacement within each class; 'bootstrap': with replacement as a whole, a
               small class can be lost, and then has probability 0; 'subsample': a `fraction` of each class without
               replacement, at least one row; 'seed_only': all rows
    seed       of resamples and random states: the same seed gives the same analysis
    reference  the method that others are compared with; None: 'ce', or the first
    many, few  a class with more than `many` rows in y is many, with fewer than `few` is few, whatever the scheme
    """
    if scheme not in OF_DATA:
        raise unknown("scheme", scheme, OF_DATA)
    for name, whole in {"runs": runs, "seed": seed}.items():
        expect(name, whole, int)
    for name, number in {"fraction": fraction, "many": many, "few": few}.items():
        expect(name, number, float)
    if not 0 < fraction <= 1:
        raise Refusal(f"fraction={fraction} must be above 0 and at most 1")
    for name, whole, least in (("runs", runs, 1), ("seed", seed, 0)):
        if whole < least:
            raise Refusal(f"{name}={whole} must be at least {least}")
    expect("dataset", dataset, str)
    of_method = dict(estimator) if isinstance(estimator, Mapping) else {type(estimator).__name__: estimator}
    if not of_method:
        raise Refusal("no estimator is given")
    for key, one in of_method.items():
        if not hasattr(one, "fit") or isinstance(one, type):
            what = f"the class {one.__name__}" if isinstance(one, type) else f"a {type(one).__name__}"
            raise Refusal(f"estimator {key} is {what}: give what has fit and predict, or a dict of such")
    of_method, notes = in_order(of_method, reference)

    classes, train_labels, labels = _class_ids(X, y, X_test, y_test)
    counts = np.bincount(train_labels, minlength=classes.size)
    wanted = np.maximum(1, np.round(fraction * counts)).astype(int) if scheme == "subsample" else counts
    samples = _samples(scheme, train_labels, counts, np.minimum(wanted, counts), seed, runs)
    y, test = as_array(y, "y"), _Test(X_test, labels, classes)
    methods = []
    for key, unfitted in of_method.items():
        fitted = [
            _fit_and_predict(f"{key}, run {run}", _copy(unfitted, seed, run), _rows(X, rows), y[rows], test)
            for run, (rows, _) in enumerate(samples)
        ]
        methods.append(method_runs(key, fitted, notes))
        if fixed := [name for name, state in _states(unfitted).items() if isinstance(state, int | np.integer)]:
            notes.append(f"{key}: {', '.join(fixed)} is fixed, so what is drawn by it is the same in every run.")
    ids = [ids for _, ids in samples]
    evidence = evidence_of(
        methods,
        labels,
        np.minimum(wanted, counts),
        tuple(str(name) for name in classes.tolist()),
        notes,
        num_classes=classes.size,
        many=many,
        few=few,
        dataset=dataset,
        scheme=scheme,
        seed=seed,
        shared=overlap(ids, classes.size),
        data_counts=counts,
    )
    return Analysis(replace(evidence, lost=lost_by_run(ids, counts)))


def _class_ids(X: Any, y: Any, X_test: Any, y_test: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The labels there are (C,), sorted, and class ids of training rows (n,) and test points (N,)."""
    (of_train, train_keys), (of_test, test_keys) = as_keyed(y, "y"), as_keyed(y_test, "y_test")
    for name, values, keys, rows in (("y", of_train, train_keys, X), ("y_test", of_test, test_keys, X_test)):
        if values.ndim != 1 or not values.size:
            raise Refusal(f"{name} must be one label for each row; got shape {values.shape}")
        if (number := _length(rows, f"X{name[1:]}")) != values.size:
            raise Refusal(f"X{name[1:]} has {number} rows and {name} {values.size} labels")
        if None not in (keys[0], _names(rows)) and keys[0] != _names(rows):
            raise Refusal(
                f"X{name[1:]} and {name} have different indexes, so that nothing says which label is of which row; give"
                f" both with the same, or, if they are in one order, {name} as an array, .to_numpy()"
            )
        if values.dtype.kind == "f" and np.isnan(values).any():
            raise Refusal(f"{name} holds NaN, which is no label")
    _check_type(of_test, of_train, "y_test")
    try:
        classes, ids = np.unique(np.concatenate([of_train, of_test]), return_inverse=True)
    except TypeError as error:
        raise Refusal(f"labels cannot be sorted ({error}); give labels of one type") from error
    if classes.size < 2:
        raise Refusal(f"there is one class, {classes.tolist()[0]!r}; bias and variance need two or more")
    return classes, ids[: of_train.size], ids[of_train.size :]


def _samples(
    scheme: str, labels: np.ndarray, counts: np.ndarray, wanted: np.ndarray, seed: int, runs: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each run the rows (n,) of the training data and their ids (n,), see `data.dataset`.

    labels (n,) class ids; counts, wanted (C,) rows of each class that there are and that a run sees
    """
    trained = np.flatnonzero(counts)  # a class that only the test set has cannot be drawn
    row_of = np.argsort(labels, kind="stable")
    first = np.cumsum(counts) - counts
    samples = []
    for run in range(runs):
        drawn = draw(scheme, wanted[trained], counts[trained], seed=seed, run=run)
        classes, within = trained[labels_of(drawn)], indices_of(drawn)
        samples.append((row_of[first[classes] + within], make_ids(classes, within)))
    return samples


def _length(rows: Any, name: str) -> int:
    """How many rows there are."""
    shape = getattr(rows, "shape", None)
    if shape is None and isinstance(rows, Sequence) and not isinstance(rows, str | bytes):
        return len(rows)
    if not shape:
        raise Refusal(f"{name} is a {type(rows).__name__}: give rows, an array, sparse matrix, DataFrame or list")
    return int(shape[0])


def _names(rows: Any) -> Keys:
    """The index of a table, where it says more than the order does."""
    keys = rows.index.tolist() if hasattr(rows, "iloc") else None
    return None if keys is None or keys == list(range(len(keys))) else keys


def _rows(X: Any, rows: np.ndarray) -> Any:
    """These rows of an array, sparse matrix, DataFrame or list."""
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    return X[rows] if hasattr(X, "shape") else [X[row] for row in rows]


@dataclass(frozen=True)
class _Test:
    """What an estimator is asked: N rows, their class ids `labels` (N,), and the labels `classes` (C,) there are."""

    rows: Any
    labels: np.ndarray
    classes: np.ndarray


def _fit_and_predict(where: str, estimator: Any, X: Any, y: np.ndarray, test: _Test) -> Run:
    """One run: an estimator of its own is fitted to a resample and asked about the test points."""
    try:
        estimator.fit(X, y)
        predicted = estimator.predict(test.rows) if hasattr(estimator, "predict") else None
        probabilities = estimator.predict_proba(test.rows) if hasattr(estimator, "predict_proba") else None
    except Exception as error:
        error.add_note(f"in {where} of ltbv.sklearn.bootstrap")
        raise
    if predicted is None and probabilities is None:
        raise Refusal(f"{where} has neither predict nor predict_proba")
    said = scores = None
    if predicted is not None:
        predicted, (rows, *_) = as_column(predicted, f"predictions of {where}")
        predicted = _of_test(predicted, rows, test, where)
        if predicted.shape != test.labels.shape:
            raise Refusal(f"{where} predicts shape {predicted.shape} for {test.labels.size} test points")
        said = _ids_of(predicted, test.classes, where)
    if probabilities is not None:
        known = np.asarray(estimator.classes_) if hasattr(estimator, "classes_") else np.unique(y)
        probabilities, (rows, columns, *_) = as_keyed(probabilities, f"probabilities of {where}", 2)
        if columns is not None and probabilities.shape[1:] == known.shape:
            probabilities = matched(probabilities, 1, columns, known.tolist(), f"probabilities of {where}", "classes_")
        whole = _all_columns(_of_test(probabilities, rows, test, where), known, test, where)
        scores = judge([whole], test.labels, test.classes.size, PROBS, where, said)
    return Run.of(where, said, scores)


def _of_test(values: np.ndarray, rows: Keys, test: _Test, where: str) -> np.ndarray:
    """Rows as they were asked for; what has names of its own is matched by them."""
    return values if rows is None else matched(values, 0, rows, _names(test.rows), f"predictions of {where}", "X_test")


def _copy(estimator: Any, seed: int, run: int) -> Any:
    """An unfitted copy for one run; every `random_state` of it that is no number is set."""
    try:
        from sklearn.base import clone
    except ImportError:
        fresh = copy.deepcopy(estimator)
    else:
        fresh = clone(estimator, safe=False)  # deepcopy for what is no scikit-learn estimator
    if hasattr(fresh, "set_params"):
        drawn = int(seeds.generator(seed, run, "init").integers(2**31))
        free = (name for name, state in _states(fresh).items() if not isinstance(state, int | np.integer))
        fresh.set_params(**dict.fromkeys(free, drawn))
    return fresh


def _states(estimator: Any) -> dict[str, Any]:
    """Every `random_state` of an estimator, those of its parts too, by the name of its parameter."""
    found = estimator.get_params() if hasattr(estimator, "get_params") else {}
    return {name: state for name, state in found.items() if name.rpartition("__")[2] == "random_state"}


def _all_columns(probabilities: np.ndarray, known: np.ndarray, test: _Test, where: str) -> np.ndarray:
    """Probabilities (N, C) of all classes from those of the `known` ones; a class that was not seen has 0."""
    points = test.labels.size
    if (shape := probabilities.shape) != (points, known.size):
        raise Refusal(f"{where}: predict_proba gives shape {shape} for {points} test points and {known.size} classes")
    whole = np.zeros((points, test.classes.size))
    whole[:, _ids_of(known, test.classes, where)] = probabilities
    return whole


def _ids_of(values: np.ndarray, classes: np.ndarray, where: str) -> np.ndarray:
    """Class ids of labels that an estimator gave; refused if one is not a label of the data."""
    _check_type(values, classes, where)
    at = np.minimum(np.searchsorted(classes, values), classes.size - 1)
    if (strange := classes[at] != values).any():
        raise Refusal(f"{where} predicts {values[strange].tolist()[0]!r}, which is no label in y or y_test")
    return at


def _check_type(values: np.ndarray, others: np.ndarray, where: str) -> None:
    """Refuses text where labels are numbers, and numbers where they are text: numpy would make text of both."""
    kinds = {"text" if array.dtype.kind in "US" else "numbers" for array in (values, others) if array.dtype != object}
    if len(kinds) == 2:
        raise Refusal(f"{where} has labels of type {values.dtype}, y of type {others.dtype}: give labels of one type")
