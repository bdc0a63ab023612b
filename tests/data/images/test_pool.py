"""A pool is written once and whole: killed and gone on with, by one of several, checked when it is read."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from photographs import picture, save

import ltbv
from ltbv.data.catalogue import entry
from ltbv.data.images import look, write
from ltbv.data.images import pool as pools
from ltbv.data.images.sources import images
from ltbv.errors import Refusal


def content(path):
    return {one.name: one.read_bytes() for one in path.iterdir()}


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(write, "BLOCK", 4)


@pytest.mark.parametrize("killed_after", range(6))
def test_what_is_killed_goes_on_and_the_bytes_are_the_same(
    killed_after, photographs, tmp_path, small_blocks, monkeypatch
):
    whole = content(images(photographs, write_to=tmp_path / "whole.pool").path)
    blocks, real = [], write._block

    def until(plan, rows, descriptor):
        if len(blocks) == killed_after:
            raise KeyboardInterrupt
        blocks.append(rows.start)
        return real(plan, rows, descriptor)

    where = tmp_path / "again.pool"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(write, "_block", until)
        images(photographs, write_to=where)
    assert not where.exists()
    done = []
    monkeypatch.setattr(
        write, "_block", lambda plan, rows, descriptor: done.append(rows.start) or real(plan, rows, descriptor)
    )
    assert content(images(photographs, write_to=where).path) == whole
    assert sorted(blocks + done) == list(range(0, 23, 4))  # each once
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


def test_a_block_whose_bytes_did_not_reach_the_disk_is_made_again(photographs, tmp_path, small_blocks, monkeypatch):
    whole, where = content(images(photographs, write_to=tmp_path / "whole.pool").path), tmp_path / "again.pool"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(write, "_describe", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        images(photographs, write_to=where)
    (part,) = tmp_path.glob(".again.pool-*.part")
    with open(part / pools.PIXELS, "r+b") as file:
        file.seek(5000)
        file.write(bytes(2000))
    assert content(images(photographs, write_to=where).path) == whole


def test_a_command_that_is_killed_leaves_no_pool_and_the_same_command_makes_it(photographs, tmp_path):
    """By the system, not by an exception."""
    code = (
        "import os, signal, sys; from ltbv.data.images import write; from ltbv.data.images.sources import images\n"
        "write.BLOCK, real, left = 4, write._block, [3]\n"
        "def block(*asked):\n"
        "    left[0] -= 1\n"
        "    return real(*asked) if left[0] else os.kill(os.getpid(), signal.SIGKILL)\n"
        "write._block = block\n"
        "images(sys.argv[1], write_to=sys.argv[2])\n"
    )
    where = tmp_path / "killed.pool"
    done = subprocess.run([sys.executable, "-c", code, str(photographs), str(where)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not where.exists()
    images(photographs, write_to=where).verify()


def _make(asked):
    path = images(asked[0], write_to=asked[1]).path
    return str(path), os.stat(path).st_ino


@pytest.mark.parametrize("place", ["one.pool", None], ids=["of a name", "on the way"])
def test_several_at_once_make_one_pool(place, photographs, tmp_path):
    with multiprocessing.get_context("spawn").Pool(3) as processes:
        asked = [(str(photographs), place and str(tmp_path / place))] * 3
        ((path, _),) = set(processes.map(_make, asked, chunksize=1))
    pools.open_pool(Path(path)).verify()
    assert not list(Path(path).parent.glob(".*pool*"))


def test_a_writer_that_does_not_get_on_is_not_waited_for_for_ever(photographs, tmp_path, monkeypatch):
    from filelock import FileLock

    monkeypatch.setattr(write, "PATIENCE", 0.1)
    started = time.monotonic()
    with FileLock(tmp_path / ".held.pool.lock"), pytest.raises(Refusal, match="made by another command, stuck for"):
        images(photographs, write_to=tmp_path / "held.pool")
    assert time.monotonic() - started < 30


def test_what_was_begun_and_forgotten_is_removed_and_what_is_in_hand_is_not(photographs, tmp_path):
    names = ("mine.pool", "old.pool", "new.pool", "not-ours")
    parts = {name: tmp_path / f".{name}-{'' if name == 'not-ours' else 4 * '0a1b'}.part" for name in names}
    for part in parts.values():
        part.mkdir()
        (part / "pixels.u8").write_bytes(b"half")
    for name in ("old.pool", "not-ours"):
        os.utime(parts[name], (0, 0))
    images(photographs, write_to=tmp_path / "mine.pool")
    assert [name for name, part in parts.items() if part.exists()] == ["new.pool", "not-ours"]


@pytest.mark.parametrize("runs", [1, 8])
def test_each_file_is_opened_twice_however_many_runs_there_are(runs, photographs, tmp_path, monkeypatch):
    """To be looked at, and to be decoded; runs read the pool."""
    opened, real = [], look.read
    for place in (look, write):
        monkeypatch.setattr(place, "read", lambda path: opened.append(path) or real(path))
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # and goes on
        ltbv.bootstrap("ce", runs, dataset=photographs, side=8, epochs=1, executor="inline", quiet=True)
    assert len(opened) == 2 * 23 and len(set(opened)) == 23


MANY_LARGE = """
import os, resource, sys
import numpy as np
from pathlib import Path
from ltbv.data.images.sources import images

source = sys.argv[1]
if source == "dataset":
    import torch

    class Grey(torch.utils.data.Dataset):
        def __len__(self):
            return 24

        def __getitem__(self, k):
            return np.full((2500, 2500, 3), k, np.uint8), k % 2

    source = Grey()
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # a worker each
now = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (now + 320 * 2**20,) * 2)
images(source, test_share=0.3, write_to="large.pool")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux how much is mapped")
@pytest.mark.parametrize("source", ["folder", "dataset"])
def test_memory_is_that_of_a_few_images_and_not_of_all(source, tmp_path):
    """24 images of 19 MB when decoded, 450 MB in all, within 320 MB, of which two threads need half."""
    if source == "folder":
        for k in range(24):
            save(
                tmp_path / "folder" / "ab"[k % 2] / f"{k}.png", np.full((2500, 2500, 3), k, np.uint8), compress_level=1
            )
    command, environment = [sys.executable, "-c", MANY_LARGE, source], os.environ | {"MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert sum(pools.open_pool(tmp_path / "large.pool").train_counts) == 16


def test_another_pool_is_not_written_over(photographs, tmp_path):
    where = images(photographs, write_to=tmp_path / "mine.pool").path
    before = content(where)
    with pytest.raises(Refusal, match="mine.pool holds other images"):
        images(photographs, write_to=where, side=16)
    (tmp_path / "mine").mkdir()
    with pytest.raises(Refusal, match="mine exists and is no pool of images"):
        images(photographs, write_to=tmp_path / "mine")
    assert content(where) == before


def test_a_disk_that_is_too_small_is_said_before_anything_is_written(photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(100, 90, 10))
    with pytest.raises(Refusal, match="has 10 bytes free, and the pool needs 70,656"):
        images(photographs, write_to=tmp_path / "large.pool")
    assert not list(tmp_path.glob("*large*"))


def test_a_file_that_changes_under_way_is_refused(photographs, tmp_path, monkeypatch):
    real = write.write

    def later(*asked, **more):
        save(photographs / "train" / "ant" / "0.png", picture(np.random.default_rng(77)))
        return real(*asked, **more)

    monkeypatch.setattr("ltbv.data.images.sources.write", later)
    with pytest.raises(Refusal, match="train/ant/0.png has changed since it was looked at"):
        images(photographs)


DAMAGE = {
    "short": lambda p: (p / "pixels.u8").write_bytes((p / "pixels.u8").read_bytes()[:-1]),
    "no pixels": lambda p: (p / "pixels.u8").unlink(),
    "index": lambda p: (p / "index.npz").write_bytes(b"no archive"),
    "other counts": lambda p: describe(p, train_counts=[8, 6, 3]),
    "no counts": lambda p: describe(p, train_counts=None),
    "names": lambda p: describe(p, class_names=["ant", "bee"]),
    "not JSON": lambda p: (p / "pool.json").write_text("{"),
    "a list": lambda p: (p / "pool.json").write_text("[]"),
    "side": lambda p: describe(p, side="32"),
    "no spread": lambda p: describe(p, std=[0, 0, 0]),
    "rules": lambda p: describe(p, rules=0),
}


def describe(path, **other):
    said = json.loads((path / "pool.json").read_text())
    (path / "pool.json").write_text(json.dumps(said | other))


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_pool_is_refused_in_one_line(damage, photographs, tmp_path):
    where = images(photographs, write_to=tmp_path / "mine.pool").path
    damage(where)
    with pytest.raises(Refusal, match="mine.pool") as refused:
        entry(str(where)).load()
    assert "\n" not in str(refused.value)


def test_a_pool_that_was_made_on_the_way_is_made_anew_where_it_is_damaged(photographs):
    pool = images(photographs)
    (pool.path / "pixels.u8").unlink()
    with pytest.raises(Refusal, match="pixels.u8"):
        pools.open_pool(pool.path).dataset()
    again = images(photographs)
    again.verify()


def test_verify_finds_a_byte_that_has_changed(photographs, tmp_path):
    pool = images(photographs, write_to=tmp_path / "mine.pool")
    pool.verify()
    with open(pool.path / "pixels.u8", "r+b") as file:
        file.seek(40_000)
        file.write(b"\x01\x02\x03\x04")
    with pytest.raises(Refusal, match="pixels.u8 is damaged near row 0; delete it and run `ltbv images` again"):
        pools.open_pool(pool.path).verify()


def test_moments_are_those_of_the_training_pixels(photographs):
    pool = images(photographs)
    dataset = pool.dataset()
    every = np.concatenate([dataset.read((k << 32) + np.arange(n)) for k, n in enumerate(pool.train_counts)])
    np.testing.assert_allclose(pool.mean, every.mean((0, 1, 2)) / 255)
    np.testing.assert_allclose(pool.std, every.std((0, 1, 2)) / 255)
