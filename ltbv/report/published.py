"""Which numbers of the literature are there? And which splits of the classes are usual for their data sets?

`published.csv` holds them: accuracy, bias and variance as shares (0-1), plug-in where they depend on the number of
runs. A field is empty where the paper leaves it open.

`key` names the method of ltbv that a row is of, or several with blanks between, where the paper leaves open which of
them it means; it is empty where there is none: M2m of RIDE's table is on LDAM. RIDE's tables are of experts that are
distilled and routed: Table 1 repeats the last rows of the ablation, and the authors' model zoo has the four experts of
Tables 2 and 3 as such. SADE's table leaves open whether its weights are from test images. What Jamal et al. star is not
their own run: L2RW* is from Meta-Weight-Net's table.

`epochs` is how long the network was trained, and then ("200 + 30") the stage after it; `selected` is how the number was
picked, mostly as the best epoch on the test set, as their code tells. Either is empty where that is not known: of what
a table repeats from elsewhere, of Figure 1a, of what no code was released for. All else that sets a number apart, such
as images that are turned, is in its source, the title of the table in which it stands, or its method.
"""

from importlib.resources import files
from io import StringIO

import numpy as np
import pandas as pd

MANY, FEW, FULL_HEAD = 100, 20, 500  # see `ltbv.stats.scaled`
SETTINGS = ["source", "dataset", "imbalance", "head", "network", "scheme", "runs"]


def read() -> pd.DataFrame:
    """All published numbers: SETTINGS, epochs, selected, method, key (of ltbv), cost, group, quantity, value."""
    text = files("ltbv.report").joinpath("published.csv").read_text(encoding="utf-8")
    words = {name: str for name in ("network", "epochs", "selected", "scheme", "key", "cost")}
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
