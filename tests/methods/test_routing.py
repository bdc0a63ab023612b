"""Routing: the published targets, loss, decisions and answers; and that an expert is run for nobody who did not ask."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ltbv.data.batches import Batch
from ltbv.methods import METHODS
from ltbv.methods.base import Moment
from ltbv.methods.decoupling import Scales
from ltbv.methods.router import Router, Routing, means_so_far
from ltbv.methods.routing import ROUTED, RouterObjective, router_targets
from ltbv.models.experts import Experts, Net
from ltbv.models.parts import COSINE
from ltbv.models.resnet import Resnet
from ltbv.models.stack import Layer, draw_run
from ltbv.seeds import generator

FLOAT64 = {"rtol": 1e-10, "atol": 1e-10}
NOW = Moment(0, 1, torch.ones(1, 10))


# The published case: experts that give the features and logits of the image whose number is its only pixel.


class Remembered(Layer):
    """A branch: image number [B, K, 1, 1] -> that image's features [K, B, D], from a table [K, N, D].

    `asked` collects which copy was run on which images.
    """

    def __init__(self, table: Tensor):
        super().__init__()
        self.copies, self.asked = len(table), []
        self.register_buffer("table", table)
        self.register_buffer("which", torch.arange(len(table)))

    def forward(self, x: Tensor) -> Tensor:
        numbers = x.flatten(1).T.round().long()  # [K, B]
        self.asked += [(k, own.tolist()) for k, own in zip(self.which.tolist(), numbers, strict=True)]
        found = torch.stack([table[own] for table, own in zip(self.table, numbers, strict=True)], 1)
        return found.transpose(0, 1)


class Recognised(Layer):
    """A head: features [K, B, D] -> the logits [K, B, C] of the image that has them."""

    def __init__(self, features: Tensor, logits: Tensor):
        super().__init__()
        self.copies = len(features)
        self.register_buffer("features", features)
        self.register_buffer("logits", logits)

    def forward(self, x: Tensor) -> Tensor:
        image = torch.cdist(x, self.features).argmin(-1)
        return torch.stack([table[own] for table, own in zip(self.logits, image, strict=True)])


def remembering(found: dict, runs: int = 1) -> Experts:
    """The published experts and router, the same in each run."""
    logits, features = (
        torch.tensor(found[name], dtype=torch.float64).repeat(runs, 1, 1)
        for name in ("expert_logits", "expert_features(after_GAP)")
    )
    router = Router(runs, 2, found["feature_dim"], found["C"], found["top_choices_num"])
    own = [(Routing(found["top_choices_num"]), router)]
    network = Experts(runs, 3, nn.Identity(), Remembered(features), Recognised(features, logits), parts=own)
    learnt = {name: torch.tensor(values, dtype=torch.float64) for name, values in found["router_params"].items()}
    network.double()
    with torch.no_grad():
        for run in range(runs):
            for i in (0, 1):
                for name in ("weight", "bias"):
                    getattr(network.router.hidden, name)[2 * run + i] = learnt[
                        f"expert_help_pred_hidden_fcs.{i}.{name}"
                    ]
            for name in ("weight", "bias"):
                getattr(network.router.final, name)[run] = learnt[f"expert_help_pred_fc.{name}"]
    return network


@pytest.fixture
def published(golden):
    return golden("methods/ride_router")


def numbers(*order: list[int]) -> Tensor:
    """Images [B, R, 1, 1] that are their number, an order for each run."""
    return torch.tensor(order, dtype=torch.float64).T[:, :, None, None]


def test_targets_are_the_published_ones(published):
    logits = torch.tensor(published["expert_logits"], dtype=torch.float64)[None]
    labels = torch.tensor(published["targets"])[None]
    means = means_so_far(logits)
    right = (means.argmax(-1) == labels.unsqueeze(1)).int()[0].T
    assert right.tolist() == published["correct_after_first_k_experts"]
    assert router_targets(means, labels)[0].int().tolist() == published["router_target_y_on"]


def test_targets_are_where_those_so_far_are_wrong_and_some_later_mean_is_right():
    means = torch.randn(3, 5, 200, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(3, (3, 200), generator=torch.Generator().manual_seed(1))
    found = router_targets(means, labels)
    assert found.shape == (3, 4, 200)
    for r in range(3):
        for b in range(200):
            right = [means[r, i, b].argmax() == labels[r, b] for i in range(5)]
            assert found[r, :, b].tolist() == [not right[i] and any(right[i + 1 :]) for i in range(4)]


def test_the_loss_is_the_published_one_in_each_run(published):
    network = remembering(published, runs=2)
    order = [4, 2, 0, 5, 1, 3]
    labels = torch.tensor([published["targets"], [published["targets"][i] for i in order]])
    loss, _ = RouterObjective()(network, (Batch(numbers(list(range(6)), order), labels),), (), NOW)
    expected = published["train_loss(mean over K-1 routers)"]
    torch.testing.assert_close(loss.detach(), torch.full((2,), expected, dtype=torch.float64), rtol=2e-6, atol=0)


def test_the_loss_counts_a_target_of_one_as_often_as_it_says(published):
    network, labels = remembering(published), torch.tensor(published["targets"])[None]
    batch = Batch(numbers(list(range(6))), labels)
    scores = torch.tensor(published["router_scores_all_samples_pre_sigmoid"], dtype=torch.float64)
    targets = torch.tensor(published["router_target_y_on"], dtype=torch.float64)
    p = torch.sigmoid(scores)
    for weight in (1.0, 7.0):
        by_hand = -(weight * targets * p.log() + (1 - targets) * (1 - p).log()).mean()
        ours = RouterObjective(weight)(network, (batch,), (), NOW).losses[0]
        torch.testing.assert_close(ours.detach(), by_hand, rtol=2e-6, atol=0)


def test_decisions_and_answers_are_the_published_ones_in_each_run(published):
    network = remembering(published, runs=2).eval()
    order = [4, 2, 0, 5, 1, 3]
    with torch.no_grad():
        answer = ROUTED(network, numbers(list(range(6)), order))
    expected = torch.tensor(published["test_output_logits"], dtype=torch.float64)
    used = torch.tensor(published["test_num_experts"])
    torch.testing.assert_close(answer.logits, torch.stack([expected, expected[order]]), rtol=2e-6, atol=2e-6)
    assert torch.equal(answer.experts_used, torch.stack([used, used[order]]))


def test_an_expert_is_run_for_those_images_only_that_asked(published):
    """Images 0 to 5 use 2, 1, 3, 3, 2, 3 experts."""
    network = remembering(published).eval()
    with torch.no_grad():
        ROUTED(network, numbers(list(range(6))))
    assert network.branches.asked == [(0, [0, 1, 2, 3, 4, 5]), (1, [0, 2, 3, 4, 5]), (2, [2, 3, 5])]


def test_where_nobody_asks_no_further_expert_is_run(published):
    network = remembering(published).eval()
    with torch.no_grad():
        answer = ROUTED(network, numbers([1, 1]))
    assert answer.experts_used.tolist() == [[1, 1]] and network.branches.asked == [(0, [1, 1])]


def test_a_score_of_nothing_does_not_ask(published):
    """A sigmoid of exactly one half stops."""
    network = remembering(published).eval()
    with torch.no_grad():
        for parameter in network.router.parameters():
            parameter.zero_()
        answer = ROUTED(network, numbers(list(range(6))))
        assert (answer.experts_used == 1).all()
        network.router.final.bias.fill_(1e-9)
        assert (ROUTED(network, numbers(list(range(6)))).experts_used == 3).all()


# A network of its own


NETS = {
    "ride": Net(experts=4, head=COSINE, parts=(Routing(3),)),
    "two": Net(experts=2, parts=(Routing(30),)),
    "apart": Net(experts=3, apart=True, parts=(Routing(5),)),
    "scaled": Net(experts=3, parts=(Scales(), Routing(5))),
}


@pytest.fixture(params=NETS.values(), ids=NETS)
def network(request) -> Experts:
    """Three runs in float64, with running statistics of their own and routers that are of two minds."""
    net: Net = request.param
    network = net.build(Resnet(widths=(4, 8, 8), blocks=1), runs=3, channels=2, classes=5).double()
    for run in range(3):
        draw_run(network, run, 3, generator(0, run, "init"))
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        if hasattr(network, "scales"):
            network.scales.weight += torch.rand(network.scales.weight.shape, generator=draw, dtype=torch.float64)
        output = network.train()(images())
        scores = network.router(means_so_far(output.logits)[:, :-1], output.features[:, :-1])
        network.router.final.bias -= scores.flatten(1).median(1).values.unsqueeze(1)
    return network.eval()


def images(batch: int = 40) -> Tensor:
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(batch, 3 * 2, 8, 8, generator=draw, dtype=torch.float64)
    return x.contiguous(memory_format=torch.channels_last)


def test_stopping_early_answers_as_running_all_experts_and_leaving_out_those_not_asked(network):
    with torch.no_grad():
        output = network(images())
        scores = network.router(means_so_far(output.logits)[:, :-1], output.features[:, :-1])
        answer = ROUTED(network, images())
    used = torch.ones(3, 40, dtype=torch.long)
    for r in range(3):
        for b in range(40):
            while used[r, b] < network.experts and scores[r, used[r, b] - 1, b] > 0:
                used[r, b] += 1
            expected = output.logits[r, : used[r, b], b].mean(0)
            torch.testing.assert_close(answer.logits[r, b], expected, **FLOAT64)
    assert torch.equal(answer.experts_used, used)
    assert set(range(1, network.experts + 1)) == set(used.flatten().tolist()), "every exit is taken"


def test_an_image_is_answered_alike_in_any_company(network):
    with torch.no_grad():
        together = ROUTED(network, images())
        for b in (0, 7, 39):
            alone = ROUTED(network, images()[b : b + 1])
            torch.testing.assert_close(alone.logits[:, 0], together.logits[:, b], **FLOAT64)
            assert torch.equal(alone.experts_used[:, 0], together.experts_used[:, b])


def test_answering_leaves_the_network_as_it_was(network):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    learning = [parameter.requires_grad for parameter in network.parameters()]
    with torch.no_grad():
        ROUTED(network, images())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert modes == [module.training for module in network.modules()]
    assert learning == [parameter.requires_grad for parameter in network.parameters()]


def test_the_routers_loss_pulls_at_the_routers_alone_and_run_by_run(network):
    labels = torch.randint(5, (3, 40), generator=torch.Generator().manual_seed(4))
    network.requires_grad_(True)
    losses, _ = RouterObjective()(network, (Batch(images(), labels),), (), NOW)
    losses[1].backward()
    for name, parameter in network.named_parameters():
        if not name.startswith("router"):
            assert parameter.grad is None, name
        else:
            pull = parameter.grad.unflatten(0, (3, -1)).abs().flatten(1).sum(1)
            assert pull[1] > 0 and pull[0] == pull[2] == 0, name


def test_routed_methods_train_routers_alone_for_the_experts_of_the_stage_before():
    routed = [method for method in METHODS.values() if method.predict is ROUTED]
    assert [method.key for method in routed] == [
        *("ride_2_routed", "ride_routed", "ride_4_routed"),
        *("ride_2_distil_routed", "ride_distil_routed", "ride_4_distil_routed"),
    ]
    for method in routed:
        experts, router = method.stages[-2:]
        assert router.start == experts.name and router.train == ("router",) and router.reset == ()
        assert method.stages[:-1] == METHODS[method.key.removesuffix("_routed")].stages
        assert np.isclose(router.epochs, 0.1) and router.net.parts == (Routing(30),) and not experts.net.parts
