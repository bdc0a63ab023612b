"""Class-balanced loss: weight a class by the inverse of its effective number of images (Cui et al., CVPR 2019, arXiv
1901.05555).

    w_k ~ (1 - beta) / (1 - beta^n_k), summing to C; beta = 0.9999

The weights hold from the first epoch on (DRW, in `ldam`, starts them late). The authors divide the weighted losses by
the batch size, and so do these methods; PyTorch's weighted mean divides by the sum of the weights
(`Loss(by="weights")`, which LDAM and RIDE use). Their focal loss is the sigmoid one, a question for each class;
`cb_focal` is that, with gamma = 1 and a bias that starts as any other (theirs starts at -log(C - 1), and is free of
weight decay). beta is chosen for each data set in the paper, on the test set as far as its code tells; here it is
0.9999 throughout.
"""

from ltbv.losses import cross_entropy, sigmoid_focal
from ltbv.methods.base import Loss, Method, Stage
from ltbv.methods.published import CIFAR, USUAL, Published
from ltbv.methods.registry import register

PAPER = "Cui et al., CVPR 2019, arXiv 1901.05555"
BETA = 0.9999
CUI = Published("the scripts of Cui et al. (2019)", CIFAR, USUAL)

CB_CE = register(
    Method(
        "cb_ce",
        "CB-CE",
        stages=(Stage("representation", Loss(cross_entropy, beta=BETA, by="batch")),),
        paper=PAPER,
        summary="cross-entropy, classes weighted by their effective number throughout",
        about=__doc__,
        kind="Loss",
        published=(CUI,),
    )
)

CB_FOCAL = register(
    Method(
        "cb_focal",
        "CB-Focal",
        stages=(Stage("representation", Loss(sigmoid_focal, beta=BETA, by="batch")),),
        paper=PAPER,
        summary="sigmoid focal loss, classes weighted by their effective number throughout",
        about=__doc__,
        kind="Loss",
        published=(CUI,),
    )
)
