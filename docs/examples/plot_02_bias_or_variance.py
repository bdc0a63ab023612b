"""
Wrong by bias, or by variance
=============================

Two classes may be equally often wrong, and need different cures. Each dot is a class of a study of cross-entropy: how
far is its error bias, which no averaging mends, and how far variance?
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from ltbv import stats

folder = Path("../../reports/published-shape-subsample/predictions")
labels = np.load(folder / "labels.npy")
counts = np.array(json.loads((folder / "train_counts.json").read_text()))
classes = {c: [c] for c in range(len(counts))}


def by_class(key):
    """Corrected error, bias and variance of every class."""
    record = stats.Record(np.load(folder / f"{key}.npz")["label"], labels, train_counts=counts)
    found = {(e.group, e.quantity): e.estimate for e in stats.summarize(record, classes)}
    return {q: np.array([found[c, q] for c in classes]) for q in ("error", "bias", "variance")}


ce, ride = by_class("ce"), by_class("ride")

figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharex=True, sharey=True, layout="constrained")
for panel, (name, of) in zip(axes, {"CE": ce, "RIDE (3 experts)": ride}.items(), strict=True):
    dots = panel.scatter(of["bias"], of["variance"], c=counts, norm="log", cmap="viridis_r", s=22)
    panel.set(title=name, xlabel="bias", xlim=(-0.1, 1.05), ylim=(-0.02, 0.7))
axes[0].set_ylabel("variance")
figure.colorbar(dots, label="training images of the class")
plt.show()

# %%
# Frequent classes sit at the lower left. The rarest of CE lie to the right: most of their images are wrong *whoever*
# trains, and an ensemble of such networks would be as wrong. In between are classes with much variance, on which
# trainings disagree. RIDE moves both.

rare = counts < counts[len(counts) * 2 // 3]
for name, of in {"CE": ce, "RIDE": ride}.items():
    print(f"{name:5} rarest third: error {of['error'][rare].mean():.2f}, bias {of['bias'][rare].mean():.2f},", end=" ")
    print(f"variance {of['variance'][rare].mean():.2f}")
