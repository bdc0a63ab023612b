"""Studies made up in a moment: predictions with the shape of a long tail, written as `ltbv bootstrap` writes them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from laid import PRETENDED, PretendedParquet

from ltbv.data.dataset import make_ids
from ltbv.data.profile import long_tail_counts
from ltbv.files import write_arrays
from ltbv.report.elsewhere import parquet
from ltbv.stats import scaled
from ltbv.store import Store, provenance

ASKED = {
    "dataset": "glyphs-lt",
    "scheme": "subsample",
    "head": 100,
    "imbalance": 50.0,
    "profile": "exp",
    "epochs": 30,
    "seed": 7,
    "protocol": {},
    "revision": 1,
    "fingerprint": "0" * 16,
}
# strength of the true class in head and tail, noise that runs do not share
STRENGTHS = {"ce": (5.0, 0.5, 1.8), "ride": (5.2, 1.6, 1.3), "tau_norm": (4.6, 1.3, 1.8)}


def one_run(labels: np.ndarray, num_classes: int, method: str, run: int) -> dict[str, np.ndarray]:
    """Fields of a prediction file: scores = strength of the true class + taste of the point + noise of the run."""
    head, tail, spread = STRENGTHS.get(method, (5.0, 1.0, 1.6))
    taste = np.random.default_rng(0).gumbel(size=(labels.size, num_classes))
    noise = np.random.default_rng([run, len(method)]).normal(size=(labels.size, num_classes))
    logits = (taste + spread * noise).astype(np.float32)
    points = np.arange(labels.size)
    logits[points, labels] += np.linspace(head, tail, num_classes)[labels]
    probability = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    others = probability.copy()
    others[points, labels] = -1
    negative = others.argmax(1)
    return {
        "label": logits.argmax(1).astype(np.uint16),
        "p_true": probability[points, labels],
        "negative": negative.astype(np.uint16),
        "p_negative": probability[points, negative],
        "sum_p2": (probability**2).sum(1),
        "logits": logits.astype(np.float16),
    }


def make_study(
    path: Path,
    methods: dict[str, str],
    *,
    runs: int | dict[str, range] = 6,
    num_classes: int = 12,
    points: int = 10,
    class_names: list[str] | None = None,
    labels: np.ndarray | None = None,
    recipes: Mapping[str, Mapping[str, Any]] | None = None,
    routed: Mapping[str, int] | None = None,
) -> Path:
    """A study directory with `methods` (label by key), `points` test points a class.

    recipes  further fields of the recipes, by key
    routed   methods with a router, and their numbers of experts; the less sure of the true class, the more it asks
    """
    store = Store(path)
    counts = long_tail_counts(num_classes, ASKED["head"], ASKED["imbalance"])
    data = {
        "class_names": class_names or [f"class {c}" for c in range(num_classes)],
        "counts": counts.tolist(),
        "pool_sizes": [500] * num_classes,
        "splits": {name: ids.tolist() for name, ids in scaled(counts).items()},
    }
    store.open(ASKED, data, made_with={})
    of_method = runs if isinstance(runs, dict) else {key: range(runs) for key in methods}
    last = max((max(numbers, default=0) for numbers in of_method.values()), default=0)
    draw = np.random.default_rng(1)
    images = [np.concatenate([np.sort(draw.choice(500, n, replace=False)) for n in counts]) for _ in range(last + 1)]
    store.write_samples(np.stack([make_ids(np.repeat(np.arange(num_classes), counts), of_run) for of_run in images]))
    labels = np.repeat(np.arange(num_classes), points) if labels is None else labels
    store.write_test_labels(labels)
    for order, (key, label) in enumerate(methods.items()):
        recipe = {"key": key, "label": label, "order": order, "stages": []}
        store.open_method(key, recipe | dict((recipes or {}).get(key, {})))
        for run in of_method[key]:
            fields = one_run(labels, num_classes, key, run)
            if key in (routed or {}):
                fields["experts_used"] = np.ceil(routed[key] * (1 - fields["p_true"])).clip(1).astype(np.uint8)
            said = provenance.of_prediction(store.recipe(key), ASKED["seed"], run)
            write_arrays(store.prediction_file(key, run), provenance.sealed(fields, said))
    return path


@pytest.fixture(scope="module")
def shared_study(tmp_path_factory):
    """`make_study` for a study that the tests of a module share, and leave as it is."""
    return lambda methods, **rest: make_study(tmp_path_factory.mktemp("shared") / "study", methods, **rest)


@pytest.fixture(autouse=True)
def pretended_parquet(monkeypatch):
    """Files that `laid.write` pretends to be .parquet are read without pyarrow; all others are read by it."""
    real = parquet._file

    def file(path: Path):
        return PretendedParquet(path) if path.read_bytes().startswith(PRETENDED) else real(path)

    monkeypatch.setattr(parquet, "_file", file)


@pytest.fixture
def study(tmp_path):
    """Make a study with CE and the methods named: study(ride="RIDE", runs=6)."""

    def make(*, ce: str | None = "CE", runs: int | dict[str, range] = 6, **rest) -> Path:
        names = ("num_classes", "points", "class_names", "labels", "recipes", "routed")
        settings = {name: rest.pop(name) for name in names if name in rest}
        methods = ({"ce": ce} if ce else {}) | rest
        return make_study(tmp_path / "study", methods, runs=runs, **settings)

    return make
