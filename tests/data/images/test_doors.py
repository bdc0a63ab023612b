"""Directory, list, CSV, DataFrame, pairs, Datasets: the same images are the same pool, and the same study."""

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from torch.utils.data import Subset

import ltbv
from ltbv.cli import main
from ltbv.data.catalogue import entry
from ltbv.data.images import pool as pools
from ltbv.data.images.sources import images, settled
from ltbv.errors import Refusal
from ltbv.harness.bootstrap import prepare
from ltbv.harness.request import Request
from ltbv.harness.study import resolve
from ltbv.models.vision import torchvision
from ltbv.report.study import read_study


def rows(top, split):
    return [(str(p.relative_to(top)), p.parent.name) for p in sorted(top.glob(f"{split}/*/*.png"))]


def as_directory(top, tmp_path):
    return {"train": top}


def as_two_directories(top, tmp_path):
    shutil.copytree(top / "train", tmp_path / "one")
    shutil.copytree(top / "test", tmp_path / "other")
    return {"train": tmp_path / "one", "test": tmp_path / "other"}


def as_lists(top, tmp_path):
    numbers = {"ant": "ant", "bee": "bee", "cat 10": "cat 10"}
    for split in ("train", "test"):
        lines = [f"{path}\t{numbers[label]}" for path, label in rows(top, split) if " " not in label]
        (tmp_path / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return {"train": tmp_path / "train.txt", "test": tmp_path / "test.txt", "root": top}


def as_csv(top, tmp_path):
    with open(top / "index.csv", "w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Split", "File Name", "Class"])
        writer.writerows([split, *row] for split in ("test", "train") for row in reversed(rows(top, split)))
    return {"train": top / "index.csv"}


def as_frame(top, tmp_path):
    every = [(split, *row) for split in ("train", "test") for row in rows(top, split)]
    return {"train": pd.DataFrame(every, columns=["split", "path", "label"]), "root": top}


def as_pairs(top, tmp_path):
    def pairs(split):
        return [top / path for path, _ in rows(top, split)], np.array([label for _, label in rows(top, split)])

    return {"train": pairs("train"), "test": pairs("test")}


def as_torch(top, tmp_path):
    """A part of a folder's Dataset, with a transform that is not looked at."""

    def of(split):
        folder = torchvision().datasets.ImageFolder(top / split, transform=lambda image: pytest.fail("transformed"))
        part = Subset(folder, list(reversed(range(len(folder)))))
        return Subset(part, list(range(len(folder))))

    return {"train": of("train"), "test": of("test"), "name": "photographs"}


def as_hugging_face(top, tmp_path):
    """The bytes of the files in a table, the classes by their number."""
    datasets = pytest.importorskip("datasets")
    classes = datasets.ClassLabel(names=["cat 10", "bee", "ant"])

    def of(split):
        every = [(top / path, label) for path, label in rows(top, split)]
        pictures = [{"bytes": path.read_bytes(), "path": path.name} for path, _ in every]
        columns = {"picture": pictures, "kind": [classes.str2int(label) for _, label in every]}
        return datasets.Dataset.from_dict(
            columns, features=datasets.Features({"picture": datasets.Image(), "kind": classes})
        )

    return {"train": datasets.DatasetDict({split: of(split) for split in ("test", "train")}), "name": "photographs"}


DOORS = (as_directory, as_two_directories, as_csv, as_frame, as_pairs, as_torch, as_hugging_face)


@pytest.mark.parametrize("door", DOORS)
def test_every_door_gives_the_same_pool(door, photographs, tmp_path):
    first = images(photographs)
    asked = door(photographs, tmp_path)
    assert images(**asked, write_to=tmp_path / "again.pool").key == first.key
    assert (tmp_path / "again.pool" / pools.PIXELS).read_bytes() == (first.path / pools.PIXELS).read_bytes()
    assert images(**asked).path == first.path


def test_a_list_whose_labels_are_one_word_is_the_same_as_its_folders(photographs, tmp_path):
    for split in ("train", "test"):
        shutil.rmtree(photographs / split / "cat 10")
    assert images(**as_lists(photographs, tmp_path)).key == images(photographs).key


def test_files_may_be_listed_in_any_order_and_have_other_names(photographs, monkeypatch, tmp_path):
    key = images(photographs).key
    for path in sorted(photographs.glob("*/*/*.png")):
        path.rename(path.with_name(f"x{99 - int(path.stem)}.jpg"))  # and are read by content
    real = os.scandir

    class Backwards:
        def __init__(self, place):
            self.entries = sorted(real(place), key=lambda entry: entry.name, reverse=True)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *error):
            return None

    monkeypatch.setattr(os, "scandir", Backwards)
    assert images(photographs, write_to=tmp_path / "again.pool").key == key


def test_another_label_image_or_choice_is_another_pool(photographs):
    keys = {images(photographs).key, images(photographs, side=16).key, images(photographs, mirrors=False).key}
    (photographs / "train" / "ant" / "0.png").rename(photographs / "train" / "bee" / "moved.png")
    keys.add(images(photographs).key)
    shutil.copy(photographs / "test" / "ant" / "0.png", photographs / "test" / "ant" / "2.png")
    keys.add(images(photographs).key)
    assert len(keys) == 5


def test_what_was_decoded_is_not_looked_at_again(photographs, monkeypatch):
    first = images(photographs)
    monkeypatch.setattr("ltbv.data.images.sources.plan", lambda *_: pytest.fail("looked again"))
    assert images(photographs).path == first.path


def test_a_pool_says_its_counts_and_is_resampled_as_it_is(photographs):
    pool = images(photographs)
    study = resolve(str(pool.path))
    assert study.counts.tolist() == pool.entry().counts().tolist() == [9, 5, 3]
    assert pool.class_names == ("ant", "bee", "cat 10") and pool.test_counts == (2, 2, 2)
    assert study.settings.scheme == "stratified_bootstrap" and study.settings.profile == "own"
    assert study.splits["few"].tolist() == [0, 1, 2]  # by the thresholds of the field as they stand, not in proportion
    assert (np.bincount(study.sample(0) >> 32) == [9, 5, 3]).all()
    study, dataset = study.load()
    assert study.data(dataset)["notes"] == list(pool.notes) == ["23 images are smaller than 32 pixels, and enlarged"]
    assert study.fingerprint == pool.key and study.asked()["dataset"] == "photographs"
    assert dataset.read(study.sample(1)).shape == (17, 32, 32, 3) and dataset.test.labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_a_long_tail_is_cut_where_an_imbalance_is_given(photographs):
    study = resolve(str(images(photographs).path), head=4, imbalance=2)
    assert study.counts.tolist() == [4, 2, 2] and study.settings.scheme == "subsample"
    with pytest.raises(Refusal, match="class 1 needs 6 images but its pool has 5"):
        resolve(str(images(photographs).path), imbalance=2)


def test_a_tail_is_clipped_to_what_there_is_where_that_is_said(photographs):
    pool = str(images(photographs).path)
    study = resolve(pool, imbalance=2, clip=True)
    assert study.counts.tolist() == [9, 5, 3] and study.asked()["clip"] is True
    assert (np.bincount(study.sample(0) >> 32) == [9, 5, 3]).all()
    assert resolve(pool, head=4, imbalance=2, clip=False).asked() == resolve(pool, head=4, imbalance=2).asked()
    with pytest.raises(Refusal, match="give --imbalance too, or leave it out"):
        resolve(pool, clip=True)
    with pytest.raises(Refusal, match="glyphs-lt has as many as are asked; leave it out"):
        resolve("glyphs-lt", clip=True)


def test_a_head_that_is_clipped_moves_no_threshold(photographs):
    study = resolve(str(images(photographs).path), head=200, imbalance=1, clip=True)
    assert study.counts.tolist() == [9, 5, 3]  # many above 40, few below 8: 100 and 20 of 500
    assert {name: ids.tolist() for name, ids in study.splits.items()} == {"many": [], "medium": [0], "few": [1, 2]}


def test_a_command_of_a_report_finds_the_same_images_from_elsewhere(photographs, tmp_path, monkeypatch):
    asked = {"epochs": 1, "executor": "inline", "quiet": True, "study": tmp_path / "study"}
    ltbv.bootstrap("ce", 2, dataset=photographs, side=16, **asked)
    pool, other = images(photographs, side=16), images(photographs)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    command = shlex.split(read_study(tmp_path / "study").setting.commands[0])
    options = dict(zip(command[2::2], command[3::2], strict=True))
    assert options["--dataset"] == f"photographs-{pool.key}" and pool.key != other.key
    done = CliRunner().invoke(main, [*command[1:], "--executor", "inline", "-q"])
    assert done.exit_code == 0, done.output
    kept = [json.loads((path / "study.json").read_text()) for path in (tmp_path / "study", Path(options["--study"]))]
    assert kept[0]["asked"] == kept[1]["asked"] and kept[0]["data"] == kept[1]["data"]


def test_many_and_few_are_told_by_thresholds_that_are_asked_for(photographs):
    pool = str(images(photographs).path)

    def names(**asked):
        found = resolve(pool, **asked)
        return [name for k in range(3) for name, ids in found.splits.items() if k in ids]

    assert names(many=6, few=4) == ["many", "medium", "few"] and names(few=4) == ["medium", "medium", "few"]
    assert names(many=1, few=1, head=4, imbalance=2) == ["many"] * 3
    assert names(many=3, head=4, imbalance=2) == ["many", "medium", "medium"]  # few: below 20 of 500, that is .16 of 4
    assert resolve(pool, many=6, few=4).asked()["many"] == 6 and "few" not in resolve(pool, many=60).asked()
    with pytest.raises(Refusal, match="many=6.0 must not be below few=20"):
        resolve(pool, many=6)


def test_a_pool_is_found_by_its_name_and_two_of_a_name_are_refused(photographs):
    pool = images(photographs)
    assert entry("photographs").pool_sizes.tolist() == [9, 5, 3]
    assert settled("photographs", {}) == (str(pool.path), "photographs")
    other = images(photographs, side=16)
    with pytest.raises(Refusal, match=f"2 pools of images called 'photographs'.*{pool.key}.pool"):
        entry("photographs")
    assert entry(f"photographs-{other.key}").image_shape == (16, 16, 3)


@pytest.mark.parametrize(
    "asked, message",
    [
        (("nowhere/photographs", {}), "--dataset nowhere/photographs does not exist"),
        (
            ("photograph", {}),
            r"unknown dataset 'photograph'; there is: cifar10-lt.*; nor is there a directory, list or pool",
        ),
        (("glyphs-lt", {"side": 16}), "--side 16 is for images that are read from a directory or list, and glyphs-lt"),
        ((("a.png",), {}), "images of a tuple: give a directory"),
        ((("a.png", "ant"), {}), "images of a tuple: give a directory"),
        (((3, ["ant"]), {}), "images as a tuple are .paths, labels., one label for each path"),
        (((["a.png"], ["ant", "bee"]), {}), "1 paths and 2 labels"),
        ((3.0, {}), "images of a float: give a directory"),
    ],
)
def test_what_is_no_source_is_refused(asked, message, photographs):
    with pytest.raises(Refusal, match=message):
        settled(*asked)


def test_a_share_of_each_class_is_set_aside_where_there_is_no_test_set(photographs):
    folder = photographs / "train"
    with pytest.raises(Refusal, match="has no test images; give --test, or --test-share 0.2"):
        images(folder)
    pool = images(folder, test_share=0.3)
    assert (pool.test_counts, pool.train_counts) == ((3, 2, 1), (6, 3, 2))
    shutil.copy(folder / "ant" / "0.png", folder / "ant" / "copy.png")
    for share in (0.1, 0.3, 0.5, 0.7):
        images(folder, test_share=share)  # a copy on the other side would be refused
    (folder / "owl").mkdir()
    shutil.copy(folder / "ant" / "0.png", folder / "owl" / "single.png")
    with pytest.raises(Refusal, match="class 'owl' has 1 image, too few to set 0.3 of them aside"):
        images(folder, test_share=0.3)


def ltbv_command(*words, cwd):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "ltbv", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)


@pytest.mark.parametrize("door", [as_csv, as_torch, as_hugging_face])
def test_every_door_predicts_the_same(door, photographs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more = {"epochs": 1, "executor": "inline", "quiet": True}
    predicted = []
    for name, asked in (("one", {"train": photographs}), ("other", door(photographs, tmp_path))):
        pool = images(**(asked | {"name": name}), side=16)
        ltbv.bootstrap("ce", 2, name, dataset=pool, **more)
        predicted.append(np.load(tmp_path / name / "predictions/ce/r001.npz")["logits"])
    np.testing.assert_array_equal(*predicted)


@pytest.mark.usefixtures("undrawn")
def test_a_directory_is_one_command_away_from_a_study(photographs, tmp_path, monkeypatch):
    asked = ("bootstrap", "--method", "ce", "--runs", "2", "--epochs", "1", "--jobs", "1", "--side", "16", "-q")
    done = ltbv_command(*asked, "--dataset", "photographs", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    study = tmp_path / "runs" / "photographs"
    assert len(list(study.glob("predictions/ce/r*.npz"))) == 2
    monkeypatch.chdir(tmp_path)
    reported = CliRunner().invoke(main, ["report", "runs/photographs", "-q"])
    assert reported.exit_code == 0, reported.stderr
    assert "photographs" in (tmp_path / "reports" / "photographs" / "report.md").read_text()


def test_python_takes_what_images_gives(photographs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = ltbv.images(photographs, side=16)
    analysis = ltbv.bootstrap("ce", 2, dataset=found, epochs=1, executor="inline", quiet=True)
    assert (tmp_path / "runs" / "photographs").is_dir() and len(analysis.splits)
    with pytest.raises(Refusal, match="fingerprint"):  # other images are another study
        ltbv.bootstrap("ce", 2, dataset=ltbv.images(photographs, side=16, mirrors=False), epochs=1)


def test_a_method_that_looks_at_crops_of_test_images_is_refused_where_images_are_seen_in_boxes(photographs, tmp_path):
    """Two views of one image would be the same image."""
    asked = {"store": tmp_path / "study", "dataset": str(images(photographs, side=80).path), "executor": "inline"}
    with pytest.raises(Refusal, match="method 'sade_tta' looks at crops of test images, and those of photographs are"):
        prepare(Request.of(methods=("sade_tta",), runs=1, **asked))
    assert prepare(Request.of(methods=("ce",), runs=1, **asked)).methods
