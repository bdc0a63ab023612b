"""How wrong is a classifier on average, and how much does it change when it is trained again?

Train a classifier R times, each time on another draw of the training set, and look at what each run predicts for the
same N test points. *Error* is how often a run is wrong. *Bias* is what remains wrong when the runs vote; *variance* is
how often a run departs from the vote. Averages are means over classes, so a class counts the same however many test
points it has, and are shown for all classes, for splits (many, medium, few training images), or class by class.

Ten runs are few. The plug-in values of published tables are off by up to .08 then, in a known direction; so estimates
here are corrected, come with intervals for new runs and new test images, and methods are compared in pairs.

Read in this order: `zero_one`, `splits`, `record`, `intervals`, `nested`, `compare`, `sign_flip`, `fallen`, `doubts`;
then `probability`, `diversity`, `loss_parts`, `hardest_negative`, `confusion` and `sources`; then what other papers ask
for: `priors`, `run_scores`, `ranks`, `wins`, `calibration`, with the intervals of `over_runs` and `values`. Below lie
`votes` (how runs vote), `measured` (what an interval needs to know), `fewer` (what a correction may have left),
`points` (how test points vary), `student` (how far an interval reaches) and `keyed` (what a table knows that an array
does not).
Axes: R runs, N test points, C classes, G groups of classes. Arrays in, arrays or small frozen dataclasses out.
"""

from ltbv.stats.calibration import calibration_error, squared_calibration_error
from ltbv.stats.compare import Difference, benjamini_hochberg, compare, holm
from ltbv.stats.confusion import ConfusionFlow, ConfusionPair, confusion_flow, confusion_pairs
from ltbv.stats.diversity import EXPERT_PARTS, Diversity, diversity
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
from ltbv.stats.loss_parts import LOSS_PARTS, expert_parts, loss_parts
from ltbv.stats.over_runs import OverRuns
from ltbv.stats.priors import accuracy_under, long_tailed_priors, micro_weights
from ltbv.stats.probability import Brier, CrossEntropy, brier, cross_entropy
from ltbv.stats.ranks import true_class_ranks
from ltbv.stats.record import Record
from ltbv.stats.run_scores import RUN_SCORES, run_scores
from ltbv.stats.sign_flip import SignFlip, sign_flip
from ltbv.stats.sources import Sources, source_parts, sources, summarize_sources
from ltbv.stats.splits import by_class, scaled, splits
from ltbv.stats.values import mean_of_values
from ltbv.stats.wins import Wins, wins
from ltbv.stats.zero_one import KohaviWolpert, ZeroOne, bias_half_sample, kohavi_wolpert, zero_one

__all__ = [
    "Brier",
    "ConfusionFlow",
    "ConfusionPair",
    "CrossEntropy",
    "Difference",
    "Diversity",
    "EXPERT_PARTS",
    "Estimate",
    "HardestNegative",
    "KohaviWolpert",
    "LOSS_PARTS",
    "OverRuns",
    "RUN_SCORES",
    "Record",
    "SignFlip",
    "Sources",
    "Wins",
    "ZeroOne",
    "accuracy_under",
    "benjamini_hochberg",
    "bias_half_sample",
    "brier",
    "by_class",
    "calibration_error",
    "cautions",
    "check_scales",
    "compare",
    "confusion_flow",
    "confusion_pairs",
    "cross_entropy",
    "diversity",
    "expert_parts",
    "fallen_runs",
    "far_below",
    "hardest_negative",
    "head_tail_gap",
    "holm",
    "kohavi_wolpert",
    "long_tailed_priors",
    "loss_parts",
    "mean_of_values",
    "micro_weights",
    "no_bias_claim",
    "run_scores",
    "scaled",
    "score_distance",
    "sign_flip",
    "source_parts",
    "sources",
    "splits",
    "squared_calibration_error",
    "stands",
    "summarize",
    "summarize_sources",
    "wins",
    "true_class_ranks",
    "without_fallen",
    "zero_one",
]
