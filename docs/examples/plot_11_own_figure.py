"""
In a paper's own figure
=======================

A figure that spans two columns of a page: two panels that ``ltbv`` draws, beside one of one's own. Fonts and sizes are
those of the paper.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import ltbv

folder = Path("../../reports/published-shape-subsample/predictions")
labels = np.load(folder / "labels.npy")
counts = np.array(json.loads((folder / "train_counts.json").read_text()))
methods = ["ce", "crt", "ldam_drw", "ride"]
predictions = {key: np.load(folder / f"{key}.npz")["label"] for key in methods}
analysis = ltbv.analyse(predictions, labels, counts, many=60, few=12)

# %%
# ``ax`` takes Axes of any figure, and ``quantity`` says which panel. Right of the line is better; a filled mark is a
# claim, a hollow one an interval that excludes 0, a faint one open, and of a grey cross nothing is said.

paper = {"font.size": 8, "axes.titlesize": 8, "font.family": "serif", "figure.dpi": 150}
with plt.rc_context(paper):
    figure, (bias, variance, own) = plt.subplots(1, 3, figsize=(7.0, 2.1), layout="constrained")
    analysis.plot("differences", quantity="bias", ax=bias)
    analysis.plot("differences", quantity="variance", ax=variance)
    variance.tick_params(labelleft=False)
    bias.legend(fontsize=6, loc="lower left")

    few = analysis.splits.query("split == 'few'")
    own.errorbar(
        *(few["bias"], few["variance"]),
        xerr=(few["bias_ci_high"] - few["bias_ci_low"]) / 2,
        yerr=(few["variance_ci_high"] - few["variance_ci_low"]) / 2,
        fmt="o",
        ms=3,
        lw=0.8,
    )
    for row in few.itertuples():
        own.annotate(row.method, (row.bias, row.variance), textcoords="offset points", xytext=(4, 4), fontsize=6)
    own.set(xlabel="bias of few", ylabel="variance of few", title="What is wrong in the tail")
    own.margins(0.15)
plt.show()

# %%
# What the caption may claim:

claims = analysis.claims.query("state == 'claim' and split == 'few' and quantity != 'accuracy'")
claims[["method", "quantity", "difference", "low", "high", "p_holm"]].round(4)
