"""Some experts of a stage learn, the others stand still to the bit: as if those that learn were trained alone."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from stages import BACKBONE, CPU, PROTOCOL, RUNS, Interrupted, Shelf, fresh, sample
from tape import Recorder
from torch import nn

from ltbv.data.batches import Feed
from ltbv.data.dataset import Augmentation
from ltbv.engine import train as engine
from ltbv.engine.cost import seconds_per_image
from ltbv.engine.replay import Replayed
from ltbv.engine.train import train
from ltbv.errors import Refusal
from ltbv.harness.describe import explanation
from ltbv.harness.keys import canonical
from ltbv.harness.study import resolve
from ltbv.losses import cross_entropy
from ltbv.methods import METHODS
from ltbv.methods.base import Loss, Method, Stage
from ltbv.methods.decoupling import Scales
from ltbv.methods.ride import Diversity
from ltbv.models.divided import MAPS, VECTORS, Divided
from ltbv.models.experts import Net
from ltbv.models.loop import Loop
from ltbv.models.parts import COSINE, Head
from ltbv.models.stack import Layer, Linear, by_run, draw_run
from ltbv.optimisers import AdamW
from ltbv.seeds import generator

NETS = {
    "linear": Net(experts=3),
    "cosine": Net(experts=3, head=COSINE),
    "scales": Net(experts=3, parts=(Scales(),)),
    "apart": Net(experts=3, apart=True),
}
SOME = Stage("some", Loss(cross_entropy), net=NETS["linear"], experts=(0, 2))


def trained(dataset, stage, runs=RUNS, dtype=torch.float64, network=None, record=None, **more):
    network = fresh(stage, runs, dtype) if network is None else network
    feed = Feed(
        dataset,
        np.stack([sample(run) for run in runs]),
        augmentation=Augmentation(pad=1, flip=True),
        device=CPU,
        dtype=dtype,
    )
    with pytest.MonkeyPatch.context() as patch:
        if record:
            patch.setattr(engine, "drive", lambda *given: Replayed(*given, record))
        history = train(stage, network, feed, more.pop("protocol", PROTOCOL), seed=0, runs=runs, **more)
    return network, history


def by_expert(tensor: torch.Tensor, experts: int = 3) -> torch.Tensor:
    """[R*E, ...] -> [E, R, ...]."""
    return tensor.unflatten(0, (-1, experts)).transpose(0, 1)


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_experts_that_stand_still_are_as_they_were_to_the_bit_and_the_others_learn(tiny, net):
    """Weight decay, momentum, running statistics: nothing of them reaches an expert that stands still."""
    stage = replace(SOME, net=net)
    before = fresh(stage, dtype=torch.float32).state_dict()
    after = trained(tiny, stage, dtype=torch.float32)[0].state_dict()
    assert before.keys() == after.keys()
    for name, tensor in after.items():
        if name.startswith("stem") and not net.apart:
            assert not torch.equal(tensor, before[name]), name
            continue
        now, then = by_expert(tensor), by_expert(before[name])
        assert torch.equal(now[1], then[1]), name
        moved = (now != then)[[0, 2]].flatten(2).any(2)
        assert moved.all(), name


@pytest.mark.parametrize("parts", [None, ("branches", "heads"), ("heads",)], ids=["all", "own", "heads"])
def test_experts_that_learn_do_as_if_they_were_alone(tiny, parts):
    """Two of three experts with a loss each, their stem too: as a network of two with the same weights."""
    stage = replace(SOME, train=parts)
    alone = replace(stage, net=Net(experts=2, width=0.75), experts=None)
    network = fresh(alone)
    for name, tensor in fresh(stage).state_dict().items():
        two = tensor if name.startswith("stem") else by_expert(tensor)[[0, 2]].transpose(0, 1).flatten(0, 1)
        network.state_dict()[name].copy_(two)
    expected = trained(tiny, alone, network=network)[0].state_dict()
    for name, tensor in trained(tiny, stage)[0].state_dict().items():
        two = tensor if name.startswith("stem") else by_expert(tensor)[[0, 2]].transpose(0, 1).flatten(0, 1)
        torch.testing.assert_close(two, expected[name], rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
@pytest.mark.parametrize("terms", ["loss", "diversity"])
def test_three_runs_at_once_are_three_runs_one_by_one(tiny, net, terms):
    objective = Loss(cross_entropy) if terms == "loss" else METHODS["ride_ce"].stages[0].objective
    stage = replace(SOME, net=net, objective=objective)
    together, history = trained(tiny, stage)
    for place, run in enumerate(RUNS):
        alone, own = trained(tiny, stage, (run,))
        np.testing.assert_allclose(own.losses[0], history.losses[place], rtol=1e-9)
        for name, tensor in together.state_dict().items():
            mine = tensor.unflatten(0, (len(RUNS), -1))[place]
            torch.testing.assert_close(mine, alone.state_dict()[name], rtol=1e-8, atol=1e-8, msg=name)


def test_diversity_sees_the_experts_that_stand_still(tiny):
    seen = []

    class Looks(Diversity):
        def of_run(self, output, labels, counts, now, given=()):
            seen.append(output.logits.shape)
            return Loss(cross_entropy).of_run(output, labels, counts, now)

    trained(tiny, replace(SOME, objective=Looks()))
    assert {shape[0] for shape in seen} == {3}


def test_a_stage_of_some_experts_goes_on_from_a_snapshot(tiny):
    whole, history = trained(tiny, SOME, dtype=torch.float32)
    shelf, heard = Shelf(), []

    def interrupt(images):
        heard.append(images)
        if len(heard) == 8:
            raise Interrupted

    with pytest.raises(Interrupted):
        trained(tiny, SOME, dtype=torch.float32, keeper=shelf, report=interrupt)
    resumed, again = trained(tiny, SOME, dtype=torch.float32, keeper=shelf)
    assert len(shelf.kept) == 2 and history.losses.tobytes() == again.losses.tobytes()
    assert all(torch.equal(tensor, resumed.state_dict()[name]) for name, tensor in whole.state_dict().items())


def test_recorded_steps_of_some_experts_are_the_eager_ones(tiny):
    one, other = (trained(tiny, SOME, dtype=torch.float32, record=record)[0] for record in (None, Recorder()))
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())


def test_with_an_optimiser_that_decays_what_has_no_gradient(tiny):
    """AdamW with decay, on the heads alone: the head that stands still keeps its bits."""
    stage = replace(SOME, own=(("heads", AdamW(learning_rate=0.1, weight_decay=0.5, clip=1.0)),), experts=(1,))
    before, after = fresh(stage).heads.weight, trained(tiny, stage)[0].heads.weight
    moved = (by_expert(before) != by_expert(after)).flatten(2).any(2)
    assert moved[1].all() and not moved[[0, 2]].any()


def somebodys():
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 6))


class Foreign:
    """Somebody's modules for branches."""

    def build_shared(self, copies, channels):
        del copies, channels
        return nn.Identity()

    def build_branch(self, copies, width_factor):
        del width_factor
        return Loop(
            copies, lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 6))
        )

    def features(self, width_factor):
        del width_factor
        return 6

    def map_size(self, size):
        del size


def test_foreign_experts_stand_still_too(tiny):
    network = SOME.net.build(Foreign(), runs=3, channels=2, classes=5)
    for run in RUNS:
        draw_run(network, run, 3, generator(0, run, "init"))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    after = trained(tiny, SOME, network=network, dtype=torch.float32)[0].state_dict()
    for name, tensor in after.items():
        if name.startswith("branches"):
            assert torch.equal(tensor, before[name]) == (int(name.split(".")[2]) % 3 == 1), name
    assert len(list(by_run(network, 3))) == 9 * 6 + 2


def test_experts_that_stand_still_are_asked_without_a_gradient_and_in_evaluation_mode(tiny):
    heard = []

    class Listens(Loss):
        def begin(self, network, feed, given, now):
            # what is taken of a stack shares the hooks of the whole: one is heard by both
            still = network.branches.still
            hear = lambda lane, *said: heard.append((lane is still, lane.training, torch.is_grad_enabled()))  # noqa: E731
            still.register_forward_hook(hear)

    trained(tiny, replace(SOME, objective=Listens(cross_entropy)))
    assert heard == [(False, True, True), (True, False, False)] * 9


class Padding(Layer):
    """In training each copy's channels, or features, are followed by zeros, as where layers are fused on a GPU."""

    def __init__(self, copies):
        super().__init__()
        self.copies = copies
        self.scale = nn.Parameter(torch.arange(1.0, copies + 1))

    def draw(self, copy, generator):
        raise NotImplementedError

    def forward(self, x):
        lanes = x.movedim(1, -1).unflatten(-1, (self.copies, -1)) if x.dim() == 4 else x.movedim(0, -2)
        lanes = torch.nn.functional.pad(lanes * self.scale[:, None], (0, 3 * self.training))
        return lanes.flatten(-2).movedim(-1, 1) if x.dim() == 4 else lanes.movedim(-2, 0)


@pytest.mark.parametrize("shape", [(5, 6 * 2, 4, 4), (6, 5, 2)], ids=["maps", "features"])
def test_what_is_padded_of_experts_that_learn_is_cut_off_where_others_have_none(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    plain = Padding(6).eval()(x)
    kind = MAPS if x.dim() == 4 else VECTORS
    torch.testing.assert_close(Divided(Padding(6), 2, 3, (1, 2), kind, kind).train()(x), plain)


@dataclass(frozen=True)
class OfTokens:
    """Six tokens of four numbers between stem and branches, whose experts give three numbers."""

    def build_shared(self, copies, channels):
        del channels
        return Loop(copies, lambda: nn.Sequential(nn.Conv2d(2, 6, 4, 4), nn.Flatten(2)), maps=True)

    def build_branch(self, copies, width_factor):
        del width_factor
        return Loop(copies, lambda: nn.Sequential(nn.LayerNorm(4), nn.Flatten(), nn.Linear(24, 3)), colour=False)

    def features(self, width_factor):
        del width_factor
        return 3

    def map_size(self, size):
        del size


@pytest.mark.parametrize("apart", [False, True])
def test_experts_divided_say_what_they_said_together_of_tokens_too(apart):
    """Between stem and branches are tokens [B, R*E*N, D], which are no features [R*E, B, D]: two runs, four images."""
    net = Net(experts=3, apart=apart, width=1.0)
    network = net.build(OfTokens(), runs=2, channels=2, classes=5).double()
    for run in range(2):
        draw_run(network, run, 2, generator(0, run, "init"))
    x = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = network.eval()(x)
    network.divide(net.names, (0, 2))
    for found, wanted in zip(network(x), expected, strict=True):
        assert torch.equal(found, wanted)
    network.join()
    assert torch.equal(network.eval()(x).logits, expected.logits)


# What a stage may say


class Joint(Head):
    joint = True

    def build(self, shape):
        return Linear(shape.runs, shape.features, shape.classes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"experts": ()}, r"trains the experts \(\); name some of 0, 1, 2"),
        ({"experts": (0, 3)}, r"\(0, 3\); name some of 0, 1, 2"),
        ({"experts": (0, 0)}, "each once"),
        ({"experts": (0, 1, 2)}, "leave it out: all learn"),
        ({"experts": 1}, "trains the experts 1; name some of"),
        ({"experts": (0,), "net": Net()}, "a net of several"),
        ({"experts": (0,), "start": "first", "reset": ("heads",)}, "draws heads anew, of experts that stand still too"),
        ({"experts": (0,), "train": ("stem",)}, "nothing learns"),
        ({"experts": (0,), "net": Net(experts=2, head=Joint())}, "one head for all of them"),
    ],
)
def test_a_choice_of_experts_that_is_none_is_refused(change, words):
    with pytest.raises(Refusal, match=words) as refusal:
        Method("mine", "Mine", stages=(replace(SOME, name="first", experts=None), replace(SOME, **change)))
    assert "\n" not in str(refusal.value) and "'some'" in str(refusal.value)


def test_a_stage_that_names_no_experts_has_the_key_that_it_had():
    assert "experts" not in canonical(replace(SOME, experts=None))
    assert canonical(SOME)["experts"] == [0, 2] != canonical(replace(SOME, experts=(1,)))["experts"]


def test_what_experts_stand_still_is_told_and_costs_less(own_methods):
    own_methods.SOME = Method("some", "Some", stages=(SOME,))
    own_methods.ALL = Method("all", "All", stages=(replace(SOME, experts=None),))
    assert "experts        0, 2 learn, the others stand still" in explanation("own_methods:SOME", "glyphs-lt")
    some, every = (
        resolve().cost(method)["training_images_times_macs"] for method in (own_methods.SOME, own_methods.ALL)
    )
    assert some == pytest.approx(every * (1 + 2 * 2 / 3) / 3)


def test_a_step_of_some_experts_can_be_timed():
    protocol = replace(PROTOCOL, backbone=BACKBONE)
    assert 0 < seconds_per_image(SOME, protocol, 2, (8, 8, 2), 5, "cpu", tries=1) < float("inf")
