"""How wrong is a classifier on average, and how much does it change when it is trained again? The statistics of retraining.

Train a classifier R times, each time on another draw of the training set, and look at what each run predicts for the same
N test points. *Error* is how often a run is wrong. *Bias* is what remains wrong when the runs vote; *variance* is how
often a run departs from the vote. Averages are means over classes, so a class counts the same however many test points
it has, and are shown for all classes, for splits (many, medium, few training images), or class by class.

Ten runs are few. The plug-in values of published tables are off by up to .04 then, in a known direction; so estimates
here are corrected, come with intervals for new runs and new test images, and methods are compared in pairs.

Read in this order: `votes`, `zero_one`, `splits`, `intervals`, `compare`; then `hardest_negative`.
Axes: R runs, N test points, C classes, G groups of classes. Arrays in, arrays or small frozen dataclasses out.
"""

from ltbv.stats.compare import Difference, benjamini_hochberg, compare, holm
from ltbv.stats.hardest_negative import HardestNegative, hardest_negative
from ltbv.stats.intervals import Estimate, summarize
from ltbv.stats.splits import by_class, scaled, splits
from ltbv.stats.zero_one import ZeroOne, bias_half_sample, zero_one

__all__ = [
    "Difference", "Estimate", "HardestNegative", "ZeroOne", "benjamini_hochberg", "bias_half_sample", "by_class", "compare",
    "hardest_negative", "holm", "scaled", "splits", "summarize", "zero_one",
]
