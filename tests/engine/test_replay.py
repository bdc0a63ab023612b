"""Recorded steps, on a pretended GPU: what is recorded once and repeated trains as what is done anew each time."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from stages import CPU, PLAIN, PROTOCOL, RUNS, SPLITS, STAGES, Interrupted, Shelf, fed, fresh, nan_weights
from tape import Recorder

from ltbv.data.dataset import Augmentation
from ltbv.data.samplers import INSTANCE, Sampler, Smote
from ltbv.engine import train as engine
from ltbv.engine.replay import Dials, Replayed, Watched
from ltbv.engine.train import train
from ltbv.errors import Refusal
from ltbv.losses import cross_entropy
from ltbv.methods.base import Loss, Moment, Objective
from ltbv.schedules import Cosine, Step

CROPS = Augmentation(pad=1, flip=True)


def trained(dataset, stage, record=None, spoil=lambda network: None, protocol=PROTOCOL, **settings):
    network = fresh(stage, dtype=torch.float32)
    spoil(network)
    feed = fed(dataset, stage, dtype=torch.float32)
    with pytest.MonkeyPatch.context() as patch:
        made = []
        if record:
            patch.setattr(engine, "drive", lambda *arguments: made.append(Replayed(*arguments, record)) or made[0])
        losses = np.stack(train(stage, network, feed, protocol, seed=0, runs=RUNS, groups=SPLITS, **settings))
    assert not any(drive.gave_up for drive in made) or not isinstance(record, Recorder)
    return network, losses


def assert_same(one, other):
    (network, losses), (again, others) = one, other
    assert losses.tobytes() == others.tobytes()
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_every_stage_trains_to_the_bits_of_eager_steps(tiny, stage):
    stage = replace(stage, epochs=2.0)
    assert_same(trained(tiny, stage), trained(tiny, stage, Recorder()))


@pytest.mark.parametrize("stage", [PLAIN, STAGES["ride/experts"]], ids=["plain", "ride"])
def test_it_goes_on_from_a_snapshot(tiny, stage):
    whole, shelf, heard = trained(tiny, stage), Shelf(), []

    def interrupt(images):
        heard.append(images)
        if len(heard) == 2:  # told once an epoch
            raise Interrupted

    with pytest.raises(Interrupted):
        trained(tiny, stage, Recorder(), keeper=shelf, report=interrupt)
    assert len(shelf.kept) == 1 and heard == [3 * 37] * 2
    assert_same(whole, trained(tiny, stage, Recorder(), keeper=shelf, spoil=nan_weights))
    assert_same(whole, trained(tiny, stage, keeper=shelf, spoil=nan_weights)), "or eagerly, on another machine"


@pytest.mark.parametrize(
    ("beta", "epochs", "times"),
    [(0.9, 5, 1), (Step(0, 0.9, at=0.6), 5, 2), (Cosine(0.9), 5, 5), (lambda epoch, epochs: epoch // 2 / 10, 6, 3)],
    ids=["a number", "a switch", "a slope", "a function"],
)
def test_it_is_recorded_again_when_an_answer_changes_and_only_then(tiny, beta, epochs, times):
    """Once for each of the two sizes of batch: 16 and what is left."""
    record, protocol = Recorder(), replace(PROTOCOL, epochs=epochs)
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
    record = Recorder()
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


@dataclass(frozen=True)
class Mixed(Objective):
    """Mixup with a share drawn by `draw`."""

    draw: Callable[[], float]

    def __call__(self, network, batches, given, now):
        (batch,) = batches
        share = self.draw()
        logits = network(torch.lerp(batch.images, batch.images.flip(0), share)).logits[:, 0]
        return torch.vmap(lambda z, y: F.cross_entropy(z, y))(logits, batch.labels) * (1 - share)


@pytest.mark.parametrize(
    "draw",
    [lambda: float(np.random.beta(1, 1)), lambda: random.random(), lambda: torch.rand(())],  # noqa: NPY002
    ids=["numpy", "python", "torch"],
)
@pytest.mark.parametrize("record", [None, lambda step: Recorder()(step)], ids=["eager", "recorded"])
def test_what_is_drawn_on_the_host_is_refused_and_not_drawn_once_and_repeated(tiny, draw, record, capfd):
    before = torch.get_rng_state(), random.getstate()
    with pytest.raises(Refusal, match=r"test_replay:Mixed( of \S+)? draws from a generator of the host"):
        trained(tiny, replace(PLAIN, objective=Mixed(draw)), record)
    assert torch.equal(before[0], torch.get_rng_state()) and before[1] == random.getstate()
    assert record is None or "draws from a generator of the host" in capfd.readouterr().err


@dataclass(frozen=True)
class Turning(Sampler):
    """One sampler in the first epoch, another one after it."""

    first: Sampler
    then: Sampler

    def of_epoch(self, epoch, epochs):
        return self.then if epoch else self.first

    def order(self, turn):
        return self.of_epoch(turn.epoch, turn.epochs).order(turn)


@pytest.mark.parametrize("samplers", [(Smote(2), INSTANCE), (INSTANCE, Smote(2))], ids=["blends no more", "blends now"])
def test_a_sampler_may_change_what_an_epoch_needs_of_images(tiny, samplers):
    stage = replace(PLAIN, sampler=(Turning(*samplers),))
    record = Recorder()
    assert_same(trained(tiny, stage), trained(tiny, stage, record))
    assert record.recorded == 4, "once more for each size of batch"


def test_a_buffer_that_no_file_keeps_is_put_back_too(tiny):
    def counted(network):
        def count(module, inputs):
            module.calls += 1.0

        network.heads.register_buffer("calls", torch.zeros(()), persistent=False)
        network.heads.register_forward_pre_hook(count)

    eager, recorded = (trained(tiny, PLAIN, record, spoil=counted)[0].heads.calls for record in (None, Recorder()))
    assert eager == recorded == 9


def test_a_stack_that_is_too_large_is_not_tried_eagerly(tiny):
    def fails(step):
        raise torch.OutOfMemoryError("too large")

    with pytest.raises(torch.OutOfMemoryError):
        trained(tiny, PLAIN, fails)


def test_a_watched_moment_answers_as_the_moment_does():
    counts = torch.ones(2, 3)
    plain = Moment(4, 10, counts)
    watched = Watched.of(plain, Dials(CPU, torch.float64), {})
    numbers = (0.5, Step(0, 1, at=0.4), Step(0, 1, at=0.5), Cosine(2.0))
    assert [watched.value(number) for number in numbers] == [plain.value(number) for number in numbers]
    assert len(watched.noted) == 3, "a plain number never changes"
    assert watched.counts is counts and watched.epochs == 10 and len(watched.noted) == 3
    assert watched.epoch == 4 and len(watched.noted) == 4
