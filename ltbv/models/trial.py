"""Is a network of one's own what every run can train? It is made a few times and asked a few times, before anything is.

What is made has to differ by what torch's own generator drew and by nothing else, `state_dict` has to hold all that it
is, and what it says of an image in evaluation has to be of that image alone. Whatever else a network does in silence (a
layer that all runs share, a draw that no seed repeats, features without a gradient) would be in the results.
"""

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ltbv.answers import watched
from ltbv.errors import Refusal, reason
from ltbv.guest import aside
from ltbv.models.loop import lent, of_another_size

CPU = torch.device("cpu")
OURS = (Path(torch.__file__).parent, Path(__file__).parent.parent)
WRAPPED = {"DataParallel": ".module", "DistributedDataParallel": ".module", "OptimizedModule": "._orig_mod"}


class Raised(Refusal):
    """What a network raised of images."""


def bare(network: object, who: str) -> nn.Module:
    """What was made, if it is a module that others can be put into."""
    kind = type(network).__name__
    if not isinstance(network, nn.Module):
        raise Refusal(f"{who} made a {kind}; it has to make a torch.nn.Module")
    if kind in WRAPPED:
        raise Refusal(f"{who} made a {kind}; give the network itself, which is its {WRAPPED[kind]}")
    if isinstance(network, torch.jit.ScriptModule):
        raise Refusal(f"{who} made a {kind}; give the network as Python has it, before torch.jit")
    return network


def raised(error: BaseException) -> str:
    """What it was, and the last line of others' code that it came through."""
    frames = [(Path(one.filename), one.lineno) for one in traceback.extract_tb(error.__traceback__)]
    others = [(file, line) for file, line in frames if file.is_file() and not {*OURS} & {*file.parents}]
    place = f", line {others[-1][1]} of {others[-1][0].name}" if others else ""
    return f"{reason(error)}{place}"


def check(make: Callable[[], nn.Module], end_of: Callable[[nn.Module], str], who: str, size: tuple[int, int]) -> None:
    """Refuse what `make` makes where it is no classifier of images [B, 3, H, W] that a run can train.

    end_of   the name of the last linear layer, whose place a head takes
    """
    one, again, other = (_made(make, who, seed) for seed in (0, 0, 1))
    _alike(one, again, who)
    _alike(one, other, who)
    for name, value in one.state_dict().items():
        if not torch.equal(value, again.state_dict()[name]):
            raise Refusal(
                f"{who} is made with other numbers each time ({name}), which torch's own generator did not draw; draw"
                " them from that, which is seeded for each run"
            )
    _asked(one, end_of(one), who, size)
    other.load_state_dict(one.state_dict())
    images = _images(size)

    def ask(network: nn.Module) -> Tensor:
        with _as_guest(who, "in evaluation", images), torch.no_grad(), lent(np.random.default_rng(0), CPU):
            network.eval()  # which gives itself, or nothing
            return network(images)

    if not _same(ask(one), ask(other)):
        raise Refusal(
            f"{who} is not all in its state_dict: with the same weights two of them say different things. A tensor that"
            " was drawn, or a layer, stands in an attribute or a list; make it a parameter, a buffer that is kept, or"
            " put layers into a ModuleList"
        )


def _made(make: Callable[[], nn.Module], who: str, seed: int) -> nn.Module:
    with watched() as moved, lent(np.random.default_rng(seed), CPU):
        first = torch.initial_seed()
        network = make()
        seeded = torch.initial_seed() != first
    if moved:
        raise Refusal(
            f"{who} draws from the generator that {' and '.join(moved)} has for all, when it is made; draw weights from"
            " torch's own, which is seeded for each run"
        )
    if seeded:
        raise Refusal(f"{who} seeds torch's generator when it is made, so that all runs would begin alike; let it not")
    for name, value in network.state_dict().items():
        if not isinstance(value, Tensor):
            raise Refusal(f"{who} has a {type(value).__name__} in its state_dict ({name}); keep tensors there only")
        if is_lazy(value):
            raise Refusal(
                f"{who} has a lazy layer, whose weights are not there yet ({name}); say how many inputs it has, or ask"
                " the network once in the function that makes it"
            )
        if value.is_complex():
            raise Refusal(
                f"{who} has complex numbers ({name}); keep real and imaginary parts, as view_as_real has them"
            )
    return network


def _alike(one: nn.Module, other: nn.Module, who: str) -> None:
    there = {id(value) for value in _parts(other).values()}
    if shared := [name for name, value in _parts(one).items() if id(value) in there]:
        raise Refusal(
            f"{who} has the same {shared[0] or 'module'} each time that it is made, and each run trains its own; make"
            " it anew in the function"
        )
    shapes = [{name: tuple(value.shape) for name, value in of.state_dict().items()} for of in (one, other)]
    if shapes[0] != shapes[1]:
        name = next(iter(dict(shapes[0].items() ^ shapes[1].items())))
        said = " and then ".join(str(of.get(name, "not there")) for of in shapes)
        raise Refusal(f"{who} is made otherwise each time: {name} is {said}; let it depend on its arguments alone")


def _parts(network: nn.Module) -> Mapping[str, object]:
    return {**dict(network.named_modules()), **dict(network.named_parameters()), **dict(network.named_buffers())}


def _asked(network: nn.Module, end: str, who: str, size: tuple[int, int]) -> None:
    """Refuse what it says of two images, in evaluation and in training."""
    head, images = network.get_submodule(end), _images(size)
    assert isinstance(head, nn.Linear)  # which `end_of` found
    if head._forward_hooks:
        raise Refusal(f"{who} has a hook on its last linear layer ({end}), which gives way to a head; take it away")
    taken: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda module, given: taken.append(given[0]))
    learns = [p for name, p in network.named_parameters() if p.requires_grad and not name.startswith(f"{end}.")]

    def ask(images: Tensor, training: bool, seed: int) -> Tensor:
        """Logits of images; `taken` is then what the head took."""
        taken.clear()
        mode = "in training" if training else "in evaluation"
        network.train(training)
        with watched() as moved, lent(np.random.default_rng(seed), CPU), torch.set_grad_enabled(training):
            first, version = torch.initial_seed(), images._version
            with _as_guest(who, mode, images, lambda: _sized(head, taken)):
                said = network(images)
            seeded, learning = torch.initial_seed() != first, torch.is_grad_enabled()
        if learning != training:
            what = "off" if training else "on"
            raise Refusal(f"{who} switches gradients {what} for all, {mode}; let it do so in `with torch.no_grad():`")
        if moved or seeded:
            what = f"draws from the generator that {' and '.join(moved)} has" if moved else "seeds torch's generator"
            raise Refusal(f"{who} {what} for all, {mode}; draw from torch's own without a seed, as nn.Dropout does")
        if images._version != version:
            raise Refusal(f"{who} writes into the images that it is given, {mode}; let it begin with a copy of them")
        _shaped(said, taken, head, len(images), f"{who} gives {{}} {mode}")
        return said

    before = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    whole = ask(images, False, 0)
    if not whole.isfinite().all() or not taken[0].isfinite().all():
        raise Refusal(
            f"{who} gives NaN or infinity of images between 0 and 1, as its weights are drawn; scale them down"
        )
    if not _same(whole, ask(images, False, 1)):
        raise Refusal(
            f"{who} says another thing of the same images each time, in evaluation too; let it forget, or remember,"
            " in training only"
        )
    alone = ask(images[:1], False, 0)
    if (alone - whole[:1]).abs().max() > 1e-2 * (whole[0] - whole[1]).abs().max() + 1e-5 * whole.abs().max():
        raise Refusal(
            f"{who} says another thing of an image where others stand beside it, in evaluation too; let a norm keep its"
            " moments (track_running_stats=True), and nothing else look across the batch"
        )
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    trained = ask(images, True, 2)
    if learns and not taken[0].requires_grad:
        raise Refusal(
            f"{who} gives features in training that no weight of it has a part in, detached from the graph; leave out"
            " .detach(), .data and torch.no_grad(), and draw a head alone on features with --features"
        )
    network.load_state_dict(kept, strict=False)
    if not _same(trained, ask(images, True, 2)):
        raise Refusal(
            f"{who} says another thing in training, of the same images with the same weights and seed: it draws from a"
            " generator of its own, or remembers; draw from torch's own, and remember in buffers"
        )
    after = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    if new := sorted(dict(after.items() ^ before.items())):
        raise Refusal(f"{who} makes weights when it is asked ({new[0]}), which no optimiser learns; make them before")
    hook.remove()


def _shaped(said: object, taken: list[Tensor], head: nn.Linear, n: int, gives: str) -> None:
    """Refuse logits that are no row an image, and features that a head could not take."""
    if not isinstance(said, Tensor):
        cure = "it has to give a tensor, a row of logits for each image (as aux_logits=False may see to)"
        raise Refusal(f"{gives.format(f'a {type(said).__name__}')}; {cure}")
    if len(taken) != 1:
        cure = "it has to be asked once, of the features of each image"
        raise Refusal(f"{gives.format(f'what its last linear layer was asked {len(taken)} times for')}; {cure}")
    for what, of, width in (("features", taken[0], head.in_features), ("logits", said, head.out_features)):
        place = f" on {of.device}" if of.device != CPU else ""
        if tuple(of.shape) != (n, width) or of.dtype != torch.float32 or place:
            found = f"{what} {str(of.dtype).removeprefix('torch.')} of shape {tuple(of.shape)}{place} of {n} images"
            raise Refusal(f"{gives.format(found)}; they have to be float32 of shape {(n, width)}, a row for each image")


def _same(one: Tensor, other: Tensor) -> bool:
    """But for rounding, which may depend on where in memory they lie."""
    return bool((one - other).abs().max() <= 1e-4 * one.abs().max())


def _sized(head: nn.Linear, taken: list[Tensor]) -> None:
    if taken and taken[0].shape[-1] != head.in_features and taken[0].dim() == 2:
        raise of_another_size(head.in_features, taken[0].shape[-1])


@contextmanager
def _as_guest(who: str, mode: str, images: Tensor, why: Callable[[], None] = lambda: None) -> Iterator[None]:
    """What it raises is told in a line; `why` may know better."""
    try:
        with aside():
            yield
    except (Exception, SystemExit) as error:
        why()
        raise Raised(f"{who} raises of images {list(images.shape)}, {mode}: {raised(error)}") from error


def _images(size: tuple[int, int]) -> Tensor:
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
