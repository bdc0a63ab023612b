"""Pools that somebody or something spoils: each works, or is one line and exit code 2; nothing half-written is left."""

import errno
import json
import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from photographs import COUNTS, picture, save

from ltbv.cli import main
from ltbv.data.images import write
from ltbv.data.images.pool import open_pool
from ltbv.data.images.sources import images
from ltbv.errors import Refusal
from ltbv.harness.bootstrap import prepare
from ltbv.harness.request import Request


@pytest.fixture
def ltbv(photographs, monkeypatch):
    """A command in the directory above the photographs, with its exit code: what it prints."""
    monkeypatch.chdir(photographs.parent)

    def call(*words, code=0):
        done = CliRunner().invoke(main, [str(word) for word in words])
        assert done.exit_code == code, (done.output, done.exception)
        assert code != 2 or (done.output.startswith("ltbv: ") and done.output.count("\n") == 1)
        return done.output

    return call


def is_there(top: Path) -> list[str]:
    """Whatever lies below, but for locks, which hold nothing."""
    return sorted(str(path.relative_to(top)) for path in top.rglob("*") if path.suffix != ".lock")


def pipe(path: Path):
    path.unlink()
    os.mkfifo(path)


def folder(path: Path):
    path.unlink()
    path.mkdir()


def circle(path: Path):
    path.unlink()
    path.symlink_to(path.name)


HALF = {
    "no description": ("pool.json", Path.unlink, "is no whole pool: it has no pool.json; delete it"),
    "an empty description": ("pool.json", lambda path: path.write_text(""), "pool.json cannot be read as JSON"),
    "a pipe for a description": ("pool.json", pipe, "is no whole pool: it has no pool.json"),
    "a description in a circle": ("pool.json", circle, "is no whole pool: it has no pool.json"),
    "no pixels": ("pixels.u8", Path.unlink, "is no whole pool: it has no pixels.u8; delete it"),
    "no byte of pixels": ("pixels.u8", lambda path: path.write_bytes(b""), "it has 0 bytes and not 70,656"),
    "a folder of pixels": ("pixels.u8", folder, "pixels.u8 is no regular file"),
    "a pipe of pixels": ("pixels.u8", pipe, "pixels.u8 is no regular file"),
    "no index": ("index.npz", Path.unlink, "is no whole pool: it has no index.npz; delete it"),
    "half an index": ("index.npz", lambda path: os.truncate(path, 300), "index.npz"),
    "a pipe of an index": ("index.npz", pipe, "index.npz is no regular file"),
}


@pytest.mark.parametrize("name, spoil, message", HALF.values(), ids=HALF)
def test_half_a_pool_is_never_taken_for_one_nor_written_over(name, spoil, message, ltbv, photographs):
    place = images(photographs, write_to=photographs.parent / "half.pool").path
    spoil(place / name)
    before = is_there(photographs.parent)
    assert message in ltbv("images", "half.pool", code=2)
    assert message in ltbv("images", "half.pool", "--verify", code=2) or name == "pool.json"
    assert message in ltbv("bootstrap", "--dataset", "half.pool", "--study", "study", "-q", code=2)
    assert "half.pool" in ltbv("images", "photographs", "--write", "half.pool", code=2)
    assert is_there(photographs.parent) == before


def test_a_list_of_files_that_is_missing_is_found_by_verify(ltbv, photographs):
    (images(photographs, write_to=photographs.parent / "mine.pool").path / "files.csv").unlink()
    assert "is no whole pool: it has no files.csv" in ltbv("images", "mine.pool", "--verify", code=2)


def test_what_lies_where_a_pool_is_to_be_is_left_alone_and_no_lock_beside_it(ltbv, photographs):
    top = photographs.parent
    (top / "file").write_text("mine")
    (top / "nowhere").symlink_to("gone")
    (top / "folder").mkdir()
    for name in ("file", "nowhere", "folder"):
        assert f"{name} exists and is no pool of images; give another name" in ltbv(
            "images", "photographs", "--write", name, code=2
        )
    assert "cannot write into file" in ltbv("images", "photographs", "--write", "file/x.pool", code=2)
    for long in ("n" * 300, "n" * 235):  # too long itself, or with what stands around it while it is made
        assert "File name too long" in ltbv("images", "photographs", "--write", f"{long}.pool", code=2)
    assert not list(top.glob(".*"))


@pytest.mark.parametrize("room", [0, 100, 70_000])
def test_a_file_that_may_not_grow_leaves_nothing(room, ltbv, photographs):
    before, limits = is_there(photographs), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        for words in (("images", "photographs", "--write", "p.pool"), ("bootstrap", "--dataset", "photographs", "-q")):
            assert "pixels.u8: File too large" in ltbv(*words, code=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    own = ["photographs", *(f"photographs/{name}" for name in before)]
    assert is_there(photographs.parent) == ["cache", "cache/pools", *own]
    ltbv("images", "photographs", "--write", "p.pool", "-q")


def test_a_disk_that_fills_under_way_keeps_what_was_finished_and_no_pool(ltbv, photographs, monkeypatch):
    monkeypatch.setattr(write, "BLOCK", 4)
    real, left = os.pwrite, [3]

    def filling(*asked):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*asked)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", filling)
        said = ltbv("images", "photographs", "--write", "p.pool", code=2)
    assert "pixels.u8: No space left on device; finished files are kept" in said
    assert not (photographs.parent / "p.pool").exists()
    decoded, block = [], write._block
    monkeypatch.setattr(write, "_block", lambda plan, rows, to: decoded.append(rows.start) or block(plan, rows, to))
    ltbv("images", "photographs", "--write", "p.pool", "-q")
    assert decoded == [12, 16, 20]  # of 23 images
    open_pool(Path("p.pool")).verify()


def test_a_description_that_does_not_fit_the_disk_is_no_pool(ltbv, photographs, monkeypatch):
    def full(path, *rest):
        raise Refusal(f"cannot write {path}: No space left on device; finished files are kept")

    with monkeypatch.context() as patch:
        patch.setattr(write, "write_bytes", full)
        assert "files.csv: No space left" in ltbv("images", "photographs", "--write", "p.pool", code=2)
    assert not (photographs.parent / "p.pool").exists()
    ltbv("images", "photographs", "--write", "p.pool", "-q")


def test_another_pool_in_the_place_of_a_studys_own_is_refused(photographs, tmp_path):
    place = images(photographs, write_to=tmp_path / "mine.pool").path
    other = images(photographs, write_to=tmp_path / "other.pool", mirrors=False).path
    asked = {"dataset": str(place), "epochs": 1, "executor": "inline"}
    job = prepare(Request.of(["ce"], 1, tmp_path / "study", **asked))
    shutil.rmtree(place)
    shutil.copytree(other, place)
    told = []
    try:
        told += job.run(lambda event: None)
    except Refusal as refusal:
        told.append(str(refusal))
    assert len(told) == 1 and "are not those that" in told[0]
    assert not list((tmp_path / "study").glob("predictions/*/r*.npz"))


ODD = (b"new\nline", b"\xff\xfe", "\U0001f600 e".encode(), b"x" * 255, b"-dash", b"\x1b[31mred", "\u202ertl".encode())


def odd(path: bytes, k: int):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    whole = save(Path(os.fsdecode(os.path.dirname(path))) / "whole.png", picture(np.random.default_rng(1000 + k)))
    os.rename(whole, path)


def test_whatever_names_hold_is_shown_escaped_and_read_back(ltbv, photographs):
    top = os.fsencode(photographs)
    for k, name in enumerate(ODD):
        for split in (b"train", b"test"):
            odd(os.path.join(top, split, name, b"\x1b[2J\n\xff%d.png" % k), 2 * k + (split == b"test"))
    said = [ltbv("images", "photographs"), ltbv("images", "photographs", "--write", "new\nline.pool")]
    with open(os.path.join(top, b"train", ODD[1], b"bad\n\x1b.png"), "wb"):
        pass
    said.append(ltbv("images", "photographs"))
    assert "1 files are empty: train/\\udcff\\udcfe/bad\\n\\x1b.png" in said[-1]
    assert "bad\\n\\x1b.png). Mend" in ltbv("images", "photographs", "--write", "other.pool", code=2)
    for text in said:
        assert all(line.isprintable() for line in text.splitlines())
    assert said[1].endswith("wrote new\\nline.pool\n")
    found = open_pool(Path("new\nline.pool"))
    found.verify()
    assert len(found.class_names) == len(COUNTS) + len(ODD) and all(map(str.isprintable, found.class_names))
    asked = ("--method", "ce", "--runs", 1, "--epochs", 1, "--executor", "inline", "-q")
    ltbv("bootstrap", "--dataset", "new\nline.pool", "--study", "study", *asked)


def test_thousands_of_files_that_are_none_are_one_line(ltbv, photographs):
    for k in range(2000):
        (photographs / "train" / "ant" / f"no {k}.png").write_bytes(b"" if k % 2 else b"no image")
        (photographs / "train" / "bee" / str(k)).write_bytes(b"")
    said = ltbv("images", "photographs", "--write", "p.pool", code=2)
    assert "2,000 of 2,023 files will not do: 1000 " in said and len(said) < 500
    assert "note: 2000 other files are left out: 2000 without a suffix" in ltbv("images", "photographs")
    assert is_there(photographs.parent)[0] == "photographs"


def test_a_class_of_which_nothing_will_do_is_refused_and_left_out_where_that_is_said(ltbv, photographs):
    shutil.rmtree(photographs / "test" / "cat 10")
    for path in (photographs / "train" / "cat 10").iterdir():
        path.write_bytes(b"")
    skipped = ("images", "photographs", "--write", "p.pool", "--bad", "skip")
    assert "class 'cat 10' has no training image left when what will not do" in ltbv(*skipped, code=2)
    said = ltbv(*skipped, "--drop-empty")
    assert "note: 1 classes are left out, of which no training image will do (cat 10)" in said
    kept = json.loads(Path("p.pool/pool.json").read_text())
    assert kept["class_names"] == ["ant", "bee"] and "1 classes are left out" in " ".join(kept["notes"])
