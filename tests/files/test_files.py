"""A file is whole or absent, whatever happens while it is written."""

import errno
import io
import os

import numpy as np
import pytest

from ltbv.errors import Refusal
from ltbv.files import (
    Damaged,
    names_of,
    read_arrays,
    read_json,
    read_rows,
    refuse_if_closed,
    shape_of,
    write_arrays,
    write_bytes,
    write_json,
    write_together,
)
from ltbv.files.npy import checked_header, read_blocks, read_values

WRITERS = {
    "bytes": lambda path: write_bytes(path, b"new"),
    "json": lambda path: write_json(path, {"new": 1}),
    "arrays": lambda path: write_arrays(path, {"new": np.arange(3)}),
}


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def stopped(*args, **kwargs):
    raise KeyboardInterrupt


def files(directory) -> list[str]:
    return sorted(entry.name for entry in os.scandir(directory))


@pytest.fixture(params=WRITERS.values(), ids=WRITERS)
def write(request):
    return request.param


def test_makes_the_directories_above_and_leaves_nothing_but_the_file(write, tmp_path):
    write(tmp_path / "a" / "b" / "file")
    assert files(tmp_path / "a" / "b") == ["file"]
    write(tmp_path / "a" / "b" / "file")
    assert files(tmp_path / "a" / "b") == ["file"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("old", [b"old", None])
def test_a_full_disk_leaves_the_old_file_and_no_temporary_one(write, tmp_path, monkeypatch, step, old):
    path = tmp_path / "file"
    if old:
        path.write_bytes(old)
    monkeypatch.setattr(os, step, full)
    with pytest.raises(Refusal, match=f"cannot write {path}: No space left on device") as refusal:
        write(path)
    assert "\n" not in str(refusal.value)
    assert files(tmp_path) == (["file"] if old else [])
    assert not old or path.read_bytes() == old


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_interruption_leaves_the_old_file_and_no_temporary_one(write, tmp_path, monkeypatch, step):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, step, stopped)
    with pytest.raises(KeyboardInterrupt):
        write(path)
    assert files(tmp_path) == ["file"] and path.read_bytes() == b"old"


def test_the_file_is_on_the_disk_before_it_has_its_name(write, tmp_path, monkeypatch):
    """fsync of the content, then rename, then fsync of the directory that holds the name."""
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda f: (done.append("fsync"), fsync(f)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("rename"), replace(a, b)))
    write(tmp_path / "file")
    assert done[:2] == ["fsync", "rename"] and set(done[2:]) <= {"fsync"}


def test_a_place_that_cannot_hold_a_file_is_refused_in_one_line(write, tmp_path):
    (tmp_path / "occupied").write_text("a file, not a directory")
    for path in (tmp_path / "occupied" / "file", tmp_path):
        with pytest.raises(Refusal, match="cannot write") as refusal:
            write(path)
        assert "\n" not in str(refusal.value)
    assert files(tmp_path) == ["occupied"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_directory_is_refused(write, tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(Refusal, match="Permission denied"):
            write(tmp_path / "file")
    finally:
        tmp_path.chmod(0o700)


def test_the_same_arrays_give_the_same_bytes_at_any_time(tmp_path, monkeypatch):
    arrays = {"a": np.arange(6).reshape(2, 3), "b": np.array([0.5, np.nan], np.float16)}
    write_arrays(tmp_path / "one", arrays)
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("time.localtime", lambda *a: (2033, 5, 18, 3, 33, 20, 2, 138, 0))
    write_arrays(tmp_path / "two", arrays)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    back = read_arrays(tmp_path / "one")
    assert back.keys() == arrays.keys()
    assert all(back[k].dtype == arrays[k].dtype and back[k].tobytes() == arrays[k].tobytes() for k in arrays)


def test_half_a_file_of_arrays_is_refused_at_every_length(tmp_path):
    write_arrays(tmp_path / "whole", {"a": np.arange(40), "b": np.ones(5)})
    content = (tmp_path / "whole").read_bytes()
    path = tmp_path / "half"
    for length in [*range(0, len(content), 37), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(Refusal, match=str(path)) as refusal:
            read_arrays(path)
        assert "\n" not in str(refusal.value)


def test_a_flipped_bit_is_found(tmp_path):
    write_arrays(tmp_path / "file", {"a": np.arange(400)})
    content = bytearray((tmp_path / "file").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(Refusal, match="CRC.*delete it"):
        read_arrays(tmp_path / "file")


def test_nothing_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.system, ("touch " + str(tmp_path / "exploded"),))

    np.savez(tmp_path / "bomb.npz", a=np.array([Bomb()], dtype=object))
    with pytest.raises(Refusal):
        read_arrays(tmp_path / "bomb.npz")
    assert not (tmp_path / "exploded").exists()


def test_a_file_that_is_not_there_or_no_json_is_refused(tmp_path):
    (tmp_path / "torn.json").write_text('{"a": ')
    for name in ("torn.json", "none.json"):
        with pytest.raises(Refusal, match=name):
            read_json(tmp_path / name)
    with pytest.raises(Refusal, match="none.npz"):
        read_arrays(tmp_path / "none.npz")


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_json_is_as_deep_as_it_is_on_any_python(tmp_path, opening, closing):
    for levels in (99, 100):
        (tmp_path / "deep").write_text(opening * levels + "1" + closing * levels)
        assert read_json(tmp_path / "deep")
    for levels in (101, 500, 100_000):
        (tmp_path / "deep").write_text(opening * levels + "1" + closing * levels)
        with pytest.raises(Refusal, match="cannot be read as JSON"):
            read_json(tmp_path / "deep")


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o027, 0o077])
def test_a_file_has_the_rights_that_the_umask_leaves(write, tmp_path, mask):
    before = os.umask(mask)
    try:
        write(tmp_path / "file")
        (tmp_path / "plain").write_text("as any program would write it")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("good", [0, 1, 2])
def test_of_several_files_all_are_written_or_none(tmp_path, monkeypatch, step, good):
    """The disk is full after so many; what was there stays, and no folder is left. (Names, once given, are kept.)"""
    old, gone = tmp_path / "old", tmp_path / "gone"
    old.write_bytes(b"old")
    gone.write_bytes(b"gone")
    several = {tmp_path / "new" / "a" / name: b"new" for name in "xy"} | {old: b"new"}
    real, left = getattr(os, step), iter(range(good))
    with monkeypatch.context() as patch:
        patch.setattr(os, step, lambda *names: real(*names) if next(left, None) is not None else full())
        with pytest.raises(Refusal, match="No space left on device"):
            write_together(several, gone=[gone])
    assert old.read_bytes() == b"old"
    assert gone.exists() or (step, good) == ("replace", 2), "it goes when only the last name is missing"
    kept = good if step == "replace" else 0
    there = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert there - {"gone"} == {"old", *"xy"[:kept]}
    assert (tmp_path / "new").exists() == bool(kept)
    write_together(several, gone=[gone])
    assert all(path.read_bytes() == b"new" for path in several) and not gone.exists()


def test_what_is_no_regular_file_is_not_replaced(write, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Refusal, match="pipe: it exists and is no regular file"):
        write(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo() and files(tmp_path) == ["pipe"]


def test_a_folder_that_takes_nothing_is_refused_beforehand(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    refuse_if_closed(tmp_path / "new" / "newer")
    for place in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        with pytest.raises(Refusal, match="cannot write into"):
            refuse_if_closed(place)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(Refusal, match="read-only"):
        refuse_if_closed(tmp_path / "new")
    assert files(tmp_path) == ["file"]


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for read in (read_json, read_arrays, names_of, lambda path: shape_of(path, "label")):
        with pytest.raises(Refusal, match="no regular file"):
            read(tmp_path / "pipe")


def test_a_note_that_nobody_needs_after_a_power_cut_is_whole_and_does_not_wait_for_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", full)
    write_bytes(tmp_path / "note", b"old", durable=False)
    with monkeypatch.context() as patch, pytest.raises(Refusal, match="No space left"):
        patch.setattr(os, "replace", full)
        write_bytes(tmp_path / "note", b"new", durable=False)
    assert files(tmp_path) == ["note"] and (tmp_path / "note").read_bytes() == b"old"


ARRAYS = {"a table": np.arange(12.0).reshape(4, 3), "column-major": np.asfortranarray(np.arange(6).reshape(2, 3))}
ARRAYS |= {
    "nothing": np.zeros((0, 3)),
    "a number": np.array(3),
    "text": np.array(["a", "bc"]),
    "big-endian": np.ones(2, ">f4"),
}


@pytest.mark.parametrize("what", ARRAYS)
def test_an_array_is_read_as_it_was_and_not_where_its_header_says_otherwise(what, tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, ARRAYS[what])
    content = buffer.getvalue()

    def read(content: bytes) -> np.ndarray:
        file = io.BytesIO(content)
        return read_values(file, checked_header(file, "x", len(content)))

    found = read(content)
    assert found.dtype == ARRAYS[what].dtype and found.flags.writeable
    np.testing.assert_array_equal(found, ARRAYS[what])
    header = io.BytesIO()
    claimed = np.lib.format.header_data_from_array_1_0(found)
    np.lib.format.write_array_header_1_0(header, claimed | {"shape": (7, *found.shape, 1)})
    for other in (content + b"\0", content[:-1], header.getvalue() + found.tobytes() + b"\0" * (not found.size)):
        with pytest.raises(ValueError):
            read(other)


def test_rows_of_an_archive_are_those_of_the_whole_and_checked(tmp_path):
    path, looked = tmp_path / "a.npz", []
    table = ARRAYS["a table"].astype(np.float16)
    for written in (table, np.asfortranarray(table)):
        write_arrays(path, {"label": np.arange(4), "table": written})
        for rows in (1, 3, 4, 9):
            found = [*read_rows(path, "table", rows, lambda *of: looked.append(of))]
            assert [len(block) for block in found[:-1]] == [rows] * (len(found) - 1)
            np.testing.assert_array_equal(np.concatenate(found), table)
    assert {*looked} == {((4, 3), table.dtype)}
    content = bytearray(path.read_bytes())
    content[content.index(np.asfortranarray(table).tobytes("A")) + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(Damaged, match="CRC"):
        [*read_rows(path, "table", 3, lambda *of: None)]
    with pytest.raises(Damaged, match="it has no logits"):
        next(read_rows(path, "logits", 3, lambda *of: None))


def test_blocks_are_the_rows_of_the_whole(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, ARRAYS["a table"])
    for rows in (1, 3, 4, 9):
        buffer.seek(0)
        blocks = list(read_blocks(buffer, checked_header(buffer, "x", len(buffer.getvalue())), rows))
        assert [len(block) for block in blocks[:-1]] == [rows] * (len(blocks) - 1)
        np.testing.assert_array_equal(np.concatenate(blocks), ARRAYS["a table"])
