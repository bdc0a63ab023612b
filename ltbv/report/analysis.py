"""What do predictions in memory say? `ltbv.analyse`: arrays in, the tables of a report out."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ltbv.errors import Refusal, unknown
from ltbv.options import expect
from ltbv.report.elsewhere.assemble import UNKNOWN, Run, evidence_of, in_order, method_runs, without_counts
from ltbv.report.elsewhere.counts import by_key, check_counts
from ltbv.report.elsewhere.memory import as_array, as_column, as_keyed
from ltbv.report.elsewhere.rows import BLOCK, LOGITS, PROBS, check_range
from ltbv.report.elsewhere.scores import judge
from ltbv.report.evidence import REFERENCE
from ltbv.report.names import check_names
from ltbv.report.result import Analysis
from ltbv.report.verdict import MARGIN
from ltbv.stats import class_counts
from ltbv.stats.keyed import Keys, matched, plain
from ltbv.stats.record import check_clusters
from ltbv.stats.splits import Counts
from ltbv.stats.votes import blocks, check_labels

LABELS = "labels"
KINDS = (LABELS, PROBS, LOGITS)


def analyse(
    predictions: Mapping[str, ArrayLike] | ArrayLike,
    labels: ArrayLike,
    train_counts: Counts | None = None,
    reference: str | None = None,
    *,
    kind: str | None = None,
    class_names: Sequence[str] | None = None,
    clusters: ArrayLike | None = None,
    many: float | None = None,
    few: float | None = None,
    dataset: str = "predictions from elsewhere",
    scheme: str = UNKNOWN,
    margin: float = MARGIN,
    exact: bool | None = None,
    allow_scale: bool = False,
) -> Analysis:
    """Bias, variance and accuracy of each method by split, with intervals, beside the reference.

    Tables (pandas) are matched by their index: test points to those of the labels, runs by number, classes by id or
    name. An index on one side only that is not 0, 1, 2, … is refused, and so are values that are missing or masked.

    Parameters
    ----------
    predictions : mapping of str to array, or array
        Method -> array, or one array, whose row r is run r: row r of every method is a pair. (R, N) integers are
        predicted labels. (R, N, C) floats are probabilities if all values of a method's first block of points are
        within 0 and 1, and then every row must sum to 1; else logits.
    labels : array (N,)
        True class ids, from 0.
    train_counts : array (C,), dict, Series or None
        Training images of each class, or by class id, or by `class_names`; None: nothing is said of many, medium and
        few, nothing is claimed, and C is the number of class names, or else what scores and class ids speak of.
    reference : str or None
        The method that others are compared with; None: 'ce', or the first.
    kind : str or None
        'labels', 'probs' or 'logits': instead of the rule above, for all methods.
    class_names : sequence of str or None
        C names, all different.
    clusters : array (N,) or None
        Which test points belong together (frames of a clip, images of a patient), numbers or names.
    many, few : float or None
        A class with more than `many` training images is many, with fewer than `few` is few; None: 100 and 20.
    dataset, scheme : str
        What captions call the data and the way in which runs differ.
    margin, exact, allow_scale
        See `Analysis`.

    Returns
    -------
    Analysis
        Tables, claims, verdicts and figures.

    Raises
    ------
    Refusal
        One line that says what cannot be, and what would have worked: shapes that do not fit, values that are missing,
        ids out of range, probabilities that do not sum to 1.

    Notes
    -----
    Bias and variance are those of the zero-one loss, corrected for the number of runs: Domingos, "A unified
    bias-variance decomposition", 2000; the question is that of Wang et al., ICLR 2021 (arXiv 2010.01809).

    Examples
    --------
    >>> import numpy as np, ltbv
    >>> draw = np.random.default_rng(0)
    >>> labels = np.arange(60) % 3
    >>> predictions = {name: draw.integers(0, 3, (4, 60)) for name in ("ce", "mine")}  # (R, N)
    >>> ltbv.analyse(predictions, labels, train_counts=[500, 60, 6]).splits["split"].tolist()[:4]
    ['all', 'many', 'medium', 'few']
    """
    for name, value in {"many": many, "few": few}.items():
        expect(name, value, float, NoneType)
    expect("dataset", dataset, str)
    expect("scheme", scheme, str)
    if not hasattr(predictions, "__len__") and not hasattr(predictions, "__array__"):
        raise Refusal(f"predictions is {predictions!r}: give {{'ce': array}}, or an array (R, N) or (R, N, C)")
    if class_names is not None and (not isinstance(class_names, Iterable) or isinstance(class_names, Mapping | Set)):
        raise Refusal(f"class_names is {class_names!r}: give C names, in the order of class ids")
    if kind is not None and kind not in KINDS:
        raise unknown("kind of predictions", kind, KINDS)
    if hasattr(class_names, "iloc"):
        class_names = plain(class_names, "class_names").tolist()
    if class_names is not None:
        names = ["" if name is None else str(name).encode(errors="backslashreplace").decode() for name in class_names]
        class_names = check_names(names, "class_names")
    counts = None if train_counts is None else _counts(train_counts, class_names)
    if counts is None and (many is not None or few is not None):
        raise Refusal("many and few divide the classes by their training images: give train_counts too")
    labels, (points, *_) = as_column(labels, "labels")
    labels = check_labels(labels, None if counts is None else counts.size)
    if counts is not None and class_names is not None and len(class_names) != counts.size:
        raise Refusal(f"there are {len(class_names)} class names, but train_counts has {counts.size} classes")
    of_method = predictions if isinstance(predictions, Mapping) else {reference or REFERENCE: predictions}
    if not of_method:
        raise Refusal("no predictions are given: analyse({'ce': array}, labels, train_counts)")
    of_method, notes = in_order(of_method, reference)
    named: dict[str, Iterable[tuple[Hashable, np.ndarray]]]
    named = {key: _runs(key, of_runs, points, class_names) for key, of_runs in of_method.items()}
    if counts is not None:
        num_classes = counts.size
    else:  # all runs are looked at before the first is read
        named = {key: list(of_runs) for key, of_runs in named.items()}
        arrays = [values for of_runs in named.values() for _, values in of_runs]
        num_classes = _classes_of(arrays, labels) if class_names is None else len(class_names)
        check_labels(labels, num_classes)
        notes.append(without_counts(num_classes, "predictions and labels" if class_names is None else "class_names"))
    methods = []
    for key, of_runs in named.items():
        runs = [_read_run(f"{key}, run {r}", str(r), run, labels, num_classes, kind) for r, run in of_runs]
        methods.append(method_runs(key, runs, notes))
    evidence = evidence_of(
        methods,
        labels,
        counts,
        class_names if class_names is None else tuple(class_names),
        notes,
        num_classes=num_classes,
        many=100 if many is None else many,
        few=20 if few is None else few,
        dataset=dataset,
        scheme=scheme,
    )
    together = None if clusters is None else check_clusters(clusters, labels.size, points)
    return Analysis(replace(evidence, clusters=together), margin, exact, allow_scale)


def _counts(train_counts: Any, class_names: Sequence[str] | None) -> np.ndarray:
    """Training images of each class (C,)."""
    given = _in_order_of_ids(train_counts, class_names)
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise Refusal(f"train_counts must be (C,) integers; got {given.dtype} of shape {given.shape}")
    return check_counts(given.tolist(), "train_counts")


def _classes_of(arrays: Sequence[np.ndarray], labels: np.ndarray) -> int:
    """C, from the width of scores (N, C) or else the highest class id that occurs."""
    widths = [values.shape[1] for values in arrays if values.dtype.kind == "f" and values.ndim == 2]
    ids = [labels, *(values for values in arrays if values.dtype.kind in "iu" and values.size)]
    return max(widths) if widths else 1 + max(int(of.max()) for of in ids)


def _in_order_of_ids(counts: Any, class_names: Sequence[str] | None) -> np.ndarray:
    """Counts (C,) of class ids, from an array, or by class id or class name."""
    keys = class_counts.keys_of(counts)
    if keys is None or class_names is None:
        return class_counts.class_counts(as_array(counts, "train_counts") if keys is None else counts)
    values = counts.values() if isinstance(counts, Mapping) else as_array(counts, "train_counts").tolist()
    return np.asarray(by_key(dict(zip(keys, values, strict=True)), list(map(str, class_names)), "train_counts", [])[0])


def _runs(
    key: str, of_runs: Any, points: Keys, class_names: Sequence[str] | None
) -> Iterator[tuple[Hashable, np.ndarray]]:
    """The name of each run and its values, (N,) or (N, C), in the order of the labels and of the class ids.

    A table whose rows are runs names them by its index.
    """
    if hasattr(of_runs, "iloc") or hasattr(of_runs, "dims"):  # its columns are no runs
        table, (names, *axes) = as_keyed(of_runs, f"predictions of {key}")
        parts = ((row, axes) for row in table)
    else:
        each = enumerate(_each(key, of_runs))
        names, parts = None, (as_keyed(one, f"predictions of {key}, run {r}") for r, one in each)
    for r, (values, axes) in enumerate(parts):
        name = r if names is None else names[r]
        what = f"predictions of {key}, run {name}"
        if values.ndim == 2 and values.dtype.kind == "f":
            columns, wanted = _of_classes(axes[1], class_names)
            values = matched(values, 1, columns, wanted, what, "the classes")
        yield name, matched(values, 0, axes[0], points, what, "labels") if values.ndim else values


def _each(key: str, of_runs: Any) -> Iterator[Any]:
    """One run after the other, of an array, a list, or whatever gives them."""
    try:
        return iter(np.asarray(of_runs) if isinstance(of_runs, memoryview) else of_runs)
    except TypeError as error:
        raise Refusal(
            f"predictions of {key} are a {type(of_runs).__name__}: give labels (R, N) or scores (R, N, C), a row a run"
        ) from error


def _of_classes(keys: Keys, class_names: Sequence[str] | None) -> tuple[Keys, Keys]:
    """What columns of scores are called, and in which order they should be: class names, or class ids from 0."""
    names = [] if class_names is None else list(map(str, class_names))
    if keys is None or sorted(map(str, keys)) == sorted(names):
        return (None, None) if keys is None else (list(map(str, keys)), names)
    ids: Keys = class_counts.class_ids(keys)
    return ids or keys, list(range(len(keys)))


def _read_run(where: str, name: str, values: np.ndarray, labels: np.ndarray, num_classes: int, kind: str | None) -> Run:
    """A run of a method, from its labels (N,) or scores (N, C)."""
    if values.dtype.kind in "iu" and values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dtype.kind in "iu" and values.ndim == 1 and kind in (None, LABELS):
        if values.size != labels.size:
            raise Refusal(f"{where} has {values.size} test points, but there are {labels.size} labels")
        check_range(values, num_classes, f"{where}: prediction")
        return Run.of(name, values, None)
    if values.dtype.kind != "f" or values.ndim != 2 or kind == LABELS:
        raise Refusal(
            f"{where} is {values.dtype} of shape {values.shape}; a method is integer labels (R, N), or floating point"
            " scores (R, N, C); a single run is array[None]"
        )
    if len(values) != labels.size:
        raise Refusal(f"{where} has {len(values)} test points, but there are {labels.size} labels")
    parts = (values[part] for part in blocks(labels.size, max(1, BLOCK // max(1, values.shape[1]))))
    scores = judge(parts, labels, num_classes, kind, where)
    return replace(Run.of(name, None, scores), table=values)
