"""
What are rare classes mistaken for?
===================================

With probabilities a study knows each image's *hardest negative*, the wrong class with the highest score. Where does the
probability flow that rare classes lose?
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from ltbv import stats

folder = Path("../../reports/published-shape-subsample/predictions")
labels = np.load(folder / "labels.npy")
counts = np.array(json.loads((folder / "train_counts.json").read_text()))
splits = stats.scaled(counts)
print({name: len(ids) for name, ids in splits.items()})

figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
for panel, key in zip(axes, ("ce", "crt", "ride"), strict=True):
    kept = np.load(folder / f"{key}.npz")
    hardest = stats.HardestNegative(*(kept[name] for name in ("p_negative", "negative", "p_true")))
    flow = stats.confusion_flow(hardest, labels, splits)
    panel.imshow(flow.mass, vmin=0, vmax=0.5, cmap="Reds")
    for (row, column), mass in np.ndenumerate(flow.mass):
        panel.text(column, row, f"{mass:.2f}", ha="center", va="center", color="white" if mass > 0.3 else "black")
    panel.set(title=key, xticks=range(3), yticks=range(3), xticklabels=flow.splits, yticklabels=flow.splits)
axes[0].set_ylabel("split of the true class")
axes[1].set_xlabel("split of the hardest negative")
plt.show()

# %%
# A row is what the classes of a split lose to their strongest rivals. CE loses few to many; cRT gives some of it back,
# and RIDE too.
