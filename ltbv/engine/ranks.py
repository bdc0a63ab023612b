"""How do several processes train one stack? Each looks at some images of every batch; all know what was found of all.

What a network says of its images is put together with what the other processes say of theirs, so an objective sees the
outputs of the whole batch, whatever it makes of them: sums of weights, pairs, the spread of a class. Each process then
follows the loss back through its own images alone, the gradients are added up, and the step is that of one process.
Batch norm is of the whole batch too. Every process draws the same tables from (seed, run, stage, epoch), so no image
travels.

An objective that asks the network otherwise (its parts, other weights, several batches) is refused: `check`.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from importlib import import_module
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from ltbv.data.batches import Batch
from ltbv.engine.optimise import Optimisers
from ltbv.engine.snapshot import Keeper
from ltbv.engine.step import Step
from ltbv.errors import Refusal
from ltbv.methods.base import Moment, Stage
from ltbv.methods.objective import OutputObjective
from ltbv.models.experts import Experts, Output
from ltbv.models.stack import Norm

PATIENCE = timedelta(days=7)  # of one that waits for the others; one that dies is noticed at once
HOST = torch.device("cpu")
ALONE = "train it in one process, without torchrun"


class Team:
    """The processes of one training, of which this is number `rank`; `dist` is ready.

    parted   one of them left a stage in the middle: they cannot go on together
    """

    def __init__(self) -> None:
        self.rank, self.world, self.parted = dist.get_rank(), dist.get_world_size(), False

    @property
    def part(self) -> slice:
        """Which images of a batch are this process's."""
        return slice(self.rank, None, self.world)

    def said(self, words: Any) -> Any:
        """What the first process says: its `words`, to all."""
        if self.parted:
            raise Refusal("the processes of this training parted over an earlier failure; give the command again")
        told = [words if self.rank == 0 else None]
        dist.broadcast_object_list(told, src=0, device=HOST)
        return told[0]

    @contextmanager
    def at_it(self) -> Iterator[None]:
        """While all are at a stage: whatever ends it here, the others may be waiting for this process."""
        try:
            yield
        except BaseException:
            self.parted = True
            raise

    def begin(self, networks: Iterable[nn.Module], keeper: Keeper | None) -> Keeper:
        """Weights and snapshot of the first process, for all; the keeper of each."""
        for network in networks:
            for tensor in network.state_dict().values():
                dist.broadcast(tensor, src=0)
        snapshot = self.said(keeper.load() if keeper else None)
        return keeper or Handed(snapshot)

    def add_up(self, parameters: Iterable[nn.Parameter]) -> None:
        """Gradients, each the sum of those of all processes."""
        own = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for dtype in dict.fromkeys(gradient.dtype for gradient in own):
            alike = [gradient for gradient in own if gradient.dtype is dtype]
            flat = torch.cat([gradient.reshape(-1) for gradient in alike])
            dist.all_reduce(flat)
            for gradient, whole in zip(alike, flat.split([gradient.numel() for gradient in alike]), strict=True):
                gradient.copy_(whole.view_as(gradient))


class Handed(Keeper):
    """Has the snapshot that it was handed, and keeps none."""

    def __init__(self, snapshot: dict[str, np.ndarray] | None):
        self.snapshot = snapshot

    def load(self) -> dict[str, np.ndarray] | None:
        return self.snapshot

    def is_due(self) -> bool:
        return False

    def save(self, arrays: dict[str, np.ndarray]) -> None:
        raise AssertionError("the first process keeps snapshots")


_HERE: ContextVar[Team | None] = ContextVar("team", default=None)


def team() -> Team | None:
    """Those with whom this process trains; None: it trains alone."""
    return _HERE.get()


@contextmanager
def joined(device: torch.device, **how: Any) -> Iterator[Team]:
    """Meet the others; `how` as for `init_process_group`, torchrun's environment else."""
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    # Its defaults are whatever group there is when it is imported, as the first step of an optimiser does; a group that
    # is held there keeps its threads, and these may end the interpreter by a signal when it ends.
    import_module("torch.distributed.nn.functional")
    dist.init_process_group(backend, timeout=PATIENCE, **how)
    here = Team()
    token = _HERE.set(here)
    try:
        yield here
    finally:
        _HERE.reset(token)
        if not here.parted:
            dist.destroy_process_group()


def is_one_of_several() -> bool:
    """Has torchrun started this process, beside others?"""
    return dist.is_torchelastic_launched() and int(os.environ.get("WORLD_SIZE", "1")) > 1


class SharedStep(Step):
    """A step of which each process does its part."""

    def __init__(self, stage: Stage, network: Experts, given: tuple[Experts, ...], optimisers: Optimisers, among: Team):
        super().__init__(stage, network, given, optimisers)
        optimisers.after_backward = among.add_up
        self.asked = [_Whole(one, among) for one in (network, *given)]
        # an OutputObjective asks them no more than this
        self.network, *others = (cast(Experts, one) for one in self.asked)
        self.given = tuple(others)

    def __call__(self, batches: tuple[Batch, ...], now: Moment) -> None:
        for one in self.asked:
            one.images = batches[0].labels.shape[1]
        super().__call__(batches, now)


class _Whole:
    """A network that is shown its images of a batch of `images`, and says what all processes found, of the batch."""

    def __init__(self, network: Experts, among: Team):
        self.network, self.runs, self.among, self.images = network, network.runs, among, 0
        self.parameters = network.parameters

    def __call__(self, images: Tensor) -> Output:
        found = self.network(images)
        return Output(*(_PutTogether.apply(of, self.among.part, self.images) for of in found))


class _PutTogether(torch.autograd.Function):
    """[R, E, own images, ...] -> [R, E, B, ...]; back, what is of the own images."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, part: slice, images: int) -> Tensor:
        ctx.part = part
        whole = own.new_zeros(*own.shape[:2], images, *own.shape[3:])
        whole[:, :, part] = own
        dist.all_reduce(whole)  # one number and zeros: exact
        return whole

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return gradient[:, :, ctx.part], None, None


class _Normed(torch.autograd.Function):
    """(x - mean) / sqrt(var + epsilon) * weight + bias by channel, [B, K, ...], with mean and variance over all
    processes; these, and how many numbers they are of, [K] each. Sums are float32 at least."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, epsilon: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        wide, shape, axes = _wide(x), _by_channel(x), _others(x)
        number = x.numel() // x.shape[1]
        own = wide.sum(axes) / max(number, 1)
        spread = (wide - own.view(shape)).square().sum(axes)
        told = torch.stack([own, spread, torch.full_like(own, number)])
        heard = [torch.empty_like(told) for _ in range(dist.get_world_size())]
        dist.all_gather(heard, told)
        means, spreads, numbers = torch.stack(heard, 1)
        n = numbers.sum(0)
        mean = (numbers * means).sum(0) / n
        var = (spreads + numbers * (means - mean).square()).sum(0) / n
        scale = (var + epsilon).rsqrt()
        y = (wide - mean.view(shape)) * (scale * weight).view(shape) + bias.view(shape)
        ctx.save_for_backward(x, weight, mean, scale, n)
        ctx.mark_non_differentiable(mean, var, n)
        return y.to(x.dtype), mean, var, n

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale, n = ctx.saved_tensors
        shape, axes, dy = _by_channel(x), _others(x), _wide(dy)
        normed = (_wide(x) - mean.view(shape)) * scale.view(shape)
        own = torch.stack([dy.sum(axes), (dy * normed).sum(axes)])
        of_all = own.clone()
        dist.all_reduce(of_all)
        offset, slope = (of_all / n).view(2, *shape)
        dx = (dy - offset - normed * slope) * (scale * weight).view(shape)
        return dx.to(x.dtype), own[1].to(weight.dtype), own[0].to(weight.dtype), None


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _by_channel(x: Tensor) -> tuple[int, ...]:
    return (1, -1, *[1] * (x.dim() - 2))


def _others(x: Tensor) -> tuple[int, ...]:
    """The axes that are no channels."""
    return (0, *range(2, x.dim()))


def _normed(x: Tensor, of: nn.Module, weight: Tensor, bias: Tensor, epsilon: float, share: float | None) -> Tensor:
    """x normed; where there are running statistics of the module they move by a share."""
    y, mean, var, n = _Normed.apply(x, weight, bias, epsilon)
    if share is not None:
        with torch.no_grad():
            for running, now in ((of.running_mean, mean), (of.running_var, var * n / (n - 1))):
                running = cast(Tensor, running)
                running.lerp_(now.view_as(running).to(running.dtype), share)
    return y


class SharedNorm(Norm):
    """The batch norm of a stack, in training that of all processes."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        return _normed(x, self, self.weight.flatten(), self.bias.flatten(), self.epsilon, self.momentum)


class _Foreign:
    """The same of a module of torch."""

    def forward(self: Any, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)  # type: ignore[misc]  # stands before a class that has one
        ones = torch.ones(x.shape[1], dtype=_wide(x[:0]).dtype, device=x.device)
        weight, bias = (self.weight, self.bias) if self.affine else (ones, torch.zeros_like(ones))
        share = None
        if self.track_running_stats:
            self.num_batches_tracked.add_(1)
            share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        return _normed(x, self, weight, bias, self.eps, share)


class _Shared1d(_Foreign, nn.BatchNorm1d):
    pass


class _Shared2d(_Foreign, nn.BatchNorm2d):
    pass


class _Shared3d(_Foreign, nn.BatchNorm3d):
    pass


SHARED: dict[type[nn.Module], type[nn.Module]] = {
    Norm: SharedNorm,
    nn.BatchNorm1d: _Shared1d,
    nn.BatchNorm2d: _Shared2d,
    nn.BatchNorm3d: _Shared3d,
}


def share_norms(network: nn.Module) -> None:
    """From now on batch norm that learns is of all processes; parameters, buffers and their names stay."""
    for module in network.modules():
        if type(module) in SHARED:
            module.__class__ = SHARED[type(module)]


def check(stage: Stage, network: nn.Module | None = None) -> None:
    """Refuse what several processes cannot share."""
    who, objective = f"stage {stage.name!r} cannot be trained by several processes:", type(stage.objective)
    if not issubclass(objective, OutputObjective) or objective.__call__ is not OutputObjective.__call__ or stage.first:
        said = "asks for more than the outputs of the network for one batch"
        raise Refusal(f"{who} its objective {objective.__name__} {said}; {ALONE}")
    for module in network.modules() if network else ():
        name = type(module).__name__
        chance = getattr(module, "drop_prob", getattr(module, "p", 0.0))
        if (isinstance(module, _DropoutNd) or name in ("DropPath", "StochasticDepth")) and chance:
            raise Refusal(f"{who} {name}({chance}) of its network draws, in each its own; {ALONE}, or give 0")
        if isinstance(module, _BatchNorm) and type(module) not in SHARED and type(module) not in SHARED.values():
            raise Refusal(f"{who} {name} of its network is a batch norm of another kind; {ALONE}")
