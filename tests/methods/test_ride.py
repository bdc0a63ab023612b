"""RIDE's loss: the published values with gradients, and what each form of diversity must do whatever its numbers."""

from copy import deepcopy
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from ltbv.errors import Refusal
from ltbv.harness.study import resolve
from ltbv.harness.trainer import Trainer
from ltbv.losses import effective_number, focal, ldam, weighted_mean
from ltbv.methods import METHODS
from ltbv.methods.base import Loss, Moment, Objective, Sum
from ltbv.methods.ride import BETA, DEFERRED, Distillation, Diversity, class_share, ride_loss
from ltbv.models.experts import Output
from ltbv.schedules import Step
from ltbv.store import Store

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
        )
        assert (case["max_m"], case["s"]) == (0.5, 30), "the margins that `ldam` has"
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


# Other losses than LDAM


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("base_loss", ["cross_entropy", "focal"])
def test_a_base_loss_is_that_of_each_expert_by_its_formula(experts, base_loss, late):
    logits, labels, counts = experts
    weights = effective_number(counts, 0.9999 if late else 0.0)[labels]
    total = 0.0
    for z in logits:
        p = torch.softmax(z, -1)[range(6), labels]
        losses = -p.log() if base_loss == "cross_entropy" else (1 - p) * -p.log()
        total += ((weights * losses).sum() / weights.sum()).item()
    loss = ride_loss(*experts, reweighted=late, base_loss=base_loss, diversity_weight=0.0)
    assert loss.item() == pytest.approx(total, abs=1e-12)
    term = ride_loss(*experts, reweighted=late, base_loss=base_loss) - loss
    ldam_term = ride_loss(*experts, reweighted=late) - ride_loss(*experts, reweighted=late, diversity_weight=0.0)
    assert term.item() == pytest.approx(ldam_term.item(), abs=1e-10), "diversity does not ask which loss it is"


def test_ldam_by_its_name_is_the_default(published):
    _, logits, labels, counts = published
    for late in (False, True):
        named = ride_loss(logits, labels, counts, reweighted=late, base_loss="ldam")
        assert named.item() == ride_loss(logits, labels, counts, reweighted=late).item()


def test_an_unknown_base_loss_is_refused_with_the_nearest(experts):
    words = r"base loss 'focale' \(did you mean 'focal'\?\); there is: cross_entropy, focal, ldam"
    with pytest.raises(Refusal, match=words):
        ride_loss(*experts, reweighted=False, base_loss="focale")


@pytest.mark.parametrize("form", FORMS)
def test_without_distribution_awareness_temperatures_are_equal_and_weights_stay(form, experts):
    logits, labels, counts = experts
    early = diversity(form, logits, labels, counts, reweighted=False)
    late = diversity(form, logits, labels, counts, reweighted=True, distribution_aware=False)
    aware = diversity(form, logits, labels, counts, reweighted=True)
    assert late.item() == pytest.approx(early.item(), abs=1e-10)
    assert abs(aware.item() - early.item()) > 1e-4


@pytest.mark.parametrize(("switch", "late"), [(0.8, [False] * 8 + [True] * 2), (0.0, [True] * 10), (1.0, [False] * 10)])
def test_the_objective_is_the_loss_with_a_switch(experts, switch, late):
    logits, labels, counts = experts
    loss = Loss(focal, beta=Step(0.0, BETA, at=switch))
    objective = Sum((loss, Diversity("pairwise", 0.2, by_class=0.0, gamma=0.1)))
    for epoch in range(10):
        ours = objective.of_run(Output(logits, logits), labels, counts, Moment(epoch, 10, counts))
        expected = ride_loss(
            *experts,
            reweighted=late[epoch],
            base_loss="focal",
            diversity="pairwise",
            diversity_weight=0.2,
            distribution_aware=False,
            gamma=0.1,
        )
        assert ours.item() == expected.item()


# Distillation


@pytest.mark.parametrize("teachers", [1, 6])
@pytest.mark.parametrize(("epoch", "late", "released"), [(159, False, 125.58084), (160, True, 163.23022)])
def test_distillation_adds_the_published_term_once(published, teachers, epoch, late, released):
    """The released code counts both its loss and the term once for each of three experts."""
    found, logits, labels, counts = published
    teacher = torch.tensor(found["teacher_logits"], dtype=torch.float64).expand(teachers, -1, -1).clone()
    offsets = torch.randn(teachers, 8, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    teacher += offsets - offsets.mean(0)  # its mean logits are what counts
    given, now = (Output(teacher, teacher),), Moment(epoch, 200, counts)
    student = logits.clone().requires_grad_()
    total = Sum((*DEFERRED, Distillation())).of_run(Output(student, student), labels, counts, now, given)
    term = total.item() - ride_loss(logits, labels, counts, reweighted=late).item()
    assert term == pytest.approx(2.03511583, rel=2e-6)
    assert 3 * total.item() == pytest.approx(released, rel=2e-6)
    half = Sum((*DEFERRED, Distillation(weight=0.5))).of_run(Output(logits, logits), labels, counts, now, given)
    assert total.item() - half.item() == pytest.approx(term / 2, abs=1e-10)


def test_distillation_pulls_every_expert_towards_the_teacher_alike(published):
    """The gradient of T^2 KL(teacher || student) for each expert's logits: T (softmax(zbar / T) - teacher) / (E B)."""
    found, logits, labels, counts = published
    teacher = torch.tensor(found["teacher_logits"], dtype=torch.float64)
    now, z = Moment(0, 200, counts), logits.clone().requires_grad_()
    with_teacher = Sum((*DEFERRED, Distillation())).of_run(
        Output(z, z), labels, counts, now, (Output(teacher[None], teacher[None]),)
    )
    term = with_teacher - ride_loss(z, labels, counts, reweighted=False)
    expected = 1.5 * (torch.softmax(logits.mean(0) / 1.5, -1) - torch.softmax(teacher / 1.5, -1)) / (3 * 8)
    torch.testing.assert_close(torch.autograd.grad(term, z)[0], expected.expand(3, -1, -1), **FLOAT64)


@dataclass(frozen=True, eq=False)
class Overheard(Objective):
    """An objective, and what the given networks looked like each time before and after it was asked."""

    objective: Objective
    heard: list

    def __call__(self, network, batches, given, now):
        before = [deepcopy(teacher.state_dict()) for teacher in given]
        losses = self.objective(network, batches, given, now)
        modes = [module.training for teacher in given for module in teacher.modules()]
        learning = [parameter.requires_grad for teacher in given for parameter in teacher.parameters()]
        self.heard.append((before, [deepcopy(t.state_dict()) for t in given], modes, learning, losses[0].requires_grad))
        return losses


def test_the_teacher_is_that_of_its_stage_in_evaluation_mode_and_learns_nothing(tiny_lt, tmp_path, monkeypatch):
    method, heard = METHODS["ride_distil"], []
    teacher, student = method.stages
    watched = replace(method, stages=(teacher, replace(student, objective=Overheard(student.objective, heard))))
    monkeypatch.setattr("ltbv.harness.study.Study.stage_key", lambda study, method, stage: stage.name)
    shop = Trainer(resolve("tiny-lt"), Store(tmp_path), tiny_lt, (0, 1), device=torch.device("cpu"))
    shop.obtain(watched, watched.stages[1])
    of_stage = shop.obtain(watched, watched.stages[0]).state_dict()
    assert heard
    for before, after, modes, learning, _ in heard:
        assert len(before) == 1 and not any(modes) and not any(learning)
        for name, values in of_stage.items():
            assert torch.equal(before[0][name], values) and torch.equal(after[0][name], values), name


def test_the_teacher_of_ride_distil_is_ride_6s_network():
    study = resolve()
    distil, six = METHODS["ride_distil"], METHODS["ride_6"]
    assert study.stage_key(distil, distil.stages[0]) == study.stage_key(six, six.stages[0])
    assert distil.stages[1].given == (distil.stages[0].name,) and distil.stages[1].start is None
