"""With what did a method's authors train it? `Published`: a value in the method's file, for `--protocol paper`.

Under the common protocol the method is all that differs; under `paper` every method is trained as its authors' code, or
that of the table that its number comes from, trains it. Not taken over from anybody: the best epoch on the test set,
batch norm that goes on adapting in frozen parts, other normalisation of images, other networks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from ltbv.data.dataset import Augmentation
from ltbv.errors import Refusal
from ltbv.optimisers import SGD, Optimiser
from ltbv.schedules import Drops, Number, Warmup


@dataclass(frozen=True)
class Terms:
    """How a stage is trained, in the place of what the protocol and the stage itself say; None: as those say.

    epochs   of this stage
    """

    epochs: int | None = None
    batch: int | None = None
    learning_rate: Number | None = None
    weight_decay: float | None = None
    optimiser: Optimiser | None = None
    augmentation: Augmentation | None = None

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch", 2)):
            if (number := getattr(self, name)) is not None and number < least:
                raise Refusal(f"terms of a stage with {name} {number!r}; at least {least}, or None")

    def but(self, **changed: Any) -> "Terms":
        """The same, but for these."""
        return replace(self, **changed)

    def over(self, others: "Terms | None") -> "Terms":
        """These, and where they are silent, others."""
        own = {one.name: value for one in fields(self) if (value := getattr(self, one.name)) is not None}
        return replace(others or Terms(), **own)

    def beside(self, usual: "Terms") -> "Terms | None":
        """What differs from what would hold anyway; None where nothing does."""
        other = {one.name: getattr(self, one.name) for one in fields(self)}
        found = {name: value for name, value in other.items() if value is not None and value != getattr(usual, name)}
        return Terms(**found) if found else None

    def __str__(self) -> str:
        said = {one.name.replace("_", " "): getattr(self, one.name) for one in fields(self)}
        return ", ".join(f"{name} {_brief(value)}" for name, value in said.items() if value is not None)


@dataclass(frozen=True)
class Published:
    """Where it was published, for which data sets, the terms of all stages, and of those that have others, by name."""

    source: str
    datasets: tuple[str, ...]
    terms: Terms
    stages: tuple[tuple[str, Terms], ...] = ()

    def of(self, stage: str) -> Terms:
        """The terms of a stage."""
        return dict(self.stages).get(stage, self.terms)


def published_for(dataset: str, every: Sequence[Published]) -> Published | None:
    """What is published for a data set, if anything is."""
    return next((one for one in every if dataset in one.datasets), None)


def _brief(value: Any) -> str:
    """A value as it is written, without what it has by default."""
    if not is_dataclass(value) or isinstance(value, type):
        return f"({', '.join(map(_brief, value))})" if isinstance(value, tuple) else str(value)
    told = [(one, getattr(value, one.name)) for one in fields(value)]
    inside = ", ".join(f"{one.name}={_brief(of)}" for one, of in told if of != one.default)
    return f"{type(value).__name__}({inside})"


CIFAR = ("cifar10-lt", "cifar100-lt")
CROPS = Augmentation(pad=4, flip=True)
DROPS = Drops(0.1, at=(0.8, 0.9), factors=(0.01, 0.0001))

# ResNet-32, 200 epochs. What follows differs from it by decay, Nesterov's momentum, the length of warm-up, rotation.
USUAL = Terms(200, 128, Warmup(DROPS, warmup=5), 2e-4, SGD(nesterov=False), CROPS)

CAO = Published("the scripts of Cao et al. (LDAM, 2019)", CIFAR, USUAL)

# Kang et al. have none for CIFAR; the only whole published recipe under their methods' names is in Bag of Tricks. Its
# warm-up of the second stage starts at a third of the rate, ours at a fifth; its batch norm goes on adapting there.
SECOND = Terms(30, 128, Warmup(Drops(0.1, at=(1 / 3, 2 / 3), factors=(0.1, 0.01)), warmup=5), 5e-4, SGD(), CROPS)
TRICKS = "the configurations of Zhang et al. (Bag of Tricks, 2021)"
BAG_OF_TRICKS = Published(
    TRICKS, CIFAR, USUAL.but(optimiser=SGD()), stages=(("classifier", SECOND), ("scales", SECOND))
)
