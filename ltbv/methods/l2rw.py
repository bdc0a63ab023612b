"""L2RW, learning to reweight examples: images are weighed in every step, by how far their gradients agree with that of
development images (Ren et al., ICML 2018, arXiv 1803.09050).

    a_i  = <grad l_i, grad L_D>                             L_D: the mean loss of development images, ten of each class
    w_i  = max(a_i, 0) / sum_j max(a_j, 0)                  all 0 where no image agrees
    step on sum_i w_i l_i, no gradient through w            momentum and weight decay move on even where all are 0

The paper's virtual step is from weights of 0, which is from where the network stands: so none has to be made, and its
rate drops out. Development images are supervision that other methods do not have: they are held out of the pool, never
trained on, and `ce_with_dev` is the comparison at equal images. The authors' code is of MNIST and of noisy labels;
long-tailed CIFAR was first run by Shu et al. (2019) and Jamal et al. (2020), whose settings for it are not released:
the protocol is this package's, and the last epoch answers. Batch norm is in training mode in every pass.

A step takes 2.7 times a plain one's work, by its passes; measured 3.4 to 3.9 times CE's time where development images
are as many as a batch, or more (ResNets of 8/16/32, five runs at once, on a CPU).
"""

from dataclasses import dataclass

from torch import Tensor

from ltbv.data.batches import Batch
from ltbv.data.development import PER_CLASS
from ltbv.data.samplers import INSTANCE, Held
from ltbv.losses import ExampleLoss, cross_entropy
from ltbv.methods.base import Losses, Method, Moment, Objective, Stage
from ltbv.methods.by_image import AHEAD, HELD, PLAIN, agreement, image_losses, to_one
from ltbv.methods.objective import right
from ltbv.methods.registry import register
from ltbv.models import virtual
from ltbv.models.experts import Experts


def example_weights(alignment: Tensor) -> Tensor:
    """max(a_i, 0) / sum_j max(a_j, 0), all 0 where no a is above 0: [..., B] -> [..., B].

    alignment   a_i = <grad l_i, grad L_D>, above 0 where the image is useful. Ren et al., 2018, Algorithm 1.
    """
    return to_one(alignment.clamp(min=0))


@dataclass(frozen=True)
class Agreeing(Objective):
    """sum_i w_i l_i of the first batch, weighed by development images, the second; see the module."""

    looks_ahead = True
    loss: ExampleLoss = cross_entropy

    def work(self) -> float:
        return (PLAIN + HELD + AHEAD) / PLAIN

    def __call__(self, network: Experts, batches: tuple[Batch, ...], given: tuple[Experts, ...], now: Moment) -> Losses:
        live = virtual.weights(network)
        _, alignment = agreement(self.loss, network, batches, live, live, now.counts)
        output, labels = network(batches[0].images), batches[0].labels
        losses = image_losses(self.loss, output, labels, now.counts)
        return Losses((example_weights(alignment) * losses).sum(1), right(output.logits, labels))


L2RW = register(
    Method(
        "l2rw",
        "L2RW",
        stages=(Stage("representation", Agreeing(), sampler=(INSTANCE, Held()), held=PER_CLASS),),
        paper="Ren et al., ICML 2018, arXiv 1803.09050",
        summary="images weighed in every step by how far they agree with development images",
        about=__doc__,
        kind="Development",
        adds_to="ce",
        unpublished="its authors' are for MNIST and noisy labels, and who ran it on long tails did not release theirs",
    )
)
