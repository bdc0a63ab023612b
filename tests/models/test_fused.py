"""The fused layer computes what the plain layers compute, padded or not: on a GPU, or in Triton's interpreter."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ltbv.models import experts as networks
from ltbv.models import fused
from ltbv.models.channels import narrow, padded, widen
from ltbv.models.experts import Net
from ltbv.models.resnet import Branch, Resnet
from ltbv.models.stack import Conv, Norm, conv_norm_add_relu, conv_norm_relu, draw_run, fan_out, pad_shortcut

pytest.importorskip("triton")


DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """Products in whole float32 on a GPU too."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture
def always(monkeypatch):
    """Training layers are fused without being asked, in float32."""
    monkeypatch.setattr(fused, "serves", lambda weight, x: True)
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda device: torch.float32)


def layers(copies: int, inputs: int, outputs: int, stride: int, kernel: int = 3) -> tuple[Conv, Norm]:
    draw = np.random.default_rng(outputs)
    conv, norm = Conv(copies, inputs, outputs, kernel, stride), Norm(copies, outputs)
    for run in range(copies):
        draw_run(conv, run, copies, draw)
        draw_run(norm, run, copies, draw)
    with torch.no_grad():
        for parameter in (norm.weight, norm.bias):
            parameter += torch.as_tensor(draw.normal(size=parameter.shape) / 2)
        norm.running_mean += 0.3
    return conv.to(DEVICE), norm.to(DEVICE)


def random(*shape: int, seed: int) -> torch.Tensor:
    x = torch.as_tensor(np.random.default_rng(seed).normal(size=shape), dtype=torch.float32)
    return x.to(DEVICE).contiguous(memory_format=torch.channels_last)


SHAPES = [  # copies, inputs, outputs, stride, batch, side, residual
    (3, 16, 16, 1, 3, 6, True),
    (2, 16, 16, 1, 2, 5, False),
    (2, 3, 16, 1, 4, 8, False),
    (5, 12, 24, 2, 3, 7, True),
    (1, 24, 48, 2, 3, 6, True),
    (9, 16, 32, 1, 2, 4, False),
]


@pytest.mark.parametrize("use_twin", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_is_the_plain_layers_with_their_gradients_and_running_statistics(shape, use_twin):
    copies, inputs, outputs, stride, batch, side, has_residual = shape
    after = -(-side // stride)
    found = []
    for is_fused in (False, True):
        conv, norm = layers(copies, inputs, outputs, stride)
        x = random(batch, copies * inputs, side, side, seed=1).requires_grad_()
        residual = random(batch, copies * outputs, after, after, seed=2).requires_grad_() if has_residual else None
        if is_fused:
            wide = fused.conv_norm_relu(conv, norm, x, residual, torch.float32)
            given = wide if has_residual else (wide, wide)
            assert given[0].shape[1] == copies * padded(outputs)
            y, twin = (narrow(one, copies, outputs) for one in given)
        else:
            y, twin = (
                conv_norm_add_relu(conv, norm, x, residual) if has_residual else [conv_norm_relu(conv, norm, x)] * 2
            )
        loss = (y * random(*y.shape, seed=3)).sum()
        if use_twin:
            loss = loss + (twin * random(*y.shape, seed=8)).sum()
        loss.backward()
        grads = [t.grad for t in (x, residual, *conv.parameters(), *norm.parameters()) if t is not None]
        found.append([y.detach(), norm.running_mean, norm.running_var, *grads])
    for plain, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)


def test_many_blocks_of_rows_add_up(monkeypatch):
    """Enough rows for several partial sums of several tiles each, and a last one that is not full."""
    from ltbv.models import passes

    monkeypatch.setattr(passes, "_processors", lambda device: 1)
    test_it_is_the_plain_layers_with_their_gradients_and_running_statistics((2, 16, 16, 1, 3, 11, True), use_twin=True)


def test_a_large_mean_leaves_the_variance_its_digits():
    """Values near 1000 with a spread near 1: sums of plain squares would keep two digits of the variance."""
    conv, norm = layers(2, 16, 16, 1, kernel=1)
    with torch.no_grad():
        conv.weight.copy_(torch.eye(16, device=DEVICE)[None, :, :, None, None].expand(2, -1, -1, -1, -1))
    x = random(4, 32, 8, 8, seed=4) + 1000
    ours = fused.conv_norm_relu(conv, norm, x, None, torch.float32)
    exact = F.relu(
        F.batch_norm(x.double(), None, None, norm.weight.flatten().double(), norm.bias.flatten().double(), True)
    )
    torch.testing.assert_close(ours.double(), exact, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("side", "kernel"), [((1, 5), 3), ((4, 1), 3), ((1, 1), 3), ((3, 2), 1)])
def test_odd_and_narrow_maps(side, kernel):
    for stride in (1, 2):
        conv, norm = layers(2, 16, 32, stride, kernel)
        found = []
        for is_fused in (True, False):
            x = random(5, 32, *side, seed=9).requires_grad_()
            conv.zero_grad()
            y = fused.conv_norm_relu(conv, norm, x, None, torch.float32) if is_fused else conv_norm_relu(conv, norm, x)
            (y * random(*y.shape, seed=10)).sum().backward()
            found.append([y.detach(), x.grad, conv.weight.grad])
        for ours, plain in zip(*found, strict=True):
            torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)


def test_one_value_a_channel_is_refused_as_torch_does():
    conv, norm = layers(2, 16, 16, 1)
    with pytest.raises(ValueError, match="two images"):
        fused.conv_norm_relu(conv, norm, random(1, 32, 1, 1, seed=0), None, torch.float32)


def test_a_second_derivative_is_an_error_and_not_nothing():
    conv, norm = layers(1, 16, 16, 1)
    x = random(2, 16, 4, 4, seed=0).requires_grad_()
    y = fused.conv_norm_relu(conv, norm, x, None, torch.float32).square().sum()
    (grad,) = torch.autograd.grad(y, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.square().sum().backward()


def test_what_is_not_a_number_stays_none():
    conv, norm = layers(2, 16, 16, 1)
    x = random(2, 32, 4, 4, seed=5)
    x[0, 3, 1, 1] = float("nan")
    y = fused.conv_norm_relu(conv, norm, x, None, torch.float32)
    assert y[:, :16].isnan().any() and y[:, 16:].isfinite().all(), "of its own copy, and of no other"


@pytest.mark.parametrize("channels", [1, 3, 6, 12, 16, 24, 48, 64])
def test_padding_is_taken_off_again(channels):
    x = random(2, 3 * channels, 4, 5, seed=6)
    wide = widen(x, 3, channels)
    assert wide.shape[1] == 3 * padded(channels) and torch.equal(narrow(wide, 3, channels), x)
    assert torch.equal(widen(wide, 3, channels), wide) and torch.equal(narrow(x, 3, channels), x)
    for outputs in (2 * channels, channels, max(1, channels // 2)):
        true, ours = (widen(pad_shortcut(m, 3, channels, outputs, 2), 3, outputs) for m in (x, wide))
        assert torch.equal(ours, true), outputs


@pytest.mark.parametrize("width", [1.0, 0.75, 0.25])
def test_a_whole_network_is_the_same_fused(width, always, monkeypatch):
    """Three stages with shortcuts between them, shared and branched: features and gradients, weights of true widths."""
    backbone = Resnet(widths=(8, 16, 32), blocks=1)
    found = []
    for is_fused in (True, False):
        if not is_fused:
            monkeypatch.setattr(fused, "serves", lambda weight, x: False)
        stem, branch = backbone.build_shared(2, 3).to(DEVICE), backbone.build_branch(4, width).to(DEVICE)
        for module, copies in ((stem, 2), (branch, 4)):
            for run in range(copies):
                draw_run(module, run, copies, np.random.default_rng(run))
        features = branch(fan_out(stem(random(4, 6, 8, 8, seed=7)), 2, 2))[..., : backbone.features(width)]
        features.square().sum().backward()
        parameters = [*stem.parameters(), *branch.parameters()]
        found.append([features.detach(), *(p.grad for p in parameters), *stem.buffers(), *branch.buffers()])
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("width", "experts"), [(0.75, 3), (1.0, 2), (0.75, 1)])
@pytest.mark.parametrize("side", [8, 5])
def test_experts_that_share_a_map_learn_as_from_a_map_each(width, experts, side, always, monkeypatch):
    """Where they part no copy of the map is made: features, gradients of weights and of the images are the same."""
    net = Net(experts=experts, width=width)
    found, fans = [], []
    monkeypatch.setattr(networks, "fan_out", lambda *given: fans.append(given) or fan_out(*given))
    for is_shared in (True, False):
        if not is_shared:
            monkeypatch.setattr(Branch, "shares", lambda self, x: False)
        stack = net.build(Resnet(widths=(16, 32, 64), blocks=1), runs=2, channels=3, classes=5).to(DEVICE)
        for run in range(2):
            draw_run(stack, run, 2, np.random.default_rng(run))
        images = random(3, 6, side, side, seed=7).requires_grad_()
        logits, features = stack(images)
        (features * random(*features.shape, seed=3)).sum().backward()
        assert len(fans) == (not is_shared)
        learned = [p.grad for p in (images, *stack.stem.parameters(), *stack.branches.parameters())]
        found.append([logits.detach(), features.detach(), *learned, *stack.buffers()])
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-3, atol=1e-3)


def test_a_branch_at_rest_is_given_maps_of_its_own(always):
    """It is not fused, and what is not fused shares nothing."""
    stack = Net(experts=2).build(Resnet(widths=(16, 32, 64), blocks=1), runs=2, channels=3, classes=5).to(DEVICE)
    maps = random(2, 32, 8, 8, seed=1)
    assert stack.branches.shares(maps) and not stack.eval().branches.shares(maps)
    assert stack(random(2, 6, 8, 8, seed=2)).logits.isfinite().all()
