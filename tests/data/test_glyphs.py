"""An image of glyphs-lt is a pure function of (seed, class, index), and its classes can be told apart."""

import json
from pathlib import Path

import numpy as np
import pytest

from ltbv.data import glyphs
from ltbv.data.dataset import make_ids

# Not the default, so that tuning the default leaves the recorded images alone.
FIXED = glyphs.Difficulty(
    noise=0.05,
    rotation_degrees=10.0,
    shear=0.1,
    shift=1.0,
    scale_low=0.9,
    scale_high=1.1,
    contrast_low=0.4,
    contrast_high=0.8,
)
RECORDED = Path(__file__).with_name("glyph_images.json")
NAMES = glyphs.class_names()


@pytest.fixture
def small(tmp_path, monkeypatch):
    """glyphs-lt with a pool of 20 and 5 test images a class, cached in a directory of its own."""
    monkeypatch.setenv("LTBV_CACHE", str(tmp_path))
    monkeypatch.setattr(glyphs, "POOL_SIZE", 20)
    monkeypatch.setattr(glyphs, "TEST_SIZE", 5)
    return glyphs.load()


def test_a_hundred_characters_each_once_in_an_order_that_stays():
    assert len(NAMES) == len(set(NAMES)) == 100
    assert set("0O1lIpρ") <= set(NAMES)
    assert "".join(NAMES[:8]) == "rαk5s6Mσ"
    assert not set(NAMES) & set("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧοАВЕКМНОРСТХЗаеорсух")  # drawn as Latin letters and digits are


def test_look_alikes_are_spread_over_the_tail():
    thirds = [{NAMES.index(name) // 34 for name in group} for group in ("0OoΘ", "lI1i", "AΛΔ", "CcGe", "HИΠN")]
    assert sum(len(third) > 1 for third in thirds) >= 4


def test_every_class_has_four_fonts_and_no_two_classes_are_one_drawing():
    fonts_of = dict.fromkeys(NAMES, 0)
    for font in glyphs.FONTS:
        drawn = {name: ink.astype(float) for name in NAMES if (ink := glyphs.draw_glyph(font, name)) is not None}
        for name in drawn:
            fonts_of[name] += 1
        ink = np.stack(list(drawn.values())).reshape(len(drawn), -1)
        amount = ink.sum(1)
        assert (amount > 0).all()
        for a in range(len(drawn) - 1):
            apart = np.abs(ink[a + 1 :] - ink[a]).sum(1) / np.minimum(amount[a + 1 :], amount[a])
            assert apart.min() > 0.05, (font, list(drawn)[a], list(drawn)[a + 1 + int(apart.argmin())])
    assert min(fonts_of.values()) >= 4


def test_pixels_do_not_depend_on_order_or_company():
    labels, indices = np.divmod(np.arange(600), 6)
    indices = indices * 37  # several blocks of each class
    together = glyphs.render(labels, indices)
    assert together.shape == (600, 16, 16, 1)
    assert together.dtype == np.uint8
    order = np.random.default_rng(0).permutation(600)
    np.testing.assert_array_equal(glyphs.render(labels[order], indices[order]), together[order])
    for k in (0, 77, 599):
        np.testing.assert_array_equal(glyphs.render(labels[[k]], indices[[k]])[0], together[k])
    np.testing.assert_array_equal(glyphs.render(labels[[5, 5]], indices[[5, 5]]), together[[5, 5]])
    assert glyphs.render(labels[:0], indices[:0]).shape == (0, 16, 16, 1)


def test_seed_class_and_index_each_change_the_image():
    at = np.array([3]), np.array([8])
    image = glyphs.render(*at)
    assert (glyphs.render(*at, seed=1) != image).mean() > 0.5
    assert (glyphs.render(at[0] + 1, at[1]) != image).mean() > 0.5
    assert (glyphs.render(at[0], at[1] + 1) != image).mean() > 0.5
    assert (glyphs.render(at[0], at[1] + glyphs.TEST_START) != image).mean() > 0.5


def test_images_are_those_recorded():
    """The same pixels for ever, but for what another FreeType does to the edge of an outline."""
    recorded = json.loads(RECORDED.read_text())
    pixels = glyphs.render(np.array(recorded["labels"]), np.array(recorded["indices"]), FIXED)[..., 0].astype(int)
    apart = np.abs(pixels - np.array(recorded["pixels"]))
    assert apart.mean() < 0.1  # FreeType 2.6.1 and 2.14.3: 0.002, at most 1
    assert apart.max() <= 4


def test_plain_images_are_the_characters_upright_and_centred():
    plain = glyphs.Difficulty(0, 0, 0, 0, 1, 1, 1, 1)
    pixels = 255.0 - glyphs.render(np.arange(100), np.zeros(100, int), plain)[..., 0]
    across, down = pixels.sum(1) > 0, pixels.sum(2) > 0
    for inked in (across, down):
        middle = (inked.argmax(1) + 15 - inked[:, ::-1].argmax(1)) / 2
        assert np.abs(middle - 7.5).max() <= 1
    height = down.sum(1)[NAMES.index("H")]
    assert 10 <= height <= 13


def test_pose_moves_the_character_as_it_says():
    def centre(**changes):
        settings = {"noise": 0, "rotation_degrees": 0, "shear": 0, "shift": 0, "scale_low": 1, "scale_high": 1}
        difficulty = glyphs.Difficulty(**(settings | {"contrast_low": 1, "contrast_high": 1} | changes))
        ink = 255.0 - glyphs.render(np.full(200, NAMES.index("o")), np.arange(200), difficulty)[..., 0]
        grid = np.arange(16) - 7.5
        return ink.sum((1, 2)), (ink * grid).sum((1, 2)) / ink.sum((1, 2))

    amount, x = centre()
    assert np.abs(x).max() < 0.6
    _, moved = centre(shift=2.0)
    assert np.abs(moved - x).max() == pytest.approx(2.0, abs=0.1)
    grown, _ = centre(scale_low=1.2, scale_high=1.2)
    assert np.median(grown / amount) == pytest.approx(1.44, abs=0.03)  # area: what 16 x 16 shows of it is not aliased


def test_noise_and_contrast_have_the_stated_size():
    blank = glyphs.Difficulty(noise=0.1, contrast_low=0.5, contrast_high=0.5)
    corners = glyphs.render(np.arange(100).repeat(20), np.tile(np.arange(20), 100), blank)[
        :, [0, 0, -1, -1], [0, -1, 0, -1]
    ]
    levels = corners[..., 0].astype(float) / 255
    assert levels.mean() == pytest.approx(blank.background / 255, abs=0.03)
    within = levels[(levels.mean(1) > 0.55) & (levels.mean(1) < 0.7)]  # neither end of the scale cuts the noise off
    assert within.std(1, ddof=1).mean() / 0.9213 == pytest.approx(0.1, abs=0.02)


def test_inversion_turns_half_of_the_images():
    both = glyphs.Difficulty(noise=0.0, inversion=True)
    corner = glyphs.render(np.zeros(400, int), np.arange(400), both)[:, 0, 0, 0]
    assert 0.4 < (corner > 127).mean() < 0.6
    assert both.background == 128


def test_pool_test_and_fresh_indices_never_meet(small):
    assert glyphs.POOL_SIZE < glyphs.TEST_START < 2**32 - glyphs.TEST_SIZE
    assert small.test.pixels.shape == (500, 16, 16, 1)
    assert small.test.labels.tolist() == np.arange(100).repeat(5).tolist()
    np.testing.assert_array_equal(
        small.test.pixels[7 * 5 + 2], glyphs.render(np.array([7]), np.array([glyphs.TEST_START + 2]))[0]
    )


def test_reading_mixes_stored_and_fresh_images(small):
    labels, indices = np.array([4, 99, 4, 0]), np.array([3, 25, 1_000_000, 19])
    np.testing.assert_array_equal(small.read(make_ids(labels, indices)), glyphs.render(labels, indices))


def test_the_cached_data_set_equals_the_rendered_one(small, tmp_path, monkeypatch):
    (path,) = tmp_path.iterdir()
    ids = make_ids(np.arange(100), np.arange(100) % 20)

    def never(*arguments):
        raise AssertionError("rendered although it was cached")

    monkeypatch.setattr(glyphs, "render", never)
    again = glyphs.load()
    np.testing.assert_array_equal(again.read(ids), small.read(ids))
    np.testing.assert_array_equal(again.test.pixels, small.test.pixels)
    assert (again.mean, again.std) == (small.mean, small.std)
    assert [path] == list(tmp_path.iterdir())


def test_mean_and_deviation_are_those_of_the_pool(small):
    pool = small.read(make_ids(np.arange(100).repeat(20), np.tile(np.arange(20), 100))) / 255
    assert small.mean == (pytest.approx(pool.mean(), abs=1e-4),)
    assert small.std == (pytest.approx(pool.std(), abs=1e-4),)
    assert abs(small.background / 255 - np.median(pool)) < 0.1


def test_another_difficulty_is_another_file(small, tmp_path):
    glyphs.load(FIXED)
    assert len(list(tmp_path.iterdir())) == 2
