"""What a run sees: samplers, crops and flips, against plain loops; and that its neighbours change none of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ltbv.data.batches import Feed, Pictures
from ltbv.data.dataset import labels_of, make_ids
from ltbv.data.samplers import SAMPLERS, class_balanced, instance

CPU = torch.device("cpu")


@pytest.fixture
def long_tail() -> np.ndarray:
    """Labels of 100 images: 70, 20, none, 9 and 1 of the classes 0 to 4, mixed."""
    return np.random.default_rng(0).permutation(np.repeat([0, 1, 3, 4], [70, 20, 9, 1]))


@pytest.fixture
def samples(tiny) -> np.ndarray:
    """Ids [3, 37] of three runs with their own images."""
    draw = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2, 3, 4], [20, 10, 4, 2, 1])
    return np.stack([np.sort(make_ids(labels, draw.integers(40, size=37))) for _ in range(3)])


# Samplers


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
def test_an_epoch_is_as_long_as_the_sample_and_depends_on_the_generator_alone(sampler, long_tail):
    orders = [sampler(long_tail, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert all(order.shape == (100,) and order.min() >= 0 and order.max() < 100 for order in orders)
    assert (orders[0] == orders[1]).all() and (orders[0] != orders[2]).any()


def test_instance_shows_every_image_once(long_tail):
    assert (np.sort(instance(long_tail, np.random.default_rng(0))) == np.arange(100)).all()


def test_class_balanced_draws_present_classes_alike(long_tail):
    draw = np.random.default_rng(0)
    drawn = np.concatenate([long_tail[class_balanced(long_tail, draw)] for _ in range(400)])
    share = np.bincount(drawn, minlength=5) / len(drawn)
    assert share[2] == 0
    assert np.abs(share[[0, 1, 3, 4]] - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / len(drawn))


def test_class_balanced_goes_through_the_images_of_a_class_in_turn(long_tail):
    """No image is shown a second time before each of its class was: numbers of showings differ by one at most."""
    for seed in range(20):
        order = class_balanced(long_tail, np.random.default_rng(seed))
        for label in (0, 1, 3, 4):
            own = np.flatnonzero(long_tail == label)
            shown = np.bincount(order[long_tail[order] == label], minlength=100)[own]
            assert shown.max() - shown.min() <= 1
            positions = order[long_tail[order] == label]
            assert (positions == positions[: len(own)][np.arange(len(positions)) % len(own)]).all()


def test_class_balanced_starts_each_class_anywhere(long_tail):
    draw = np.random.default_rng(0)
    first = [order[long_tail[order] == 0][0] for order in (class_balanced(long_tail, draw) for _ in range(60))]
    assert len(set(first)) > 25


# Pictures


def plain_crop(padded: np.ndarray, top: int, left: int, flip: bool, side: int) -> np.ndarray:
    crop = padded[top : top + side, left : left + side]
    return crop[:, ::-1] if flip else crop


def test_gather_is_crop_then_flip_then_normalise(tiny):
    draw = np.random.default_rng(2)
    runs, batch, side, pad = 3, 7, 8, 2
    pixels = tiny.test.pixels
    tables = [draw.integers(high, size=(runs, batch)) for high in (len(pixels), 2 * pad + 1, 2 * pad + 1)]
    flips = draw.random((runs, batch)) < 0.5
    pictures = Pictures(tiny, pixels, pad=pad, device=CPU, dtype=torch.float64)
    ours = pictures.gather(*map(torch.as_tensor, (*tables, flips)))
    assert ours.shape == (batch, runs * 2, side, side) and ours.is_contiguous(memory_format=torch.channels_last)
    for run in range(runs):
        for i in range(batch):
            row, top, left = (table[run, i] for table in tables)
            padded = np.full((side + 2 * pad, side + 2 * pad, 2), tiny.background, np.uint8)
            padded[pad:-pad, pad:-pad] = pixels[row]
            crop = plain_crop(padded, top, left, flips[run, i], side) / 255
            expected = (crop - np.array(tiny.mean)) / np.array(tiny.std)
            found = ours[i, 2 * run : 2 * run + 2].permute(1, 2, 0).numpy()
            np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_middle_crop_is_the_image_itself_and_a_block_shows_it_to_every_run(tiny):
    pixels = tiny.test.pixels
    padded = Pictures(tiny, pixels, pad=3, device=CPU, dtype=torch.float64)
    whole = Pictures(tiny, pixels, pad=0, device=CPU, dtype=torch.float64)
    rows, middle = torch.arange(5).expand(2, -1), torch.full((2, 5), 3)
    crops = padded.gather(rows, middle, middle, torch.zeros(2, 5, dtype=torch.bool))
    assert torch.equal(crops, whole.block(slice(0, 5), 2))


def test_float32_pictures_are_float64_ones_rounded(tiny):
    one, two = (
        Pictures(tiny, tiny.test.pixels, pad=0, device=CPU, dtype=d).block(slice(0, 9), 1)
        for d in (torch.float32, torch.float64)
    )
    assert one.dtype == torch.float32
    torch.testing.assert_close(one.double(), two, rtol=0, atol=1e-6)


# Feed


def batches(dataset, ids, runs, *, epoch=0, seed=0, stage=0, batch=16, samplers=("instance",)):
    feed = Feed(dataset, ids, device=CPU, dtype=torch.float64)
    return list(feed.epoch(seed, runs, stage, epoch, batch, samplers))


def test_an_epoch_shows_every_image_of_each_run_once(tiny, samples):
    still = replace(tiny, pad=0, flip=False)
    epoch = batches(still, samples, (0, 1, 2))
    assert [b.labels.shape for (b,) in epoch] == [(3, 16), (3, 16), (3, 5)]
    for run in range(3):
        labels = torch.cat([b.labels[run] for (b,) in epoch])
        assert (labels.sort().values.numpy() == labels_of(samples[run])).all()
        images = torch.cat([b.images[:, 2 * run : 2 * run + 2] for (b,) in epoch]).permute(0, 2, 3, 1).numpy()
        expected = (tiny.read(samples[run]) / 255 - np.array(tiny.mean)) / np.array(tiny.std)
        for label in range(5):
            ours, theirs = images[labels.numpy() == label], expected[labels_of(samples[run]) == label]
            np.testing.assert_allclose(
                np.sort(ours.reshape(len(ours), -1), 0), np.sort(theirs.reshape(len(theirs), -1), 0), atol=1e-12
            )


def test_a_run_sees_the_same_in_a_stack_of_any_size_and_in_any_place(tiny, samples):
    together = batches(tiny, samples, (0, 1, 2))
    for run in range(3):
        alone = batches(tiny, samples[[run]], (run,))
        for (b,), (a,) in zip(together, alone, strict=True):
            assert torch.equal(b.images[:, 2 * run : 2 * run + 2], a.images) and torch.equal(b.labels[[run]], a.labels)
    turned = batches(tiny, samples[::-1], (2, 1, 0))
    assert torch.equal(turned[0][0].labels.flip(0), together[0][0].labels)


def test_order_crops_and_flips_are_new_for_each_seed_run_stage_epoch_and_sampler(tiny, samples):
    same_sample = np.stack([samples[0]] * 2)
    first = batches(tiny, same_sample, (0, 1), samplers=("instance", "instance"))[0]
    variants = [
        batches(tiny, same_sample, (0, 1), **changed)[0][0].images[:, :2]
        for changed in ({"epoch": 1}, {"seed": 1}, {"stage": 1})
    ]
    variants += [first[0].images[:, 2:], first[1].images[:, :2]]
    assert all(not torch.equal(first[0].images[:, :2], other) for other in variants)
    again = batches(tiny, same_sample, (0, 1), samplers=("instance", "instance"))[0]
    assert torch.equal(first[0].images, again[0].images) and torch.equal(first[1].images, again[1].images)


def test_a_data_set_without_flips_is_not_flipped(tiny, samples):
    upright = batches(replace(tiny, pad=0, flip=False), samples, (0, 1, 2))
    flipped = batches(replace(tiny, pad=0), samples, (0, 1, 2))
    share = np.mean(
        [
            (b.images[i] != a.images[i]).any().item()
            for (b,), (a,) in zip(flipped, upright, strict=True)
            for i in range(len(b.images))
        ]
    )
    assert 0.5 < share <= 1  # any of three runs flipped: 7/8 of the rows
    assert all(torch.equal(a.labels, b.labels) for (a,), (b,) in zip(upright, flipped, strict=True))


def test_counts_are_those_of_each_runs_sample(tiny):
    ids = np.stack([make_ids([0, 0, 1, 4], [1, 1, 2, 3]), make_ids([0, 2, 2, 2], [1, 1, 2, 2])])
    feed = Feed(tiny, ids, device=CPU, dtype=torch.float32)
    assert feed.counts.tolist() == [[2, 1, 0, 0, 1], [1, 0, 3, 0, 0]]
