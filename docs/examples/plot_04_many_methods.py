"""
What does a better tail cost the head?
======================================

Forty-one methods against cross-entropy, ten trainings each on ``glyphs-lt``: what each does to rare and to frequent
classes. The tables are those that ``ltbv report`` wrote.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

grid = pd.read_csv(Path("../../reports/all-methods/tables/grid.csv"), keep_default_na=False, na_values=[""])
grid = grid[grid["state"] != "reference"].fillna({"why": ""})
wide = grid.pivot(index="method", columns=["group", "quantity"], values="reference_difference")

figure, axes = plt.subplots(1, 2, figsize=(10, 4.6), sharey=True, layout="constrained")
many = wide["many", "variance"]
for panel, quantity in zip(axes, ("bias", "variance"), strict=True):
    few = wide["few", quantity]
    panel.scatter(few, many, s=18)
    for key in ("ride_lws", "ce_ensemble", "crt", "tau_norm", "balanced_softmax", "class_balanced"):
        panel.annotate(key, (few[key], many[key]), textcoords="offset points", xytext=(5, 4), fontsize=8)
    panel.axhline(0, color="grey", lw=0.8)
    panel.axvline(0, color="grey", lw=0.8)
    panel.set_xlabel(f"{quantity} of few, less CE")
    panel.set_ylim(-0.06, 0.4)
    panel.margins(x=0.15)
axes[0].set_ylabel("variance of many, less CE")
plt.show()

# %%
# Left is better for the tail, low is better for the head. Re-balancing buys the tail's bias with the head's variance;
# experts and ensembles lower the variance of both. Four methods are beyond the picture, above .5: reversed sampling,
# and three that fail here. How many of these differences are claims?

claims = grid[grid["state"] == "claim"]
claims = claims.assign(side=(claims["reference_difference"] < 0).map({True: "lower", False: "higher"}))
claims.groupby(["quantity", "group", "side"]).size().unstack(fill_value=0)
