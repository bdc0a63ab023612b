"""The loop: a stack equals each run trained alone, what happens in one run stays there, what is frozen stays."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from stages import CPU, PLAIN, PROTOCOL, RUNS, SPLITS, STAGES, Interrupted, Shelf, fed, fresh, nan_weights, sample

from ltbv.data.batches import Feed
from ltbv.data.dataset import Augmentation, make_ids
from ltbv.data.samplers import INSTANCE
from ltbv.engine.train import stage_epochs, train
from ltbv.losses import cross_entropy
from ltbv.methods import METHODS
from ltbv.methods.base import Loss
from ltbv.methods.decoupling import Scales
from ltbv.methods.router import Routing
from ltbv.models.experts import Net
from ltbv.models.stack import run_state
from ltbv.schedules import Step

CROPS = Augmentation(pad=1, flip=True)


def trained(dataset, stage=PLAIN, runs=RUNS, dtype=torch.float64, spoil=lambda network: None, ids=None, **settings):
    """The network of a stage after training, and its losses."""
    network = fresh(stage, runs, dtype)
    spoil(network)
    feed = fed(dataset, stage, runs, ids, dtype=dtype)
    losses, _ = train(
        stage, network, feed, settings.pop("protocol", PROTOCOL), seed=0, runs=runs, groups=SPLITS, **settings
    )
    return network, losses


def test_a_stack_equals_a_loop_written_out_for_each_run(tiny):
    """Cross-entropy, one run at a time, momentum and Nesterov by hand: weights, statistics and losses to 1e-10."""
    network, losses = trained(tiny)
    for run in RUNS:
        alone = fresh(PLAIN, (run,))
        feed = Feed(tiny, sample(run)[None], augmentation=CROPS, device=CPU, dtype=torch.float64)
        velocity = {name: torch.zeros_like(p) for name, p in alone.named_parameters()}
        for epoch, rate in enumerate((0.05, 0.1, 0.01)):
            total, seen = 0.0, 0
            for (batch,) in feed.epoch(feed.tables(0, (run,), (0,), epoch, 3, (INSTANCE,), batch=16), 16):
                alone.zero_grad()
                loss = F.cross_entropy(alone(batch.images).logits[0, 0], batch.labels[0])
                loss.backward()
                with torch.no_grad():
                    for name, p in alone.named_parameters():
                        pull = p.grad + 5e-4 * p
                        velocity[name] = 0.9 * velocity[name] + pull
                        p -= rate * (pull + 0.9 * velocity[name])
                total, seen = total + loss.item() * len(batch.labels[0]), seen + len(batch.labels[0])
            assert losses[run, epoch] == pytest.approx(total / seen, abs=1e-10)
        expected = run_state(alone, 0, 1)
        for name, values in run_state(network, run, 3).items():
            np.testing.assert_allclose(values, expected[name], rtol=1e-10, atol=1e-10, err_msg=name)


def huge_weights(network) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.unflatten(0, (3, -1))[1] *= 1e6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_what_happens_in_one_run_leaves_the_others_equal_to_the_last_bit(tiny, stage, dtype):
    """Whatever is done to it in float32; in float64, which has kernels of its own, another sample."""
    clean, losses = trained(tiny, stage, dtype=dtype)
    other_sample = np.stack([sample(0), sample(1, variant=1), sample(2)])
    spoilt = ({"spoil": nan_weights}, {"spoil": huge_weights}) if dtype == torch.float32 else ()
    for change in (*spoilt, {"ids": other_sample}):
        network, found = trained(tiny, stage, dtype=dtype, **change)
        assert not np.array_equal(losses[1], found[1])
        for run in (0, 2):
            assert losses[run].tobytes() == found[run].tobytes()
            before, after = run_state(clean, run, 3), run_state(network, run, 3)
            assert all(before[name].tobytes() == after[name].tobytes() for name in before), change


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_a_stage_that_goes_on_from_a_snapshot_ends_as_one_never_interrupted(tiny, stage):
    """Interrupted in its third epoch of three, whatever the stage's own length and batch."""
    stage = replace(stage, epochs=1.0)
    every, heard = [], []
    whole, losses = trained(tiny, stage, dtype=torch.float32, report=every.append)
    shelf = Shelf()

    def interrupt(images):
        heard.append(images)
        if 3 * sum(heard) > 2 * sum(every):
            raise Interrupted

    with pytest.raises(Interrupted):
        trained(tiny, stage, dtype=torch.float32, keeper=shelf, report=interrupt)
    assert len(shelf.kept) == 2
    resumed, again = trained(tiny, stage, dtype=torch.float32, keeper=shelf, spoil=nan_weights)
    assert losses.tobytes() == again.tobytes()
    assert all(torch.equal(tensor, resumed.state_dict()[name]) for name, tensor in whole.state_dict().items())


def test_a_part_that_the_objective_does_not_look_at_is_kept_in_a_snapshot_too(tiny):
    """A router that plain cross-entropy leaves alone: no gradient, no momentum."""
    stage = replace(PLAIN, net=Net(experts=2, parts=(Routing(3),)), epochs=1.0)
    whole, losses = trained(tiny, stage)
    shelf = Shelf()
    trained(tiny, stage, keeper=shelf)
    resumed, again = trained(tiny, stage, keeper=shelf, spoil=nan_weights)
    assert len(shelf.kept) == 2 and losses.tobytes() == again.tobytes()
    assert all(torch.equal(tensor, resumed.state_dict()[name]) for name, tensor in whole.state_dict().items())


@pytest.mark.parametrize("parts", [("heads",), ("branches", "heads"), ("stem",)])
def test_frozen_parts_stay_as_they_were_to_the_bit_and_the_rest_learns(tiny, parts):
    stage = replace(PLAIN, train=parts, net=Net(experts=2))
    before = fresh(stage).state_dict()
    network, _ = trained(tiny, stage)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]) == (name.split(".")[0] not in parts), name


@pytest.mark.parametrize("part", [Scales(), Routing(3)], ids=["scales", "router"])
def test_further_parts_learn_alone(tiny, part):
    net = Net(experts=2, parts=(part,))
    stage = replace(METHODS["ride_routed" if net.chooses else "lws"].stages[1], net=net, epochs=1.0)
    before = fresh(stage).state_dict()
    network, _ = trained(tiny, stage)
    learned = {
        name.split(".")[0] for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])
    }
    assert learned == {"router" if net.chooses else "scales"} == set(stage.train)


def test_a_network_that_was_frozen_learns_again_when_asked(tiny):
    network, _ = trained(tiny, replace(PLAIN, train=("heads",)))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    feed = Feed(tiny, np.stack([sample(run) for run in RUNS]), augmentation=CROPS, device=CPU, dtype=torch.float64)
    train(PLAIN, network, feed, PROTOCOL, seed=0, runs=RUNS)
    assert not any(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_stage_may_have_a_learning_rate_and_a_length_of_its_own(tiny):
    still = replace(PLAIN, learning_rate=0.0, epochs=2.0)
    before = fresh(still).state_dict()
    network, losses = trained(tiny, still)
    assert losses.shape == (3, 6)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]) or "running" in name
    assert [stage_epochs(replace(PLAIN, epochs=share), PROTOCOL) for share in (0.01, 0.34, 0.5, 1.0)] == [1, 1, 2, 3]


def test_a_stage_may_have_a_weight_decay_of_its_own(tiny):
    """A loss that is 0 everywhere: w <- w - rate (decay w), with momentum .9 and Nesterov, two steps written out."""
    nothing = Loss(lambda logits, labels, counts: 0 * cross_entropy(logits, labels))
    stage = replace(PLAIN, objective=nothing, learning_rate=0.1, weight_decay=0.5, epochs=1 / 3)
    before = fresh(stage).state_dict()["heads.weight"]
    network, _ = trained(tiny, stage, protocol=replace(PROTOCOL, batch=32))
    weight, velocity = before, 0.0
    for _ in range(2):
        velocity = 0.9 * velocity + 0.5 * weight
        weight = weight - 0.1 * (0.5 * weight + 0.9 * velocity)
    torch.testing.assert_close(network.state_dict()["heads.weight"], weight)


def test_losses_are_means_over_images_not_over_batches(tiny):
    """37 images in batches of 16, 16 and 5, a learning rate of 0."""
    still = replace(PLAIN, learning_rate=0.0, epochs=1 / 3)
    _, losses = trained(tiny, still)
    network = fresh(still).train()
    feed = Feed(tiny, np.stack([sample(run) for run in RUNS]), augmentation=CROPS, device=CPU, dtype=torch.float64)
    costs = []
    for (batch,) in feed.epoch(feed.tables(0, RUNS, (0,), 0, 1, (INSTANCE,), batch=16), 16):
        logits = network(batch.images).logits[:, 0]
        costs.append(torch.vmap(cross_entropy)(logits, batch.labels).detach())
    np.testing.assert_allclose(losses[:, 0], torch.cat(costs, 1).mean(1).numpy(), rtol=1e-12)


def test_progress_adds_up_to_all_images(tiny):
    heard = []
    trained(tiny, report=heard.append)
    assert sum(heard) == 3 * 37 * 3


def test_a_stage_at_another_depth_sees_another_order(tiny):
    first, second = (trained(tiny, draws=(depth,))[0].state_dict() for depth in (0, 1))
    assert not torch.equal(first["heads.weight"], second["heads.weight"])


def test_training_learns(tiny):
    """On average of three runs, in float64; eight such trios fall to 0.37 to 0.55 of the first epoch's loss."""
    _, losses = trained(tiny, protocol=replace(PROTOCOL, epochs=15, learning_rate=Step(0.05, 0.005, at=0.7)))
    assert (losses[:, -1] / losses[:, 0]).mean() < 0.7


def test_the_global_generators_are_left_alone(tiny):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    trained(tiny, STAGES["ride/experts"])
    assert torch.equal(torch_state, torch.get_rng_state())
    assert (numpy_state == np.random.get_state()[1]).all()  # noqa: NPY002


@pytest.mark.parametrize("left", [1, 2])
def test_a_last_batch_of_one_image_trains(tiny, left):
    ids = np.stack([make_ids(np.zeros(16 + left, int), np.arange(16 + left))] * 3)
    _, losses = trained(tiny, ids=ids)
    assert np.isfinite(losses).all()
