"""tau-norm, cRT, LWS, NCM: published values and plain loops, on CE's network, of which nothing else changes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ltbv.data.batches import Feed
from ltbv.data.dataset import Augmentation, labels_of, make_ids
from ltbv.data.samplers import CLASS_BALANCED
from ltbv.engine.protocol import Protocol
from ltbv.engine.train import train
from ltbv.harness.study import resolve
from ltbv.harness.trainer import Trainer
from ltbv.methods import METHODS
from ltbv.methods.base import mean
from ltbv.methods.baseline import REPRESENTATION
from ltbv.methods.decoupling import Scales, TauNorm, nearest_class_mean, rescaled, retrained
from ltbv.models.experts import Experts, Net
from ltbv.models.resnet import Resnet
from ltbv.models.stack import draw_run
from ltbv.seeds import generator
from ltbv.store import Store

CROPS = Augmentation(pad=1, flip=True)

CPU = torch.device("cpu")
SMALL = Resnet(widths=(4, 4, 4), blocks=1)


@pytest.fixture
def stack():
    """Two runs of a small network with five classes and feature vectors of length four."""
    return Net().build(SMALL, runs=2, channels=1, classes=5).double()


@pytest.fixture
def lost() -> np.ndarray:
    """Ids [2, 25] of two runs; the second has no image of class 2 and one of class 4."""
    return np.stack([make_ids(np.repeat(np.arange(5), n), np.arange(25)) for n in ([12, 6, 3, 2, 2], [14, 7, 0, 3, 1])])


def put(stack, weight, bias) -> None:
    with torch.no_grad():
        stack.heads.weight.copy_(torch.as_tensor(weight, dtype=torch.float64))
        stack.heads.bias.copy_(torch.as_tensor(bias, dtype=torch.float64))


def drawn(net: Net, channels: int = 2) -> Experts:
    """Two runs as drawn, with running statistics of their own, in evaluation mode."""
    network = net.build(SMALL, runs=2, channels=channels, classes=5).double()
    for run in range(2):
        draw_run(network, run, 2, generator(0, run, "init"))
    network.train()(torch.randn(9, 2 * channels, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    return network.eval()


# tau-norm


@torch.no_grad()
def test_tau_norm_matches_the_published_weights(golden, stack):
    found = golden("methods/tau_norm")
    for tau, expected in found["tau"].items():
        put(stack, found["weight"], found["bias"])
        TauNorm(float(tau))(stack, None)
        expected = torch.tensor(expected, dtype=torch.float64).expand(2, -1, -1)
        torch.testing.assert_close(stack.heads.weight, expected, rtol=2e-6, atol=1e-9)
        assert (stack.heads.bias == 0).all()


@torch.no_grad()
def test_tau_1_gives_class_vectors_of_length_1_run_by_run(stack):
    draw = torch.Generator().manual_seed(1)
    put(stack, torch.randn(2, 5, 4, generator=draw, dtype=torch.float64), 1.0)
    before = stack.heads.weight.clone()
    TauNorm()(stack, None)
    torch.testing.assert_close(stack.heads.weight.norm(dim=-1), torch.ones(2, 5, dtype=torch.float64))
    direction = torch.cosine_similarity(before, stack.heads.weight, dim=-1)
    torch.testing.assert_close(direction, torch.ones_like(direction))


# NCM


@pytest.mark.parametrize("experts", [1, 2])
@torch.no_grad()
def test_the_nearest_class_mean_is_that_of_a_loop_over_images(tiny, lost, experts):
    """Features of whole training images, less their mean, of length 1; a class without images is never the answer."""
    network = drawn(Net(experts=experts))
    feed = Feed(tiny, lost, augmentation=Augmentation(2, True), device=CPU, dtype=torch.float64)

    def features(pixels: np.ndarray, run: int) -> np.ndarray:
        """[E, n, D], one image at a time."""
        values = (pixels / 255 - np.array(tiny.mean)) / np.array(tiny.std)
        of_all = [
            network(torch.tensor(value).permute(2, 0, 1).repeat(2, 1, 1)[None]).features[run, :, 0] for value in values
        ]
        return torch.stack(of_all, 1).numpy()

    answers = np.zeros((2, experts, len(tiny.test.labels), 5))
    for run in range(2):
        labels = labels_of(lost[run])
        own, asked = features(tiny.read(lost[run]), run), features(tiny.test.pixels, run)
        for e in range(experts):
            middle = own[e].mean(0)

            def directed(f, middle=middle):
                return (f - middle) / np.linalg.norm(f - middle)

            for k in range(5):
                members = [directed(f) for f in own[e][labels == k]]
                for n, f in enumerate(asked[e]):
                    distance = np.inf if not members else np.square(directed(f) - np.mean(members, 0)).sum()
                    answers[run, e, n, k] = 1 - distance
    nearest_class_mean(network, feed)
    values = (tiny.test.pixels / 255 - np.array(tiny.mean)) / np.array(tiny.std)
    logits = network(torch.tensor(values).permute(0, 3, 1, 2).repeat(1, 2, 1, 1)).logits.numpy()
    present = np.isfinite(answers)
    np.testing.assert_allclose(logits[present], answers[present], atol=1e-10)
    assert not present[1, :, :, 2].any() and (logits[1, :, :, 2] == -1e4).all()
    assert (logits.argmax(-1) == answers.argmax(-1)).all() and len(set(logits.argmax(-1).ravel())) > 2


@torch.no_grad()
def test_means_are_of_the_training_images_and_not_of_crops(tiny, lost):
    """Nothing is drawn: twice the same to the last bit, and the features are those without border or flip."""
    found = []
    for pad in (0, 3):
        network = drawn(Net())
        nearest_class_mean(
            network, Feed(tiny, lost, augmentation=Augmentation(pad, True), device=CPU, dtype=torch.float64)
        )
        found.append(network.heads.centres.nan_to_num())
    assert torch.equal(*found)


# cRT and LWS

PROTOCOL = Protocol(epochs=30, batch=16, learning_rate=0.1, backbone=SMALL)


def by_hand(network: Experts, learning: list[torch.Tensor], logits, feed: Feed, runs: tuple[int, ...]) -> None:
    """Three epochs of class-balanced cross-entropy for each run, Nesterov momentum and weight decay written out."""
    velocity = [torch.zeros_like(p) for p in learning]
    for epoch in range(3):
        rate = 0.1 * (1 + np.cos(np.pi * epoch / 3)) / 2
        for (batch,) in feed.epoch(feed.tables(0, runs, (1,), epoch, 3, (CLASS_BALANCED,), batch=16), 16):
            with torch.no_grad():
                features = network(batch.images).features
            found = logits(features)
            loss = sum(
                F.cross_entropy(found[r, e], batch.labels[r]) for r in range(len(runs)) for e in range(network.experts)
            )
            pulls = torch.autograd.grad(loss, learning)
            with torch.no_grad():
                for i, (p, pull) in enumerate(zip(learning, pulls, strict=True)):
                    pull = pull + 5e-4 * p
                    velocity[i] = 0.9 * velocity[i] + pull
                    p -= rate * (pull + 0.9 * velocity[i])


@pytest.mark.parametrize("experts", [1, 2])
def test_crt_trains_new_heads_on_the_features_as_they_are(tiny, lost, experts):
    stage = retrained(replace(REPRESENTATION, net=Net(experts=experts)))
    network, feed = drawn(stage.net), Feed(tiny, lost, augmentation=CROPS, device=CPU, dtype=torch.float64)
    weight, bias = (
        p.detach().clone().unflatten(0, (2, experts)).requires_grad_()
        for p in (network.heads.weight, network.heads.bias)
    )
    by_hand(network, [weight, bias], lambda f: f @ weight.transpose(-1, -2) + bias.unsqueeze(2), feed, (0, 1))
    train(stage, network, feed, PROTOCOL, seed=0, runs=(0, 1), draws=(1,))
    torch.testing.assert_close(network.heads.weight.unflatten(0, (2, experts)), weight, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(network.heads.bias.unflatten(0, (2, experts)), bias, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("experts", [1, 2])
def test_lws_trains_a_factor_for_each_class_and_nothing_else(tiny, lost, experts):
    stage = rescaled(replace(REPRESENTATION, net=Net(experts=experts)))
    network, feed = drawn(stage.net), Feed(tiny, lost, augmentation=CROPS, device=CPU, dtype=torch.float64)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    weight, bias = (before[f"heads.{name}"].unflatten(0, (2, experts)) for name in ("weight", "bias"))
    factors = torch.ones(2, experts, 5, dtype=torch.float64, requires_grad=True)
    by_hand(
        network,
        [factors],
        lambda f: (f @ weight.transpose(-1, -2) + bias.unsqueeze(2)) * factors.unsqueeze(2),
        feed,
        (0, 1),
    )
    train(stage, network, feed, PROTOCOL, seed=0, runs=(0, 1), draws=(1,))
    torch.testing.assert_close(network.scales.weight.unflatten(0, (2, experts)), factors, rtol=1e-9, atol=1e-9)
    assert {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])} == {
        "scales.weight"
    }


def shop(dataset, path) -> Trainer:
    return Trainer(resolve(dataset.name), Store(path), dataset, (0, 1, 2), device=CPU)


@pytest.mark.parametrize(("key", "base"), [("lws", "ce"), ("ride_lws", "ride_ce")])
def test_lws_begins_as_the_network_it_stands_on(tiny_lt, tmp_path, key, base):
    """With a learning rate of 0 it says what the first stage says, to the last bit; trained, its logits are scaled."""
    lws, here = METHODS[key], shop(tiny_lt, tmp_path)
    still = replace(lws, stages=(lws.stages[0], replace(lws.stages[1], learning_rate=0.0)))
    images = here.test.block(slice(None), 3)
    begun, trained, first = (here.finished(method) for method in (still, lws, METHODS[base]))
    with torch.no_grad():
        assert torch.equal(mean(begun, images).logits, mean(first, images).logits)
        factors = trained.scales.weight.unflatten(0, (3, -1)).unsqueeze(2)
        assert (factors != 1).all()
        torch.testing.assert_close(trained(images).logits, first(images).logits * factors)


def test_crt_draws_its_heads_anew(tiny_lt, tmp_path):
    crt, here = METHODS["crt"], shop(tiny_lt, tmp_path)
    still = replace(crt, stages=(crt.stages[0], replace(crt.stages[1], learning_rate=0.0)))
    before, after = (here.obtain(still, stage).state_dict() for stage in still.stages)
    differing = {name for name in before if not torch.equal(before[name], after[name])}
    assert differing == {"heads.weight", "heads.bias"}
    for run in range(3):
        assert after["heads.weight"][run].std() == pytest.approx((2 / 8) ** 0.5, rel=0.5), "as drawn, not as trained"
    assert len(torch.unique(after["heads.weight"], dim=0)) == 3


# What they stand on


@pytest.mark.parametrize(("base", "prefix"), [("ce", ""), ("ride_ce", "ride_")])
def test_all_stand_on_one_network(base, prefix):
    first = METHODS[base].stages
    assert METHODS[f"{prefix}tau_norm"].stages == first
    crt, lws = (METHODS[prefix + key] for key in ("crt", "lws"))
    assert crt.stages[:1] == lws.stages[:1] == first and len(crt.stages) == len(lws.stages) == 2
    classifier, scales = crt.stages[1], lws.stages[1]
    assert (classifier.start, classifier.reset, classifier.train) == (first[0].name, ("heads",), ("heads",))
    assert (scales.start, scales.reset, scales.train) == (first[0].name, (), ("scales",))
    assert classifier.sampler == scales.sampler == (CLASS_BALANCED,)
    assert classifier.epochs == scales.epochs == 0.1
    assert scales.net == replace(first[0].net, parts=(Scales(),)) and classifier.net == first[0].net


def test_ncm_and_tau_norm_train_nothing_of_their_own():
    assert METHODS["ncm"].stages == METHODS["tau_norm"].stages == METHODS["ce"].stages
    assert METHODS["ncm"].posthoc is nearest_class_mean and METHODS["tau_norm"].posthoc == TauNorm(1.0)
