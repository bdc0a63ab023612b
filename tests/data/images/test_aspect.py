"""Large training images keep their height and width: what a pool holds of them, and what is seen of them, wherever they
lie."""

import json
import os
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from photographs import save
from PIL import Image, ImageOps

from ltbv.data.batches import Feed
from ltbv.data.boxes import Boxes
from ltbv.data.dataset import Augmentation, make_ids
from ltbv.data.images import describe, look, plan, write
from ltbv.data.images import pool as pools
from ltbv.data.images.sources import images
from ltbv.data.ragged import Ragged, moved_within
from ltbv.data.samplers import INSTANCE, Order, Sampler
from ltbv.data.streamed import Streamed
from ltbv.errors import Refusal
from ltbv.files import read_arrays, write_arrays

CPU = torch.device("cpu")
SIDE, SEEN = 80, 70
SHAPES = [(80, 80), (90, 120), (120, 90), (40, 31), (160, 500)]  # height, width of files
PARTS = Augmentation(flip=True, boxes=Boxes(jitter=(0.4, 0.4, 0.4)))
WHOLE = Augmentation(pad=3, flip=True)
TURNED = Augmentation(flip=True, rotate=20.0)


@dataclass(frozen=True)
class Laid(Sampler):
    """Over each image lies another one of the sample, seen in the same way."""

    def order(self, turn):
        n = len(turn.labels)
        return Order(turn.draw.permutation(n), {"partners": turn.draw.permutation(n)})

    def compose(self, images, more, look):
        return images + 2 * look(more["partners"])


def folder(top, shapes, train=5, test=2):
    """PPM files, whose bytes are the same everywhere: three classes of `train` and `test` images."""
    k = 0
    for split, number in (("train", train), ("test", test)):
        for name in "abc":
            for _ in range(number):
                height, width = shapes[k % len(shapes)]
                noise = (np.arange(k, k + 3 * height * width, dtype=np.uint64) * 2_654_435_761 >> 13) & 255
                save(top / split / name / f"{k}.ppm", noise.astype(np.uint8).reshape(height, width, 3))
                k += 1
    return top


@pytest.fixture
def many_sizes(tmp_path, monkeypatch):
    monkeypatch.setenv("LTBV_CACHE", str(tmp_path / "cache"))
    return folder(tmp_path / "sizes", SHAPES)


@pytest.fixture
def as_before(monkeypatch):
    """Pools as they were written when all images were stored as squares."""

    def made(*asked, **more):
        with monkeypatch.context() as patch:
            patch.setattr(plan, "_own_sizes", lambda *of: None)
            return images(*asked, **more)

    return made


def by_hand(path):
    """As Pillow brings the shorter side to 80 pixels."""
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file)
        width, height = (max(SIDE, round(SIDE * length / min(image.size))) for length in image.size)
        return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0))


def paths_of(pool, split):
    lines = [line.split(",") for line in (pool.path / "files.csv").read_text().splitlines()[1:]]
    return [line[0] for line in lines if line[2] == split]


def test_a_pool_keeps_of_training_images_all_and_of_test_images_what_is_seen(many_sizes):
    pool = images(many_sizes, side=SIDE)
    dataset = pool.dataset()
    strip = dataset.mapped.pixels
    paths = paths_of(pool, "train")
    assert len(paths) == len(strip.starts) == 15 and len({*map(tuple, strip.sizes.tolist())}) == 5
    for row, path in enumerate(paths):
        np.testing.assert_array_equal(strip.one(row), by_hand(many_sizes / path))
    assert dataset.image_shape == pool.entry().image_shape == (SEEN, SEEN, 3)
    assert isinstance(dataset.test.pixels, np.memmap)
    pixels = np.concatenate([strip.one(row).reshape(-1, 3) for row in range(15)])
    np.testing.assert_allclose(pool.mean, pixels.mean(0) / 255)
    np.testing.assert_allclose(pool.std, pixels.std(0) / 255)
    (_, said, *_) = describe.of_pool(pool)
    assert "80 pixels on the shorter side" in said
    pool.verify()


def test_what_is_not_seen_in_boxes_is_what_it_was(many_sizes, as_before, tmp_path):
    """Test images and middles are those of a pool of squares, which is read as before, and has another key."""
    old, new = as_before(many_sizes, side=SIDE, write_to=tmp_path / "old.pool"), images(many_sizes, side=SIDE)
    assert old.key != new.key and not old.own_sizes
    before, now = (pools.open_pool(pool.path).dataset() for pool in (old, new))
    np.testing.assert_array_equal(before.test.pixels, now.test.pixels)
    ids = make_ids(np.repeat([0, 1, 2], 5), np.tile(np.arange(5), 3))
    np.testing.assert_array_equal(before.read(ids), now.read(ids))


@pytest.mark.parametrize(
    ("shapes", "side"),
    [([(90, 90), (24, 24), (500, 499)], SIDE), (SHAPES, 64), (SHAPES, 74)],
    ids=["squares", "small", "not in boxes"],
)
def test_squares_and_small_images_are_the_pool_that_they_were(shapes, side, as_before, tmp_path):
    top = folder(tmp_path / "sizes", shapes)
    old, new = (how(top, side=side, write_to=tmp_path / name) for how, name in ((as_before, "a"), (images, "b")))
    assert {one.name: one.read_bytes() for one in old.path.iterdir()} == {
        one.name: one.read_bytes() for one in new.path.iterdir()
    }
    assert new.key == {SIDE: "fb345f622eef82ae", 64: "7076558a4b520d42"}.get(side, new.key)


def test_what_was_found_before_images_kept_their_sizes_is_looked_at_again(many_sizes, as_before, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("ltbv.data.images.sources.OWN_SIZES", 1)
        old = as_before(many_sizes, side=SIDE)
    assert images(many_sizes, side=SIDE).key != old.key
    assert pools.open_pool(old.path).dataset().read(make_ids(np.array([0]), np.array([0]))).shape == (1, SIDE, SIDE, 3)


def drawn_ids(runs=3):
    draw = np.random.default_rng(1)
    return np.stack([np.sort(make_ids(np.repeat([0, 1, 2], 7), draw.integers(5, size=21))) for _ in range(runs)])


def batches(data, augmentation, sampler=INSTANCE, runs=3, dtype=torch.float32, device=CPU):
    feed = Feed(data, drawn_ids(runs), augmentation=augmentation, device=device, dtype=dtype)
    tables = feed.tables(0, tuple(range(runs)), (0,), 0, 2, (sampler,), batch=8)
    found = [batch.images for (batch,) in feed.epoch(tables, 8)] + [batch.images for batch in feed.plain(8)]
    return feed, tables[0].columns, found


@pytest.mark.parametrize("augmentation", [PARTS, WHOLE, TURNED], ids=["boxes", "padded", "turned"])
@pytest.mark.parametrize("sampler", [INSTANCE, Laid()], ids=["all", "partners"])
def test_wherever_images_lie_batches_are_the_same_to_the_bit(many_sizes, monkeypatch, augmentation, sampler):
    data = images(many_sizes, side=SIDE).dataset()
    held, columns, expected = batches(data, augmentation, sampler)
    monkeypatch.setattr("ltbv.data.residence.IN_MEMORY", 0)
    mapped, others, found = batches(data, augmentation, sampler)
    assert (type(held.reader), type(mapped.reader)) == (Ragged, Streamed)
    assert held.reader.resident and not mapped.reader.resident
    assert all(torch.equal(columns[name], others[name]) for name in columns)
    assert all(torch.equal(*both) for both in zip(expected, found, strict=True))
    np.testing.assert_array_equal(held.reader.raw(np.arange(6)), mapped.reader.raw(np.arange(6)))
    mapped.reader.whole = None  # as a batch is brought to a device
    tables = mapped.tables(0, (0, 1, 2), (0,), 0, 2, (sampler,), batch=8)
    brought = [batch.images for (batch,) in mapped.epoch(tables, 8)]
    assert all(torch.equal(*both) for both in zip(expected[:3], brought, strict=True))
    assert torch.equal(held.reader.block(slice(2, 9), 2), mapped.reader.block(slice(2, 9), 2))


@pytest.mark.parametrize("augmentation", [WHOLE, TURNED], ids=["padded", "turned"])
def test_what_is_cropped_is_cropped_of_the_middle_square(many_sizes, as_before, augmentation, tmp_path):
    old, new = as_before(many_sizes, side=SIDE, write_to=tmp_path / "old.pool"), images(many_sizes, side=SIDE)
    before, now = (batches(pool.dataset(), augmentation) for pool in (old, new))
    forms = before[0].reader, now[0].reader.squares
    assert old.mean != new.mean
    for one, other in zip(before[2], now[2], strict=True):
        undone = [
            (seen.unflatten(1, (3, 3)).movedim(2, -1) - by.shift) / by.scale
            for seen, by in zip((one, other), forms, strict=True)
        ]
        torch.testing.assert_close(*undone, rtol=0, atol=1e-3)


def test_boxes_are_of_each_images_own_size_and_seen_as_pillow_cuts_them(many_sizes):
    data = images(many_sizes, side=SIDE).dataset()
    feed, columns, found = batches(data, Augmentation(flip=True, boxes=Boxes()), runs=1)
    strip = data.mapped.pixels
    rows = feed.rows[0][columns["positions"][0].numpy()]
    sizes, boxes = feed.reader.sizes(rows), columns["boxes"][0].numpy()
    assert ((boxes[:, :2] >= 0) & (boxes[:, :2] + boxes[:, 2:] <= sizes)).all()
    assert (boxes[:, :2] + boxes[:, 2:] > SIDE).any(), "none lies beyond the square"
    own = [strip.one(row) for row in data.mapped.rows(np.unique(drawn_ids(1)))]
    seen = torch.cat(found[:3])
    for k, (row, box, flip) in enumerate(zip(rows, boxes.astype(int), columns["flips"][0], strict=True)):
        top, left, height, width = box
        crop = torch.from_numpy(np.ascontiguousarray(own[row][top : top + height, left : left + width]))
        crop = crop.permute(2, 0, 1)[None].float()
        wanted = torch.nn.functional.interpolate(crop, (SEEN, SEEN), mode="bilinear", align_corners=False)[0]
        wanted = (wanted / 255 - torch.tensor(data.mean)[:, None, None]) / torch.tensor(data.std)[:, None, None]
        torch.testing.assert_close(seen[k], (wanted.flip(2) if flip else wanted).float(), rtol=1e-4, atol=1e-4)


def test_taken_at_once_they_are_those_taken_one_by_one(many_sizes, monkeypatch):
    """As a GPU takes them, on whatever there is here."""
    data = images(many_sizes, side=SIDE).dataset()
    _, _, expected = batches(data, PARTS, Laid(), dtype=torch.float64)
    monkeypatch.setattr("ltbv.data.looks.at_once", lambda pixels: True)
    for room in (2**28, 0):
        monkeypatch.setattr("ltbv.data.residence.IN_MEMORY", room)
        _, _, found = batches(data, PARTS, Laid(), dtype=torch.float64)
        for one, other in zip(expected, found, strict=True):
            torch.testing.assert_close(other, one, rtol=0, atol=1e-9)
            assert other.stride() == one.stride()


def test_a_box_of_one_image_lies_within_another_and_stays_where_sizes_are_the_same():
    draw = np.random.default_rng(2)
    sizes, others = (np.stack([np.full(500, 80), draw.integers(80, 400, 500)], 1) for _ in range(2))
    others[::2] = others[::2, ::-1]
    boxes = torch.as_tensor(Boxes().drawn(draw, sizes)["boxes"])
    sizes, others = torch.as_tensor(sizes), torch.as_tensor(others)
    assert torch.equal(moved_within(boxes, sizes, sizes), boxes)
    moved = moved_within(boxes, sizes, others)
    assert (moved[:, :2] >= 0).all() and (moved[:, 2:] >= 1).all() and (moved == moved.round()).all()
    assert (moved[:, :2] + moved[:, 2:] <= others).all()
    assert (moved[:, 2:] == torch.minimum(boxes[:, 2:], others)).all()


@pytest.mark.parametrize("tag", [1, 3, 6, 8])
def test_an_image_that_a_camera_turned_is_as_high_as_it_is_seen(tag, tmp_path):
    top = folder(tmp_path / "turned", [(90, 120), (100, 100)])
    with Image.open(top / "train" / "a" / "0.ppm") as image:
        exif = Image.Exif()
        exif[274] = tag
        image.save(top / "train" / "a" / "0.png", exif=exif)
    (top / "train" / "a" / "0.ppm").unlink()
    pool = images(top, side=SIDE, write_to=tmp_path / "turned.pool")
    row = paths_of(pool, "train").index("train/a/0.png")
    turned = tag > 4
    assert tuple(pool.index["sizes"][row]) == ((107, 80) if turned else (80, 107))
    found = pool.dataset().mapped.pixels.one(row)
    np.testing.assert_array_equal(found, by_hand(top / "train" / "a" / "0.png"))


def test_what_is_killed_goes_on_and_the_bytes_are_the_same(many_sizes, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "BLOCK", 4)
    for tag, k in ((6, 1), (8, 6)):
        with Image.open(next(many_sizes.glob(f"train/*/{k}.ppm"))) as image:
            exif = Image.Exif()
            exif[274] = tag
            image.save(many_sizes / "train" / "a" / f"turned {k}.png", exif=exif)
    whole = images(many_sizes, side=SIDE, write_to=tmp_path / "whole.pool")
    whole.verify()
    real = write._block
    for after in range(6):
        blocks, where = [], tmp_path / f"{after}.pool"

        def until(plan, rows, descriptor, blocks=blocks, after=after):
            if len(blocks) == after:
                raise KeyboardInterrupt
            blocks.append(rows.start)
            return real(plan, rows, descriptor)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(write, "_block", until)
            images(many_sizes, side=SIDE, write_to=where)
        done = []
        with monkeypatch.context() as patch:
            patch.setattr(write, "_block", lambda p, rows, d, done=done: done.append(rows.start) or real(p, rows, d))
            again = images(many_sizes, side=SIDE, write_to=where)
        assert sorted(blocks + done) == list(range(0, 23, 4))
        assert all((again.path / one.name).read_bytes() == one.read_bytes() for one in whole.path.iterdir())


def test_blocks_hold_so_many_bytes_at_most(many_sizes, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "BLOCK_BYTES", 60_000)
    pool = images(many_sizes, side=SIDE, write_to=tmp_path / "small.pool")
    ends = [*(start for _, start in pool.blocks[1:]), pool.nbytes]
    rows = np.diff([*(row for row, _ in pool.blocks), pool.rows])
    assert len({*rows.tolist()}) > 1
    assert all(end - start <= 60_000 or n == 1 for (_, start), end, n in zip(pool.blocks, ends, rows, strict=True))
    pool.verify()


def test_files_that_will_not_do_leave_holes(many_sizes, tmp_path):
    for split, k in (("train", 1), ("test", 16)):
        (path,) = many_sizes.glob(f"{split}/*/{k}.ppm")
        path.write_bytes(path.read_bytes()[:-100])
    pool = images(many_sizes, side=SIDE, bad="skip", write_to=tmp_path / "holes.pool")
    data = pool.dataset()
    for row, path in enumerate(paths_of(pool, "train")):
        np.testing.assert_array_equal(data.mapped.pixels.one(row), by_hand(many_sizes / path))
    for seen, path in zip(data.test.pixels, paths_of(pool, "test"), strict=True):
        whole = by_hand(many_sizes / path)
        top, left = ((length - SIDE) // 2 + 5 for length in whole.shape[:2])
        np.testing.assert_array_equal(seen, whole[top : top + SEEN, left : left + SEEN])
    pixels = np.concatenate([data.mapped.pixels.one(row).reshape(-1, 3) for row in range(14)])
    np.testing.assert_allclose(pool.mean, pixels.mean(0) / 255)


@pytest.mark.parametrize("runs", [1, 3])
def test_an_image_is_opened_twice_and_read_once_a_batch_however_many_runs(runs, many_sizes, monkeypatch):
    """To be looked at, and to be decoded; runs read the pool, each of its images once and whole."""
    opened, real = [], look.read
    for place in (look, write):
        monkeypatch.setattr(place, "read", lambda path: opened.append(path) or real(path))
    monkeypatch.setattr("ltbv.data.residence.IN_MEMORY", 0)
    places, pread = [], os.pread
    monkeypatch.setattr(os, "pread", lambda file, size, place: places.append((place, size)) or pread(file, size, place))
    data = images(many_sizes, side=SIDE).dataset()
    places.clear()
    feed, _, _ = batches(data, PARTS, runs=runs)
    assert {*Counter(opened).values()} == {2} and len(opened) == 42
    assert places == [data.mapped.pixels.span(row) for row in np.unique(feed.reader.rows).tolist()]


@pytest.mark.parametrize("flaw", ["starts", "heights", "widths", "tests", "blocks", "bytes", "one more"])
def test_a_damaged_pool_is_refused_in_one_line(flaw, many_sizes, tmp_path):
    pool = images(many_sizes, side=SIDE, write_to=tmp_path / "mine.pool")
    said, index = json.loads((pool.path / "pool.json").read_text()), read_arrays(pool.path / pools.INDEX)
    if flaw == "one more":
        with open(pool.path / pools.PIXELS, "ab") as file:
            file.write(b"0")
        (pool.path / "pool.json").write_text(json.dumps(said | {"bytes": said["bytes"] + 1}))
    elif flaw in ("blocks", "bytes"):
        said[flaw] = [[0, 0], [0, 0]] if flaw == "blocks" else said["bytes"] + 3
        (pool.path / "pool.json").write_text(json.dumps(said))
    else:
        if flaw == "starts":
            index["starts"][3] = pool.nbytes - 3
        elif flaw == "tests":
            index["heights"][-1] += 1
        else:
            index[flaw][:] = 79
        write_arrays(pool.path / pools.INDEX, index)
    with pytest.raises(Refusal, match="mine.pool") as refused:
        pools.open_pool(pool.path).check()
    assert "\n" not in str(refused.value)


def test_verify_finds_a_byte_that_has_changed(many_sizes, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "BLOCK", 4)
    pool = images(many_sizes, side=SIDE, write_to=tmp_path / "mine.pool")
    with open(pool.path / pools.PIXELS, "r+b") as file:
        file.seek(pool.blocks[2][1])
        file.write(bytes([1, 2, 3, 4]))
    with pytest.raises(Refusal, match="pixels.u8 is damaged near row 8; delete it and run `ltbv images` again"):
        pools.open_pool(pool.path).verify()


def test_an_image_of_another_size_than_its_file_says_will_not_do(many_sizes, tmp_path, monkeypatch):
    real = write.pixels
    monkeypatch.setattr(write, "pixels", lambda *asked, **more: real(*asked, **more)[:, :-1])
    with pytest.raises(Refusal, match="15 of 21 files will not do: 15 cut short or damaged"):
        images(many_sizes, side=SIDE, write_to=tmp_path / "mine.pool")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("augmentation", [PARTS, WHOLE, TURNED], ids=["boxes", "padded", "turned"])
def test_a_gpu_sees_what_the_host_sees(many_sizes, monkeypatch, augmentation):
    data = images(many_sizes, side=SIDE).dataset()
    _, _, expected = batches(data, augmentation, Laid())
    for share in (0.6, 0.0):
        monkeypatch.setattr("ltbv.data.residence.SHARE", share)
        _, _, found = batches(data, augmentation, Laid(), device=torch.device("cuda"))
        for one, other in zip(expected, found, strict=True):
            torch.testing.assert_close(other.cpu(), one, rtol=1e-4, atol=1e-3)
