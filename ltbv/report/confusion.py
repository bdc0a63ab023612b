"""Where do confusions flow? Tidy tables of the hardest negatives between splits, and of the pairs that lose most."""

import pandas as pd

from ltbv.report.evidence import SPLITS, Evidence, MethodRuns
from ltbv.stats.confusion import confusion_flow, confusion_pairs
from ltbv.stats.hardest_negative import HardestNegative

FLOW = ("method", "true", "negative", "mass", "expected", "ratio")
PAIRS = ("method", "true", "negative", "true_name", "negative_name", "negative_split", "mass", "low", "high")
TOP = 20


def flows(evidence: Evidence) -> pd.DataFrame:
    """FLOW: from the split of the true class to that of its hardest negative; see `stats.confusion.ConfusionFlow`."""
    rows = []
    for method in _known(evidence):
        of = confusion_flow(_hardest(method), evidence.labels, {name: evidence.splits[name] for name in SPLITS})
        rows += [
            (method.key, true, negative, of.mass[i, j], of.expected[i, j], of.ratio[i, j])
            for i, true in enumerate(of.splits)
            for j, negative in enumerate(of.splits)
        ]
    return pd.DataFrame(rows, columns=list(FLOW))


def pairs(evidence: Evidence, level: float) -> pd.DataFrame:
    """PAIRS: the TOP pairs (class of few -> its hardest negative) of each method, with intervals over runs."""
    rows = []
    for method in _known(evidence):
        for one in confusion_pairs(_hardest(method), evidence.labels, evidence.splits["few"], top=TOP, level=level):
            names = (evidence.class_names[one.true], evidence.class_names[one.negative])
            split = evidence.split_of[one.negative]
            rows.append((method.key, one.true, one.negative, *names, split, one.mass, one.low, one.high))
    return pd.DataFrame(rows, columns=list(PAIRS))


def _known(evidence: Evidence) -> list[MethodRuns]:
    return [method for method in evidence.methods if method.negatives is not None and method.p_negative is not None]


def _hardest(method: MethodRuns) -> HardestNegative:
    return HardestNegative(method.p_negative, method.negatives, method.p_true)
