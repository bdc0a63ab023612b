"""In which order a run sees its images: class shares against their formulas, showings and neighbours by counting."""

from functools import cache

import numpy as np
import pytest

from ltbv.data.samplers import (
    CLASS_BALANCED,
    INSTANCE,
    ByClass,
    Deferred,
    Instance,
    Oversampling,
    Progressive,
    Sampler,
    Smote,
    Turn,
    Undersampling,
    nearest_of_class,
)
from ltbv.schedules import Step

ALL = {
    "instance": Instance(),
    "class_balanced": ByClass(),
    "square_root": ByClass(0.5),
    "reversed": ByClass(-1.0),
    "deferred": Deferred(INSTANCE, CLASS_BALANCED, at=0.8),
    "progressive": Progressive(),
    "oversampling": Oversampling(),
    "undersampling": Undersampling(),
    "smote": Smote(),
}
EVERY = pytest.mark.parametrize("sampler", ALL.values(), ids=ALL)
PRESENT = [0, 1, 3, 4]


@pytest.fixture
def long_tail() -> np.ndarray:
    """Labels of 100 images: 70, 20, none, 9 and 1 of the classes 0 to 4, mixed."""
    return np.random.default_rng(0).permutation(np.repeat([0, 1, 3, 4], [70, 20, 9, 1]))


def same_class(labels: np.ndarray, k: int) -> np.ndarray:
    """[n, k] the next k images of the same class in the order of the sample: neighbours that are easy to name."""
    return _same_class(tuple(labels), k)


@cache
def _same_class(labels: tuple, k: int) -> np.ndarray:
    labels, table = np.array(labels), np.empty((len(labels), k), int)
    for i, label in enumerate(labels):
        members = np.flatnonzero(labels == label)
        others = members[members != i] if len(members) > 1 else members
        table[i] = np.resize(np.roll(others, -np.searchsorted(others, i)), k)
    return table


def turn(labels: np.ndarray, *, epoch: int = 0, epochs: int = 10, seed: int = 0, fixed: int = 99) -> Turn:
    """A turn whose new draws come from `seed` and whose lasting ones come from `fixed`."""
    draw, lasting = np.random.default_rng(seed), np.random.default_rng(fixed)
    return Turn(labels, epoch, epochs, draw, lasting, lambda k: same_class(labels, k))


def orders(sampler: Sampler, labels: np.ndarray, number: int, **where) -> list[np.ndarray]:
    return [sampler.order(turn(labels, seed=seed, **where)).positions for seed in range(number)]


def assert_classes_are_drawn_with(expected: np.ndarray, sampler: Sampler, labels: np.ndarray, **where) -> None:
    """Shares of the classes over 200 epochs, within five standard errors of independent draws."""
    drawn = labels[np.concatenate(orders(sampler, labels, 200, **where))]
    found = np.bincount(drawn, minlength=len(expected)) / len(drawn)
    assert (np.abs(found - expected) <= 5 * np.sqrt(expected * (1 - expected) / len(drawn))).all(), found


@EVERY
class TestEverySampler:
    def test_an_epoch_has_as_many_images_as_the_sample_and_only_those(self, sampler, long_tail):
        for epoch in (0, 9):
            order = sampler.order(turn(long_tail, epoch=epoch))
            assert order.positions.shape == (100,) and np.issubdtype(order.positions.dtype, np.integer)
            assert order.positions.min() >= 0 and order.positions.max() < 100

    def test_the_same_draws_give_the_same_order_and_others_another(self, sampler, long_tail):
        one, two, other = (sampler.order(turn(long_tail, seed=seed)) for seed in (0, 0, 1))
        assert (one.positions == two.positions).all() and one.more.keys() == two.more.keys()
        assert all((one.more[name] == two.more[name]).all() for name in one.more)
        assert (one.positions != other.positions).any()

    def test_one_image_one_class_and_equal_classes_are_no_exception(self, sampler):
        for labels in (np.array([3]), np.array([2, 2, 2]), np.array([0, 1, 2, 0, 1, 2])):
            for epoch in (0, 9):
                positions = sampler.order(turn(labels, epoch=epoch)).positions
                assert positions.shape == labels.shape and positions.max() < len(labels)

    def test_the_labels_are_left_as_they_were(self, sampler, long_tail):
        before = long_tail.copy()
        sampler.order(turn(long_tail))
        assert (long_tail == before).all()

    def test_it_is_a_value(self, sampler, long_tail):
        del long_tail
        assert sampler == type(sampler)(**vars(sampler)) and hash(sampler) == hash(type(sampler)(**vars(sampler)))


def test_instance_shows_every_image_once(long_tail):
    for order in orders(INSTANCE, long_tail, 5):
        assert (np.sort(order) == np.arange(100)).all()


# Classes drawn by a power of their size


@pytest.mark.parametrize("power", [1.0, 0.5, 0.0, -1.0])
def test_a_class_is_drawn_with_its_size_to_a_power(long_tail, power):
    weights = np.array([n**power if n else 0.0 for n in (70, 20, 0, 9, 1)])
    assert_classes_are_drawn_with(weights / weights.sum(), ByClass(power), long_tail)


def test_a_power_may_be_a_schedule(long_tail):
    deferred = ByClass(Step(1.0, 0.0, at=0.8))
    natural, alike = np.array([0.70, 0.20, 0, 0.09, 0.01]), np.array([0.25, 0.25, 0, 0.25, 0.25])
    for epoch, expected in ((0, natural), (7, natural), (8, alike), (9, alike)):
        assert_classes_are_drawn_with(expected, deferred, long_tail, epoch=epoch)


def test_a_power_that_changes_nothing_is_the_same_draws(long_tail):
    deferred = ByClass(Step(1.0, 0.0, at=0.8))
    for epoch, power in ((7, 1.0), (8, 0.0)):
        ours, plain = (s.order(turn(long_tail, epoch=epoch)).positions for s in (deferred, ByClass(power)))
        assert (ours == plain).all()


def test_a_deferred_sampler_is_the_first_and_then_the_other(long_tail):
    deferred = ALL["deferred"]
    for epoch, now in ((0, INSTANCE), (7, INSTANCE), (8, CLASS_BALANCED), (9, CLASS_BALANCED)):
        ours, plain = (s.order(turn(long_tail, epoch=epoch)).positions for s in (deferred, now))
        assert (ours == plain).all()


@pytest.mark.parametrize(("epoch", "t"), [(0, 0.0), (5, 0.5), (10, 1.0)])
def test_progressive_goes_from_the_datas_shares_to_equal_ones(long_tail, epoch, t):
    natural, alike = np.array([0.70, 0.20, 0, 0.09, 0.01]), np.array([0.25, 0.25, 0, 0.25, 0.25])
    assert_classes_are_drawn_with((1 - t) * natural + t * alike, Progressive(), long_tail, epoch=epoch, epochs=11)


def test_progressive_in_a_single_epoch_is_the_datas_distribution(long_tail):
    assert_classes_are_drawn_with(np.array([0.70, 0.20, 0, 0.09, 0.01]), Progressive(), long_tail, epochs=1)


@pytest.mark.parametrize("sampler", [CLASS_BALANCED, ByClass(-1.0), Progressive(), Smote()])
def test_images_of_a_class_come_in_turn(long_tail, sampler):
    """None is shown again before each of its class was, and the second round is in the order of the first."""
    for order in orders(sampler, long_tail, 20, epoch=9):
        for label in PRESENT:
            own = np.flatnonzero(long_tail == label)
            shown = order[long_tail[order] == label]
            assert len(set(shown[: len(own)])) == min(len(shown), len(own))
            assert (shown == shown[: len(own)][np.arange(len(shown)) % len(own)]).all()


def test_a_class_starts_with_any_of_its_images(long_tail):
    first = [order[long_tail[order] == 0][0] for order in orders(CLASS_BALANCED, long_tail, 60)]
    assert len(set(first)) > 25


# Over- and under-sampling


def test_oversampling_shows_an_image_at_most_as_often_as_its_class_is_repeated(long_tail):
    for order in orders(Oversampling(), long_tail, 50):
        shown = np.bincount(order, minlength=100)
        for label, times in ((0, 1), (1, 4), (3, 8), (4, 70)):  # 70/70, 70/20, 70/9, 70/1, rounded up
            assert shown[long_tail == label].max() <= times
    assert_classes_are_drawn_with(np.array([0.25, 0.25, 0, 0.25, 0.25]), Oversampling(), long_tail)


def test_oversampling_repeats_images_of_a_class_evenly():
    """Counts 4, 3: the filled-up set of 8 holds one of the three twice; which one differs from epoch to epoch."""
    labels = np.array([0, 0, 0, 0, 1, 1, 1])
    twice = set()
    for order in orders(Oversampling(), labels, 60):
        shown = np.bincount(order, minlength=7)
        assert shown[:4].max() <= 1 and np.sort(shown[4:])[:2].max() <= 1 and shown[4:].max() <= 2
        twice |= set(np.flatnonzero(shown == 2))
    assert twice == {4, 5, 6}


def test_undersampling_keeps_as_many_of_each_class_as_the_smallest_has():
    labels = np.random.default_rng(3).permutation(np.repeat([0, 1, 3], [30, 12, 5]))
    kept = []
    for seed in range(6):
        order = Undersampling().order(turn(labels, epoch=seed, seed=seed)).positions
        shown = np.bincount(order, minlength=47)
        assert np.bincount(labels[shown > 0], minlength=4).tolist() == [5, 5, 0, 5]
        assert set(shown[shown > 0]) == {3, 4}, "15 images fill 47 places"
        for start in (0, 15, 30):
            assert len(set(order[start : start + 15])) == 15, "each round shows all that is kept"
        kept.append(frozenset(np.flatnonzero(shown)))
    assert len(set(kept)) == 1, "the same images in every epoch of a stage"
    others = {frozenset(Undersampling().order(turn(labels, fixed=fixed)).positions) for fixed in range(8)}
    assert len(others | set(kept)) == 9, "other ones for another run or stage"


# Synthetic images


@pytest.fixture
def many() -> np.ndarray:
    """Labels of 1000 images: 600, 300, none, 99 and 1."""
    return np.random.default_rng(1).permutation(np.repeat([0, 1, 3, 4], [600, 300, 99, 1]))


def test_a_class_is_synthetic_where_it_was_filled_up(many):
    """Of class k's images 1 - n_k / n_max; the largest class is all real."""
    found = [Smote().order(turn(many, seed=seed)) for seed in range(20)]
    labels = many[np.concatenate([order.positions for order in found])]
    synthetic = np.concatenate([order.more["shares"] for order in found]) > 0
    for label, n in ((0, 600), (1, 300), (3, 99), (4, 1)):
        expected, own = 1 - n / 600, synthetic[labels == label]
        assert abs(own.mean() - expected) <= 5 * np.sqrt(expected * (1 - expected) / len(own))
    assert not synthetic[labels == 0].any()
    assert_classes_are_drawn_with(np.array([0.25, 0.25, 0, 0.25, 0.25]), Smote(), many)


def test_the_share_of_a_blend_is_uniform(many):
    shares = np.concatenate([Smote().order(turn(many, seed=seed)).more["shares"] for seed in range(10)])
    assert shares.min() >= 0 and shares.max() < 1
    found = np.histogram(shares[shares > 0], bins=10, range=(0, 1))[0]
    expected = found.sum() / 10
    assert (np.abs(found - expected) < 5 * np.sqrt(expected)).all()


@pytest.mark.parametrize("k", [1, 3, 5])
def test_partners_are_any_of_the_k_nearest(long_tail, k):
    table = same_class(long_tail, k)
    seen: dict[int, set] = {}
    for seed in range(100):
        order = Smote(neighbours=k).order(turn(long_tail, seed=seed))
        assert (long_tail[order.more["partners"]] == long_tail[order.positions]).all()
        for position, partner in zip(order.positions, order.more["partners"], strict=True):
            assert partner in table[position]
            seen.setdefault(position, set()).add(partner)
    assert all(seen[i] == set(table[i]) for i in np.flatnonzero(long_tail == 3)), "each of them, sooner or later"


def test_an_image_alone_in_its_class_is_blended_with_itself(long_tail):
    (lone,) = np.flatnonzero(long_tail == 4)
    order = Smote().order(turn(long_tail))
    assert (order.positions == lone).any() and (order.more["partners"][order.positions == lone] == lone).all()


@pytest.mark.parametrize("k", [1, 4, 7])
def test_nearest_of_class_are_the_nearest_of_class(k):
    """Against a loop over pairs; classes of 12, 5, 2 and 1 images, so some have fewer others than are asked for."""
    draw = np.random.default_rng(4)
    labels = draw.permutation(np.repeat([0, 2, 3, 5], [12, 5, 2, 1]))
    pixels = draw.integers(256, size=(20, 4, 3, 2), dtype=np.uint8)
    found = nearest_of_class(lambda some: pixels[some], labels, k)
    assert found.shape == (20, k)
    for i in range(20):
        others = [j for j in range(20) if labels[j] == labels[i] and j != i] or [i]
        wide = pixels.astype(int)
        others.sort(key=lambda j: ((wide[i] - wide[j]) ** 2).sum())
        assert found[i].tolist() == [others[rank % len(others)] for rank in range(k)]


def test_a_copy_of_an_image_is_its_nearest_neighbour_and_the_image_itself_never_is():
    draw = np.random.default_rng(5)
    pixels = draw.integers(256, size=(6, 4, 4, 1), dtype=np.uint8)
    pixels[5] = pixels[0]
    found = nearest_of_class(lambda some: pixels[some], np.zeros(6, int), 5)
    assert found[0, 0] == 5 and found[5, 0] == 0
    assert all(sorted(row) == [j for j in range(6) if j != i] for i, row in enumerate(found))
