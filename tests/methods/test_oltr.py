"""OLTR against the released code's numbers; its parts for several copies; runs that lost a class."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ltbv.data.batches import Feed
from ltbv.data.dataset import Augmentation, make_ids
from ltbv.errors import Refusal
from ltbv.methods.base import Moment
from ltbv.methods.oltr import OLTR, MapAttention, Modulation, centroid_loss, recalled, squashed_cosine
from ltbv.models.parts import Shape
from ltbv.models.resnet import Resnet
from ltbv.models.stack import draw_run
from ltbv.schedules import value

STAGE = OLTR.stages[-1]


def double(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


# The code's numbers


def test_the_embedding_and_its_gradients_are_those_of_the_code(golden):
    for case in golden("methods/oltr_head")["cases"]:
        weights = {name: double(case[name]) for name in case["gradients"]}
        features, centroids = double(case["features"]), double(case["centroids"]).detach()
        guess = features @ weights["fc_hallucinator_weight"].T + weights["fc_hallucinator_bias"]
        selector = features @ weights["fc_selector_weight"].T + weights["fc_selector_bias"]
        infused = recalled(features, guess, selector, centroids, torch.zeros(len(centroids)))
        logits = squashed_cosine(infused, weights["cosnorm_classifier_weight"])
        loss = F.cross_entropy(logits, torch.tensor(case["labels"]))
        loss.backward()
        scaled = np.array(case["reachability"])[:, None] * (
            np.array(case["features"]) + np.array(case["concept_selector"]) * case["memory_feature"]
        )
        np.testing.assert_allclose(infused.detach(), scaled, atol=1e-9)
        np.testing.assert_allclose(logits.detach(), case["logits"], atol=1e-9)
        assert loss.item() == pytest.approx(case["cross_entropy"], abs=1e-9)
        np.testing.assert_allclose(features.grad, case["gradient_features"], atol=1e-9)
        for name, expected in case["gradients"].items():
            np.testing.assert_allclose(weights[name].grad, expected, atol=1e-9)


def test_the_squashed_cosine_is_that_of_the_code_and_nothing_of_nothing(golden):
    for case in golden("methods/oltr_cosine")["cases"]:
        found = squashed_cosine(double(case["features"]), double(case["weight"]))
        np.testing.assert_allclose(found.detach(), case["logits"], atol=1e-9)
    nothing = torch.zeros(2, 4, dtype=torch.float64, requires_grad=True)
    found = squashed_cosine(nothing, double(case["weight"]))
    found.sum().backward()
    assert (found == 0).all() and nothing.grad.isfinite().all()


@pytest.mark.parametrize("copies", [1, 3])
def test_attention_is_that_of_the_code_in_every_copy(golden, copies):
    for case in golden("methods/oltr_attention")["cases"]:
        maps = double(case["maps"]).detach()
        layer = MapAttention(copies, maps.shape[1], maps.shape[2:]).double()
        for copy in range(copies):
            layer.draw(copy, np.random.default_rng(copy))
        others = torch.randn(copies, *maps.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        others[-1] = maps
        together = others.transpose(0, 1).flatten(1, 2)
        assert torch.equal(layer(together), together), "the identity at first"
        own = layer.copy_state(copies - 1)
        named = {f"{name}_weight": name for name in ("theta", "phi", "g")} | {"conv_mask_weight": "mask"}
        named |= {f"{name}_bias": f"{name}_bias" for name in ("theta", "phi", "g")}
        named |= {"fc_spatial_weight": "spatial", "fc_spatial_bias": "spatial_bias"}
        with torch.no_grad():
            for theirs, ours in named.items():
                own[ours].copy_(torch.tensor(case[theirs]).view_as(own[ours]))
        found = layer(together).unflatten(1, (copies, -1))
        np.testing.assert_allclose(found[:, -1].detach(), case["out"], atol=1e-9)
        assert torch.equal(found[:, : copies - 1], others[: copies - 1].transpose(0, 1)), "copies never touch"


def test_the_centroid_loss_and_its_gradients_are_those_of_the_code(golden):
    cases = golden("methods/oltr_centroid_loss")["cases"]
    assert {case["repel"] > 0 for case in cases} == {True, False}
    for case in cases:
        features, centroids = double(case["features"]), double(case["centroids"])
        loss = centroid_loss(features, torch.tensor(case["labels"]), centroids)
        loss.backward()
        assert loss.item() == pytest.approx(case["loss"], abs=1e-9)
        np.testing.assert_allclose(features.grad, case["gradient_features"], atol=1e-9)
        np.testing.assert_allclose(centroids.grad, case["gradient_centroids_of_the_code"], atol=1e-9)


def test_rates_drop_after_each_third_and_the_head_is_faster():
    rates = dict(STAGE.own) | {"": STAGE}
    for part, start in (("", 0.01), ("heads", 0.1), ("embedding", 0.1)):
        drops = [value(rates[part].learning_rate, epoch, 60) for epoch in (0, 19, 20, 39, 40, 59)]
        np.testing.assert_allclose(drops, np.array([1, 1, 0.1, 0.1, 0.01, 0.01]) * start)


# A class that is not there


@pytest.mark.parametrize("missing", [[], [1], [0, 3]])
def test_a_class_without_a_centroid_is_as_if_there_were_no_such_class(missing):
    draw = torch.Generator().manual_seed(2)
    features, selector = torch.randn(2, 6, 3, dtype=torch.float64, generator=draw)
    guess = torch.randn(6, 5, dtype=torch.float64, generator=draw)
    centroids = torch.randn(5, 3, dtype=torch.float64, generator=draw)
    there = [k for k in range(5) if k not in missing]
    flags = torch.tensor([float(k in missing) for k in range(5)], dtype=torch.float64)
    labels = torch.tensor([2, 4, 2, 2, 4, 4])
    ours = recalled(features, guess, selector, centroids, flags)
    expected = recalled(features, guess[:, there], selector, centroids[there], flags[there])
    torch.testing.assert_close(ours, expected)
    inside = torch.tensor([there.index(label) for label in labels.tolist()])
    torch.testing.assert_close(
        centroid_loss(features, labels, centroids, missing=flags), centroid_loss(features, inside, centroids[there])
    )


def test_a_feature_on_its_centroid_has_finite_logits_and_gradients():
    features = torch.ones(1, 3, dtype=torch.float64, requires_grad=True)
    centroids = torch.stack([torch.ones(3), torch.zeros(3)]).double()
    infused = recalled(features, torch.zeros(1, 2).double(), features, centroids, torch.zeros(2))
    squashed_cosine(infused, centroids + 1).sum().backward()
    assert infused.isfinite().all() and features.grad.isfinite().all()


def test_centroids_begin_as_class_means_and_say_which_class_is_missing(tiny):
    counts = [9, 6, 0, 2, 1]
    ids = [
        make_ids(np.repeat(np.arange(5), of), np.concatenate([np.arange(n) for n in of]))
        for of in (counts, counts[::-1])
    ]
    plain = Augmentation(pad=1, flip=True)
    feed = Feed(tiny, np.stack(ids), augmentation=plain, device=torch.device("cpu"), dtype=torch.float64)
    network = STAGE.net.build(Resnet(widths=(4, 8, 8), blocks=1), runs=2, channels=2, classes=5, size=(8, 8)).double()
    for run in range(2):
        draw_run(network, run, 2, np.random.default_rng(run))
    now = Moment(0, 1, torch.as_tensor(feed.counts))
    with torch.no_grad():
        STAGE.objective.begin(network.eval(), feed, (), now)
        (batch,) = feed.plain(100)
        features = network(batch.images).features[:, 0]
    assert network.centroids.missing.tolist() == [[0, 0, 1, 0, 0], [0, 0, 1, 0, 0]]
    for run in range(2):
        for k in (0, 1, 3, 4):
            mean = features[run, batch.labels[run] == k].mean(0)
            torch.testing.assert_close(network.centroids.weight[run, k].detach(), mean)
    found = STAGE.objective(network.train(), (batch,), (), now)
    found.losses.sum().backward()
    assert found.losses.isfinite().all()
    assert all(p.grad.isfinite().all() for p in network.parameters())
    assert (network.centroids.weight.grad[:, 2] == 0).all() and (network.centroids.weight.grad[:, 0] != 0).any()


def test_attention_over_maps_of_no_known_size_is_refused():
    with pytest.raises(Refusal, match="attention over the last maps needs to know their size"):
        Modulation().build(Shape(1, 1, 8, 5))
