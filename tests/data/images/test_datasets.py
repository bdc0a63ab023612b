"""Datasets in memory: what they give is looked at, asked for again when it is written, and refused where it is not what
they gave before."""

import itertools
import threading

import numpy as np
import pytest
import torch
from photographs import COUNTS, picture
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from ltbv.data.images.sources import images
from ltbv.errors import Refusal
from ltbv.models.vision import torchvision


class Pictures(Dataset):
    """Twelve pictures of two classes, as `form` makes them; counts how often each was asked for."""

    def __init__(self, form=lambda picture, k: picture, label=lambda k: k % 2, size=12):
        draw = np.random.default_rng(3)
        self.pictures = [picture(draw) for _ in range(size)]
        self.form, self.label, self.asked = form, label, np.zeros(size, int)
        self.lock = threading.Lock()

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, k):
        assert self.lock.acquire(blocking=False), "asked by two threads at once"
        try:
            self.asked[k] += 1
            return self.form(self.pictures[k], k), self.label(k)
        finally:
            self.lock.release()


FORMS = {
    "picture": lambda array, k: Image.fromarray(array),
    "array": lambda array, k: array,
    "tensor": lambda array, k: torch.tensor(array).permute(2, 0, 1),
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LTBV_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_pictures_arrays_and_tensors_are_the_same_pool(form, tmp_path):
    source = Pictures(form)
    pool = images(source, test_share=0.3, side=16, write_to=tmp_path / "one.pool")
    assert pool.train_counts == (4, 4) and pool.name == "Pictures" and pool.class_names == ("0", "1")
    assert (source.asked == 2).all()  # looked at, and written
    wanted = images(Pictures(), test_share=0.3, side=16)
    assert pool.key == wanted.key and (pool.pixels == wanted.pixels).all()
    assert "Pictures[0]" in (pool.path / "files.csv").read_text()


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_pixels_are_those_of_the_files_from_which_pictures_came(form, photographs):
    paths = sorted(photographs.glob("train/[ab]*/*.png"))
    source = Pictures(
        lambda _, k: form(np.asarray(Image.open(paths[k])), k), lambda k: paths[k].parent.name, len(paths)
    )
    pool, wanted = images(source, test_share=0.2), images((paths, [p.parent.name for p in paths]), test_share=0.2)

    def content(of):
        return sorted(pixels.tobytes() for pixels in of.pixels)

    assert content(pool) == content(wanted) and sum(pool.train_counts) == sum(wanted.train_counts)


def test_grey_and_transparent_arrays_have_their_channels():
    grey = images(Pictures(lambda array, k: array[..., 0]), test_share=0.3)
    assert grey.channels == 1
    flat = Pictures(lambda array, k: torch.tensor(array[None, ..., 0]))
    assert images(flat, test_share=0.3).key == grey.key

    def clear(array, k):
        return np.concatenate([array, np.full((*array.shape[:2], 1), 0, np.uint8)], 2)

    pool = images(Pictures(clear), test_share=0.3, background=7)
    assert (pool.pixels == 7).all() and "12 images can be transparent, and are laid on the background" in pool.notes


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_pictures_of_every_mode_are_read(mode):
    source = Pictures(
        lambda array, k: Image.fromarray(array).convert("RGBA" if mode == "RGBA" else "RGB").convert(mode)
    )
    pool = images(source, test_share=0.3)
    assert pool.channels == (1 if mode in ("1", "L", "LA") else 3) and sum(pool.train_counts) == 8


def test_deep_pictures_are_scaled_and_those_without_a_range_are_bad_files():
    deep = Pictures(lambda array, k: Image.fromarray(array[..., 0].astype(np.uint16) * 257))
    pool = images(deep, test_share=0.3)
    assert "12 images have 16 bits a channel, scaled to 8" in pool.notes
    assert (
        (pool.pixels[0] == images(Pictures(lambda array, k: array[..., 0]), test_share=0.3).pixels).all((1, 2, 3)).any()
    )
    with pytest.raises(Refusal, match="12 of 12 files will not do: 12 of 32-bit values"):
        images(Pictures(lambda array, k: Image.fromarray(array[..., 0].astype(np.int32))), test_share=0.3)


def test_a_camera_that_was_turned_is_turned_back():
    def turned(array, k):
        image = Image.fromarray(array)
        image.getexif()[274] = 6
        return image

    plain = images(Pictures(lambda array, k: Image.fromarray(np.rot90(array, -1))), test_share=0.3)
    assert images(Pictures(turned), test_share=0.3).key == plain.key


def test_numbers_have_the_names_that_a_dataset_has_for_them():
    source = Pictures(label=lambda k: torch.tensor(k % 2))
    source.classes = ["007", "12"]  # names, though they look like numbers
    assert images(source, test_share=0.3).class_names == ("007", "12")
    assert images(Subset(source, range(8)), test_share=0.3).class_names == ("007", "12")
    source.classes = ["only one"]
    with pytest.raises(Refusal, match=r"Pictures\[1\] has the label 1, and there are 1 names in its `classes`"):
        images(source, test_share=0.3)


def test_tensors_with_their_labels_are_a_dataset():
    pictures = torch.tensor(np.stack(Pictures().pictures)).permute(0, 3, 1, 2)
    source = TensorDataset(pictures, torch.arange(12) % 2)
    assert images(source, test_share=0.3).key == images(Pictures(), test_share=0.3).key


class Stream(IterableDataset):
    def __iter__(self):
        return iter(())


class Failing(Pictures):
    def __getitem__(self, k):
        if k == 3:
            raise OSError("image file is truncated")
        return super().__getitem__(k)


BEFORE = "give the images before the transform"
REFUSED = {
    "floats": (
        Pictures(lambda array, k: torch.rand(3, 8, 8)),
        rf"Pictures\[0\] is float32 of shape \(3, 8, 8\); {BEFORE}",
    ),
    "doubles": (Pictures(lambda array, k: array / 255), rf"is float64 of shape \(24, 20, 3\); {BEFORE}"),
    "channels last": (Pictures(lambda array, k: torch.tensor(array)), "wanted is .* with 1, 3 or 4 channels"),
    "flat": (Pictures(lambda array, k: array.ravel()), "wanted is"),
    "none": (Pictures(lambda array, k: array[:0]), "wanted is"),
    "path": (Pictures(lambda array, k: "a.png"), r"Pictures\[0\] is a str; wanted is a picture"),
    "no label": (Pictures(label=lambda k: None), r"Pictures\[0\] has no label"),
    "labels": (Pictures(label=lambda k: (1, 2)), r"Pictures\[0\] has the label \(1, 2\)"),
    "gap": (Pictures(label=lambda k: 2 * (k % 2)), "labels go up to 2, and 1 below it have no image"),
    "no pairs": (TensorDataset(torch.zeros(3, 3, 8, 8, dtype=torch.uint8)), r"\[0\] is a tuple and not .image, label."),
    "stream": (Stream(), "the Stream has no length; give a map-style Dataset"),
    "fails": (Failing(), r"Failing\[3\] cannot be read: OSError: image file is truncated; .*Subset"),
    "empty": (Subset(Pictures(), []), "lists no images"),
}


@pytest.mark.parametrize("source, message", REFUSED.values(), ids=REFUSED)
def test_what_a_dataset_may_not_give_is_refused_in_a_line(source, message, tmp_path):
    with pytest.raises(Refusal, match=message) as refused:
        images(source, test_share=0.3)
    assert "\n" not in str(refused.value) and not list(tmp_path.glob("cache/pools/*.pool"))


def test_a_transform_that_draws_is_refused_when_the_pool_is_written(tmp_path):
    draw = itertools.count()
    source = Pictures(lambda array, k: array ^ np.uint8(next(draw) // 12))
    with pytest.raises(
        Refusal, match=r"Pictures\[\d+\] is another image each time that it is read; give images before"
    ):
        images(source, test_share=0.3)
    assert not list(tmp_path.glob("cache/pools/*.pool"))


def test_damaged_pictures_are_bad_files_and_may_be_left_out(tmp_path):
    def form(array, k):
        path = tmp_path / f"{k}.png"
        Image.fromarray(array).save(path)
        if k < 4:
            path.write_bytes(path.read_bytes()[:-40])
        return Image.open(path)

    with pytest.raises(Refusal, match=r"4 of 12 files .* 4 cut short or damaged \(the Pictures\[0\], .*, …\)"):
        images(Pictures(form), test_share=0.3)
    pool = images(Pictures(form), test_share=0.3, bad="skip")
    assert sum(pool.train_counts) + sum(pool.test_counts) == 8
    assert len((pool.path / "left_out.csv").read_text().splitlines()) == 5


def test_what_was_given_before_is_found_again_and_another_image_is_another_pool():
    first = images(Pictures(), test_share=0.3)
    again = Pictures()
    assert images(again, test_share=0.3).path == first.path and (again.asked == 1).all()  # looked at, not decoded
    again.pictures[5] = again.pictures[5] ^ 1
    assert images(again, test_share=0.3).key != first.key


def test_a_folder_with_a_loader_or_an_index_of_its_own_is_asked_for_its_images(photographs):
    ImageFolder = torchvision().datasets.ImageFolder
    plain = images(ImageFolder(photographs / "train"), photographs / "test")
    assert plain.key == images(photographs).key and plain.train_counts == tuple(COUNTS.values())
    loaded = ImageFolder(photographs / "train", loader=lambda path: Image.open(path).convert("L"))
    assert images(loaded, photographs / "test", channels=3).key != plain.key

    class Swapped(ImageFolder):
        def __getitem__(self, k):
            image, label = super().__getitem__(k)
            return image, 2 - label

    assert images(Swapped(photographs / "train"), photographs / "test").train_counts == (3, 5, 9)
    renamed = ImageFolder(photographs / "train", target_transform=lambda label: 2 - label)
    assert images(renamed, photographs / "test").train_counts == (3, 5, 9)


# Hugging Face


@pytest.fixture
def datasets(monkeypatch):
    return pytest.importorskip("datasets")


def table(datasets, label=None, n=12, **more):
    draw = np.random.default_rng(3)
    label = datasets.Value("int64") if label is None else label
    features = {"image": datasets.Image(), "label": label}
    columns = {"image": [Image.fromarray(picture(draw)) for _ in range(n)], "label": [k % 2 for k in range(n)]}
    for name, (feature, values) in more.items():
        features[name], columns[name] = feature, values
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def test_paths_of_a_table_are_opened_and_bytes_are_taken_as_they_are(datasets, photographs):
    paths = sorted(str(path) for path in photographs.glob("train/*/*.png"))
    labels = [path.split("/")[-2] for path in paths]
    source = datasets.Dataset.from_dict({"image": paths, "label": labels}).cast_column("image", datasets.Image())
    assert images(source, photographs / "test").key == images(photographs).key
    loaded = datasets.load_dataset("imagefolder", data_dir=str(photographs), cache_dir=str(photographs.parent / "hf"))
    assert images(loaded).key == images(photographs).key


def test_a_format_or_transform_of_a_table_is_not_looked_at(datasets):
    plain = table(datasets)
    key = images(plain, test_share=0.3).key
    assert images(plain.with_format("numpy"), test_share=0.3).key == key
    assert images(plain.with_transform(lambda rows: pytest.fail("transformed")), test_share=0.3).key == key
    assert images(plain.select(range(11, -1, -1)), test_share=0.3).key == key


def test_splits_of_a_dictionary_are_train_validation_and_test(datasets):
    whole = table(datasets, n=24)
    parts = {"train": range(12), "validation": range(12, 18), "test": range(18, 24)}
    splits = datasets.DatasetDict({name: whole.select(of) for name, of in parts.items()})
    pool = images(splits)
    assert (sum(pool.train_counts), sum(pool.test_counts)) == (12, 6)
    assert "6 images of the split `val` are left out: nothing is trained on them" in pool.notes
    del splits["test"]
    splits["unsupervised"] = whole.select(range(3))
    pool = images(splits)
    assert sum(pool.test_counts) == 6 and "there is no split `test`: `val` is the test set" in pool.notes
    assert "the splits unsupervised are left out" in pool.notes
    del splits["train"]
    with pytest.raises(Refusal, match="the DatasetDict has no split train; it has validation, unsupervised"):
        images(splits)


def test_columns_that_might_be_meant_are_named(datasets):
    number, names = datasets.Value("int32"), datasets.ClassLabel(names=["a", "b"])
    two = table(datasets, names, coarse=(names, [0] * 12))
    with pytest.raises(Refusal, match=r"has 2 columns of labels .label, coarse.; .*remove_columns..'coarse'"):
        images(two, test_share=0.3)
    assert images(two.remove_columns("coarse"), test_share=0.3).class_names == ("a", "b")
    assert images(table(datasets, names, number=(number, [0] * 12)), test_share=0.3).class_names == ("a", "b")
    with pytest.raises(Refusal, match="has 2 columns of labels .label, number."):
        images(table(datasets, number=(number, [0] * 12)), test_share=0.3)
    pictures = (datasets.Image(), table(datasets)["image"][:])
    with pytest.raises(Refusal, match="has 2 columns of images .image, other."):
        images(table(datasets, other=pictures), test_share=0.3)
    with pytest.raises(Refusal, match="has no column of images; it has label: dataset.cast_column"):
        images(table(datasets).remove_columns("image"), test_share=0.3)
    with pytest.raises(Refusal, match="has 0 columns of labels"):
        images(table(datasets).remove_columns("label"), test_share=0.3)


def test_what_is_streamed_or_has_no_label_is_refused(datasets):
    with pytest.raises(Refusal, match="the IterableDataset is streamed; give one that is loaded"):
        images(table(datasets).to_iterable_dataset(), test_share=0.3)
    source = table(datasets, datasets.ClassLabel(names=["a", "b"]))
    with pytest.raises(Refusal, match=r"the Dataset\[0\] has no label .-1.; filter such images out first"):
        images(source.map(lambda row: {"label": -1}), test_share=0.3)
    with pytest.raises(Refusal, match="--root here goes with a list or table; the Dataset has its own images"):
        images(source, test_share=0.3, root="here")


def test_cells_without_an_image_are_bad_files(datasets):
    source = table(datasets)
    columns = {"image": [None, "/nowhere/a.png", *source["image"][2:]], "label": source["label"][:]}
    holes = datasets.Dataset.from_dict(columns, features=source.features)
    with pytest.raises(Refusal, match=r"2 of 12 files will not do: 2 missing \("):
        images(holes, test_share=0.3)
    assert sum(images(holes, test_share=0.3, bad="skip").train_counts) == 6 + 0
