"""Sets that are known by name, and annotations as COCO has them."""

import json

import pytest

import ltbv
from ltbv.data.catalogue import entry
from ltbv.data.images import named
from ltbv.data.images.sources import images, settled
from ltbv.errors import Refusal


@pytest.fixture
def lists(photographs, tmp_path, monkeypatch):
    """Lists of `photographs` under the names of Places-LT's, which then has three classes."""
    small = named.Named("places-lt", ("Places_LT_train.txt",), ("Places_LT_test.txt",), 3, 17, 6, 9, 3)
    monkeypatch.setitem(named.NAMED, "places-lt", small)
    folder = tmp_path / "lists"
    folder.mkdir()
    names = sorted(path.name for path in (photographs / "train").iterdir())
    for split in ("train", "test"):
        paths = sorted(photographs.glob(f"{split}/*/*.png"))
        lines = [f"{path.relative_to(photographs)} {names.index(path.parent.name)}\n" for path in paths]
        (folder / f"Places_LT_{split}.txt").write_text("".join(lines))
    return folder


def test_a_set_is_found_by_its_name_and_then_needs_no_files(lists, photographs, tmp_path):
    path, name = settled("places-lt", {"data_dir": photographs, "lists": lists, "side": 16})
    assert name == "places-lt" and entry(path).pool_sizes.tolist() == [9, 5, 3] and entry(path).name == "places-lt"
    assert not [note for note in entry(path).notes if "not those of" in note]
    assert settled("places-lt", {})[1] == "places-lt"
    assert entry("places-lt").image_shape == (16, 16, 3)


def test_lists_that_hold_something_else_are_said(lists, photographs):
    train = lists / "Places_LT_train.txt"
    train.write_text("".join(train.read_text().splitlines(keepends=True)[1:]))
    path, _ = settled("places-lt", {"data_dir": photographs, "lists": lists})
    (note,) = (note for note in entry(path).notes if "not those of" in note)
    assert note == (
        "these lists are not those of places-lt: 16 training images and not 17, 8 images of the largest class and not 9"
    )


@pytest.mark.parametrize(
    "beside, message",
    [
        ({}, "places-lt is read from files: give --data-dir"),
        ({"data_dir": "{top}"}, r"has no Places_LT_train.txt; give --lists, the directory of its lists"),
        ({"data_dir": "{lists}"}, "6 of 6|17 of 17 files do not exist; is --root right"),
        ({"data_dir": "{top}", "test": "x"}, "--test x: places-lt has its own"),
    ],
)
def test_what_is_lacking_is_named(beside, message, lists, photographs):
    asked = {name: value.format(top=photographs, lists=lists) for name, value in beside.items()}
    with pytest.raises(Refusal, match=message):
        settled("places-lt", asked)


def test_names_without_a_pool_say_how_to_make_one(photographs):
    with pytest.raises(Refusal, match="imagenet-lt is read from files: give --data-dir"):
        entry("imagenet-lt")
    with pytest.raises(Refusal, match="--lists x goes with imagenet-lt, places-lt"):
        settled(str(photographs), {"lists": "x"})
    with pytest.raises(Refusal, match="unknown setting 'sides' .did you mean 'side'"):
        images(photographs, sides=3)


def test_python_takes_a_name_and_a_directory(lists, photographs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = {"data_dir": str(photographs), "lists": lists, "side": 8}
    ltbv.bootstrap("ce", 1, dataset="places-lt", **asked, epochs=1, executor="inline", quiet=True)
    assert (tmp_path / "runs" / "places-lt" / "predictions" / "ce" / "r000.npz").exists()


def annotations(photographs, split, first=0):
    """COCO's three lists, with ids of categories that begin at `first`."""
    names = sorted(path.name for path in (photographs / "train").iterdir())
    paths = sorted(photographs.glob(f"{split}/*/*.png"))
    labels = [first + names.index(path.parent.name) for path in paths]
    return {
        "images": [{"id": k, "file_name": str(path.relative_to(photographs))} for k, path in enumerate(paths)],
        "annotations": [{"image_id": k, "category_id": label} for k, label in enumerate(labels)],
        "categories": [{"id": first + k, "name": name} for k, name in enumerate(names)],
    }


def test_annotations_are_a_list_like_any_other(photographs):
    for split in ("train", "test"):
        (photographs / f"{split}.json").write_text(json.dumps(annotations(photographs, split, first=1)))
    pool = images(photographs / "train.json", photographs / "test.json")
    assert pool.key == images(photographs).key and pool.class_names == ("ant", "bee", "cat 10")
    for split in ("train", "test"):
        (photographs / f"{split}.json").write_text(json.dumps(annotations(photographs, split)))
    assert images(photographs / "train.json", photographs / "test.json").class_names == ("0", "1", "2")


BAD = {
    "no lists": ({}, "has no images .id, file_name. and annotations .image_id, category_id. that fit together"),
    "a list": ([], "that fit together"),
    "an image without": (lambda said: said["annotations"].pop(), "1 images have no category, or several"),
    "an image with two": (
        lambda said: said["annotations"].append({"image_id": 0, "category_id": 2}),
        "1 images have no category, or several .train/ant/0.png.; one for each",
    ),
    "of no image": (lambda said: said["annotations"].append({"image_id": 99, "category_id": 0}), "that fit together"),
    "no name": (lambda said: said["categories"].clear(), "that fit together"),
}


@pytest.mark.parametrize("change, message", BAD.values(), ids=BAD)
def test_annotations_that_do_not_fit_are_refused(change, message, photographs):
    said = annotations(photographs, "train", first=1)
    if callable(change):
        change(said)
    else:
        said = change
    (photographs / "train.json").write_text(json.dumps(said))
    with pytest.raises(Refusal, match=message):
        images(photographs / "train.json", photographs / "test")
