"""Re-sampling: show rare classes more often (or common ones less), in cross-entropy training.

    class_balanced   a class is drawn uniformly, then its next image        Kang et al., 2020
    square_root      a class is drawn ~ n_k^(1/2)                           Mahajan et al., 2018
    progressive      from instance-balanced to class-balanced, by epoch     Kang et al., 2020
    reversed         a class is drawn ~ 1/n_k                               BBN's second branch, Zhou et al., 2020
    oversampling     each class repeated to the size of the largest
    undersampling    each class cut to the size of the smallest
    smote            as oversampling, repeats replaced by blends of neighbours   Chawla et al., 2002

An epoch has n images for each of them, so all cost the same; `ltbv.data.samplers` has the formulas. Deferred
re-sampling is `drs`. SMOTE blends images (the original blends feature vectors of tables): nearest neighbours in pixels,
anew in each epoch, augmented like any other image.

For `--protocol paper` class-balanced, square-root and progressive sampling have the settings of Bag of Tricks (Zhang et
al., AAAI 2021), the only table that has them by themselves on CIFAR.
"""

from ltbv.data.samplers import CLASS_BALANCED, ByClass, Oversampling, Progressive, Sampler, Smote, Undersampling
from ltbv.methods.base import Method
from ltbv.methods.baseline import resampled
from ltbv.methods.published import BAG_OF_TRICKS
from ltbv.methods.registry import register

SAMPLERS: dict[str, tuple[str, Sampler, str, str]] = {
    "class_balanced": (
        "Class-balanced",
        CLASS_BALANCED,
        "Kang et al., ICLR 2020, arXiv 1910.09217",
        "classes drawn alike",
    ),
    "square_root": (
        "Square-root",
        ByClass(0.5),
        "Mahajan et al., ECCV 2018, arXiv 1805.00932",
        "classes drawn by the square root of their size",
    ),
    "progressive": (
        "Progressive",
        Progressive(),
        "Kang et al., ICLR 2020, arXiv 1910.09217",
        "from instance-balanced to class-balanced sampling over training",
    ),
    "reversed": (
        "Reversed",
        ByClass(-1.0),
        "Zhou et al., CVPR 2020, arXiv 1912.02413",
        "classes drawn by the inverse of their size",
    ),
    "oversampling": (
        "Over-sampling",
        Oversampling(),
        "",
        "each class repeated to the size of the largest",
    ),
    "undersampling": (
        "Under-sampling",
        Undersampling(),
        "",
        "each class cut to the size of the smallest",
    ),
    "smote": (
        "SMOTE",
        Smote(),
        "Chawla et al., JAIR 2002, arXiv 1106.1813",
        "over-sampling with blends of neighbouring images of a class",
    ),
}

UNPUBLISHED = {
    "reversed": "BBN has it as one of its two branches, and nobody published it alone",
    "oversampling": "it is of no paper on long tails",
    "undersampling": "it is of no paper on long tails",
    "smote": "its authors' are for tables",
}

for _key, (_label, _sampler, _paper, _summary) in SAMPLERS.items():
    register(
        Method(
            _key,
            _label,
            stages=(resampled(_sampler),),
            paper=_paper,
            summary=f"cross-entropy, {_summary}",
            about=__doc__,
            kind="Re-sampling",
            adds_to="ce",
            published=() if _key in UNPUBLISHED else (BAG_OF_TRICKS,),
            unpublished=UNPUBLISHED.get(_key, ""),
        )
    )
