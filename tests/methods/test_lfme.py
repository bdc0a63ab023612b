"""LFME against the released code's numbers, and what experts and student are told of groups, images and accuracies."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from stages import Interrupted, Shelf

from ltbv.data.batches import Batch, Feed
from ltbv.data.dataset import Augmentation, make_ids
from ltbv.data.samplers import OfGroup, Turn
from ltbv.engine.protocol import Protocol
from ltbv.engine.train import train
from ltbv.errors import Refusal
from ltbv.harness.study import resolve
from ltbv.methods.base import Moment
from ltbv.methods.lfme import (
    EXPERTS,
    LFME,
    distilled_loss,
    expert_weight,
    group_shares,
    growth,
    start_factors,
    whose_classes,
)
from ltbv.models.resnet import Resnet
from ltbv.models.stack import draw_run

BACKBONE = Resnet(widths=(4, 8, 8), blocks=1)
SPLITS = {"many": [0], "medium": [1, 2], "few": [3, 4]}
STUDENT = LFME.stages[-1]


def double(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


# The code's numbers


def test_weights_of_experts_are_those_of_the_code(golden):
    for table in golden("methods/lfme_expert_weights")["tables"]:
        for case in table["cases"]:
            found = expert_weight(case["student"], case["expert"], table["threshold"])
            assert found == pytest.approx(case["weight"], abs=1e-9)


def test_an_expert_that_is_never_right_teaches_nothing():
    assert expert_weight(0.0, 0.0) == expert_weight(0.4, 0.0) == 0


def test_the_loss_and_its_gradient_are_those_of_the_code(golden):
    for case in golden("methods/lfme_loss")["cases"]:
        logits = double(case["student_logits"]).requires_grad_()
        weights = [expert_weight(s, e, case["threshold"]) for e, s in case["accuracy_expert_student"]]
        np.testing.assert_allclose(weights, case["kd_weights"], atol=1e-9)
        loss = distilled_loss(
            logits,
            torch.tensor(case["labels"]),
            [double(of) for of in case["expert_logits_many_medium_few"]],
            case["groups_many_medium_few"],
            weights,
            double(case["factor"]),
            case["temperature"],
        )
        loss.backward()
        assert loss.item() == pytest.approx(case["total"], abs=1e-9)
        np.testing.assert_allclose(logits.grad, case["gradient"], atol=1e-9)


def test_factors_are_those_of_the_code_until_they_are_1(golden):
    for case in golden("methods/lfme_curriculum")["cases"]:
        labels = torch.tensor(case["labels"])
        confidence = double(case["expert_probability_of_own_label"])
        groups = dict(zip(("many", "medium", "few"), case["groups_many_medium_few"], strict=True))
        share = group_shares(torch.tensor(case["mean_count_of_group"]), groups)
        start = start_factors(confidence, labels, share)
        np.testing.assert_allclose(start, case["start"], atol=1e-9)
        for of in case["schedule"]:
            ours = start + (1 - start) * growth(of["epoch_1based"] - 1, case["epochs"])
            expected = np.where(np.array(case["start"]) < 1, np.minimum(of["factor"], 1), 1)
            np.testing.assert_allclose(ours, expected, atol=1e-9)


# Hard luck


def test_images_that_nothing_tells_apart_begin_at_1():
    labels, share = torch.tensor([0, 1, 1, 2, 2]), double([0.2, 0.5, 1.0])
    found = start_factors(double([0.3, 0.4, 0.4, 0.1, 0.9]), labels, share)
    np.testing.assert_allclose(found, [1, 1, 1, 1, 1])
    found = start_factors(double([0.3, 0.4, 0.6, 0.1, 0.9]), labels, share)
    np.testing.assert_allclose(found, [1, 0.5, 1, 1, 1])


@pytest.mark.parametrize(
    ("counts", "groups", "shares"),
    [
        ([40, 10, 4], {"many": [0], "medium": [1], "few": [2]}, [0.1, 0.4, 1]),
        ([40, 20, 4, 2], {"many": [0, 1], "medium": [], "few": [2, 3]}, [0.1, 0.1, 1, 1]),
        ([40, 20], {"many": [0], "medium": [1], "few": []}, [0.5, 1]),
        ([40, 20, 0], {"many": [0], "medium": [1], "few": [2]}, [0, 0, 1]),  # lost by the run
        ([0, 20, 4], {"many": [0], "medium": [1], "few": [2]}, [1, 0.2, 1]),
        ([4, 4, 40], {"many": [0], "medium": [1], "few": [2]}, [1, 1, 1]),
    ],
)
def test_shares_of_groups(counts, groups, shares):
    np.testing.assert_allclose(group_shares(torch.tensor(counts), groups), shares)


def test_an_expert_knows_its_classes_and_is_not_asked_where_its_group_is_empty_or_lost():
    counts = torch.tensor([[9, 5, 3, 2, 1], [9, 5, 0, 0, 0]])
    found = whose_classes(Moment(0, 1, counts, SPLITS))
    assert found.of_class.tolist() == [0, 1, 1, 2, 2]
    assert found.asked.tolist() == [[True, True, True], [True, True, False]]
    assert (~found.outside).int().tolist()[0] == [[1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 1]]
    assert (~found.outside).int().tolist()[1] == [[1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    empty = whose_classes(Moment(0, 1, counts[:1], {"many": [0, 1], "medium": [], "few": [2, 3, 4]}))
    assert empty.asked.tolist() == [[True, False, True]] and not empty.outside[0, 1].any()


@pytest.mark.parametrize(("group", "classes"), [("many", {0}), ("few", {2, 3}), ("medium", {0, 2, 3})])
def test_images_of_a_group_come_again_and_again_and_those_of_an_empty_one_are_all(group, classes):
    labels = np.repeat([0, 2, 3], [9, 2, 1])
    draws = [np.random.default_rng(seed) for seed in range(2)]
    groups = {"many": [0], "medium": [1], "few": [2, 3]}
    turn = Turn(labels, 0, 1, *draws, neighbours=lambda k: np.empty((0, 0)), groups=groups)
    positions = OfGroup(group).order(turn).positions
    assert len(positions) == 12 and set(labels[positions]) == classes
    times = np.bincount(positions, minlength=12)[np.isin(labels, list(classes))]
    assert times.max() - times.min() <= 1
    with pytest.raises(Refusal, match="tail"):
        OfGroup("tail").order(turn)


def test_groups_are_thirds_of_the_classes_where_the_splits_are_no_two():
    many = resolve("glyphs-lt", head=40, imbalance=1.0)
    assert sum(ids.size > 0 for ids in many.splits.values()) == 1
    classes = len(many.counts)
    assert [len(ids) for ids in many.groups.values()] == [len(ids) for ids in np.array_split(range(classes), 3)]
    assert sorted(np.concatenate(list(many.groups.values()))) == list(range(classes))
    usual = resolve("glyphs-lt")
    assert all((usual.groups[name] == ids).all() for name, ids in usual.splits.items())


# What the objectives are told


@pytest.fixture
def stack(tiny):
    """Experts, student and feed of two runs, the second of which lost class 2; development images of all classes."""
    ids = [
        make_ids(np.repeat(np.arange(5), [12, 6, 4, 2, 1]), np.concatenate([np.arange(n) for n in (12, 6, 4, 2, 1)])),
        make_ids(np.repeat([0, 1, 3, 4], [12, 10, 2, 1]), np.concatenate([np.arange(n) for n in (12, 10, 2, 1)])),
    ]
    held = np.tile(make_ids(np.repeat(np.arange(5), 3), np.tile([30, 31, 32], 5)), (2, 1))
    plain = Augmentation(pad=1, flip=True)
    feed = Feed(tiny, np.stack(ids), held, augmentation=plain, device=torch.device("cpu"), dtype=torch.float64)
    networks = []
    for stage in (EXPERTS, STUDENT):
        network = stage.net.build(BACKBONE, runs=2, channels=2, classes=5).double().eval()
        for run in range(2):
            draw_run(network, run, 2, np.random.default_rng(run))
        networks.append(network)
    return feed, *networks, Moment(0, 4, torch.as_tensor(feed.counts), SPLITS)


@torch.no_grad()
def test_confidences_and_accuracies_are_those_of_the_expert_of_the_image(stack):
    feed, experts, student, now = stack
    memory = STUDENT.objective.from_given(feed, (experts,), now)
    for held in (False, True):
        (batch,) = feed.plain(100, held=held)
        every, own = experts(batch.images).logits, student(batch.images).logits[:, 0]
        for run in range(2):
            share = group_shares(now.counts[run], SPLITS)
            values, right = [], []
            for i, label in enumerate(batch.labels[run].tolist()):
                e = [0, 1, 1, 2, 2][label]
                ids = list(SPLITS.values())[e]
                logits = every[run, e, i, ids]
                values.append(logits.softmax(-1)[ids.index(label)])
                right.append((e, ids[logits.argmax()] == label, own[run, i].argmax() == label))
            if not held:
                expected = start_factors(torch.stack(values), batch.labels[run], share)
                torch.testing.assert_close(memory["start"][run], expected)
                continue
            accuracy = [[np.mean([of[which] for of in right if of[0] == e]) for e in range(3)] for which in (1, 2)]
            np.testing.assert_allclose(memory["accuracy"][run], accuracy[0])
            moments = [replace(now, epoch=epoch, memory=memory) for epoch in (0, 1)]
            first, later = (
                STUDENT.objective.each_epoch(student, feed, (experts,), of)["weights"][run] for of in moments
            )
            assert first.tolist() == [float(expert > 0) for expert in accuracy[0]]
            weights = [expert_weight(s, e) for e, s in zip(*accuracy, strict=True)]
            np.testing.assert_allclose(later, weights, rtol=1e-6)


def test_the_student_is_taught_by_each_group_that_has_classes(stack):
    feed, experts, student, now = stack
    for groups in (
        SPLITS,
        {"many": [0, 1], "medium": [], "few": [2, 3, 4]},
        {"many": [0], "medium": [1, 2, 3, 4], "few": []},
    ):
        now = replace(now, groups=groups, epoch=1)
        with torch.no_grad():
            memory = dict(STUDENT.objective.from_given(feed, (experts,), now))
            memory |= STUDENT.objective.each_epoch(student, feed, (experts,), replace(now, memory=memory))
        (plain,) = feed.plain(100)
        at = torch.tensor([[0, 13, 24], [5, 5, 20]])
        images = plain.images.unflatten(1, (2, 2))
        batch = Batch(
            torch.stack([images[at[run], run] for run in range(2)], 1).flatten(1, 2), plain.labels.gather(1, at), at
        )
        found = STUDENT.objective(student, (batch,), (experts,), replace(now, memory=memory))
        logits, taught = student(batch.images).logits, experts(batch.images).logits
        filled = [(e, ids) for e, ids in enumerate(groups.values()) if ids]
        start = memory["start"].gather(1, at)
        for run in range(2):
            expected = distilled_loss(
                logits[run, 0],
                batch.labels[run],
                [taught[run, e][:, ids] for e, ids in filled],
                [ids for _, ids in filled],
                [memory["weights"][run, e] for e, _ in filled],
                start[run] + (1 - start[run]) * growth(1, 4),
            )
            torch.testing.assert_close(found.losses[run], expected)


def test_experts_learn_from_their_own_batches_among_their_own_classes(stack):
    feed, experts, _, now = stack
    tables = feed.tables(0, (0, 1), (0,), 0, 1, EXPERTS.sampler, batch=25, groups=SPLITS)
    (batches,) = feed.epoch(tables, 25)
    now = replace(now, memory=EXPERTS.objective.from_given(feed, (), now))
    found = EXPERTS.objective(experts, batches, (), now)
    for run in range(2):
        total = 0
        for e, ids in enumerate(SPLITS.values()):
            assert set(batches[e].labels[run].tolist()) <= set(ids)
            logits = experts(batches[e].images).logits[run, e][:, ids]
            inside = torch.tensor([ids.index(label) for label in batches[e].labels[run].tolist()])
            total += torch.nn.functional.cross_entropy(logits, inside)
        torch.testing.assert_close(found.losses[run], total)
    assert ((found.right >= 0) & (found.right <= 25)).all()


def test_a_student_that_goes_on_from_a_snapshot_ends_as_one_never_interrupted(stack):
    """What holds for the whole stage is found again from the experts; weights of experts from the student of before."""
    feed, experts, _, _ = stack
    experts.requires_grad_(False)
    protocol = Protocol(epochs=3, batch=10, learning_rate=0.05, backbone=BACKBONE)

    def trained(keeper=None, report=lambda images: None):
        network = STUDENT.net.build(BACKBONE, runs=2, channels=2, classes=5).double()
        for run in range(2):
            draw_run(network, run, 2, np.random.default_rng(run))
        asked = {"seed": 0, "runs": (0, 1), "groups": SPLITS, "given": (experts,)}
        history = train(STUDENT, network, feed, protocol, **asked, keeper=keeper, report=report)
        return network.state_dict(), history.losses

    (whole, losses), shelf, heard = trained(), Shelf(), []

    def interrupt(images):
        heard.append(images)
        if len(heard) == 8:  # three batches an epoch
            raise Interrupted

    with pytest.raises(Interrupted):
        trained(shelf, interrupt)
    resumed, again = trained(shelf)
    assert len(shelf.kept) == 2 and losses.tobytes() == again.tobytes()
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())
