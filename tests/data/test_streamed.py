"""Images on the device, in the host's memory and in a mapped file: the same batches; and what is read, is read once."""

import errno
import os
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from ltbv.data.batches import Feed
from ltbv.data.boxes import Boxes
from ltbv.data.crops import Crops, cropped
from ltbv.data.dataset import Augmentation, Dataset, Images, Mapped, indices_of, make_ids
from ltbv.data.looks import Look
from ltbv.data.policies import POLICIES
from ltbv.data.readers import OnDevice
from ltbv.data.residence import testing_reader as reader_of_tests
from ltbv.data.samplers import INSTANCE, ByClass, Smote
from ltbv.data.streamed import Streamed
from ltbv.errors import Refusal

CPU = torch.device("cpu")
PAD = Augmentation(pad=2, flip=True)
PARTS = Augmentation(flip=True, boxes=Boxes(jitter=(0.4, 0.4, 0.4)))
STRONG = [(replace(PARTS, strong=policy), 18) for policy in POLICIES]


class Counting(np.memmap):
    """A mapped file that counts the images which are read from it."""

    read = 0

    def __getitem__(self, key):
        if isinstance(key, np.ndarray):
            Counting.read += len(key)
        return super().__getitem__(key)


def dataset(path, side: int, seen: int) -> Dataset:
    draw = np.random.default_rng(0)
    draw.integers(256, size=(40, side, side, 3), dtype=np.uint8).tofile(path)
    pixels = Counting(path, np.uint8, "r", shape=(40, side, side, 3))
    corner = (side - seen) // 2
    middles = pixels[30:, corner : corner + seen, corner : corner + seen]
    return Dataset(
        name="mapped",
        class_names=("a", "b", "c"),
        pool_sizes=np.array([10, 10, 10]),
        read=lambda ids: np.asarray(pixels[(ids >> 32) * 10 + indices_of(ids)]),
        test=Images(middles, np.arange(10) % 3),
        mean=(0.4, 0.5, 0.6),
        std=(0.2, 0.3, 0.25),
        mirrors=True,
        mapped=Mapped(pixels, lambda ids: (ids >> 32) * 10 + indices_of(ids)),
    )


@pytest.fixture
def ids():
    draw = np.random.default_rng(1)
    return np.stack([np.sort(make_ids(np.repeat([0, 1, 2], 7), draw.integers(10, size=21))) for _ in range(3)])


def batches(data, ids, augmentation, sampler=INSTANCE, device=CPU):
    feed = Feed(data, ids, augmentation=augmentation, device=device, dtype=torch.float32)
    tables = feed.tables(0, tuple(range(len(ids))), (0,), 0, 2, (sampler,), batch=8)
    found = [batch.images for (batch,) in feed.epoch(tables, 8)] + [batch.images for batch in feed.plain(8)]
    return feed, found


@pytest.mark.parametrize(
    ("augmentation", "side"),
    [(PAD, 16), (PARTS, 18), *STRONG, (replace(PAD, strong="rand+erasing"), 16)],
    ids=["padded", "boxes", *POLICIES, "padded and erased"],
)
@pytest.mark.parametrize("sampler", [INSTANCE, ByClass()], ids=["all", "by class"])
def test_wherever_pixels_lie_batches_are_the_same_to_the_bit(tmp_path, monkeypatch, ids, augmentation, side, sampler):
    data = dataset(tmp_path / "pixels", side, 16)
    on_device, expected = batches(data, ids, augmentation, sampler)
    monkeypatch.setattr("ltbv.data.residence.IN_MEMORY", 0)
    mapped, found = batches(data, ids, augmentation, sampler)
    assert (type(on_device.reader), type(mapped.reader)) == (OnDevice, Streamed)
    assert expected[0].shape == (8, 9, 16, 16) and len(expected) == len(found) == 6
    assert all(torch.equal(*both) for both in zip(expected, found, strict=True))
    held = np.array(data.mapped.pixels)
    host = Streamed(data, held, mapped.reader.rows, pad=augmentation.pad, device=CPU, dtype=torch.float32)
    mapped.reader = host
    assert all(torch.equal(*both) for both in zip([b.images for b in mapped.plain(8)], expected[3:], strict=True))
    np.testing.assert_array_equal(on_device.reader.raw(np.arange(4)), host.raw(np.arange(4)))


def test_images_taken_at_once_are_those_taken_one_by_one(tmp_path, monkeypatch, ids):
    """As a GPU takes them, on whatever there is here."""
    data = dataset(tmp_path / "pixels", 18, 16)
    _, expected = batches(data, ids, PARTS)
    monkeypatch.setattr("ltbv.data.looks.at_once", lambda pixels: True)
    _, found = batches(data, ids, PARTS)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-5)
        assert other.stride() == one.stride()


@pytest.mark.parametrize(("augmentation", "side"), STRONG, ids=POLICIES)
def test_varied_strongly_images_are_the_same_to_the_bit_at_once_and_one_by_one(
    tmp_path, monkeypatch, ids, augmentation, side
):
    """At once in one piece, and in pieces of one image of each run."""
    data = dataset(tmp_path / "pixels", side, 16)
    _, expected = batches(data, ids, augmentation)
    _, plain = batches(data, ids, PARTS)
    assert not torch.equal(expected[0], plain[0])
    monkeypatch.setattr("ltbv.data.looks.at_once", lambda pixels: True)
    for pixels in (2**22, 1):
        monkeypatch.setattr("ltbv.data.looks.PIXELS", pixels)
        _, found = batches(data, ids, augmentation)
        for one, other in zip(expected, found, strict=True):
            assert torch.equal(one, other) and other.stride() == one.stride()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("runs", [1, 3])
def test_a_box_of_the_size_that_is_seen_is_varied_as_a_crop_is(tmp_path, policy, runs):
    data, draw = dataset(tmp_path / "pixels", 18, 16), np.random.default_rng(2)
    reader = OnDevice(data, np.array(data.mapped.pixels), pad=0, device=CPU, dtype=torch.float32)
    rows = torch.as_tensor(draw.integers(40, size=(runs, 24)))
    told = [Crops(1, True, 0.0, policy, (16, 16)).drawn(draw, 24, 1) for _ in range(runs)]
    of = {name: torch.as_tensor(np.stack([one[name] for one in told])) for name in told[0]}
    crop, size = cropped(of), torch.full((runs, 24, 2), 16)
    boxes = torch.cat([torch.stack([of["tops"], of["lefts"]], -1), size], -1).double()
    found = reader.look(rows, Look(boxes, crop.flips, strong=crop.strong))
    expected = reader.gather(rows, crop)
    assert torch.equal(found, expected) and found.stride() == expected.stride()


def test_a_policy_is_in_the_place_of_moved_colours_and_what_else_is_drawn_stays(tmp_path, ids):
    data, tables = dataset(tmp_path / "pixels", 18, 16), {}
    for strong in ("", *POLICIES):
        feed = Feed(data, ids, augmentation=replace(PARTS, strong=strong), device=CPU, dtype=torch.float32)
        (table,) = feed.tables(0, (0, 1, 2), (0,), 0, 2, (INSTANCE,), batch=8)
        tables[strong] = table.columns
    plain = {"positions", "labels", "tops", "lefts", "flips", "boxes"}
    operations = plain | {"kinds", "amounts"}
    assert set(tables[""]) == plain | {"factors", "turns"}
    assert set(tables["rand"]) == set(tables["rand_m9"]) == operations
    assert set(tables["rand+erasing"]) == set(tables["rand_m9+erasing"]) == operations | {"holes", "fills"}
    assert set(tables["auto+cutout"]) == operations | {"centres"}
    for own in tables.values():
        assert all(torch.equal(own[name], tables[""][name]) for name in ("positions", "flips"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    ("augmentation", "side"), [(PAD, 16), (PARTS, 18), *STRONG], ids=["padded", "boxes", *POLICIES]
)
def test_a_gpu_sees_what_the_host_sees(tmp_path, monkeypatch, ids, augmentation, side):
    data = dataset(tmp_path / "pixels", side, 16)
    _, expected = batches(data, ids, augmentation)
    for share in (0.6, 0.0):
        monkeypatch.setattr("ltbv.data.residence.SHARE", share)
        _, found = batches(data, ids, augmentation, device=torch.device("cuda"))
        for one, other in zip(expected, found, strict=True):
            torch.testing.assert_close(other.cpu(), one, rtol=1e-5, atol=1e-5)


def test_neighbours_are_the_same_in_the_map_and_are_read_class_by_class(tmp_path, monkeypatch, ids):
    data = dataset(tmp_path / "pixels", 16, 16)
    _, expected = batches(data, ids, PAD, Smote())
    monkeypatch.setattr("ltbv.data.residence.IN_MEMORY", 0)
    asked, real = [], Streamed.raw
    monkeypatch.setattr(Streamed, "raw", lambda self, rows: asked.append(len(rows)) or real(self, rows))
    feed, found = batches(data, ids, PAD, Smote())
    assert isinstance(feed.reader, Streamed) and asked == [7] * 9  # three classes of three runs
    assert all(torch.equal(*both) for both in zip(expected, found, strict=True))


def test_whole_images_of_a_larger_pool_are_their_middles(tmp_path, ids):
    data = dataset(tmp_path / "pixels", 18, 16)
    feed, _ = batches(data, ids, PARTS)
    (first, *_) = feed.plain(8)
    middle = (data.read(ids[0][:8])[:, 1:17, 1:17] / 255 - np.array(data.mean)) / np.array(data.std)
    np.testing.assert_allclose(first.images[:, :3].permute(0, 2, 3, 1).numpy(), middle, atol=1e-5)
    assert data.image_shape == (16, 16, 3)


@pytest.mark.parametrize(("augmentation", "side"), [(PAD, 16), (PARTS, 18)], ids=["padded", "boxes"])
def test_runs_that_look_at_one_image_read_it_once(tmp_path, monkeypatch, ids, augmentation, side):
    """What is read for eight runs of one sample and order is what one of them reads, ahead and of the map."""
    monkeypatch.setattr("ltbv.data.residence.IN_MEMORY", 0)
    data, read, places = dataset(tmp_path / "pixels", side, 16), [], []
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda file, size, place: places.append(place) or real(file, size, place))
    for runs in (1, 8):
        feed = Feed(data, np.repeat(ids[:1], runs, 0), augmentation=augmentation, device=CPU, dtype=torch.float32)
        tables = feed.tables(0, (0,) * runs, (0,), 0, 2, (INSTANCE,), batch=8)
        Counting.read = 0
        places.clear()
        assert [batch.images.shape[1] for (batch,) in feed.epoch(tables, 8)] == [3 * runs] * 3
        read.append((Counting.read, places.copy()))
    assert read[0] == read[1] and read[0][0] <= 21
    assert places == sorted({place * data.mapped.pixels[0].nbytes for place in feed.reader.rows.tolist()})


def test_a_pool_that_is_deleted_while_it_is_read_is_trained_on(tmp_path, monkeypatch, ids):
    data = dataset(tmp_path / "pixels", 18, 16)
    _, expected = batches(data, ids, PARTS)
    monkeypatch.setattr("ltbv.data.residence.IN_MEMORY", 0)
    (tmp_path / "pixels").unlink()
    _, found = batches(data, ids, PARTS)
    assert all(torch.equal(*both) for both in zip(expected, found, strict=True))


def test_what_is_read_ahead_and_cannot_be_is_refused_and_no_thread_is_left(tmp_path, monkeypatch, ids):
    monkeypatch.setattr("ltbv.data.residence.IN_MEMORY", 0)
    monkeypatch.setattr("ltbv.data.streamed.WINDOW", 1)
    feed, _ = batches(dataset(tmp_path / "pixels", 18, 16), ids, PARTS)
    tables, threads = feed.tables(0, (0, 1, 2), (0,), 0, 2, (INSTANCE,), batch=8), set(threading.enumerate())
    going = feed.epoch(tables, 8)
    next(going)
    assert set(threading.enumerate()) != threads
    going.close()
    assert set(threading.enumerate()) == threads
    asked, real = [], os.pread

    def dying(file, size, place):
        asked.append(place)
        if len(asked) > 25:  # one batch has up to 24
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(file, size, place)

    monkeypatch.setattr(os, "pread", dying)
    going = feed.epoch(tables, 8)
    next(going)
    with pytest.raises(Refusal, match=r"cannot read .*pixels: Input/output error; run the same command again"):
        list(going)
    assert set(threading.enumerate()) == threads
    monkeypatch.setattr(os, "pread", real)
    os.truncate(tmp_path / "pixels", 4000)
    with pytest.raises(Refusal, match=r"pixels was cut short at 4,000 bytes while it was trained on; make the pool"):
        list(feed.epoch(tables, 8))


def test_the_test_set_streams_too(tmp_path, monkeypatch):
    data = dataset(tmp_path / "pixels", 18, 16)
    held = reader_of_tests(data, (0, 1, 2), device=CPU, dtype=torch.float32)
    monkeypatch.setattr("ltbv.data.residence.IN_MEMORY", 0)
    streamed = reader_of_tests(data, (0, 1, 2), device=CPU, dtype=torch.float32)
    assert isinstance(streamed, Streamed) and len(streamed) == len(held) == 10
    for block in (slice(0, 4), slice(8, 12)):
        assert torch.equal(held.block(block, 2), streamed.block(block, 2))


def test_neighbours_by_pixels_are_refused_of_images_seen_in_parts(tmp_path, ids):
    with pytest.raises(Refusal, match="18 pixels a side: they are not sought where images are seen in parts"):
        batches(dataset(tmp_path / "pixels", 18, 16), ids, PARTS, Smote())
