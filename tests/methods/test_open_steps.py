"""What a method of tomorrow needs, and may bring in its own file: is it there, for three runs at once as for one?

A virtual step, development images, the rate, numbers that change with every epoch, parts of its own with their own
optimiser that step before the others, what is remembered for an epoch, uniform draws, a batch for each expert, one head
for all of them. Everything in float64, where a stack equals its runs trained one by one.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tape import Recorder

from ltbv.data.batches import Feed
from ltbv.data.dataset import Augmentation, indices_of, labels_of, make_ids
from ltbv.data.development import hold_out
from ltbv.data.samplers import INSTANCE, ByClass, Deferred, Held, Sampler, Smote
from ltbv.engine import train as engine
from ltbv.engine.cost import check
from ltbv.engine.optimise import Optimisers
from ltbv.engine.protocol import Protocol
from ltbv.engine.replay import Replayed
from ltbv.engine.train import train
from ltbv.errors import Refusal
from ltbv.losses import cross_entropy
from ltbv.methods.base import Loss, Method, Net, Objective, Stage, Sum
from ltbv.methods.decoupling import Scales
from ltbv.models import virtual
from ltbv.models.parts import JOINT, Part
from ltbv.models.resnet import Resnet
from ltbv.models.stack import Layer, Linear, draw_run
from ltbv.optimisers import SGD, AdamW
from ltbv.schedules import Cosine, Warmup, value
from ltbv.seeds import generator

CROPS = Augmentation(pad=1, flip=True)

CPU = torch.device("cpu")
BACKBONE = Resnet(widths=(4, 8, 8), blocks=1)
PROTOCOL = Protocol(epochs=3, batch=16, learning_rate=Warmup(Cosine(0.1), warmup=2), backbone=BACKBONE)
RUNS, COUNTS, SPLITS = (0, 1, 2), [20, 10, 4, 2, 1], {"many": [0, 1], "medium": [2], "few": [3, 4]}


def sample(run: int) -> np.ndarray:
    draw = np.random.default_rng(run)
    parts = [draw.permutation(40)[:n] for n in COUNTS]
    return np.sort(make_ids(np.repeat(np.arange(5), COUNTS), np.concatenate(parts)))


def trained(dataset, stage, runs=RUNS, protocol=PROTOCOL, record=None, dtype=torch.float64):
    """The stage's stack, and its losses and accuracies."""
    network = stage.net.build(BACKBONE, runs=len(runs), channels=2, classes=5, size=(8, 8)).to(dtype)
    for place, run in enumerate(runs):
        draw_run(network, place, len(runs), generator(0, run, "init"))
    parts = [hold_out(sample(run), dataset.pool_sizes, stage.held, seed=0, run=run) for run in runs]
    feed = Feed(
        dataset, *(np.stack(part) for part in zip(*parts, strict=True)), augmentation=CROPS, device=CPU, dtype=dtype
    )
    with pytest.MonkeyPatch.context() as patch:
        made = []
        if record:
            patch.setattr(engine, "drive", lambda *given: made.append(Replayed(*given, record)) or made[0])
        history = train(stage, network, feed, protocol, seed=0, runs=runs, groups=SPLITS)
    assert not any(drive.gave_up for drive in made)
    return network, history


def states(network, runs: int) -> list[dict]:
    named = network.state_dict().items()
    return [{name: tensor.unflatten(0, (runs, -1))[run] for name, tensor in named} for run in range(runs)]


class Weigher(torch.nn.Module):
    """A weight for an image from its loss: sigmoid of a line, of each run."""

    def __init__(self, runs: int):
        super().__init__()
        self.line = Linear(runs, 1, 1)

    def forward(self, losses):
        return torch.sigmoid(self.line(losses.unsqueeze(-1))).squeeze(-1)


@dataclass(frozen=True)
class WeigherPart(Part):
    name = "weigher"

    def build(self, shape):
        return Weigher(shape.runs)


@dataclass(frozen=True)
class Weighed(Objective):
    """Images are weighed by a net that learns from development images, through a virtual step at the current rate."""

    def before(self, network, batches, given, now):
        here, live = batches[0], virtual.weights(network)
        losses = self.each(network, live, here)
        there = virtual.stepped(live, (network.weigher(losses.detach()).detach() * losses).sum(1), now.rate)
        towards = virtual.gradient(self.each(network, there, batches[1]).mean(1), there)
        losses, slopes = virtual.slopes(lambda at: self.each(network, at, here), live, towards)
        return -(now.rate * network.weigher(losses) * slopes).sum(1)

    def __call__(self, network, batches, given, now):
        losses = torch.vmap(cross_entropy)(network(batches[0].images).logits[:, 0], batches[0].labels)
        return (network.weigher(losses.detach()).detach() * losses).sum(1) / losses.shape[1]

    def each(self, network, at, batch):
        return torch.vmap(cross_entropy)(virtual.outputs(network, at, batch.images).logits[:, 0], batch.labels)


@dataclass(frozen=True)
class Noisy(Objective):
    """Labels are smoothed by an amount that grows, images darkened by draws, a class mean remembered for an epoch."""

    draws = 2

    def begin(self, network, feed, given, now):
        assert now.epoch == 0 and feed.counts.shape == (len(feed.counts), 5)
        network.heads.bias += 0.1

    def each_epoch(self, network, feed, given, now):
        plain = next(feed.plain(20))
        return {"seen": network(plain.images).features.mean((1, 2, 3))}

    def __call__(self, network, batches, given, now):
        (batch,) = batches
        assert batch.draws.shape == (*batch.labels.shape, 2) and batch.positions.shape == batch.labels.shape
        shade = batch.draws[..., 0].T.repeat_interleave(2, 1)[..., None, None].to(batch.images.dtype)
        logits = network(batch.images * (1 - 0.1 * shade)).logits[:, 0]
        tail = torch.isin(batch.labels, torch.tensor(now.groups["few"]))
        smooth = now.dial(Cosine(0.2)) * logits.logsumexp(-1).mean(1)
        return (torch.vmap(cross_entropy)(logits, batch.labels) * (1 + tail)).mean(1) + smooth * now.memory["seen"]


@dataclass(frozen=True)
class Branched(Objective):
    """Each of two experts sees a batch of its own; one head looks at both."""

    batch_each = True

    def __call__(self, network, batches, given, now):
        logits = network([batch.images for batch in batches]).logits[:, 0]
        one, two = (torch.vmap(cross_entropy)(logits, batch.labels).mean(1) for batch in batches)
        alpha = 1 - (now.epoch / now.epochs) ** 2
        return alpha * one + (1 - alpha) * two


@dataclass(frozen=True)
class Told(Objective):
    """Images are weighed by what was said once, when the stage began."""

    def from_given(self, feed, given, now):
        assert not given and now.epoch == 0
        return {"rare": 1 / now.counts.clamp(min=1).sqrt()}

    def each_epoch(self, network, feed, given, now):
        return {"half": now.memory["rare"] / 2}

    def __call__(self, network, batches, given, now):
        (batch,) = batches
        weights = (now.memory["rare"] + now.memory["half"]).gather(1, batch.labels)
        losses = torch.vmap(cross_entropy)(network(batch.images).logits[:, 0], batch.labels)
        return (weights * losses).sum(1) / weights.sum(1)


@dataclass(frozen=True)
class Gate(Part):
    """The last maps times a number a channel."""

    name = "gate"
    at = "maps"

    def build(self, shape):
        assert shape.size == (2, 2)
        return GateLayer(shape.copies, shape.features)


class GateLayer(Layer):
    def __init__(self, copies, features):
        super().__init__()
        self.copies, self.weight = copies, torch.nn.Parameter(torch.zeros(copies, features))

    def draw(self, copy, generator):
        self._fill(self.weight, copy, generator.standard_normal(self.weight.shape[1]))

    def forward(self, maps):
        return maps * torch.sigmoid(self.weight).flatten()[None, :, None, None]


STAGES = {
    "weighed": Stage(
        "weighed",
        Weighed(),
        net=Net(parts=(WeigherPart(),)),
        sampler=(INSTANCE, Held()),
        held=2,
        own=(("weigher", AdamW(learning_rate=0.01, weight_decay=0.0)),),
        first=("weigher",),
    ),
    "noisy": Stage("noisy", Noisy(), own=(("heads", SGD(learning_rate=Cosine(0.02), nesterov=False)),)),
    "told": Stage("told", Told()),
    "branched": Stage("branched", Branched(), net=Net(experts=2, head=JOINT), sampler=(INSTANCE, ByClass(-1.0))),
    "apart": Stage("apart", Branched(), net=Net(experts=2, head=JOINT, apart=True), sampler=(INSTANCE, ByClass(-1.0))),
    "gated": Stage("gated", Loss(cross_entropy), net=Net(experts=2, parts=(Gate(),))),
    "clipped": Stage("clipped", Loss(cross_entropy)),
}
PROTOCOLS = {"clipped": replace(PROTOCOL, optimiser=SGD(clip=0.3))}


@pytest.fixture(params=STAGES)
def case(request):
    return STAGES[request.param], PROTOCOLS.get(request.param, PROTOCOL)


def test_a_stage_is_a_recipe(case):
    Method("mine", "Mine", stages=(case[0],))


def test_three_runs_at_once_are_three_runs_one_by_one(case, tiny):
    stage, protocol = case
    network, history = trained(tiny, stage, protocol=protocol)
    for run, together in enumerate(states(network, 3)):
        alone, own = trained(tiny, stage, (run,), protocol)
        (separate,) = states(alone, 1)
        for name, tensor in together.items():
            torch.testing.assert_close(tensor, separate[name], rtol=1e-8, atol=1e-9, msg=name)
        np.testing.assert_allclose(history.losses[run], own.losses[0], rtol=1e-8)
        np.testing.assert_array_equal(history.accuracy[run], own.accuracy[0])


def test_every_part_moves(case, tiny):
    stage, protocol = case
    network, _ = trained(tiny, stage, protocol=protocol)
    still, _ = trained(tiny, replace(stage, learning_rate=0.0, epochs=1 / 3, own=()), protocol=protocol)
    begun = still.state_dict()
    for name, parameter in network.named_parameters():
        moved = (parameter.detach() != begun[name]).flatten(1).any(1)
        assert moved.all(), name


def test_recorded_steps_train_to_the_bits_of_eager_ones(case, tiny):
    stage, protocol = case
    one, history = trained(tiny, stage, protocol=protocol, dtype=torch.float32)
    record = Recorder()
    other, again = trained(tiny, stage, protocol=protocol, record=record, dtype=torch.float32)
    assert np.stack(history).tobytes() == np.stack(again).tobytes()
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())
    if stage.name in ("weighed", "noisy"):
        assert record.recorded == 2, "what changes with every epoch is a dial: once for each size of batch"


# Virtual steps


def test_what_is_asked_elsewhere_moves_nothing(tiny):
    network, _ = trained(tiny, STAGES["clipped"])
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    images = torch.randn(6, 6, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    live = virtual.weights(network)
    output = virtual.outputs(network, live, images)
    virtual.stepped(live, output.logits.square().sum((1, 2, 3)), 0.1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in virtual.weights(network).values())
    torch.testing.assert_close(network(images).logits, output.logits)


def test_slopes_are_what_double_backward_and_differences_give(tiny):
    network, _ = trained(tiny, STAGES["clipped"], (0,))
    draw = torch.Generator().manual_seed(1)
    images = torch.randn(7, 2, 8, 8, generator=draw, dtype=torch.float64)
    labels = torch.randint(5, (7,), generator=draw)
    live = virtual.weights(network)
    along = {name: torch.randn(w.shape, generator=draw, dtype=torch.float64) for name, w in live.items()}

    def each(at):
        return F.cross_entropy(virtual.outputs(network, at, images).logits[0, 0], labels, reduction="none")

    values, slopes = virtual.slopes(each, live, along)
    torch.testing.assert_close(values, each(live).detach())
    for i in range(7):
        gradient = virtual.gradient(each(live)[i], live)
        by_hand = sum((gradient[name] * along[name]).sum() for name in live)
        torch.testing.assert_close(slopes[i], by_hand, rtol=1e-9, atol=1e-10)


# Optimisers


def test_each_run_is_clipped_by_its_own_gradient(tiny):
    """A run whose loss is a hundred times another's changes nothing for its neighbours."""

    @dataclass(frozen=True)
    class Loud(Objective):
        louder: float

        def __call__(self, network, batches, given, now):
            losses = Loss(cross_entropy)(network, batches, given, now).losses
            return losses * torch.tensor([1.0, self.louder, 1.0])[: len(losses)]

    protocol = replace(PROTOCOL, optimiser=SGD(clip=0.3))
    plain, loud = (trained(tiny, Stage("s", Loud(by)), protocol=protocol)[0] for by in (1.0, 100.0))
    one, other = states(plain, 3), states(loud, 3)
    for run in (0, 2):
        assert all(torch.equal(one[run][name], other[run][name]) for name in one[run])
    assert not torch.equal(one[1]["heads.weight"], other[1]["heads.weight"])


def test_a_part_with_an_optimiser_of_its_own_follows_it_alone(tiny):
    """AdamW in its first step moves every weight by the rate, whatever the gradient."""
    stage = Stage("s", Loss(cross_entropy), own=(("heads", AdamW(learning_rate=0.01, weight_decay=0.0)),), epochs=1 / 3)
    protocol = replace(PROTOCOL, batch=64, learning_rate=0.0)
    moved, still = (trained(tiny, of, protocol=protocol)[0] for of in (stage, replace(stage, own=())))
    step = (moved.heads.weight - still.heads.weight).detach().abs()
    torch.testing.assert_close(step, torch.full_like(step, 0.01), rtol=1e-4, atol=1e-6)
    assert torch.equal(moved.stem[0][0].weight, still.stem[0][0].weight)


def test_accuracy_is_counted_beside_the_loss(tiny):
    stage = Stage("s", Loss(cross_entropy), learning_rate=0.0, epochs=1 / 3)
    network, history = trained(tiny, stage)
    assert ((history.accuracy > 0) & (history.accuracy < 1)).all()
    ids = np.stack([sample(run) for run in RUNS])
    feed = Feed(tiny, ids, augmentation=CROPS, device=CPU, dtype=torch.float64)
    network = stage.net.build(BACKBONE, runs=3, channels=2, classes=5).double().train()
    for place, run in enumerate(RUNS):
        draw_run(network, place, 3, generator(0, run, "init"))
    tables = feed.tables(0, RUNS, (0,), 0, 1, (INSTANCE,), batch=16)
    right = sum((network(b.images).logits[:, 0].argmax(-1) == b.labels).sum(1) for (b,) in feed.epoch(tables, 16))
    np.testing.assert_allclose(history.accuracy[:, 0], right / 37)


def test_what_is_not_counted_is_not_a_number(tiny):
    _, history = trained(tiny, STAGES["branched"])
    assert np.isnan(history.accuracy).all() and np.isfinite(history.losses).all()


# Development images


@pytest.mark.parametrize("per_class", [1, 3, 25])
def test_development_images_are_outside_the_sample_as_many_of_each_class(per_class):
    for run in range(3):
        ids = sample(run)
        left, held = hold_out(ids, np.full(5, 40), per_class, seed=0, run=run)
        assert not np.intersect1d(left, held).size and len(np.unique(held)) == len(held)
        assert np.bincount(labels_of(held)).tolist() == [per_class] * 5 and indices_of(held).max() < 40
        given_up = max(0, per_class - 20)  # of the largest class, of which 20 of 40 lie outside
        assert np.bincount(labels_of(left)).tolist() == [20 - given_up, *COUNTS[1:]]
        again = hold_out(ids, np.full(5, 40), per_class, seed=0, run=run)
        assert (again[0] == left).all() and (again[1] == held).all()
    one, other = (hold_out(sample(0), np.full(5, 40), per_class, seed=seed, run=0)[1] for seed in (0, 1))
    assert (one != other).any()


def test_a_class_keeps_an_image_to_train_on():
    ids = make_ids(np.repeat([0, 1], 20), np.tile(np.arange(20), 2))
    with pytest.raises(Refusal, match="class 0 has 20 images, 20 of them in run 4: too few to hold out 20 and"):
        hold_out(ids, np.array([20, 30]), 20, seed=0, run=4)


@pytest.mark.parametrize(("per_class", "size"), [(2, 10), (3, 15), (4, 16), (9, 16)])
def test_no_development_image_is_twice_in_a_batch_and_all_come(tiny, per_class, size):
    left, held = hold_out(sample(0), tiny.pool_sizes, per_class, seed=0, run=0)
    feed = Feed(tiny, left[None], held[None], augmentation=CROPS, device=CPU, dtype=torch.float32)
    seen = []
    for epoch in range(8):
        tables = feed.tables(0, (0,), (0,), epoch, 8, (INSTANCE, Held()), batch=16)
        for plain, development in feed.epoch(tables, 16):
            assert development.labels.shape[1] == size == len(development.images)
            positions = development.positions[0].tolist()
            assert len(set(positions)) == size and plain.labels.shape[1] in (16, 5)
            assert (labels_of(held)[positions] == development.labels[0].numpy()).all()
            seen += positions
    assert set(seen) == set(range(5 * per_class))


# What would be wrong without a word


def test_a_deferred_sampler_blends_as_the_one_that_drew_the_epoch(tiny):
    smote = Stage("s", Loss(cross_entropy), sampler=(Smote(3),))
    _, plain = trained(tiny, smote)
    _, deferred = trained(tiny, replace(smote, sampler=(Deferred(Smote(3), Smote(3), at=0.5),)))
    assert plain.losses.tobytes() == deferred.losses.tobytes()


def test_partners_that_nobody_blends_and_development_images_that_are_not_there_are_refused(tiny):
    @dataclass(frozen=True)
    class Forgetful(Smote):
        compose = Sampler.compose

    for sampler, words in ((Forgetful(), "names partners and blends nothing"), (Held(), "none are held out")):
        with pytest.raises(Refusal, match=words):
            trained(tiny, Stage("s", Loss(cross_entropy), sampler=(sampler,)))


@dataclass(frozen=True)
class Anew(Objective):
    """Dials a number that it makes in each call."""

    def __call__(self, network, batches, given, now):
        losses = Loss(cross_entropy)(network, batches, given, now).losses
        return losses * now.dial(lambda epoch, epochs: 1.0 + epoch)


def test_a_number_that_is_made_in_each_call_is_not_recorded(tiny, capfd):
    stage, made = Stage("s", Anew()), []
    _, eager = trained(tiny, stage, dtype=torch.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "drive", lambda *given: made.append(Replayed(*given, Recorder())) or made[0])
        _, recorded = trained(tiny, stage, dtype=torch.float32)
    assert made[0].gave_up and "dials a number that it makes anew" in capfd.readouterr().err
    assert recorded.losses.tobytes() == eager.losses.tobytes()


@dataclass(frozen=True)
class Own(Objective):
    """Remembers the head itself, which moves."""

    def each_epoch(self, network, feed, given, now):
        assert not network.training
        return {"head": network.heads.weight}

    def __call__(self, network, batches, given, now):
        assert network.stem.training
        moved = (network.heads.weight - now.memory["head"]).square().sum((1, 2))
        return Loss(cross_entropy)(network, batches, given, now).losses + moved


def test_what_is_remembered_stays_as_it_was_when_the_epoch_began(tiny):
    (one, history), (other, again) = (
        trained(tiny, Stage("s", Own()), record=record, dtype=torch.float32) for record in (None, Recorder())
    )
    assert history.losses.tobytes() == again.losses.tobytes()
    assert torch.equal(one.heads.weight, other.heads.weight)


def test_the_mean_loss_is_of_training_images_whatever_comes_first(tiny):
    @dataclass(frozen=True)
    class One(Objective):
        def __call__(self, network, batches, given, now):
            return 0 * network(batches[1].images).logits.sum((1, 2, 3)) + 1

    _, history = trained(tiny, Stage("s", One(), sampler=(Held(), INSTANCE), held=2))
    np.testing.assert_allclose(history.losses, 1)


@dataclass(frozen=True)
class Raw(Part):
    name = "raw"
    at = "features"

    def build(self, shape):
        return torch.nn.Linear(shape.features, shape.features)


FIRST = Stage("first", Loss(cross_entropy))


@dataclass(frozen=True)
class Begins(Loss):
    def begin(self, network, feed, given, now):
        network.heads.bias += 1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: Sum((Begins(cross_entropy),)), "Begins has `begin`, which a Sum of terms does not ask"),
        (
            lambda: Net(experts=2, head=JOINT, parts=(Scales(),)),
            "one head for all experts and a part at their logits",
        ),
        (lambda: check(Stage("s", FIRST.objective, net=Net(parts=(Raw(),))), PROTOCOL, (8, 8, 2), 5), "'raw.weight'"),
        (
            lambda: Method("m", "M", stages=(FIRST, Stage("b", FIRST.objective, start="first", held=10))),
            "holds out 10 images a class, which stage 'first', on which it stands, is trained on",
        ),
        (lambda: Method("m", "M", stages=(replace(FIRST, own=(("stem", SGD()), ("stem", SGD()))),)), "each once"),
        (lambda: Method("m", "M", stages=(replace(FIRST, train=("heads",), own=(("stem", SGD()),)),)), "that learn"),
    ],
)
def test_what_would_be_wrong_without_a_word_is_refused(wrong, words):
    with pytest.raises(Refusal, match=words):
        wrong()


def test_a_rate_is_scaled_with_the_protocols_where_both_are_of_one_rule(tiny):
    network, _ = trained(tiny, replace(FIRST, epochs=1 / 3))
    owned = replace(FIRST, own=(("heads", AdamW(learning_rate=0.01)), ("stem", SGD(learning_rate=0.2))))
    rates = []
    for protocol in (replace(PROTOCOL, scale=0.5), replace(PROTOCOL, scale=0.01, optimiser=AdamW())):
        groups = Optimisers(owned, network, protocol).groups
        rates.append({type(group.rule): value(group.rate, 0, 1) for group in groups if group.rule.learning_rate})
    assert rates == [{AdamW: 0.01, SGD: 0.1}, {AdamW: 0.01, SGD: 0.2}]
    with pytest.raises(Refusal, match="AdamW.* has no learning rate, and the stage's is that of SGD"):
        Optimisers(replace(FIRST, own=(("heads", AdamW()),)), network, PROTOCOL)
