"""Focal loss: less weight on examples that are right already (Lin et al., ICCV 2017, arXiv 1708.02002).

    (1 - p_y)^gamma * -log p_y,   p = softmax(z), gamma = 1

The paper's is for sigmoids; long-tailed recognition uses the softmax form, with gamma = 1 on CIFAR (LDAM's scripts).
Where classes are weighted too, some published code computes p from the weighted loss; here the weight only multiplies.
"""

from ltbv.losses import focal
from ltbv.methods.base import Loss, Method, Stage
from ltbv.methods.published import CAO
from ltbv.methods.registry import register

FOCAL = register(
    Method(
        "focal",
        "Focal",
        stages=(Stage("representation", Loss(focal)),),
        paper="Lin et al., ICCV 2017, arXiv 1708.02002",
        summary="less weight on examples that are right already (gamma 1)",
        about=__doc__,
        kind="Loss",
        published=(CAO,),
    )
)
