"""A stack of R networks against R plain ones of torch.nn, written independently: forward, backward, statistics."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ltbv.methods.decoupling import NearestMean, Scale
from ltbv.models.experts import Net
from ltbv.models.parts import COSINE
from ltbv.models.resnet import Resnet
from ltbv.models.stack import (
    Conv,
    CosineLinear,
    Layer,
    Linear,
    Norm,
    draw_run,
    fan_out,
    load_run_state,
    pad_shortcut,
    run_state,
    take,
)
from ltbv.seeds import generator

RUNS, CHANNELS, CLASSES = 3, 2, 5
SMALL = Resnet(widths=(4, 8, 12), blocks=2)
NETS = {
    "linear": Net(),
    "cosine": Net(head=COSINE),
    "two_experts": Net(experts=2, head=COSINE),
    "three_wide_experts": Net(experts=3, width=1.0),
}
FLOAT64 = {"rtol": 1e-10, "atol": 1e-10}


# The plain network: one run, one expert, nothing but torch.nn.


class PlainBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.before, self.after = (outputs - inputs) // 2, (outputs - inputs) - (outputs - inputs) // 2
        self.stride = stride

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        b, _, h, w = x[:, :, :: self.stride, :: self.stride].shape
        zeros = [x.new_zeros(b, extra, h, w) for extra in (self.before, self.after)]
        return torch.relu(y + torch.cat([zeros[0], x[:, :, :: self.stride, :: self.stride], zeros[1]], 1))


class PlainCosine(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs))

    def forward(self, x):
        lengths = x.norm(dim=1, keepdim=True) * self.weight.norm(dim=1)
        return 30 * (x @ self.weight.T) / lengths


class PlainNet(nn.Module):
    """One run: stem, first stage, then for each expert the later stages and a head."""

    def __init__(self, net: Net, channels: int, widths: tuple[int, ...], blocks: int, classes: int):
        super().__init__()
        factor = net.width or (1.0 if net.experts == 1 else 0.75)
        first, *later = widths
        later = [int(width * factor) for width in later]
        self.conv = nn.Conv2d(channels, first, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(first)
        self.shared = nn.Sequential(*(PlainBlock(first, first, 1) for _ in range(blocks)))
        self.experts, self.heads = nn.ModuleList(), nn.ModuleList()
        for _ in range(net.experts):
            stages, inputs = [], first
            for width in later:
                for position in range(blocks):
                    stages.append(PlainBlock(inputs, width, 2 if position == 0 else 1))
                    inputs = width
            self.experts.append(nn.Sequential(*stages))
            cosine = net.head == COSINE
            self.heads.append(PlainCosine(inputs, classes) if cosine else nn.Linear(inputs, classes))

    def forward(self, x):
        shared = self.shared(torch.relu(self.bn(self.conv(x))))
        features = [expert(shared).mean((2, 3)) for expert in self.experts]
        return torch.stack([head(f) for head, f in zip(self.heads, features, strict=True)]), torch.stack(features)


def leaves(module: nn.Module) -> list[nn.Module]:
    return [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d | nn.Linear | PlainCosine)]


def pairs(stack, run: int, plain: PlainNet):
    """(stacked layer, copy, plain layer): the shared layers of a run, then those of each of its experts."""

    def layers(module):
        return [m for m in module.modules() if isinstance(m, Conv | Norm | Linear | CosineLinear)]

    shared = nn.ModuleList([plain.conv, plain.bn, plain.shared])
    yield from ((ours, run, theirs) for ours, theirs in zip(layers(stack.stem), leaves(shared), strict=True))
    for expert in range(stack.experts):
        copy = run * stack.experts + expert
        theirs = leaves(plain.experts[expert]) + leaves(plain.heads[expert])
        mine = layers(stack.branches) + layers(stack.heads)
        yield from ((a, copy, b) for a, b in zip(mine, theirs, strict=True))


def build(net: Net, runs: int = RUNS, dtype: torch.dtype = torch.float64):
    stack = net.build(SMALL, runs=runs, channels=CHANNELS, classes=CLASSES).to(dtype)
    for run in range(runs):
        draw_run(stack, run, runs, generator(4, run, "init"))
    return stack


@pytest.fixture(params=NETS.values(), ids=NETS)
def net(request) -> Net:
    return request.param


@pytest.fixture
def beside(net):
    """A stack of three in float64, with batch norms that matter, and three plain networks that hold the same."""
    stack = build(net)
    draw = torch.Generator().manual_seed(1)
    plain = [PlainNet(net, CHANNELS, (4, 8, 12), 2, CLASSES).double() for _ in range(RUNS)]
    with torch.no_grad():
        for name, parameter in stack.named_parameters():
            if "norm" in name or "stem.0.1" in name:
                parameter += 0.3 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
        for run, one in enumerate(plain):
            for ours, copy, theirs in pairs(stack, run, one):
                for name, tensor in theirs.named_parameters():
                    tensor.copy_(getattr(ours, name)[copy])
    return stack, plain


def images(batch: int = 6, side: int = 8) -> torch.Tensor:
    draw = torch.Generator().manual_seed(2)
    return torch.randn(batch, RUNS * CHANNELS, side, side, generator=draw, dtype=torch.float64)


def of_run(x: torch.Tensor, run: int) -> torch.Tensor:
    return x[:, run * CHANNELS : (run + 1) * CHANNELS]


def test_forward_backward_and_running_statistics_equal_plain_networks(beside):
    stack, plain = beside
    stack.train()
    x = images().contiguous(memory_format=torch.channels_last)
    pull = torch.randn(RUNS, stack.experts, 6, CLASSES, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    for _ in range(2):  # twice, so that running statistics are a mixture
        stack.zero_grad()
        logits, features = stack(x)
        (logits * pull).sum().backward()
        for run, one in enumerate(plain):
            one.train().zero_grad()
            expected, expected_features = one(of_run(x, run))
            torch.testing.assert_close(logits[run], expected, **FLOAT64)
            torch.testing.assert_close(features[run], expected_features, **FLOAT64)
            (expected * pull[run]).sum().backward()
            for ours, copy, theirs in pairs(stack, run, one):
                for name, tensor in theirs.named_parameters():
                    torch.testing.assert_close(getattr(ours, name).grad[copy], tensor.grad, **FLOAT64)
                for name, tensor in theirs.named_buffers():
                    if name != "num_batches_tracked":
                        torch.testing.assert_close(getattr(ours, name)[copy], tensor, **FLOAT64)


def test_evaluation_uses_the_running_statistics_as_plain_networks_do(beside):
    stack, plain = beside
    x = images()
    stack.train()(x)
    before = {name: tensor.clone() for name, tensor in stack.state_dict().items()}
    logits = stack.eval()(x).logits
    for run, one in enumerate(plain):
        one.train()(of_run(x, run))
        torch.testing.assert_close(logits[run], one.eval()(of_run(x, run))[0], **FLOAT64)
    assert all(torch.equal(before[name], tensor) for name, tensor in stack.state_dict().items())


def test_the_stack_learns_every_weight_there_is(beside):
    stack, plain = beside
    ours = sum(p.numel() for p in stack.parameters())
    assert ours == sum(p.numel() for one in plain for p in one.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_what_happens_in_one_run_leaves_the_others_equal_to_the_last_bit(net, dtype, mode):
    """Weights of NaN or other images in one run: outputs, gradients and statistics of the others are the same."""

    def outcome(spoil):
        stack = getattr(build(net, dtype=dtype), mode)()
        x = images().to(dtype).contiguous(memory_format=torch.channels_last)
        spoil(stack, x)
        logits, features = stack(x)
        (logits**2).sum((1, 2, 3)).backward(torch.ones(RUNS, dtype=dtype))
        grads = run_tensors({name: p.grad for name, p in stack.named_parameters()})
        return logits.detach()[::2], features.detach()[::2], grads, run_tensors(stack.state_dict())

    def run_tensors(named):
        """Of runs 0 and 2 only."""
        return {name: t.unflatten(0, (RUNS, -1))[::2].clone() for name, t in named.items()}

    def nan_weights(stack, x):
        del x
        with torch.no_grad():
            for parameter in stack.parameters():
                parameter.unflatten(0, (RUNS, -1))[1] = float("nan")

    def other_images(stack, x):
        del stack
        of_run(x, 1).mul_(-3).add_(1)

    def infinite_images(stack, x):
        del stack
        of_run(x, 1).fill_(float("inf"))

    def nothing(stack, x):
        del stack, x

    clean = outcome(nothing)
    for spoil in (nan_weights, other_images, infinite_images):
        spoilt = outcome(spoil)
        assert torch.equal(clean[0], spoilt[0]) and torch.equal(clean[1], spoilt[1]), spoil.__name__
        for part in (2, 3):
            for name, tensor in clean[part].items():
                assert torch.equal(tensor, spoilt[part][name]), (spoil.__name__, name)


def test_a_run_draws_the_same_weights_in_a_stack_of_any_size(net):
    three = build(net, dtype=torch.float32)
    for run in range(RUNS):
        one = net.build(SMALL, runs=1, channels=CHANNELS, classes=CLASSES)
        draw_run(one, 0, 1, generator(4, run, "init"))
        alone, among = run_state(one, 0, 1), run_state(three, run, RUNS)
        assert alone.keys() == among.keys()
        assert all(alone[name].tobytes() == among[name].tobytes() for name in alone)


def test_runs_and_experts_draw_different_weights(net):
    stack = build(net)
    for name, parameter in stack.named_parameters():
        if parameter.std() > 0 and "norm" not in name and not name.startswith("stem.0.1"):
            assert len(torch.unique(parameter.detach(), dim=0)) == len(parameter), name


def test_drawing_a_run_leaves_the_others_alone_and_resets_everything_of_its_own(net):
    stack = build(net)
    before = [run_state(stack, run, RUNS) for run in range(RUNS)]
    with torch.no_grad():
        for tensor in stack.state_dict().values():
            tensor.unflatten(0, (RUNS, -1))[1] += 1
    draw_run(stack, 1, RUNS, generator(4, 1, "init"))
    for run in range(RUNS):
        after = run_state(stack, run, RUNS)
        assert all((before[run][name] == after[name]).all() for name in after)


def test_the_state_of_a_run_goes_out_and_comes_in_at_another_place(net):
    stack, other = build(net), net.build(SMALL, runs=2, channels=CHANNELS, classes=CLASSES).double()
    stack.train()(images())
    for place, run in ((0, 2), (1, 0)):
        load_run_state(other, place, 2, {**run_state(stack, run, RUNS), "loss_by_epoch": np.zeros(3)})
    for place, run in ((0, 2), (1, 0)):
        sent, arrived = run_state(stack, run, RUNS), run_state(other, place, 2)
        assert sent.keys() == arrived.keys()
        assert all((sent[name] == arrived[name]).all() for name in sent)
    x = images()
    crossed = torch.cat([of_run(x, 2), of_run(x, 0)], 1)
    torch.testing.assert_close(other.eval()(crossed).logits, stack.eval()(x).logits[[2, 0]], **FLOAT64)


def test_the_state_of_a_run_is_a_copy(net):
    stack = build(net)
    state = run_state(stack, 0, RUNS)
    kept = {name: values.copy() for name, values in state.items()}
    with torch.no_grad():
        for tensor in stack.state_dict().values():
            tensor += 1
    assert all((kept[name] == state[name]).all() for name in state)


def test_a_state_that_lacks_something_is_not_loaded(net):
    stack = build(net)
    state = run_state(stack, 0, RUNS)
    del state[next(iter(state))]
    with pytest.raises(KeyError):
        load_run_state(stack, 0, RUNS, state)


def test_a_state_of_another_shape_is_not_loaded():
    wide = build(NETS["linear"])
    narrow = Net().build(Resnet(widths=(4, 8, 8), blocks=2), runs=1, channels=CHANNELS, classes=CLASSES)
    with pytest.raises((RuntimeError, ValueError)):
        load_run_state(wide, 0, RUNS, run_state(narrow, 0, 1))


# Layer by layer


def test_linear_is_torchs():
    layer, plain = Linear(2, 4, 3).double(), [nn.Linear(4, 3).double() for _ in range(2)]
    x = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        for copy, one in enumerate(plain):
            layer.weight[copy], layer.bias[copy] = one.weight, one.bias
    expected = torch.stack([one(part) for one, part in zip(plain, x, strict=True)])
    torch.testing.assert_close(layer(x), expected, **FLOAT64)


def test_cosine_linear_is_scaled_cosine_similarity():
    layer = CosineLinear(2, 4, 3, scale=7.0).double()
    for copy in range(2):
        layer.draw(copy, np.random.default_rng(copy))
    with torch.no_grad():
        layer.weight *= 5  # length is nothing
    x = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = 7 * F.cosine_similarity(x.unsqueeze(2), layer.weight.unsqueeze(1), dim=-1)
    torch.testing.assert_close(layer(x), expected, **FLOAT64)
    assert layer(torch.zeros_like(x)).isfinite().all()


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(4, 4, 1), (4, 8, 2), (3, 8, 2), (4, 7, 2), (4, 6, 1)])
def test_the_shortcut_pads_each_copy_on_both_sides(inputs, outputs, stride):
    x = torch.randn(2, 3 * inputs, 5, 5, generator=torch.Generator().manual_seed(0))
    extra = outputs - inputs
    expected = [
        F.pad(x[:, k * inputs : (k + 1) * inputs, ::stride, ::stride], (0, 0, 0, 0, extra // 2, extra - extra // 2))
        for k in range(3)
    ]
    assert torch.equal(pad_shortcut(x, 3, inputs, outputs, stride), torch.cat(expected, 1))


def test_fan_out_gives_each_expert_its_runs_maps():
    x = torch.randn(2, 3 * 4, 5, 5, generator=torch.Generator().manual_seed(0))
    parts = x.split(4, 1)
    expected = torch.cat([parts[run] for run in range(3) for _ in range(2)], 1)
    assert torch.equal(fan_out(x, 3, 2), expected) and torch.equal(fan_out(x, 3, 1), x)


def test_weights_are_drawn_as_stated():
    conv, linear = Conv(1, 64, 64), Linear(1, 400, 300)
    conv.draw(0, np.random.default_rng(0))
    linear.draw(0, np.random.default_rng(0))
    assert conv.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    assert linear.weight.std().item() == pytest.approx((2 / 400) ** 0.5, rel=0.02)
    assert linear.bias.abs().max().item() <= 1 / 20 and linear.bias.std().item() == pytest.approx(
        1 / 20 / 3**0.5, rel=0.1
    )
    cosine = CosineLinear(1, 50, 20)
    cosine.draw(0, np.random.default_rng(0))
    torch.testing.assert_close(cosine.weight.detach().norm(dim=-1), torch.ones(1, 20))


def test_a_scale_multiplies_each_classs_logit_of_each_copy():
    layer = Scale(2, 3).double()
    x = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.equal(layer(x), x), "as first made"
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    for copy in range(2):
        for k in range(3):
            torch.testing.assert_close(layer(x)[copy, :, k], (3 * copy + k + 1) * x[copy, :, k], **FLOAT64)
    layer.draw(1, np.random.default_rng(0))
    assert layer.weight.tolist() == [[1, 2, 3], [1, 1, 1]]


def test_the_nearest_mean_has_the_largest_logit_and_a_class_without_one_is_never_nearest():
    draw = torch.Generator().manual_seed(0)
    mean, centres, x = (torch.randn(2, *shape, 4, generator=draw, dtype=torch.float64) for shape in ((), (5,), (30,)))
    centres[1, 3] = torch.nan
    logits = NearestMean(mean, centres)(x)
    assert logits.isfinite().all() and logits.half().isfinite().all()
    for copy in range(2):
        for i in range(30):
            centred = x[copy, i] - mean[copy]
            squares = ((centred / centred.norm() - centres[copy]) ** 2).sum(-1).nan_to_num(nan=torch.inf)
            assert logits[copy, i].argmax() == squares.argmin()
            present = squares.isfinite()
            torch.testing.assert_close(logits[copy, i][present], 1 - squares[present], **FLOAT64)


def test_features_of_a_network_that_diverged_have_no_nearest_mean():
    centres = torch.full((2, 5, 4), torch.nan)
    centres[0] = torch.eye(5, 4)
    x = torch.ones(2, 3, 4)
    x[:, 1] = torch.nan
    logits = NearestMean(torch.zeros(2, 4), centres)(x)
    assert logits.isfinite().all(-1).tolist() == [[True, False, True]] * 2


# Some copies of a stack


def made(kind: str) -> tuple[Layer, torch.Tensor]:
    """A layer of three copies with numbers of its own, and what it may be given."""
    draw = torch.Generator().manual_seed(5)
    maps, vectors = ((2, 3 * 4, 5, 5), 4), ((3, 6, 4), 4)
    layer, (shape, _) = {
        "conv": (Conv(3, 4, 6, stride=2), maps),
        "norm": (Norm(3, 4), maps),
        "linear": (Linear(3, 4, 5), vectors),
        "cosine": (CosineLinear(3, 4, 5, scale=7.0), vectors),
        "scale": (Scale(3, 4), vectors),
        "nearest": (NearestMean(torch.zeros(3, 4), torch.zeros(3, 5, 4)), vectors),
    }[kind]
    layer = layer.double()
    with torch.no_grad():
        for tensor in layer.state_dict().values():
            tensor.copy_(torch.rand(tensor.shape, generator=draw, dtype=torch.float64) + 0.1)
    return layer, torch.randn(shape, generator=draw, dtype=torch.float64)


def of_copies(x: torch.Tensor, copies: list[int]) -> torch.Tensor:
    """Of maps [B, K*C, H, W] or vectors [K, B, D]."""
    return x.unflatten(1, (3, -1))[:, copies].flatten(1, 2) if x.dim() == 4 else x[copies]


KINDS = ["conv", "norm", "linear", "cosine", "scale", "nearest"]


@pytest.mark.parametrize("copies", [[0], [2], [1, 0], [2, 2], [0, 1, 2]], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_taken_copies_of_a_layer_say_what_they_say_in_the_stack(kind, copies):
    layer, x = made(kind)
    layer.eval()
    expected = of_copies(layer(x), copies)
    torch.testing.assert_close(layer.take(copies)(of_copies(x, copies)), expected, **FLOAT64)


@pytest.mark.parametrize("kind", KINDS)
def test_a_taken_layer_has_weights_of_its_own_and_neither_touches_the_other(kind):
    layer, x = made(kind)
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    learning = [p.requires_grad for p in layer.parameters()]
    taken = layer.take([1, 2])
    assert not any(p.requires_grad for p in taken.parameters())
    own = {name: tensor.clone() for name, tensor in taken.state_dict().items()}
    with torch.no_grad():
        for tensor in layer.state_dict().values():
            tensor += 1
    assert all(torch.equal(own[name], tensor) for name, tensor in taken.state_dict().items())
    with torch.no_grad():
        for name, tensor in layer.state_dict().items():
            tensor.copy_(before[name])
        for tensor in taken.state_dict().values():
            tensor.zero_()
    taken.train(False)(of_copies(x, [1, 2]))
    taken.train(True)(of_copies(x, [1, 2]))
    taken.eval()
    assert all(torch.equal(before[name], tensor) for name, tensor in layer.state_dict().items())
    assert layer.training and layer.copies == 3 and learning == [p.requires_grad for p in layer.parameters()]


def test_taken_copies_of_a_branch_say_what_they_say_in_the_stack():
    stack = build(Net(experts=2))
    x = images()
    stack.train()(x)
    stack.eval()
    maps = fan_out(stack.stem(x), RUNS, 2)
    expected = stack.branches(maps)
    given = maps.unflatten(1, (6, -1))
    for copies in ([0], [5], [3, 1]):
        found = take(stack.branches, copies)(given[:, copies].flatten(1, 2))
        torch.testing.assert_close(found, expected[copies], **FLOAT64)
    assert stack.branches[0].copies == 6
