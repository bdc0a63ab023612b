"""What is kept of a run's predictions, against a direct computation."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax

from ltbv.data.readers import OnDevice
from ltbv.engine.predict import Predictions, predict, record, recorded, wants_logits
from ltbv.errors import Refusal
from ltbv.methods.base import Answer, mean
from ltbv.models.experts import Net
from ltbv.models.resnet import Resnet
from ltbv.models.stack import draw_run
from ltbv.report.study.predictions import ranks_within
from ltbv.seeds import generator
from ltbv.stats import true_class_ranks


@pytest.fixture
def logits() -> np.ndarray:
    """Float32 logits [50, 7], a few of them large."""
    draw = np.random.default_rng(0)
    return (draw.normal(size=(50, 7)) * draw.choice([1, 10, 100], size=(50, 1))).astype(np.float32)


@pytest.fixture
def labels() -> np.ndarray:
    return np.random.default_rng(1).integers(7, size=50)


def test_every_field_is_what_it_says(logits, labels):
    kept = record(logits, labels)
    p = softmax(logits.astype(np.float64), axis=1)
    for n, y in enumerate(labels):
        others = [k for k in range(7) if k != y]
        hardest = max(others, key=lambda k: logits[n, k])
        assert kept["label"][n] == max(range(7), key=lambda k: logits[n, k])
        assert kept["negative"][n] == hardest
        np.testing.assert_allclose(kept["p_true"][n], p[n, y], rtol=1e-6, atol=1e-30)
        np.testing.assert_allclose(kept["p_negative"][n], p[n, hardest], rtol=1e-6, atol=1e-30)
        np.testing.assert_allclose(kept["lse"][n], logsumexp(logits[n].astype(np.float64)), rtol=1e-6, atol=1e-30)
        np.testing.assert_allclose(kept["sum_p2"][n], (p[n] ** 2).sum(), rtol=1e-6, atol=1e-30)
    assert (kept["logits"] == logits.astype(np.float16)).all()


def test_types_are_small_and_fixed(logits, labels):
    kinds = {name: str(values.dtype) for name, values in record(logits, labels).items()}
    assert kinds == {
        "label": "uint16",
        "negative": "uint16",
        "p_true": "float32",
        "p_negative": "float32",
        "lse": "float32",
        "sum_p2": "float32",
        "logits": "float16",
    }


def test_float16_never_decides():
    """Logits that float16 cannot tell apart: the label and the hardest negative are those of float32."""
    logits = np.array([[10.0, 10.001, 9.999], [10.001, 9.9, 10.0], [9.999, 10.001, 10.0]], np.float32)
    assert (logits.astype(np.float16).max(1) == logits.astype(np.float16)[:, 0]).any()
    kept = record(logits, np.array([1, 1, 1]))
    assert kept["label"].tolist() == [1, 0, 1]
    assert kept["negative"].tolist() == [0, 0, 2]


def test_ties_go_to_the_first_class_and_the_true_class_is_no_negative():
    kept = record(np.zeros((2, 3), np.float32), np.array([0, 2]))
    assert kept["label"].tolist() == [0, 0] and kept["negative"].tolist() == [1, 0]
    assert kept["p_true"].tolist() == pytest.approx([1 / 3, 1 / 3])


def test_logits_beyond_float16_do_not_harm_the_rest():
    """Finite float32 logits above 65504: everything but their float16 copy stays right, and nothing warns."""
    kept = record(np.array([[1e5, 2e5, 0.0]], np.float32), np.array([0]))
    assert kept["label"].tolist() == [1] and kept["negative"].tolist() == [1]
    assert kept["p_true"].tolist() == [0.0] and kept["lse"].tolist() == [2e5]


def test_the_logits_given_are_left_as_they_were(logits, labels):
    before = logits.copy()
    record(logits, labels)
    assert (before == logits).all()


@pytest.mark.parametrize("experts", [1, 2])
def test_predict_is_the_networks_word_on_whole_images(tiny, experts):
    """In evaluation mode, block by block as at once, float32 logits of every run in its place."""
    network = Net(experts=experts).build(Resnet(widths=(4, 8, 8), blocks=1), runs=3, channels=2, classes=5)
    for run in range(3):
        draw_run(network, run, 3, generator(0, run, "init"))
    test = OnDevice(tiny, tiny.test.pixels, pad=0, device=torch.device("cpu"), dtype=torch.float32)
    network.train()(test.block(slice(None), 3))  # running statistics that differ from those of a batch
    ours, asked, each = predict(network, test, mean, block=7, experts=True)
    with torch.no_grad():
        of_experts = network.eval()(test.block(slice(None), 3)).logits.numpy()
    at_once = of_experts.mean(1)
    if experts == 1:
        assert each is None
    else:
        np.testing.assert_allclose(each, of_experts, atol=1e-5)
        np.testing.assert_allclose(each.mean(1), ours, atol=1e-6)
        assert each.dtype == np.float32 and np.abs(each[:, 0] - each[:, 1]).max() > 0.01
    assert asked is None and ours.shape == (3, len(tiny.test.labels), 5) and ours.dtype == np.float32
    np.testing.assert_allclose(ours, at_once, atol=1e-5)
    assert len(np.unique(ours.round(3), axis=0)) == 3


def test_predict_gives_the_experts_asked_of_every_run_and_image_where_the_rule_says_them(tiny):
    """Block by block, in the order of the test set; a rule sees whole images of all runs at once."""
    network = Net(experts=3).build(Resnet(widths=(4, 8, 8), blocks=1), runs=2, channels=2, classes=5)
    test = OnDevice(tiny, tiny.test.pixels, pad=0, device=torch.device("cpu"), dtype=torch.float32)
    values = ((tiny.test.pixels / 255 - np.array(tiny.mean)) / np.array(tiny.std)).mean((1, 2, 3))
    middle = float(np.median(values))

    def brightness(network, images):
        """One expert for dark images, three for bright ones; run 1 the other way round."""
        bright = middle < images.unflatten(1, (2, 2)).mean((2, 3, 4)).T
        used = torch.where(bright, 3, 1)
        used[1] = 4 - used[1]
        return Answer(torch.zeros(network.runs, len(images), 5, dtype=torch.float64), used)

    logits, asked, each = predict(network, test, brightness, block=7, experts=True)
    assert each is None, "a routed answer is no mean of all experts"
    expected = np.where(values > middle, 3, 1)
    assert logits.shape == (2, 30, 5) and logits.dtype == np.float32
    assert asked.tolist() == [expected.tolist(), (4 - expected).tolist()] and set(expected) == {1, 3}


def test_the_experts_asked_are_kept_as_they_are(logits, labels):
    asked = np.arange(50) % 4 + 1
    kept = record(logits, labels, asked)
    assert kept["experts_used"].dtype == np.uint8 and (kept["experts_used"] == asked).all()
    plain = record(logits, labels)
    assert kept.keys() - plain.keys() == {"experts_used"}
    assert all((kept[name] == plain[name]).all() for name in plain)


def test_logits_of_experts_are_kept_where_a_run_has_few_or_as_asked(tiny, monkeypatch):
    network = Net(experts=2).build(Resnet(widths=(4, 8, 8), blocks=1), runs=2, channels=2, classes=5)
    test = OnDevice(tiny, tiny.test.pixels, pad=0, device=torch.device("cpu"), dtype=torch.float32)

    def kept(asked):
        return predict(network, test, mean, experts=asked).expert_logits is not None

    size = 2 * 5 * len(tiny.test.labels)
    for most, by_itself in ((size, True), (size - 1, False)):
        monkeypatch.setattr("ltbv.engine.predict.MOST_EXPERT_LOGITS", most)
        assert [kept(None), kept(True), kept(False)] == [by_itself, True, False]


def test_logits_of_experts_are_kept_beside_their_mean(logits, labels):
    each = np.stack([logits + 1, logits - 1])
    kept, plain = record(logits, labels, None, True, each), record(logits, labels)
    assert kept.keys() - plain.keys() == {"expert_logits"} and kept["expert_logits"].dtype == np.float16
    assert (kept["expert_logits"] == each.astype(np.float16)).all()
    assert "expert_logits" not in record(logits, labels, None, False, each)
    assert record(logits, labels, None, True, 1e5 * each)["expert_logits"].dtype == np.float32


def test_what_is_recorded_block_by_block_is_what_is_recorded_at_once(tiny):
    network = Net(experts=2).build(Resnet(widths=(4, 8, 8), blocks=1), runs=2, channels=2, classes=5)
    for run in range(2):
        draw_run(network, run, 2, generator(0, run, "init"))
    test = OnDevice(tiny, tiny.test.pixels, pad=0, device=torch.device("cpu"), dtype=torch.float32)
    labels = tiny.test.labels
    logits, _, each = predict(network, test, mean, block=7, experts=True)
    found = recorded(network, test, labels, mean, (1,), block=7, experts=True)
    assert found.keys() == {1} and found[1].diverged == 0
    at_once = record(logits[1], labels, None, True, each[1])
    assert found[1].fields.keys() == at_once.keys()
    assert all((found[1].fields[name] == values).all() for name, values in at_once.items())


def test_of_many_classes_the_largest_logits_are_kept_and_rank_the_true_class_as_all_do(monkeypatch):
    assert [wants_logits(asked, n) for n in (1000, 1001) for asked in (None, True, False)] == [
        True, True, False, False, True, False,
    ]  # fmt: skip
    draw = np.random.default_rng(0)
    logits, labels = draw.normal(size=(1, 40, 1001)).astype(np.float32), draw.integers(1001, size=40)
    logits[0, np.arange(40), labels] += 3
    monkeypatch.setattr("ltbv.engine.predict.answers", lambda *_, **more: [Predictions(logits)])
    fields, diverged = recorded(None, None, labels, None, (0,))[0]
    assert diverged == 0 and "logits" not in fields and fields["top_classes"].dtype == np.uint16
    assert fields["top_logits"].shape == fields["top_classes"].shape == (40, 20)
    by_hand = np.argsort(-logits[0], axis=1, kind="stable")[:, :20]
    assert (fields["top_classes"] == by_hand).all() and (fields["top_classes"][:, 0] == fields["label"]).all()
    np.testing.assert_array_equal(fields["top_logits"], np.take_along_axis(logits[0], by_hand, 1).astype(np.float16))
    ranks, whole = ranks_within(fields["top_classes"], labels, 1001)["ranks"], true_class_ranks(logits[0], labels)
    assert (ranks == np.minimum(whole, 20)).all() and 0 < (whole >= 20).sum() < 40
    assert recorded(None, None, labels, None, (0,), keep_logits=True)[0].fields["logits"].shape == (40, 1001)
    assert "top_logits" not in recorded(None, None, labels, None, (0,), keep_logits=False)[0].fields


def test_of_a_run_that_diverged_nothing_is_recorded(monkeypatch):
    logits = np.zeros((2, 4, 3), np.float32)
    logits[1, [0, 2]] = np.nan
    blocks = [Predictions(logits[:, :2]), Predictions(logits[:, 2:])]
    monkeypatch.setattr("ltbv.engine.predict.answers", lambda *_, **more: blocks)
    found = recorded(None, None, np.zeros(4, int), None, (0, 1))
    assert found[1] == ({}, 2) and found[0].diverged == 0 and len(found[0].fields["label"]) == 4


def test_classes_that_cannot_be_the_largest_are_refused():
    with pytest.raises(Refusal, match="top_classes of type float64"):
        ranks_within(np.zeros((3, 20)), np.zeros(3, int), 50)
