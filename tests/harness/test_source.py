"""What `--dataset` and `--features` name is found by a worker that stands in another directory."""

import os
import sys

import numpy as np
import pytest

from ltbv.data.cache import directory
from ltbv.data.images.sources import images
from ltbv.harness.bootstrap import prepare
from ltbv.harness.executors.cluster.driver import environment
from ltbv.harness.executors.local import search_path
from ltbv.harness.request import Request
from ltbv.harness.source import settled
from ltbv.harness.work import work


def features(path, seed=0):
    draw = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [6, 3])
    arrays = {name: draw.normal(size=(9, 4)) for name in ("train", "test")}
    np.savez(path, train_labels=labels, test_labels=labels, **arrays)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A directory with features of two backbones, and with images, in which this process stands."""
    image = pytest.importorskip("PIL.Image")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LTBV_CACHE", "cache")
    draw = np.random.default_rng(0)
    for name in ("train/a/0", "train/a/1", "train/b/0", "train/b/1", "test/a/2", "test/b/2"):
        path = tmp_path / "pictures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(draw.integers(256, size=(8, 8, 3), dtype=np.uint8)).save(path)
    for k in range(2):
        features(tmp_path / f"net{k}.npz", k)
    return tmp_path


ASKED = {
    "one file": ({"features": "net0.npz"}, "net0"),
    "backbones": ({"features": ["net0.npz", "net1.npz"]}, "net0-2-backbones"),
    "a file as a data set": ({"dataset": "net0.npz"}, "net0"),
    "a directory": ({"dataset": "pictures", "side": 8}, "pictures"),
    "a pool": ({"dataset": "mine.pool"}, "pictures"),
    "the name of a pool": ({"dataset": "kept"}, "kept"),
}


@pytest.mark.parametrize("asked, name", ASKED.values(), ids=ASKED)
def test_a_worker_that_stands_elsewhere_finds_the_data(asked, name, here, tmp_path, monkeypatch):
    images("pictures", side=8, write_to="mine.pool")
    images("pictures", side=8, name="kept", mirrors=False)
    options, found = settled(asked)
    order = prepare(Request.of(["ce"], 1, tmp_path / "study", executor="inline", **options)).order()
    assert found == name
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("LTBV_CACHE", "cache")
    assert callable(work(order))


def test_the_cache_and_the_places_of_modules_travel_by_whole_paths(here, monkeypatch):
    (here / "modules").mkdir()
    monkeypatch.setattr(sys, "path", ["modules", "", "a finder's own mark", *sys.path])
    assert directory() == here / "cache" and environment()["LTBV_CACHE"] == str(here / "cache")
    assert search_path()[:3] == [str(here / "modules"), os.getcwd(), "a finder's own mark"]
