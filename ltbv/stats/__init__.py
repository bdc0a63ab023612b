"""How wrong is a classifier on average, and how much does it change when it is trained again?

Train a classifier R times, each time on another draw of the training set, and look at what each run predicts for the
same N test points. *Error* is how often a run is wrong. *Bias* is what remains wrong when the runs vote; *variance* is
how often a run departs from the vote. Averages are means over classes, so a class counts the same however many test
points it has, and are shown for all classes, for splits (many, medium, few training images), or class by class.

Ten runs are few. The plug-in values of published tables are off by up to .08 then, in a known direction; so estimates
here are corrected, come with intervals for new runs and new test images, and methods are compared in pairs.

Read in this order: `zero_one`, `splits`, `record`, `intervals`, `compare`, `sign_flip`, `fallen`, `doubts`; then
`probability`, `hardest_negative`, `confusion` and `sources`. Underneath lie `votes` (how runs vote), `measured` (what
an interval needs to know), `fewer` (what a correction may have left), `points` (how test points vary), `student` (how
far an interval reaches) and `keyed` (what a table knows that an array does not).
Axes: R runs, N test points, C classes, G groups of classes. Arrays in, arrays or small frozen dataclasses out.
"""

from ltbv.stats.compare import Difference, benjamini_hochberg, compare, holm
from ltbv.stats.confusion import ConfusionFlow, ConfusionPair, confusion_flow, confusion_pairs
from ltbv.stats.doubts import cautions, no_bias_claim
from ltbv.stats.fallen import fallen_runs, far_below, stands, without_fallen
from ltbv.stats.hardest_negative import (
    HardestNegative,
    check_scales,
    hardest_negative,
    head_tail_gap,
    score_distance,
)
from ltbv.stats.intervals import Estimate, summarize
from ltbv.stats.probability import Brier, CrossEntropy, brier, cross_entropy
from ltbv.stats.record import Record
from ltbv.stats.sign_flip import SignFlip, sign_flip
from ltbv.stats.sources import Sources, sources, summarize_sources
from ltbv.stats.splits import by_class, scaled, splits
from ltbv.stats.zero_one import KohaviWolpert, ZeroOne, bias_half_sample, kohavi_wolpert, zero_one

__all__ = [
    "Brier",
    "ConfusionFlow",
    "ConfusionPair",
    "CrossEntropy",
    "Difference",
    "Estimate",
    "HardestNegative",
    "KohaviWolpert",
    "Record",
    "SignFlip",
    "Sources",
    "ZeroOne",
    "benjamini_hochberg",
    "bias_half_sample",
    "brier",
    "by_class",
    "cautions",
    "check_scales",
    "compare",
    "confusion_flow",
    "confusion_pairs",
    "cross_entropy",
    "hardest_negative",
    "fallen_runs",
    "far_below",
    "head_tail_gap",
    "holm",
    "kohavi_wolpert",
    "no_bias_claim",
    "scaled",
    "score_distance",
    "sign_flip",
    "sources",
    "splits",
    "stands",
    "summarize",
    "summarize_sources",
    "without_fallen",
    "zero_one",
]
