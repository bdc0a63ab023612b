"""What somebody writes who uses ltbv: not run, but read by mypy, as strictly as it can. See `test_user`."""

from pathlib import Path

import numpy as np
from torch import Tensor

import ltbv
from ltbv import Method, Stage, stats
from ltbv.errors import Refusal
from ltbv.losses import cross_entropy
from ltbv.methods import METHODS, find
from ltbv.methods.base import Answer, Batch, Loss, Losses, Moment, Net, Objective, Output, OutputObjective
from ltbv.models.experts import Experts
from ltbv.schedules import Cosine, Number, Step


def trained(folder: Path) -> ltbv.Analysis:
    pool = ltbv.images(folder, test_share=0.2, write_to=folder.with_suffix(".pool"))
    analysis = ltbv.bootstrap(["ce", "ride"], runs=10, dataset=pool, events=lambda event: None)
    shown: list[str] = [*analysis.verdicts, *analysis.cautions]
    figure = analysis.plot("differences", theme="dark")
    figure.savefig("figure.png")
    analysis.against("ride").write(folder / "report")
    few = analysis.splits.query("split == 'few'")
    print(shown, few, analysis.claims, len(analysis.evidence.methods))
    return analysis


def analysed(predictions: dict[str, np.ndarray], labels: np.ndarray) -> ltbv.Analysis:
    try:
        return ltbv.analyse(predictions, labels, [500, 60, 6], class_names=("a", "b", "c"), many=100)
    except Refusal as refusal:
        raise SystemExit(str(refusal)) from refusal


def counted(mine: np.ndarray, ce: np.ndarray, labels: np.ndarray, train_counts: np.ndarray) -> float:
    of = stats.zero_one(mine, labels)
    variance: np.ndarray = of.variance_mid
    groups = {"all": range(100), **stats.splits(train_counts)}
    ours, theirs = stats.Record(mine, labels, runs=[0, 1]), stats.Record(ce, labels)
    for found in stats.summarize(ours, groups, level=0.9):
        print(found.group, found.estimate, found.low)
    best = min(difference.p_holm for difference in stats.compare(ours, theirs, groups))
    return float(best + variance.mean())


def margin(logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    return cross_entropy(logits - counts.log(), labels)


class Smoothed(OutputObjective):
    def __init__(self, share: Number):
        self.share = share

    def of_run(
        self, output: Output, labels: Tensor, counts: Tensor, now: Moment, given: tuple[Output, ...] = ()
    ) -> Tensor:
        return (1 - now.value(self.share)) * margin(output.logits.mean(0), labels, counts).mean()


class Counted(Objective):
    def __call__(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Losses:
        (batch,) = batches
        return Losses(network(batch.images).logits.mean((1, 2, 3)))


@ltbv.register
def mine() -> Method:
    stage = Stage("representation", Loss(margin, beta=Step(0, 0.999, at=0.5)), learning_rate=Cosine(0.1))
    return Method("mine", "Mine", stages=(stage,))


def half(network: Experts, images: Tensor) -> Answer:
    return Answer(network(images).logits / 2)


OTHER = Method(
    "other", "Other", stages=(Stage("representation", Loss(cross_entropy), net=Net(experts=3)),), predict=half
)
ltbv.register(OTHER)
print(mine.key, find("ce").title, [*METHODS], ltbv.__version__)
