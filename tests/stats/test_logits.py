"""Logits that are looked at block by block, and those of float16 that are laid out by their bits."""

import numpy as np
import pytest

from ltbv.stats.logits import OF_LOGITS, Desk, LogitParts, measure_logits

HALVES = np.arange(2**16, dtype=np.uint16).view(np.float16).reshape(2, 128, 256)


@pytest.mark.parametrize("part", ["finite", "all", "big-endian"])
def test_every_float16_is_laid_as_the_number_that_it_is(part):
    halves = np.where(np.isfinite(HALVES), HALVES, np.float16(1)) if part == "finite" else HALVES
    z, top = Desk().laid(halves.astype(">f2") if part == "big-endian" else halves)
    assert z.dtype == (np.float64 if part == "big-endian" else np.float32)
    np.testing.assert_array_equal(z, halves.astype(z.dtype))
    np.testing.assert_array_equal(np.signbit(z), np.signbit(halves))
    np.testing.assert_array_equal(top, halves.max(2))


@pytest.mark.parametrize("extreme", [np.inf, -np.inf, np.nan, 65504, -65504, 0.0, -0.0, 6e-8])
def test_what_is_not_finite_is_seen_in_any_place(extreme):
    halves = np.zeros((2, 3, 4), np.float16)
    halves[1, 2, 3] = extreme
    z, top = Desk().laid(halves)
    np.testing.assert_array_equal(z, halves.astype(np.float32))
    np.testing.assert_array_equal(top, halves.max(2))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("runs", [1, 3, 5])
def test_blocks_of_any_size_add_up_to_the_same(kind, runs):
    draw = np.random.default_rng(0)
    logits, labels = (3 * draw.normal(size=(runs, 40, 6))).astype(kind), draw.permutation(np.arange(40) % 5)
    whole = measure_logits(logits, runs, labels, 7)
    parts, desk = LogitParts(runs, labels, 7), Desk()
    for start, stop in ((0, 3), (3, 30), (30, 40)):
        z, top = desk.laid(logits[:, start:stop])
        parts.add(slice(start, stop), z, top, desk.free(z))
    assert [*whole] == [*OF_LOGITS]
    for name, of in parts.measured().items():
        np.testing.assert_allclose(of.points, whole[name].points, rtol=1e-6 if kind is np.float16 else 1e-12)
        np.testing.assert_allclose(of.plug_in, whole[name].plug_in, rtol=1e-6 if kind is np.float16 else 1e-12)
        assert np.isnan(of.plug_in[5:]).all()  # without a test point
        if runs < 4:
            assert of.left_out is whole[name].left_out is None
        else:
            without = measure_logits(np.delete(logits, 2, 0), runs - 1, labels, 7)[name]
            np.testing.assert_allclose(of.left_out, whole[name].left_out, rtol=1e-6 if kind is np.float16 else 1e-12)
            if name.startswith("brier"):  # corrected exactly, with a run left out too
                own = [without.points[labels == c].mean() for c in range(5)]
                np.testing.assert_allclose(of.left_out[2, :5], own, rtol=1e-5 if kind is np.float16 else 1e-12)
