"""What of a study is worth keeping for ever? What its statistics are made of, in a few bytes a prediction.

    python analyses/compact.py runs/STUDY reports/STUDY/predictions

writes METHOD.npz with `label` and `negative` [R, N] as small integers, `p_true` and `p_negative` [R, N] as float16, and
labels.npy and train_counts.json beside them, so that statistics can be done anew without training:

    ltbv report ce=DIR/ce.npz mine=DIR/mine.npz --labels DIR/labels.npy --train-counts DIR/train_counts.json
"""

import io
import json
import sys
from pathlib import Path

import numpy as np

from ltbv.files import write_bytes
from ltbv.store import Store


def compact(study: Path, folder: Path) -> None:
    """Write the predictions of every method of a study."""
    store = Store(study)
    settings = store.study()
    small = np.uint8 if len(settings["data"]["counts"]) <= 256 else np.uint16
    for method in store.methods():
        runs = store.runs(method)
        if not runs:
            continue
        arrays = {"runs": np.array([f"r{run:03d}" for run in runs])}
        for name, dtype in {"label": small, "negative": small, "p_true": np.float16, "p_negative": np.float16}.items():
            arrays[name] = store.predictions(method, name).astype(dtype)
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)
        write_bytes(folder / f"{method}.npz", content.getvalue())
    labels = io.BytesIO()
    np.save(labels, store.test_labels().astype(small))
    write_bytes(folder / "labels.npy", labels.getvalue())
    write_bytes(folder / "train_counts.json", json.dumps(settings["data"]["counts"]).encode())


if __name__ == "__main__":
    compact(Path(sys.argv[1]), Path(sys.argv[2]))
