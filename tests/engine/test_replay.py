"""Recorded steps, on a pretended device: what is recorded once and repeated trains as what is done anew each time."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from stages import CPU, PLAIN, PROTOCOL, RUNS, STAGES, Interrupted, Shelf, fresh, nan_weights, sample

from ltbv.data.batches import Feed
from ltbv.engine import train as engine
from ltbv.engine.replay import WARM_UPS, Replayed, Watched
from ltbv.engine.train import train
from ltbv.losses import cross_entropy
from ltbv.methods.base import Loss, Moment, Objective
from ltbv.schedules import Cosine, Step


class Pretended:
    """Records as a GPU does: warm-up steps first, and then the same call with all that it was given, kept."""

    def __init__(self):
        self.recorded = 0

    def __call__(self, step):
        self.recorded += 1
        for _ in range(WARM_UPS + 1):  # a recording's own step does nothing on a GPU; here it is one more to undo
            step()
        return step


def trained(dataset, stage, record=None, spoil=lambda network: None, protocol=PROTOCOL, **settings):
    network = fresh(stage, dtype=torch.float32)
    spoil(network)
    feed = Feed(dataset, np.stack([sample(run) for run in RUNS]), device=CPU, dtype=torch.float32)
    with pytest.MonkeyPatch.context() as patch:
        made = []
        if record:
            patch.setattr(engine, "drive", lambda *arguments: made.append(Replayed(*arguments, record)) or made[0])
        losses = train(stage, network, feed, protocol, seed=0, runs=RUNS, **settings)
    assert not any(drive.gave_up for drive in made) or not isinstance(record, Pretended)
    return network, losses


def assert_same(one, other):
    (network, losses), (again, others) = one, other
    assert losses.tobytes() == others.tobytes()
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_every_stage_trains_to_the_bits_of_eager_steps(tiny, stage):
    stage = replace(stage, epochs=2.0)
    assert_same(trained(tiny, stage), trained(tiny, stage, Pretended()))


@pytest.mark.parametrize("stage", [PLAIN, STAGES["ride/experts"]], ids=["plain", "ride"])
def test_it_goes_on_from_a_snapshot(tiny, stage):
    whole, shelf, heard = trained(tiny, stage), Shelf(), []

    def interrupt(images):
        heard.append(images)
        if len(heard) == 2:  # told once an epoch
            raise Interrupted

    with pytest.raises(Interrupted):
        trained(tiny, stage, Pretended(), keeper=shelf, report=interrupt)
    assert len(shelf.kept) == 1 and heard == [3 * 37] * 2
    assert_same(whole, trained(tiny, stage, Pretended(), keeper=shelf, spoil=nan_weights))
    assert_same(whole, trained(tiny, stage, keeper=shelf, spoil=nan_weights)), "or eagerly, on another machine"


@pytest.mark.parametrize(
    ("beta", "epochs", "times"),
    [(0.9, 5, 1), (Step(0, 0.9, at=0.6), 5, 2), (Cosine(0.9), 5, 5), (lambda epoch, epochs: epoch // 2 / 10, 6, 3)],
    ids=["a number", "a switch", "a slope", "a function"],
)
def test_it_is_recorded_again_when_an_answer_changes_and_only_then(tiny, beta, epochs, times):
    """Once for each of the two sizes of batch: 16 and what is left."""
    record, protocol = Pretended(), replace(PROTOCOL, epochs=epochs)
    stage = replace(PLAIN, objective=Loss(cross_entropy, beta=beta))
    found = trained(tiny, stage, record, protocol=protocol)
    assert record.recorded == 2 * times
    assert_same(found, trained(tiny, stage, protocol=protocol))


@dataclass(frozen=True)
class Clocked(Objective):
    """Reads the epoch itself."""

    def __call__(self, network, batches, given, now):
        (batch,) = batches
        logits = network(batch.images).logits[:, 0]
        return torch.vmap(cross_entropy)(logits, batch.labels, now.counts).mean(1) * (1 + now.epoch / now.epochs)


def test_an_epoch_that_was_read_is_an_answer_too(tiny):
    record = Pretended()
    stage = replace(PLAIN, objective=Clocked())
    found = trained(tiny, stage, record)
    assert record.recorded == 2 * PROTOCOL.epochs
    assert_same(found, trained(tiny, stage))


def test_what_cannot_be_recorded_is_trained_eagerly_and_the_log_says_so(tiny, capfd):
    def fails(step):
        step()
        raise RuntimeError("called a synchronizing CUDA operation\nsomewhere")

    heard = []
    found = trained(tiny, PLAIN, fails, report=heard.append)
    assert_same(found, trained(tiny, PLAIN))
    assert sum(heard) == 3 * 37 * 3 and len(heard) == 9
    assert capfd.readouterr().err.count("not recorded: RuntimeError") == 1


def test_a_stack_that_is_too_large_is_not_tried_eagerly(tiny):
    def fails(step):
        raise torch.OutOfMemoryError("too large")

    with pytest.raises(torch.OutOfMemoryError):
        trained(tiny, PLAIN, fails)


def test_a_watched_moment_answers_as_the_moment_does():
    counts = torch.ones(2, 3)
    plain = Moment(4, 10, counts)
    watched = Watched(4, 10, counts)
    numbers = (0.5, Step(0, 1, at=0.4), Step(0, 1, at=0.5), Cosine(2.0))
    assert [watched.value(number) for number in numbers] == [plain.value(number) for number in numbers]
    assert len(watched.noted) == 3, "a plain number never changes"
    assert watched.counts is counts and watched.epochs == 10 and len(watched.noted) == 3
    assert watched.epoch == 4 and len(watched.noted) == 4
