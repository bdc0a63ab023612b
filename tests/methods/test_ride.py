"""RIDE's loss: the published values with gradients, and what each form of diversity must do whatever its numbers."""

import pytest
import torch
from torch import Tensor

from ltbv.errors import Refusal
from ltbv.losses import effective_number, ldam, weighted_mean
from ltbv.methods.ride import class_share, ride_loss

FORMS = ("mean", "pairwise")
FLOAT64 = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture
def published(golden):
    """Expert logits [3, 8, 10], labels, counts of the published values, float64."""
    found = golden("methods/ride_loss")
    (name,) = (name for name in found if name.startswith("expert_logits"))
    return (
        found,
        torch.tensor(found[name], dtype=torch.float64),
        torch.tensor(found["targets"]),
        torch.tensor(found["counts"]),
    )


@pytest.fixture
def experts():
    """Logits [3, 6, 4] of three experts, labels, and counts with a class that the resample lost."""
    logits = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return logits, torch.tensor([0, 0, 1, 3, 3, 0]), torch.tensor([40, 10, 0, 2])


def individual(logits: Tensor, labels: Tensor, counts: Tensor, reweighted: bool) -> Tensor:
    """The loss without any diversity: every expert's own LDAM-DRW."""
    weights = effective_number(counts, 0.9999 if reweighted else 0.0)
    return sum(weighted_mean(ldam(z, labels, counts), labels, weights) for z in logits)


def diversity(form: str, logits: Tensor, labels: Tensor, counts: Tensor, *, reweighted: bool, **settings) -> Tensor:
    """The diversity term alone."""
    loss = ride_loss(logits, labels, counts, reweighted=reweighted, diversity=form, diversity_weight=1.0, **settings)
    return individual(logits, labels, counts, reweighted) - loss


def test_matches_the_published_loss_and_gradient(published):
    found, logits, labels, counts = published
    for case in found["cases"].values():
        z = logits.clone().requires_grad_()
        loss = ride_loss(
            z,
            labels,
            counts,
            reweighted=case["epoch_1based"] > case["reweight_epoch"],
            diversity="mean",
            diversity_weight=-case["additional_diversity_factor"],
            gamma=case["reweight_factor"],
            temperature=case["base_diversity_temperature"],
            max_margin=case["max_m"],
            scale=float(case["s"]),
        )
        torch.testing.assert_close(loss.item(), case["loss_float64"], **FLOAT64)
        assert loss.item() == pytest.approx(case["loss_float32_official"], rel=2e-6)
        loss.backward()
        expected = torch.tensor(case["grad_wrt_expert_logits_float64_KxBxC"], dtype=torch.float64)
        torch.testing.assert_close(z.grad, expected, **FLOAT64)


def test_defaults_are_the_published_settings(published):
    found, logits, labels, counts = published
    before, after = (ride_loss(logits, labels, counts, reweighted=late).item() for late in (False, True))
    assert before == pytest.approx(found["check_total_ep160"], abs=1e-10)
    assert after == pytest.approx(found["check_total_ep161"], abs=1e-10)


def test_parts_match_the_published_ones(published):
    found, logits, labels, counts = published
    parts = found["components_float64"]
    for late, ldam_part, kl_part in (
        (False, "ldam_ce_unweighted", "kl_T1"),
        (True, "ldam_ce_weighted", "kl_reweighted_T"),
    ):
        alone = ride_loss(logits, labels, counts, reweighted=late, diversity_weight=0.0)
        assert alone.item() == pytest.approx(sum(part[ldam_part] for part in parts), abs=1e-10)
        term = diversity("mean", logits, labels, counts, reweighted=late)
        square = parts[0]["temperature_mean"] ** 2 if late else 1.0
        assert term.item() == pytest.approx(square * sum(part[kl_part] for part in parts), abs=1e-10)


def test_temperatures_match_the_published_ones(golden):
    found = golden("methods/ride_temperature")["vectors"]["cifar10_exp_IF100_rf0.05"]
    counts = torch.tensor(golden("methods/ride_loss")["counts"])
    share = class_share(counts, 0.05)
    expected = torch.tensor(found["before_max_normalisation_float64"], dtype=torch.float64)
    torch.testing.assert_close(share, expected, **FLOAT64)
    torch.testing.assert_close(
        (share / share.max()).float(), torch.tensor(found["official_float32"]), rtol=2e-6, atol=0
    )
    assert share.mean().item() == pytest.approx(1.0, abs=1e-12)


def test_pairwise_is_the_equation_of_the_paper(experts):
    """Eq. 3 and 4 with loops: mean over the batch of 1/(E-1) sum_{j != i} KL(p_i || p_j), T = psi + 1 - max psi."""
    logits, labels, counts = experts
    share = [0.05 * 4 * n / 52 + 0.95 for n in counts.tolist()]
    for late in (False, True):
        by_class = torch.tensor([s + 1 - max(share) for s in share] if late else [1.0] * 4, dtype=torch.float64)
        p = torch.softmax(logits / by_class, -1)
        total = 0.0
        for i in range(3):
            for j in range(3):
                if i != j:
                    total += (p[i] * (p[i] / p[j]).log()).sum(-1).mean().item() / 2
        assert diversity("pairwise", logits, labels, counts, reweighted=late).item() == pytest.approx(total, abs=1e-10)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("form", FORMS)
class TestEitherForm:
    def test_weight_0_means_no_diversity_term(self, form, late, experts):
        loss = ride_loss(*experts, reweighted=late, diversity=form, diversity_weight=0.0)
        assert loss.item() == pytest.approx(individual(*experts, late).item(), abs=1e-12)

    def test_loss_is_linear_in_the_weight_and_a_positive_one_rewards(self, form, late, experts):
        losses = [
            ride_loss(*experts, reweighted=late, diversity=form, diversity_weight=w).item() for w in (0.0, 0.2, 0.4)
        ]
        assert losses[0] - losses[1] == pytest.approx(losses[1] - losses[2], abs=1e-10)
        assert losses[0] > losses[1]

    def test_equal_experts_have_no_diversity(self, form, late, experts):
        logits, labels, counts = experts
        equal = logits[:1].expand(3, -1, -1).clone()
        assert diversity(form, equal, labels, counts, reweighted=late).item() == pytest.approx(0, abs=1e-10)

    def test_one_expert_has_no_diversity(self, form, late, experts):
        logits, labels, counts = experts
        assert diversity(form, logits[:1], labels, counts, reweighted=late).item() == 0

    def test_diversity_is_never_negative(self, form, late, experts):
        logits, labels, counts = experts
        assert diversity(form, logits, labels, counts, reweighted=late).item() > 0

    def test_the_order_of_experts_is_nothing(self, form, late, experts):
        logits, labels, counts = experts
        losses = [
            ride_loss(logits[list(order)], labels, counts, reweighted=late, diversity=form).item()
            for order in ((0, 1, 2), (2, 0, 1), (1, 0, 2))
        ]
        assert losses == pytest.approx([losses[0]] * 3, abs=1e-10)

    def test_gradients(self, form, late, experts):
        """The released form lets no gradient through the consensus, so its loss is checked with the consensus held."""
        logits, labels, counts = experts
        z = logits.clone().requires_grad_()
        if form == "pairwise":
            assert torch.autograd.gradcheck(lambda z: ride_loss(z, labels, counts, reweighted=late, diversity=form), z)
            return
        share = class_share(counts, 0.05)
        by_class = share / share.max() if late else torch.ones_like(share)
        consensus = torch.softmax(logits.mean(0) / by_class, -1)

        def held(z):
            term = (consensus * (consensus.log() - torch.log_softmax(z / by_class, -1))).sum(-1).mean(-1).sum()
            return individual(z, labels, counts, late) - 0.45 * by_class.mean() ** 2 * term

        assert torch.autograd.gradcheck(held, z)
        expected = torch.autograd.grad(held(z), z)[0]
        loss = ride_loss(z, labels, counts, reweighted=late, diversity=form)
        torch.testing.assert_close(torch.autograd.grad(loss, z)[0], expected, **FLOAT64)

    def test_mapped_over_runs_equals_one_by_one(self, form, late):
        draw = torch.Generator().manual_seed(8)
        logits = torch.randn(2, 3, 6, 4, generator=draw, dtype=torch.float64)
        labels = torch.randint(2, (2, 6), generator=draw)
        counts = torch.tensor([[40, 10, 5, 2], [30, 8, 0, 1]])

        def one(z, y, n):
            return ride_loss(z, y, n, reweighted=late, diversity=form)

        expected = torch.stack([one(*run) for run in zip(logits, labels, counts, strict=True)])
        torch.testing.assert_close(torch.vmap(one)(logits, labels, counts), expected, **FLOAT64)

    def test_a_base_temperature_softens(self, form, late, experts):
        """At a high temperature all experts say the same; the released form multiplies that decline back."""
        logits, labels, counts = experts
        cold, hot = (
            diversity(form, logits, labels, counts, reweighted=late, temperature=t).item() for t in (1.0, 50.0)
        )
        hot = hot / 50**2 if form == "mean" else hot
        assert 0 < hot < cold / 100


def test_an_unknown_form_is_refused_with_the_nearest(experts):
    with pytest.raises(Refusal, match=r"'pairwize' \(did you mean 'pairwise'\?\); there is: mean, pairwise"):
        ride_loss(*experts, reweighted=False, diversity="pairwize")
