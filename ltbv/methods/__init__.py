"""Which methods are there? One paper, one file; a new method is one file and one import line here.

The order of the imports is that of tables and figures.
"""

from ltbv.methods import baseline  # noqa: F401  isort: skip  (importing registers methods)
from ltbv.methods import capacity  # noqa: F401  isort: skip
from ltbv.methods import focal  # noqa: F401  isort: skip
from ltbv.methods import class_balanced  # noqa: F401  isort: skip
from ltbv.methods import logit_adjustment  # noqa: F401  isort: skip
from ltbv.methods import vs_loss  # noqa: F401  isort: skip
from ltbv.methods import cdt  # noqa: F401  isort: skip
from ltbv.methods import lade  # noqa: F401  isort: skip
from ltbv.methods import influence_balanced  # noqa: F401  isort: skip
from ltbv.methods import gcl  # noqa: F401  isort: skip
from ltbv.methods import range_loss  # noqa: F401  isort: skip
from ltbv.methods import resampling  # noqa: F401  isort: skip
from ltbv.methods import m2m  # noqa: F401  isort: skip
from ltbv.methods import finetuning  # noqa: F401  isort: skip
from ltbv.methods import decoupling  # noqa: F401  isort: skip
from ltbv.methods import oltr  # noqa: F401  isort: skip
from ltbv.methods import los  # noqa: F401  isort: skip
from ltbv.methods import disalign  # noqa: F401  isort: skip
from ltbv.methods import ldam  # noqa: F401  isort: skip
from ltbv.methods import mixup  # noqa: F401  isort: skip
from ltbv.methods import remix  # noqa: F401  isort: skip
from ltbv.methods import cutmix  # noqa: F401  isort: skip
from ltbv.methods import cmo  # noqa: F401  isort: skip
from ltbv.methods import mislas  # noqa: F401  isort: skip
from ltbv.methods import sam  # noqa: F401  isort: skip
from ltbv.methods import imb_sam  # noqa: F401  isort: skip
from ltbv.methods import weight_balancing  # noqa: F401  isort: skip
from ltbv.methods import bbn  # noqa: F401  isort: skip
from ltbv.methods import lfme  # noqa: F401  isort: skip
from ltbv.methods import ride  # noqa: F401  isort: skip
from ltbv.methods import ride_on  # noqa: F401  isort: skip
from ltbv.methods import sade  # noqa: F401  isort: skip
from ltbv.methods import l2rw  # noqa: F401  isort: skip
from ltbv.methods import meta_weight_net  # noqa: F401  isort: skip
from ltbv.methods import jamal  # noqa: F401  isort: skip
from ltbv.methods import with_dev  # noqa: F401  isort: skip
from ltbv.methods.registry import METHODS, find, register

__all__ = ["METHODS", "find", "register"]
