"""The profiles equal the authors' counts, image for image."""

import numpy as np
import pytest

from ltbv.data.profile import KINDS, allowed_imbalance, long_tail_counts, own_counts
from ltbv.errors import Refusal


def test_counts_are_those_of_the_authors_code(golden):
    profiles = golden("methods/cifar_lt_counts")["profiles"]
    assert len(profiles) == 25
    for name, expected in profiles.items():
        if name == "fig1_300_IF100_C100_int":
            counts = long_tail_counts(100, 300, 100)
            assert counts.sum() == expected["total"]
        else:
            dataset, kind, imbalance = name.split("_")
            num_classes = int(dataset.removeprefix("cifar"))
            counts = long_tail_counts(num_classes, 50_000 // num_classes, float(imbalance.removeprefix("IF")), kind)
            assert (counts.sum(), counts.max(), counts.min()) == (expected["total"], expected["max"], expected["min"])
        assert counts.tolist() == expected["counts"], name


def test_step_gives_the_middle_class_of_an_odd_number_to_the_tail():
    assert long_tail_counts(5, 10, 5, "step").tolist() == [10, 10, 2, 2, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_imbalance_one_is_balanced(kind):
    counts = long_tail_counts(7, 3, 1, kind)
    assert counts.dtype == np.int64
    assert counts.tolist() == [3] * 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10, 0, 10), "head is 0; the largest class needs at least 1 image"),
        ((10, 100, 0.5), "imbalance is 0.5; it is head / tail, so 1 (balanced) or more"),
        ((10, 100, float("nan")), "imbalance is nan; it is head / tail, so 1 (balanced) or more"),
        ((10, 100, float("inf")), "imbalance is inf; it is head / tail, so 1 (balanced) or more"),
        ((1, 100, 10), "a long tail needs at least 2 classes, not 1"),
        ((10, 20, 50), "head 20 with imbalance 50 leaves 3 of 10 classes empty; choose an imbalance below 20"),
        ((10, 20, 50, "step"), "head 20 with imbalance 50 leaves 5 of 10 classes empty"),
        ((10, 100, 10, "stp"), "unknown profile 'stp' (did you mean 'step'?)"),
    ],
)
def test_refusals_say_what_would_work(arguments, message):
    with pytest.raises(Refusal) as refusal:
        long_tail_counts(*arguments)
    assert str(refusal.value).startswith(message)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("head", range(2, 200))
def test_the_imbalance_that_the_refusal_names_works(head):
    assert long_tail_counts(10, head, head - 0.001)[-1] == 1


@pytest.mark.parametrize(("head", "counts"), [(None, [90, 40, 7, 1]), (90, [90, 40, 7, 1]), (30, [30, 13, 2, 1])])
def test_a_profile_of_their_own_is_that_of_the_data(head, counts):
    assert own_counts(np.array([90, 40, 7, 1]), head).tolist() == counts


@pytest.mark.parametrize("head", [0, 91])
def test_a_head_that_the_data_do_not_have_is_refused(head):
    with pytest.raises(Refusal, match=f"head is {head}; the largest class of these data has 90 images"):
        own_counts(np.array([90, 40, 7, 1]), head)


@pytest.mark.parametrize("kind", ["exp", "step"])
def test_the_imbalance_that_a_head_allows_leaves_no_class_empty(kind):
    assert allowed_imbalance(100, 100, 50.0, kind) == 50
    assert allowed_imbalance(100, 40, 50.0, kind) == 40
    for head in range(1, 300):
        found = allowed_imbalance(100, head, 1000.0, kind)
        assert long_tail_counts(100, head, found, kind)[-1] == 1 and found in (head, head - 1)
