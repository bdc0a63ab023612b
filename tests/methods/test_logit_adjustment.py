"""Logit adjustment: after training as the formula says, and the loss that needs none."""

import numpy as np
import pytest
import torch

from ltbv.data.batches import Feed
from ltbv.data.dataset import Augmentation, make_ids
from ltbv.losses import balanced_softmax
from ltbv.methods import METHODS
from ltbv.methods.base import Loss, mean
from ltbv.methods.logit_adjustment import Adjust
from ltbv.models.experts import Net
from ltbv.models.resnet import Resnet
from ltbv.models.stack import draw_run
from ltbv.seeds import generator

CROPS = Augmentation(pad=1, flip=True)

COUNTS = [[12, 6, 3, 2, 2], [14, 7, 0, 3, 1]]


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("experts", [1, 2])
@torch.no_grad()
def test_log_class_frequencies_come_off_the_logits_of_each_expert_and_run(tiny, experts, tau):
    """z_k - tau log pi_k; a class that a run lost counts as one image."""
    network = Net(experts=experts).build(Resnet(widths=(4, 4, 4), blocks=1), runs=2, channels=2, classes=5).double()
    for run in range(2):
        draw_run(network, run, 2, generator(0, run, "init"))
    ids = np.stack([make_ids(np.repeat(np.arange(5), counts), np.arange(25)) for counts in COUNTS])
    feed = Feed(tiny, ids, augmentation=CROPS, device=torch.device("cpu"), dtype=torch.float64)
    images = torch.randn(7, 4, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before = network.eval()(images).logits
    weight = network.heads.weight.clone()
    Adjust(tau)(network, feed)
    after = network(images).logits
    for run, counts in enumerate(COUNTS):
        kept = np.maximum(counts, 1)
        prior = torch.tensor(np.log(kept / kept.sum()))
        torch.testing.assert_close(after[run], before[run] - tau * prior, rtol=1e-12, atol=1e-12)
    assert torch.equal(weight, network.heads.weight)
    assert after.isfinite().all()


def test_it_stands_on_cross_entropys_network_and_changes_the_answer_alone():
    adjusted, ce = METHODS["logit_adjustment"], METHODS["ce"]
    assert adjusted.stages == ce.stages and adjusted.posthoc == Adjust(1.0) and adjusted.predict is mean


def test_the_loss_has_a_stage_of_its_own_and_nothing_after_it():
    (stage,), posthoc = METHODS["balanced_softmax"].stages, METHODS["balanced_softmax"].posthoc
    assert stage.objective == Loss(balanced_softmax) and posthoc is None
