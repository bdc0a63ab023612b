"""The papers' formulas once more, as plain sums in numpy on inputs of our own: does each method that is registered give
them, with the numbers that its authors chose, and their slopes? `test_<method>.py` has the authors' own values."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from golden_steps import RUNS
from test_sam import linear

from ltbv.data.batches import Batch
from ltbv.losses import cross_entropy, inverse_power, weighted_mean
from ltbv.methods import METHODS
from ltbv.methods.base import Moment
from ltbv.methods.disalign import Aligning
from ltbv.methods.gcl import clouded
from ltbv.methods.partnered import Pairs, in_a_box, one_a_batch
from ltbv.methods.sade import Ascent
from ltbv.methods.weight_balancing import kept_short, length_limit
from ltbv.models.experts import Output

SEEDS = (0, 1, 2)
COUNTS = np.array([97, 40, 40, 12, 5, 1])  # two alike, one of a single image
SIZE, CLASSES, FEATURES = 9, len(COUNTS), 4
PRIOR = COUNTS / COUNTS.sum()


def drawn(seed, experts=1):
    """Logits [E, B, C], features [E, B, D], labels [B], in long doubles. The last class but one is in no batch."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((experts, SIZE, CLASSES)).astype(np.longdouble)
    features = rng.standard_normal((experts, SIZE, FEATURES)).astype(np.longdouble)
    return logits, features, rng.choice([0, 1, 2, 3, 5], SIZE)


def log_sum(values):
    top = max(values)
    return top + np.log(sum(np.exp(value - top) for value in values))


def ce(z, y):
    return log_sum(z) - z[y]


def probabilities(z):
    return np.exp(z - log_sum(z))


def plain_mean(losses):
    losses = list(losses)
    return sum(losses) / len(losses)


# The formulas, for one expert's logits z [B, C], features f [B, D] and labels y [B]


def cdt(z, f, y, gamma=0.2):
    a = (COUNTS.max() / COUNTS) ** gamma
    return plain_mean(ce(z[i] / a, y[i]) for i in range(SIZE))


def vs_loss(z, f, y, gamma=0.05, tau=0.75):
    return plain_mean(ce((COUNTS / COUNTS.max()) ** gamma * z[i] + tau * np.log(PRIOR), y[i]) for i in range(SIZE))


def balanced_softmax(z, f, y):
    top = [z[i, y[i]] + np.log(PRIOR[y[i]]) for i in range(SIZE)]
    return plain_mean(log_sum(z[i] + np.log(PRIOR)) - top[i] for i in range(SIZE))


def lade(z, f, y, alpha=0.1, penalty=0.01):
    regular = 0
    for k in range(CLASSES):
        own = [z[i, k] for i in range(SIZE) if y[i] == k]
        first = sum(own) / len(own) if own else 0
        second = log_sum([z[i, k] - np.log(PRIOR[k]) + np.log(1 / CLASSES) for i in range(SIZE)]) - np.log(SIZE)
        regular -= PRIOR[k] * (first - second - penalty * second**2)
    return balanced_softmax(z, f, y) + alpha * regular


def ib(z, f, y, alpha=1000.0, gamma=0):
    weights = CLASSES / COUNTS / sum(1 / COUNTS)
    total = 0
    for i in range(SIZE):
        distance = sum(abs(p - (k == y[i])) for k, p in enumerate(probabilities(z[i])))
        weighted = weights[y[i]] * ce(z[i], y[i])
        total += (1 - np.exp(-weighted)) ** gamma * weighted * alpha / (distance * sum(abs(f[i])) + 0.001)
    return total / SIZE


def ib_focal(z, f, y):
    return ib(z, f, y, gamma=1)


def smooth(z, y, share):
    log_p = z - log_sum(z)
    return -sum(((1 - share) * (k == y) + share / CLASSES) * log_p[k] for k in range(CLASSES))


def los(z, f, y):
    return plain_mean(smooth(z[i], y[i], 0.98) for i in range(SIZE))


def mislas(z, f, y, head=0.4, tail=0.1):
    u = (COUNTS - COUNTS.min()) / (COUNTS.max() - COUNTS.min())
    share = tail + (head - tail) * np.sin(np.pi / 2 * u)
    return plain_mean(smooth(z[i], y[i], share[y[i]]) for i in range(SIZE))


def weight_balancing(z, f, y, beta=0.9999):
    weights = (1 - beta) / (1 - beta**COUNTS)
    weights = CLASSES * weights / weights.sum()
    total = 0
    for i in range(SIZE):
        p = probabilities(z[i])
        asked = [np.log(p[k]) if k == y[i] else np.log(1 - p[k]) for k in range(CLASSES)]
        total -= weights[y[i]] * sum(asked) / CLASSES
    return total / SIZE


FORMULAS = {
    "cdt": cdt,
    "vs_loss": vs_loss,
    "balanced_softmax": balanced_softmax,
    "lade": lade,
    "ib": ib,
    "ib_focal": ib_focal,
    "los": los,
    "mislas": mislas,
    "weight_balancing": weight_balancing,
}


def tensor(values, **more):
    return torch.tensor(np.asarray(values, float), **more)


def slope(of, values, along, step=1e-6):
    """The derivative of a function of an array along a direction, by a difference in long doubles."""
    return (of(values + step * along) - of(values - step * along)) / (2 * step)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("key", FORMULAS)
def test_a_loss_is_its_formula_and_so_are_its_slopes(key, seed):
    logits, features, labels = drawn(seed)
    objective = METHODS[key].stages[-1].objective
    objective = getattr(objective, "loss", objective) if key == "weight_balancing" else objective
    z, f = (tensor(of, requires_grad=True) for of in (logits, features))
    counts = torch.tensor(COUNTS)
    found = objective.of_run(Output(z, f), torch.tensor(labels), counts, Moment(150, 200, counts))
    found.backward()
    formula = FORMULAS[key]
    exact = 1e-6 if key == "lade" else 1e-11  # 1e-9 within its logarithms, as released
    assert found.item() == pytest.approx(float(formula(logits[0], features[0], labels)), rel=exact)
    rng = np.random.default_rng(seed)
    for _ in range(3):
        along, aside = rng.standard_normal(logits.shape[1:]), rng.standard_normal(features.shape[1:])
        of_logits = slope(lambda values: formula(values, features[0], labels), logits[0], along)
        assert (z.grad[0].numpy() * along).sum() == pytest.approx(float(of_logits), rel=1e-6, abs=1e-6)
        of_features = slope(lambda values: formula(logits[0], values, labels), features[0], aside)
        grad = torch.zeros_like(f) if f.grad is None else f.grad
        assert (grad[0].numpy() * aside).sum() == pytest.approx(float(of_features), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("name", "scale", "margin", "gamma"), [("representation", 30, 0, 0), ("classifier", 20, 0.1, 1)]
)
def test_gcl_lowers_rare_classes_by_clouds(seed, name, scale, margin, gamma):
    rng = np.random.default_rng(seed)
    cosines = rng.uniform(-1, 1, (SIZE, CLASSES)).astype(np.longdouble)
    noise, labels = np.clip(rng.normal(0, 1 / 3, (SIZE, CLASSES)), -1, 1), drawn(seed)[2]
    deltas = [(np.log(97) - np.log(n)) / (np.log(97) - np.log(1)) for n in COUNTS]

    def each(values):
        for i in range(SIZE):
            z = [scale * (values[i, k] - 0.5 * abs(noise[i, k]) * deltas[k]) for k in range(CLASSES)]
            z[labels[i]] -= scale * margin
            yield ce(np.array(z), labels[i])

    still = [(1 - np.exp(-loss)) ** gamma for loss in each(cosines)]  # held constant

    def formula(values):
        return plain_mean(factor * loss for factor, loss in zip(still, each(values), strict=True))

    objective = METHODS["gcl_classifier"].stage(name).objective
    objective = getattr(objective, "loss", objective)  # under mixup
    own = {of: getattr(objective, of) for of in ("scale", "share", "margin", "gamma")}
    values = tensor(cosines, requires_grad=True)
    found = clouded(values, torch.tensor(labels), torch.tensor(COUNTS), tensor(noise), **own).mean()
    found.backward()
    assert found.item() == pytest.approx(float(formula(cosines)), rel=1e-9)
    along = rng.standard_normal(cosines.shape)
    assert (values.grad.numpy() * along).sum() == pytest.approx(float(slope(formula, cosines, along)), rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("form", ["between", "added"])
def test_disalign_scales_and_shifts_where_an_image_asks(seed, form):
    logits, features, labels = drawn(seed)
    rng = np.random.default_rng(seed)
    s, o, v, v0 = rng.normal(1, 0.3, CLASSES), rng.standard_normal(CLASSES), rng.standard_normal(FEATURES), 0.2
    moved = np.zeros((SIZE, CLASSES))
    for i in range(SIZE):
        c = 1 / (1 + np.exp(-(sum(v * features[0, i]) + v0)))
        for k in range(CLASSES):
            z = logits[0, i, k]
            moved[i, k] = c * (s[k] * z + o[k]) + (1 - c) * z if form == "between" else (1 + c * s[k]) * z + c * o[k]
    weights = [PRIOR[y] ** -1.2 for y in labels]
    expected = sum(w * ce(moved[i], labels[i]) for i, w in enumerate(weights)) / sum(weights)
    layer = Aligning(1, FEATURES, CLASSES, form).double()
    with torch.no_grad():
        for name, values in (("scale", s), ("offset", o), ("weight", v), ("bias", [v0])):
            getattr(layer, name).copy_(tensor([values]))
        found = layer(tensor(logits), tensor(features))[0]
    np.testing.assert_allclose(found, moved, rtol=1e-12)
    rho = METHODS["disalign"].stages[1].objective.rho
    each, counts, of = cross_entropy(found, torch.tensor(labels)), torch.tensor(COUNTS), torch.tensor(labels)
    assert weighted_mean(each, of, inverse_power(counts, rho)).item() == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_sade_trains_experts_for_three_test_sets(seed):
    logits, _, labels = drawn(seed, experts=3)
    counts = np.array([97, 40, 31, 12, 5, 1])  # of one size none: who is whose opposite is told
    prior = counts / counts.sum()
    turned = prior[::-1]  # counts fall, so the reverse rank is the reverse order
    shifts = (np.zeros(CLASSES), np.log(prior), np.log(prior) - 2 * np.log(turned))

    def formula(values):
        return sum(
            plain_mean(ce(z[i] + shift, labels[i]) for i in range(SIZE))
            for z, shift in zip(values, shifts, strict=True)
        )

    values, of = tensor(logits, requires_grad=True), torch.tensor(counts)
    objective = METHODS["sade"].stages[0].objective
    found = objective.of_run(Output(values, values), torch.tensor(labels), of, Moment(0, 1, of))
    found.backward()
    assert found.item() == pytest.approx(float(formula(logits)), rel=1e-6)
    along = np.random.default_rng(seed).standard_normal(logits.shape)
    assert (values.grad.numpy() * along).sum() == pytest.approx(float(slope(formula, logits, along)), rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_sade_climbs_the_likeness_of_two_views_with_nesterov(seed):
    rng = np.random.default_rng(seed)
    a, speed, ascent = np.full(3, 1 / 3, np.longdouble), 0, Ascent.start(1, 3)
    for _ in range(3):
        first, second = 3 * rng.standard_normal((2, 3, SIZE, CLASSES)).astype(np.longdouble)

        def likeness(a, first=first, second=second):
            w, total = probabilities(a), 0
            for i in range(SIZE):
                p, q = (probabilities(sum(w[e] * view[e, i] for e in range(3))) for view in (first, second))
                total += sum(p * q) / np.sqrt(sum(p * p) * sum(q * q))
            return total / SIZE

        gradient = np.array([-slope(likeness, a, along) for along in np.eye(3)]) + 5e-4 * a
        speed = 0.9 * speed + gradient
        a = a - 0.1 * (gradient + 0.9 * speed)
        ascent = ascent.step(tensor(first)[None], tensor(second)[None])
        np.testing.assert_allclose(ascent.parameters[0], a.astype(float), atol=1e-9)
        np.testing.assert_allclose(ascent.weights[0], probabilities(a).astype(float), atol=1e-9)


def of_linear(weight, inputs, labels, which):
    """The gradient [C, D] of the sum of cross-entropy over the images `which`, of logits w_k . x, divided by B."""
    total = np.zeros_like(weight)
    for i in np.flatnonzero(which):
        p = probabilities(weight @ inputs[i])
        for k in range(len(weight)):
            total[k] += (p[k] - (k == labels[i])) * inputs[i] / len(labels)
    return total


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("key", "rho"), [("sam", 0.2), ("imb_sam", 0.05)])
def test_a_sharpness_aware_step_is_the_gradient_up_the_hill(seed, key, rho):
    rng = np.random.default_rng(seed)
    weight, inputs, labels = rng.standard_normal((CLASSES, 3)), rng.standard_normal((SIZE, 3)), drawn(seed)[2]
    labels[:2] = 3, 5
    few = {3, 4, 5}
    tail = np.array([key == "sam" or y in few for y in labels])
    times = 1 if key == "sam" else 2  # as released
    up = times * of_linear(weight, inputs, labels, tail)
    there = weight + rho * up / np.sqrt((up**2).sum())
    expected = of_linear(weight, inputs, labels, ~tail) + times * of_linear(there, inputs, labels, tail)
    network, objective = linear(weight), METHODS[key].stages[0].objective
    batch = Batch(tensor(inputs)[..., None, None].repeat(1, RUNS, 1, 1), torch.tensor(np.tile(labels, (RUNS, 1))))
    now = Moment(0, 1, torch.tensor(np.tile(COUNTS, (RUNS, 1))), {"few": sorted(few)})
    memory = objective.from_given(None, (), now) if key == "imb_sam" else {}
    objective(network, (batch,), (), replace(now, memory=memory)).losses.sum().backward()
    for gradient in network.heads.weight.grad:
        np.testing.assert_allclose(gradient, expected, atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("key", ["mixup", "remix"])
def test_two_images_are_laid_over_each_other_and_both_labels_count(seed, key):
    rng = np.random.default_rng(seed)
    weight, inputs, labels = rng.standard_normal((CLASSES, 3)), rng.standard_normal((SIZE, 3)), drawn(seed)[2]
    objective = METHODS[key].stages[0].objective
    draws = torch.tensor(rng.random((RUNS, SIZE, objective.draws)))
    batch = Batch(
        tensor(inputs)[..., None, None].repeat(1, RUNS, 1, 1),
        torch.tensor(np.tile(labels, (RUNS, 1))),
        draws=draws,
    )
    network, now = linear(weight), Moment(0, 1, torch.tensor(np.tile(COUNTS, (RUNS, 1))))
    found = objective(network, (batch,), (), now).losses
    for run in range(RUNS):
        own, partner = one_a_batch(draws[..., 1:], 1.0)[run].item(), np.argsort(draws[run, :, 0].numpy())
        total = 0
        for i, j in enumerate(partner):
            z, share = weight @ (own * inputs[i] + (1 - own) * inputs[j]), own
            if key == "remix":
                a, b = COUNTS[labels[i]], COUNTS[labels[j]]
                share = 0 if a / b >= 3 and own < 0.5 else 1 if a / b <= 1 / 3 and 1 - own < 0.5 else own
            total += share * ce(z, labels[i]) + (1 - share) * ce(z, labels[j])
        assert found[run].item() == pytest.approx(total / SIZE, rel=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_box_of_cmo_is_cut_to_the_image_and_labels_follow_what_is_left(seed):
    rng = np.random.default_rng(seed)
    images, partners = rng.standard_normal((2, 4, 1, 12, 10))
    own, centres = rng.random(), rng.random(2)
    share, place = torch.full((1, 4), 1 - own, dtype=torch.float64), tensor(centres).expand(1, 4, 2)
    labels = torch.zeros(1, 4, dtype=torch.long)
    found, left = in_a_box(Pairs(tensor(images), tensor(partners), labels, labels), share, place)
    expected, cut = images.copy(), np.sqrt(1 - own)
    (top, bottom), (start, end) = (
        (np.clip(int(n * at) - int(n * cut) // 2, 0, n), np.clip(int(n * at) + int(n * cut) // 2, 0, n))
        for n, at in zip((12, 10), centres, strict=True)
    )
    expected[:, :, top:bottom, start:end] = partners[:, :, top:bottom, start:end]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(left, 1 - (bottom - top) * (end - start) / 120)


@pytest.mark.parametrize("seed", SEEDS)
def test_class_vectors_are_shortened_scaled_or_moved_after_training(seed):
    rng = np.random.default_rng(seed)
    weight, inputs = rng.standard_normal((CLASSES, 3)), rng.standard_normal((SIZE, 3))
    images = tensor(inputs)[..., None, None].repeat(1, RUNS, 1, 1)
    feed = SimpleNamespace(counts=np.tile(COUNTS, (RUNS, 1)))
    for key, expected in (
        ("tau_norm", [[sum(w * x) / np.sqrt(sum(w * w)) for w in weight] for x in inputs]),
        ("logit_adjustment", [[sum(w * x) - np.log(p) for w, p in zip(weight, PRIOR, strict=True)] for x in inputs]),
    ):
        network = linear(weight)
        with torch.no_grad():
            METHODS[key].posthoc(network, feed)
            for logits in network(images).logits[:, 0]:
                np.testing.assert_allclose(logits, expected, rtol=1e-12)
    lengths = [np.sqrt(sum(w * w)) for w in weight]
    limit = min(lengths) + 0.1 * (max(lengths) - min(lengths))
    later = 1.5 * weight
    short = [w * min(1, limit / (1.5 * length)) for w, length in zip(later, lengths, strict=True)]
    np.testing.assert_allclose(kept_short(tensor(later), length_limit(tensor(weight))), short, rtol=1e-12)
