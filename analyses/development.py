"""What do development images and virtual steps do to bias and variance? Nine methods and their fair controls.

Question  Jamal et al., Meta-Weight-Net and L2RW weigh images by what they do to development images; BBN, OLTR, M2m and
          LFME re-balance otherwise. What of their claims on tail and head holds on glyphs-lt, beside CE, class-balanced
          CE, LDAM-DRW and RIDE, and beside CE and CE-DRW that train on the development images themselves? How large is
          Jamal et al.'s eps beside the class weight? Do the runs of Meta-Weight-Net agree on what it learns?
Command   python analyses/development.py
Cost      15 methods on 16 different stages x 10 runs; 48 minutes of one process on a machine that had seven others
Answer    reports/development (in git as Markdown and CSV, and the predicted labels; the command makes page, LaTeX and
          figures beside them). As a referee would read it (differences from CE in accuracy points or shares, 95 %
          intervals; "claimed" after Holm's correction, ten runs each):

          Development images are worth more to train on than to weigh with. Ten a class are 1,000 images beside 2,486,
          and 18 classes have 2 or 3 of their own. CE that trains on them too has 60.6 % in few instead of 8.3, CE-DRW
          67.7, bias and variance of medium and few fall with both; no method that only weighs or asks by
          them comes near (Jamal et al. on CE 10.1, Meta-Weight-Net 8.4, LFME 46.0). Published comparisons give the
          baselines none. The rarer the classes, the more this weighs.
          Jamal et al. "from a domain adaptation perspective": class weights of the last fifth, and next to nothing
          else. At an imbalance of 100 the size of eps is 9e-6 on average (largest 7e-4) where w is 0.04 to 3.7: 3e-5
          of w over classes, 1.5e-4 in the class where it is most; at 10 it is 4e-6 of w. It is above 0 in 97 and in 85
          of 100 classes, and largest in few, as the talk draws it, but nothing that a step would notice
          (eps_by_class.csv: two runs, the last fifth of the training, the released tau). What the weights do: few +1.8
          and medium +0.8 points, many -1.8, all claimed; variance of many +.023 and few +.035, claimed too. Against CE
          a few-shot image is confused a little less with many-shot classes (their hardest negatives have .323 of its
          softmax mass instead of .354). On focal the same; on LDAM many and medium are below CE and few above (+4.0),
          none claimed, and few is below LDAM-DRW's 19.2 %.
          Meta-Weight-Net is CE here: no claim of nine. V is what it was drawn as: from a loss of 0.01 to one of 4 it
          rises in seven runs and falls in three, by +.33 to -.20 (weight_by_loss.csv). Its accuracy varies over runs as
          CE's does (standard deviation 2.1 points over all against 2.2, few 3.7 against 2.5): weights of a batch are
          divided by their sum.
          L2RW fails in 780 steps: 27.8 % over all, few 0.1, training accuracy 45 to 61 %. It learns slowly: with four
          times the epochs (two runs, not in the report) it has 67.1 % where CE has 74.9, few 25.8 against 36.5. The
          published gain over CE is at 200 epochs.
          BBN: few +14.1, claimed, for -5.6 in many; variance up in many (+.055, claimed). One run of ten fell behind
          (55 % where the others have 59 to 63), and its training had not settled at the common 20 epochs.
          OLTR and LFME (which asks development images only how far to follow an expert) are the best that do not train
          on more than the sample: few 50.5 and 46.0 %, medium 71.4 and 75.0, bias of few -.62 and -.55, at -5.3 and
          -4.7 points in many, where their variance rises. OLTR's second stage samples class-balanced, and that alone,
          class-balanced fine-tuning on the same samples in reports/all-methods, has 73.1 % over all, OLTR 72.7.
          M2m: few +7.6 and medium +4.8, bias of medium -.090, claimed; many -1.7, not. Training goes through 4.7 times
          CE's multiply-adds, and over-sampling, on the same samples, has 70.8 % over all where M2m has 62.4. In one
          run that was looked at, its classifier accepted 3 of 704 translated images.
          RIDE and LDAM-DRW, for scale: few +10.6 and +10.8. Of all 14, CE with dev and RIDE alone are shown to have a
          better tail and to keep the head within a point.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from ltbv.cli import main
from ltbv.data.batches import Batch
from ltbv.files import read_arrays
from ltbv.methods import find
from ltbv.methods.base import Moment
from ltbv.methods.jamal import Conditional, class_weights
from ltbv.models.experts import Experts
from ltbv.store import Store

METHODS = (
    *("ce", "cb_ce", "ldam_drw", "ride", "ce_with_dev", "ce_drw_with_dev"),
    *("l2rw", "meta_weight_net", "jamal_ce", "jamal_focal", "jamal_ldam", "bbn", "oltr", "lfme", "m2m"),
)
STUDY, REPORT = Path("runs/development"), Path("reports/development")
NOTES: list[dict[str, np.ndarray]] = []


# eps beside w


@dataclass(frozen=True)
class Noting(Conditional):
    """The same objective, which notes the weights that it gives: training is that of `jamal_ce` to the last bit."""

    def weights(self, network: Experts, batches: tuple[Batch, ...], now: Moment) -> Tensor:
        found = super().weights(network, batches, now)
        labels = batches[0].labels
        by_class = class_weights(now.counts, self.beta).gather(1, labels)
        noted = {
            "label": labels,
            "w": by_class,
            "eps": found.double() - by_class,
            "rate": np.full(labels.shape, now.rate),
        }
        NOTES.append({name: np.asarray(values).ravel() for name, values in noted.items()})
        return found


_stage = find("jamal_ce").stages[0]
NOTED = replace(
    find("jamal_ce"), key="jamal_noted", label="Jamal et al., noted", stages=(replace(_stage, objective=Noting()),)
)


def eps_by_class(imbalance: int) -> pd.DataFrame:
    """Mean, mean size and largest size of eps over the last fifth of the training of two runs, beside w."""
    from analyses import development  # where NOTED is looked up by its name

    development.NOTES.clear()
    study = f"runs/development-eps-{imbalance}"
    asked = ["--method", "analyses.development:NOTED", "--imbalance", str(imbalance), "--executor", "inline"]
    main(["bootstrap", *asked, "--runs", "2", "--stack", "2", "--study", study, "-q"], standalone_mode=False)
    if not development.NOTES:
        raise SystemExit(f"{study} is trained already; remove it: the weights are noted while it trains")
    noted = pd.concat(map(pd.DataFrame, development.NOTES))
    rows = noted.assign(size=noted.eps.abs()).groupby("label")
    found = pd.DataFrame(
        {"w": rows.w.mean(), "eps": rows.eps.mean(), "eps_size": rows["size"].mean(), "eps_largest": rows["size"].max()}
    )
    found.insert(0, "train_images", Store(study).study()["data"]["counts"])
    found.insert(0, "imbalance", imbalance)
    return found.reset_index(names="class")


# What Meta-Weight-Net learned


def weights_by_loss(losses: tuple[float, ...] = (0.01, 0.1, 0.5, 1.0, 2.0, 4.0)) -> pd.DataFrame:
    """V of each run at some losses, as it stands at the end: does it rise with the loss?"""
    (stage,) = Store(STUDY).recipe("meta_weight_net")["stages"]
    rows = []
    for run in Store(STUDY).runs("meta_weight_net"):
        state = read_arrays(Store(STUDY).stage_file(stage["key"], run))
        inner, shift, outer = (
            state[f"weigher.{name}"].ravel() for name in ("inner_weight", "inner_bias", "outer_weight")
        )
        hidden = np.maximum(np.multiply.outer(losses, inner) + shift, 0)
        weights = 1 / (1 + np.exp(-(hidden @ outer + state["weigher.outer_bias"].ravel())))
        rows.append({"run": run} | {f"V({loss:g})": weight for loss, weight in zip(losses, weights, strict=True)})
    return pd.DataFrame(rows)


def by_run() -> pd.DataFrame:
    """Accuracy of each run of each method in each split, and their spread."""
    store = Store(STUDY)
    labels, splits = store.test_labels(), store.study()["data"]["splits"]
    rows = []
    for method in store.methods():
        right = store.predictions(method, "label") == labels
        for split, classes in {"all": range(labels.max() + 1), **splits}.items():
            share = right[:, np.isin(labels, list(classes))].mean(1)
            rows.append(
                {"method": method, "split": split, "mean": share.mean(), "sd": share.std(ddof=1)}
                | {f"run {run}": value for run, value in zip(store.runs(method), share, strict=True)}
            )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    asked = [word for method in METHODS for word in ("--method", method)]
    main(["bootstrap", *asked, "--runs", "10", "--study", str(STUDY)], standalone_mode=False)
    main(["report", str(STUDY), "--output", str(REPORT)], standalone_mode=False)
    pd.concat(map(eps_by_class, (100, 10))).to_csv(REPORT / "eps_by_class.csv", index=False, float_format="%.3g")
    weights_by_loss().to_csv(REPORT / "weight_by_loss.csv", index=False, float_format="%.4f")
    by_run().to_csv(REPORT / "accuracy_by_run.csv", index=False, float_format="%.4f")
