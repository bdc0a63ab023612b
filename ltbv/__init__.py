"""ltbv: bias-variance analysis of long-tailed classifiers.

Does a long-tailed method really lower bias and variance, for which classes, and how sure are we? A method is
retrained on many resampled training sets; its predictions on one fixed test set give accuracy, bias, variance and
hardest-negative confusion, per class and per split, with intervals, against cross-entropy.

One legend of axes holds everywhere:

    R runs · B batch · N test points · C classes · D features · E experts · n training images of one run

What there is (`help` of each says more):

    analyse            predictions in memory -> Analysis
    bootstrap          train methods on resamples, in a study's directory -> Analysis
    sklearn            `ltbv.sklearn.bootstrap`: the same of anything that has fit and predict
    Analysis           what these find: splits, claims, verdicts, plot, write
    images             a data set of one's own images
    Method, Stage      a method of one's own, and register, which makes it known
    losses, schedules  what methods are made of
    stats              the statistics alone: arrays in, numbers out

A *run* is one retraining on one resample. Nothing is imported before it is asked for: `ltbv.stats` needs no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

_WHERE = {
    "analyse": "ltbv.report.analysis",
    "Analysis": "ltbv.report.result",
    "bootstrap": "ltbv.studies",
    "images": "ltbv.data.images.sources",
    "sklearn": "ltbv.sklearn",
    "Method": "ltbv.methods.base",
    "Stage": "ltbv.methods.base",
    "register": "ltbv.methods",
    "stats": "ltbv.stats",
    "losses": "ltbv.losses",
    "schedules": "ltbv.schedules",
}

__all__ = [*_WHERE]


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


if TYPE_CHECKING:  # what _WHERE says, for those who read types
    from ltbv import losses as losses
    from ltbv import schedules as schedules
    from ltbv import sklearn as sklearn
    from ltbv import stats as stats
    from ltbv.data.images.sources import images as images
    from ltbv.methods import register as register
    from ltbv.methods.base import Method as Method
    from ltbv.methods.base import Stage as Stage
    from ltbv.report.analysis import analyse as analyse
    from ltbv.report.result import Analysis as Analysis
    from ltbv.studies import bootstrap as bootstrap
else:

    def __getattr__(name: str) -> Any:
        if name not in _WHERE:
            raise AttributeError(f"module 'ltbv' has no attribute {name!r}; it has: {', '.join(__all__)}")
        module = importlib.import_module(_WHERE[name])
        return module if _WHERE[name].endswith(f".{name}") else getattr(module, name)
