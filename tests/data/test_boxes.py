"""Boxes of large images: against torchvision's rules and torch's own interpolation, image by image."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ltbv.data.boxes import Boxes
from ltbv.data.looks import Look, Pictures, gathered, jittered, rounded, taken
from ltbv.models.vision import torchvision

BEFORE = [[6, 20, 36, 35], [17, 32, 59, 45], [27, 1, 45, 38], [7, 4, 61, 53], [51, 8, 29, 25]]
GOLDEN = [[6.0, 1.0, 49.0, 55.0], [0.0, 2.0, 57.0, 60.0], [13.0, 28.0, 19.0, 23.0]]
FACTORS = [0.759612, 0.684396, 0.952302]


def one_by_one(pixels, rows, boxes, size, dtype):
    return taken(Pictures.alike(pixels, rows), Look(boxes, torch.zeros(len(rows), dtype=torch.bool)), size, dtype)


def at_once(pixels, rows, boxes, size, dtype):
    return gathered(Pictures.alike(pixels, rows), boxes, size, dtype)


def squares(n, side):
    return np.full((n, 2), side)


@pytest.fixture
def pixels():
    return torch.as_tensor(np.random.default_rng(1).integers(256, size=(5, 20, 20, 3), dtype=np.uint8))


@pytest.mark.parametrize("how", [at_once, one_by_one])
def test_a_box_is_the_crop_interpolated(pixels, how):
    draw = np.random.default_rng(2)
    rows = torch.as_tensor(draw.integers(5, size=18))
    boxes = torch.as_tensor(Boxes().drawn(draw, squares(18, 20))["boxes"])
    found = how(pixels, rows, boxes, (16, 12), torch.float64)
    assert found.shape == (18, 3, 16, 12)
    for row, box, image in zip(rows, boxes.long().tolist(), found, strict=True):
        top, left, height, width = box
        crop = pixels[row, top : top + height, left : left + width].permute(2, 0, 1)[None].double()
        expected = F.interpolate(crop, (16, 12), mode="bilinear", align_corners=False)[0]
        torch.testing.assert_close(image, expected, rtol=0, atol=1e-9)


def test_a_box_in_whole_numbers_is_the_nearest_to_what_is_interpolated(pixels):
    """For ten sizes of what is seen, even and odd, a half upwards: exact, so that a GPU cannot round otherwise."""
    draw = np.random.default_rng(3)
    for height, width in zip(range(9, 19), range(18, 8, -1), strict=True):
        rows = torch.as_tensor(draw.integers(5, size=40))
        boxes = torch.as_tensor(Boxes().drawn(draw, squares(40, 20))["boxes"])
        found = rounded(Pictures.alike(pixels, rows), boxes, (height, width))
        value = at_once(pixels, rows, boxes, (height, width), torch.float64).permute(0, 2, 3, 1)
        assert found.dtype == torch.uint8 and torch.equal(found.double(), (value + 0.5 + 1e-7).floor())


def test_boxes_of_one_stream_are_those_of_earlier_versions():
    found = Boxes(jitter=(0.4, 0.0, 0.0)).drawn(np.random.default_rng(0), squares(3, 64))
    assert found["boxes"].tolist() == GOLDEN
    assert found["factors"][:, 0].round(6).tolist() == FACTORS and (found["factors"][:, 1:] == 1).all()


def test_images_are_mirrored_after_they_are_taken(pixels):
    flips = torch.tensor([False, True])
    boxes = torch.tensor([[2.0, 3, 9, 7]] * 2)
    one, other = taken(Pictures.alike(pixels, torch.tensor([4, 4])), Look(boxes, flips), (6, 5), torch.float64)
    assert torch.equal(one, other.flip(2)) and not torch.equal(one, other)


@pytest.mark.parametrize("how", [at_once, one_by_one])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [3, 7, 16])
def test_a_box_of_the_size_of_the_image_is_a_crop_to_the_bit(pixels, how, dtype, size):
    for top in range(20 - size + 1):
        left = 20 - size - top
        found = how(pixels, torch.tensor([3]), torch.tensor([[top, left, size, size]]).double(), (size, size), dtype)
        crop = pixels[3, top : top + size, left : left + size].permute(2, 0, 1)
        assert torch.equal(found[0], crop.to(dtype))


@pytest.mark.parametrize("size", [(40, 40), (40, 61), (90, 40), (40, 300)])
def test_boxes_lie_within_the_image_and_are_distributed_as_torchvision_has_them(size):
    n = 4000
    ours = Boxes().drawn(np.random.default_rng(3), np.tile(size, (n, 1)))["boxes"]
    assert (ours == ours.round()).all() and (ours[:, :2] >= 0).all() and (ours[:, 2:] >= 1).all()
    assert (ours[:, :2] + ours[:, 2:] <= size).all()
    torchvision()
    from torchvision.transforms import RandomResizedCrop

    blank = torch.zeros(1, *size)
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(4)
        theirs = [RandomResizedCrop.get_params(blank, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(n)]
    columns, others = ([*of.T, of[:, 2] * of[:, 3], of[:, 3] / of[:, 2]] for of in (ours, np.array(theirs)))
    for column, other in zip(columns, others, strict=True):  # mean and spread, five standard errors
        error = np.sqrt((column.var() + other.var()) / n)
        assert abs(column.mean() - other.mean()) < 5 * error
        assert abs(column.std() / other.std() - 1) < 0.1


def test_boxes_of_squares_are_those_that_were_drawn_of_a_side():
    """To the bit: the numbers are of a version that knew squares only."""
    found = Boxes().drawn(np.random.default_rng(11), squares(5, 80))["boxes"]
    assert found.tolist() == BEFORE


@pytest.mark.parametrize("size", [(10, 10), (10, 13), (10, 14), (13, 10), (14, 10), (9, 40), (41, 9), (40, 9)])
def test_what_never_fits_is_the_largest_middle_that_torchvision_takes(size):
    torchvision()
    from torchvision.transforms import RandomResizedCrop

    found = Boxes(scale=(300.0, 400.0)).drawn(np.random.default_rng(0), np.tile(size, (6, 1)))["boxes"]
    theirs = RandomResizedCrop.get_params(torch.zeros(1, *size), (300.0, 400.0), (3 / 4, 4 / 3))
    assert (found == theirs).all()


def test_what_never_fits_is_the_whole_image():
    found = Boxes(scale=(3.0, 4.0)).drawn(np.random.default_rng(0), squares(6, 10))["boxes"]
    assert (found == [0, 0, 10, 10]).all()


def test_colours_move_as_torchvision_moves_them(pixels):
    draw = np.random.default_rng(5)
    told = Boxes(jitter=(0.4, 0.4, 0.4)).drawn(draw, squares(8, 20))
    assert ((told["factors"] >= 0.6) & (told["factors"] <= 1.4)).all()
    assert (np.sort(told["turns"], 1) == [0, 1, 2]).all() and len({*map(tuple, told["turns"].tolist())}) > 2
    images = pixels[np.resize(range(5), 8)].double().permute(0, 3, 1, 2)
    ours = jittered(images, torch.as_tensor(told["factors"]), torch.as_tensor(told["turns"]))
    torchvision()
    from torchvision.transforms import functional as T

    moves = (T.adjust_brightness, T.adjust_contrast, T.adjust_saturation)
    for image, found, factors, turns in zip(images, ours, told["factors"], told["turns"], strict=True):
        expected = image / 255
        for k in turns:
            expected = moves[k](expected, factors[k])
        torch.testing.assert_close(found / 255, expected, rtol=0, atol=1e-7)


def test_without_jitter_nothing_is_drawn_of_colours_and_grey_images_have_no_saturation():
    draw = np.random.default_rng(6)
    assert {*Boxes().drawn(draw, squares(3, 9))} == {"boxes"}
    grey = torch.rand(2, 1, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 200
    factors, turns = torch.tensor([[1.0, 1.0, 0.2]] * 2), torch.tensor([[0, 1, 2]] * 2)
    torch.testing.assert_close(jittered(grey, factors, turns), grey)
