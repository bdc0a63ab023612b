"""What of a study is worth keeping for ever? What its statistics are made of, in a few bytes a prediction.

    python analyses/compact.py runs/STUDY reports/STUDY/predictions                  # keep
    python analyses/compact.py --labels runs/STUDY reports/STUDY/predictions         # predicted labels alone
    python analyses/compact.py --unpack reports/STUDY/predictions runs/STUDY         # the study again, to be reported

Kept are METHOD.npz (`label` and `negative` [R, N] as small integers, `p_true` and `p_negative` [R, N] as float16, what
each run's file said of itself), and study.json, recipes.json, samples.npz, labels.npy. Unpacked it is a study without
weights and logits that `ltbv report` reads as it stands: so statistics can be done anew without training. Probabilities
are then those of float16; the labels and all that is made of them are the same. labels.npy and train_counts.json are
for `ltbv report ce=DIR/ce.npz mine=DIR/mine.npz --labels DIR/labels.npy --train-counts DIR/train_counts.json`.
"""

import io
import json
import sys
from pathlib import Path

import numpy as np

from ltbv.errors import Refusal
from ltbv.files import read_arrays, write_arrays, write_bytes, write_json
from ltbv.store import Store

SMALL = {"label": None, "negative": None, "p_true": np.float16, "p_negative": np.float16}  # None: as classes need
FULL = {"label": np.uint16, "negative": np.uint16, "p_true": np.float32, "p_negative": np.float32}


def compact(study: Path, folder: Path, fields: tuple[str, ...] = tuple(SMALL)) -> None:
    """Keep the predictions of every method of a study."""
    store = Store(study)
    settings = store.study()
    small = np.uint8 if len(settings["data"]["counts"]) <= 256 else np.uint16
    recipes = {}
    for method in store.methods():
        runs, recipes[method] = store.runs(method), store.recipe(method)
        arrays = {"runs": np.array([f"r{run:03d}" for run in runs])}
        arrays |= {name: store.predictions(method, name).astype(SMALL[name] or small) for name in fields}
        arrays["provenance"] = np.array([read_arrays(store.prediction_file(method, run))["provenance"] for run in runs])
        _write(folder / f"{method}.npz", arrays)
    labels = io.BytesIO()
    np.save(labels, store.test_labels().astype(small))
    write_bytes(folder / "labels.npy", labels.getvalue())
    write_bytes(folder / "train_counts.json", json.dumps(settings["data"]["counts"]).encode())
    write_bytes(folder / "study.json", json.dumps(settings).encode())
    write_bytes(folder / "recipes.json", json.dumps(recipes).encode())
    _write(folder / "samples.npz", {"ids": store.samples()})


def unpack(folder: Path, study: Path) -> None:
    """Make the study again from what was kept."""
    if study.exists():
        raise Refusal(f"{study} exists already; give a new directory")
    store = Store(study)
    labels = np.load(folder / "labels.npy")
    write_arrays(study / "test.npz", {"labels": labels.astype(np.int64)})
    with np.load(folder / "samples.npz") as samples:
        write_arrays(study / "samples.npz", {"ids": samples["ids"]})
    for method, recipe in json.loads((folder / "recipes.json").read_text()).items():
        write_json(study / "predictions" / method / "recipe.json", recipe)
        with np.load(folder / f"{method}.npz") as kept:
            arrays = {name: kept[name] for name in kept.files}
        for row, name in enumerate(arrays["runs"]):
            of_run = {field: arrays[field][row].astype(FULL[field]) for field in FULL if field in arrays}
            of_run["provenance"] = arrays["provenance"][row]
            write_arrays(store.prediction_file(method, int(name[1:])), of_run)
    write_json(study / "study.json", json.loads((folder / "study.json").read_text()))


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_bytes(path, content.getvalue())


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--unpack", folder, study]:
            unpack(Path(folder), Path(study))
        case ["--labels", study, folder]:
            compact(Path(study), Path(folder), fields=("label",))
        case [study, folder]:
            compact(Path(study), Path(folder))
