"""What a run sees: crops, flips and blends, against plain loops; and that its neighbours change none of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ltbv.data.batches import Feed
from ltbv.data.dataset import Augmentation, labels_of, make_ids
from ltbv.data.readers import Crop, OnDevice
from ltbv.data.samplers import INSTANCE, ByClass, Oversampling, Progressive, Smote, Undersampling

CROPS, STILL = Augmentation(pad=1, flip=True), Augmentation()

CPU = torch.device("cpu")


@pytest.fixture
def samples(tiny) -> np.ndarray:
    """Ids [3, 37] of three runs with their own images."""
    draw = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2, 3, 4], [20, 10, 4, 2, 1])
    return np.stack([np.sort(make_ids(labels, draw.integers(40, size=37))) for _ in range(3)])


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
    pictures = OnDevice(tiny, pixels, pad=pad, device=CPU, dtype=torch.float64)
    rows, *look = map(torch.as_tensor, (*tables, flips))
    ours = pictures.gather(rows, Crop(*look))
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
    padded = OnDevice(tiny, pixels, pad=3, device=CPU, dtype=torch.float64)
    whole = OnDevice(tiny, pixels, pad=0, device=CPU, dtype=torch.float64)
    rows, middle = torch.arange(5).expand(2, -1), torch.full((2, 5), 3)
    crops = padded.gather(rows, Crop(middle, middle, torch.zeros(2, 5, dtype=torch.bool)))
    assert torch.equal(crops, whole.block(slice(0, 5), 2))


def test_float32_pictures_are_float64_ones_rounded(tiny):
    one, two = (
        OnDevice(tiny, tiny.test.pixels, pad=0, device=CPU, dtype=d).block(slice(0, 9), 1)
        for d in (torch.float32, torch.float64)
    )
    assert one.dtype == torch.float32
    torch.testing.assert_close(one.double(), two, rtol=0, atol=1e-6)


def test_a_blend_is_the_weighted_mean_image_by_image_and_run_by_run():
    draw = torch.Generator().manual_seed(3)
    one, other = (torch.randn(5, 3 * 2, 8, 8, generator=draw, dtype=torch.float64) for _ in range(2))
    shares = torch.rand(3, 5, generator=draw, dtype=torch.float64)
    shares[0, 0] = 0.0
    before = one.clone(), other.clone()
    partners = torch.arange(15).view(3, 5)
    found = Smote().compose(one, {"partners": partners, "shares": shares}, lambda of: {partners: other}[of])
    for run in range(3):
        for i in range(5):
            own, share = slice(2 * run, 2 * run + 2), shares[run, i].item()
            expected = (1 - share) * one[i, own] + share * other[i, own]
            torch.testing.assert_close(found[i, own], expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(found[0, :2], one[0, :2]), "a share of nothing leaves every bit"
    assert torch.equal(one, before[0]) and torch.equal(other, before[1])


# Feed


def batches(
    dataset, ids, runs, *, epoch=0, epochs=3, seed=0, stage=0, batch=16, samplers=(INSTANCE,), augmentation=CROPS
):
    feed = Feed(dataset, ids, augmentation=augmentation, device=CPU, dtype=torch.float64)
    return list(feed.epoch(feed.tables(seed, runs, (stage,), epoch, epochs, samplers, batch=batch), batch))


def shown(dataset, ids, runs, **where) -> list[np.ndarray]:
    """For each run which image of its sample stands at each place of an epoch; images that are crops of none: -1."""
    epoch = batches(dataset, ids, runs, augmentation=STILL, **where)
    found = []
    for place in range(len(runs)):
        images = torch.cat([b.images[:, 2 * place : 2 * place + 2] for (b,) in epoch]).permute(0, 2, 3, 1).numpy()
        whole = (dataset.read(ids[place]) / 255 - np.array(dataset.mean)) / np.array(dataset.std)
        apart = np.abs(images[:, None] - whole[None]).max((2, 3, 4))
        found.append(np.where(apart.min(1) < 1e-9, apart.argmin(1), -1))
    return found


def test_an_epoch_shows_every_image_of_each_run_once(tiny, samples):
    epoch = batches(tiny, samples, (0, 1, 2), augmentation=STILL)
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


KINDS = {
    "instance": INSTANCE,
    "balanced": ByClass(0.0),
    "progressive": Progressive(),
    "oversampling": Oversampling(),
    "undersampling": Undersampling(),
    "smote": Smote(3),
}


@pytest.mark.parametrize("sampler", KINDS.values(), ids=KINDS)
def test_a_run_sees_the_same_in_a_stack_of_any_size_and_in_any_place(tiny, samples, sampler):
    together = batches(tiny, samples, (0, 1, 2), epoch=1, samplers=(sampler,))
    for run in range(3):
        alone = batches(tiny, samples[[run]], (run,), epoch=1, samplers=(sampler,))
        for (b,), (a,) in zip(together, alone, strict=True):
            assert torch.equal(b.images[:, 2 * run : 2 * run + 2], a.images) and torch.equal(b.labels[[run]], a.labels)
    turned = batches(tiny, samples[::-1], (2, 1, 0), epoch=1, samplers=(sampler,))
    for (b,), (a,) in zip(turned, together, strict=True):
        assert torch.equal(b.labels.flip(0), a.labels) and torch.equal(b.images[:, :2], a.images[:, 4:])


def test_a_sampler_is_told_the_epoch_and_how_many_there_are(tiny, samples):
    """Progressive: in the last of two epochs classes are drawn alike, in the second of two hundred as they are."""
    shares = [
        np.bincount(np.concatenate([b.labels[0] for (b,) in one]), minlength=5)
        for one in (
            [
                x
                for stage in range(30)
                for x in batches(
                    tiny, samples, (0, 1, 2), epoch=1, epochs=epochs, stage=stage, samplers=(Progressive(),)
                )
            ]
            for epochs in (2, 200)
        )
    ]
    assert np.abs(shares[0] / shares[0].sum() - 0.2).max() < 0.06
    assert np.abs(shares[1] / shares[1].sum() - np.array([20, 10, 4, 2, 1]) / 37).max() < 0.06


def test_undersampling_keeps_the_same_images_through_a_stage_and_others_elsewhere(tiny):
    labels = np.repeat([0, 1, 2, 3, 4], [12, 10, 6, 4, 3])
    ids = np.stack([make_ids(labels, np.concatenate([np.arange(n) for n in (12, 10, 6, 4, 3)]))] * 2)

    def kept(**where):
        return [frozenset(of_run) for of_run in shown(tiny, ids, (0, 1), samplers=(Undersampling(),), **where)]

    first = kept(epoch=0)
    assert all(len(images) == 15 and -1 not in images for images in first)
    assert first == kept(epoch=1) == kept(epoch=2) and first[0] != first[1]
    for other in (kept(stage=1), kept(seed=1)):
        assert all(ours != theirs for ours, theirs in zip(first, other, strict=True))


def test_smote_blends_an_image_with_one_of_its_nearest(tiny, samples):
    """Every image of an epoch is (1 - u) x + u x', x' among the three nearest of the same class, by brute force."""
    for place, run in enumerate((4, 5)):
        own = samples[place]
        pixels, labels = tiny.read(own).astype(int), labels_of(own)
        whole = (pixels / 255 - np.array(tiny.mean)) / np.array(tiny.std)
        blended = 0
        for (batch,) in batches(tiny, samples[:2], (4, 5), samplers=(Smote(3),), augmentation=STILL):
            images = batch.images[:, 2 * place : 2 * place + 2].permute(0, 2, 3, 1).numpy()
            for image, label in zip(images, batch.labels[place].tolist(), strict=True):
                members = np.flatnonzero(labels == label)
                if np.abs(image - whole[members]).max((1, 2, 3)).min() < 1e-9:
                    continue
                assert label != 0, "the largest class is never blended"
                blended += 1
                assert any(
                    _is_between(image, whole[i], whole[j])
                    for i in members
                    for j in sorted(members[members != i], key=lambda j: ((pixels[i] - pixels[j]) ** 2).sum())[:3]
                )
        assert blended > 3, run


def _is_between(image: np.ndarray, one: np.ndarray, other: np.ndarray) -> bool:
    way = (other - one).ravel()
    share = (image - one).ravel() @ way / max(way @ way, 1e-12)
    return 0 <= share < 1 and np.abs(image - (one + share * (other - one))).max() < 1e-9


def test_both_images_of_a_blend_get_the_same_crop_and_flip(tiny):
    """Two images that are one picture, once darker: whatever crop and flip, a blend stays a multiple of the picture."""
    picture = np.random.default_rng(6).integers(1, 100, size=(8, 8, 2))
    stored = np.stack([picture, 2 * picture]).astype(np.uint8)
    dim = replace(tiny, read=lambda ids: stored[np.asarray(ids) % 2], mean=(0.0, 0.0), std=(1.0, 1.0), background=0)
    ids = make_ids(np.repeat([0, 1], [30, 2]), np.concatenate([np.arange(30), [0, 1]]))[None]
    factors = set()
    for (batch,) in batches(dim, ids, (0,), samplers=(Smote(1),), augmentation=Augmentation(2, True)):
        for image in batch.images.permute(0, 2, 3, 1).numpy() * 255:
            padded = np.pad(picture, ((2, 2), (2, 2), (0, 0)))
            crops = [plain_crop(padded, top, left, flip, 8) for top in range(5) for left in range(5) for flip in (0, 1)]
            misfits = [np.abs(image - (image.sum() / crop.sum()) * crop).max() for crop in crops]
            assert min(misfits) < 1e-9
            factors.add(round(float(image.sum() / crops[int(np.argmin(misfits))].sum()), 6))
    assert any(1 < factor < 2 for factor in factors), "some were blended"


def test_order_crops_and_flips_are_new_for_each_seed_run_stage_epoch_and_sampler(tiny, samples):
    same_sample = np.stack([samples[0]] * 2)
    first = batches(tiny, same_sample, (0, 1), samplers=(INSTANCE, INSTANCE))[0]
    variants = [
        batches(tiny, same_sample, (0, 1), **changed)[0][0].images[:, :2]
        for changed in ({"epoch": 1}, {"seed": 1}, {"stage": 1})
    ]
    variants += [first[0].images[:, 2:], first[1].images[:, :2]]
    assert all(not torch.equal(first[0].images[:, :2], other) for other in variants)
    again = batches(tiny, same_sample, (0, 1), samplers=(INSTANCE, INSTANCE))[0]
    assert torch.equal(first[0].images, again[0].images) and torch.equal(first[1].images, again[1].images)


def test_a_data_set_without_flips_is_not_flipped(tiny, samples):
    upright = batches(replace(tiny, mirrors=False), samples, (0, 1, 2), augmentation=Augmentation(0, True))
    flipped = batches(tiny, samples, (0, 1, 2), augmentation=Augmentation(0, True))
    share = np.mean(
        [
            (b.images[i] != a.images[i]).any().item()
            for (b,), (a,) in zip(flipped, upright, strict=True)
            for i in range(len(b.images))
        ]
    )
    assert 0.5 < share <= 1  # any of three runs flipped: 7/8 of the rows
    assert all(torch.equal(a.labels, b.labels) for (a,), (b,) in zip(upright, flipped, strict=True))


@pytest.mark.parametrize(
    ("size", "sizes"),
    [(36, [37]), (12, [12, 12, 13]), (18, [18, 19]), (35, [35, 2]), (37, [37]), (64, [37]), (1, [1] * 35 + [2])],
)
def test_a_single_image_left_over_joins_the_batch_before_it(tiny, samples, size, sizes):
    feed = Feed(tiny, samples, augmentation=CROPS, device=CPU, dtype=torch.float32)
    tables = feed.tables(0, (0, 1, 2), (0,), 0, 1, (INSTANCE,), batch=size)
    found = [batch.labels.shape[1] for (batch,) in feed.epoch(tables, size)]
    assert found == sizes


def test_counts_are_those_of_each_runs_sample(tiny):
    ids = np.stack([make_ids([0, 0, 1, 4], [1, 1, 2, 3]), make_ids([0, 2, 2, 2], [1, 1, 2, 2])])
    feed = Feed(tiny, ids, augmentation=CROPS, device=CPU, dtype=torch.float32)
    assert feed.counts.tolist() == [[2, 1, 0, 0, 1], [1, 0, 3, 0, 0]]


# Without a sampler


@pytest.mark.parametrize("batch", [1, 16, 37, 100])
def test_plain_shows_every_image_once_whole_and_in_the_order_of_the_sample(tiny, samples, batch):
    feed = Feed(tiny, samples, augmentation=Augmentation(2, True), device=CPU, dtype=torch.float64)
    blocks = list(feed.plain(batch))
    assert all(b.labels.shape[1] == batch for b in blocks[:-1]) and all(len(b.images) <= batch for b in blocks)
    images, labels = torch.cat([b.images for b in blocks]), torch.cat([b.labels for b in blocks], 1)
    for run in range(3):
        expected = (tiny.read(samples[run]) / 255 - np.array(tiny.mean)) / np.array(tiny.std)
        found = images[:, 2 * run : 2 * run + 2].permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-12)
        assert (labels[run].numpy() == labels_of(samples[run])).all()


def test_neighbours_are_found_in_the_images_of_the_run_without_their_border(tiny, samples):
    """The nearest of each run's own sample, whatever the padding: with it, one nearest image is the blend's partner."""
    whole = {}
    for pad in (0, 3):
        feed = Feed(tiny, samples, augmentation=Augmentation(pad, True), device=CPU, dtype=torch.float32)
        whole[pad] = [feed._neighbours(run, 2) for run in range(3)]
    for run in range(3):
        pixels, labels = tiny.read(samples[run]).astype(int), labels_of(samples[run])
        for i in range(37):
            others = [j for j in range(37) if labels[j] == labels[i] and j != i] or [i]
            distance = [((pixels[i] - pixels[j]) ** 2).sum() for j in others]
            expected = sorted(distance)[:2] if len(distance) > 1 else distance * 2
            for pad in (0, 3):
                found = [((pixels[i] - pixels[j]) ** 2).sum() for j in whole[pad][run][i]]
                assert found == expected
