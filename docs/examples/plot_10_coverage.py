"""
Do intervals cover what they say?
=================================

Simulated worlds have a truth: 150 studies of each were made, and it was counted how often the 95 % interval held it.
``benchmarks/coverage.py`` is the program, ``reports/coverage`` what it wrote.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

table = pd.read_csv(Path("../../reports/coverage/coverage.csv"))
table = table[(table["interval"] == "population") & table["quantity"].isin(["error", "bias", "variance"])]
print(len(table), "cells of", table["world"].nunique(), "worlds")

figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), sharey=True, layout="constrained")
for panel, (quantity, rows) in zip(axes, table.groupby("quantity", sort=False), strict=True):
    numbers = sorted(rows["runs"].unique())
    for at, runs in enumerate(numbers):
        covered = rows.loc[rows["runs"] == runs, "coverage_percent"].dropna()
        panel.plot([at] * len(covered), covered, "_", alpha=0.25, ms=14)
        panel.plot([at], [covered.median()], "D", color="black", ms=5)
    panel.axhline(95, color="grey", lw=0.8)
    panel.set(title=quantity, xlabel="runs", xticks=range(len(numbers)), xticklabels=numbers)
axes[0].set_ylabel("coverage of nominal 95 %, percent")
plt.show()

# %%
# Most cells lie at 95 % or above. The low ones are worlds in which now and then a run collapses, in which runs share a
# small pool that matters much, and, at five runs, the bias of nearly all: no claim is made of a bias below ten runs.

low = table[(table["runs"] == 20) & (table["coverage_percent"] < 85)]
low.groupby("world")["coverage_percent"].agg(["count", "min"])
