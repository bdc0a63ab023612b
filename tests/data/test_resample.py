"""One contract for all schemes (counts, seeds, independence), then what is particular to each."""

import numpy as np
import pytest

from ltbv.data import resample
from ltbv.data.dataset import indices_of, labels_of
from ltbv.data.profile import long_tail_counts
from ltbv.errors import Refusal

C = 12
POOL = np.full(C, 60)
COUNTS = long_tail_counts(C, 40, 20)  # 40 ... 2


def draw(scheme, run=0, seed=5, counts=COUNTS, pool=POOL):
    return resample.draw(scheme, counts, pool, seed=seed, run=run, endless=True)


every_scheme = pytest.mark.parametrize("scheme", resample.SCHEMES)


@every_scheme
def test_ids_are_sorted_int64_of_the_right_number(scheme):
    ids = draw(scheme)
    assert ids.dtype == np.int64
    assert len(ids) == COUNTS.sum()
    assert (np.diff(ids) >= 0).all()


@every_scheme
def test_counts_are_the_profile_unless_the_whole_set_is_bootstrapped(scheme):
    realised = [resample.realised_counts(draw(scheme, run), C).tolist() for run in range(5)]
    if scheme == "bootstrap":
        assert len({tuple(counts) for counts in realised}) == 5
    else:
        assert realised == [COUNTS.tolist()] * 5


@every_scheme
def test_a_run_is_a_function_of_seed_and_run(scheme):
    before = draw(scheme, run=3)
    draw(scheme, run=4)
    np.testing.assert_array_equal(draw(scheme, run=3), before)
    assert (draw(scheme, run=3, seed=6) != before).any()


@every_scheme
def test_runs_differ_unless_only_the_seed_may(scheme):
    assert np.array_equal(draw(scheme, 0), draw(scheme, 1)) == (scheme == "seed_only")


@every_scheme
def test_ids_stay_inside_the_pool_unless_images_are_made(scheme):
    indices = indices_of(draw(scheme, run=7))
    if scheme == "fresh":
        assert indices.min() >= POOL.max()
        assert indices.max() < resample.FRESH_END
    else:
        assert (indices < POOL[labels_of(draw(scheme, run=7))]).all()


@every_scheme
def test_overlap_tends_to_its_closed_form(scheme):
    counts, pool = np.array([40, 10, 4, 1]), np.array([60, 60, 20, 20])
    ids = [draw(scheme, run, counts=counts, pool=pool) for run in range(400)]
    n = counts.sum()
    expected = {
        "subsample": counts / pool,
        "fresh": np.zeros(4),
        "stratified_bootstrap": 1 - (1 - 1 / counts) ** counts,  # the chance of an image to be among n draws from n
        "bootstrap": np.full(4, 1 - (1 - 1 / n) ** n),
        "seed_only": np.ones(4),
    }[scheme]
    np.testing.assert_allclose(resample.overlap(ids, 4), expected, atol=0.035)


def test_overlap_by_hand():
    a, b = np.array([0, 1, 1, 2, 1 << 32]), np.array([1, 2, 3, 2 << 32])
    # Class 0: {0, 1, 2} and {1, 2, 3} share 2 of 3; classes 1 and 2: one image in one run; class 3: none anywhere.
    np.testing.assert_array_equal(resample.overlap([a, b], 4), [2 / 3, 0, 0, np.nan])
    assert np.isnan(resample.overlap([a], 4)).all()  # one run has nobody to share with


def test_subsample_has_no_repeats_and_takes_a_whole_pool_if_asked():
    ids = draw("subsample", counts=POOL)
    assert len(np.unique(ids)) == len(ids) == POOL.sum()


def test_fresh_runs_share_nothing_with_each_other_or_the_pool():
    runs = [draw("fresh", run) for run in range(30)]
    together = np.concatenate(runs)
    assert len(np.unique(together)) == len(together)
    assert indices_of(together).min() >= POOL.max()


def test_fresh_reaches_beyond_a_small_pool():
    counts = long_tail_counts(C, 500, 100)
    assert resample.realised_counts(draw("fresh", counts=counts), C).tolist() == counts.tolist()


def test_fresh_says_how_many_runs_there_are():
    with pytest.raises(Refusal, match="fresh runs"):
        draw("fresh", run=resample.FRESH_END)


def test_bootstraps_and_seed_only_share_one_base():
    base = set(draw("seed_only").tolist())
    for scheme in ("bootstrap", "stratified_bootstrap"):
        seen = {image for run in range(20) for image in draw(scheme, run).tolist()}
        assert seen <= base
        assert len(draw(scheme)) > len(np.unique(draw(scheme)))


def test_bootstrap_loses_classes_and_says_which():
    counts = np.array([50, 50, 1, 1, 1, 1])
    pool = np.full(6, 60)
    ids = draw("bootstrap", counts=counts, pool=pool)
    lost = resample.lost_classes(ids, 6)
    assert set(lost) <= {2, 3, 4, 5}
    assert (resample.realised_counts(ids, 6)[lost] == 0).all()
    shares = [len(resample.lost_classes(draw("bootstrap", run, counts=counts, pool=pool), 6)) / 4 for run in range(300)]
    assert np.mean(shares) == pytest.approx(np.exp(-1), abs=0.05)  # a class of one image
    assert len(resample.lost_classes(draw("stratified_bootstrap", counts=counts, pool=pool), 6)) == 0


@pytest.mark.parametrize("scheme", [name for name in resample.SCHEMES if name != "fresh"])
def test_a_head_larger_than_the_pool_is_refused_with_both_numbers(scheme):
    with pytest.raises(Refusal, match="class 0 needs 61 images but its pool has 60; ask for a smaller head or scheme"):
        draw(scheme, counts=long_tail_counts(C, 61, 20))
    with pytest.raises(Refusal, match="smaller head$"):
        resample.check(scheme, long_tail_counts(C, 61, 20), POOL, endless=False)


def test_fresh_is_refused_where_the_pool_ends():
    with pytest.raises(
        Refusal, match="'fresh' needs an endless pool .* has subsample, stratified_bootstrap, bootstrap"
    ):
        resample.draw("fresh", COUNTS, POOL, seed=0, run=0, endless=False)


def test_an_unknown_scheme_is_refused_with_the_nearest_name():
    with pytest.raises(Refusal, match="'boostrap' .did you mean 'bootstrap'"):
        draw("boostrap")
