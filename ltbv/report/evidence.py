"""What is a report made of? The predictions of some methods on one test set, and what is known of how they came about.

Where they come from is another file's business (`study` reads a study directory), and so is what they amount to
(`tables`). Axes: R runs, N test points, C classes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from ltbv.errors import unknown
from ltbv.stats.measured import Measured

REFERENCE = "ce"
SPLITS = ("many", "medium", "few")
GROUPS = ("all", *SPLITS)
SHOWN = ("accuracy", "bias", "variance")  # what figures and tables of classes show
HIGHER_IS_BETTER = ("accuracy",)
MOST_LOGITS = 200_000_000  # of all runs: to read more would take longer than the rest of a report
MOST_CLASSES, MOST_IMAGES = 10**6, 10**12  # images of a class; beyond these a number is taken for damage


def ends(present: Iterable[str]) -> tuple[str, str]:
    """Head and tail, of the groups that have test points: of the splits there, that of most and that of fewest training
    images. Where there are not two splits, many and few, which may not be there."""
    there = [split for split in SPLITS if split in set(present)]
    return (there[0], there[-1]) if len(there) > 1 else (SPLITS[0], SPLITS[-1])


def chosen(keys: Sequence[str], reference: str | None = None, methods: Sequence[str] = ()) -> tuple[str, ...]:
    """Keys of a report: the reference first, then the others in their order, or only those of `methods`.

    Without a `reference`, it is 'ce' where there is one, also beside `methods` that do not name it; else the first.
    """
    for what, names in (("reference", [] if reference is None else [reference]), ("method", methods)):
        for name in names:
            if name not in keys:
                raise unknown(what, name, keys)
    wanted = [key for key in keys if key in methods] or list(keys)
    first = reference or (REFERENCE if REFERENCE in keys else wanted[0])
    return (first, *(key for key in wanted if key != first))


@dataclass(frozen=True)
class TrainedStage:
    """How a stage of training went, by run and epoch.

    name      within its method, such as representation
    runs      row r of the arrays is run number runs[r]
    loss      (R, epochs) mean loss of the epoch, as it was seen in training
    accuracy  (R, epochs) share of training images right, as they were seen; NaN: not counted
    """

    name: str
    runs: tuple[int, ...]
    loss: np.ndarray
    accuracy: np.ndarray


@dataclass(frozen=True)
class Scores:
    """Softmax probabilities (R, N) of the true class, `p_true`, and of the hardest negative, `score`."""

    p_true: np.ndarray
    score: np.ndarray

    @property
    def above_true(self) -> np.ndarray:
        """(R, N) bool: a wrong class is more likely than the true one. Whatever the scale of the logits."""
        return self.score > self.p_true


@dataclass(frozen=True, eq=False)
class Seen:
    """The logits of a method's `runs`, which were looked at when these were read: `losses`, what
    `stats.measure_logits` says of them, and how they are read again, (R, N, C) of the runs of some numbers."""

    runs: tuple[int, ...]
    losses: dict[str, Measured]
    read: Callable[[Sequence[int]], np.ndarray]

    def __call__(self, runs: Sequence[int]) -> np.ndarray:
        return self.read(runs)


@dataclass(frozen=True)
class MethodRuns:
    """One method: row r of every array is run number runs[r].

    predictions   (R, N) predicted labels
    p_true        (R, N) softmax probability of the true class
    p_negative    (R, N) largest softmax probability among the other classes: the hardest negative
    negatives     (R, N) the class of the hardest negative
    sum_p2        (R, N) sum of the squared softmax probabilities of all classes
    ranks         (R, N) how many classes are more likely than the true one
    logits        reads those of the runs of these numbers, (R, N, C); they may take more memory than all else. A `Seen`
                  knows already what they amount to, where all are finite
    expert_logits likewise those of each of its experts, whose mean the logits are, (R, E, N, C)
    experts_used  (R, N) experts that a routed method asked, from 1
    cost          parameters, macs (without and with_norm), training_images_times_macs; macs_by_experts: a pair of MACs
                  (without and with norm) for 1, 2, … experts asked, routers included
    adds_to       key of the method that this one is built on
    family        methods of one family differ in their number of experts
    experts       how many it has
    kind          a word for methods of its sort, under which tables of many methods show it
    stages        what was trained for it, first to last: keys of `Evidence.trained`, where these are known
    backbones     (R,) the backbone of each run, from 0, where features are of several

    None, but for predictions: not known. p_true and p_negative are known together.
    """

    key: str
    label: str
    runs: tuple[int, ...]
    predictions: np.ndarray
    p_true: np.ndarray | None = None
    p_negative: np.ndarray | None = None
    negatives: np.ndarray | None = None
    sum_p2: np.ndarray | None = None
    ranks: np.ndarray | None = None
    logits: Callable[[Sequence[int]], np.ndarray] | None = None
    expert_logits: Callable[[Sequence[int]], np.ndarray] | None = None
    experts_used: np.ndarray | None = None
    cost: Mapping[str, Any] | None = None
    adds_to: str | None = None
    family: str | None = None
    experts: int | None = None
    kind: str | None = None
    stages: tuple[str, ...] = ()
    backbones: np.ndarray | None = None

    @property
    def scores(self) -> Scores | None:
        """p_true and p_negative, where they are known."""
        if self.p_true is None or self.p_negative is None:
            return None
        return Scores(self.p_true, self.p_negative)

    def rows(self, runs: Sequence[int]) -> "MethodRuns":
        """The same method with the runs of these numbers, in this order."""
        if tuple(runs) == self.runs:
            return self
        at = [self.runs.index(run) for run in runs]
        arrays: dict[str, Any] = {
            name: values[at] for name, values in vars(self).items() if isinstance(values, np.ndarray)
        }
        return replace(self, runs=tuple(runs), **arrays)


@dataclass(frozen=True)
class Setting:
    """How the runs came about, for captions. `shared` (C,): what two runs have in common of a class's images, 0-1.

    None or empty: not known. `protocol` and `made_with` (versions, machine, commit) are printed as they are nested;
    `commands` are what one types to get the same study again; `made` says how the runs were trained; `study` is its
    identity, and `looks` are the numbers of runs at which it was reported, this report's last: see `manifest.looked`.
    `backbone` is what made the features, where heads were trained on such: '' where that is not said, None where whole
    networks were trained; `backbones` are those of each, where features are of several. `augmentation` is named where
    it is not the protocol's own.
    """

    dataset: str
    scheme: str
    head: int | None
    imbalance: float | None
    epochs: int | None
    seed: int | None
    shared: np.ndarray
    pool_sizes: np.ndarray | None = None
    protocol: Mapping[str, Any] = field(default_factory=dict)
    made_with: Mapping[str, Any] = field(default_factory=dict)
    commands: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    study: str | None = None
    looks: tuple[int, ...] = ()
    backbone: str | None = None
    backbones: tuple[str, ...] = ()
    augmentation: str = ""


@dataclass(frozen=True)
class Evidence:
    """Methods, the reference first, on test points with `labels` (N,).

    class_names   C names
    train_counts  (C,) training images of each class in one run (nominal); None: not known, and no class is in a split,
                  so that tables say something of all classes and of each, and nothing is claimed
    splits        'many', 'medium', 'few' -> class ids
    clusters      (N,) which test points belong together, numbers from 0; None: none do
    lost          by run number, the classes that it has no image of; empty: not known
    trained       by key, the stages whose training is known; methods may share one
    """

    labels: np.ndarray
    class_names: tuple[str, ...]
    train_counts: np.ndarray | None
    splits: dict[str, np.ndarray]
    methods: tuple[MethodRuns, ...]
    setting: Setting
    clusters: np.ndarray | None = None
    lost: tuple[np.ndarray, ...] = ()
    trained: Mapping[str, TrainedStage] = field(default_factory=dict)

    @property
    def reference(self) -> MethodRuns:
        return self.methods[0]

    def of(self, reference: str | None = None, methods: Sequence[str] = ()) -> "Evidence":
        """The same with another reference (None: this one), or with some of the methods only: keys, see `chosen`."""
        by_key = {method.key: method for method in self.methods}
        keys = chosen(tuple(by_key), reference or self.reference.key, methods)
        return replace(self, methods=tuple(by_key[key] for key in keys))

    @property
    def names(self) -> dict[str, str]:
        """Labels of the methods by key, in the order of every table and figure."""
        return {method.key: method.label for method in self.methods}

    @cached_property
    def groups(self) -> dict[str, np.ndarray]:
        """Class ids of 'all' and of each split."""
        return {"all": np.arange(len(self.class_names)), **{name: self.splits[name] for name in SPLITS}}

    @cached_property
    def split_of(self) -> dict[int, str]:
        """Split of each class id; empty where training images are not known."""
        return dict.fromkeys(range(len(self.class_names)), "") | {
            int(c): name for name in SPLITS for c in self.splits[name]
        }

    @cached_property
    def by_count(self) -> list[int]:
        """Class ids, most training images first; in their own order where these are not known."""
        if self.train_counts is None:
            return list(range(len(self.class_names)))
        return np.argsort(-np.asarray(self.train_counts), kind="stable").tolist()

    @cached_property
    def points_by_class(self) -> np.ndarray:
        """Test points of each class, (C,)."""
        return np.bincount(self.labels, minlength=len(self.class_names))

    def points(self, group: str | int) -> int:
        """Test points of a group, or of one class."""
        return int(self.points_by_class[self.groups[group] if isinstance(group, str) else group].sum())

    @property
    def ends(self) -> tuple[str, str]:
        """The splits that are head and tail: many and few, unless one of them has no test points."""
        return ends(self.present)

    @cached_property
    def present(self) -> tuple[str, ...]:
        """Those of GROUPS that have test points."""
        return tuple(group for group in GROUPS if self.points(group))

    @cached_property
    def additions(self) -> list[tuple[MethodRuns, MethodRuns]]:
        """(base, built on it) for each method that is built on another one of these, bases in the order of methods."""
        return [(base, method) for base in self.methods for method in self.methods if method.adds_to == base.key]

    def paired_runs(self, method: MethodRuns) -> list[int]:
        """Run numbers that a method and the reference both have: same samples and seeds, so these are compared."""
        return [run for run in method.runs if run in self.reference.runs]
