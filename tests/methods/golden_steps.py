"""One step of training on the images and weights of a golden file: what tests of methods that take one share."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ltbv.data.batches import Batch
from ltbv.engine.optimise import Optimisers
from ltbv.engine.protocol import Protocol
from ltbv.engine.step import Step
from ltbv.methods.base import Moment, Stage
from ltbv.models.experts import Experts
from ltbv.models.parts import Shape
from ltbv.models.resnet import Resnet
from ltbv.models.stack import Conv, Norm
from ltbv.optimisers import SGD, Optimiser

RUNS = 2  # a stack, whose every run is the golden one


class Flat(nn.Module):
    """[B, K*C, H, W] -> [K, B, C*H*W]."""

    def forward(self, images: Tensor) -> Tensor:
        return images.unflatten(1, (RUNS, -1)).flatten(2).movedim(1, 0)


class Means(nn.Module):
    """[B, K*C, H, W] -> [K, B, C]."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3)).unflatten(1, (RUNS, -1)).movedim(1, 0)


NAMES = {"linear": "heads", "conv": "stem.0", "bn": "stem.1"}


@dataclass
class Golden:
    """A case of a golden file, and a stage trained on it: every run of the stack sees the same."""

    case: dict
    stage: Stage
    optimiser: Optimiser
    weights: dict[str, Tensor]
    rate: float

    def __post_init__(self):
        conv = "conv.weight" in self.weights
        channels = self.weights["conv.weight"].shape[1] if conv else 3
        features = self.weights["conv.weight" if conv else "linear.weight"]
        features = features.shape[0] if conv else features.shape[1 if self.case["network"] == "linear" else 0]
        stem = nn.Sequential(Conv(RUNS, channels, features), Norm(RUNS, features), nn.ReLU()) if conv else nn.Identity()
        shape = Shape(RUNS, 1, features, 3)
        parts = [(part, part.build(shape)) for part in self.stage.net.parts]
        head = self.stage.net.head.build(shape)
        self.network = Experts(RUNS, 1, stem, Means() if conv else Flat(), head, parts=parts).double().train()
        self.fill(self.weights)
        protocol = Protocol(
            1, 8, self.rate, Resnet(), weight_decay=self.optimiser.weight_decay, optimiser=self.optimiser
        )
        optimisers = Optimisers(self.stage, self.network, protocol)
        optimisers.set_rates(lambda rate: rate)
        self.step = Step(self.stage, self.network, (), optimisers)
        counts = torch.tensor([self.case.get("counts", [3, 2, 1])] * RUNS)
        self.now = Moment(0, 1, counts, learning_rate=self.rate)

    def own(self, name: str) -> Tensor:
        """The stack's tensor of a golden name."""
        part, _, leaf = name.rpartition(".")
        return self.network.state_dict()[f"{NAMES[part]}.{leaf}"]

    def fill(self, weights: dict[str, Tensor]) -> None:
        for name, values in weights.items():
            self.own(name).copy_(self.turned(values))

    def turned(self, values: Tensor) -> Tensor:
        """Golden cosine weights lie as [features, classes]."""
        return values.T if self.case["network"] == "cosine" else values

    def check(self, weights: dict) -> None:
        """Are the weights these, in every run?"""
        for name, values in tensors(weights).items():
            near(self.own(name), self.turned(values).expand(RUNS, *[-1] * values.dim()))


def tensors(values: dict) -> dict[str, Tensor]:
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}


def batches(of: dict) -> tuple[Batch, Batch]:
    """Training and development images, the same for every run."""
    pairs = ((of["images"], of["labels"]), (of["dev_images"], of["dev_labels"]))
    return tuple(
        Batch(torch.tensor(images, dtype=torch.float64).repeat(1, RUNS, 1, 1), torch.tensor([labels] * RUNS))
        for images, labels in pairs
    )


def near(found: Tensor, wanted) -> None:
    wanted = torch.as_tensor(wanted, dtype=torch.float64)
    torch.testing.assert_close(found.double(), wanted.expand_as(found), rtol=1e-9, atol=1e-9)


PLAIN = SGD(weight_decay=0.0, momentum=0.0, nesterov=False)
