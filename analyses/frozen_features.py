"""What does a probe on frozen features say of a method, and what of the variance does it miss?

Question  A head is retrained in minutes and a network in hours, so one would like to read the variance of a method off
          heads on frozen features. How much of it is there, with the features of 1, 2 and 4 backbones, and does the
          difference of two methods look as it does when everything is retrained?
Command   python analyses/frozen_features.py
Cost      CE and balanced softmax, 16 runs of 20 epochs on glyphs-lt: 3 processor minutes; features of four of the CE
          networks (runs 0 to 3): 1; heads, 40 runs of each method on 1, 2 and 4 of them: 4
Answer    reports/frozen-features/comparison.md, and the report of the heads on four backbones beside it

          On one backbone .107 of CE's variance of .189 is there (57 %), and .141 of balanced softmax's .192: what is
          missing counts as bias, .301 for .223, .776 for .618 in few. Two and four backbones bring it back, .179 and
          .176, and the bias, .215 and .214. The difference of the two methods is another one on one backbone: variance
          +.034 +- .003, in few +.087 +- .009, where everything trained says +.003 +- .004 and +.014 +- .015; pairs of
          heads on four backbones say +.006 +- .009 and +.029 +- .035. So of the head's variance nothing follows for a
          network, and of the variance over backbones, here, much does: but not all. Heads of balanced softmax stand on
          CE's networks, and its error in few is .738 on these and .622 where the network is trained with it.
          With two backbones the error is known to +- .18, with four to +- .023: two are too few for an interval.

Networks and heads are trained on samples of one shape (2,486 images, 100 to 2 a class) from one pool, so the backbones
saw a fifth of a large class's images, which heads are trained on too. Variance is Kohavi and Wolpert's, half the chance
that two trainings differ, and bias what it leaves of the error: both unbiased for any number of backbones from two on,
and with one the head's alone, given that backbone.
"""

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ltbv import bootstrap, stats
from ltbv.cli import main
from ltbv.data.catalogue import entry
from ltbv.engine.cost import build
from ltbv.files import read_arrays, write_bytes
from ltbv.harness.extract import Asked, write_features
from ltbv.harness.study import resolve
from ltbv.methods import METHODS
from ltbv.models.frozen import Frozen, digest
from ltbv.models.stack import load_run_state
from ltbv.report.study import read_study

METHODS_ASKED = ("ce", "balanced_softmax")
WHOLE, HEADS, BACKBONES = 16, 40, (1, 2, 4)
RUNS, REPORT = Path("runs"), Path("reports/frozen-features")
FULL = RUNS / "frozen-features"
GROUPS = ("all", "many", "medium", "few")


class Body(nn.Module):
    """A trained network of a study, without its head; grey images come three times over."""

    def __init__(self, run: int):
        super().__init__()
        study, (stage,) = resolve("glyphs-lt"), METHODS["ce"].stages
        self.network = build(stage, study.protocol, 1, study.entry.image_shape, study.entry.num_classes)
        key = study.load()[0].stage_key(METHODS["ce"], stage)
        load_run_state(self.network, 0, 1, read_arrays(FULL / "stages" / key / f"r{run:03d}.npz"))

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images[:, :1]).features[0, 0]


def features_of(run: int) -> Path:
    """The file of features of a CE network, made where it is not there."""
    path = RUNS / f"frozen-features-{run}.npz"
    if not path.exists():
        body = Body(run).eval().requires_grad_(False)
        of = Frozen(f"CE's residual network of run {run}", body, None, None, digest(body.state_dict()))
        asked = Asked(trained_on=f"sample {run} of the pool that heads are trained on")
        write_features(entry("glyphs-lt").load(), of, path, asked, device=torch.device("cpu"))
    return path


def parts(path: Path) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, np.ndarray]]:
    """Error, bias, variance of each method, and of the difference, arrays of (estimate, low, high) x GROUPS; of several
    backbones the head's part of the variance too."""
    evidence = read_study(path)
    groups, labels = {name: evidence.groups[name] for name in GROUPS}, evidence.labels
    one, other = evidence.methods
    if one.backbones is not None:
        stacks = [np.stack([of.predictions[of.backbones == b] for b in np.unique(of.backbones)]) for of in (one, other)]
        found = [stats.source_parts(of, labels, groups) for of in stacks]
        found.append(stats.source_parts(stacks[1], labels, groups, stacks[0]))
        names = {"error": "error", "bias": "bias", "variance": "total_variance", "of the head": "algorithm_variance"}
        said = [{name: _rows(of[key]) for name, key in names.items()} for of in found]
    else:
        records = [stats.Record(of.predictions, labels, shared=evidence.setting.shared) for of in (one, other)]
        names = {"error": "error", "bias": "kw_bias", "variance": "kw_variance"}
        tables = [stats.summarize(record, groups) for record in records]
        tables.append(stats.compare(records[1], records[0], groups))
        by = [{(row.group, row.quantity): row for row in table} for table in tables]
        said = [
            {
                name: np.array([[getattr(of[g, key], end) for g in GROUPS] for end in ("estimate", "low", "high")])
                for name, key in names.items()
            }
            for of in by
        ]
    return dict(zip((one.label, other.label), said[:2], strict=True)), said[2]


def _rows(of: object) -> np.ndarray:
    return np.stack([getattr(of, end) for end in ("estimate", "low", "high")])


def table(studies: dict[str, Path]) -> str:
    """Markdown: a line for each way of training, method and quantity."""
    out = io.StringIO()
    print("| trained | | | " + " | ".join(GROUPS) + " |\n|---|---|---|" + "---:|" * len(GROUPS), file=out)
    for name, path in studies.items():
        methods, difference = parts(path)
        for label, of in [*methods.items(), (" - ".join(reversed(methods)), difference)]:
            for quantity, rows in of.items():
                cells = [
                    f"{mean:+.3f} ± {(high - low) / 2:.3f}" if np.isfinite(low) else f"{mean:+.3f}"
                    for mean, low, high in rows.T
                ]
                print(f"| {name} | {label} | {quantity} | " + " | ".join(cells) + " |", file=out)
    return out.getvalue()


if __name__ == "__main__":
    torch.set_num_threads(1)
    asked = [word for method in METHODS_ASKED for word in ("--method", method)]
    main(["bootstrap", *asked, "--runs", str(WHOLE), "--stack", "4", "--study", str(FULL)], standalone_mode=False)
    studies = {"everything": FULL}
    shape = {"head": 100, "imbalance": 50.0, "scheme": "subsample"}
    for number in BACKBONES:
        where = RUNS / f"frozen-features-on-{number}"
        files = [features_of(run) for run in range(number)]
        bootstrap(METHODS_ASKED, HEADS, where, features=files, quiet=True, jobs=1, **shape)
        studies[f"heads on {number} backbone{'s' * (number > 1)}"] = where
    text = table(studies)
    print(text)
    write_bytes(REPORT / "comparison.md", text.encode())
    main(["report", str(studies["heads on 4 backbones"]), "--output", str(REPORT), "-q"], standalone_mode=False)
