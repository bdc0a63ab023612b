"""SADE's losses and test-time weights against the authors' values; what the test-time form sees, and who says so."""

from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from ltbv.cli import main
from ltbv.data.crops import Crops
from ltbv.data.dataset import Augmentation
from ltbv.data.views import Views, in_proportion
from ltbv.errors import Refusal
from ltbv.harness.study import resolve
from ltbv.harness.trainer import Trainer
from ltbv.methods import METHODS
from ltbv.methods.base import Adapting, Moment
from ltbv.methods.published import Terms
from ltbv.methods.sade import Aggregated, Ascent, Skills, offsets, reverse_ranked, similarity
from ltbv.models.experts import Output
from ltbv.report.study import read_study
from ltbv.stats import long_tailed_priors
from ltbv.store import Store

EXACT = {"rtol": 1e-9, "atol": 1e-9}
CPU = torch.device("cpu")


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


# Losses


@pytest.mark.parametrize("case", [0, 1])
def test_the_losses_are_the_authors(golden, case):
    of = golden("methods/sade_losses")["cases"][case]
    logits, labels, counts = (
        tensor(of["logits"]).requires_grad_(),
        torch.tensor(of["labels"]),
        torch.tensor(of["counts"]),
    )
    torch.testing.assert_close(reverse_ranked(counts / counts.sum().double()), tensor(of["inverse_prior"]), **EXACT)
    torch.testing.assert_close(offsets(counts, of["tau"]), tensor(of["offsets"]), **EXACT)
    loss = Skills(of["tau"]).of_run(Output(logits, logits), labels, counts, Moment(0, 1, counts))
    torch.testing.assert_close(loss, tensor(of["loss"]), **EXACT)
    loss.backward()
    torch.testing.assert_close(logits.grad, tensor(of["gradient"]), **EXACT)


def test_classes_of_one_size_are_treated_alike_and_the_order_of_ids_is_nothing():
    shares = tensor([0.1, 0.4, 0.1, 0.3, 0.1])
    expected = reverse_ranked(shares)
    assert expected.tolist() == pytest.approx([0.8 / 3, 0.1, 0.8 / 3, 0.1, 0.8 / 3])
    for order in list(permutations(range(5)))[::7]:
        torch.testing.assert_close(reverse_ranked(shares[list(order)]), expected[list(order)])
    counts = torch.tensor([[50, 9, 9, 3], [30, 0, 9, 1]])
    mapped = torch.vmap(offsets)(counts)
    torch.testing.assert_close(mapped, torch.stack([offsets(one) for one in counts]))
    assert mapped.abs().max() < 20, "a class without images counts as one"


def test_another_number_of_experts_is_refused():
    two, counts = torch.zeros(2, 4, 3), torch.tensor([5, 2, 1])
    with pytest.raises(Refusal, match=r"losses for 3 experts, and the network has 2; give Net\(experts=3\)"):
        Skills().of_run(Output(two, two), torch.tensor([0, 1, 2, 0]), counts, Moment(0, 1, counts))


# Weights


@pytest.mark.parametrize("case", [0, 1])
def test_the_weights_climb_as_the_authors_do(golden, case):
    of = golden("methods/sade_aggregation")["cases"][case]
    ascent = Ascent.start(2, 3)
    for first, second, step in zip(of["view_a"], of["view_b"], of["steps"], strict=True):
        first, second = (tensor(view).expand(2, -1, -1, -1) for view in (first, second))
        found = similarity(ascent.weights, first, second)
        torch.testing.assert_close(found, tensor([step["similarity"]] * 2), rtol=1e-8, atol=1e-8)
        ascent = ascent.step(first, second, of["lr"], of["momentum"], of["weight_decay"])
        for ours, theirs in ((ascent.parameters, "parameters_after"), (ascent.weights, "weights_after")):
            torch.testing.assert_close(ours, tensor([step[theirs]] * 2), rtol=1e-8, atol=1e-8)


class Three:
    """Three experts for runs that see pixels: of the first two, one is sure and steady, one says what the view is."""

    runs, experts = 2, 3

    def __init__(self, steady):
        self.steady = steady  # which expert, of each run

    def __call__(self, images):
        pixels = images.unflatten(1, (self.runs, -1)).flatten(2).movedim(1, 0)  # [R, B, P]
        noise = 4 * torch.stack([pixels[..., k::5].sum(-1) for k in range(5)], -1).sin()
        logits = torch.stack([noise, noise.flip(-1), noise.roll(2, -1)], 1)
        for run, expert in enumerate(self.steady):
            logits[run, expert] = 0
            logits[run, expert, :, 0] = 4
        return Output(logits, logits)


@pytest.fixture
def views(tiny):
    return Views(
        tiny,
        np.array([12, 9, 6, 4, 3]),
        augmentation=resolve("glyphs-lt").protocol.augmentation,
        seed=3,
        runs=(0, 1),
        device=CPU,
        dtype=torch.float64,
    )


def test_the_expert_that_is_alike_in_both_views_gets_the_weight_run_by_run(views):
    rule = Aggregated(epochs=30).rule(Three((0, 2)), views)
    assert rule.weights.argmax(1).tolist() == [0, 2] and (rule.weights.amax(1) > 0.8).all()
    assert (rule.weights.amin(1) < 0.06).all(), "and then stopped"
    alone = Aggregated(epochs=30).rule(Three((0, 0)), views)
    assert torch.equal(alone.weights[0], rule.weights[0]), "no run feels another, nor when it stopped"


def test_a_test_set_of_another_name_is_refused():
    with pytest.raises(Refusal, match="unknown prior of a test set 'forward50' .did you mean 'forward_50'"):
        Aggregated("forward50")


# What it sees


@dataclass(frozen=True)
class Looking(Adapting):
    """Tells what it was shown."""

    def rule(self, network, views):
        return views


@pytest.mark.parametrize(
    ("asked", "own", "wanted"),
    [
        ({}, None, Augmentation(pad=1, flip=True)),
        ({"augmentation": "rand"}, None, Augmentation(pad=1, flip=True, strong="rand")),
        ({"augmentation": "auto+cutout"}, None, Augmentation(pad=1, flip=True, strong="auto+cutout")),
        ({"augmentation": "rand"}, Augmentation(pad=2, rotate=15.0), Augmentation(pad=2, rotate=15.0)),
    ],
)
def test_views_are_varied_as_the_images_of_the_last_stage_were(tiny_lt, tmp_path, asked, own, wanted):
    last = replace(METHODS["sade"].stages[0], terms=own and Terms(augmentation=own))
    shop = Trainer(resolve("tiny-lt", **asked), Store(tmp_path), tiny_lt, (0, 1), device=CPU, dtype=torch.float64)
    views = shop.rule(replace(METHODS["sade_tta"], stages=(last,), predict=Looking()), None)
    assert views.crops == Crops.of(wanted, tiny_lt) == shop.feed_of(last).crops
    drawn = Views(tiny_lt, views.counts, augmentation=wanted, seed=0, runs=(0, 1), device=CPU, dtype=torch.float64)
    for one, other in zip(views.pairs(0, 30), drawn.pairs(0, 30), strict=True):
        assert torch.equal(one[0], other[0]) and not torch.equal(*one)


def test_views_are_of_every_image_once_drawn_for_each_run(views, tiny):
    rows = [torch.cat([pair[k] for pair in views.pairs(0, 7)]) for k in range(2)]
    assert rows[0].shape == (30, 4, 8, 8) and not torch.equal(*rows)
    assert not torch.equal(rows[0][:, :2], rows[0][:, 2:]), "runs have orders and crops of their own"
    again = torch.cat([pair[0] for pair in views.pairs(0, 30)])
    assert torch.equal(again, rows[0]) and not torch.equal(again, next(views.pairs(1, 30))[0])
    plain = Views(tiny, views.counts, augmentation=replace(BARE), seed=3, runs=(1,), device=CPU, dtype=torch.float64)
    (pair,) = plain.pairs(0, 30)
    assert torch.equal(*pair), "nothing to vary"
    whole = plain.reader.block(slice(None), 1)
    assert sorted(one.sum().item() for one in pair[0]) == pytest.approx(sorted(one.sum().item() for one in whole))


BARE = replace(resolve("glyphs-lt").protocol.augmentation, pad=0, flip=False)


@pytest.mark.parametrize("there", [[6] * 5, [100] * 5, [30, 60, 0, 90, 10]])
@pytest.mark.parametrize("name", ["forward_50", "backward_50", "forward_2"])
def test_a_test_set_with_a_long_tail_has_its_shares(there, name):
    there, prior = np.array(there), long_tailed_priors([50, 20, 10, 5, 1])[name]
    sizes = in_proportion(there, prior)
    assert ((sizes > 0) == (there > 0)).all() and (sizes <= there).all() and (sizes == there).any()
    wanted = prior / prior[there > 0].max() * sizes[there > 0].max()
    assert (abs(sizes - wanted)[there > 0] <= 1).all()


def test_a_prior_takes_the_same_images_of_a_run_in_every_epoch(views, tiny):
    prior = long_tailed_priors(views.counts)["backward_50"]
    plain = Views(tiny, views.counts, augmentation=BARE, seed=3, runs=(1,), device=CPU, dtype=torch.float64)
    sums = [sorted(pair[0].sum((1, 2, 3)).tolist()) for epoch in range(2) for pair in plain.pairs(epoch, 99, prior)]
    assert sums[0] == pytest.approx(sums[1]) and len(sums[0]) == in_proportion(np.full(5, 6), prior).sum() < 30


def test_labels_are_not_asked_unless_they_make_the_test_set(tiny, tmp_path, tiny_lt):
    """With the labels of the test set shuffled the answers are the same."""
    found = []
    for name, labels in (("as they are", tiny.test.labels), ("shuffled", tiny.test.labels[::-1].copy())):
        dataset = replace(tiny, test=replace(tiny.test, labels=labels))
        shop = Trainer(resolve("tiny-lt"), Store(tmp_path / name), dataset, (0, 1), device=CPU)
        method = METHODS["sade_tta"]
        network = shop.finished(method)
        found.append(shop.rule(method, network).weights)
    assert torch.equal(*found) and not torch.equal(found[0][0], found[0][1])
    assert not torch.allclose(found[0], torch.full((2, 3), 1 / 3, dtype=torch.float64))


# Who says so


def test_it_is_marked_wherever_it_stands(tiny_lt, tmp_path):
    asked = ["bootstrap", "--dataset", "tiny-lt", "--study", str(tmp_path / "s"), "--runs", "2", "--executor", "inline"]
    done = CliRunner().invoke(main, [*asked, "--method", "ce,sade,sade_tta,sade_tta_forward"], catch_exceptions=False)
    assert done.exit_code == 0 and "SADE, aggregated (sees test) 2 runs" in done.output
    evidence = read_study(tmp_path / "s")
    names = ["CE", "SADE", "SADE, aggregated (sees test)", "SADE, aggregated forward (sees test)"]
    assert list(evidence.names.values()) == names
    (line,) = (note for note in evidence.setting.notes if "unlabelled test images" in note)
    assert line.startswith("SADE, aggregated (sees test), SADE, aggregated forward (sees test): sees test: it adapts")
    assert not [
        note for note in read_study(tmp_path / "s", methods=("ce", "sade")).setting.notes if "sees test" in note
    ]
    assert [method.key for method in METHODS.values() if method.sees_test] == [
        "sade_tta",
        "sade_tta_forward",
        "sade_tta_backward",
    ]
