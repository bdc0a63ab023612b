"""Whatever a file holds, it is read, or refused in one line; `campaign.py` searches longer, and guided.

Inputs are drawn alike every time. What may happen to them is in `oracle`, the readers are in `targets`.
"""

import gzip
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
import mutations
import oracle
import targets

sys.path.remove(str(Path(__file__).parent))

from ltbv.data import cifar
from ltbv.errors import Refusal

NAMES = list(targets.TARGETS)
CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def bounded(examples: int):
    """So many examples, the same ones in every run."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),  # shrinking may take minutes
        suppress_health_check=CHECKS,
    )


def feed(name: str, content: bytes) -> str:
    """What becomes of an input; a Fault is the failure of a test."""
    return targets.TARGETS[name].feed(content)


# ---- whole files, and damage that knows nothing of formats


@pytest.mark.parametrize("name", [name for name in NAMES if name != "file-names"])
def test_a_whole_file_is_read(name):
    assert feed(name, targets.TARGETS[name].seeds()[0]) == "read"


EDITS = st.lists(
    st.builds(
        mutations.Edit,
        st.sampled_from(mutations.KINDS),
        st.floats(0, 1, exclude_max=True),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 2**16),
    ),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_was_cut_spliced_or_overwritten(name):
    seeds = targets.TARGETS[name].seeds()

    @bounded(30)
    @given(st.integers(0, len(seeds) - 1), EDITS)
    def check(at, edits):
        feed(name, mutations.mutated(seeds[at], edits))

    check()


@pytest.mark.parametrize("name", NAMES)
def test_bytes_of_no_format(name):
    @bounded(8)
    @given(st.binary(max_size=64))
    @example(b"")
    @example(b"\x80")
    def check(content):
        feed(name, content)

    check()


ODD_LINES = ("500: a\n200: b", '1,",', ", 500\n, 200", "5\n,\n", ": 3", "a 5\n 7", "train/a/ 5\n/ 6", "/ 5\n// 6")


@pytest.mark.parametrize("text", ODD_LINES)
def test_lines_of_counts_with_separators_in_odd_places(text):
    feed("counts", b"\x01" + text.encode())


@pytest.mark.parametrize("name", ["run", "seed", "sample_id", "labels", "preds", "id", "rank"])
@pytest.mark.parametrize("kind", ["V4", "c8", "M8[D]", "?", "U0", [("a", "i4")]], ids=str)
def test_arrays_of_no_usual_type(name, kind):
    with warnings.catch_warnings(action="ignore"):
        odd = targets.npy(np.zeros(targets.POINTS, kind))
    whole = {key: targets.npy(values) for key, values in targets.outputs().items() if key in ("preds", "labels")}
    for others in (whole, {}):
        feed("elsewhere.npz", targets.npz(others | {name: odd}))


# ---- JSON

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from([value for value in mutations.ODD if not isinstance(value, (list, dict))]),
)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
)
JSON = {
    "study.json": [(b"", targets.study_json())],
    "recipe.json": [(b"", targets.recipe_json("ride", 1))],
    "notes": [(b"\0", targets.note()), (b"\x01", targets.note())],
    "counts": [(b"\0", targets.COUNTS), (b"\0", {"ant": 6, "bee": 3, "sea cow": 1})],
    "class-names": [(b"\0", ["ant", "bee"])],
    "labels": [(b"\0", targets.LABELS.tolist())],
}


@pytest.mark.parametrize(("name", "at"), [(name, at) for name, whole in JSON.items() for at in range(len(whole))])
def test_json_with_something_else_in_its_place(name, at):
    before, whole = JSON[name][at]

    @bounded(60)
    @given(st.lists(st.tuples(st.integers(0, mutations.nodes(whole) - 1), TREES), min_size=1, max_size=2))
    def check(changes):
        value = whole
        for place, new in changes:
            value = mutations.replaced(value, place % mutations.nodes(value), new)
        feed(name, before + json.dumps(value).encode())

    check()


@pytest.mark.parametrize("name", JSON)
@pytest.mark.parametrize("depth", [50, 400, 900, 990, 1100, 100_000])
@pytest.mark.parametrize("brackets", ["[]", '{"a":}'], ids=["lists", "maps"])
def test_json_nested_without_end(name, depth, brackets):
    before, _ = JSON[name][0]
    nested = brackets[:-1] * depth + "0" + brackets[-1] * depth
    feed(name, before + nested.encode())
    if name in ("study.json", "recipe.json", "notes"):
        for field in ("asked", "data", "made_with", "label", "stages", "since"):
            whole = dict(JSON[name][0][1], **{field: "HERE"})
            feed(name, before + json.dumps(whole).replace('"HERE"', nested).encode())


# ---- .npy headers and .npz archives

LENGTHS = st.sampled_from([0, 1, 2, 3, 6, -1, -6, 10**7, 10**12, 2**31, 2**63, 10**30, True])
TYPES = st.sampled_from(
    ["<i8", "<f4", "<f2", ">f2", ">f8", "<f16", "<c16", "<u8", "|u1", "|b1", "|O", "<U3", "<U1000000000", ">U2"]
    + ["|S4", "|S0", "|V0", "|V8", "<M8[s]", "<m8[D]", "i", "x", "", "\\x1b[31m"]
)
ARRAYS = (
    "prediction-field",
    "study-arrays",
    "stage",
    "snapshot",
    "elsewhere.npy",
    "elsewhere-field",
    "cache",
    "elsewhere-stacked",
)


@st.composite
def npys(draw):
    """A .npy whose header says anything, with about as many bytes as it says."""
    shape = draw(st.one_of(st.lists(LENGTHS, max_size=3), st.just([6]), st.just([6, 3]), st.just([2, 10])))
    words = draw(st.sampled_from(["({},)", "({})", "[{}]", "{}"])).format(", ".join(map(str, shape)))
    kind = draw(st.one_of(TYPES.map(repr), st.sampled_from(["[('a', '<f8')]", "('<f8', (2,))", "None", "1", "[]"])))
    order = draw(st.sampled_from(["False", "True", "0", "None"]))
    header = f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {words}, }}"
    data = draw(st.one_of(st.binary(max_size=100), st.integers(0, 300).map(bytes), st.just(b"\xff" * 48)))
    return targets.npy_like(header, data, version=draw(st.sampled_from([1, 1, 1, 1, 2, 3])))


@pytest.mark.parametrize("name", ARRAYS)
def test_npy_headers(name):
    seeds = targets.TARGETS[name].seeds()
    prefix = {"elsewhere.npy": 0, "elsewhere-field": 2}.get(name, 1)

    @bounded(60)
    @given(st.integers(0, len(seeds) - 1), st.booleans(), npys())
    def check(at, compressed, content):
        before = bytearray(seeds[at][:prefix])
        if compressed and before:
            before[0] |= 128
        feed(name, bytes(before) + content)

    check()


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_another_type_or_shape(name):
    seeds = targets.TARGETS[name].seeds()
    prefix = {"elsewhere.npy": 0, "elsewhere-field": 2}.get(name, 1)
    odd = [0, 1, -1, 2, 3, 255, 2**31, 2**62, float("nan"), float("inf"), 0.5, -0.5, 1e300]
    kinds = ["i1", "u2", "i8", "u8", "f2", "f4", "f8", ">f4", ">i8", "g", "c8", "?", "U3", "S3", "M8[s]"]
    shapes = st.sampled_from([(6,), (6, 3), (2, 10), (3,), (), (1, 6), (2, 1), (6, 1), (1,), (2, 6)])

    @bounded(60)
    @given(st.integers(0, len(seeds) - 1), st.sampled_from(kinds), shapes, st.lists(st.sampled_from(odd), min_size=18))
    def check(at, kind, shape, values):
        with np.errstate(all="ignore"):
            plain = [0 if kind[0] in "iuUSM>" and value != value or abs(value) > 2**63 else value for value in values]
            plain = [int(value) if kind[0] in "iuM" or kind == ">i8" else value for value in plain]
            array = np.resize(np.array(plain, dtype=object if kind[0] in "iu>M" else None), shape)
            if kind[0] in "iu":
                array = np.asarray(array % 2 ** (8 * int(kind[1]) - 1), object)
            array = array.astype("i8").astype(kind) if kind[0] == "M" else array.astype(kind)
        feed(name, seeds[at][:prefix] + targets.npy(array))

    check()


@st.composite
def archives(draw):
    """An .npz with names of all kinds, some twice, some that lie about their size, some packed in other ways."""
    buffer = io.BytesIO()
    names = st.one_of(
        st.sampled_from(["logits.npy", "preds.npy", "labels.npy", "label.npy", "p_true.npy", "pool.npy", "sample_id"]),
        st.sampled_from(["/tmp/ltbv-escaped.npy", "../escaped.npy", "..\\escaped.npy", "\x1b[2J.npy", "a\nb.npy", ""]),
        st.text(max_size=5),
    )
    with zipfile.ZipFile(buffer, "w") as archive:
        for _ in range(draw(st.integers(0, 5))):
            info = zipfile.ZipInfo(draw(names))
            method = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]))
            content = draw(st.one_of(npys(), st.just(targets.npy(targets.LABELS)), st.binary(max_size=20)))
            try:
                archive.writestr(info, content, compress_type=method)
            except (UserWarning, UnicodeEncodeError):  # a name twice: put all the same, by its info
                continue
            if draw(st.booleans()):
                lie = draw(st.sampled_from([0, 1, 2**31, 2**32 - 2, 10**12]))
                setattr(info, draw(st.sampled_from(["file_size", "compress_size", "header_offset"])), lie)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["prediction", "elsewhere.npz", "cache", "labels"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_npz_archives(name):
    @bounded(60)
    @given(archives())
    def check(content):
        feed(name, (b"\x04" if name == "labels" else b"") + content)

    check()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_an_archive_that_swells_is_refused_before_memory_is_taken(method):
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }"
    size = 64 * 2**20
    swollen = targets.npy_like(header % size, bytes(2**20), 1)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive, archive.open("preds.npy", "w", force_zip64=True) as member:
        member.write(swollen)
        for _ in range(size // 2**20 - 1):
            member.write(bytes(2**20))
    assert feed("elsewhere.npz", buffer.getvalue()) != "read"
    assert feed("prediction", buffer.getvalue()) != "read"


# ---- tables and lists


@st.composite
def tables(draw):
    """Text that may be a table: odd separators, quotes, encodings, NULs, rows too long and too short."""
    cells = st.one_of(
        st.sampled_from(["0", "1", "2", "-1", "3", "0.5", "NaN", "", " 1", "1e400", "9" * 30, "inf", "True", "1\0"]),
        st.sampled_from(['"', '""', '"a,b"', '"a\nb"', "\x1b[31m", "\ufeff", "x" * 2000, "é", "\u2028", "٣", "'"]),
        st.text(max_size=4),
    )
    names = ["label", "pred", "sample", "run", "p_0", "p_1", "p_2", "p_3", "p_٣", "", "label ", "LABEL", "Unnamed: 0"]
    names += ["id", "file name", "target", "y_pred", "method", "seed", "whatever"]
    header = draw(st.one_of(st.just(["label", "pred"]), st.lists(st.sampled_from(names), max_size=6)))
    rows = draw(st.lists(st.lists(cells, max_size=7), max_size=8))
    separator = draw(st.sampled_from([",", ",", ",", ";", "\t", "|"]))
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r", "\n\n"]))
    text = end.join(separator.join(row) for row in [header, *rows])
    return (
        text.encode(draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"])), "surrogatepass")
        if text.isascii()
        else text.encode("utf-8", "surrogatepass")
    )


@bounded(150)
@given(tables())
def test_tables(content):
    feed("elsewhere.csv", content)
    feed("labels", b"\x03" + content)


LINES = ["a.jpg 1", "b 0", "1", "2 ", "x " + "9" * 40, "\0", "0 5", "1 3", "5 0", "7 ant", "1 2 3", "1,2,3", "9 a 9"]


@bounded(150)
@given(st.lists(st.one_of(st.text(max_size=12), st.sampled_from(LINES))))
def test_lists(lines):
    content = "\n".join(lines).encode("utf-8", "surrogatepass")
    for name in ("counts", "class-names", "labels"):
        feed(name, b"\x01" + content)


# ---- pickles and archives of images

OPCODES = [
    *(b"(", b".", b"0", b"1", b"2", b"N", b"]", b"}", b")", b"l", b"d", b"t", b"a", b"e", b"s", b"u", b"R", b"b", b"o"),
    *(b"\x85", b"\x86", b"\x87", b"\x88", b"\x89", b"\x8f", b"\x90", b"\x91", b"\x94", b"\x81", b"\x92", b"\x93"),
    *(b"K\x01", b"M\x00\x0c", b"J\xff\xff\xff\xff", b"q\x00", b"h\x00", b"r\xff\xff\xff\x7f", b"j\xff\xff\xff\xff"),
    *(b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"cnumpy.core.multiarray\n_reconstruct\n", b"cposix\nsystem\n"),
    *(b"U\x06labels", b"U\x04data", b"U\x02u1", b"T\xff\xff\xff\x7f", b"\x8e\0\0\0\0\0\0\1\0", b"\x8b\xff\xff\xff\x7f"),
    *(b"I" + b"9" * 5000 + b"\n", b"L1L\n", b"S'a'\n", b"Vx\n", b"F1e999\n", b"P1\n", b"Q", b"i\n\n", b"\x97", b"\x98"),
    *(b"\x80\x05", b"\x95\0\0\0\0\0\0\0\xff", b"\x96\0\0\0\0\0\0\0\1", b"\x82\x01", b"p0\n", b"g0\n", b"\x8a\x01\x00"),
]


@bounded(200)
@given(st.sampled_from([0, 1, 2]), st.lists(st.sampled_from(OPCODES), max_size=25), st.booleans())
def test_programs_in_place_of_pickles(name, program, ends):
    feed("cifar-pickle", bytes([name]) + b"".join(program) + b"." * ends)


@st.composite
def tars(draw):
    """An archive with members of all types and sizes."""
    buffer = io.BytesIO()
    kinds = [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
    kinds += [tarfile.GNUTYPE_SPARSE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE, b"?"]
    names = [f"{targets.TINY.folder}/{name}" for name in targets.archive()]
    with tarfile.open(
        fileobj=buffer, mode="w", format=draw(st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
    ) as tar:
        for _ in range(draw(st.integers(0, 5))):
            member = tarfile.TarInfo(draw(st.sampled_from([*names, "/etc/passwd", "../../x", "a" * 300, "\x1b[2J"])))
            contents = [*targets.archive().values(), b"", b"x", b"30 GNU.sparse.major=1\n" * 9]
            content = contents[draw(st.integers(0, len(contents) - 1))]
            member.size, member.type = len(content), draw(st.sampled_from(kinds))
            member.linkname = draw(st.sampled_from(["", "/etc/passwd", names[0]]))
            tar.addfile(member, io.BytesIO(content))
            if draw(st.integers(0, 3)) == 0:
                member.size = draw(st.sampled_from([2**33 - 1, 10**12, 1]))
                buffer.write(member.tobuf(tarfile.GNU_FORMAT))
    return buffer.getvalue()


@bounded(30)
@given(st.data(), st.booleans())
def test_tars(data, damaged):
    content = data.draw(tars().map(memoryview))  # whose text is short
    feed("cifar-tar", mutations.mutated(bytes(content), data.draw(EDITS)) if damaged else bytes(content))


def test_a_packed_archive_that_swells_is_refused_before_it_is_unpacked(monkeypatch):
    monkeypatch.setattr(cifar, "LARGEST_ARCHIVE", 2**20)
    pax = tarfile.TarInfo("pax")
    pax.type, pax.size = tarfile.XHDTYPE, 10 * 2**20
    refused = feed("cifar-packed", gzip.compress(pax.tobuf(tarfile.GNU_FORMAT) + bytes(10 * 2**20), 1))
    assert "holds more than 1,048,576 bytes" in refused


# ---- names of files


@bounded(150)
@given(
    st.integers(0, 255),
    st.lists(
        st.one_of(
            st.text(max_size=12),
            st.sampled_from(
                [
                    "r٣.npz",
                    "r².npz",
                    "r1.npz",
                    "rx.txt",
                    "r-1.txt",
                    "r.txt",
                    "\x1b[2J.npz",
                    "a\nb.csv",
                    "r99999999999.npz",
                    ".npz",
                    "r0001.npz",
                ]
            ),
        ),
        max_size=4,
    ),
)
def test_names_of_files(under, names):
    feed(
        "file-names", bytes([under]) + "\n".join(name.replace("\n", "\r") for name in names).encode("utf-8", "replace")
    )


# ---- nothing is unpickled


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


UNPICKLED = ("prediction", "elsewhere.npz", "elsewhere.pt", "elsewhere.pt-program", "cifar-pickle", "counts", "labels")


@pytest.mark.parametrize("name", [*ARRAYS, *UNPICKLED])
def test_nothing_is_unpickled(name, tmp_path):
    marker = tmp_path / "exploded"
    object_array = targets.npy(np.array([Bomb(marker)] * 6, object))
    contents = [object_array, pickle.dumps(Bomb(marker)), pickle.dumps(Bomb(marker), 0)]
    contents.append(targets.npz({name: object_array for name in ("label", "preds", "labels", "pool", "logits")}))
    contents.append(targets.torch_file({"preds": list(targets.LABELS), "x": Bomb(marker)}))
    for before in (b"", *(bytes([at]) for at in range(5)), *(bytes([at, 255]) for at in range(5))):
        for content in contents:
            feed(name, before + content)
    assert not marker.exists()
    pickle.loads(contents[1])
    assert marker.exists()


# ---- what was found, and stays mended


def study(**changes) -> bytes:
    found = json.loads(json.dumps(targets.study_json()))
    for name, value in changes.items():
        part, _, field = name.partition("__")
        if field:
            found[part][field] = value
        else:
            found[part] = value
    return targets.as_json(found)


def shared_tuples(levels: int) -> bytes:
    """A pickle of a tuple of twice the same tuple of twice the same …: its hash and its text never end."""
    return b"K\x01" + b"q\x00h\x00\x86" * levels


def lying_zip(**lies: int) -> bytes:
    """An archive whose directory says something else of its one member."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("label.npy")
        archive.writestr(info, targets.npy(targets.LABELS))
        for name, value in lies.items():
            setattr(info, name, value)
    return buffer.getvalue()


HUGE_HEADER = b"\x93NUMPY\x02\x00" + (600 * 2**20).to_bytes(4, "little") + b" " * (40 * 2**20)
FOUND = {
    "study.json without counts": ("study.json", study(data={"class_names": ["a"]})),
    "study.json whose asked is a list": ("study.json", study(asked=[1])),
    "study.json without a scheme": ("study.json", study(asked__scheme=None)),
    "study.json with a split too many": ("study.json", study(data__splits={"many": [0], "medium": [1], "few": [9]})),
    "study.json with an endless imbalance": ("study.json", study(asked__imbalance=float("inf"))),
    "study.json with an imbalance in words": ("study.json", study(asked__imbalance="a lot")),
    "study.json with a huge whole number": ("study.json", study(asked__imbalance=10**400)),
    "study.json with half a character": ("study.json", study(data__class_names=["a", "b", "\ud800"])),
    "study.json that speaks to the terminal": ("study.json", study(format="\x1b]0;owned\x07")),
    "recipe.json without a label": ("recipe.json", b'{"key": "ride", "stages": []}'),
    "recipe.json without a key": ("recipe.json", b'{"label": "RIDE", "stages": []}'),
    "recipe.json of no order": ("recipe.json", b'{"key": "ride", "label": "RIDE", "order": "x", "stages": []}'),
    "recipe.json whose label is a list": ("recipe.json", b'{"key": "ride", "label": [], "stages": []}'),
    "a field that is no array": ("prediction-field", b"\x03\x93NUMpY\x01\x00v"),
    "labels below zero": ("prediction-field", b"\0" + targets.npy(np.full(6, -1))),
    "experts used that are no number": ("prediction-field", b"\x05" + targets.npy(np.full(6, np.nan))),
    "a directory that promises 2 GiB": ("prediction", lying_zip(compress_size=2**31 - 1, file_size=2**31 - 1)),
    "the same from elsewhere": ("elsewhere.npz", lying_zip(compress_size=2**31 - 1, file_size=2**31 - 1)),
    "a header of 600 MiB": ("prediction-field", b"\x80" + HUGE_HEADER),
    "a header of 600 MiB from elsewhere": ("elsewhere-field", b"\x80\x00" + HUGE_HEADER),
    "samples of 10^12 runs of nothing": (
        "study-arrays",
        b"\0" + targets.npy_like("{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000, 0), }"),
    ),
    "samples without an axis": ("study-arrays", b"\0" + targets.npy(np.array(3))),
    "samples of a class there is not": ("study-arrays", b"\0" + targets.npy(np.full((2, 10), 2**60))),
    "samples below zero": ("study-arrays", b"\0" + targets.npy(np.full((2, 10), -1))),
    "test labels of a class there is not": ("study-arrays", b"\x01" + targets.npy(np.full(6, 3))),
    "test labels in two axes": ("study-arrays", b"\x01" + targets.npy(np.zeros((6, 1), int))),
    "weights that would be spread": ("stage", b"\0" + targets.npy(np.zeros((1, 1, 1, 1, 1), np.float32))),
    "weights of text": ("stage", b"\0" + targets.npy(np.array(["x"]))),
    "weights without an axis": ("stage", b"\x01" + targets.npy(np.float32(1))),
    "weights in extended precision": ("stage", b"\x01" + targets.npy(np.zeros((1, 2), np.longdouble))),
    "a snapshot of losses in one axis": ("snapshot", b"\0" + targets.npy(np.zeros(2))),
    "a snapshot whose draws are no JSON": ("snapshot", b"\x01" + targets.npy(np.zeros(3, np.uint8))),
    "a note that is a list": ("notes", b"\0[]"),
    "a note without an end": ("notes", b"\0" + b"[" * 100_000),
    "a note from the year infinity": ("notes", b"\0" + targets.as_json(targets.note() | {"since": float("inf")})),
    "a note from the year 10^17": ("notes", b"\0" + targets.as_json(targets.note() | {"since": 1e25})),
    "progress without images": ("notes", b"\x01" + targets.as_json({"host": "x", "updated": 4e9})),
    "progress of a process 10^30": ("notes", b"\x01" + targets.as_json(targets.note() | {"pid": 10**30})),
    "progress of 10^400 images": ("notes", b"\x01" + targets.as_json(targets.note() | {"images": 10**400})),
    "a failure that speaks to the terminal": ("notes", b"\x02\x1b]0;owned\x07\nsecond line"),
    "a failure of no run": ("file-names", b"\0rx.txt"),
    "a failure that is a directory": ("file-names", b"\x80r8.txt"),
    "an archive of run \u00b2": ("file-names", b"\x01" + "r\u00b2.npz".encode()),
    "one long name among many": (
        "elsewhere.csv",
        b"sample,label,pred\n" + b"x" * 30_000 + b",0,0\n" + b"".join(b"%d,0,0\n" % k for k in range(9000)),
    ),
    "one long path among many": (
        "labels",
        b"\x01" + b"x" * 30_000 + b" 0\n" + b"".join(b"%d 0\n" % k for k in range(20_000)),
    ),
    "text of characters there are not": (
        "elsewhere-field",
        b"\x04\x1c"
        + targets.npy_like("{'descr': '<U1', 'fortran_order': False, 'shape': (6,), }", b"\xff\xff\xff\x7f" * 6),
    ),
    "a class name of half a character": ("class-names", b'\0["a", "\\ud800"]'),
    "a map of half a character": ("counts", b'\0{"a": 1, "\\ud800": 2}'),
    "a pickle that asks for 2^31 places": ("cifar-pickle", b"\x01Nr\xff\xff\xff\x7f."),
    "a pickle that promises 2^40 bytes": ("cifar-pickle", b"\x01\x8e\0\0\0\0\0\1\0\0."),
    "a pickle whose key is never hashed": ("cifar-pickle", b"\x01}" + shared_tuples(60) + b"Ns."),
    "a label that is never written out": (
        "cifar-pickle",
        b"\x01" + targets.batch((0, 1, 2)).replace(b"K\x00K\x01K\x02", b"K\x00K\x01" + shared_tuples(60)),
    ),
    "a label of 5000 digits": (
        "cifar-pickle",
        b"\x01" + targets.batch((0, 1, 2)).replace(b"K\x02", b"\x8b\x80\x0c\0\0" + b"\x7f" * 3200, 1),
    ),
    "class names that speak to the terminal": (
        "cifar-pickle",
        b"\x02" + targets.as_python2({b"label_names": [b"\x1b[2J", b"b", b"c"]}),
    ),
}


@pytest.mark.parametrize("what", FOUND)
def test_found_and_mended(what):
    feed(*FOUND[what])


def test_many_runs_in_one_table_take_as_long_as_their_rows():
    rows = "".join(f"seed{k},0,0\n" for k in range(60_000))
    assert feed("elsewhere.csv", f"run,label,pred\n{rows}".encode()) != "read"


def test_many_keys_of_which_the_last_comes_twice():
    keys = ", ".join(f'"{k}": 1' for k in (*range(60_000), 59_999))
    assert "'59999' is there twice" in feed("counts", b"\0{" + keys.encode() + b"}")


def test_a_message_is_a_line_of_text():
    assert str(Refusal("a\nb\x1b[31m\u202e")) == "a\\nb\\x1b[31m\\u202e"
    assert str(Refusal("a b, \u00e9, 猫: /tmp/x")) == "a b, \u00e9, 猫: /tmp/x"
    long = str(Refusal(f"/first: {'x' * 10_000}; the last word"))
    assert len(long) <= oracle.MOST_WORDS and long.startswith("/first: ") and long.endswith("; the last word")


# ---- the oracle itself


def swallowed() -> None:
    try:
        bytearray(2 * oracle.MOST_MEMORY)
    except MemoryError as error:
        raise Refusal("a file is damaged") from error


def refuse(words: str) -> None:
    raise Refusal(words)


@pytest.mark.parametrize(
    ("what", "act"),
    [
        ("forbidden: opened for writing", lambda folder: (folder.parent / "outside").write_text("x")),
        ("forbidden: os.remove", lambda folder: (folder.parent / "nothing").unlink(missing_ok=True)),
        ("forbidden: subprocess", lambda folder: subprocess.run(["true"], check=True)),
        ("forbidden: os.system", lambda folder: os.system("true")),
        ("forbidden: pickle.find_class", lambda folder: pickle.loads(pickle.dumps(Path("x")))),
        ("memory", lambda folder: swallowed()),
        ("MemoryError", lambda folder: bytearray(2 * oracle.MOST_MEMORY)),
        ("KeyError", lambda folder: {}["x"]),
        ("UserWarning", lambda folder: warnings.warn("x", stacklevel=1)),
        ("anonymous", lambda folder: refuse("something is wrong")),
    ],
)
def test_the_oracle_sees_what_it_forbids(what, act, tmp_path):
    folder = tmp_path / "inside"
    folder.mkdir()
    with pytest.raises(oracle.Fault, match=f"^{what}"):
        oracle.watched(lambda: act(folder), folder)


def test_the_oracle_lets_a_reader_write_where_it_reads(tmp_path):
    assert oracle.watched(lambda: (tmp_path / "file").write_text("x"), tmp_path) == "read"


def test_the_oracle_ends_what_does_not_end(tmp_path, monkeypatch):
    monkeypatch.setattr(oracle, "MOST_SECONDS", 0.1)

    def forever():
        while True:
            try:
                sum(range(1000))
            except Exception:
                continue

    with pytest.raises(oracle.Fault, match="hang"):
        oracle.watched(forever, tmp_path)
