"""M2m against the released code's numbers; who is made of whom, and that making images leaves the networks alone."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tape import Recorder

from ltbv.data.batches import Feed
from ltbv.data.dataset import Augmentation, make_ids
from ltbv.engine import train as engine
from ltbv.engine.protocol import Protocol
from ltbv.engine.replay import Replayed
from ltbv.methods.base import Moment
from ltbv.methods.m2m import M2M, MAKES, acceptance, beta_for, drawn_replacements, random_start, replacement, translated
from ltbv.models.resnet import Resnet
from ltbv.models.stack import draw_run
from ltbv.schedules import value
from ltbv.seeds import generator

G, STAGE = M2M.stages


def double(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


# The code's numbers


def test_chances_of_replacement_and_acceptance_are_those_of_the_code(golden):
    for case in golden("methods/m2m_probabilities")["cases"]:
        counts, labels = torch.tensor(case["counts"]), torch.tensor(case["labels"])
        chances = acceptance(counts, case["beta"])
        np.testing.assert_allclose(chances, case["acceptance_by_target_class_then_seed_class"], atol=1e-12)
        expected = case["probability_of_being_chosen_for_replacement"]
        np.testing.assert_allclose(replacement(counts)[labels], expected, atol=1e-12)
        by_image = chances[labels][:, labels]
        np.testing.assert_allclose(by_image, case["acceptance_by_target_then_seed_image"], atol=1e-12)


def test_seeds_are_drawn_as_often_as_the_code_draws_them(golden):
    """Uniform numbers on a fine grid: the share of each seed is its chance, to the width of the grid."""
    grid = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    for case in golden("methods/m2m_probabilities")["cases"]:
        counts, labels = torch.tensor(case["counts"]).unsqueeze(0), torch.tensor(case["labels"]).unsqueeze(0)
        size, beta = labels.shape[1], double([[[case["beta"]]]])
        draws = torch.zeros(len(grid), size, 3, dtype=torch.float64)
        draws[..., 1] = grid.unsqueeze(1)
        draws[..., 2] = 0.5
        plan = drawn_replacements(labels.expand(len(grid), -1), counts.expand(len(grid), -1), beta, draws)
        for i, chances in enumerate(case["seed_choice_probability"]):
            head = replacement(counts)[0, labels[0, i]] == 0
            assert plan.chosen[:, i].all() == (case["has_any_seed"][i] and not head)
            if case["has_any_seed"][i]:
                shares = np.bincount(plan.seed[:, i], minlength=size) / len(grid)
                np.testing.assert_allclose(shares, chances, atol=1e-4)
                well = acceptance(counts[0], case["beta"])[labels[0, i], labels[0, plan.seed[:, i]]] > 0.5
                assert torch.equal(plan.well[:, i], well)


def test_noise_has_the_length_that_was_meant(golden):
    for case in golden("methods/m2m_random_start")["cases"]:
        ours = random_start(double(case["uniform"]))
        np.testing.assert_allclose(ours, case["noise_per_image"], atol=1e-6)
        assert (ours.flatten(1).norm(dim=1) <= 0.5 + 1e-12).all()
    short = random_start(double([[[0.5, 0.6]]]))
    np.testing.assert_allclose(short, [[[0.0, 0.1]]], atol=1e-12)


def says(found: dict):
    """A network of a golden file: pixels within 0 and 1 -> logits."""
    mean, std = (double(found[name])[:, None, None] for name in ("mean", "std"))

    def of(weights: dict):
        def logits(pixels: torch.Tensor) -> torch.Tensor:
            x = (pixels - mean) / std
            if "kernel" in weights:
                norm = weights["bn"]
                x = F.conv2d(x, double(weights["kernel"]), padding=1)
                x = F.batch_norm(x, *(double(norm[n]) for n in ("running_mean", "running_var", "weight", "bias")))
                x = x.relu().mean((2, 3))
            return x.flatten(1) @ double(weights["weight"]).T + double(weights["bias"])

        return logits

    return of(found["g"]), of(found["f"])


@pytest.mark.parametrize("name", ["linear", "conv"])
def test_images_are_translated_as_the_code_translates_them(golden, name):
    """To 1e-6: the code adds 1e-10 to the length of a gradient."""
    found = golden(f"methods/m2m_translation_{name}")
    sure_of, network = says(found)
    targets, seeds = torch.tensor(found["target_labels"]), torch.tensor(found["seed_labels"]).unsqueeze(1)
    for case in found["cases"]:

        def loss(pixels, lam=case["lam"]):
            target = F.cross_entropy(sure_of(pixels), targets, reduction="none")
            return target + lam * network(pixels).gather(1, seeds).squeeze(1)

        made = translated(double(found["images"]), loss, case["steps"], case["step_size"])
        np.testing.assert_allclose(made, case["images_after"], atol=1e-6)
        probability = sure_of(made).softmax(1).gather(1, targets.unsqueeze(1)).squeeze(1)
        np.testing.assert_allclose(probability, case["probability_of_target_under_g"], atol=1e-6)


# Edges


def test_beta_accepts_alike_whatever_the_largest_class_has():
    for head in (5000, 500, 300):
        beta = beta_for(torch.tensor([[head, 1]]))[0]
        assert acceptance(torch.tensor([head, 0]), beta)[1, 0].item() == pytest.approx(1 - 0.999**5000)
    assert beta_for(torch.tensor([500])).item() == pytest.approx(0.99, abs=1e-3)


def test_a_lost_class_two_classes_and_classes_alike_have_finite_chances():
    for counts in ([50, 0, 3], [9, 1], [4, 4, 4]):
        counts = torch.tensor(counts)
        assert replacement(counts).isfinite().all() and acceptance(counts, 0.99).isfinite().all()
    alike = torch.full((1, 3), 4)
    plan = drawn_replacements(
        torch.tensor([[0, 1, 2, 0]]), alike, beta_for(alike), torch.zeros(1, 4, 3, dtype=torch.float64)
    )
    assert not plan.chosen.any() and not plan.well.any()


def test_an_image_without_a_gradient_stays():
    pixels = torch.rand(2, 1, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weight = double([0.0, 1.0])[:, None, None, None]
    made = translated(pixels, lambda x: x * weight, steps=1)
    assert torch.equal(made[0], pixels[0]) and not torch.equal(made[1], pixels[1])


# The objective


@pytest.fixture
def stack(tiny):
    """Two networks of two runs, a batch that has every class, and a moment late in training."""
    counts = [12, 6, 4, 2, 1]
    ids = make_ids(np.repeat(np.arange(5), counts), np.concatenate([np.arange(n) for n in counts]))
    feed = Feed(
        tiny,
        np.stack([ids, ids]),
        augmentation=Augmentation(pad=1, flip=True),
        device=torch.device("cpu"),
        dtype=torch.float64,
    )
    networks = []
    for stage, seed in ((G, 5), (STAGE, 7)):
        network = stage.net.build(Resnet(widths=(4, 8, 8), blocks=1), runs=2, channels=2, classes=5).double()
        for run in range(2):
            draw_run(network, run, 2, np.random.default_rng([seed, run]))
        networks.append(network)
    g, f = networks
    now = Moment(9, 10, torch.as_tensor(feed.counts))
    now = replace(now, memory=STAGE.objective.from_given(feed, (g,), now))
    tables = feed.tables(0, (0, 1), (0,), 9, 10, STAGE.sampler, batch=25, draws=STAGE.objective.draws)
    (batches,) = feed.epoch(tables, 25)
    return g.eval().requires_grad_(False), f.train(), batches, now


def test_until_late_it_is_cross_entropy_on_the_data_as_they_are(stack):
    g, f, batches, now = stack
    assert [value(MAKES, epoch, 200) for epoch in (0, 159, 160, 199)] == [0, 0, 1, 1]
    found = STAGE.objective(f, batches, (g,), replace(now, epoch=7))
    logits = copy.deepcopy(f)(batches[0].images).logits[:, 0]
    for run in range(2):
        torch.testing.assert_close(found.losses[run], F.cross_entropy(logits[run], batches[0].labels[run]))


def test_images_that_are_made_take_the_places_of_others(stack):
    """With a g that need not be sure: made images are near their seeds, all others are as they came."""
    g, f, (batch,), now = stack
    objective = replace(STAGE.objective, sure=0.0, steps=3)
    mixed = objective._mixed(f, batch, g, now).unflatten(1, (2, 2))
    own = batch.images.unflatten(1, (2, 2))
    plan = drawn_replacements(batch.labels, now.counts, beta_for(now.counts), batch.draws[..., :3])
    made = plan.chosen & plan.well
    assert made.sum() > 10 and not made.all()
    mean, std = (now.memory[name][:, None, None] for name in ("mean", "std"))
    for run in range(2):
        for i in range(25):
            if not made[run, i]:
                assert torch.equal(mixed[i, run], own[i, run])
                continue
            seed = plan.seed[run, i]
            assert now.counts[run, batch.labels[run, seed]] > now.counts[run, batch.labels[run, i]]
            pixels, start = (of * std + mean for of in (mixed[i, run], own[seed, run]))
            assert pixels.min() > -1e-12 and pixels.max() < 1 + 1e-12
            assert 0 < (pixels - start.clamp(0, 1)).norm() < 0.5 + 3 * 0.1 + 1e-9
    assert torch.equal(objective._mixed(f, batch, g, now), mixed.flatten(1, 2)), "nothing is drawn"
    picky = replace(objective, sure=1.1)._mixed(f, batch, g, now)
    assert torch.equal(picky, batch.images), "g is never so sure"


def test_what_is_made_lowers_what_the_code_lowers(stack):
    g, f, (batch,), now = stack
    plan = drawn_replacements(batch.labels, now.counts, beta_for(now.counts), batch.draws[..., :3])
    made = plan.chosen & plan.well

    def loss(steps: int) -> torch.Tensor:
        images = replace(STAGE.objective, sure=0.0, steps=steps)._mixed(f, batch, g, now)
        seed_labels = batch.labels.gather(1, plan.seed).unsqueeze(2)
        with torch.no_grad():
            of_f = copy.deepcopy(f).eval()(images).logits[:, 0].gather(2, seed_labels).squeeze(2)
            of_g = torch.vmap(lambda z, y: F.cross_entropy(z, y, reduction="none"))(
                g(images).logits[:, 0], batch.labels
            )
        return (of_g + 0.5 * of_f)[made].mean()

    assert loss(10) < loss(1) < loss(0)


def test_making_images_moves_neither_network(stack):
    g, f, batches, now = stack
    before = [copy.deepcopy(of.state_dict()) for of in (g, f)]
    STAGE.objective._mixed(f, batches[0], g, now)
    for network, state in zip((g, f), before, strict=True):
        assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
        assert all(parameter.grad is None for parameter in network.parameters())
    assert all(part.training for part in f.modules()) and not any(part.training for part in g.modules())


# Trained: five epochs, of which the last makes images

PROTOCOL = Protocol(epochs=5, batch=16, learning_rate=0.05, backbone=Resnet(widths=(4, 8, 8), blocks=1))
LENIENT = replace(STAGE, objective=replace(STAGE.objective, sure=0.25))


def trained(dataset, stage, runs, dtype=torch.float64, record=None):
    """The stack of a stage after it consulted networks that were drawn."""
    counts = [20, 10, 4, 2, 1]
    parts = [[np.random.default_rng(run).permutation(40)[:n] for n in counts] for run in runs]
    ids = np.stack([np.sort(make_ids(np.repeat(np.arange(5), counts), np.concatenate(of))) for of in parts])
    crops = Augmentation(pad=1, flip=True)
    feed = Feed(dataset, ids, augmentation=crops, device=torch.device("cpu"), dtype=dtype)
    networks = [stage.net.build(PROTOCOL.backbone, runs=len(runs), channels=2, classes=5).to(dtype) for _ in range(2)]
    for seed, network in enumerate(networks):
        for place, run in enumerate(runs):
            draw_run(network, place, len(runs), generator(0, run, "init", seed))
    network, g = networks
    made = []
    with pytest.MonkeyPatch.context() as patch:
        if record:
            patch.setattr(engine, "drive", lambda *asked: made.append(Replayed(*asked, record)) or made[0])
        given = (g.eval().requires_grad_(False),)
        history = engine.train(stage, network, feed, PROTOCOL, seed=0, runs=runs, given=given)
    assert not any(drive.gave_up for drive in made)
    return network.state_dict(), history.losses


def test_three_runs_at_once_are_three_runs_one_by_one(tiny):
    together, losses = trained(tiny, LENIENT, (0, 1, 2))
    _, strict = trained(tiny, replace(STAGE, objective=replace(STAGE.objective, sure=1.1)), (0, 1, 2))
    assert (losses[:, :4] == strict[:, :4]).all() and (losses[:, 4] != strict[:, 4]).all(), "images were made"
    for run in range(3):
        alone, own = trained(tiny, LENIENT, (run,))
        np.testing.assert_allclose(losses[run], own[0], rtol=1e-8)
        for name, tensor in together.items():
            share = tensor.unflatten(0, (3, -1))[run]
            torch.testing.assert_close(share, alone[name], rtol=1e-7, atol=1e-8, msg=name)


def test_recorded_steps_train_to_the_bits_of_eager_ones(tiny):
    record = Recorder()
    (eager, losses), (again, recorded) = (trained(tiny, LENIENT, (0, 1), torch.float32, r) for r in (None, record))
    assert losses.tobytes() == recorded.tobytes()
    assert all(torch.equal(tensor, again[name]) for name, tensor in eager.items())
