"""A cache that is missing, damaged or locked costs time, never a result."""

import os
from pathlib import Path

import numpy as np
import pytest

from ltbv.data import cache

SHAPES = {"pool": (4, 5), "test": (3,)}
RECIPE = {"version": 1, "seed": 2}


class Maker:
    """Makes the arrays and counts how often it was asked."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return {"pool": np.arange(20, dtype=np.uint8).reshape(4, 5), "test": np.arange(3, dtype=np.uint8)}


@pytest.fixture
def make():
    return Maker()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LTBV_CACHE", str(tmp_path / "deep" / "cache"))
    return tmp_path / "deep" / "cache"


def load(make, recipe=RECIPE):
    arrays = cache.load_or_make("tiny", recipe, SHAPES, make)
    np.testing.assert_array_equal(arrays["pool"], np.arange(20).reshape(4, 5))
    np.testing.assert_array_equal(arrays["test"], np.arange(3))
    return arrays


def test_made_once_then_read(folder, make):
    load(make)
    load(make)
    assert make.calls == 1
    assert len(list(folder.iterdir())) == 1  # no temporary file stays behind


def test_another_recipe_is_another_file(folder, make):
    load(make)
    load(make, RECIPE | {"seed": 3})
    assert make.calls == 2
    assert len(list(folder.iterdir())) == 2
    assert cache.content_key({"a": 1, "b": 2}) == cache.content_key({"b": 2, "a": 1})


@pytest.mark.parametrize(
    "damage", ["empty", "cut", "text", "flipped bit", "other shape", "missing array", "pickle", "folder"]
)
def test_a_damaged_file_is_made_again(folder, make, damage):
    load(make)
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "text":
        path.write_text("not an archive")
    elif damage == "flipped bit":
        at = whole.index(bytes(range(20))) + 7
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    elif damage == "other shape":
        np.savez(path, pool=np.zeros((4, 4), np.uint8), test=np.zeros(3, np.uint8))
    elif damage == "missing array":
        np.savez(path, pool=np.zeros((4, 5), np.uint8))
    elif damage == "pickle":
        np.savez(path, pool=np.array([{}], object), test=np.zeros(3, np.uint8))
    else:
        path.unlink()
        path.mkdir()
    load(make)
    assert make.calls == 2
    if damage != "folder":  # the good file is back
        load(make)
        assert make.calls == 2


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch, make):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LTBV_CACHE", str(tmp_path / "file" / "cache"))
    load(make)
    load(make)
    assert make.calls == 2


def test_a_failed_write_leaves_nothing_behind(folder, make, monkeypatch):
    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    load(make)
    assert not folder.parent.exists(), "not even a folder"


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LTBV_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.directory() == tmp_path / "own"
    monkeypatch.setenv("LTBV_CACHE", "")
    assert cache.directory() == tmp_path / "xdg" / "ltbv"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.directory() == tmp_path / ".cache" / "ltbv"


def test_without_a_home_directory_nothing_is_kept(monkeypatch, make):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("LTBV_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    load(make)
    assert make.calls == 1
