"""How much of the variance does a shared pool hide?

Question  The published protocol draws every run's training set from one pool. Its largest class has 300 of 500 images
          in each run, so two runs have 60 % of them in common, and the variance measured is less than that of
          retraining on new data. How much less, on real networks?
Command   ltbv bootstrap --method ce --runs 60 --head 300 --imbalance 100 --study runs/overlap-subsample
          ltbv bootstrap --method ce --runs 60 --head 300 --imbalance 100 --scheme fresh --study runs/overlap-fresh
          python analyses/overlap.py runs/overlap-fresh runs/overlap-subsample reports/overlap
Cost      about 22 minutes on two cores that had other work too
Answer    reports/overlap/README.md

          Nothing that 60 runs of each could measure. In the nine classes of which two runs share half the images,
          the variance is .022 from new data and .020 from the pool: .002 less, with an interval from -.002 to .006.
          In all splits the difference is within .0012, its interval within .011. So here the published protocol is
          no worse for its overlap; but these classes hardly vary at all, and where they do (harder images, more
          classes) a tenth of it may well be hidden, so `ltbv` prints the overlap under every table.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from truth import markdown

from ltbv import stats
from ltbv.data.resample import overlap
from ltbv.files import write_bytes
from ltbv.store import Store

METHOD = "ce"
EDGES = (0.0, 0.1, 0.2, 0.4, 1.0)  # of the share of a class's images that two runs have in common


def main(fresh: str, subsample: str, output: str) -> None:
    """Write the table and the page around it."""
    table = hidden(Store(fresh), Store(subsample))
    write_bytes(Path(output) / "overlap.csv", table.to_csv(index=False, float_format="%.5g").encode())
    sections = ["# What sharing a pool hides of the variance", __doc__.split("\n", 1)[1].strip(), markdown(table)]
    write_bytes(Path(output) / "README.md", ("\n\n".join(sections) + "\n").encode())


def hidden(fresh: Store, subsample: Store) -> pd.DataFrame:
    """Bias and variance under both schemes, from all runs, for splits and for classes of like overlap.

    The intervals of `fresh - subsample` are for new runs and new test images. Runs of the two studies share their
    initialisation and nothing else; test images are the same, and what they share cancels.
    """
    counts = np.asarray(subsample.study()["data"]["counts"])
    shared = overlap(list(subsample.samples()), counts.size)
    groups = {"all": np.arange(counts.size)}
    groups |= {name: np.array(ids) for name, ids in subsample.study()["data"]["splits"].items()}
    for low, high in zip(EDGES, EDGES[1:], strict=False):
        groups[f"shared {100 * low:.0f}-{100 * high:.0f} %"] = np.flatnonzero((shared >= low) & (shared < high))
    # No scheme is named: records of two schemes are refused, and their difference is the question here.
    ours, theirs = (stats.Record(of.predictions(METHOD), of.test_labels()) for of in (fresh, subsample))
    values = [{(e.group, e.quantity): e.estimate for e in stats.summarize(of, groups)} for of in (ours, theirs)]
    rows = []
    for d in stats.compare(ours, theirs, groups):
        if d.quantity in ("bias", "variance", "kw_variance") and groups[d.group].size:
            rows.append(
                {
                    "group": d.group,
                    "classes": str(groups[d.group].size),
                    "shared": shared[groups[d.group]].mean(),
                    "quantity": d.quantity,
                    "fresh": values[0][d.group, d.quantity],
                    "subsample": values[1][d.group, d.quantity],
                    "fresh - subsample": d.estimate,
                    "low": d.low,
                    "high": d.high,
                }
            )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main(*sys.argv[1:4])
