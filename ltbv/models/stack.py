"""How are many small networks trained as one? A few layers hold K copies of themselves; nothing else knows about it.

A feature map of K copies is [B, K*C, H, W] in channels-last memory, a feature vector [K, B, D]. Parameters are
[K, ...]. Copies never touch: a convolution is grouped by copy, a norm works channel by channel, a linear layer is a
batched product. K = 1 is the plain network, with the same code.

Experts of a run are the same axis: a branch with E experts of R runs holds K = R*E copies, expert e of run r at
r*E + e.
"""

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from copy import copy as shallow
from typing import Protocol, Self, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ltbv.models import fused
from ltbv.models.channels import narrow, padded

NUMBERS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1")  # types of weights and buffers in files
NEVER = -1e4  # logit of a class that cannot be predicted; float16 holds it


@runtime_checkable
class Copied(Protocol):
    """A module that knows how many copies it holds."""

    copies: int


class Layer(nn.Module):
    """A layer that holds copies; `draw` gives one copy new weights.

    recordable   a step through it is the same operations every time, so that a GPU may repeat them
    """

    copies: int
    recordable = True

    def draw(self, copy: int, generator: np.random.Generator) -> None:
        """Initialise one copy from `generator`. The draws of a copy depend on nothing but the generator."""
        raise NotImplementedError

    def copy_state(self, copy: int) -> dict[str, Tensor]:
        """Weights and buffers of one copy; the tensors are views, so that they can be filled."""
        own = (*self.named_parameters(recurse=False), *self.named_buffers(recurse=False))
        return {name: tensor[copy] for name, tensor in own}

    def owned(self) -> Iterator[tuple[nn.Parameter, int | None]]:
        """Its parameters: of one copy, which is then named, or None, of all copies along the first axis."""
        return ((parameter, None) for parameter in self.parameters(recurse=False))

    def take(self, copies: Sequence[int]) -> Self:
        """A layer of some of the copies, in this order: to be asked, not trained."""
        taken = shallow(self)
        taken.copies, at = len(copies), list(copies)
        own, buffers = self._parameters.items(), self._buffers.items()
        taken._parameters = {name: nn.Parameter(p[at], requires_grad=False) for name, p in own if p is not None}
        taken._buffers = {name: buffer[at] for name, buffer in buffers if buffer is not None}
        return taken

    def _fill(self, parameter: Tensor, copy: int, values: np.ndarray | float) -> None:
        with torch.no_grad():
            parameter[copy] = torch.as_tensor(values, dtype=parameter.dtype, device=parameter.device)


class Conv(Layer):
    """Convolution without bias, `kernel // 2` zeros around: [B, K*inputs, H, W] -> [B, K*outputs, H', W'].

    Initialised N(0, 2 / fan_in) (He et al., 2015).
    """

    def __init__(self, copies: int, inputs: int, outputs: int, kernel: int = 3, stride: int = 1):
        super().__init__()
        self.copies, self.stride, self.padding = copies, stride, kernel // 2
        self.weight = nn.Parameter(torch.zeros(copies, outputs, inputs, kernel, kernel))

    def draw(self, copy: int, generator: np.random.Generator) -> None:
        shape = self.weight.shape[1:]
        self._fill(self.weight, copy, generator.standard_normal(shape) * math.sqrt(2 / math.prod(shape[1:])))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight.flatten(0, 1), stride=self.stride, padding=self.padding, groups=self.copies)


class Norm(Layer):
    """Batch norm over each channel of each copy: [B, K*channels, H, W] -> the same shape (Ioffe and Szegedy, 2015)."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, copies: int, channels: int, momentum: float = 0.1, epsilon: float = 1e-5):
        super().__init__()
        self.copies, self.momentum, self.epsilon = copies, momentum, epsilon
        self.weight = nn.Parameter(torch.ones(copies, channels))
        self.bias = nn.Parameter(torch.zeros(copies, channels))
        self.register_buffer("running_mean", torch.zeros(copies, channels))
        self.register_buffer("running_var", torch.ones(copies, channels))

    def draw(self, copy: int, generator: np.random.Generator) -> None:
        del generator
        for parameter, start in (
            (self.weight, 1.0),
            (self.bias, 0.0),
            (self.running_mean, 0.0),
            (self.running_var, 1.0),
        ):
            self._fill(parameter, copy, start)

    def forward(self, x: Tensor) -> Tensor:
        mean, var, weight, bias = (t.flatten() for t in (self.running_mean, self.running_var, self.weight, self.bias))
        return F.batch_norm(x, mean, var, weight, bias, self.training, self.momentum, self.epsilon)


class Linear(Layer):
    """x W' + b: [K, B, inputs] -> [K, B, outputs]. Weights N(0, 2 / inputs), bias uniform within 1 / sqrt(inputs)."""

    def __init__(self, copies: int, inputs: int, outputs: int):
        super().__init__()
        self.copies = copies
        self.weight = nn.Parameter(torch.zeros(copies, outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(copies, outputs))

    def draw(self, copy: int, generator: np.random.Generator) -> None:
        outputs, inputs = self.weight.shape[1:]
        self._fill(self.weight, copy, generator.standard_normal((outputs, inputs)) * math.sqrt(2 / inputs))
        self._fill(self.bias, copy, generator.uniform(-1, 1, outputs) / math.sqrt(inputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias.unsqueeze(1), x, self.weight.transpose(1, 2))


class CosineLinear(Layer):
    """scale * cos(x, w_k): [K, B, inputs] -> [K, B, outputs]; no bias (Cao et al., LDAM, 2019).

    Weights are drawn uniform within [-1, 1] and each class vector is brought to length 1.
    """

    def __init__(self, copies: int, inputs: int, outputs: int, scale: float = 30.0):
        super().__init__()
        self.copies, self.scale = copies, scale
        self.weight = nn.Parameter(torch.zeros(copies, outputs, inputs))

    def draw(self, copy: int, generator: np.random.Generator) -> None:
        weight = generator.uniform(-1, 1, self.weight.shape[1:])
        self._fill(self.weight, copy, weight / np.linalg.norm(weight, axis=1, keepdims=True))

    def forward(self, x: Tensor) -> Tensor:
        cosine = torch.bmm(F.normalize(x, dim=-1), F.normalize(self.weight, dim=-1).transpose(1, 2))
        return self.scale * cosine


def conv_norm_relu(conv: Conv, norm: Norm, x: Tensor) -> Tensor:
    """relu(norm(conv(x))): layer by layer, or fused where a GPU trains in half precision (`fused`).

    A fused map may carry more channels in memory than its copies have; whoever is not fused takes the true ones.
    """
    return _conv_norm_add_relu(conv, norm, x, None)[0]


def conv_norm_add_relu(conv: Conv, norm: Norm, x: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
    """relu(norm(conv(x)) + residual), likewise; twice, for the convolution and for the shortcut that follow."""
    return _conv_norm_add_relu(conv, norm, x, residual)


def is_fused(conv: Conv, norm: Norm, x: Tensor) -> bool:
    """Are these two one layer for x? What computes something else is asked itself."""
    known = type(conv) is Conv and type(norm) is Norm
    return known and norm.training and fused.serves(conv.weight, x)


def _conv_norm_add_relu(conv: Conv, norm: Norm, x: Tensor, residual: Tensor | None) -> tuple[Tensor, Tensor]:
    if is_fused(conv, norm, x):
        y = fused.conv_norm_relu(conv, norm, x, residual, torch.get_autocast_dtype("cuda"))
        return y if isinstance(y, tuple) else (y, y)
    y = norm(conv(narrow(x, conv.copies, conv.weight.shape[2])))
    if residual is not None:
        y += narrow(residual, conv.copies, conv.weight.shape[1])
    y = F.relu(y, inplace=True)
    return y, y


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """While it lasts a network answers as after training: batch norm by its running statistics, which stay."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


def layers(module: nn.Module) -> list[Layer]:
    """The layers of a network in a fixed order (the order in which their weights are drawn)."""
    return [m for m in module.modules() if isinstance(m, Layer)]


def by_run(module: nn.Module, runs: int) -> Iterator[tuple[nn.Parameter, int | None]]:
    """All parameters of a stack: of one run, which is then named, or None, of all runs along the first axis."""
    for layer in layers(module):
        for parameter, copy in layer.owned():
            yield parameter, None if copy is None else copy * runs // layer.copies


def lengths(owned: Iterable[tuple[Tensor, int | None]], runs: int, device: torch.device) -> Tensor:
    """The length of all of a run's tensors together, [R] float64; `owned` as `by_run` has parameters."""
    squares = torch.zeros(runs, device=device, dtype=torch.float64)
    for tensor, run in owned:
        if run is None:
            squares += tensor.double().square().reshape(runs, -1).sum(1)
        else:
            squares[run] += tensor.double().square().sum()
    return squares.sqrt()


def of_owner(factors: Tensor, tensor: Tensor, run: int | None) -> Tensor:
    """What the run, or each of the runs, that owns a tensor has of factors [R], in a shape to multiply it by."""
    if run is not None:
        return factors[run]
    return factors.repeat_interleave(len(tensor) // len(factors)).reshape(-1, *[1] * (tensor.dim() - 1))


def take(module: nn.Module, copies: Sequence[int]) -> nn.Module:
    """A module of some of a stack's copies, in this order, for looking at."""
    if isinstance(module, Layer):
        return module.take(copies)
    taken = shallow(module)
    taken._modules = {name: take(child, copies) for name, child in module._modules.items() if child is not None}
    if isinstance(taken, Copied):
        taken.copies = len(copies)
    return taken


def draw_run(module: nn.Module, slot: int, runs: int, generator: np.random.Generator) -> None:
    """Initialise what belongs to the run in a `slot` of a stack of `runs`: the same weights in a stack of any size."""
    for layer in layers(module):
        share = layer.copies // runs
        for copy in range(slot * share, (slot + 1) * share):
            layer.draw(copy, generator)


def run_state(module: nn.Module, slot: int, runs: int) -> dict[str, np.ndarray]:
    """Weights and buffers of the run in a slot, name -> [copies of the run, ...]; the same for a stack of any size."""
    return {
        name: np.stack([tensor.detach().cpu().numpy() for tensor in tensors])
        for name, tensors in _run_tensors(module, slot, runs).items()
    }


def load_run_state(module: nn.Module, slot: int, runs: int, state: dict[str, np.ndarray]) -> None:
    """The inverse of `run_state`. Names the module does not have are left; names it has must be there and fit."""
    with torch.no_grad():
        for name, tensors in _run_tensors(module, slot, runs).items():
            values = state[name]
            # copy_ would spread a smaller array over the tensor
            if values.shape != (len(tensors), *tensors[0].shape) or values.dtype.str[1:] not in NUMBERS:
                raise ValueError(f"{name} is {values.dtype} of shape {values.shape}")
            for tensor, of_copy in zip(tensors, values, strict=True):
                tensor.copy_(torch.as_tensor(of_copy))


def _run_tensors(module: nn.Module, slot: int, runs: int) -> dict[str, list[Tensor]]:
    """name -> the tensors of the copies of the run in a slot."""
    found: dict[str, list[Tensor]] = {}
    for path, layer in module.named_modules():
        if isinstance(layer, Layer):
            share = layer.copies // runs
            for copy in range(slot * share, (slot + 1) * share):
                for name, tensor in layer.copy_state(copy).items():
                    found.setdefault(f"{path}.{name}", []).append(tensor)
    return found


def fan_out(x: Tensor, runs: int, experts: int) -> Tensor:
    """Give each run's feature map to its `experts`: [B, R*C, H, W] -> [B, R*E*C, H, W]."""
    if experts == 1:
        return x
    nhwc = x.movedim(1, -1).unflatten(-1, (runs, 1, -1))
    return nhwc.expand(*nhwc.shape[:-2], experts, -1).flatten(-3).movedim(-1, 1)


def pad_shortcut(x: Tensor, copies: int, inputs: int, outputs: int, stride: int) -> Tensor:
    """Shortcut without parameters (option A of He et al., 2016): every `stride`-th pixel, new channels zero.

    [B, K*inputs, H, W] -> [B, K*outputs, H/stride, W/stride], the zeros split evenly on both sides of each copy's
    channels. A map that is padded in memory gives one that is.
    """
    nhwc = x.movedim(1, -1)[:, ::stride, ::stride].unflatten(-1, (copies, -1))
    there = nhwc.shape[-1]
    before = (outputs - inputs) // 2
    # Two pads where a map is padded: what is cut off (fewer outputs than inputs) must not be taken from the padding.
    y = F.pad(nhwc if there == inputs else nhwc[..., :inputs], (before, outputs - inputs - before))
    if there != inputs:
        y = F.pad(y, (0, padded(outputs) - outputs))
    return y.flatten(-2).movedim(-1, 1)
