"""Losses against published values, by identity, and by numerical gradient."""

import pytest
import torch
import torch.nn.functional as F

from ltbv.losses import (
    balanced_softmax,
    cross_entropy,
    effective_number,
    focal,
    inverse_power,
    ldam,
    ldam_margins,
    sigmoid_focal,
    softened,
    weighted_mean,
)

LOSSES = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "focal_half": lambda *args: focal(*args, gamma=0.5),
    "ldam": ldam,
    "balanced_softmax": balanced_softmax,
    "sigmoid_focal": sigmoid_focal,
    "sigmoid_focal_half": lambda *args: sigmoid_focal(*args, gamma=0.5),
}
FLOAT32 = {"rtol": 2e-6, "atol": 0.0}
FLOAT64 = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture
def published(golden):
    """Logits, labels and counts of the published values, in float64."""
    found = golden("methods/ldam_focal_cb")
    as_64 = {
        name: torch.tensor(found[name], dtype=torch.float64) for name in found if name.endswith(("BxC", "(unscaled)"))
    }
    return found, as_64, torch.tensor(found["targets"]), torch.tensor(found["counts"])


@pytest.fixture
def batch():
    """Seven examples of four classes, one of which the resample lost."""
    draw = torch.Generator().manual_seed(5)
    logits = torch.randn(7, 4, generator=draw, dtype=torch.float64)
    return logits, torch.tensor([0, 0, 1, 3, 3, 1, 0]), torch.tensor([50, 9, 0, 3])


def same(ours, value, **tolerance):
    torch.testing.assert_close(ours, torch.as_tensor(value, dtype=ours.dtype), **tolerance)


def test_margins_and_class_weights_match_the_published_ones(golden):
    counts = torch.tensor(golden("methods/ldam_focal_cb")["counts"])
    found = golden("methods/cb_weights_and_margins")
    for name, value in found.items():
        if "beta" in name:
            same(effective_number(counts, float(name.rpartition("beta")[2])), value, **FLOAT64)
        else:
            assert name.endswith("ldam_margins")
            same(ldam_margins(counts), value, **FLOAT64)


def test_margins_and_weights_beside_the_losses(published):
    found, _, _, counts = published
    same(ldam_margins(counts), found["margins_float64"], **FLOAT64)
    same(effective_number(counts, 0.9999), found["cb_weights_beta0.9999"], **FLOAT64)


def test_cross_entropy_matches(published):
    found, logits, labels, counts = published
    losses = cross_entropy(logits["plain_logits_BxC"], labels, counts)
    same(losses.mean().float(), found["ce_f32"], **FLOAT32)
    weights = effective_number(counts, 0.9999)
    weighted = weighted_mean(losses, labels, weights)
    same(weighted.float(), found["cb_ce_pytorch_mean(weighted_mean)_f32"], **FLOAT32)
    by_batch = weighted_mean(losses, labels, weights, by="batch")
    same(by_batch.float(), found["cb_ce_plain_mean_of_weighted(M2m,Cui)_f32"], **FLOAT32)
    same(by_batch, (weights[labels] * losses).sum() / 8, **FLOAT64)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_matches(published, gamma):
    found, logits, labels, counts = published
    losses = focal(logits["plain_logits_BxC"], labels, counts, gamma=gamma)
    same(losses.mean().float(), found[f"focal_LDAMrepo_gamma{gamma}_f32"], **FLOAT32)
    same(losses.mean().float(), found[f"focal_RIDErepo_gamma{gamma}_f32"], **FLOAT32)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_sigmoid_focal_matches_with_class_weights_and_without(published, gamma):
    """The authors' weighted loss is normalised by the number of images, here and there called its batch size."""
    found, logits, labels, counts = published
    losses = sigmoid_focal(logits["plain_logits_BxC"], labels, counts, gamma=gamma)
    for beta, name in ((0.0, "noCB"), (0.9999, "CB_beta0.9999")):
        ours = weighted_mean(losses, labels, effective_number(counts, beta), by="batch")
        same(ours, found[f"cui_focal_sigmoid_gamma{gamma}_{name}_f64"], **FLOAT64)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_a_class_weight_multiplies_focal_and_does_not_reach_into_it(published, gamma):
    """Unlike the published code whose p comes from the weighted loss."""
    found, logits, labels, counts = published
    weights = effective_number(counts, 0.9999)
    z = logits["plain_logits_BxC"]
    p = torch.softmax(z, -1)[range(8), labels]
    by_hand = (weights[labels] * (1 - p) ** gamma * -p.log()).sum() / 8
    ours = weighted_mean(focal(z, labels, counts, gamma=gamma), labels, weights, by="batch")
    same(ours, by_hand, **FLOAT64)
    assert abs(ours - found[f"focal_LDAMrepo_gamma{gamma}_CBweights(PITFALL: p=exp(-w*ce))_f32"]) > 1e-3


def test_ldam_matches_before_and_after_the_switch(published):
    found, logits, labels, counts = published
    losses = ldam(30 * logits["cosine_logits_BxC(unscaled)"], labels, counts, max_margin=0.5, scale=30.0)
    plain, deferred = (weighted_mean(losses, labels, effective_number(counts, beta)) for beta in (0.0, 0.9999))
    same(plain.float(), found["ldam_official_LDAMDRW_unscaled_input_f32"], **FLOAT32)
    same(plain.float(), found["ldam_RIDErepo_prescaled_input_ep160_f32"], **FLOAT32)
    same(deferred.float(), found["ldam_drw_official_LDAMDRW_f32"], **FLOAT32)
    same(deferred.float(), found["ldam_RIDErepo_prescaled_input_ep161_f32"], **FLOAT32)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
class TestEveryLoss:
    def test_is_per_example_and_finite_with_a_lost_class(self, loss, batch):
        losses = loss(*batch)
        assert losses.shape == (7,) and losses.isfinite().all() and (losses >= 0).all()
        for i in range(7):
            same(loss(batch[0][i : i + 1], batch[1][i : i + 1], batch[2])[0], losses[i], **FLOAT64)

    def test_gradients(self, loss, batch):
        logits, labels, counts = batch
        assert torch.autograd.gradcheck(lambda z: loss(z, labels, counts), logits.requires_grad_())

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_keeps_the_precision_of_the_logits(self, loss, batch, dtype):
        logits, labels, counts = batch
        assert loss(logits.to(dtype), labels, counts).dtype == dtype

    def test_mapped_over_runs_equals_one_by_one(self, loss):
        draw = torch.Generator().manual_seed(6)
        logits = torch.randn(3, 6, 4, generator=draw, dtype=torch.float64)
        labels = torch.randint(4, (3, 6), generator=draw)
        counts = torch.tensor([[50, 9, 4, 3], [40, 8, 0, 2], [5, 5, 5, 5]])
        mapped = torch.vmap(loss)(logits, labels, counts)
        same(mapped, torch.stack([loss(*run) for run in zip(logits, labels, counts, strict=True)]), **FLOAT64)

    def test_does_not_change_what_it_is_given(self, loss, batch):
        before = [tensor.clone() for tensor in batch]
        loss(*batch)
        assert all(torch.equal(a, b) for a, b in zip(before, batch, strict=True))


def test_focal_with_gamma_0_is_cross_entropy(batch):
    same(focal(*batch, gamma=0.0), cross_entropy(*batch), **FLOAT64)


def test_ldam_without_margin_is_cross_entropy(batch):
    same(ldam(*batch, max_margin=0.0), cross_entropy(*batch), **FLOAT64)


def test_ldam_takes_the_scaled_margin_off_the_true_class(batch):
    logits, labels, counts = batch
    moved = logits.clone()
    for i, y in enumerate(labels.tolist()):
        moved[i, y] -= 30 * 0.5 * (3 / counts[y].item()) ** 0.25
    same(ldam(*batch), F.cross_entropy(moved, labels, reduction="none"), **FLOAT64)


def test_balanced_softmax_is_its_formula(batch):
    """-log of n_y e^z_y / sum_k n_k e^z_k, classes without images left out of the sum."""
    logits, labels, counts = batch
    weight = counts.double() * logits.exp()
    same(balanced_softmax(*batch), -(weight[range(7), labels] / weight.sum(1)).log(), **FLOAT64)


def test_balanced_softmax_is_the_logit_adjusted_loss_and_cross_entropy_for_equal_counts(batch):
    logits, labels, counts = batch
    prior = torch.log(counts.double() / counts.sum())
    same(balanced_softmax(*batch), cross_entropy(logits + prior, labels), **FLOAT64)
    same(balanced_softmax(logits, labels, torch.full((4,), 9)), cross_entropy(logits, labels), **FLOAT64)


def test_balanced_softmax_pulls_at_present_classes_only(batch):
    logits, labels, counts = batch
    z = logits.clone().requires_grad_()
    balanced_softmax(z, labels, counts).sum().backward()
    assert z.grad.isfinite().all() and (z.grad[:, 2] == 0).all() and (z.grad[:, [0, 1, 3]] != 0).all()


def test_sigmoid_focal_is_a_question_for_each_class(batch):
    logits, labels, _ = batch
    p = torch.sigmoid(logits)
    total = torch.zeros(7, dtype=torch.float64)
    for i in range(7):
        for k in range(4):
            right = p[i, k] if labels[i] == k else 1 - p[i, k]
            total[i] += (1 - right) ** 2 * -right.log()
    same(sigmoid_focal(*batch, gamma=2.0), total, **FLOAT64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_where_logits_are_huge(name, dtype):
    """Right and wrong by so much that probabilities are 0 and 1 to the last bit."""
    size = 200.0 if dtype == torch.float32 else 2000.0
    logits = torch.tensor([[size, -size, -size], [-size, size, 0.0], [0.0, 0.0, 0.0]], dtype=dtype, requires_grad=True)
    losses = LOSSES[name](logits, torch.tensor([0, 0, 2]), torch.tensor([50, 9, 3]))
    losses.sum().backward()
    assert losses.isfinite().all() and (losses >= 0).all() and logits.grad.isfinite().all()
    assert losses[0] < 1e-6 < losses[1]


def test_focal_gradient_is_finite_where_the_loss_vanishes():
    """At p = 1 the factor (1 - p)^gamma has an infinite slope for gamma below 1; the loss must not become NaN."""
    logits = torch.tensor([[80.0, -80.0], [0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    focal(logits, torch.tensor([0, 0]), gamma=0.5).sum().backward()
    assert logits.grad.isfinite().all()


def test_effective_number_sums_to_the_number_of_classes():
    counts = torch.tensor([500, 40, 3, 1])
    for beta in (0.0, 0.9, 0.9999):
        same(effective_number(counts, beta).sum(), 4.0, **FLOAT64)
    same(effective_number(counts, 0.0), torch.ones(4), **FLOAT64)
    near_one = effective_number(counts, 1 - 1e-12)
    same(near_one, (1 / counts.double()) * 4 / (1 / counts.double()).sum(), rtol=1e-3, atol=0)


def test_a_lost_class_has_no_margin_and_no_weight_and_the_others_share():
    counts = torch.tensor([16, 0, 1])
    same(ldam_margins(counts), [0.25, 0.0, 0.5], **FLOAT64)
    weights = effective_number(counts, 0.9)
    assert weights[1] == 0
    same(weights.sum(), 3.0, **FLOAT64)
    same(weights[[0, 2]], effective_number(counts[[0, 2]], 0.9) * 1.5, **FLOAT64)
    same(effective_number(counts, 0.0), [1.5, 0.0, 1.5], **FLOAT64)


@pytest.mark.parametrize("beta", [1.0, -0.1, float("nan")])
def test_effective_number_refuses_a_beta_without_meaning(beta):
    with pytest.raises(ValueError, match="beta"):
        effective_number(torch.tensor([3, 2]), beta)


def test_weighted_mean_divides_by_the_weights():
    losses, labels = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 1, 1])
    same(weighted_mean(losses, labels, torch.tensor([3.0, 1.0])), (3 + 2 + 4) / 5)
    same(weighted_mean(losses, labels, torch.tensor([1.0, 1.0])), 7 / 3)


def test_weighted_mean_divides_by_the_batch_where_asked():
    losses, labels = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 1, 1])
    same(weighted_mean(losses, labels, torch.tensor([3.0, 1.0]), by="batch"), (3 + 2 + 4) / 3)
    same(weighted_mean(losses, labels, torch.tensor([3.0, 1.0]), by="weights"), (3 + 2 + 4) / 5)


@pytest.mark.parametrize("case", [0, 1])
def test_softened_targets_are_those_of_label_smoothing_by_image_or_for_all(golden, case):
    for name, eps, loss in (("los", "delta", "loss"), ("las", "smoothing", "loss_code")):
        of = golden(f"methods/{name}")["cases"][case]
        logits = torch.tensor(of["logits"], dtype=torch.float64, requires_grad=True)
        labels = torch.tensor(of["labels"])
        smoothing = torch.tensor(of[eps], dtype=torch.float64)
        ours = softened(logits, labels, smoothing[labels] if smoothing.dim() else of[eps]).mean()
        ours.backward()
        same(ours, of[loss], rtol=1e-9, atol=1e-9)
        same(logits.grad, of["gradient" if name == "los" else "gradient_code"], rtol=1e-9, atol=1e-9)


def test_weights_of_inverse_powers_sum_to_the_number_of_classes():
    counts = torch.tensor([8, 4, 0, 2])
    same(inverse_power(counts), [4 / 7, 8 / 7, 0, 16 / 7], **FLOAT64)
    same(inverse_power(counts, 0.0), [4 / 3, 4 / 3, 0, 4 / 3], **FLOAT64)
    same(torch.vmap(inverse_power)(torch.stack([counts, counts]))[1], inverse_power(counts), **FLOAT64)
