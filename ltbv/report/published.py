"""Which numbers of the literature are there? And which splits of the classes are usual for their data sets?

`published.csv` holds them: accuracy, bias and variance as shares (0-1), plug-in where they depend on the number of
runs. A field is empty where the paper leaves it open. `key` names a method of ltbv, or several with blanks between,
where the paper leaves open which of them it means.
"""

from importlib.resources import files
from io import StringIO

import numpy as np
import pandas as pd

MANY, FEW, FULL_HEAD = 100, 20, 500  # see `ltbv.stats.scaled`
SETTINGS = ["source", "dataset", "imbalance", "head", "network", "scheme", "runs"]


def read() -> pd.DataFrame:
    """All published numbers: SETTINGS, then method, key (of ltbv), cost, group, quantity, value."""
    text = files("ltbv.report").joinpath("published.csv").read_text(encoding="utf-8")
    words = {name: str for name in ("network", "scheme", "key", "cost")}
    return pd.read_csv(
        StringIO(text), dtype=words, keep_default_na=False, na_values={"imbalance": "", "head": "", "runs": ""}
    )


def data_sets() -> list[str]:
    """The data sets that there are published numbers of."""
    return sorted(set(read()["dataset"]))


def thresholds(dataset: str, train_counts: np.ndarray) -> tuple[float, float]:
    """Training images above which a class is many, and below which it is few, as the studies of a data set have them.

    100 and 20, for data sets that are long-tailed themselves; where the largest class has another number n of images by
    choice (the published `head` is known), n/500 of these: 60 and 12 where CIFAR-100-LT has 300.
    """
    everything = read()
    chosen = everything.loc[everything["dataset"] == dataset, "head"].notna().any()
    share = int(np.max(train_counts)) / FULL_HEAD if chosen else 1.0
    return MANY * share, FEW * share
