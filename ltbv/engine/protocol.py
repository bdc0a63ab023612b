"""What is the same for every method of a study? Epochs, batch, optimiser, schedule, backbone: the common protocol."""

from dataclasses import dataclass, field

from ltbv.models.resnet import Resnet
from ltbv.schedules import Drops, Number, Warmup


@dataclass(frozen=True)
class Protocol:
    """SGD with momentum, weight decay on all that learns, learning rate by epoch.

    stack   how many runs are trained side by side on the CPU, where that is fastest: five small networks, one large
            one. Of speed, not of the result, so no part of a study's settings.
    """

    epochs: int
    batch: int
    learning_rate: Number
    backbone: Resnet
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    stack: int = field(default=1, compare=False)


# The schedule of LDAM-DRW and RIDE: drops to 1 % and 0.01 % of the learning rate after 80 and 90 % of the epochs.
SCHEDULE = Drops(0.1, at=(0.8, 0.9), factors=(0.01, 0.0001))

# RIDE's CIFAR settings: 200 epochs, five of them warm-up.
CIFAR = Protocol(
    epochs=200,
    batch=128,
    learning_rate=Warmup(SCHEDULE, warmup=5),
    backbone=Resnet(widths=(16, 32, 64), blocks=5),
)

# The same shape in a tenth of the time, for a small network on small images.
GLYPHS = Protocol(
    epochs=20,
    batch=64,
    learning_rate=Warmup(SCHEDULE, warmup=2),
    backbone=Resnet(widths=(8, 16, 32), blocks=1),
    stack=5,
)

PROTOCOLS = {"glyphs-lt": GLYPHS, "cifar10-lt": CIFAR, "cifar100-lt": CIFAR}
