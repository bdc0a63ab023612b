"""
The published figure, trained anew
==================================

Figure 1a of RIDE (Wang et al., ICLR 2021) shows bias and variance on CIFAR-100-LT. Twenty trainings of each method,
as ``analyses/figure1a.py`` made them, give it again, with intervals that the paper does not have.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

table = pd.read_csv(Path("../../reports/figure1a/tables/splits.csv")).set_index(["method", "group", "quantity"])
names = {"ce": "CE", "tau_norm": "tau-norm", "crt": "cRT", "ldam_drw": "LDAM-DRW", "ride": "RIDE"}
groups = ("all", "many", "medium", "few")

figure, axes = plt.subplots(2, 1, figsize=(8, 5.4), sharex=True, layout="constrained")
for panel, quantity in zip(axes, ("bias", "variance"), strict=True):
    for at, (key, name) in enumerate(names.items()):
        of = table.loc[[(key, group, quantity) for group in groups]]
        place = np.arange(4) + (at - 2) * 0.16
        panel.bar(place, of["estimate"], 0.15, label=name)
        reach = [of["estimate"] - of["low"], of["high"] - of["estimate"]]
        panel.errorbar(place, of["estimate"], yerr=reach, fmt="none", ecolor="black", elinewidth=0.8, capsize=2)
    panel.set(ylabel=quantity, xticks=range(4), xticklabels=groups)
axes[0].legend(ncols=5, fontsize=8)
plt.show()

# %%
# RIDE has the lowest variance of the five in every split, as published, and not the lowest bias of many.

variances = table.xs("variance", level="quantity")["estimate"].unstack("method")[list(names)]
variances.loc[list(groups)].round(3)
