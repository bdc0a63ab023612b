"""
Bias and variance of nearest neighbours
=======================================

The oldest example of the field: few neighbours mean little bias and much variance, many neighbours the reverse.
Anything with ``fit`` and ``predict`` goes into ``ltbv.sklearn.bootstrap``; here is a classifier of ten lines.
"""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np

from ltbv.sklearn import bootstrap


@dataclass
class Neighbours:
    """The most frequent class among the k nearest."""

    k: int = 1

    def fit(self, X, y):
        self.X, self.y, self.classes_ = X, y, np.unique(y)

    def predict(self, X):
        nearest = ((X[:, None] - self.X) ** 2).sum(2).argpartition(self.k - 1)[:, : self.k]
        votes = (self.y[nearest][:, :, None] == self.classes_).sum(1)
        return self.classes_[votes.argmax(1)]

    def get_params(self, deep=True):
        return {"k": self.k}


draw = np.random.default_rng(0)
centres = draw.normal(size=(6, 3)) * 1.6
counts = np.array([500, 250, 120, 60, 30, 15])


def sample(of):
    y = np.repeat(np.arange(6), of)
    return centres[y] + draw.normal(size=(len(y), 3)), y


X, y = sample(counts)
X_test, y_test = sample([60] * 6)
estimators = {f"k={k}": Neighbours(k) for k in (1, 3, 7, 15, 31)}
analysis = bootstrap(estimators, X, y, X_test, y_test, runs=10, scheme="subsample", reference="k=1")

# %%
# Over all classes variance falls and bias rises, and up to 15 neighbours the error hardly moves: what one loses, the
# other gains. In the tail nearly all is bias, however many: most neighbours of a rare image are of other classes.

table = analysis.all.set_index(["group", "quantity", "method"])["estimate"].sort_index()
figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), sharey=True, layout="constrained")
for panel, group in zip(axes, ("all", "medium", "few"), strict=True):
    for quantity in ("error", "bias", "variance"):
        of = table[group, quantity][list(estimators)]
        panel.plot([key.removeprefix("k=") for key in of.index], of, "o-", label=quantity)
    panel.set(xlabel="neighbours", title=group)
axes[0].legend()
plt.show()
