"""Images with partners: what is pasted or laid over what, whose label counts how much, and the published numbers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from stages import SPLITS, fed, fresh

from ltbv.data.blends import boxes
from ltbv.errors import Refusal
from ltbv.losses import cross_entropy, effective_number
from ltbv.methods import METHODS
from ltbv.methods.base import Loss, Moment, Stage
from ltbv.methods.cmo import CHANCE
from ltbv.methods.cutmix import Cutmix
from ltbv.methods.mislas import LabelAware
from ltbv.methods.mixup import Mixup
from ltbv.methods.partnered import Pairs, Partnered, paired
from ltbv.methods.remix import Remix, leaning
from ltbv.models.experts import Output
from ltbv.schedules import value

RUNS = (0, 1)
MIXING = ("mixup", "remix", "cutmix", "cmo", "cmo_drw")


def stage_of(key: str) -> Stage:
    return METHODS[key].stages[0]


def met(dataset, stage, epoch: int = 5, epochs: int = 10, size: int = 37):
    """A network in training, its first batch of an epoch, and the moment."""
    feed = fed(dataset, stage, RUNS)
    drawn = {"batch": size, "draws": stage.objective.draws, "groups": SPLITS}
    tables = feed.tables(0, RUNS, (0,), epoch, epochs, stage.sampler, **drawn)
    counts = torch.as_tensor(feed.counts)
    return fresh(stage, RUNS).train(), next(feed.epoch(tables, size)), Moment(epoch, epochs, counts, SPLITS)


def pairs_of(size: int = 6, runs: int = 2, classes: int = 5) -> Pairs:
    draw = torch.Generator().manual_seed(size)
    images, partners = (torch.randn(size, 2 * runs, 8, 6, dtype=torch.float64, generator=draw) for _ in range(2))
    own, other = (torch.randint(classes, (runs, size), generator=draw) for _ in range(2))
    return Pairs(images, partners, own, other)


def of_run(images, run: int):
    """[B, R*channels, H, W] -> [B, channels, H, W]."""
    return images.unflatten(1, (2, -1))[:, run]


# Published numbers


def test_remix_weighs_labels_and_losses_as_published(golden):
    for case in golden("methods/remix")["cases"]:
        counts, first, second = (torch.tensor(case[name]) for name in ("counts", "labels_a", "labels_b"))
        own = torch.tensor(case["lam"], dtype=torch.float64)
        shares = leaning(own, counts[first], counts[second], case["kappa"], case["tau"])
        np.testing.assert_allclose(shares, case["label_lambda"], atol=1e-12)
        output = (torch.tensor(case["logits"], dtype=torch.float64)[None], torch.zeros(1, len(first), 1))
        found = both(Loss(cross_entropy), output, first, second, counts, shares)
        assert found.item() == pytest.approx(case["loss"], abs=1e-9)
        assert abs(found.item() - case["loss_bagoftricks_code"]) > 1e-3, "images keep their own weights"


def both(loss, output, first, second, counts, shares):
    said, now = Output(*output), Moment(0, 1, counts)
    return loss.of_run(said, first, counts, now, shares=shares) + loss.of_run(
        said, second, counts, now, shares=1 - shares
    )


def test_labels_are_softened_by_class_as_published(golden):
    case = golden("methods/las")["cases"][0]
    counts, labels = torch.tensor(case["counts"]), torch.tensor(case["labels"])
    loss = LabelAware(case["smooth_head"], case["smooth_tail"])
    np.testing.assert_allclose(loss.smoothing(counts), case["smoothing"], atol=1e-9)
    logits = torch.tensor(case["logits"], dtype=torch.float64, requires_grad=True)
    mean = loss(logits, labels, counts).mean()
    mean.backward()
    assert mean.item() == pytest.approx(case["loss_code"], abs=1e-9)
    np.testing.assert_allclose(logits.grad, case["gradient_code"], atol=1e-9)


def test_labels_of_a_lost_class_and_of_classes_alike_are_softened_within_bounds():
    loss = LabelAware()
    assert loss.smoothing(torch.tensor([500, 0, 5])).tolist() == pytest.approx([0.4, 0.1, 0.1])
    assert loss.smoothing(torch.tensor([4, 4])).tolist() == pytest.approx([0.4, 0.4])


# What the network sees


def test_a_batch_has_the_order_crops_and_flips_that_it_has_without_partners(tiny):
    plain = met(tiny, METHODS["ce"].stages[0])[1][0]
    for key in MIXING:
        here = met(tiny, stage_of(key))[1][0]
        assert torch.equal(here.images, plain.images) and torch.equal(here.labels, plain.labels), key


def test_a_partner_is_another_image_of_the_batch_with_its_label_in_each_run_by_itself(tiny):
    _, (batch,), _ = met(tiny, stage_of("mixup"))
    pairs = paired((batch,), batch.draws[..., 0])
    for run in range(2):
        places = batch.draws[run, :, 0].argsort()
        assert sorted(places.tolist()) == list(range(37)) != places.tolist()
        assert torch.equal(of_run(pairs.partners, run), of_run(batch.images, run)[places])
        assert torch.equal(pairs.other[run], batch.labels[run][places])
    assert not torch.equal(batch.draws[0], batch.draws[1])


@pytest.mark.parametrize("blend", [Mixup(), Mixup(0.2), Remix()], ids=repr)
def test_mixup_lays_both_over_each_other_with_one_share_a_batch(blend):
    pairs, draws = pairs_of(), torch.rand(2, 6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    now = Moment(0, 1, torch.tensor([[50, 20, 9, 3, 1], [1, 3, 9, 20, 50]]))
    images, shares = blend(pairs, draws, now)
    lams = []
    for run in range(2):
        own, other, found = (of_run(one, run) for one in (pairs.images, pairs.partners, images))
        lam = ((found - other) / (own - other)).mean().item()
        lams.append(lam)
        torch.testing.assert_close(found, lam * own + (1 - lam) * other)
        if isinstance(blend, Remix):
            sizes = now.counts[run]
            wanted = [
                0.0 if a >= 3 * b and lam < 0.5 else 1.0 if b >= 3 * a and lam > 0.5 else lam
                for a, b in zip(sizes[pairs.own[run]], sizes[pairs.other[run]], strict=True)
            ]
            assert shares[run].tolist() == pytest.approx(wanted)
        else:
            assert shares[run].tolist() == pytest.approx([lam] * 6)
    assert lams[0] != lams[1]
    late = draws.clone()
    late[:, 1:] = 0.5
    assert torch.equal(blend(pairs, late, now)[0], images), "the draws of the first image are the batch's"


@pytest.mark.parametrize(("height", "width"), [(8, 6), (5, 5), (1, 1)])
def test_boxes_are_those_of_a_loop_over_pixels(height, width):
    draw = np.random.default_rng(height)
    shares, centres = draw.random((2, 9)), draw.random((2, 9, 2))
    shares[0, :2] = 0, 1
    found = boxes(torch.tensor(shares), torch.tensor(centres), height, width)
    for run in range(2):
        for image in range(9):
            ends = []
            for n, centre in zip((height, width), centres[run, image], strict=True):
                middle, half = int(centre * n), int(n * shares[run, image] ** 0.5) // 2
                ends.append((max(middle - half, 0), min(middle + half, n)))
            (top, bottom), (left, right) = ends
            wanted = np.zeros((height, width), bool)
            wanted[top:bottom, left:right] = True
            assert (found[run, image].numpy() == wanted).all()


def test_a_box_is_the_partners_and_labels_count_by_area():
    pairs = pairs_of()
    draws = torch.rand(2, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    draws[:, 0, :2] = torch.tensor([0.75, 0.25])  # lambda = 1/2
    draws[0, 0, 2], draws[1, 0, 2] = 0.4, 0.6  # the first run's batch gets a box, the second's none
    images, shares = Cutmix()(pairs, draws, Moment(0, 1, torch.ones(2, 5)))
    own, other, found = (of_run(one, 0) for one in (pairs.images, pairs.partners, images))
    inside = (found == other).all(1)
    assert torch.equal(found, torch.where(inside[:, None], other, own)) and inside.any() and not inside.all()
    assert (inside == inside[0]).all(), "one place a batch"
    torch.testing.assert_close(shares[0], 1 - inside.double().mean((1, 2)))
    assert torch.equal(of_run(images, 1), of_run(pairs.images, 1)) and (shares[1] == 1).all()


def test_partners_of_two_batches_are_those_of_the_second(tiny):
    _, (first, second), _ = met(tiny, stage_of("cmo"))
    pairs = paired((first, second), first.draws[..., 0])
    assert pairs.partners is second.images and pairs.other is second.labels
    drawn = np.bincount(second.labels.flatten(), minlength=5)
    assert drawn[4] > np.bincount(first.labels.flatten(), minlength=5)[4], "rare classes come more often"


def test_boxes_of_rare_classes_come_neither_in_the_first_epochs_nor_in_the_last():
    """0-based, as in the code: 3 < e < 197 of 200."""
    of_200 = [value(CHANCE, epoch, 200) for epoch in range(200)]
    assert of_200 == [0.5 if 3 < epoch < 197 else 0.0 for epoch in range(200)]
    assert [value(CHANCE, epoch, 2) for epoch in range(2)] == [0.0, 0.5]


# What is minimised


@pytest.mark.parametrize("key", MIXING)
def test_the_loss_of_a_stack_is_that_of_both_labels_written_out(tiny, key):
    stage = stage_of(key)
    objective = stage.objective
    network, batches, now = met(tiny, stage, epoch=9 if key == "cmo_drw" else 5)
    now = replace(now, epoch=8) if key == "cmo_drw" else now
    found = objective(fresh(stage, RUNS).train(), batches, (), now)
    pairs = paired(batches, batches[0].draws[..., 0])
    images, shares = objective.blend(pairs, batches[0].draws[..., 1:], now)
    logits = network(images).logits[:, 0]
    for run in range(2):
        weights = torch.ones(5).double()
        if key == "cmo_drw":
            weights = effective_number(now.counts[run], 0.9999)
        total, right = 0.0, 0.0
        for labels, share in ((pairs.own[run], shares[run]), (pairs.other[run], 1 - shares[run])):
            of_image = weights[labels] * F.cross_entropy(logits[run], labels, reduction="none")
            total += (share * of_image).sum() / weights[labels].sum()
            right += share[logits[run].argmax(-1) == labels].sum()
        torch.testing.assert_close(found.losses[run], total)
        torch.testing.assert_close(found.right[run].double(), torch.as_tensor(right).double())


def test_where_nothing_is_blended_it_is_the_plain_loss(tiny):
    stage = stage_of("cmo")
    network, batches, now = met(tiny, stage, epoch=0)
    found = stage.objective(network, batches, (), replace(now, epochs=200))
    plain = Loss(cross_entropy)(fresh(stage, RUNS).train(), batches[:1], (), now)
    torch.testing.assert_close(found.losses, plain.losses)
    assert torch.equal(found.right.long(), plain.right)


class Begins(Loss):
    def begin(self, network, feed, given, now):
        network.heads.bias += 1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: Mixup(0.0), "mixup with alpha 0.0; give a number above 0"),
        (lambda: Remix(alpha=-1.0), "remix with alpha -1.0; give a number above 0"),
        (lambda: Cutmix(alpha=float("nan")), "CutMix with alpha nan; give a number above 0"),
        (lambda: Partnered(Begins(cross_entropy), Mixup()), "Begins has `begin`, which an objective of partners"),
        (lambda: paired((None,) * 3, None), "partners of 3 batches; give the stage one sampler, or one more"),
    ],
)
def test_what_would_be_wrong_without_a_word_is_refused(wrong, words):
    with pytest.raises(Refusal, match=words):
        wrong()
