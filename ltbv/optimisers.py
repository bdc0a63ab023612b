"""By which rule do parameters move? `SGD`, `AdamW`, `Adam`, `LBFGS`, as values: of a protocol, a stage, or some parts.

What is None is that of the stage, or of the protocol. In a stack every run is clipped by the norm of its own gradient.
"""

from dataclasses import dataclass

from ltbv.errors import Refusal
from ltbv.schedules import Number


@dataclass(frozen=True)
class Optimiser:
    """learning_rate and weight_decay, None: those of the stage; clip: the largest norm of a run's gradient."""

    learning_rate: Number | None = None
    weight_decay: float | None = None
    clip: float | None = None

    def __post_init__(self) -> None:
        if self.clip is not None and not self.clip > 0:
            raise Refusal(f"a gradient clipped at {self.clip!r}; give a norm above 0, or None")


@dataclass(frozen=True)
class SGD(Optimiser):
    """v <- momentum v + g + weight_decay w, then w <- w - rate (g + weight_decay w + momentum v), Nesterov's form."""

    momentum: float = 0.9
    nesterov: bool = True


@dataclass(frozen=True)
class AdamW(Optimiser):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8


@dataclass(frozen=True)
class Adam(Optimiser):
    """Adam, weight decay as part of the gradient (Kingma and Ba, 2015)."""

    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8


@dataclass(frozen=True)
class LBFGS(Optimiser):
    """No steps on batches: to the optimum of a convex head, on all images at once (`engine.optimum`).

    tolerance   a run is done where its gradient is so much shorter than at the start
    most        iterations, after which a run that is not done is refused
    memory      pairs of steps and gradients that are remembered
    """

    tolerance: float = 1e-4
    most: int = 2000
    memory: int = 10


OPTIMISERS = {"sgd": SGD, "adamw": AdamW, "lbfgs": LBFGS}
