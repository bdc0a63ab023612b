"""Heads at their optimum: the minimum of what the loop minimises, whether rows repeat or have weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import ltbv
from ltbv.cli import main
from ltbv.data.batches import Batch, Feed
from ltbv.data.catalogue import entry
from ltbv.data.dataset import Augmentation
from ltbv.engine.cost import build
from ltbv.engine.lbfgs import minimise
from ltbv.engine.optimum import Whole, to_optimum, why_none
from ltbv.engine.protocol import protocol_for
from ltbv.errors import Refusal
from ltbv.harness.bootstrap import prepare
from ltbv.harness.events import ImagesSeen
from ltbv.harness.request import Request
from ltbv.harness.study import resolve
from ltbv.losses import balanced_softmax, cross_entropy
from ltbv.methods import METHODS
from ltbv.methods.base import Loss, Moment, Stage
from ltbv.methods.published import Terms
from ltbv.optimisers import LBFGS, AdamW

COUNTS, WIDTH, DECAY = (30, 16, 7), 5, 5e-3
TIGHT = LBFGS(tolerance=1e-11)
LOSSES = [Loss(cross_entropy), Loss(balanced_softmax), Loss(cross_entropy, beta=0.9), Loss(cross_entropy, 0.9, "batch")]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    draw = np.random.default_rng(0)
    labels, test = np.repeat(np.arange(3), COUNTS), np.tile(np.arange(3), 4)
    centres = draw.normal(size=(3, WIDTH))
    rows = {name: centres[of] + draw.normal(size=(len(of), WIDTH)) for name, of in (("train", labels), ("test", test))}
    path = tmp_path_factory.mktemp("optimum") / "net.npz"
    np.savez(path, **rows, train_labels=labels, test_labels=test)
    return str(path)


@pytest.fixture(scope="module")
def feed(file):
    """Four runs, in float64."""
    study, dataset = resolve(file), entry(file).load()
    ids = np.stack([study.sample(run) for run in range(4)])
    return Feed(dataset, ids, augmentation=Augmentation(), device=torch.device("cpu"), dtype=torch.float64)


def optimum(objective, feed, rule=TIGHT):
    stage = Stage("one", objective)
    network = build(stage, protocol_for((1, 1, WIDTH)), len(feed.rows), (1, 1, WIDTH), 3).double()
    found = to_optimum(stage, network, feed, rule, DECAY)
    return network, found


@pytest.mark.parametrize("objective", LOSSES)
def test_what_the_loop_minimises_has_no_slope_there(feed, objective):
    """The loop's own loss of each run's rows, repeats and all, with the decay that SGD adds to the gradient."""
    network, _ = optimum(objective, feed)
    (batch,) = feed.plain(10**6)
    now = Moment(0, 1, torch.as_tensor(feed.counts))
    losses = Stage("one", objective).losses(network, (Batch(batch.images, batch.labels),), (), now).losses
    losses.sum().backward()
    for parameter in network.heads.parameters():
        assert (parameter.grad + DECAY * parameter.detach()).abs().max() < 1e-9
        assert parameter.grad.abs().max() > 1e-4


@pytest.mark.parametrize("objective", LOSSES)
def test_weights_are_resampled_rows(feed, objective):
    by_weight = Whole.of(objective, feed, [0, 1, 2, 3])
    heads = torch.randn(4, 3 * (WIDTH + 1), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values, gradients = by_weight.penalised(DECAY)(heads)
    found, _ = minimise(by_weight.penalised(DECAY), by_weight.start(), tolerance=1e-12, most=2000, memory=10)
    for run in range(4):
        rows, labels = torch.as_tensor(feed.rows[run]), torch.as_tensor(feed.labels[run])
        once = torch.ones(1, len(rows), dtype=torch.float64)
        alone = Whole(objective, feed.reader.values[rows], labels, once, by_weight.counts[run : run + 1])
        value, gradient = alone.penalised(DECAY)(heads[run : run + 1])
        torch.testing.assert_close(values[run], value[0], rtol=0, atol=1e-10)
        torch.testing.assert_close(gradients[run], gradient[0], rtol=0, atol=1e-10)
        own, _ = minimise(alone.penalised(DECAY), alone.start(), tolerance=1e-12, most=2000, memory=10)
        torch.testing.assert_close(found[run], own[0], rtol=0, atol=1e-10)


def test_runs_that_share_no_image_are_apart(feed):
    """As those on two backbones: each set has its own product, and the same optimum."""
    whole, _ = optimum(LOSSES[0], feed)
    apart = Feed.__new__(Feed)
    vars(apart).update(vars(feed))
    apart.reader = type(feed.reader).__new__(type(feed.reader))
    vars(apart.reader).update(vars(feed.reader), values=feed.reader.values.repeat(2, 1))
    apart.rows = feed.rows + np.array([[0], [1], [0], [1]]) * len(feed.reader.values)
    found, _ = optimum(LOSSES[0], apart)
    for one, other in zip(whole.heads.parameters(), found.heads.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-8)


def test_runs_with_no_minimum_in_reach_are_refused(feed):
    with pytest.raises(Refusal, match="4 runs are not at their optimum after 3 iterations"):
        optimum(LOSSES[0], feed, LBFGS(tolerance=1e-11, most=3))


def test_it_is_scikit_learns(feed):
    linear = pytest.importorskip("sklearn.linear_model")
    network, _ = optimum(LOSSES[0], feed)
    x, y = feed.reader.values.numpy()[feed.rows[1]], feed.labels[1]
    # Theirs leaves the bias out of the penalty: a feature that is always 1 stands in its place.
    model = linear.LogisticRegression(C=1 / (DECAY * len(y)), tol=1e-10, max_iter=5000, fit_intercept=False)
    model.fit(np.column_stack([x, np.ones(len(y))]), y)
    np.testing.assert_allclose(network.heads.weight.detach()[1].numpy(), model.coef_[:, :-1], atol=1e-5)


def test_which_methods_have_an_optimum():
    has = {key for key, method in METHODS.items() if not any(map(why_none, method.stages))}
    assert {"ce", "balanced_softmax", "logit_adjustment", "tau_norm", "ncm"} <= has
    assert not has & {"focal", "ldam", "crt", "ce_drw", "ride", "smote", "class_balanced"} & METHODS.keys()


@pytest.mark.usefixtures("undrawn")
def test_a_study_at_the_optimum(file, tmp_path):
    asked = {"features": file, "optimiser": "lbfgs", "executor": "inline", "quiet": True}
    ltbv.bootstrap(["ce", "balanced_softmax", "tau_norm"], 4, tmp_path / "s", **asked)
    done = CliRunner().invoke(main, ["report", str(tmp_path / "s"), "--output", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "out" / "report.md").read_text()
    assert "each at its optimum" in text and "epochs" not in text.split("Runs R")[0]
    for more, words in (({"epochs": 3}, "epochs 3: lbfgs goes"), ({"batch": 8}, "batch 8: lbfgs goes")):
        with pytest.raises(Refusal, match=words):
            ltbv.bootstrap("ce", 2, tmp_path / "t", **asked, **more)
    with pytest.raises(Refusal, match="method 'crt': its stage 'classifier' draws its images anew.*there is: ce,"):
        ltbv.bootstrap(["ce", "crt"], 2, tmp_path / "t", **asked)
    with pytest.raises(Refusal, match="optimiser lbfgs: it is for a head, on --features"):
        ltbv.bootstrap("ce", 2, tmp_path / "t", optimiser="lbfgs", executor="inline")
    words = ["bootstrap", "--features", file, "--optimiser", "lbfgs", "--method", "ce", "--dry-run"]
    assert "times epochs" in CliRunner().invoke(main, words).output


def test_a_stage_that_was_changed_says_what_is_amiss():
    stage = METHODS["ce"].stages[0]
    assert why_none(stage) == "" and "holds some out" in why_none(replace(stage, held=3))
    for otherwise in ({"own": (("heads", AdamW()),)}, {"terms": Terms(optimiser=AdamW())}):
        assert "has an optimiser of its own" in why_none(replace(stage, **otherwise))
    assert why_none(replace(stage, terms=Terms(batch=7))) == ""


def test_a_run_that_gets_no_further_leaves_the_others_to_their_minimum():
    """Its gradient leads nowhere: no step along it makes the value smaller."""

    def function(x):
        values, gradients = ((x - 3) ** 2).sum(1), 2 * (x - 3)
        values = torch.where(torch.tensor([False, True]), 1 + x.abs().sum(1), values)
        return values, torch.where(torch.tensor([[False], [True]]), torch.ones_like(x), gradients)

    found, values = minimise(function, torch.zeros(2, 4, dtype=torch.float64), tolerance=1e-8, most=50, memory=5)
    assert (found[0] - 3).abs().max() < 1e-6 and values[0] < 1e-10
    assert (found[1] == 0).all()


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(Refusal, match="a loss is not finite"):
        minimise(lambda x: (x.sum(1) * torch.nan, x), torch.ones(2, 3), tolerance=1e-8, most=5, memory=5)


def test_what_has_no_optimum_or_no_length_is_not_told(file, tmp_path):
    with pytest.raises(Refusal, match="weight_decay 0: without any"):
        resolve(str(file), optimiser="lbfgs", weight_decay=0.0)
    study = resolve(str(file), optimiser="lbfgs")
    assert "training_images_times_macs" not in study.cost(METHODS["ce"])
    seen, asked = [], {"store": tmp_path, "dataset": str(file), "optimiser": "lbfgs", "executor": "inline"}
    job = prepare(Request.of(methods=("ce",), runs=3, **asked))
    assert job.run(seen.append) == []
    assert sum(event.images for event in seen if isinstance(event, ImagesSeen)) == job.images > 0
