"""What is the same for every method of a study? Epochs, batch, optimiser, schedule, backbone: the common protocol."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from ltbv.data.boxes import Boxes
from ltbv.data.dataset import Augmentation, are_vectors
from ltbv.data.policies import AUGMENTATIONS, PLAIN
from ltbv.errors import Refusal, unknown
from ltbv.later import later
from ltbv.models.foreign import Foreign
from ltbv.models.given import Given
from ltbv.models.resnet import SMALL, Resnet
from ltbv.models.vision import TorchvisionBackbone, backbone
from ltbv.optimisers import LBFGS, OPTIMISERS, SGD, AdamW, Optimiser
from ltbv.schedules import Cosine, Drops, Number, Warmup, highest, times
from ltbv.settings import Settings


@dataclass(frozen=True)
class Protocol:
    """Learning rate by epoch and weight decay on all that learns, unless a stage has its own.

    scale   of learning rates that a stage has of its own, where a user chose another highest rate than the protocol's
    micro_batch   images that a network is asked of at once, and batch norm sees; None: the batch
    body_rate   of stem and branches, as a share of the rate of all that stands on them
    stack   how many runs are trained side by side on the CPU, where that is fastest: five small networks, one large
            one. Of speed, not of the result, so no part of a study's settings.
    tunes   its rates are for weights that are trained already
    """

    epochs: int
    batch: int
    learning_rate: Number
    backbone: Resnet | Foreign | Given
    augmentation: Augmentation = Augmentation()
    weight_decay: float = 5e-4
    optimiser: Optimiser = SGD()
    scale: float = 1.0
    micro_batch: int | None = later(None)
    body_rate: float = later(1.0)
    stack: int = field(default=1, compare=False)
    tunes: bool = field(default=False, compare=False)


def needed(protocol: Protocol, settings: Settings) -> Settings:
    """The settings without what the protocol says anyway: one study, however it is asked for."""
    own: dict[str, Any] = {"batch": protocol.batch, "weight_decay": protocol.weight_decay}
    own["learning_rate"] = highest(protocol.learning_rate, settings.epochs or protocol.epochs)
    own["optimiser"] = next(name for name, rule in OPTIMISERS.items() if type(protocol.optimiser) is rule)
    own["augmentation"] = protocol.augmentation.strong or PLAIN
    same: dict[str, Any] = {name: None for name, value in own.items() if getattr(settings, name) == value}
    if settings.network.startswith(SMALL) and backbone(settings.network) == protocol.backbone:
        same["network"] = ""
    return replace(settings, **same)


def changed(protocol: Protocol, settings: Settings) -> Protocol:
    """The protocol, but for what the settings say otherwise."""
    for name, least in (("epochs", 1), ("batch", 2), ("micro_batch", 2), ("weight_decay", 0)):
        if (number := getattr(settings, name)) is not None and number < least:
            raise Refusal(f"{name} {number}: at least {least}")
    found = {
        name: value
        for name in ("epochs", "batch", "micro_batch", "weight_decay")
        if (value := getattr(settings, name)) is not None
    }
    if settings.optimiser is not None:
        if settings.optimiser not in OPTIMISERS:
            raise unknown("optimiser", settings.optimiser, OPTIMISERS)
        found["optimiser"] = OPTIMISERS[settings.optimiser]()
    if isinstance(found.get("optimiser"), LBFGS):
        if not isinstance(protocol.backbone, Given):
            raise Refusal("optimiser lbfgs: it is for a head, on --features; leave it out, or give sgd or adamw")
        for name in ("epochs", "batch", "learning_rate"):
            if (number := getattr(settings, name)) not in (None, protocol.epochs if name == "epochs" else None):
                raise Refusal(f"{name} {number}: lbfgs goes to the optimum and has none; leave it out")
        if found.get("weight_decay") == 0:
            raise Refusal("weight_decay 0: without any, features that classes can be told by have no optimum; above 0")
        return replace(protocol, **found)
    own = highest(protocol.learning_rate, settings.epochs or protocol.epochs)
    if (rate := settings.learning_rate) is not None:
        if not rate > 0:
            raise Refusal(f"learning_rate {rate}: above 0; the protocol's highest is {own:g}")
        found |= {"learning_rate": times(protocol.learning_rate, rate / own), "scale": rate / own}
    elif type(found.get("optimiser", protocol.optimiser)) is not type(protocol.optimiser):
        raise Refusal(
            f"optimiser {settings.optimiser}: the protocol's learning rate, {own:g}, is that of another optimiser; give"
            " --learning-rate too, for example 0.001"
        )
    if (strong := settings.augmentation) is not None:
        if strong not in AUGMENTATIONS:
            raise unknown("augmentation", strong, AUGMENTATIONS)
        if isinstance(protocol.backbone, Given) and strong != PLAIN:
            raise Refusal(f"augmentation {strong}: features have no pixels to vary; leave out --augmentation")
        found["augmentation"] = replace(protocol.augmentation, strong="" if strong == PLAIN else strong)
    if settings.network:
        if isinstance(protocol.backbone, Given):
            raise Refusal(f"network {settings.network}: features have a backbone already; leave out --network")
        found["backbone"] = chosen = backbone(settings.network)
        if isinstance(chosen, Foreign):
            found["stack"] = 1
            if isinstance(protocol.backbone, Foreign):
                found["backbone"] = replace(chosen, expert_width=protocol.backbone.expert_width)
    return replace(protocol, **found)


# The schedule of LDAM-DRW and RIDE: drops to 1 % and 0.01 % of the learning rate after 80 and 90 % of the epochs.
SCHEDULE = Drops(0.1, at=(0.8, 0.9), factors=(0.01, 0.0001))

# RIDE's CIFAR settings: 200 epochs, five of them warm-up.
CIFAR = Protocol(
    epochs=200,
    batch=128,
    learning_rate=Warmup(SCHEDULE, warmup=5),
    backbone=Resnet(widths=(16, 32, 64), blocks=5),
    augmentation=Augmentation(pad=4, flip=True),
)

# The same shape in a tenth of the time, for a small network on small images.
GLYPHS = Protocol(
    epochs=20,
    batch=64,
    learning_rate=Warmup(SCHEDULE, warmup=2),
    backbone=Resnet(widths=(8, 16, 32), blocks=1),
    augmentation=Augmentation(pad=2, flip=True),
    stack=5,
)

PROTOCOLS = {24: GLYPHS, 64: CIFAR}  # by the longest side of images that they are for


# A head on features, a convex problem for most losses: small steps at the end, for the last epoch is what counts. A
# cosine and no drops, so that what is deferred to the last fifth still moves it.
HEAD = Protocol(epochs=50, batch=256, learning_rate=Cosine(0.1), backbone=Given(1), stack=25)


# Of images that are seen in parts, as torchvision and all these papers have it.
PARTS = Augmentation(flip=True, boxes=Boxes())
COLOURED = Augmentation(flip=True, boxes=Boxes(jitter=(0.4, 0.4, 0.4)))
IN_TENTHS = Drops(0.1, at=(0.6, 0.8), factors=(0.1, 0.01))


@cache
def _imagenet_lt() -> Protocol:
    """RIDE's settings of ImageNet-LT."""
    return Protocol(
        epochs=100,
        batch=256,
        learning_rate=Warmup(IN_TENTHS, warmup=5),
        backbone=backbone("torchvision:resnet50@layer3"),
        augmentation=COLOURED,
        weight_decay=2e-4,
    )


@cache
def _own_large() -> Protocol:
    """The same for images of one's own, with a network of a third of the cost."""
    return replace(_imagenet_lt(), backbone=backbone("torchvision:resnet18@layer3"))


@cache
def _inaturalist() -> Protocol:
    """RIDE's settings of iNaturalist 2018: twice the batch and rate, colours as they are."""
    rate = Warmup(times(IN_TENTHS, 2.0), warmup=5)
    return replace(_imagenet_lt(), batch=512, learning_rate=rate, augmentation=PARTS)


@cache
def _places_lt() -> Protocol:
    """SADE's settings of Places-LT (Zhang et al., 2022): weights of ImageNet are tuned, the heads ten times as fast.

    Experts have the last block for themselves, as wide as it is: its weights are there already.
    """
    return Protocol(
        epochs=30,
        batch=128,
        learning_rate=Drops(0.01, at=(1 / 3, 2 / 3), factors=(0.1, 0.01)),
        backbone=TorchvisionBackbone("resnet152", "layer4", expert_width=1.0),
        augmentation=COLOURED,
        weight_decay=4e-4,
        body_rate=0.1,
        tunes=True,
    )


@cache
def _swin() -> Protocol:
    """RIDE's settings of Swin transformers, but for mixup and CutMix, which are methods here."""
    return Protocol(
        epochs=300,
        batch=1024,
        learning_rate=Warmup(Cosine(1e-3), warmup=20),
        backbone=backbone("torchvision:swin_t"),
        augmentation=replace(COLOURED, strong="rand_m9+erasing"),
        weight_decay=0.2,
        optimiser=AdamW(clip=5.0),
    )


LARGE: dict[str, Callable[[], Protocol]] = {  # of larger images, by the name of the data set; '' is all others
    "": _own_large,
    "imagenet-lt": _imagenet_lt,
    "places-lt": _places_lt,
    "inaturalist2017": _inaturalist,
    "inaturalist2018": _inaturalist,
}
FAMILIES: dict[str, Callable[[], Protocol]] = {"swin": _swin}  # whose networks are not trained as others are


def protocol_for(image_shape: tuple[int, int, int], dataset: str = "", network: str = "") -> Protocol:
    """The protocol for images of (H, W, channels), by their longer side; above 64 pixels by the name of the data set,
    or by the network that is asked for, where its family has one; for
    features, that of a head."""
    if are_vectors(image_shape):
        return replace(HEAD, backbone=Given(image_shape[2]))
    longest = max(image_shape[:2])
    for side, protocol in sorted(PROTOCOLS.items()):
        if longest <= side:
            return protocol
    model = network.partition(":")[2]
    family = next((of for name, of in FAMILIES.items() if model.startswith(name)), None)
    return (family or LARGE.get(dataset, LARGE[""]))()
