"""Boxes of large images: against torchvision's rules and torch's own interpolation, image by image."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ltbv.data.boxes import Boxes
from ltbv.data.looks import Look, jittered, taken
from ltbv.models.vision import torchvision


def looked(pixels, rows, boxes, flips, size, **more):
    return taken(pixels, rows, Look(boxes, flips, **more), size, torch.float64)


@pytest.fixture
def pixels():
    return torch.as_tensor(np.random.default_rng(1).integers(256, size=(5, 20, 20, 3), dtype=np.uint8))


def test_a_box_is_the_crop_interpolated_then_mirrored(pixels):
    draw = np.random.default_rng(2)
    rows = torch.as_tensor(draw.integers(5, size=(2, 9)))
    boxes = torch.as_tensor(Boxes().drawn(draw, 18, 20)["boxes"].reshape(2, 9, 4))
    flips = torch.as_tensor(draw.random((2, 9)) < 0.5)
    found = looked(pixels, rows, boxes, flips, (16, 12))
    assert found.shape == (9, 2, 16, 12, 3)
    for run in range(2):
        for i in range(9):
            top, left, height, width = boxes[run, i].long().tolist()
            crop = pixels[rows[run, i], top : top + height, left : left + width].permute(2, 0, 1)[None].double()
            expected = F.interpolate(crop, (16, 12), mode="bilinear", align_corners=False)[0].permute(1, 2, 0)
            expected = expected.flip(1) if flips[run, i] else expected
            torch.testing.assert_close(found[i, run], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [3, 7, 16])
def test_a_box_of_the_size_of_the_image_is_a_crop_to_the_bit(pixels, dtype, size):
    for top in range(20 - size + 1):
        box = torch.tensor([[[top, 20 - size - top, size, size]]], dtype=torch.float64)
        found = taken(pixels, torch.tensor([[3]]), Look(box, torch.tensor([[False]])), (size, size), dtype)
        left = 20 - size - top
        assert torch.equal(found[0, 0], pixels[3, top : top + size, left : left + size].to(dtype))


def test_boxes_lie_within_the_image_and_are_distributed_as_torchvision_has_them():
    side, n = 40, 4000
    ours = Boxes().drawn(np.random.default_rng(3), n, side)["boxes"]
    assert (ours == ours.round()).all() and (ours[:, :2] >= 0).all() and (ours[:, 2:] >= 1).all()
    assert (ours[:, :2] + ours[:, 2:] <= side).all()
    torchvision()
    from torchvision.transforms import RandomResizedCrop

    blank = torch.zeros(1, side, side)
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(4)
        theirs = [RandomResizedCrop.get_params(blank, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(n)]
    columns, others = ([*of.T, of[:, 2] * of[:, 3], of[:, 3] / of[:, 2]] for of in (ours, np.array(theirs)))
    for column, other in zip(columns, others, strict=True):  # mean and spread, five standard errors
        error = np.sqrt((column.var() + other.var()) / n)
        assert abs(column.mean() - other.mean()) < 5 * error
        assert abs(column.std() / other.std() - 1) < 0.1


def test_what_never_fits_is_the_whole_image():
    found = Boxes(scale=(3.0, 4.0)).drawn(np.random.default_rng(0), 6, 10)["boxes"]
    assert (found == [0, 0, 10, 10]).all()


def test_colours_move_as_torchvision_moves_them(pixels):
    draw = np.random.default_rng(5)
    told = Boxes(jitter=(0.4, 0.4, 0.4)).drawn(draw, 8, 20)
    assert ((told["factors"] >= 0.6) & (told["factors"] <= 1.4)).all()
    assert (np.sort(told["turns"], 1) == [0, 1, 2]).all() and len({*map(tuple, told["turns"].tolist())}) > 2
    images = pixels[np.resize(range(5), 8)].double()
    ours = jittered(images, torch.as_tensor(told["factors"]), torch.as_tensor(told["turns"]))
    torchvision()
    from torchvision.transforms import functional as T

    moves = (T.adjust_brightness, T.adjust_contrast, T.adjust_saturation)
    for image, found, factors, turns in zip(images, ours, told["factors"], told["turns"], strict=True):
        expected = image.permute(2, 0, 1) / 255
        for k in turns:
            expected = moves[k](expected, factors[k])
        torch.testing.assert_close(found.permute(2, 0, 1) / 255, expected, rtol=0, atol=1e-7)


def test_without_jitter_nothing_is_drawn_of_colours_and_grey_images_have_no_saturation():
    draw = np.random.default_rng(6)
    assert {*Boxes().drawn(draw, 3, 9)} == {"boxes"}
    grey = torch.rand(2, 5, 5, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 200
    factors, turns = torch.tensor([[1.0, 1.0, 0.2]] * 2), torch.tensor([[0, 1, 2]] * 2)
    torch.testing.assert_close(jittered(grey, factors, turns), grey)
