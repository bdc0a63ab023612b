"""Images that are not independent are drawn in groups, whole ones but for the last, and as many as were asked."""

import numpy as np
import pytest

from ltbv.data.dataset import indices_of, labels_of
from ltbv.data.development import hold_out
from ltbv.data.groups import with_replacement, without_replacement
from ltbv.data.resample import SCHEMES, draw, groups_of
from ltbv.errors import Refusal

SIZES = np.array([60, 30, 12])
GROUPS = np.concatenate([np.arange(60) // 6, 100 + np.arange(30) // 3, 200 + np.arange(12) // 4])


def generator(seed):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("n", [1, 5, 7, 12, 13, 20])
def test_groups_are_whole_but_for_the_last(n):
    groups = np.repeat([3, 1, 9, 4], 5)
    for seed in range(20):
        for places in (without_replacement(generator(seed), groups, n), with_replacement(generator(seed), groups, n)):
            assert len(places) == n
            _, times = np.unique(groups[places], return_counts=True)
            assert (times % 5 > 0).sum() <= 1
        places = without_replacement(generator(seed), groups, n)
        assert (np.diff(places) > 0).all()


def test_a_group_is_drawn_as_often_as_another_whatever_its_size():
    groups = np.repeat(np.arange(4), [1, 2, 3, 10])
    first = np.zeros(4)
    for seed in range(2000):
        first[groups[with_replacement(generator(seed), groups, 1)]] += 1
    assert (abs(first / 2000 - 1 / 4) < 0.06).all()  # six standard errors


@pytest.mark.parametrize("scheme", [name for name, of in SCHEMES.items() if not of.beyond_pool])
def test_a_run_has_as_many_images_as_were_asked_and_few_groups_that_are_not_whole(scheme):
    counts = np.array([40, 20, 8])
    for run in range(10):
        ids = draw(scheme, counts, SIZES, seed=3, run=run, groups=GROUPS)
        again = draw(scheme, counts, SIZES, seed=3, run=run, groups=GROUPS)
        assert (ids == again).all() and len(ids) == 68 and (np.diff(ids) >= 0).all()
        assert (indices_of(ids) < SIZES[labels_of(ids)]).all()
        if scheme != "bootstrap":
            assert (np.bincount(labels_of(ids)) == counts).all()
        drawn = np.unique(groups_of(ids, SIZES, GROUPS))
        plain = np.unique(groups_of(draw(scheme, counts, SIZES, seed=3, run=run), SIZES, GROUPS))
        assert len(drawn) < len(plain)  # 7 + 7 + 2 groups where whole ones are drawn, nearly all 23 where images are


def test_a_bootstrap_of_groups_repeats_whole_groups():
    counts = SIZES
    repeats = 0
    for run in range(10):
        ids = draw("stratified_bootstrap", counts, SIZES, seed=1, run=run, groups=GROUPS)
        times = np.bincount(indices_of(ids[labels_of(ids) == 0]), minlength=60).reshape(10, 6)
        assert (times.max(1) == times.min(1)).all()  # 60 is a multiple of 6: every group is whole
        repeats += (times > 1).any()
    assert repeats


def test_without_groups_every_draw_is_as_it_was():
    one_each = np.arange(SIZES.sum())
    for scheme in ("subsample", "stratified_bootstrap", "bootstrap", "seed_only"):
        plain = draw(scheme, SIZES // 2, SIZES, seed=3, run=1)
        assert (plain == draw(scheme, SIZES // 2, SIZES, seed=3, run=1, groups=None)).all()
        alone = draw(scheme, SIZES // 2, SIZES, seed=3, run=1, groups=one_each)
        assert len(alone) == len(plain)


@pytest.mark.parametrize("counts", [[30, 15, 6], [60, 30, 12]])
def test_development_images_and_training_images_share_no_group(counts):
    for run in range(10):
        ids = draw("subsample", np.array(counts), SIZES, seed=3, run=run, groups=GROUPS)
        kept, held = hold_out(ids, SIZES, 4, seed=3, run=run, groups=GROUPS)
        assert (np.bincount(labels_of(held)) == 4).all() and set(labels_of(kept)) == {0, 1, 2}
        assert not set(groups_of(kept, SIZES, GROUPS)) & set(groups_of(held, SIZES, GROUPS))
        assert np.isin(kept, ids).all()


def test_groups_outside_the_sample_are_held_out_first():
    ids = draw("subsample", np.array([30, 15, 4]), SIZES, seed=3, run=0, groups=GROUPS)
    kept, held = hold_out(ids, SIZES, 4, seed=3, run=0, groups=GROUPS)
    assert (kept == ids).all() and not set(groups_of(ids, SIZES, GROUPS)) & set(groups_of(held, SIZES, GROUPS))


def test_a_group_of_two_classes_is_held_out_of_both():
    groups = np.array([0, 1, 2, 3, 0, 1, 2, 3])
    ids = draw("seed_only", np.array([4, 4]), np.array([4, 4]), seed=0, run=0, groups=groups)
    kept, held = hold_out(ids, np.array([4, 4]), 1, seed=0, run=0, groups=groups)
    taken = set(groups_of(held, np.array([4, 4]), groups))
    assert len(taken) == 1 and len(kept) == 6  # the second class takes what the first has taken


def test_too_few_groups_are_refused():
    ids = draw("seed_only", SIZES, SIZES, seed=0, run=0, groups=GROUPS)
    with pytest.raises(Refusal, match="class 2 has 12 images: in run 0 too few groups of them to hold out 10"):
        hold_out(ids, SIZES, 10, seed=0, run=0, groups=GROUPS)
