"""The archives are read whole or refused in one line, and never trusted."""

import dataclasses
import errno
import io
import os
import pickle
import pickletools
import tarfile
import tracemalloc

import numpy as np
import pytest

from ltbv.data import cifar
from ltbv.data.dataset import make_ids
from ltbv.errors import Refusal

TINY = dataclasses.replace(
    cifar.CIFAR10,
    title="CIFAR-3",
    num_classes=3,
    pool_size=4,
    test_size=2,
    train_files=("data_batch_1", "data_batch_2"),
)
RNG = np.random.default_rng(0)


def as_python2(value) -> bytes:
    """A pickle as Python 2 wrote the archives: byte strings, and numpy under its old module name."""
    raw = bytearray(pickle.dumps(value, protocol=3))
    rewritten = {"SHORT_BINBYTES": b"U", "BINBYTES": b"T"}
    for opcode, _, position in pickletools.genops(bytes(raw)):
        if opcode.name in rewritten:
            raw[position : position + 1] = rewritten[opcode.name]
    return bytes(raw).replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n")


def batch(labels, **changes):
    rows = RNG.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
    return {b"data": rows, b"labels": list(labels)} | {key.encode(): value for key, value in changes.items()}


@pytest.fixture
def files():
    """What the files of a whole tiny archive hold; a test may change it before `write`."""
    return {
        "data_batch_1": batch([2, 0, 1, 0, 2, 1]),
        "data_batch_2": batch([1, 1, 0, 2, 2, 0]),
        "test_batch": batch([0, 1, 2, 2, 1, 0]),
        "batches.meta": {b"label_names": [b"ant", b"bee", b"sea_cow"]},
    }


def write(files, folder, dump=as_python2):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else dump(content))


def refusal(data_dir, archive=TINY) -> str:
    with pytest.raises(Refusal) as refused:
        archive.load(data_dir)
    message = str(refused.value)
    assert "\n" not in message
    return message


def check(dataset, files):
    assert dataset.class_names == ("ant", "bee", "sea_cow")
    assert dataset.pool_sizes.tolist() == [4, 4, 4]
    assert dataset.image_shape == (32, 32, 3)
    first, second = files["data_batch_1"][b"data"], files["data_batch_2"][b"data"]
    # Class 0 in the order of the files: images 1 and 3 of the first batch, 2 and 5 of the second.
    expected = np.stack([first[1], first[3], second[2], second[5]]).reshape(4, 3, 32, 32).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(dataset.read(make_ids(np.zeros(4), np.arange(4))), expected)
    np.testing.assert_array_equal(dataset.read(make_ids([1], [2]))[0, :, :, 2].ravel(), second[0][2048:])
    np.testing.assert_array_equal(dataset.test.labels, [0, 1, 2, 2, 1, 0])
    np.testing.assert_array_equal(dataset.test.pixels[3, 0, :, 0], files["test_batch"][b"data"][3, :32])
    assert (dataset.mirrors, dataset.background) == (True, 0)


@pytest.mark.parametrize(
    "dump", [as_python2, lambda value: pickle.dumps(value, protocol=4)], ids=["python2", "python3"]
)
def test_a_whole_archive_is_read(tmp_path, files, dump):
    write(files, tmp_path / TINY.folder, dump)
    check(TINY.load(tmp_path), files)


def test_the_folder_itself_is_read(tmp_path, files):
    write(files, tmp_path)
    check(TINY.load(tmp_path), files)


def pack(files, data_dir, folder=TINY.folder):
    with tarfile.open(data_dir / TINY.packed, "w:gz") as packed:
        for name, content in files.items():
            raw = content if isinstance(content, bytes) else as_python2(content)
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(raw)
            packed.addfile(member, io.BytesIO(raw))


def test_the_packed_archive_is_read_and_nothing_is_written(tmp_path, files):
    pack(files, tmp_path)
    check(TINY.load(tmp_path), files)
    assert os.listdir(tmp_path) == [TINY.packed]


def test_a_cut_or_foreign_packed_archive_is_refused(tmp_path, files):
    pack(files, tmp_path)
    path = tmp_path / TINY.packed
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "is damaged or incomplete" in refusal(tmp_path)
    path.write_bytes(b"<html>not found</html>")
    assert "is damaged or incomplete" in refusal(tmp_path)
    pack(files, tmp_path, folder="elsewhere")
    assert "lacks data_batch_1, data_batch_2, test_batch" in refusal(tmp_path)


def test_without_the_names_file_classes_are_numbers(tmp_path, files):
    del files["batches.meta"]
    write(files, tmp_path)
    assert TINY.load(tmp_path).class_names == ("0", "1", "2")


def test_missing_things_are_named(tmp_path, files):
    assert refusal(tmp_path / "nowhere").endswith(
        "does not exist; --data-dir is the directory that holds cifar-10-batches-py"
    )
    message = refusal(tmp_path)
    assert "holds no CIFAR-3" in message
    assert TINY.packed in message
    del files["data_batch_2"]
    write(files, tmp_path / TINY.folder)
    assert "lacks data_batch_2; a whole CIFAR-3 has data_batch_1, data_batch_2, test_batch" in refusal(tmp_path)


class Hostile:
    """Unpickles by calling whatever it is given."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("name", ["data_batch_1", "test_batch", "batches.meta"])
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "packed"])
def test_a_hostile_pickle_is_refused_by_name_and_nothing_runs(tmp_path, files, name, packed):
    files[name] = files[name] | {b"extra": Hostile(os.system, f"touch {tmp_path}/ran")}
    if packed:
        pack(files, tmp_path)
    else:
        write(files, tmp_path)
    message = refusal(tmp_path)
    assert f"{name} asks for {os.system.__module__}.system" in message
    assert "nothing was run" in message
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "raw",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93.",
        b"cnumpy\nload\n.",
        b"cnumpy.core.multiarray\n_reconstruct.__globals__\n.",
        b"ccopyreg\n_reconstructor\n.",
    ],
)
def test_every_name_but_those_of_arrays_is_refused(tmp_path, files, raw):
    write(files | {"data_batch_1": raw}, tmp_path)
    assert "nothing was run" in refusal(tmp_path)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\x01garbage",
        as_python2(batch([0] * 20))[:30_000],
        b"cnumpy\nndarray\n(I1000000000000\ntR.",  # would allocate if it were numpy's
        b"\x80\x02P1\n.",  # a persistent id
        b"\x80\x02\x82\x01.",  # a copyreg extension
        b"N.",
        b"(l.",
    ],
)
def test_damaged_files_are_refused_by_name(tmp_path, files, raw):
    write(files | {"data_batch_1": raw}, tmp_path)
    assert str(tmp_path / "data_batch_1") in refusal(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data": RNG.integers(0, 9, (6, 3071), dtype=np.uint8)},
            "'data' holds an array of shape (6, 3071), not uint8 pixels",
        ),
        ({"data": np.zeros((6, 32, 32, 3), np.uint8)}, "'data' holds an array of shape (6, 32, 32, 3)"),
        ({"data": np.zeros((6, 3072), np.float32)}, "'data' holds something else, not uint8 pixels of shape (n, 3072)"),
        ({"data": np.array([[{}]], object)}, "'data' holds something else"),
        ({"data": [[0] * 3072] * 6}, "'data' holds something else"),
        ({"labels": [0, 1, 2]}, "'labels' holds 3 labels for 6 images"),
        ({"labels": b"012012"}, "'labels' holds no list for 6 images"),
        ({"labels": [0, 0, 1, 1, 2, 3]}, "'labels' holds 3; labels of CIFAR-3 are 0 to 2"),
        ({"labels": [0, 0, 1, 1, 2, -1]}, "'labels' holds -1"),
        ({"labels": [0, 0, 1, 1, 2, 2.0]}, "'labels' holds 2.0"),
        ({"labels": [0, 0, 1, 1, 2, 10**300]}, "'labels' holds 1000"),
        (
            {"labels": [0, 0, 0, 1, 2, 2]},
            "class 0 has 5 images, not 4 (and 1 more classes differ); use the original archive",
        ),
    ],
)
def test_wrong_contents_are_refused(tmp_path, files, changes, message):
    files["data_batch_1"] |= {key.encode(): value for key, value in changes.items()}
    write(files, tmp_path)
    found = refusal(tmp_path)
    assert message in found
    assert str(tmp_path / "data_batch_1") in found


def test_an_array_whose_bytes_do_not_fill_its_shape_is_refused(tmp_path, files):
    raw = as_python2(files["data_batch_1"])
    assert raw.count(b"K\x06M\x00\x0c") == 1  # the shape (6, 3072)
    write(files | {"data_batch_1": raw.replace(b"K\x06M\x00\x0c", b"K\x07M\x00\x0c")}, tmp_path)
    assert "'data' holds something else" in refusal(tmp_path)


def test_files_of_the_other_archive_are_recognised(tmp_path, files):
    files["data_batch_1"][b"fine_labels"] = files["data_batch_1"].pop(b"labels")
    write(files, tmp_path)
    assert "has no entry 'labels'; is it a file of the other CIFAR archive?" in refusal(tmp_path)


@pytest.mark.parametrize("names", [[b"ant", b"bee"], b"ant", [1, 2, 3]])
def test_wrong_names_are_refused(tmp_path, files, names):
    write(files | {"batches.meta": {b"label_names": names}}, tmp_path)
    assert "'label_names' does not hold 3 names" in refusal(tmp_path)


def test_a_file_larger_than_any_of_the_archive_is_not_opened(tmp_path, files):
    write(files, tmp_path)
    with (tmp_path / "data_batch_1").open("wb") as sparse:
        sparse.truncate(cifar.LARGEST_FILE + 1)
    assert "has 209,715,201 bytes; no file of a CIFAR archive has more than 209,715,200" in refusal(tmp_path)


def test_the_real_archives_have_their_sizes():
    assert (
        cifar.CIFAR10.num_classes * cifar.CIFAR10.pool_size,
        cifar.CIFAR10.num_classes * cifar.CIFAR10.test_size,
    ) == (
        50_000,
        10_000,
    )
    assert cifar.CIFAR100.num_classes * cifar.CIFAR100.pool_size == 50_000
    assert cifar.CIFAR100.num_classes * cifar.CIFAR100.test_size == 10_000


NO_PLAIN_VALUES = {  # that an Unpickler would take much for, or do with them what somebody else says
    "many small things": (b"]" * 3_000_000 + b".", "more than 1,000,000 opcodes"),
    "an argument for each byte": (b"cnumpy\ndtype\nB\0\0\1\0" + bytes(65_536) + b"R.", "calls what is no array"),
    "state of a list": (b"](U\6appendK\1db.", "sets the state of what is no array"),
    "attributes of a dictionary": (b"}N}U\x08__iter__K\1s\x86b.", "sets the state of what is no array"),
    "a class changed": (b"cnumpy\ndtype\nNb.", "sets the state of what is no array"),
    "memory for what is not there": (b"\x96\0\0\0\0\2\0\0\0.", "an opcode that no array"),
    "a set": (b"\x8f.", "an opcode that no array"),
    "something twice": (b"N2.", "an opcode that no array"),
}


@pytest.mark.parametrize("what", NO_PLAIN_VALUES)
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "packed"])
def test_a_pickle_of_anything_but_plain_values_is_refused_before_it_costs(tmp_path, files, packed, what):
    raw, complaint = NO_PLAIN_VALUES[what]
    (pack if packed else write)(files | {"data_batch_1": raw}, tmp_path)
    tracemalloc.start()
    message = refusal(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "data_batch_1 is damaged or incomplete" in message and complaint in message
    assert peak < 150e6, f"{peak / 1e6:.0f} MB"


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "packed"])
def test_what_cannot_be_read_just_now_is_not_called_damaged(tmp_path, files, packed, monkeypatch):
    (pack if packed else write)(files, tmp_path)

    def failing(file, size):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(cifar, "read_pickle", failing)
    message = refusal(tmp_path)
    assert message.startswith("cannot read ") and "Input/output error" in message and "damaged" not in message
