"""
Does it matter how runs are drawn?
==================================

The same five methods, trained on new images in every run (``fresh``), and on samples of one pool (``subsample``, as in
published tables), in which two runs share up to 60 % of a class.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

reports = Path("../../reports")
splits = {
    scheme: pd.read_csv(reports / f"published-shape-{scheme}/tables/splits.csv").set_index(
        ["method", "group", "quantity"]
    )
    for scheme in ("fresh", "subsample")
}
methods = ["ce", "crt", "ldam_drw", "ride", "tau_norm"]

figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), sharey=True, layout="constrained")
for panel, group in zip(axes, ("many", "medium", "few"), strict=True):
    for shift, (scheme, table) in zip((-0.12, 0.12), splits.items(), strict=True):
        of = table.loc[[(key, group, "variance") for key in methods]]
        reach = [of["estimate"] - of["low"], of["high"] - of["estimate"]]
        panel.errorbar(of["estimate"], np.arange(5) + shift, xerr=reach, fmt="o", ms=4, capsize=2, label=scheme)
    panel.set(title=f"variance in {group}", yticks=range(5), yticklabels=methods)
axes[0].legend()
plt.show()

# %%
# Not for these methods and data: the intervals overlap everywhere. But the question must be asked, and a report says
# under every table how many images two runs share. With ``seed_only`` the same study would show much less variance,
# because the images stay.
