"""
Why estimates are corrected
===========================

Plug-in values depend on the number of runs. Here the same study of cross-entropy is read as if it had three, five, …
twenty runs.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from ltbv import stats

folder = Path("../../reports/published-shape-fresh/predictions")
labels = np.load(folder / "labels.npy")
predictions = np.load(folder / "ce.npz")["label"]
few = {"few": range(70, 100)}
numbers = [4, 5, 7, 10, 14, 20]
draw = np.random.default_rng(0)

found = {}
for runs in numbers:  # a mean over some subsets, so that the luck of one does not show
    for _ in range(5 if runs < 20 else 1):
        chosen = draw.choice(len(predictions), runs, replace=False)
        for one in stats.summarize(stats.Record(predictions[chosen], labels), few):
            found.setdefault((one.quantity, runs), []).append(one)

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for panel, quantity in zip(axes, ("bias", "variance"), strict=True):
    of = {
        name: [np.mean([getattr(one, name) for one in found[quantity, runs]]) for runs in numbers]
        for name in ("plug_in", "estimate", "low", "high")
    }
    panel.fill_between(numbers, of["low"], of["high"], alpha=0.2, label="95 % interval of the corrected")
    panel.plot(numbers, of["estimate"], "o-", label="corrected")
    panel.plot(numbers, of["plug_in"], "s--", label="plug-in")
    panel.set(xlabel="runs", title=f"{quantity} of few, CE", xticks=numbers)
axes[1].legend()
plt.show()

# %%
# With five runs the plug-in variance is far too low: a run has a fifth of the vote that it is compared with. A table of
# twenty runs beside one of five would show a difference where there is none. The corrected values hardly move, and
# their intervals say what few runs do not know.
