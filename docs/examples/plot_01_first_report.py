"""
A first analysis
================

Predicted labels of twenty trainings of five methods: what does each method do to accuracy, bias and variance? They lie
in ``reports/``; yours may come from any framework.
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
print({key: array.shape for key, array in predictions.items()}, labels.shape)

# %%
# Row r of every method is run r, and saw the same training images as row r of the others: so differences are paired. In
# a notebook the analysis shows itself, the answer first, then one grid of methods and splits. Classes with more than 60
# training images are many here, and those with fewer than 12 few: three fifths of the usual 100 and 20, because the
# largest class has 300 images and not 500.

analysis = ltbv.analyse(predictions, labels, counts, many=60, few=12)
analysis

# %%
# Everything is a pandas table. Here are the differences from CE in the tail, each with its 95 % interval for new
# training runs and new test images, and what may be said of it: a claim holds after Holm's correction.

few = analysis.claims.query("split == 'few'")
few.drop(columns="split").round(3)

# %%
# And as a figure: all methods lower the bias of the tail, and its variance too.

figure, axes = plt.subplots(1, 3, figsize=(9, 2.6), sharey=True, layout="constrained")
for panel, (quantity, rows) in zip(axes, few.groupby("quantity", sort=False), strict=True):
    middle, low, high = (rows[name] for name in ("difference", "low", "high"))
    panel.errorbar(middle, rows["method"], xerr=[middle - low, high - middle], fmt="o", capsize=3)
    panel.axvline(0, color="grey", lw=0.8)
    panel.set_title(f"{quantity} in few, less CE")
    panel.margins(y=0.3)
    panel.locator_params(axis="x", nbins=4)
plt.show()

# %%
# Each method in a sentence:

analysis.verdicts

# %%
# ``analysis.plot()`` is the report's own figure of these, as in :ref:`the last example
# <sphx_glr_gallery_plot_11_own_figure.py>`; ``analysis.write("reports/mine")`` writes the whole report, and
# ``analysis.cautions`` has what to know before trusting it.
