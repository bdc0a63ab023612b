"""Every bad input has its answer: refused by kind with three examples, left out where that is asked, never changed
without a word."""

import errno
import io
import os
import shutil
import unicodedata
import zlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from photographs import COUNTS, picture, save
from PIL import Image

from ltbv.data.images import decode
from ltbv.data.images.items import class_names, natural
from ltbv.data.images.recipe import Recipe
from ltbv.data.images.rows import Below
from ltbv.data.images.sources import images
from ltbv.errors import Refusal


def png(pixels, **more) -> bytes:
    buffer = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(buffer, "PNG", **more)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def bomb(width: int, height: int) -> bytes:
    """A small PNG that says it is large."""
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def tiff(mode: str) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (20, 20), 1).save(buffer, "TIFF")
    return buffer.getvalue()


WHOLE = png(picture(np.random.default_rng(0)))
BY_HEADER = {
    "empty": (b"", decode.EMPTY),
    "text": (b"this is no image\n" * 10, decode.NO_IMAGE),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\n", decode.NO_IMAGE),
    "bomb": (bomb(30_000, 30_000), decode.too_many()),
    "bomb of which Pillow would warn": (bomb(10_000, 9_000), decode.too_many()),
    "small": (png(np.zeros((7, 40), np.uint8)), decode.TOO_SMALL),
    "long": (png(np.zeros((8, 200), np.uint8)), decode.TOO_LONG),
    "32 bits": (tiff("I"), decode.NO_RANGE),
    "float": (tiff("F"), decode.NO_RANGE),
    "cut in the header": (WHOLE[:20], None),
}


@pytest.mark.parametrize("data, kind", BY_HEADER.values(), ids=BY_HEADER)
def test_what_a_header_tells_is_refused_by_kind_before_anything_is_written(data, kind, photographs, tmp_path):
    (photographs / "train" / "ant" / "bad.png").write_bytes(data)
    with pytest.raises(Refusal, match=r"1 of 24 files will not do: 1 .* \(train/ant/bad.png\).*--bad skip") as refused:
        images(photographs)
    assert kind is None or kind in str(refused.value)
    assert not list((tmp_path / "cache").glob("pools/*.pool"))


def test_more_pixels_are_read_where_that_is_said_and_fewer_are_refused(photographs):
    before = Image.MAX_IMAGE_PIXELS
    key = images(photographs).key
    with pytest.raises(Refusal, match="23 of 23 files will not do: 23 of more than 479 pixels .*--max-pixels"):
        images(photographs, max_pixels=479)
    assert images(photographs, max_pixels=480).key == key and before == Image.MAX_IMAGE_PIXELS
    large = photographs / "train" / "ant" / "large.png"
    large.write_bytes(png(Image.new("1", (14_000, 13_000))))  # 182 million, where Pillow alone refuses
    with pytest.raises(Refusal, match="1 of more than 89,478,485 pixels .train/ant/large.png"):
        images(photographs)
    assert images(photographs, max_pixels=200_000_000, channels=1).train_counts[0] == 10


@pytest.mark.parametrize("bad", ["header", "pixels"])
def test_three_examples_are_named_and_skip_leaves_a_list(bad, photographs):
    for name in ("w", "x", "y", "z"):
        (photographs / "train" / "ant" / f"{name}.png").write_bytes(
            b"" if bad == "header" else WHOLE[:-60] + name.encode()
        )
    with pytest.raises(
        Refusal, match=r"4 of 2[37] files will not do: 4 .*\(train/ant/.\.png, train/ant/.\.png, .*, …\)"
    ):
        images(photographs)
    pool = images(photographs, bad="skip")
    assert pool.train_counts == tuple(COUNTS.values())
    lines = (pool.path / "left_out.csv").read_text().splitlines()
    assert lines[0] == "path,class,why" and len(lines) == 5
    assert sorted(line.split(",")[0] for line in lines[1:]) == [f"train/ant/{k}.png" for k in "wxyz"]
    assert any("4 files that will not do are left out, at most 4 of a class" in note for note in pool.notes)
    assert len((pool.path / "files.csv").read_text().splitlines()) == 1 + sum(COUNTS.values()) + 6
    pool.verify()
    with pytest.raises(Refusal, match="class 'cat 10' has no training image left|no training image .cat 10."):
        for path in (photographs / "train" / "cat 10").iterdir():
            path.write_bytes(b"" if bad == "header" else WHOLE[:-60] + path.name.encode())
        images(photographs, bad="skip")


def test_a_jpeg_that_is_cut_short_is_never_filled_with_grey(photographs):
    whole = save(photographs / "train" / "ant" / "a.jpg", picture(np.random.default_rng(1), 200, 200), quality=95)
    whole.write_bytes(whole.read_bytes()[:-2000])
    with pytest.raises(Refusal, match=f"1 {decode.DAMAGED} .train/ant/a.jpg"):
        images(photographs)


# What is decoded


def decoded(data, side=20, channels=3, **more):
    with decode.ready():
        return decode.pixels(data, Recipe(side=side, **more), channels)


RAMP = np.linspace(0, 65535, 400).astype(np.uint16).reshape(20, 20)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bits_are_scaled_and_not_clipped(form):
    buffer = io.BytesIO()
    Image.fromarray(RAMP).save(buffer, form)
    found = decoded(buffer.getvalue())
    np.testing.assert_allclose(found[..., 0], RAMP / 257, atol=0.51)
    assert (found[..., 0] == found[..., 2]).all()
    np.testing.assert_array_equal(decoded(buffer.getvalue(), channels=1), found[..., :1])


def test_a_clear_value_of_16_bits_is_background():
    buffer = io.BytesIO()
    Image.fromarray(RAMP).save(buffer, "PNG", transparency=int(RAMP[3, 4]))
    found = decoded(buffer.getvalue(), background=90)
    assert (found[3, 4] == 90).all() and (found[10, 10] == round(RAMP[10, 10] / 257)).all()


@pytest.mark.parametrize("ground", [255, 0, 90])
def test_what_is_transparent_is_laid_on_the_background(ground):
    clear = np.zeros((20, 20, 4), np.uint8)
    clear[:, 10:] = (200, 10, 30, 255)
    found = decoded(png(clear), background=ground)
    assert (found[:, :10] == ground).all() and (found[:, 10:] == (200, 10, 30)).all()
    palette = Image.fromarray((np.arange(400).reshape(20, 20) % 2).astype(np.uint8), "P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    found = decoded(png(palette, transparency=0), background=ground)
    assert (found[:, ::2] == ground).all() and (found[:, 1::2] == (40, 50, 60)).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "RGB", "RGBA"])
def test_every_mode_becomes_three_channels_or_one(mode):
    form = "TIFF" if mode == "CMYK" else "PNG"
    buffer = io.BytesIO()
    grey = np.repeat(np.array([[0, 255]], np.uint8), 10, 1).repeat(20, 0)
    Image.fromarray(grey).convert("RGB").convert(mode).save(buffer, form)
    for channels in (3, 1):
        found = decoded(buffer.getvalue(), channels=channels)
        assert found.shape == (20, 20, channels)
        assert (found == grey[..., None]).all()


def test_an_image_is_turned_as_its_camera_said_before_its_middle_is_taken():
    tall = np.zeros((60, 40, 3), np.uint8)
    tall[:10] = 255  # the top, which lies on the right when the camera is turned back
    exif = Image.Exif()
    exif[274] = 6
    buffer = io.BytesIO()
    Image.fromarray(tall).save(buffer, "PNG", exif=exif)
    turned = decoded(buffer.getvalue(), side=40)
    assert turned.shape == (40, 40, 3) and not turned[:, :30].any()
    plain = decoded(png(np.rot90(tall, -1)), side=40)
    np.testing.assert_array_equal(turned, plain)


def test_the_shorter_side_is_resized_and_the_middle_kept():
    wide = np.zeros((40, 120, 3), np.uint8)
    wide[:, 40:80] = 255
    found = decoded(png(wide), side=20)
    assert found[:, 2:-2].min() > 250  # the middle third; its edges are smoothed
    small = decoded(png(wide[:10, :30]), side=20)
    assert small.shape == (20, 20, 3)


def test_a_set_of_grey_images_has_one_channel(photographs):
    assert images(photographs).channels == 3
    for path in photographs.glob("*/*/*.png"):
        Image.open(path).convert("L").save(path)
    grey = images(photographs)
    assert grey.channels == 1 and len(grey.mean) == 1 and images(photographs, channels=3).channels == 3
    assert grey.key != images(photographs, channels=3).key


def test_what_is_done_to_images_is_counted(photographs):
    folder = photographs / "train" / "ant"
    frames = [Image.fromarray(picture(np.random.default_rng(k))) for k in range(2)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    save(folder / "clear.png", np.full((20, 20, 4), 7, np.uint8))
    Image.fromarray(RAMP).save(folder / "deep.png")
    frames[0].save(folder / "profile.png", icc_profile=b"a profile")
    notes = "\n".join(images(photographs, side=8).notes)
    for said in (
        "1 images have several frames",
        "1 images can be transparent",
        "1 images have 16 bits",
        "1 images have a colour",
    ):
        assert said in notes
    assert "27 images are smaller than 32 pixels, and enlarged" in "\n".join(images(photographs).notes)


@pytest.mark.parametrize("form, suffix", [("GIF", "gif"), ("TIFF", "tif"), ("WEBP", "webp"), ("PNG", "png")])
def test_the_first_frame_is_taken_and_that_is_said(form, suffix, photographs):
    first, second = Image.new("RGB", (20, 20), (250, 250, 250)), Image.new("RGB", (20, 20))
    path = photographs / "train" / "ant" / f"frames.{suffix}"
    first.save(path, form, save_all=True, append_images=[second], **({"lossless": True} if form == "WEBP" else {}))
    assert decoded(path.read_bytes()).min() > 245
    assert "1 images have several frames, of which the first is taken" in images(photographs, side=8).notes


# What is listed


def test_the_same_bytes_in_training_and_test_set_are_refused(photographs):
    shutil.copy(photographs / "train" / "bee" / "1.png", photographs / "test" / "ant" / "new.png")
    with pytest.raises(Refusal, match=r"1 test images are in the training set too.*train/bee/1.png = test/ant/new.png"):
        images(photographs)


def test_with_skip_the_training_copy_of_a_test_image_is_left_out_and_counted(photographs):
    """Also where the two are of different classes. Nothing of the test set is lost: methods stay comparable."""
    shutil.copy(photographs / "train" / "bee" / "1.png", photographs / "test" / "ant" / "new.png")
    shutil.copy(min((photographs / "test" / "bee").iterdir()), photographs / "train" / "bee" / "z.png")
    found = images(photographs, bad="skip")
    assert "2 files that will not do are left out, at most 2 of a class: 2 in the test set too" in found.notes
    lines = (found.path / "left_out.csv").read_text().splitlines()
    assert lines[1:] == [f"train/bee/{name},bee,in the test set too" for name in ("1.png", "z.png")]
    assert "test/ant/new.png" in (found.path / "files.csv").read_text()
    shutil.copytree(photographs / "train" / "bee", photographs / "test" / "bee", dirs_exist_ok=True)
    with pytest.raises(Refusal, match="class 'bee' has no training image left when what will not do is left out"):
        images(photographs, bad="skip")


def test_copies_within_the_training_set_are_counted(photographs):
    shutil.copy(photographs / "train" / "bee" / "1.png", photographs / "train" / "bee" / "new.png")
    shutil.copy(photographs / "train" / "bee" / "2.png", photographs / "train" / "ant" / "new.png")
    notes = "\n".join(images(photographs).notes)
    assert "1 images are copies of others of their class (train/bee/new.png)" in notes
    assert "1 images are in several classes at once (train/ant/new.png, train/bee/2.png)" in notes


def test_links_inside_are_followed_and_others_are_bad_files(photographs, tmp_path):
    folder = photographs / "train" / "ant"
    outside = save(tmp_path / "outside" / "a.png", picture(np.random.default_rng(8)))
    shutil.move(photographs / "train" / "ant" / "0.png", photographs / "real.png")
    (folder / "0.png").symlink_to(photographs / "real.png")
    assert images(photographs).train_counts == tuple(COUNTS.values())
    (folder / "out.png").symlink_to(outside)
    (folder / "folder").symlink_to(tmp_path / "outside")
    (folder / "nothing.png").symlink_to(tmp_path / "gone.png")
    (folder / "me.png").symlink_to(folder / "me.png")
    (folder / "round").symlink_to(folder)
    with pytest.raises(Refusal, match="5 of 28 files will not do") as refused:
        images(photographs)
    for kind, n in (("lead out of the directory", 2), ("links to nothing", 1), ("links in a circle", 2)):
        assert kind in str(refused.value), n
    assert images(photographs, bad="skip", follow_links=True).train_counts[0] == 9 + 2


def test_a_split_that_is_a_link_out_of_the_directory_is_followed_where_that_is_said(photographs, tmp_path):
    key = images(photographs).key
    shutil.move(photographs / "train", tmp_path / "elsewhere")
    (photographs / "train").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refusal, match="photographs/train: links that lead out of the directory .--follow-links"):
        images(photographs)
    assert images(photographs, follow_links=True).key == key


def test_only_regular_files_are_opened(photographs):
    os.mkfifo(photographs / "train" / "ant" / "pipe.png")
    with pytest.raises(Refusal, match="1 no regular files .train/ant/pipe.png"):
        images(photographs)


def test_a_device_is_never_opened(photographs):
    (photographs / "train" / "ant" / "endless.png").symlink_to("/dev/zero")
    with pytest.raises(Refusal, match="1 no regular files .train/ant/endless.png"):
        images(photographs, follow_links=True)
    table = pd.DataFrame({"path": sorted(map(str, photographs.glob("train/[ab]*/*"))), "label": range(15)})
    table["label"] %= 2
    with pytest.raises(Refusal, match="1 no regular files .ant/endless.png"):
        images(table, test_share=0.3, follow_links=True)


def test_a_file_that_may_not_be_read_is_a_bad_file_and_a_disk_that_fails_is_not(photographs, monkeypatch):
    closed, real, number = str(photographs / "train" / "ant" / "3.png"), os.open, [errno.EACCES]

    def refused(path, *more, **others):
        if path == closed:
            raise OSError(number[0], os.strerror(number[0]))
        return real(path, *more, **others)

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(Refusal, match="1 of 23 files will not do: 1 not readable .train/ant/3.png"):
        images(photographs)
    number[0] = errno.EIO
    with pytest.raises(Refusal, match="cannot read .*/train/ant/3.png: Input/output error; try again"):
        images(photographs, bad="skip")


def test_what_lies_beside_images_is_left_out(photographs):
    folder = photographs / "train" / "ant"
    for name in (".DS_Store", "Thumbs.db", "._0.png"):
        (folder / name).write_bytes(b"litter")
    (photographs / "__MACOSX").mkdir()
    assert not [note for note in images(photographs, side=8).notes if "left out" in note]
    for name in ("a.txt", "b.txt", "c.heic"):
        (folder / name).write_bytes(b"other")
    assert "3 other files are left out: 2 .txt, 1 .heic" in images(photographs, side=9).notes
    shutil.copy(photographs / "train" / "bee" / "0.png", folder / "without_suffix")
    assert images(photographs, side=8).train_counts[0] == 10


def test_val_is_never_trained_on(photographs):
    shutil.copytree(photographs / "test", photographs / "val")
    pool = images(photographs)
    assert pool.train_counts == tuple(COUNTS.values()) and any("val is left out" in note for note in pool.notes)
    shutil.rmtree(photographs / "test")
    assert images(photographs).key == pool.key
    assert "there is no folder `test`: `val` is the test set" in images(photographs, side=8).notes


@pytest.mark.parametrize(
    "change, cure, counts",
    [
        (lambda top: (top / "train" / "none").mkdir(), "drop_empty", (9, 5, 3)),
        (lambda top: save(top / "test" / "owl" / "0.png", picture(np.random.default_rng(5))), "drop_unseen", (9, 5, 3)),
    ],
)
def test_classes_that_cannot_be_learnt_are_refused_by_name(change, cure, counts, photographs):
    change(photographs)
    with pytest.raises(Refusal, match=rf"(none|owl).*--{cure.replace('_', '-')}"):
        images(photographs)
    assert images(photographs, **{cure: True}).train_counts == counts


def test_classes_of_which_little_is_known_are_named(photographs):
    shutil.rmtree(photographs / "test" / "bee")
    for name in ("1.png", "2.png"):
        (photographs / "train" / "cat 10" / name).unlink()
    notes = "\n".join(images(photographs).notes)
    assert "1 class has one training image, which all runs see (cat 10)" in notes
    assert "1 class has no test image: no number speaks of it (bee)" in notes


def test_fewer_than_two_classes_are_none(photographs, tmp_path):
    for name in ("bee", "cat 10"):
        for split in ("train", "test"):
            shutil.rmtree(photographs / split / name)
    with pytest.raises(Refusal, match="1 class with training images; at least 2"):
        images(photographs)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(Refusal, match="has no class folders"):
        images(tmp_path / "nothing")


def test_more_classes_than_a_pool_can_number_are_refused():
    names = [str(k) for k in range(65_536)]
    assert len(class_names(names[:-1], [], "here", drop_unseen=False)) == 65_535
    with pytest.raises(Refusal, match="here: 65,536 classes; at most 65,535"):
        class_names(names, [], "here", drop_unseen=False)


def test_names_that_are_no_utf_8_or_unprintable_are_kept_and_shown_escaped(photographs):
    for name in (b"\xff class", b"two\nlines"):
        for split in (b"train", b"test"):
            place = os.path.join(os.fsencode(photographs), split, name)
            os.makedirs(place)
            with open(os.path.join(place, b"-\xfe\n.png"), "wb") as file:
                file.write(png(picture(np.random.default_rng(len(name) + len(split)))))
    pool = images(photographs)
    assert pool.class_names[-2:] == ("two\\nlines", "\\xff class") and pool.index
    assert b"\xfe\n.png" in (pool.path / "files.csv").read_bytes()


def test_names_that_unicode_composes_otherwise_are_two_and_said(photographs):
    names = [unicodedata.normalize(form, "\u00e9t\u00e9") for form in ("NFC", "NFD")]
    for k, name in enumerate(names):
        for split in ("train", "test"):
            save(photographs / split / name / "0.png", picture(np.random.default_rng([k, len(split)])))
    pool = images(photographs)
    assert len(pool.class_names) == 5 and any("1 class names differ only" in note for note in pool.notes)


def test_class_10_comes_after_class_9():
    assert sorted(["class 10", "class 9", "a", "10", "9", "B"], key=natural) == [
        "9",
        "10",
        "B",
        "a",
        "class 9",
        "class 10",
    ]


def frame(photographs, **columns):
    files = sorted(str(path) for path in photographs.glob("train/*/*.png"))[:4]
    return pd.DataFrame({"path": files, "split": ["train", "train", "train", "test"], **columns})


BAD_LABELS = {
    "gap": ([0, 1, 3, 1], "labels go up to 3, and 1 below it have no image .2.; number the classes 0 to 2"),
    "from one": ([1, 2, 1, 2], "1 below it have no image .0."),
    "negative": ([0, -1, 1, 0], "label -1; numbers of classes are 0 to C - 1"),
    "float": ([0.0, 1.0, 0.0, 1.0], "row 0 has the label 0.0; give names or whole numbers"),
    "nothing": ([0, None, 1, 0], "row 1 has no label"),
    "not available": ([0, pd.NA, 1, 0], "row 1 has no label"),
    "not a number": ([0, float("nan"), 1, 0], "row 1 has no label"),
    "empty": (["a", " ", "b", "a"], "row 1 has no label"),
    "point": (["3.0", "1", "0", "0"], "row 0 has the label 3.0"),
    "truth": ([True, False, True, False], "row 0 has the label True"),
}


@pytest.mark.parametrize("labels, message", BAD_LABELS.values(), ids=BAD_LABELS)
def test_labels_are_names_or_numbers_without_a_gap(labels, message, photographs):
    with pytest.raises(Refusal, match=message):
        images(frame(photographs, label=pd.Series(labels, dtype=object)))


BAD_LISTS = {
    "outside": ("../../etc/passwd 0\n", "line 1: ../../etc/passwd is outside"),
    "absolute": ("/etc/passwd 0\n", "line 1: /etc/passwd is outside"),
    "one word": ("train/ant/0.png 0\ntrain/ant/1.png\n", "line 2: 'train/ant/1.png'; a path, a blank, and a label"),
    "twice": (
        "train/ant/0.png 0\ntrain/ant/0.png 0\n",
        "1 paths are listed twice .train/ant/0.png.; --duplicates keep",
    ),
    "two labels": ("train/ant/0.png 0\ntrain/ant/0.png 1\n", "train/ant/0.png has two labels, 0 and 1"),
    "missing": (
        "ant/0.png 0\nant/1.png 1\ntrain/bee/0.png 1\n",
        "2 of 3 files do not exist; is --root right?.*/ant/0.png",
    ),
    "commas": ("train/ant/0.png, 0\ntrain/bee/0.png, 1\n", "separates by commas; give it a header"),
    "nothing": ("\n", "lists no images"),
    "binary": ("a\0b 0\n", "is no text"),
}


@pytest.mark.parametrize("text, message", BAD_LISTS.values(), ids=BAD_LISTS)
def test_a_list_is_refused_by_line(text, message, photographs):
    (photographs / "train.txt").write_text(text)
    with pytest.raises(Refusal, match=message):
        images(photographs / "train.txt", photographs / "test")


BAD_TABLES = {
    "no label": ("path,kind\na,b\n", "has no column 'label'; it has path, kind"),
    "fields": ("path,label\na,b,c\n", "line 2: 3 fields, and the header has 2"),
    "columns": ("path,label,path\na,b,c\n", "has a column twice: path"),
    "split": ("path,label,split\ntrain/ant/0.png,a,dev\n", "has the split 'dev'; train, val or test"),
}


@pytest.mark.parametrize("text, message", BAD_TABLES.values(), ids=BAD_TABLES)
def test_a_table_is_refused_by_line(text, message, photographs):
    (photographs / "index.csv").write_text(text)
    with pytest.raises(Refusal, match=message):
        images(photographs / "index.csv")


def test_a_listed_file_may_be_missing_where_that_is_said(photographs):
    lines = [f"{path.relative_to(photographs)} {path.parent.name}" for path in photographs.glob("train/[ab]*/*.png")]
    (photographs / "train.txt").write_text("\n".join([*lines, "train/ant/gone.png ant"]))
    shutil.rmtree(photographs / "test" / "cat 10")
    with pytest.raises(Refusal, match="1 of 19 files will not do: 1 missing .train/ant/gone.png"):
        images(photographs / "train.txt", photographs / "test")
    assert images(photographs / "train.txt", photographs / "test", bad="skip").train_counts == (9, 5)


def test_a_path_twice_counts_twice_where_that_is_said(photographs):
    lines = [f"{path.relative_to(photographs)} {path.parent.name}" for path in photographs.glob("train/[ab]*/*.png")]
    (photographs / "train.txt").write_text("\n".join([*lines, lines[0]]))
    shutil.rmtree(photographs / "test" / "cat 10")
    pool = images(photographs / "train.txt", photographs / "test", duplicates="keep")
    assert sum(pool.train_counts) == 15 and "1 paths are listed twice, and count twice" in pool.notes


@pytest.mark.parametrize(
    "choice, message",
    [
        ({"side": 7}, "--side 7: 8 to 1024 pixels"),
        ({"test_share": 1.0}, "--test-share 1: between 0 and 1"),
        ({"channels": 2}, "--channels 2: 1 .grey. or 3"),
        ({"bad": "ignore"}, "--bad ignore: refuse or skip"),
        ({"background": 256}, "--background 256"),
        ({"max_pixels": 0}, "--max-pixels 0: at least 1"),
        ({"side": "32"}, "side is '32': give --side a whole number"),
    ],
)
def test_choices_are_checked(choice, message, photographs):
    with pytest.raises(Refusal, match=message):
        images(photographs, **choice)


def test_class_names_that_would_be_written_alike_are_refused(photographs):
    for k, name in enumerate(("a\nb", "a\\nb")):
        for split in ("train", "test"):
            save(photographs / split / name / "0.png", picture(np.random.default_rng([k, len(split)])))
    with pytest.raises(Refusal, match=r"two classes would both be written 'a\\\\nb'; rename one"):
        images(photographs)


def test_nothing_is_left_in_the_cache_of_what_will_not_do(photographs, tmp_path):
    (photographs / "train" / "ant" / "bad.png").write_bytes(WHOLE[:-60])
    with pytest.raises(Refusal, match=decode.DAMAGED):
        images(photographs)
    assert [path.name for path in (tmp_path / "cache" / "pools").iterdir() if path.is_dir()] == []


PATHS = st.lists(st.sampled_from(["..", ".", "a", "b c", "", "train", "ant", "0.png", "é"]), min_size=1, max_size=6)


@given(parts=PATHS, absolute=st.booleans())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_listed_path_leaves_the_root(parts, absolute, tmp_path):
    path = "/" * absolute + "/".join(parts)
    assume(path.split())
    root = tmp_path / "root"
    root.mkdir(exist_ok=True)
    (tmp_path / "a").mkdir(exist_ok=True)
    places = Below(str(root), follow_links=False)
    try:
        full = places.inside(path, "line 1")
    except Refusal:
        return
    assert os.path.realpath(full).startswith(str(root.resolve()))


FORMS = ("JPEG RGB", "JPEG CMYK", "PNG P", "PNG RGBA", "GIF P", "WEBP RGB", "BMP RGB", "PPM L", "TIFF RGB")


@pytest.mark.parametrize("form", FORMS)
def test_bytes_that_are_anything_are_an_image_or_a_fault_of_the_file(form):
    draw, buffer, faults = np.random.default_rng(0), io.BytesIO(), set()
    name, mode = form.split()
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(picture(draw)).convert(mode).save(buffer, name, **({"exif": exif} if name in "JPEG PNG" else {}))
    assert decoded(buffer.getvalue()).shape == (20, 20, 3)
    with decode.ready():
        for _ in range(200):
            data = bytearray(buffer.getvalue())
            for _ in range(draw.integers(1, 5)):
                data[draw.integers(min(len(data), 200))] = draw.integers(256)
            try:
                decode.header(bytes(data))
                assert decode.pixels(bytes(data), Recipe(side=16), 3).shape == (16, 16, 3)
            except decode.Bad as bad:
                faults.add(str(bad))
    assert faults
