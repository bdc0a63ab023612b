"""Steps whose gradient is taken elsewhere: the published one, one written out for each run, what batch norm does."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden_steps import RUNS, Flat
from stages import SPLITS, fed, fresh
from torch import nn

from ltbv.data.batches import Batch
from ltbv.errors import Refusal
from ltbv.losses import cross_entropy
from ltbv.methods import METHODS
from ltbv.methods.base import Loss, Moment
from ltbv.methods.imb_sam import TailAscent
from ltbv.methods.sam import SharpnessAware
from ltbv.models.experts import Experts
from ltbv.models.stack import Linear, by_run, lengths

PLAIN = Loss(cross_entropy)


def linear(weight) -> Experts:
    """A stack of linear networks without bias."""
    classes, features = np.shape(weight)
    head = Linear(RUNS, features, classes).double()
    head.bias.requires_grad_(False)
    with torch.no_grad():
        head.weight.copy_(torch.tensor(weight, dtype=torch.float64).expand_as(head.weight))
    return Experts(RUNS, 1, nn.Identity(), Flat(), head).double().train()


def test_a_step_is_the_published_one(golden):
    for case in golden("methods/imbsam")["cases"]:
        network = linear(case["weight"])
        images = torch.tensor(case["inputs"], dtype=torch.float64)[..., None, None].repeat(1, RUNS, 1, 1)
        batch = Batch(images, torch.tensor([case["labels"]] * RUNS))
        tail = torch.zeros(len(case["weight"]), dtype=torch.bool)
        tail[case["tail_classes"]] = True
        now = Moment(0, 1, torch.ones(RUNS, len(case["weight"])), memory={"tail": tail})
        losses = TailAscent(radius=case["rho"], factor=case["tail_factor"])(network, (batch,), (), now).losses
        assert losses.tolist() == pytest.approx([case["head_loss"] + case["tail_loss_perturbed"]] * RUNS, abs=1e-9)
        losses.sum().backward()
        for gradient in network.heads.weight.grad:
            np.testing.assert_allclose(gradient, case["gradient"], atol=1e-9)


def met(dataset, runs):
    stage = METHODS["sam"].stages[0]
    feed = fed(dataset, stage, runs)
    tables = feed.tables(0, runs, (0,), 0, 3, stage.sampler, batch=37, groups=SPLITS)
    now = Moment(0, 3, torch.as_tensor(feed.counts), SPLITS)
    return fresh(stage, runs).train(), next(feed.epoch(tables, 37)), now


def with_memory(objective, now: Moment) -> Moment:
    return replace(now, memory=objective.from_given(None, (), now))


@pytest.mark.parametrize("objective", [SharpnessAware(PLAIN, 0.3), TailAscent(radius=0.3)], ids=["sam", "imb_sam"])
def test_a_step_of_a_stack_is_that_of_each_run_written_out(tiny, objective):
    """Weights moved by hand, the gradient taken there: each run by its own length, batch norm by the batch."""
    network, batches, now = met(tiny, (0, 1, 2))
    losses = objective(network, batches, (), with_memory(objective, now)).losses
    losses.sum().backward()
    for run in range(3):
        alone, ((batch,), labels) = fresh(METHODS["sam"].stages[0], (run,)).train(), (batches, batches[0].labels[run])
        images = batch.images.unflatten(1, (3, -1))[:, run]
        tail = torch.isin(labels, torch.tensor(SPLITS["few"])) if isinstance(objective, TailAscent) else labels >= 0
        times = 2 if isinstance(objective, TailAscent) else 1

        def parts(of, images=images, labels=labels, tail=tail, times=times):
            each = F.cross_entropy(of(images).logits[0, 0], labels, reduction="none")
            return each[~tail].sum() / 37, times * each[tail].sum() / 37

        head, up = parts(alone)
        gradient = torch.autograd.grad(up, list(alone.parameters()), retain_graph=True)
        of_head = torch.autograd.grad(head, list(alone.parameters()), allow_unused=True)
        length = sum(g.square().sum() for g in gradient) ** 0.5
        moved = copy.deepcopy(alone)
        with torch.no_grad():
            for p, g in zip(moved.parameters(), gradient, strict=True):
                p += 0.3 * g / length
        there = parts(moved)[1]
        of_tail = torch.autograd.grad(there, list(moved.parameters()))
        torch.testing.assert_close(losses[run], head + there)
        for p, own, other in zip(network.parameters(), of_head, of_tail, strict=True):
            torch.testing.assert_close(p.grad[run], (other if own is None else own + other)[0], rtol=1e-8, atol=1e-10)
        for name, buffer in alone.named_buffers():
            torch.testing.assert_close(network.get_buffer(name)[run], buffer[0], msg="statistics of the first pass")


def test_where_nothing_is_of_few_images_it_is_cross_entropy(tiny):
    network, batches, now = met(tiny, (0, 1))
    objective = TailAscent()
    nobody = Moment(0, 3, now.counts, {"many": [0, 1, 2, 3, 4], "few": []})
    found = objective(network, batches, (), with_memory(objective, nobody))
    plain = PLAIN(met(tiny, (0, 1))[0], batches, (), now)
    torch.testing.assert_close(found.losses, plain.losses)
    assert torch.equal(found.right, plain.right)


def test_lengths_are_of_all_that_a_run_owns():
    network = fresh(METHODS["ride"].stages[0], (0, 1))
    owned = list(by_run(network, 2))
    found = lengths(owned, 2, torch.device("cpu"))
    for run in range(2):
        whole = torch.cat([p.detach().unflatten(0, (2, -1))[run].flatten() for p, _ in owned])
        torch.testing.assert_close(found[run], whole.norm())
    ones = torch.ones(3)
    torch.testing.assert_close(
        lengths([(ones, 1), (ones, None)], 3, ones.device), torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)
    )


@pytest.mark.parametrize("radius", [0.0, -1.0, float("nan")])
def test_an_ascent_of_no_length_is_refused(radius):
    for made in (lambda: SharpnessAware(PLAIN, radius), lambda: TailAscent(radius=radius)):
        with pytest.raises(Refusal, match="an ascent of rho .*; give a length above 0"):
            made()
